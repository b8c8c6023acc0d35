# SPDX-License-Identifier: GPL-2.0-or-later
"""bulk=auto, which nobody has to set: a connection uses the bulk form where its link is fast, and costs no byte more where
that is slow. What was sent counts, not how long it took."""

import contextlib
import pathlib
import struct

import path
import runner
import service
import test_reference
import traffic
import wire
from host import wait_until
from lab import PORT, ROOT, address
from test_bulk import bring_up, bulk, connect
from test_router import host_behind

SIZE = 8_000_000
RATE = 500_000_000  # bytes a second at which data without end is offered: more than the lab can move
OWN, ON_THE_WAY = ("c0", "s0"), ("mc0", "ms0")  # where a link can be slow: at the ends, or in the middle
SLOW = ("100mbit", "280mbit")
IPV6_MSS, BULK_IPV6_ROOM = 1440, 48
RIVAL = ROOT / "build/tests/benchmark/bench-rival.bpf.o"


def move(client, name, family, *tasks):
    """A connection of its own that moves data."""
    client.connect(name, address("s0", family), protocol="tcp")
    client.transfer("echo", name, size=1000)
    for task in tasks:
        client.transfer(task, name, size=SIZE)
    client.close(name)


def expect_no_more(lab, before):
    """Neither end has sent anything in the bulk form since then, not even a probe."""
    now = bulk(lab)
    for name in ("bulk-sent", "bulk-probes", "bulk-received"):
        assert now[name] == before[name], (before, now)
    assert all(after > then + SIZE / 1500 for after, then in zip(now["sent"], before["sent"])), (before, now)


def become_fast(lab, client, name="fast", family=4):
    """A connection that gets as much as it can take, first up, then down, until both ends have sent it in the bulk form."""
    client.connect(name, address("s0", family), protocol="tcp")
    client.transfer("echo", name, size=1000)
    for end, task in enumerate(("uploads", "downloads")):
        before = bulk(lab)["bulk-received"][1 - end]
        client.start(task, name, rate=RATE)
        wait_until(lambda: bulk(lab)["bulk-received"][1 - end] > before + 100, f"{task} in the bulk form", 30)
        client.finish(name)
        assert client.wait(name)["equal"]
    client.close(name)


@contextlib.contextmanager
def judged(lab, *interfaces):
    """Every datagram that comes by these interfaces of the middlebox in the block is in the classic form, and right."""
    captures = [wire.Capture(lab.middlebox, interface) for interface in interfaces]
    with contextlib.ExitStack() as stack:
        for capture in captures:
            stack.enter_context(capture)
        yield
    for capture in captures:
        report = capture.report(PORT)
        report.assert_tunnelled(capture.interface)
        assert capture.dropped() == 0 and report.bulk == 0 and report.udp > SIZE / 1500, report


def slow(lab, client):
    """Up and down, over links that are slow in one place or the other, IPv4 and IPv6."""
    before = bulk(lab)
    for where in (OWN, ON_THE_WAY):
        for rate in SLOW:
            path.shape(lab, rate, *where)
            for family in (4, 6):
                move(client, f"{where}, {rate}, {family}", family, "upload", "download")
                expect_no_more(lab, before)
        path.shape(lab, None, *where)


def test_slow_links():
    """On a slow link nothing is in the bulk form. Once the links are fast, connections are."""
    with runner.TestLab() as lab:
        bring_up(lab, "", "")
        _, client = traffic.pair(lab)
        slow(lab, client)
        become_fast(lab, client)
        become_fast(lab, client, "again")


def test_slow_links_on_the_wire():
    """The same where super-packets are cut in front of the wire: each datagram is looked at."""
    with runner.TestLab() as lab:
        bring_up(lab, "", "")
        lab.offload(False)
        _, client = traffic.pair(lab)
        with judged(lab, "mc0"):
            slow(lab, client)
        become_fast(lab, client)


def test_forwarded():
    """A host behind the client, which is a router then."""
    with runner.TestLab() as lab, host_behind(lab) as inner:
        bring_up(lab, "", "")
        traffic.Peer(lab, lab.server).listen(PORT)
        peer = traffic.Peer(lab, inner)
        slow(lab, peer)
        become_fast(lab, peer)


def still_classic(lab, client, name):
    """While data moves on, nothing more of it is in the bulk form."""

    def looked():
        before = bulk(lab)["bulk-sent"]
        client.wait_moved(name, SIZE // 4)
        return bulk(lab)["bulk-sent"] == before

    return looked


def test_becomes_slow():
    """A connection goes back to the classic form when its link becomes slow, and takes the bulk form again with it."""
    for task, near, end in (("uploads", "c0", 0), ("downloads", "s0", 1)):
        with runner.TestLab() as lab:
            bring_up(lab, "", "")
            client = connect(lab)
            client.start(task, "a", rate=RATE)
            for _ in range(2):
                before = bulk(lab)["bulk-sent"][end]
                wait_until(lambda: bulk(lab)["bulk-sent"][end] > before + 1000, "bulk is under way", 30)
                path.shape(lab, "100mbit", near)
                wait_until(still_classic(lab, client, "a"), "all is classic", 30)
                path.shape(lab, None, near)
            client.finish("a")
            assert client.wait("a", timeout=60)["equal"]
            assert bulk(lab)["bulk-given-up"] == (0, 0), bulk(lab)


def test_mptcp_over_two_slow_links():
    """Two uplinks of 100 Mbit/s give what they have: no subflow is in the bulk form."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        lab.offload(False)
        path.shape(lab, "100mbit", "c0", "c1", "mc0", "mc1")
        _, client = traffic.pair(lab)
        with judged(lab, "mc0", "mc1"):
            traffic.connect_both(lab, client, "a")
            for task in ("upload", "download"):
                client.transfer(task, "a", size=3 * SIZE)
            client.close("a")
        for host, interface in ((lab.client, "c0"), (lab.client, "c1"), (lab.server, "s0")):
            counted = service.counters(host, interface)
            assert counted["bulk-sent"] == counted["bulk-probes"] == counted["bulk-received"] == 0, counted
            assert counted["sent"] > SIZE / 1500, counted


def asked_segments(capture):
    """The MSS in each SYN and SYN-ACK over IPv6 that was captured: {towards the server: sizes in their order}."""
    found = {True: [], False: []}
    for frame, _ in wire.read_pcap(capture.path):
        datagram = frame[54:]
        if frame[12:14] != b"\x86\xdd" or frame[20] != wire.UDP or not datagram[9] & wire.TCP_FLAG_SYN:
            continue
        assert datagram[20:22] == b"\2\4", f"the MSS is not the first option: {datagram[20:].hex()}"
        found[struct.unpack_from("!H", datagram, 2)[0] == PORT].append(struct.unpack_from("!H", datagram, 22)[0])
    return found


def test_ipv6_segments():
    """Segments over IPv6 get smaller for a host to which a connection was fast, and for it alone: on slow links each
    connection has whole ones, however many there were."""
    with runner.TestLab() as lab:
        bring_up(lab, "", "")
        _, client = traffic.pair(lab)
        with wire.Capture(lab.middlebox, "mc0") as capture:
            for rate in SLOW:
                path.shape(lab, rate, *OWN)
                for number in range(3):
                    move(client, f"{rate}, {number}", 6, "upload", "download")
        assert asked_segments(capture) == {True: [IPV6_MSS] * 6, False: [IPV6_MSS] * 6}, asked_segments(capture)
        path.shape(lab, None, *OWN)
        become_fast_over_ipv6(lab, client)
        with wire.Capture(lab.middlebox, "mc0") as capture:
            move(client, "later", 6)
        assert asked_segments(capture)[True] == [IPV6_MSS - BULK_IPV6_ROOM], asked_segments(capture)
        become_fast(lab, client, "in bulk", 6)


def become_fast_over_ipv6(lab, client):
    """The first fast connection has no room for the headers of the bulk form; later ones to that host get it."""
    client.connect("first", address("s0", 6), protocol="tcp")
    client.start("uploads", "first", rate=RATE)
    wait_until(lambda: bulk(lab)["bulk-received"][1] > 0, "a probe arrives", 30)
    client.wait_moved("first", SIZE)
    client.finish("first")
    assert client.wait("first")["equal"]
    counted = bulk(lab)
    assert counted["bulk-sent"] == counted["bulk-probes"], counted
    client.close("first")


def test_peer_without_bulk():
    """A peer that does not want it is not asked again and again: there is not even a probe, however fast it is. When it does
    want it, amid a connection, it gets it, and no byte is lost when it does not want it any more."""
    for keys in (("", "bulk=no"), ("bulk=no", "")):
        with runner.TestLab() as lab:
            bring_up(lab, *keys)
            client = connect(lab)
            before = bulk(lab)
            for task in ("upload", "download"):
                client.transfer(task, "a", size=20 * SIZE)
            expect_no_more(lab, before)
            host, profile = (lab.server, "server") if keys[1] == "bulk=no" else (lab.client, "first")
            for _ in range(2):
                change_amid(lab, client, host, profile)


def change_amid(lab, client, host, profile):
    """The key of one end becomes "auto" and "no" again while data is on its way."""
    client.start("uploads", "a", rate=RATE)
    service.set_keys(host, profile, "bulk=auto", options=("--reapply",))
    before = bulk(lab)["bulk-received"][1]
    wait_until(lambda: bulk(lab)["bulk-received"][1] > before + 1000, "bulk is under way", 30)
    service.set_keys(host, profile, "bulk=no", options=("--reapply",))
    wait_until(still_classic(lab, client, "a"), "all is classic", 30)
    client.finish("a")
    assert client.wait("a", timeout=60)["equal"]
    assert bulk(lab)["bulk-given-up"] == (0, 0), bulk(lab)


def test_peer_that_knows_no_bulk():
    """A peer that converts each packet by itself, as tcp-in-udp does, and knows nothing of the bits: it carries them, and
    gets the classic form, however much of it, by default and where bulk=yes."""
    for keys in ((), ("bulk=yes",)):
        with runner.TestLab() as lab:
            service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}", "mptcp-only=no", *keys)
            lab.server.up("server")
            lab.client.up("first")
            service.wait_state(lab.client, "c0", service.ACTIVE)
            test_reference.start_reference(lab.server, pathlib.Path(RIVAL).read_bytes(), "s0", sections=("ingress", "egress"))
            _, client = traffic.pair(lab)
            with wire.Capture(lab.middlebox, "mc0") as capture:
                move(client, "a", 4, "upload", "download")
            report = capture.report(PORT)
            assert (report.bulk, report.tcp) == (0, 0) and report.udp > 0, report
            counted = service.counters(lab.client, "c0")
            assert counted["bulk-sent"] == counted["bulk-probes"] == 0 and counted["sent"] > SIZE / 1500, counted
            assert path.forwarded(lab, "tcp") == 0, lab.counters()
