# SPDX-License-Identifier: GPL-2.0-or-later
"""Wireshark with data/underpass.lua on what kernels send: the same stream behind the tunnel's router and in the tunnel."""

import dissector
import path
import runner
import service
import test_router
import traffic
import wire
from lab import LINKS, PORT, address

SIZE = 300_000
# Not what depends on the moment: two places see packets of both directions in different orders.
COMPARED = [name for name in dissector.FIELDS if "analysis" not in name and name != "tcp.stream"]


def directions(capture, protocol):
    """The fields of all segments with or without data, for each direction."""
    rows = dissector.fields(capture, *COMPARED, options=("-Y", protocol))
    found = {}
    for row in rows:
        found.setdefault(row[1] == str(PORT), []).append(row)
    return found


def compare(mine, theirs):
    """Both have the same segments; how many. On a machine with several CPUs, segments of one direction overtake each other
    between two places, with or without a tunnel: acknowledgments leave from both the program and the interrupt."""
    assert mine.keys() == theirs.keys() == {True, False}, (mine.keys(), theirs.keys())
    for direction, segments in mine.items():
        assert len(segments) == len(theirs[direction]), (len(segments), len(theirs[direction]))
        for number, (segment, wanted) in enumerate(zip(sorted(segments), sorted(theirs[direction]))):
            for name, value, other in zip(COMPARED, segment, wanted):
                assert value == other, f"segment {number}, towards the server {direction}: {name} is {value}, not {other}"
    rows = mine[True] + mine[False]
    for name in ("tcp.options.mptcp.rawdataseqno", "tcp.options.mptcp.sendkey", "tcp.options.mptcp.rawdataack"):
        assert any(row[COMPARED.index(name)] for row in rows), f"no segment has {name}"
    return len(rows)


def forwarded(family):
    """A host behind a router sends plain MPTCP, the uplink of the router has it in its UDP form."""
    with runner.TestLab() as lab, test_router.host_behind(lab) as inner:
        service.set_tunnels(lab)
        service.bring_up(lab)
        inner.run("ethtool", "-K", "up0", "tso", "off", "gso", "off", "gro", "off")
        for interface in ("lan", "c0"):
            lab.client.run("ethtool", "-K", interface, "gro", "off", "tso", "off", "gso", "off")
        server = traffic.Peer(lab, lab.server)
        server.listen(PORT)
        peer = traffic.Peer(lab, inner)
        with wire.Capture(inner, "up0") as plain, wire.Capture(lab.middlebox, "mc0") as tunnelled:
            peer.connect("a", address("s0", family))
            for task in ("upload", "download"):
                peer.transfer(task, "a", size=SIZE)
            peer.close("a")
        count = compare(directions(tunnelled.path, "underpass"), directions(plain.path, f"tcp.port=={PORT}"))
        runner.note(f"{count} segments are shown alike")


def test_ipv4():
    """IPv4."""
    forwarded(4)


def test_ipv6():
    """IPv6."""
    forwarded(6)


def test_two_subflows():
    """Joins too: on each uplink, what is shown is what the packets would be as TCP."""
    with runner.TestLab() as lab, dissector.scratch() as folder:
        service.set_tunnels(lab)
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        captures = [wire.Capture(lab.middlebox, LINKS[uplink][0]) for uplink in ("c0", "c1")]
        with captures[0], captures[1]:
            traffic.connect_both(lab, client, "a")
            client.transfer("upload", "a", size=SIZE)
            client.close("a")
        for capture in captures:
            packets = [frame[14:] for frame, _ in wire.read_pcap(capture.path) if frame[12:14] == b"\x08\x00"]
            packets = [each for each in packets if dissector.is_datagram(each) and PORT in ports(each)]
            twins = folder / "plain.pcap"
            dissector.write_pcap(twins, [dissector.plain_twin(each) for each in packets])
            mine, theirs = (directions(each, "tcp") for each in (capture.path, twins))
            assert mine == theirs, "a capture and its twin differ"
            joins = sum(row[COMPARED.index("tcp.options.mptcp.recvtok")] != "" for row in mine[True])
            runner.note(f"{capture.interface}: {len(packets)} datagrams, {joins} joins")
            assert (joins > 0) is (capture.interface == LINKS["c1"][0])


def without_gap(segments):
    """How many bytes these segments have, each from one sequence number to another one; those that got lost behind the
    capture, or in front of it, are there again."""
    end = 1  # behind the SYN
    for begin, behind in sorted(segment for segment in segments if segment[1] > segment[0]):
        assert begin <= end, f"nothing shows the bytes from {end} to {begin}"
        end = max(end, behind)
    return end - 1


def bulk(family, natted=False):
    """Data in the bulk form is shown as the TCP that it is: every segment of the connection, each byte of it, no gap."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, "bulk=yes")
        service.set_keys(lab.server, "server", "bulk=yes")
        service.bring_up(lab, "first")
        service.wait_state(lab.server, "s0", service.ACTIVE)
        if natted:
            path.translate(lab, c0=(20000, 20999))
        _, client = traffic.pair(lab)
        with wire.Capture(lab.middlebox, "ms0") as capture:
            client.connect("a", address("s0", family))
            for task in ("upload", "download"):
                client.transfer(task, "a", size=10 * SIZE)
            client.close("a")
        assert capture.dropped() == 0, f"the capture missed {capture.dropped()} packets"
        names = ("tcp.srcport", "tcp.seq", "tcp.len", "underpass.form", "tcp.options.mptcp.subtype")
        rows = dissector.fields(capture.path, *names, options=("-Y", f"tcp.port=={PORT} || udp.port=={PORT}"))
        assert all(row[3] for row in rows), [row for row in rows if not row[3]]
        for towards in (True, False):
            mine = [row for row in rows if (row[0] != str(PORT)) is towards]
            forms = {form: sum(int(row[2]) for row in mine if row[3] == form) for form in ("bulk", "classic")}
            runner.note(f"towards the server {towards}: bytes in each form {forms}, {len(mine)} segments")
            assert forms["bulk"] > SIZE and forms["classic"] > 0, forms
            bytes_seen = without_gap((int(row[1]), int(row[1]) + int(row[2])) for row in mine)
            assert 10 * SIZE <= bytes_seen <= 11 * SIZE, bytes_seen  # MPTCP may send some of it again
            assert any("2" in row[4].split(",") for row in mine if row[3] == "bulk"), "no data sequence signal in the bulk form"


def test_bulk_ipv4():
    """IPv4, behind a NAT: the addresses inside are others than outside."""
    bulk(4, natted=True)


def test_bulk_ipv6():
    """IPv6."""
    bulk(6)


def ports(packet):
    """Both ports of an IPv4 packet."""
    return int.from_bytes(packet[20:22], "big"), int.from_bytes(packet[22:24], "big")
