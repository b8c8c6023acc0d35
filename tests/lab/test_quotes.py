# SPDX-License-Identifier: GPL-2.0-or-later
"""A router with the tunnel on its link sends ICMP errors about what came in the tunnel: they quote the datagram that
the peer sent. A NAT on the way translates nothing else, a stateful firewall lets nothing else pass."""

import path
import runner
import service
import traffic
from host import wait_until
from lab import PORT, address
from test_router import INSIDE, host_behind

MTU = {4: 1200, 6: 1280}  # what black-hole detection tries first is too large for IPv4
SIZE = 1_000_000
LIMIT = 3.0


def connect(lab, inner, family):
    """A connection of the inner host by way of the router, and of a NAT (IPv4) or firewall (IPv6) behind it."""
    service.set_tunnels(lab, "mptcp-only=no")
    service.set_keys(lab.server, "server", "mptcp-only=no")
    service.bring_up(lab, "first")
    service.wait_state(lab.server, "s0", service.ACTIVE)
    if family == 4:
        path.translate(lab, c0=(20000, 29999))
    else:
        path.rules(lab, "ct state invalid drop")
    server = traffic.Peer(lab, lab.server)
    server.listen(PORT, "tcp")
    peer = traffic.Peer(lab, inner)
    peer.connect("a", address("s0", family), protocol="tcp")
    peer.transfer("echo", "a", size=1000)
    return peer


def expect_quotes(lab):
    """Errors of the router have reached the server and become errors about TCP."""
    router, server = service.counters(lab.client, "c0"), service.counters(lab.server, "s0")
    assert router["icmp-quoted"] > 0, router
    assert server["icmp-converted"] > 0 and server["black-hole"] == 0, server
    return f"{router['icmp-quoted']} errors of the router, {server['icmp-converted']} converted by the server"


def narrow(family):
    """The way from the router to the inner host is narrow."""
    with runner.TestLab() as lab, host_behind(lab) as inner:
        peer = connect(lab, inner, family)
        route = ("ip", f"-{family}", "route", "replace", INSIDE[family][1], "dev", "lan")
        lab.client.run(*route, "mtu", "lock", MTU[family])
        seconds = peer.transfer("download", "a", size=SIZE)["seconds"]
        runner.note(f"IPv{family}: {SIZE // 1_000_000} MB in {seconds:.2f} s; {expect_quotes(lab)}")
        assert seconds < LIMIT, seconds
        assert path.forwarded(lab, "tcp") == 0, lab.counters()


def test_fragmentation_needed():
    """IPv4, with a NAT in the middle."""
    narrow(4)


def test_packet_too_big():
    """IPv6, with a stateful firewall in the middle."""
    narrow(6)


def test_time_exceeded():
    """Packets that live no longer than to the router: the server hears of it, and the connection goes on when they live
    longer again."""
    with runner.TestLab() as lab, host_behind(lab) as inner:
        peer = connect(lab, inner, 4)
        path.rules(lab, "oifname mc0 ip protocol udp ip ttl set 1")
        peer.start("download", "a", size=SIZE)
        wait_until(lambda: service.counters(lab.server, "s0")["icmp-converted"] > 0, "the server hears of it")
        path.rules(lab)
        assert peer.wait("a")["equal"]
        runner.note(expect_quotes(lab))
