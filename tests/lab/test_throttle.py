# SPDX-License-Identifier: GPL-2.0-or-later
"""A way on which UDP is limited and TCP is not: the tunnel is slow there, and says so."""

import path
import runner
import service
import traffic
from host import wait_until

LIMIT = "meta l4proto udp limit rate over 250 kbytes/second burst 30 kbytes drop"
SIZE = 2_000_000


def states(host):
    """What is known of destinations: the state of each."""
    return [row[3] for row in service.manager_call(host, "ListDestinations")["data"][0]]


def test_explained():
    """Much is lost for seconds on end; on a way without a limit it is not."""
    with runner.TestLab() as lab:
        lab.strip_mptcp(False)
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        _, client = traffic.pair(lab)
        client.connect("free")
        free = client.transfer("upload", "free", size=10 * SIZE)["seconds"]
        assert states(lab.client) == [], states(lab.client)
        assert service.counters(lab.client, "c0")["throttled"] == 0
        path.rules(lab, LIMIT)
        client.connect("limited")
        limited = client.transfer("upload", "limited", size=SIZE, timeout=60)["seconds"]
        runner.note(f"{10 * SIZE // 1_000_000} MB in {free:.1f} s; with a limit {SIZE // 1_000_000} MB in {limited:.1f} s")
        assert states(lab.client) == ["throttled"], states(lab.client)
        text = lab.client.output("underpassctl", "explain", "c0")
        advice = text[text.index("What to do next") :]
        runner.note(advice.strip())
        assert "is lost for seconds at a time" in advice and "tunnel=on-demand" in advice, text
        lab.client.run("underpassctl", "forget", "c0")
        assert states(lab.client) == []


def test_on_demand_looks_again():
    """MPTCP options got lost, so the tunnel is used. Where it is slow, the next connection looks whether they
    still do."""
    with runner.TestLab() as lab:
        lab.strip_mptcp(False)
        service.set_tunnels(lab)
        service.set_keys(lab.client, "first", "tunnel=on-demand")
        service.bring_up(lab, "first")
        _, client = traffic.pair(lab)
        # The server has MPTCP, as the first connection finds out, and options get lost, as the second one does.
        for strip in (False, True):
            lab.strip_mptcp(strip)
            client.connect(f"finds {strip}")
            client.transfer("echo", f"finds {strip}", size=1000)
            client.close(f"finds {strip}")
        wait_until(lambda: "stripped" in states(lab.client), "the destination is known for stripping")
        lab.strip_mptcp(False)
        path.rules(lab, LIMIT)
        client.connect("slow")
        client.transfer("upload", "slow", size=SIZE, timeout=60)
        assert not client.info("slow")["fallback"], "it was not tunnelled"
        assert states(lab.client) == ["throttled"], states(lab.client)
        before = path.forwarded(lab, "tcp")
        client.connect("next")
        seconds = client.transfer("upload", "next", size=SIZE)["seconds"]
        assert not client.info("next")["fallback"] and path.forwarded(lab, "tcp") > before
        runner.note(f"{SIZE // 1_000_000} MB as plain MPTCP in {seconds:.1f} s")
