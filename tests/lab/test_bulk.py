# SPDX-License-Identifier: GPL-2.0-or-later
"""The bulk form: two hosts that know it agree on it for each connection, fast ones use it, and whatever the way
does with it, no data is lost."""

import path
import runner
import service
import traffic
from lab import address

SIZE = 40_000_000


def bring_up(lab, client="bulk=yes", server="bulk=yes"):
    """Client with its first uplink and server; TCP without MPTCP goes in the tunnel, too."""
    service.set_tunnels(lab, "mptcp-only=no", client)
    service.set_keys(lab.server, "server", "mptcp-only=no", server)
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
    return {
        name: tuple(end[name] for end in ends)
        for name in ("bulk-sent", "bulk-received", "bulk-unsummed", "bulk-probes", "bulk-given-up", "sent")
    }


def both_ways(family, protocol):
    """Up and down; nothing is sent again, nothing leaves as TCP."""
    with runner.TestLab() as lab:
        bring_up(lab)
        client = connect(lab, family, protocol)
        before = [traffic.retransmissions(host) for host in (lab.client, lab.server)]
        rates = [
            8 * SIZE / client.transfer(task, "a", size=SIZE)["seconds"] / 1e9 for task in ("upload", "download")
        ]
        again = [
            traffic.retransmissions(host) - base for host, base in zip((lab.client, lab.server), before)
        ]
        counted = bulk(lab)
        runner.note(f"IPv{family}, {protocol}: {rates[0]:.1f} and {rates[1]:.1f} Gbit/s, {again} sent again, {counted}")
        assert min(counted["bulk-sent"]) > 0 and min(counted["bulk-received"]) > 0, counted
        assert counted["bulk-given-up"] == (0, 0) and again == [0, 0], (counted, again)
        assert path.forwarded(lab, "tcp") == 0, lab.counters()


def test_ipv4():
    """TCP over IPv4."""
    both_ways(4, "tcp")


def test_ipv6():
    """TCP over IPv6."""
    both_ways(6, "tcp")


def test_mptcp():
    """MPTCP."""
    both_ways(4, "mptcp")
