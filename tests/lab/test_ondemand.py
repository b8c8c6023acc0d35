# SPDX-License-Identifier: GPL-2.0-or-later
"""tunnel=on-demand: plain MPTCP as long as it gets through, the tunnel where something takes its options
away."""

import concurrent.futures
import time

import path
import runner
import service
import traffic
from host import wait_until
from lab import PORT, address

SIZE = 1_000_000
UPLINKS = ("c0", "c1")
JOIN_ONLY = "tcp option mptcp subtype 1 reset tcp option mptcp"


def bring_up(lab):
    """The client on demand, the server as always; the client's peer."""
    for profile in ("first", "second"):
        service.set_keys(lab.client, profile, "tunnel=on-demand", f"remote-ports={PORT}")
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
    lab.strip_mptcp(False)
    service.bring_up(lab)
    for uplink in UPLINKS:
        service.wait_state(lab.client, uplink, service.ACTIVE)
    return traffic.pair(lab)[1]


def connection(lab, client, name, expected, fallback=False):
    """Opens a connection, moves data both ways and closes it again; asserts which uplinks took part.
    What the middlebox saw of it: (TCP packets, datagrams)."""
    before = [path.forwarded(lab, protocol) for protocol in ("tcp", "udp")]
    seconds = client.connect(name)["seconds"]
    assert seconds < 0.9, f"{name}: connected after {seconds:.2f} s, so a SYN was lost"
    client.transfer("echo", name, size=1000)
    traffic.wait_subflows(lab.client, [address(uplink) for uplink in expected])
    for task in ("upload", "download"):
        client.transfer(task, name, size=SIZE)
    assert client.info(name)["fallback"] is fallback, f"{name}: {client.info(name)}"
    client.close(name)
    seen = [path.forwarded(lab, protocol) - then for protocol, then in zip(("tcp", "udp"), before)]
    runner.note(f"{name}: {seen[0]} TCP packets, {seen[1]} datagrams, {len(expected)} subflows")
    return seen


def stripped(lab):
    """Counters "stripped" of both uplinks."""
    return [service.counters(lab.client, uplink)["stripped"] for uplink in UPLINKS]


def test_nothing_stripped():
    """Stays plain MPTCP; not one datagram."""
    with runner.TestLab() as lab:
        client = bring_up(lab)
        for number in range(3):
            tcp, udp = connection(lab, client, f"connection {number}", UPLINKS)
            assert tcp > 0 and udp == 0
        assert stripped(lab) == [0, 0]
        assert service.counters(lab.client, "c0")["plain-on-demand"] == 3


def test_stripping_begins():
    """The first connection falls back, the next one has MPTCP again, in the tunnel."""
    with runner.TestLab() as lab:
        client = bring_up(lab)
        connection(lab, client, "before", UPLINKS)
        lab.strip_mptcp(True)
        tcp, udp = connection(lab, client, "first", (), fallback=True)
        assert tcp > 0 and udp == 0 and stripped(lab) == [1, 0]
        # Its additional subflow leaves from an uplink of which nothing is known yet: plain, and stripped.
        tcp, udp = connection(lab, client, "second", ("c0",))
        assert udp > 0 and stripped(lab) == [1, 1]
        for number in range(2):
            tcp, udp = connection(lab, client, f"later {number}", UPLINKS)
            assert udp > 0 and tcp == 0
        assert stripped(lab) == [1, 1]


def test_only_joins_stripped():
    """MP_CAPABLE gets through and MP_JOIN does not: only the uplink of the additional subflow gets the
    tunnel."""
    with runner.TestLab() as lab:
        client = bring_up(lab)
        path.rules(lab, JOIN_ONLY)
        tcp, udp = connection(lab, client, "first", ("c0",))
        assert tcp > 0 and udp == 0 and stripped(lab) == [0, 1]
        tcp, udp = connection(lab, client, "second", UPLINKS)
        assert tcp > 0 and udp > 0 and stripped(lab) == [0, 1]
        assert lab.counters()["tcp-mc1"][0] < 20 and lab.counters()["udp-mc0"][0] == 0, lab.counters()


def joined(lab, client, name):
    """Opens a connection, and closes it when its additional subflow is there; the seconds that took."""
    begin = time.monotonic()
    client.connect(name)
    client.transfer("echo", name, size=1000)
    traffic.wait_subflows(lab.client, [address(uplink) for uplink in UPLINKS], seconds=6)
    client.close(name)
    return time.monotonic() - begin


def test_joins_dropped():
    """A firewall drops SYNs with MP_JOIN: after fallback-after of them the next one goes over UDP, so the subflow gets
    there; the third connection does not wait for that any more."""
    with runner.TestLab() as lab:
        client = bring_up(lab)
        path.rules(lab, "tcp option mptcp subtype 1 drop")
        seconds = [joined(lab, client, name) for name in ("first", "second")]
        assert min(seconds) > 2 and stripped(lab) == [0, 2], (seconds, stripped(lab))
        connection(lab, client, "third", UPLINKS)
        assert stripped(lab) == [0, 2] and service.counters(lab.client, "c0")["flows-opened"] == 0
        runner.note(f"seconds until the subflow was there: {seconds[0]:.1f}, {seconds[1]:.1f}, then at once")


def test_all_dropped_for_a_while():
    """A path that is away for the first three SYNs, UDP and all: the connection comes up as plain MPTCP, and nothing is
    held against the destination."""
    with runner.TestLab() as lab:
        client = bring_up(lab)
        # Else the kernel takes the path for one that drops MPTCP, and uses plain TCP for an hour (from 6.13 on).
        lab.client.run("sysctl", "--ignore", "--write", "net.mptcp.blackhole_timeout=0")
        path.rules(lab, f"tcp dport {PORT} drop", f"udp dport {PORT} drop")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            late = pool.submit(client.connect, "late")
            wait_until(lambda: service.counters(lab.client, "c0")["flows-opened"] == 1, "a SYN goes over UDP", 6)
            path.rules(lab)
            late.result()
        client.transfer("echo", "late", size=1000)
        assert stripped(lab) == [0, 0], stripped(lab)
        tcp, udp = connection(lab, client, "later", UPLINKS)
        assert tcp > 0 and udp == 0


def ordinary_server(lab, port, family):
    """The server as it is nearly everywhere: no MPTCP at this port, no Underpass, a firewall that drops UDP; the
    client's peer."""
    service.set_keys(lab.client, "first", "tunnel=on-demand", f"remote-ports={PORT}")
    lab.strip_mptcp(False)
    service.bring_up(lab, "first")
    service.wait_state(lab.client, "c0", service.ACTIVE)
    path.rules(lab, "meta l4proto udp drop")
    traffic.Peer(lab, lab.server).listen(port, "tcp")
    return traffic.Peer(lab, lab.client)


def states(lab):
    """What is known of destinations."""
    return [row[3] for row in service.manager_call(lab.client, "ListDestinations")["data"][0]]


def test_ordinary_servers():
    """A server without MPTCP is none whose path strips it: no connection waits, over IPv4 and IPv6."""
    with runner.TestLab() as lab:
        client = ordinary_server(lab, PORT, 4)
        for family in (4, 6):
            seconds = []
            for number in range(4):
                name = f"IPv{family} {number}"
                seconds.append(client.connect(name, target=address("s0", family))["seconds"])
                client.transfer("echo", name, size=100)
            runner.note(f"IPv{family}: connected after {', '.join(f'{each:.3f}' for each in seconds)} s")
            assert max(seconds) < 0.5, seconds
        assert states(lab) == ["no-mptcp"] * 2, states(lab)
        found = service.counters(lab.client, "c0")
        assert (found["stripped"], found["no-mptcp"], found["flows-opened"]) == (0, 2, 0), found
        assert path.forwarded(lab, "udp") == 0


def test_known_by_another_link():
    """The path of one link strips; that the server has MPTCP shows on the other one. From then on the first
    one uses the tunnel. Until then UDP is dropped, or a probe would show the same."""
    with runner.TestLab() as lab:
        client = bring_up(lab)
        strips = 'iifname "mc0" tcp option mptcp exists reset tcp option mptcp'
        path.rules(lab, strips, "meta l4proto udp drop")
        lab.client.run("nmcli", "connection", "down", "second")
        client.connect("unknown")
        client.transfer("echo", "unknown", size=1000)
        assert client.info("unknown")["fallback"] and states(lab) == ["no-mptcp"], states(lab)
        path.rules(lab, strips)
        lab.client.up("second")
        service.wait_state(lab.client, "c1", service.ACTIVE)
        client.connect("by the other link", source=address("c1"), device="c1")
        client.transfer("echo", "by the other link", size=1000)
        assert not client.info("by the other link")["fallback"]
        client.connect("stripped")
        client.transfer("echo", "stripped", size=1000)
        wait_until(lambda: "stripped" in states(lab), "the path is known to strip")
        before = path.forwarded(lab, "udp")
        client.connect("tunnelled")
        client.transfer("echo", "tunnelled", size=1000)
        assert not client.info("tunnelled")["fallback"] and path.forwarded(lab, "udp") > before
