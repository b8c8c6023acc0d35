# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a connection waits where UDP does not get through, on short and on long paths: not longer than the
path asks for, and never so short that a long path loses its tunnel."""

import time

import path
import runner
import service
import traffic
from lab import PLAIN_PORT, PORT, address

LAST = PORT + 20
SLACK = 0.4  # seconds for a slow machine


def bring_up(lab, milliseconds):
    """The client's first uplink and the server; a path with this round trip. The client's peer."""
    service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}-{LAST}")
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}-{LAST}")
    service.bring_up(lab, "first")
    service.wait_state(lab.server, "s0", service.ACTIVE)
    service.wait_state(lab.client, "c0", service.ACTIVE)
    delay = path.Delay(lab)
    delay.set(milliseconds)
    server = traffic.Peer(lab, lab.server)
    for port in (PORT, PORT + 1, PORT + 2):
        server.listen(port)
    server.listen(PLAIN_PORT, "tcp")
    return traffic.Peer(lab, lab.client), delay


def connect(client, name, port, family=4, protocol="mptcp"):
    """Seconds to connect, and whether it is plain TCP, which the middlebox strips."""
    seconds = client.connect(name, address("s0", family), port, protocol=protocol)["seconds"]
    return seconds, client.info(name)["fallback"]


def block(lab, port):
    """Datagrams to this port are lost."""
    path.rules(lab, f"udp dport {port} drop")


def run(milliseconds, family, unmeasured, measured):
    """unmeasured: how long a connection may take of which only the link has been measured; measured: the
    next one. The connection of which nothing is known takes as long as without any patience."""
    with runner.TestLab() as lab:
        client, _ = bring_up(lab, milliseconds)
        block(lab, PORT)
        unknown, plain = connect(client, "nothing is known", PORT, family)
        assert plain and unknown >= 1.9, unknown
        assert not connect(client, "the tunnel is kept", PORT + 2, family)[1]
        block(lab, PORT + 1)
        first, plain = connect(client, "the link has been measured", PORT + 1, family)
        assert plain
        second, plain = connect(client, "the destination has been measured", PORT + 1, family)
        assert plain
        third, plain = connect(client, "in peace", PORT + 1, family)
        assert plain
        path.rules(lab)
        again, plain = connect(client, "the tunnel is still kept", PORT + 2, family)
        assert not plain
        runner.note(
            f"{milliseconds} ms, IPv{family}: nothing known {unknown:.2f} s, link measured {first:.2f} s, "
            f"destination measured {second:.2f} s, then {third:.2f} s; in the tunnel {again:.2f} s"
        )
        trip = milliseconds / 1000
        assert unmeasured <= first - trip < unmeasured + SLACK, first
        assert measured <= second - trip < measured + SLACK, second
        assert third < trip + SLACK and again < trip + SLACK, (third, again)


def test_5_ms():
    """Two SYNs over UDP and the plain one fit into a second."""
    run(5, 4, 0.88, 0.38)


def test_50_ms():
    """The same, over IPv6."""
    run(50, 6, 0.88, 0.38)


def test_300_ms():
    """Three round trips each."""
    run(300, 4, 1.75, 1.75)


def test_700_ms():
    """A satellite: as patient as the kernel."""
    run(700, 4, 1.95, 1.95)


def test_long_way_behind_a_short_link():
    """The link has only been measured with what is near; a destination far away gets its tunnel all the same,
    and so does a path that becomes slow, as mobile ones do."""
    with runner.TestLab() as lab:
        client, delay = bring_up(lab, 5)
        connect(client, "near", PLAIN_PORT, protocol="tcp")
        delay.set(700)
        seconds, plain = connect(client, "far", PORT)
        assert not plain, seconds
        runner.note(f"far: {seconds:.2f} s, in the tunnel")
        delay.set(5)
        assert not connect(client, "near again", PORT + 1)[1]
        delay.set(1500)
        seconds, plain = connect(client, "slow for a while", PORT + 1)
        assert not plain, seconds
        runner.note(f"slow for a while: {seconds:.2f} s, in the tunnel")


def test_gives_up_as_late():
    """A socket that waits less sends more SYNs before it gives up."""
    with runner.TestLab() as lab:
        client, _ = bring_up(lab, 5)
        connect(client, "measured", PLAIN_PORT, protocol="tcp")
        lab.client.sysctl("net.ipv4.tcp_syn_retries", 1)
        lab.client.sysctl("net.ipv4.tcp_syn_linear_timeouts", 0)
        path.rules(lab, f"meta l4proto {{ tcp, udp }} th dport {PORT} drop")
        begin = time.monotonic()
        try:
            connect(client, "never", PORT)
            raise AssertionError("connected")
        except traffic.PeerError as error:
            seconds = time.monotonic() - begin
            runner.note(f"{error} after {seconds:.2f} s")
        # Four SYNs after 0.45, 0.9, 1.8 and 3.6 s; two of the kernel's are given up after 3 s.
        assert 6 < seconds < 9, seconds
        opened = service.counters(lab.client, "c0")
        assert opened["flows-opened"] == 2 and opened["fallback-silence"] == 1, opened
