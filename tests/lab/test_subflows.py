# SPDX-License-Identifier: GPL-2.0-or-later
"""A subflow that ended while its path was away comes back soon after the path has, and none that is in use
is touched for it."""

import time

import path
import runner
import service
import test_routes
import traffic
from host import wait_until
from lab import address

LIMIT = 10.0  # seconds from the path's return to the subflow
GIVEN_UP = 60.0
AWAY = 3.0  # seconds that the path stays away after that
RATE = 3_000_000


def take_path_away(lab, uplink):
    """From now on the path of this uplink swallows everything."""
    path.rules(lab, f'iifname "m{uplink}" drop', f'oifname "m{uplink}" drop')


def two_uplinks(lab, **arguments):
    """Both tunnels are up, and TCP gives a path up early; the client's peer."""
    for host in (lab.client, lab.server):
        host.sysctl("net.ipv4.tcp_retries2", 3)
    service.set_tunnels(lab, **arguments)
    service.bring_up(lab)
    _, client = traffic.pair(lab)
    return client


def comes_back(endpoints, family, uplink="c1", attempts=0):
    """A busy connection loses the subflow of an uplink. attempts: how many have left the tunnel, because
    nobody answered, before the path is back."""
    with runner.TestLab() as lab:
        client = two_uplinks(lab, endpoints=endpoints)
        traffic.connect_both(lab, client, "a", family)
        both = sorted(address(each, family) for each in ("c0", "c1"))
        left = [each for each in both if each != address(uplink, family)]
        take_path_away(lab, uplink)
        client.start("uploads", "a", rate=RATE)
        wait_until(lambda: traffic.subflows(lab.client) == left, "the subflow is given up", GIVEN_UP)
        gone = time.monotonic()
        wait_until(
            lambda: service.counters(lab.client, uplink)["fallback-silence"] >= attempts, "attempts", GIVEN_UP
        )
        path.rules(lab)
        begin = time.monotonic()
        traffic.wait_subflows(lab.client, both, seconds=LIMIT)
        runner.note(
            f"back {time.monotonic() - begin:.1f} s after the path, which was away {begin - gone:.1f} s longer"
        )
        client.finish("a")
        assert client.wait("a")["equal"]
        counted = lab.counters()
        assert counted["tcp-mc0"] == (0, 0), counted


def test_endpoints_by_networkmanager():
    """The subflow of the second uplink, over IPv4."""
    comes_back("NetworkManager", 4)


def test_endpoints_by_underpass_ipv6():
    """The same over IPv6 with endpoints of Underpass."""
    comes_back("Underpass", 6)


def test_first_subflow():
    """The subflow with which the connection began."""
    comes_back("NetworkManager", 4, uplink="c0")


def test_long_away():
    """Many attempts fail before the path returns, and the last of them has left the tunnel for plain TCP."""
    comes_back("NetworkManager", 4, attempts=4)


def ports(host, uplink):
    """Local ports of the established connections from an address."""
    lines = host.output("ss", "-Htn", "state", "established", "src", address(uplink)).splitlines()
    return sorted(int(line.split()[2].rpartition(":")[2]) for line in lines)


def test_subflows_in_use_stay():
    """An idle connection does not notice that the path was away. Its subflow stays; another connection gets its
    own one back once the endpoint carries no other."""
    with runner.TestLab() as lab:
        client = two_uplinks(lab)
        traffic.connect_both(lab, client, "idle")
        used = ports(lab.client, "c1")
        client.connect("busy")
        client.transfer("echo", "busy", size=1000)
        wait_until(lambda: len(ports(lab.client, "c1")) == 2, "both have two subflows")
        take_path_away(lab, "c1")
        client.start("uploads", "busy", rate=RATE)
        wait_until(lambda: ports(lab.client, "c1") == used, "the busy one gives its subflow up", GIVEN_UP)
        path.rules(lab)
        client.transfer("upload", "idle", size=1_000_000)
        assert ports(lab.client, "c1") == used, "a subflow in use was replaced"
        client.close("idle")
        begin = time.monotonic()
        wait_until(
            lambda: len(found := ports(lab.client, "c1")) == 1 and found != used, "the busy one has two", LIMIT
        )
        runner.note(f"back {time.monotonic() - begin:.1f} s after the other connection's end")
        client.finish("busy")
        assert client.wait("busy")["equal"]


def announced(endpoints, family, task):
    """A server with two uplinks, of which MPTCP announces the second one. The client builds a subflow to it,
    which ends while that path is away. endpoints: who registers the server's endpoint; task: which side sends,
    and so notices first."""
    own = endpoints == "Underpass"
    with test_routes.hosts("MPTCPOnly=no", announce=own) as lab:
        second = test_routes.SECOND[family][1]
        for host in (lab.client, lab.server):
            host.sysctl("net.ipv4.tcp_retries2", 3)
            host.run("ip", "mptcp", "limits", "set", "subflows", "4", "add_addr_accepted", "4")
        if not own:
            lab.server.run("ip", "mptcp", "endpoint", "add", second, "dev", "s1", "signal")
            lab.server.run("underpassctl", "reload")
        _, client = traffic.pair(lab)
        first = address("s0", family)
        client.connect("a", first)
        client.transfer("echo", "a", size=1000)
        traffic.wait_subflows(lab.server, [first, second])
        path.rules(lab, 'iifname "ms1" drop', 'oifname "ms1" drop')
        client.start(task, "a", rate=RATE)
        wait_until(lambda: traffic.subflows(lab.server) == [first], "the subflow is given up", GIVEN_UP)
        gone = time.monotonic()
        time.sleep(AWAY)
        path.rules(lab)
        begin = time.monotonic()
        traffic.wait_subflows(lab.server, [first, second], seconds=LIMIT)
        runner.note(
            f"back {time.monotonic() - begin:.1f} s after the path, which was away {begin - gone:.1f} s longer"
        )
        client.finish("a")
        assert client.wait("a")["equal"]
        counted = service.counters(lab.server, "s1")
        assert counted["flows-established"] == 2, counted


def test_announced_by_underpass():
    """Over IPv4, while the server sends."""
    announced("Underpass", 4, "downloads")


def test_announced_by_somebody_else_ipv6():
    """Over IPv6, with an endpoint that was registered by hand."""
    announced("somebody else", 6, "downloads")
