# SPDX-License-Identifier: GPL-2.0-or-later
"""Every tunnelled packet on the wire is UDP with valid checksums and lengths, whatever the network cards
offload."""

import runner
import service
import traffic
import wire
from lab import PORT, address

SIZE = 4_000_000


def capture(offload, family):
    """Transfers both ways over both uplinks; every packet on all links of the middlebox is judged."""
    with runner.TestLab() as lab:
        lab.offload(offload)
        service.set_tunnels(lab)
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        peers = ("mc0", "mc1", "ms0")
        captures = [wire.Capture(lab.middlebox, peer) for peer in peers]
        with captures[0], captures[1], captures[2]:
            client.connect("a", address("s0", family))
            # Little: much data that races with the join of a subflow makes kernels reset that one, with or
            # without a tunnel (MPTcpExtDSSNotMatching).
            client.transfer("echo", "a", size=10_000)
            traffic.wait_subflows(lab.client, [address("c0", family), address("c1", family)])
            client.transfer("upload", "a", size=SIZE)
            client.transfer("download", "a", size=SIZE)
            assert client.info("a")["fallback"] is False
            client.close("a")
        for peer, each in zip(peers, captures):
            report = each.report(PORT)
            assert each.dropped() == 0, f"{peer}: the capture missed {each.dropped()} packets"
            assert not report.faults, f"{peer}: {len(report.faults)} faults\n" + "\n".join(
                report.faults[:10]
            )
            assert report.tcp == 0, f"{peer}: {report.tcp} TCP packets of the tunnelled port"
            assert report.families == {family} and report.mptcp_syn >= 2, f"{peer}: {report}"
            assert report.largest <= 1500, f"{peer}: {report}"
            runner.note(f"{peer}: {report.udp} datagrams, all right")
            if peer == "ms0":
                assert report.udp * 1400 > 2 * SIZE, f"{peer}: {report}"


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
        client.connect("a")
        client.transfer("echo", "a", size=10_000)
        traffic.wait_subflows(lab.client, [address("c0"), address("c1")])
        client.transfer("upload", "a", size=30_000_000)
        client.transfer("download", "a", size=30_000_000)
        counted = lab.counters()
        assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
        assert counted["udp-mc0"][1] + counted["udp-mc1"][1] > 60_000_000, counted
        assert min(counted["udp-mc0"][1], counted["udp-mc1"][1]) > 1_000_000, counted
