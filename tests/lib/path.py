# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to packets on their way through the lab, beyond the stripping of MPTCP options: the middlebox
drops, refuses, translates addresses, has narrow links behind it, and sends packets that nobody asked for
(made by craft.py); links are slow. May touch: nft tables and routes of the middlebox, queues of links.
"""

import subprocess

import runner
from host import HERE
from lab import LINKS, address


def rules(lab, *lines):
    """Forwarded packets go through these rules before the middlebox strips and counts; none: as before."""
    head = "chain forward { type filter hook forward priority -10; policy accept;"
    lab.middlebox.set_nft_table("path", head, *lines, "}")


def translate(lab, **ports):
    """Makes the middlebox a NAT for IPv4. ports: by interface of the client, the range of outside ports."""
    lines = [
        f"ip saddr {address(interface)} meta l4proto {{ tcp, udp }} snat ip to"
        f" {address('s0', router=True)}:{first}-{last}"
        for interface, (first, last) in ports.items()
    ]
    head = "chain out { type nat hook postrouting priority 100;"
    lab.middlebox.set_nft_table("nat", head, *lines, "}")


def forget_translations(lab, interface):
    """Makes the NAT forget all about one interface of the client."""
    lab.middlebox.run("conntrack", "-D", "--orig-src", address(interface))


def narrow(lab, mtu):
    """From now on the networks behind the middlebox are reached over links with this MTU: it answers larger
    packets with ICMP errors. The links themselves stay as they are; veth drops what its peer cannot take
    without a word."""
    for interface, (peer, _) in LINKS.items():
        for family in (4, 6):
            target = ("ip", f"-{family}", "route", "replace", address(interface, family), "dev", peer)
            lab.middlebox.run(*target, "mtu", "lock", mtu)


def shape(lab, rate, *interfaces):
    """From now on each of these interfaces, of whichever host, sends at most at this rate, in words of tc; None: as fast
    as it can."""
    for interface in interfaces:
        host = lab.middlebox if interface.startswith("m") else lab.client if interface.startswith("c") else lab.server
        if rate:
            words = ("replace", "dev", interface, "root", "tbf", "rate", rate, "burst", "64kb", "limit", "1mb")
        else:
            words = ("del", "dev", interface, "root")
        host.run("tc", "qdisc", *words)


def hardware_address(host, interface):
    """MAC address of an interface."""
    return host.output("cat", f"/sys/class/net/{interface}/address").strip()


def inject(lab, interface, packets, pause=0):
    """The middlebox sends IP packets to the host that has this interface, as if they had come from far away.
    pause: seconds between two of them."""
    peer = LINKS[interface][0]
    host = lab.client if interface.startswith("c") else lab.server
    lab.middlebox.run(
        *("/usr/bin/python3", HERE / "inject.py", peer, hardware_address(host, interface), pause),
        text="".join(packet.hex() + "\n" for packet in packets),
    )


def flood(lab, interface, form, port, rate, seconds):
    """The middlebox sends SYNs with made-up senders to the host that has this interface, as "udp" or "tcp"; the process,
    whose output is how many there were. Nobody answers the SYN-ACKs, not even by ICMP."""
    lab.middlebox.run("ip", "route", "replace", "blackhole", "198.18.0.0/15")
    host = lab.client if interface.startswith("c") else lab.server
    words = (LINKS[interface][0], hardware_address(host, interface), form, address(interface), port, rate, seconds)
    return lab.middlebox.spawn(
        ["/usr/bin/python3", str(HERE / "syn_flood.py"), *(str(word) for word in words)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def forwarded(lab, protocol):
    """Packets of PORT that the middlebox has forwarded as "tcp" or as "udp", for both uplinks."""
    return sum(packets for name, (packets, _) in lab.counters().items() if name.startswith(protocol))


class Delay:
    """The middlebox sends packets from the client through a device that holds them back; not those of its own,
    and not the way back, so the delay is the round trip."""

    def __init__(self, lab):
        command = ["/usr/bin/python3", "-B", str(HERE / "delay.py"), "slow"]
        self._process = lab.middlebox.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for close in (self._process.wait, self._process.stdout.close, self._process.stdin.close):
            lab.at_close(close)
        if self._process.stdout.readline() != b"ready\n":
            raise runner.Skip("this kernel has no TUN devices")
        for name in ("all", "slow"):
            lab.middlebox.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
        lab.middlebox.run("ip", "link", "set", "slow", "up", "mtu", "1500")
        for family in ("-4", "-6"):
            lab.middlebox.run("ip", family, "route", "add", "default", "dev", "slow", "table", "77")
            for interface in ("mc0", "mc1"):
                rule = ("iif", interface, "lookup", "77", "priority", "77")
                lab.middlebox.run("ip", family, "rule", "add", *rule)

    def set(self, milliseconds):
        """From now on packets take so long."""
        self._process.stdin.write(f"{milliseconds}\n".encode())
        self._process.stdin.flush()
