# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths narrower than the link where ICMP says nothing, or where packets are cut to pieces instead: what a
connection over plain TCP survives has to arrive through the tunnel, too."""

import time

import path
import runner
import service
import test_rawip
import test_router
import traffic
from host import wait_until
from lab import PORT, address

MTU = 1400
SIZE = 1_000_000
LONG = 300_000_000  # takes a moment
FIRST, LATER = 8.0, 1.5  # seconds for SIZE: until the path is known, and afterwards
REPAIRED = 1.0  # the same where fragments tell of the path
NO_ICMP = (
    "chain out { type filter hook output priority 0;"
    " icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }"
)
CLEAR_DF = "chain clear { type filter hook prerouting priority -300; ip frag-off & 0x4000 != 0 ip frag-off set 0; }"


def counted(host, interface, name):
    """One counter of a link."""
    return service.counters(host, interface)[name]


def transfers(client, target, limits, tasks=("upload", "download"), **options):
    """Transfers on one new connection after the other; their seconds."""
    seconds = []
    for number, limit in enumerate(limits):
        name = f"{target} {number}"
        client.connect(name, target, **options)
        client.transfer("echo", name, size=1000)
        for task in tasks:
            took = client.transfer(task, name, size=SIZE, timeout=60)["seconds"]
            seconds.append(took)
            assert took < limit, f"{task} of connection {number}: {took:.1f} s, not {limit}"
        assert not client.info(name)["fallback"]
        client.close(name)
    return seconds


def show(seconds):
    """For the report."""
    return ", ".join(f"{each:.2f}" for each in seconds) + " s"


def filtered(family):
    """No router on the way tells of the path's MTU. The second connection begins with small segments."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        path.narrow(lab, MTU)
        lab.middlebox.set_nft_table("filtered", NO_ICMP)
        _, client = traffic.pair(lab)
        seconds = transfers(client, address("s0", family), (FIRST, LATER))
        runner.note(f"IPv{family}, up and down twice: {show(seconds)}")
        assert counted(lab.client, "c0", "black-hole") > 0 and counted(lab.server, "s0", "black-hole") > 0
        assert path.forwarded(lab, "tcp") == 0, lab.counters()


def test_icmp_is_filtered_ipv4():
    """IPv4."""
    filtered(4)


def test_icmp_is_filtered_ipv6():
    """IPv6."""
    filtered(6)


def test_icmp_is_filtered_for_a_host_behind():
    """Forwarded: the error goes on to the host that sends, through the router's own NAT."""
    with runner.TestLab() as lab, test_router.host_behind(lab) as inner:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        path.narrow(lab, MTU)
        lab.middlebox.set_nft_table("filtered", NO_ICMP)
        traffic.Peer(lab, lab.server).listen(PORT)
        client = traffic.Peer(lab, inner)
        for family in (4, 6):
            seconds = transfers(client, address("s0", family), (FIRST, LATER), tasks=("upload",))
            runner.note(f"IPv{family}, up twice: {show(seconds)}")
        assert counted(lab.client, "c0", "black-hole") > 0


def test_icmp_is_filtered_on_a_raw_ip_link():
    """A device without Ethernet header."""
    with runner.TestLab() as lab, test_rawip.tunnelled_line(lab, largest=MTU):
        _, client = traffic.pair(lab)
        for family in (4, 6):
            seconds = transfers(client, test_rawip.ADDRESSES[test_rawip.SERVER][family], (FIRST, LATER))
            runner.note(f"IPv{family}, up and down twice: {show(seconds)}")
        assert counted(lab.client, test_rawip.CLIENT, "black-hole") > 0
        assert counted(lab.server, test_rawip.SERVER, "black-hole") > 0


def remembered_mtu(host, target):
    """What the kernel of a host remembers of the path to an address, None if nothing."""
    words = host.output("ip", "route", "get", target).split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else None


def away(lab, client, task, host, family, seconds):
    """Nothing gets through for some seconds while a host sends: the transfer goes on afterwards, and that host does not
    take it for a matter of size."""
    client.connect("a", address("s0", family))
    client.transfer("echo", "a", size=1000)
    client.start(task, "a", size=LONG)
    wait_until(lambda: client.progress("a")["bytes"] > SIZE, "the transfer runs")
    path.rules(lab, "drop")
    resent = traffic.retransmissions(host)
    time.sleep(seconds)
    assert traffic.retransmissions(host) > resent + 2, "nothing was sent"
    path.rules(lab)
    begin, before = time.monotonic(), client.progress("a")["bytes"]
    wait_until(lambda: client.progress("a")["bytes"] > before + 3 * SIZE, "it goes on", 20)
    runner.note(f"{task} IPv{family}, away for {seconds} s: goes on after {time.monotonic() - begin:.1f} s")
    assert client.wait("a")["equal"]
    client.close("a")
    target = address("c0" if host is lab.server else "s0", family)
    assert remembered_mtu(host, target) is None, f"MTU {remembered_mtu(host, target)} to {target}"


def outage(seconds, families=(4, 6)):
    """The same for both hosts."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        _, client = traffic.pair(lab)
        for task, host, interface in (("upload", lab.client, "c0"), ("download", lab.server, "s0")):
            for family in families:
                away(lab, client, task, host, family, seconds)
                assert counted(host, interface, "black-hole") == 0
        assert path.forwarded(lab, "tcp") == 0, lab.counters()


def test_short_outage():
    """Some three timeouts of TCP."""
    outage(3)


def test_longer_outage():
    """More of them."""
    outage(8, families=(4,))


def test_outage_for_a_host_behind():
    """Forwarded, with checksums that are finished when segments reach the router: an outage is none of size there
    either, and what is one is found out all the same."""
    with runner.TestLab() as lab, test_router.host_behind(lab) as inner:
        inner.run("ethtool", "-K", "up0", "tx", "off")
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        traffic.Peer(lab, lab.server).listen(PORT)
        client = traffic.Peer(lab, inner)
        for family in (4, 6):
            away(lab, client, "upload", inner, family, 3)
        assert counted(lab.client, "c0", "black-hole") == 0
        path.narrow(lab, MTU)
        lab.middlebox.set_nft_table("filtered", NO_ICMP)
        for family in (4, 6):
            seconds = transfers(client, address("s0", family), (FIRST, LATER), tasks=("upload",))
            runner.note(f"IPv{family}, narrow, up twice: {show(seconds)}")
        assert counted(lab.client, "c0", "black-hole") > 0


def fragments(prepare, first):
    """Datagrams above the path's MTU arrive in fragments. first: seconds that the first connection may take."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        prepare(lab)
        service.bring_up(lab, "first")
        path.narrow(lab, MTU)
        _, client = traffic.pair(lab)
        seconds = transfers(client, address("s0", 4), (first, LATER))
        runner.note(f"up and down twice: {show(seconds)}")
        assert counted(lab.client, "c0", "drop-fragment") > 0 and counted(lab.server, "s0", "drop-fragment") > 0
        assert path.forwarded(lab, "tcp") == 0, lab.counters()


def test_fragments_of_a_router():
    """A router on the way clears "don't fragment"."""
    fragments(lambda lab: lab.middlebox.set_nft_table("df", CLEAR_DF), REPAIRED)


def test_fragments_of_hosts():
    """The hosts do without path MTU discovery, so routers may cut."""

    def no_discovery(lab):
        for host in (lab.client, lab.server):
            host.sysctl("net.ipv4.ip_no_pmtu_disc", 1)

    fragments(no_discovery, REPAIRED)
