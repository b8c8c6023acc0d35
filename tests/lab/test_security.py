# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody else says or sends is believed no more than plain TCP would believe it: each attack, made by
who could make it, beside what is meant honestly and still has to work."""

import socket

import craft
import path
import runner
import service
import terse_router
import traffic
from lab import PORT, address
from peer import IPPROTO_MPTCP

FORGED_MTU = 600
FORGED = 50
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
STRANGER = "2001:db8:66::77"
POISON = """
import socket, sys
source, target, port, hops, protocol = sys.argv[1:]
IPV6_FREEBIND = 78
with socket.socket(socket.AF_INET6, socket.SOCK_STREAM, int(protocol)) as poison:
    poison.settimeout(2.5)
    poison.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    if int(hops):
        poison.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, int(hops))
    poison.bind((source, 0))
    try:
        poison.connect((target, int(port)))
    except OSError as error:
        print(error)
"""
ROUTER = bytes([198, 18, 0, 66])


def one_uplink(lab, *pairs, tunnel="yes"):
    """Brings up the client's first uplink and the server, tunnelled."""
    service.set_keys(lab.client, "first", f"tunnel={tunnel}", f"remote-ports={PORT}", *pairs)
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
    service.bring_up(lab, "first")
    service.wait_state(lab.server, "s0", service.ACTIVE)
    service.wait_state(lab.client, "c0", service.ACTIVE)


def counted(lab, name):
    """One counter of the client's first uplink."""
    return service.counters(lab.client, "c0")[name]


def test_forged_path_mtu():
    """Who knows addresses and ports makes errors that quote 8 bytes: too big, the path MTU is 600. A terse
    router says no more, but it says so while data is in flight (test_pmtu.py, short quotes)."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        _, client = traffic.pair(lab)
        port = client.connect("idle")["port"]
        client.transfer("download", "idle", size=1_000_000)
        quoted = craft.datagram((address("c0"), port), (address("s0"), PORT), bytes(1400))
        path.inject(lab, "c0", [terse_router.error(quoted, FORGED_MTU, ROUTER)] * FORGED, pause=0.01)
        route = lab.client.output("ip", "route", "get", address("s0"))
        assert "mtu" not in route, route
        assert counted(lab, "icmp-converted") == 0
        assert counted(lab, "drop-unproven") == FORGED
        client.transfer("upload", "idle", size=1_000_000)
        runner.note(f"{FORGED} forged errors changed nothing")


def connect_as_nobody(lab, source, hops=0, protocol=socket.IPPROTO_TCP):
    """An unprivileged user of the client connects to the server from this address, with this hop limit (0: the usual
    one), and gives up after 2.5 s; what there is to say of it, "" for a success."""
    arguments = (source, address("s0", 6), PORT, hops, protocol)
    return lab.client.output(*NOBODY, "/usr/bin/python3", "-c", POISON, *arguments)


def silence_time_exceeded(lab):
    """The middlebox does not tell that a hop limit was too small."""
    lab.middlebox.set_nft_table(
        "silent",
        "chain out { type filter hook output priority 0;",
        "icmpv6 type time-exceeded drop",
        "}",
    )


def test_poisoned_destination():
    """Connections of an unprivileged user that fail by their own fault, be it a foreign address or a hop
    limit of 1, block no destination for others."""
    with runner.TestLab() as lab:
        one_uplink(lab, "fallback-after=1", "mptcp-only=no")
        _, client = traffic.pair(lab)
        own = address("c0", 6)
        silence_time_exceeded(lab)
        for source, hops in ((STRANGER, 64), (STRANGER, 64), (own, 1), (own, 1)):
            assert connect_as_nobody(lab, source, hops) == "timed out\n"
            assert counted(lab, "plain-blocked") == 0, service.counters(lab.client, "c0")
        assert counted(lab, "fallback-silence") == 4, service.counters(lab.client, "c0")
        client.connect("tunnelled", target=address("s0", 6))
        client.transfer("upload", "tunnelled", size=100_000)
        assert counted(lab, "flows-established") == 1
        runner.note("4 connections failed on purpose, and the next one is tunnelled")


def test_swallowed_on_purpose():
    """On demand: connections of an unprivileged user whose SYNs get no answer because of a foreign address do not send
    others into the tunnel."""
    with runner.TestLab() as lab:
        one_uplink(lab, "fallback-after=1", tunnel="on-demand")
        lab.strip_mptcp(False)
        _, client = traffic.pair(lab)
        for number in (1, 2, 3):
            assert connect_as_nobody(lab, STRANGER, protocol=IPPROTO_MPTCP) == "timed out\n"
            assert counted(lab, "flows-opened") == number, service.counters(lab.client, "c0")
        assert counted(lab, "stripped") == 0, service.counters(lab.client, "c0")
        client.connect("plain", target=address("s0", 6))
        client.transfer("upload", "plain", size=100_000)
        assert not client.info("plain")["fallback"]
        assert counted(lab, "flows-established") == 0 and counted(lab, "plain-on-demand") == 4
        runner.note("3 connections without answer on purpose, and the next one is plain MPTCP")


def test_swallowed_in_earnest():
    """Its honest twin: a middlebox drops SYNs with MPTCP options. Connections of an unprivileged user show it, which
    get there in the tunnel, and the next one of anybody is tunnelled at once."""
    with runner.TestLab() as lab:
        one_uplink(lab, "fallback-after=1", tunnel="on-demand")
        _, client = traffic.pair(lab)
        path.rules(lab, "tcp option mptcp exists drop")
        for number in (1, 2):
            assert connect_as_nobody(lab, address("c0", 6), protocol=IPPROTO_MPTCP) == ""
            assert counted(lab, "stripped") == counted(lab, "flows-established") == number
        seconds = client.connect("tunnelled", target=address("s0", 6))["seconds"]
        client.transfer("upload", "tunnelled", size=100_000)
        assert seconds < 0.5 and not client.info("tunnelled")["fallback"], seconds
        assert counted(lab, "stripped") == 2 and counted(lab, "flows-established") == 3
