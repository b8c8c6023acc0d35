# SPDX-License-Identifier: GPL-2.0-or-later
"""A router with the tunnel on its link to the world, for a host behind it that knows nothing of the tunnel:
forwarded traffic with masquerade, super-packets included."""

import contextlib

import merging
import path
import runner
import service
import traffic
import wire
from lab import PORT, address

INSIDE = {4: ("10.77.50.1", "10.77.50.2"), 6: ("2001:db8:77:50::1", "2001:db8:77:50::2")}  # router, host
SIZE = 10_000_000

# How packets reach the router: as super-packets, as segments that it merges, as segments. Second and third
# column: segmentation offload of the inner host, GRO of the router.
FORMS = (("TSO", "on", "off"), ("GRO", "off", "on"), ("single", "off", "off"))


@contextlib.contextmanager
def host_behind(lab, masquerade=True):
    """Makes the client a router for a further host, without NetworkManager and without Underpass."""
    inner = lab.add_host("inner")
    lab.cable(lab.client, "lan", inner, "up0", INSIDE)
    for family in (4, 6):
        inner.run("ip", f"-{family}", "route", "add", "default", "via", INSIDE[family][0])
    lab.client.sysctl("net.ipv4.ip_forward", 1)
    lab.client.sysctl("net.ipv6.conf.all.forwarding", 1)
    if masquerade:
        out = "chain out { type nat hook postrouting priority 100; oifname { c0, c1 } masquerade; }"
        lab.client.set_nft_table("router", out)
    yield inner


def largest_forwarded(lab, inner_works):
    """Size of the largest packet that the router took from the inner host while inner_works() ran."""
    router = bytes.fromhex(path.hardware_address(lab.client, "lan").replace(":", ""))
    with wire.Capture(lab.client, "lan") as capture:
        inner_works()
    return max(original - 14 for frame, original in wire.read_pcap(capture.path) if frame[:6] == router)


def transfers(lab, peer, protocol, family):
    """Data both ways from the inner host through the tunnel; megabits a second."""
    name = f"{protocol} {family}"
    peer.connect(name, address("s0", family), protocol=protocol)
    peer.transfer("echo", name, size=1000)
    assert peer.info(name)["fallback"] is (protocol == "tcp"), f"{name}: {peer.info(name)}"
    rates = [
        SIZE * 8 / peer.transfer(task, name, size=SIZE)["seconds"] / 1e6 for task in ("upload", "download")
    ]
    peer.close(name)
    return rates


def forwarded(protocol):
    """Bulk of the inner host in both directions, IPv4 and IPv6."""
    more = () if protocol == "mptcp" else ("mptcp-only=no",)
    with runner.TestLab() as lab, host_behind(lab) as inner:
        service.set_tunnels(lab, *more)
        if more:
            service.set_keys(lab.server, "server", *more)
        service.bring_up(lab)
        server = traffic.Peer(lab, lab.server)
        server.listen(PORT)
        peer = traffic.Peer(lab, inner)
        for family in (4, 6):
            for name, segmentation, merging in FORMS:
                inner.run("ethtool", "-K", "up0", "tso", segmentation, "gso", segmentation)
                lab.client.run("ethtool", "-K", "lan", "gro", merging)
                rates = []
                largest = largest_forwarded(
                    lab, lambda family=family: rates.extend(transfers(lab, peer, protocol, family))
                )
                assert (largest > 1500) is (
                    name != "single"
                ), f"{name}: up to {largest} bytes were forwarded"
                runner.note(
                    f"{protocol}, IPv{family}, {name}, packets of up to {largest} bytes: "
                    f"{rates[0]:.0f} Mbit/s up, {rates[1]:.0f} down"
                )
        assert path.forwarded(lab, "tcp") == 0, lab.counters()
        counted = service.counters(lab.client, "c0")
        odd = {name: value for name, value in counted.items() if value and name.startswith(("drop", "pass"))}
        assert counted["flows-established"] == 2 * len(FORMS) and not odd, counted
        # Nobody but the inner host had a connection: the router's own sockets had no part in this.
        assert traffic.subflows(lab.client) == []


def test_forwarded_mptcp():
    """MPTCP of the inner host gets through although the middlebox strips."""
    forwarded("mptcp")


def test_forwarded_tcp():
    """Plain TCP of the inner host with mptcp-only=no."""
    forwarded("tcp")


def test_merged():
    """Datagrams that the links of router and server merge before the programs see them, in both forms: what the
    router forwards is cut to segments that fit (see test_merged.py)."""
    with runner.TestLab() as lab, host_behind(lab) as inner:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        traffic.Peer(lab, lab.server).listen(PORT)
        peer = traffic.Peer(lab, inner)
        for features in (merging.FORWARDING, merging.LIST):
            merging.merge(lab, "c0", features)
            merging.merge(lab, "s0", features)
            for offload in ("on", "off"):
                lab.client.run("ethtool", "-K", "lan", "tso", offload, "tx", offload)
                for family in (4, 6):
                    target = address("s0", family)
                    merging.transfer(peer, "download", lab.client, "c0", target, family)
                    merging.transfer(peer, "upload", lab.server, "s0", target, family)
        assert path.forwarded(lab, "tcp") == 0, lab.counters()
        assert traffic.subflows(lab.client) == []
