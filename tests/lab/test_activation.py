# SPDX-License-Identifier: GPL-2.0-or-later
"""The second subflow exists within 3 s of "nmcli connection up", every time: for connections that are older
than the second link's tunnel, and for endpoints made by NetworkManager as well as by Underpass."""

import statistics
import time

import runner
import service
import traffic
from lab import address

RUNS = 20
LIMIT = 3.0  # seconds from "nmcli connection up" to the subflow


def older_connection(endpoints, family):
    """A connection over the first uplink gets a subflow over the second one when that comes up."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, endpoints=endpoints)
        service.bring_up(lab, "first")
        server, client = traffic.pair(lab)
        both = [address("c0", family), address("c1", family)]
        seconds = []
        for number in range(RUNS):
            name = f"run {number}"
            client.connect(name, address("s0", family))
            client.transfer("echo", name, size=10_000)
            assert not client.info(name)[
                "fallback"
            ], f"{name}: fell back to TCP before the second uplink was up"
            begin = time.monotonic()
            lab.client.up("second")
            traffic.wait_subflows(lab.client, both, seconds=LIMIT - (time.monotonic() - begin))
            seconds.append(time.monotonic() - begin)
            client.transfer("upload", name, size=500_000)
            client.close(name)
            lab.client.down("second")
        assert all(not each["fallback"] for each in server.call("accepted"))
        runner.note(
            f"{RUNS} runs: subflow after {statistics.median(seconds):.2f} s (median), {max(seconds):.2f} s"
        )


def test_older_connection_endpoints_by_networkmanager():
    """NetworkManager registers the endpoint before any dispatcher script runs; Underpass announces it
    again."""
    older_connection("NetworkManager", 4)


def test_older_connection_endpoints_by_underpass():
    """mptcp-flags=disabled, mptcp-endpoint=subflow: attach first, then the endpoint."""
    older_connection("Underpass", 4)


def test_older_connection_ipv6():
    """The same over IPv6."""
    older_connection("NetworkManager", 6)


def test_older_connection_ipv6_endpoints_by_underpass():
    """The same over IPv6 with endpoints of Underpass."""
    older_connection("Underpass", 6)


def test_new_connection():
    """Both tunnels are there before the connection is; right after the activation it has both subflows."""
    for endpoints in ("NetworkManager", "Underpass"):
        with runner.TestLab() as lab:
            service.set_tunnels(lab, endpoints=endpoints)
            service.bring_up(lab)
            _, client = traffic.pair(lab)
            for family in (4, 6):
                client.connect("new", address("s0", family))
                client.transfer("echo", "new", size=10_000)
                traffic.wait_subflows(
                    lab.client, [address("c0", family), address("c1", family)], seconds=LIMIT
                )
                client.transfer("download", "new", size=2_000_000)
                client.close("new")


def test_auto_waits_for_an_endpoint():
    """tunnel=auto: the tunnel is there while the link carries an MPTCP endpoint, and goes with it."""
    with runner.TestLab() as lab:
        service.set_keys(lab.client, "first", "tunnel=auto", "remote-ports=8443")
        lab.client.run("nmcli", "connection", "modify", "first", "connection.mptcp-flags", "disabled")
        lab.client.up("first")
        service.wait_state(lab.client, "c0", "waiting")
        lab.client.run("ip", "mptcp", "endpoint", "add", address("c0"), "dev", "c0", "subflow")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        lab.client.run("ip", "mptcp", "endpoint", "flush")
        service.wait_state(lab.client, "c0", "waiting")
