# SPDX-License-Identifier: GPL-2.0-or-later
"""NetworkManager's own CLAT (1.58 and newer) on the link that has the tunnel: IPv4 of a host whose network has IPv6
alone. The middlebox is a router that advertises a NAT64; the server itself has the address that the NAT64 would give
it."""

import json
import subprocess
import time

import path
import runner
import service
import systems
import traffic
from host import HERE, wait_until
from lab import PLAIN_PORT, PORT, address

NAT64 = "64:ff9b::"
SERVER6 = "64:ff9b::10.77.9.2"
SIZE = 3_000_000
CLAT = "nm_clat"


class Router:
    """The middlebox advertises itself to the client's first uplink."""

    def __init__(self, lab):
        words = ["/usr/bin/python3", str(HERE / "advertise.py"), "mc0", "2001:db8:77:1::"]
        self._process = lab.middlebox.spawn(words, stdin=subprocess.PIPE, encoding="utf-8")
        lab.at_close(self._stop)

    def _stop(self):
        self._process.stdin.close()
        self._process.wait()

    def advertise(self, prefix):
        """From now on this prefix of a NAT64; "-": none."""
        self._process.stdin.write(prefix + "\n")
        self._process.stdin.flush()


def programs(machine, way):
    """Names of the tcx programs of c0, in the order in which they run."""
    found = json.loads(machine.output("bpftool", "--json", "net", "show", "dev", "c0"))
    return [each["name"] for each in found[0]["tc"] if each["kind"] == f"tcx/{way}"]


def has_clat(machine):
    """Whether NetworkManager's programs are there, behind ours both ways."""
    kinds = {way: ["clat" if CLAT in name else "ours" for name in programs(machine, way)] for way in ("ingress", "egress")}
    return all(each == ["ours", "clat"] for each in kinds.values())


def transfers(lab, client, port, protocol="mptcp"):
    """Data both ways by IPv4; packets of PORT that crossed as (UDP, TCP)."""
    lab.strip_mptcp(True)
    took = client.connect("a", address("s0"), port=port, protocol=protocol, timeout=8)["seconds"]
    for task in ("upload", "download"):
        client.transfer(task, "a", size=SIZE)
    assert client.info("a")["fallback"] is (port != PORT or protocol == "tcp"), client.info("a")
    client.close("a")
    runner.note(f"port {port}: connected in {took * 1000:.0f} ms")
    return path.forwarded(lab, "udp"), path.forwarded(lab, "tcp")


def tunnelled(lab, client):
    """What a program sends as TCP over IPv4 crosses as UDP over IPv6, nothing else."""
    udp, tcp = transfers(lab, client, PORT)
    assert tcp == 0 and udp * 1400 > 2 * SIZE, (udp, tcp)
    assert lab.middlebox.nft_counters("families")["ipv4"][0] == 0


def prepare(lab):
    """The client's uplink without IPv4, and the server behind a NAT64."""
    machine = lab.client
    lab.server.run("ip", "-6", "address", "add", SERVER6 + "/128", "dev", "s0", "nodad")
    lab.middlebox.run("ip", "-6", "route", "replace", NAT64 + "/96", "dev", "ms0")
    chain = ["chain forward { type filter hook forward priority -30; policy accept;", "ip version 4 counter name ipv4", "}"]
    lab.middlebox.set_nft_table("families", "counter ipv4 { }", *chain)
    machine.down("second")
    pairs = ("ipv4.method", "auto", "ipv4.addresses", "", "ipv4.gateway", "", "ipv4.may-fail", "yes", "ipv4.clat", "force")
    pairs += ("ipv6.method", "auto", "ipv6.addresses", "", "ipv6.gateway", "")
    machine.run("nmcli", "connection", "modify", "first", *pairs)
    service.set_keys(machine, "first", "tunnel=yes", f"remote-ports={PORT}", "fallback=no")


def test_sid_networkmanager():
    """CLAT comes when the tunnel is there, goes, and is there when the tunnel comes."""
    with systems.Systems("sid") as lab:
        machine = lab.client
        router = Router(lab)
        prepare(lab)
        machine.up("first")
        service.wait_state(machine, "c0", service.ACTIVE)
        assert not any(CLAT in name for name in programs(machine, "egress"))
        begin = time.monotonic()
        router.advertise(NAT64)
        wait_until(lambda: has_clat(machine), "NetworkManager attaches its CLAT", 20)
        runner.note(f"CLAT is there {time.monotonic() - begin:.1f} s after the advertisement")
        server, client = traffic.pair(lab)
        server.listen(PLAIN_PORT)
        transfers(lab, client, PLAIN_PORT)
        tunnelled(lab, client)
        machine.run("underpassctl", "deactivate", "c0")
        assert not any("underpass" in name for name in programs(machine, "egress"))
        machine.run("underpassctl", "activate", "c0")
        service.wait_state(machine, "c0", service.ACTIVE)
        assert has_clat(machine), (programs(machine, "ingress"), programs(machine, "egress"))
        tunnelled(lab, client)
