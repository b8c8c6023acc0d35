#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a guest: the lab of tests/lib/lab.py without NetworkManager. Links are set up by hand, profiles
are files, the service has CAP_BPF and CAP_NET_ADMIN and nothing more, and MPTCP goes through a middlebox
that strips its options.

The last line, which begins with "found: ", tells in JSON what was found. May touch: the guest.
"""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

# pylint: disable=wrong-import-position
import merging
import path
import runner
import service
import traffic
from host import HERE
from lab import LINKS, PORT, address

SIZE = 1_000_000
RESULT = "found: "
UPLINKS = {"c0": 100, "c1": 200}
PATIENCE = 60.0  # a guest is slow
PROFILE = """[Match]
Name={names}

[X-Underpass]
Tunnel=yes
MPTCPOnly=no
{ports}
"""


def say(text):
    """A line of progress."""
    print(text, flush=True)


def set_up(host, interface, metric):
    """Addresses and routes, as a network manager would set them."""
    lines = [f"address add {address(interface)}/24 dev {interface}"]
    lines.append(f"address add {address(interface, 6)}/64 dev {interface} nodad")
    lines.append(f"link set {interface} up")
    for family in (4, 6):
        gateway = address(interface, family, router=True)
        lines.append(f"route add default via {gateway} dev {interface} metric {metric}")
    host.run("ip", "-batch", "-", text="\n".join(lines) + "\n")


def limit(host):
    """The bus starts the service with two capabilities, as systemd would."""
    path = "/usr/share/dbus-1/system-services/org.underpass1.service"
    lines = host.path(path).read_text().splitlines()
    limits = "/usr/bin/setpriv --bounding-set=-all,+bpf,+net_admin --inh-caps=-all"
    lines = [line.replace("Exec=", f"Exec={limits} ") for line in lines]
    host.write(path, "\n".join(lines) + "\n")


def start(lab):
    """Both hosts with a bus, addresses, and no tunnel yet."""
    for host in (lab.client, lab.server):
        limit(host)
        host.start_bus()
    for interface in LINKS:
        host = lab.client if interface in UPLINKS else lab.server
        set_up(host, interface, UPLINKS.get(interface, 100))


def ask_for_tunnels(lab):
    """Profiles, and the services that read them."""
    ports = f"RemotePorts={PORT}\nMPTCPEndpoint=subflow"
    lab.client.write("/etc/underpass/lab.conf", PROFILE.format(names=" ".join(UPLINKS), ports=ports))
    lab.server.write("/etc/underpass/lab.conf", PROFILE.format(names="s0", ports=f"LocalPorts={PORT}"))
    for host in (lab.client, lab.server):
        service.manager_call(host, "Reload")
    for interface in LINKS:
        host = lab.client if interface in UPLINKS else lab.server
        service.wait_state(host, interface, service.ACTIVE, PATIENCE)


def use_newer_stacks(lab):
    """BIG TCP on all links, and AccECN, as far as the kernel has them; whether it has AccECN."""
    for interface, (peer, _) in LINKS.items():
        host = lab.client if interface in UPLINKS else lab.server
        for where, name in ((host, interface), (lab.middlebox, peer)):
            where.run("/usr/bin/python3", HERE / "big_tcp.py", name, 192 * 1024, check=False)
    # The two bytes behind the UDP header: data offset with AE, and flags. A SYN with AE, CWR and ECE asks.
    asked = f"udp dport {PORT} @th,64,16 & 0x01d2 == 0x01c2 counter name asked"
    chain = f"chain forward {{ type filter hook forward priority -20; {asked}; }}"
    lab.middlebox.set_nft_table("newer", "counter asked { }", chain)
    results = [
        host.run("sysctl", "-qw", "net.ipv4.tcp_ecn=3", check=False).returncode
        for host in (lab.client, lab.server)
    ]
    return results == [0, 0]


def capabilities(host):
    """Effective capabilities of the service, as the kernel prints them."""
    status = pathlib.Path(f"/proc/{service.pid(host)}/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))


def without_tunnel(client):
    """The middlebox strips the options, so MPTCP falls back."""
    client.connect("plain")
    client.transfer("echo", "plain", size=1000)
    assert client.info("plain")["fallback"] is True, "the middlebox does not strip MPTCP options"
    client.close("plain")


def through_tunnel(lab, client, family):
    """A connection over both uplinks, data both ways."""
    name = f"ipv{family}"
    client.connect(name, address("s0", family))
    client.transfer("echo", name, size=1000)
    expected = [address(uplink, family) for uplink in UPLINKS]
    traffic.wait_subflows(lab.client, expected, seconds=PATIENCE)
    client.transfer("upload", name, size=SIZE)
    client.transfer("download", name, size=SIZE)
    assert client.info(name)["fallback"] is False, "the connection fell back to TCP"
    client.close(name)
    say(f"IPv{family}: subflows {', '.join(expected)}, {2 * SIZE} bytes")


def through_tunnel_merged(lab, client):
    """Datagrams arrive merged, in both forms, at the server and then at the client's first uplink."""
    for form, features in (("forwarding", merging.FORWARDING), ("lists", merging.LIST)):
        for task, host, interface in (("upload", lab.server, "s0"), ("download", lab.client, "c0")):
            merging.merge(lab, interface, features)
            for family in (4, 6):
                target = address("s0", family)
                merging.transfer(client, task, host, interface, target, family, "tcp", SIZE)
            merging.merge(lab, interface, merging.NONE)
        say(f"arrived merged ({form}), was cut again")


def settled(lab):
    """What the last look at the hosts tells."""
    properties = service.busctl(
        *(
            lab.client,
            "call",
            service.BUS_NAME,
            service.MANAGER,
            "org.freedesktop.DBus.Properties",
            "GetAll",
        ),
        *("s", service.BUS_NAME + ".Manager"),
    )["data"][0]
    status = lab.client.output("underpassctl", "status", "--verbose").splitlines()
    for line in status:
        say(line)
    return {
        "kernel": os.uname().release,
        "status": status[0],
        "attach_point": properties["AttachPoint"]["data"],
        "segmentation_device": properties["SegmentationDevice"]["data"],
        "refused": properties["SegmentationDevicesSkipped"]["data"],
        "features": properties["Features"]["data"],
        "capabilities": capabilities(lab.client),
        "sent": {uplink: service.counters(lab.client, uplink)["sent"] for uplink in UPLINKS},
    }


def main():
    """The whole story."""
    os.environ["UNDERPASS_STAGE"] = "/project/stage"
    with runner.TestLab(manager=False) as lab:
        start(lab)
        _, client = traffic.pair(lab)
        without_tunnel(client)
        say("without the tunnel: falls back to TCP")
        ask_for_tunnels(lab)
        plain = path.forwarded(lab, "tcp")
        accurate_ecn = use_newer_stacks(lab)
        for family in (4, 6):
            through_tunnel(lab, client, family)
        through_tunnel_merged(lab, client)
        found = settled(lab)
        if accurate_ecn:
            found["accurate_ecn_syns"] = lab.middlebox.nft_counters("newer")["asked"][0]
            say(f"{found['accurate_ecn_syns']} SYNs with AccECN in UDP form")
        found["plain"] = path.forwarded(lab, "tcp") - plain
        found["udp"] = {name: packets for name, (packets, _) in lab.counters().items() if "udp" in name}
        for host in (lab.client, lab.server):
            host.run("underpassctl", "deactivate", "--all")
            left = [
                name for name in os.listdir(host.path("/sys/class/net")) if name.startswith("underpass")
            ]
            assert not left, f"{host.name}: {left} stayed"
    print(RESULT + json.dumps(found), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        print(*runner.Run.notes, sep="\n")
        raise
