# SPDX-License-Identifier: GPL-2.0-or-later
"""The bulk form: two hosts that know it agree on it for each connection, fast ones use it, and whatever the way
does with it, no data is lost."""

import path
import runner
import service
import traffic
import wire
from host import wait_until
from lab import PORT, address
from test_router import host_behind

SIZE = 20_000_000
COUNTERS = ("bulk-sent", "bulk-received", "bulk-unsummed", "bulk-probes", "bulk-given-up", "sent")
# The first four bits behind the UDP header are an IP version in the bulk form, a data offset in the classic one.
SWALLOWED = f"ip protocol udp th sport {PORT} @th,64,4 4 drop", f"ip protocol udp th dport {PORT} @th,64,4 4 drop"


def bring_up(lab, client="bulk=yes", server="bulk=yes", *more):
    """Client with its first uplink and server, whose profiles have these keys, "": none; TCP without MPTCP goes in the
    tunnel, too."""
    service.set_tunnels(lab, *filter(None, ("mptcp-only=no", client, *more)))
    service.set_keys(lab.server, "server", *filter(None, ("mptcp-only=no", server, *more)))
    service.bring_up(lab, "first")
    service.wait_state(lab.server, "s0", service.ACTIVE)


def connect(lab, family=4, protocol="tcp"):
    """A server that listens, and a client that has a connection to it."""
    _, client = traffic.pair(lab)
    client.connect("a", address("s0", family), protocol=protocol)
    client.transfer("echo", "a", size=1000)
    return client


def bulk(lab):
    """The counters of the bulk form at both ends: {counter: (client, server)}."""
    ends = (service.counters(lab.client, "c0"), service.counters(lab.server, "s0"))
    return {name: tuple(end[name] for end in ends) for name in COUNTERS}


def transfer(lab, client, what, size=SIZE):
    """Data up and down; the seconds of each. Says what was sent again at both ends."""
    before = [traffic.retransmissions(host) for host in (lab.client, lab.server)]
    seconds = [client.transfer(task, "a", size=size)["seconds"] for task in ("upload", "download")]
    again = [traffic.retransmissions(host) - base for host, base in zip((lab.client, lab.server), before)]
    rates = " and ".join(f"{8 * size / each / 1e9:.2f}" for each in seconds)
    runner.note(f"{what}: {rates} Gbit/s up and down, {again} sent again")
    return seconds


def expect_bulk(lab, share=0.7):
    """Most of what both ends have sent was in the bulk form and arrived, but for what the rings of the lab's links could
    not hold; the programs dropped nothing, and nothing left as TCP."""
    counted = bulk(lab)
    for sent, of, received in zip(counted["bulk-sent"], counted["sent"], counted["bulk-received"][::-1]):
        assert sent > share * SIZE / 1500 and sent <= of and 0.8 * sent < received <= sent, counted
    assert counted["bulk-given-up"] == (0, 0), counted
    for host, interface in ((lab.client, "c0"), (lab.server, "s0")):
        dropped = {name: value for name, value in service.counters(host, interface).items() if value and "drop-" in name}
        assert not dropped, f"{host.name}: {dropped}"
    assert path.forwarded(lab, "tcp") == 0, lab.counters()
    return counted


def expect_more_bulk(lab, before, share=0.7):
    """Most of what both ends have sent since then was in the bulk form."""
    now = bulk(lab)
    for sent, then in zip(now["bulk-sent"], before["bulk-sent"]):
        assert sent - then > share * SIZE / 1500, (before, now)


def expect_none(lab):
    """All was classic, but for probes that did not arrive."""
    counted = bulk(lab)
    assert counted["bulk-sent"] == counted["bulk-probes"] and counted["bulk-received"] == (0, 0), counted
    return counted


def both_ways(family, protocol="tcp", keys=(), cut=False):
    """Up and down, with super-packets on the wire, or cut in front of it, where every datagram is checked."""
    with runner.TestLab() as lab:
        bring_up(lab, "bulk=yes", "bulk=yes", *keys)
        if cut:
            lab.offload(False)
        client = connect(lab, family, protocol)
        if not cut:
            transfer(lab, client, f"IPv{family}, {protocol}")
            expect_bulk(lab)
            return
        with wire.Capture(lab.middlebox, "mc0") as capture:
            transfer(lab, client, f"IPv{family}, {protocol}, {' '.join(keys)}")
        report = capture.assert_tunnelled(PORT, family)
        expect_bulk(lab)
        assert report.bulk > 2 * 0.8 * SIZE / 1500, report
        runner.note(f"{report.bulk} of {report.udp} datagrams in bulk form, {report.unsummed} without UDP checksum")


def test_ipv4():
    """TCP over IPv4."""
    both_ways(4)


def test_ipv6():
    """TCP over IPv6."""
    both_ways(6)


def test_mptcp():
    """MPTCP."""
    both_ways(4, "mptcp")


def test_cut_ipv4():
    """Each datagram on the wire is right: lengths, both IP headers, both checksums."""
    both_ways(4, cut=True)


def test_cut_ipv6():
    """The same over IPv6, where each has a UDP checksum."""
    both_ways(6, cut=True)


def test_cut_mptcp():
    """The same with MPTCP."""
    both_ways(4, "mptcp", cut=True)


def test_one_by_one():
    """Datagrams that the receiver does not merge."""
    both_ways(4, keys=("receive=tc",), cut=True)


def test_gro():
    """All of them merged."""
    both_ways(6, keys=("receive=gro",), cut=True)


def test_xdp():
    """XDP in front of the driver."""
    both_ways(4, keys=("receive=xdp",), cut=True)


def test_xdp_ipv6():
    """The same over IPv6."""
    both_ways(6, keys=("receive=xdp",), cut=True)


def test_nat():
    """A NAT changes addresses and ports of the outer headers; the inner ones count for nothing."""
    for keys in ((), ("receive=xdp",)):
        with runner.TestLab() as lab:
            bring_up(lab, "bulk=yes", "bulk=yes", *keys)
            lab.offload(False)
            path.translate(lab, c0=(20000, 29999))
            transfer(lab, connect(lab), f"NAT, {keys}")
            expect_bulk(lab)


def test_one_side_does_not_want_it():
    """The other one offers it in vain, and there is not even a probe."""
    for keys in (("bulk=no", "bulk=yes"), ("bulk=yes", "bulk=no")):
        with runner.TestLab() as lab:
            bring_up(lab, *keys)
            transfer(lab, connect(lab), " ".join(keys))
            assert expect_none(lab)["bulk-probes"] == (0, 0)


def test_veth():
    """A segmentation device that keeps packets for a moment: bulk would overtake them, so that end sends none. It takes
    what the other one sends."""
    with runner.TestLab() as lab:
        service.set_environment(lab.client, UNDERPASS_SEGMENTATION="veth")
        bring_up(lab)
        transfer(lab, connect(lab), "veth at the client")
        counted = bulk(lab)
        assert counted["bulk-sent"][0] == counted["bulk-probes"][0] == counted["bulk-received"][1] == 0, counted
        assert counted["bulk-received"][0] > 0.7 * SIZE / 1500, counted
        assert path.forwarded(lab, "tcp") == 0, lab.counters()


def test_swallowed_from_the_start():
    """A way that eats the bulk form sees probes and no data, so the transfer does not notice."""
    with runner.TestLab() as lab:
        bring_up(lab)
        path.rules(lab, *SWALLOWED)
        client = connect(lab)
        client.start("uploads", "a", rate=50_000_000)
        wait_until(lambda: bulk(lab)["bulk-given-up"][0] == 1, "the client has given up", 5)
        client.finish("a")
        assert client.wait("a")["equal"]
        assert expect_none(lab)["bulk-probes"][0] == 3
        client.connect("b", protocol="tcp")
        client.transfer("upload", "b", size=SIZE)
        assert expect_none(lab)["bulk-probes"][0] == 3, "the next connection tried again"


def test_swallowed_in_the_middle():
    """The way begins to eat it while data is under way: back to the classic form within seconds, for later
    connections, too."""
    with runner.TestLab() as lab:
        bring_up(lab)
        client = connect(lab)
        client.start("uploads", "a", rate=50_000_000)
        wait_until(lambda: bulk(lab)["bulk-received"][1] > 1000, "bulk is under way")
        path.rules(lab, *SWALLOWED)
        wait_until(lambda: bulk(lab)["bulk-given-up"][0] == 1, "the client has given up", 5)
        before = client.progress("a")["bytes"]
        wait_until(lambda: client.progress("a")["bytes"] > before + 20_000_000, "the transfer goes on", 5)
        client.finish("a")
        assert client.wait("a")["equal"]
        sent = bulk(lab)["bulk-sent"][0]
        client.connect("b", protocol="tcp")
        client.transfer("upload", "b", size=SIZE)
        assert bulk(lab)["bulk-sent"][0] == sent, bulk(lab)


def test_narrow_path():
    """Path MTU discovery: the errors quote the bulk form."""
    for family in (4, 6):
        with runner.TestLab() as lab:
            bring_up(lab)
            client = connect(lab, family)
            transfer(lab, client, f"IPv{family}")
            expect_bulk(lab)
            path.narrow(lab, 1400)
            before = bulk(lab)
            seconds = transfer(lab, client, f"IPv{family}, path MTU 1400")
            assert max(seconds) < 3, seconds
            expect_more_bulk(lab, before)
            counted = bulk(lab)
            assert counted["bulk-given-up"] == (0, 0), counted
            assert service.counters(lab.client, "c0")["icmp-converted"] > 0


def test_forwarded():
    """A host behind the client, which knows nothing of the tunnel: with super-packets on the wire, and without."""
    for cut in (False, True):
        with runner.TestLab() as lab, host_behind(lab) as inner:
            bring_up(lab)
            if cut:
                lab.offload(False)
            traffic.Peer(lab, lab.server).listen(PORT)
            peer = traffic.Peer(lab, inner)
            for family in (4, 6):
                before = bulk(lab)
                peer.connect("a", address("s0", family), protocol="tcp")
                peer.transfer("echo", "a", size=1000)
                transfer(lab, peer, f"forwarded, IPv{family}, {'cut' if cut else 'whole'}")
                expect_more_bulk(lab, before)
                peer.close("a")
            expect_bulk(lab)


def test_service_starts_anew():
    """The service of one side is killed and comes back, its profile is applied again: bulk goes on."""
    with runner.TestLab() as lab:
        bring_up(lab)
        client = connect(lab)
        client.start("uploads", "a", rate=50_000_000)
        wait_until(lambda: bulk(lab)["bulk-received"][1] > 1000, "bulk is under way")
        service.kill(lab.server)
        lab.server.run("underpassctl", "reload")
        service.wait_state(lab.server, "s0", service.ACTIVE)
        before = bulk(lab)["bulk-received"][1]
        wait_until(lambda: bulk(lab)["bulk-received"][1] > before + 5000, "bulk goes on")
        client.finish("a")
        assert client.wait("a")["equal"]
        assert bulk(lab)["bulk-given-up"] == (0, 0)
