# SPDX-License-Identifier: GPL-2.0-or-later
"""A link of 1400 bytes in the middle with nothing configured: path MTU discovery works through the tunnel in
both directions, for IPv4 and IPv6."""

import time

import runner
import service
import path
import traffic
from host import HERE

MTU = 1400
SIZE = 4_000_000
RATE = 2 * SIZE  # bytes a second of a transfer that goes on meanwhile
LIMIT = 3.0  # seconds for SIZE; without ICMP errors nothing larger than the MTU ever arrives
LINKS = (("client", "c0"), ("client", "c1"), ("server", "s0"))


def icmp_counters(lab):
    """(converted, of these short) by interface."""
    found = {}
    for name, interface in LINKS:
        counted = service.counters(getattr(lab, name), interface)
        found[interface] = (counted["icmp-converted"], counted["icmp-short"])
    return found


def both_ways(lab, client, family):
    """Bulk in both directions over both uplinks; seconds of each."""
    # Only small packets go over it so far: nothing is known about the path when the bulk begins.
    traffic.connect_both(lab, client, "bulk", family)
    seconds = [client.transfer(task, "bulk", size=SIZE)["seconds"] for task in ("upload", "download")]
    assert not client.info("bulk")["fallback"]
    client.close("bulk")
    assert path.forwarded(lab, "tcp") == 0, lab.counters()
    return seconds


def narrow_link(family):
    """The path narrows before anything was sent."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        path.narrow(lab, MTU)
        _, client = traffic.pair(lab)
        seconds = both_ways(lab, client, family)
        counted = icmp_counters(lab)
        runner.note(
            f"IPv{family}: {SIZE // 1_000_000} MB up in {seconds[0]:.2f} s, down in {seconds[1]:.2f} s; "
            f"ICMP errors converted: {', '.join(f'{name} {count[0]}' for name, count in counted.items())}"
        )
        assert max(seconds) < LIMIT, seconds
        assert counted["s0"][0] > 0 and counted["c0"][0] + counted["c1"][0] > 0, counted


def test_narrow_link_ipv4():
    """IPv4: fragmentation needed."""
    narrow_link(4)


def test_narrow_link_ipv6():
    """IPv6: packet too big."""
    narrow_link(6)


def test_short_quotes():
    """A router that quotes 8 bytes behind the IP header, the least that RFC 792 asks for."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        path.rules(lab, f"meta length > {MTU} drop")
        router = lab.middlebox.spawn(
            ["/usr/bin/python3", str(HERE / "terse_router.py"), str(MTU), "mc0", "mc1", "ms0"],
            stdin=-1,
            stdout=-1,
        )
        lab.at_close(router.wait)
        lab.at_close(router.stdout.close)
        lab.at_close(router.stdin.close)
        assert router.stdout.readline() == b"ready\n"
        _, client = traffic.pair(lab)
        seconds = both_ways(lab, client, 4)
        counted = icmp_counters(lab)
        runner.note(
            f"{SIZE // 1_000_000} MB up in {seconds[0]:.2f} s, down in {seconds[1]:.2f} s; {counted}"
        )
        assert max(seconds) < LIMIT, seconds
        assert all(short == converted for converted, short in counted.values()), counted
        assert counted["s0"][1] > 0 and counted["c0"][1] + counted["c1"][1] > 0, counted


def test_path_narrows_in_the_middle_of_a_transfer():
    """The flow is established and large packets have passed when the way changes."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "bulk")
        with client.uploading("bulk", RATE):
            path.narrow(lab, MTU)
            begin = time.monotonic()
            client.wait_moved("bulk", SIZE, SIZE / RATE + LIMIT)
            seconds = time.monotonic() - begin
        counted = icmp_counters(lab)
        assert counted["c0"][0] + counted["c1"][0] > 0, counted
        assert path.forwarded(lab, "tcp") == 0, lab.counters()
        runner.note(f"{SIZE // 1_000_000} MB at {RATE // 1_000_000} MB/s took {seconds:.1f} s then")
