# SPDX-License-Identifier: GPL-2.0-or-later
"""Every tunnelled packet on the wire is UDP with valid checksums and lengths, whatever the network cards
offload."""

import runner
import service
import traffic
import wire
from lab import PORT

SIZE = 4_000_000


def capture(offload, family):
    """Transfers both ways over both uplinks; every packet on all links of the middlebox is judged. What interfaces would
    cut behind the capture has no checksums yet, so there all is in the classic form."""
    with runner.TestLab() as lab:
        lab.offload(offload)
        service.set_tunnels(lab, *(["bulk=no"] if offload else []))
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        peers = ("mc0", "mc1", "ms0")
        captures = [wire.Capture(lab.middlebox, peer) for peer in peers]
        with captures[0], captures[1], captures[2]:
            traffic.connect_both(lab, client, "a", family)
            client.transfer("upload", "a", size=SIZE)
            client.transfer("download", "a", size=SIZE)
            assert client.info("a")["fallback"] is False
            client.close("a")
        for each in captures:
            report = each.assert_tunnelled(PORT, family)
            assert report.mptcp_syn >= 2, f"{each.interface}: {report}"
            runner.note(f"{each.interface}: {report.udp} datagrams, all right")
            if each.interface == "ms0":
                assert report.udp * 1400 > 2 * SIZE, f"{each.interface}: {report}"


def test_ipv4_with_offload():
    """IPv4, the interfaces compute checksums and segment."""
    capture(True, 4)


def test_ipv4_without_offload():
    """IPv4, the stack does it."""
    capture(False, 4)


def test_ipv6_with_offload():
    """IPv6, the interfaces compute checksums and segment."""
    capture(True, 6)


def test_ipv6_without_offload():
    """IPv6, the stack does it."""
    capture(False, 6)


def test_middlebox_counts_no_tcp():
    """Counted rather than captured, so nothing can be missed: 30 MB each way without one TCP packet of the
    port."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        client.transfer("upload", "a", size=30_000_000)
        client.transfer("download", "a", size=30_000_000)
        counted = lab.counters()
        assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
        assert counted["udp-mc0"][1] + counted["udp-mc1"][1] > 60_000_000, counted
        assert min(counted["udp-mc0"][1], counted["udp-mc1"][1]) > 1_000_000, counted
