# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab: a client with two uplinks, a middlebox that strips MPTCP options, and a server.

    client  c0 ── mc0 ┐                    ┌ ms0 ── s0  server
            c1 ── mc1 ┴── middlebox ───────┘

Client and server are hosts with a bus and NetworkManager of their own; the middlebox only forwards.
Everything lives in unnamed namespaces and one scratch folder, so labs never collide and nothing is left
behind. May touch: what it made itself.
"""

import ipaddress
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

from host import Host

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT = 8443  # the port of the server that is tunnelled
PLAIN_PORT = 8080  # one that is not

# Interface of a host -> (its peer on the middlebox, number of the network). Unique local addresses would not
# do: NetworkManager makes no MPTCP endpoints of them.
LINKS = {"c0": ("mc0", 1), "c1": ("mc1", 2), "s0": ("ms0", 9)}


def address(interface, family=4, router=False):
    """Address of an interface, or of the middlebox on the same link."""
    number, last = LINKS[interface][1], 1 if router else 2
    return f"10.77.{number}.{last}" if family == 4 else f"2001:db8:77:{number}::{last}"


def stage_project(target):
    """Installs the built project below target, as "DESTDIR=target meson install" does."""
    build = os.environ.get("UNDERPASS_BUILD", str(ROOT / "build"))
    subprocess.run(
        ["/usr/bin/meson", "install", "-C", build, "--no-rebuild", "--quiet"],
        check=True,
        env=dict(os.environ, DESTDIR=str(target)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


class Lab:
    """The three hosts; a context manager. stage: folder of the installed project; None takes
    $UNDERPASS_STAGE or installs the build; False leaves the project out."""

    def __init__(self, stage=None, manager=True):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="underpass-lab-"))
        self.folder.chmod(0o755)
        self._manager = manager
        self._stage = stage
        self._closers = []
        self.peers = []  # of traffic.py, in the order in which they began
        self.hosts = []
        self.client = self.server = self.middlebox = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        if self._stage is None:
            self._stage = os.environ.get("UNDERPASS_STAGE")
        if self._stage is None:
            self._stage = self.folder / "stage"
            stage_project(self._stage)
        stage = self._stage or None
        self.client = self.add_host("client", stage)
        self.server = self.add_host("server", stage)
        self.middlebox = self.add_host("middlebox", None)
        for interface, (peer, _) in LINKS.items():
            host = self.client if interface.startswith("c") else self.server
            addresses = {family: (address(interface, family, router=True),) for family in (4, 6)}
            self.cable(self.middlebox, peer, host, interface, addresses)
        self.middlebox.sysctl("net.ipv4.ip_forward", 1)
        self.middlebox.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.strip_mptcp(True)
        if self._manager:
            for host in (self.client, self.server):
                host.start_bus()
                host.start_manager()
            self.add_profiles()

    def add_host(self, name, stage=None):
        """Starts a host that ends with the lab. stage: the project in it, if it has that."""
        host = Host(name, self.folder / name, stage)
        self.hosts.append(host)
        host.start()
        return host

    @staticmethod
    def cable(near, peer, far, interface, addresses):
        """Connects two hosts by a veth pair. addresses: by family, that of the near end and, if the far end
        is to be set up as well, its own. If NetworkManager runs in the near host, host-init has to keep it
        from the peer."""
        ends = [(near, peer, [each[0] for each in addresses.values()])]
        if all(len(each) > 1 for each in addresses.values()):
            ends.append((far, interface, [each[1] for each in addresses.values()]))
        for host, name, own in ends:
            commands = []
            if host is near:
                commands.append(f"link add {peer} type veth peer name {interface} netns {far.init}")
            for each in own:
                length = "64 nodad" if ":" in each else "24"
                commands.append(f"address add dev {name} {each}/{length}")
            commands.append(f"link set {name} up")
            # "netns PID" means a process id as the caller sees it, so only the network namespace is entered.
            inside = ["nsenter", "--target", str(host.init), "--net", "ip", "-batch", "-"]
            subprocess.run(inside, input="\n".join(commands) + "\n", encoding="utf-8", check=True)

    def close(self):
        """Takes everything down."""
        while self._closers:
            self._closers.pop()()
        for host in reversed(self.hosts):
            host.stop()
        self.hosts = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def at_close(self, function):
        """Calls function when the lab is taken down, the last one first."""
        self._closers.append(function)

    # Profiles

    def add_profiles(self):
        """Adds profile "first" on c0 and "second" on c1 of the client, and "server" on s0 of the server."""
        for host, name, interface, metric in (
            (self.client, "first", "c0", 100),
            (self.client, "second", "c1", 200),
            (self.server, "server", "s0", 100),
        ):
            host.add_profile(name, interface, **self.profile_properties(interface, metric))

    @staticmethod
    def profile_properties(interface, metric):
        """Static addresses and gateways of an interface, as nmcli takes them."""
        return {
            "ipv4_method": "manual",
            "ipv4_addresses": f"{address(interface)}/24",
            "ipv4_gateway": address(interface, router=True),
            "ipv4_route_metric": metric,
            # Newer NetworkManagers look for a duplicate first; the activation does not wait for the outcome.
            "ipv4_dad_timeout": 0,
            "ipv6_method": "manual",
            "ipv6_addresses": f"{address(interface, 6)}/64",
            "ipv6_gateway": address(interface, 6, router=True),
            "ipv6_route_metric": metric,
            "ipv6_addr_gen_mode": "eui64",
        }

    # The middlebox

    def strip_mptcp(self, strip):
        """Switches the stripping of MPTCP options in the middlebox; its counters begin at 0 again."""
        rule = "tcp option mptcp exists reset tcp option mptcp" if strip else ""
        names, rules = [], [rule]
        for protocol in ("tcp", "udp"):
            for peer in ("mc0", "mc1"):
                names.append(f"counter {protocol}-{peer} {{ }}")
                for way in (f'iifname "{peer}" {protocol} dport', f'oifname "{peer}" {protocol} sport'):
                    rules.append(f"{way} {PORT} counter name {protocol}-{peer}")
        head = "chain forward { type filter hook forward priority 0; policy accept;"
        self.middlebox.set_nft_table("middlebox", *names, head, *rules, "}")

    def counters(self):
        """(packets, bytes) that the middlebox has forwarded for PORT, by "tcp-mc0", "udp-mc1" and so on."""
        return self.middlebox.nft_counters("middlebox")

    def offload(self, enabled):
        """Switches transmit checksum offload (and with it segmentation offload) of all interfaces of the
        hosts."""
        for interface in LINKS:
            host = self.client if interface.startswith("c") else self.server
            host.run("ethtool", "-K", interface, "tx", "on" if enabled else "off")

    def how_to_enter(self):
        """Lines that tell a person how to look into the hosts."""
        return [f"{host.name}: {shlex.join(host.enter())} bash" for host in self.hosts]


def is_ipv6(text):
    """Whether text is an IPv6 address (and not an IPv4 one written as such)."""
    parsed = ipaddress.ip_address(text)
    return parsed.version == 6 and parsed.ipv4_mapped is None
