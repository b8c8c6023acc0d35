# SPDX-License-Identifier: GPL-2.0-or-later
"""What the service says about destinations: those that UDP does not reach, those on whose path MPTCP
options get lost, for how long that holds, and what the command makes of it."""

import json

import path
import runner
import service
import traffic
from host import wait_until
from lab import PORT, address

BLOCKED_SECONDS = 600
STRIPPED_SECONDS = 3600
SLACK = 60  # seconds that a slow machine may need from the known to the question


def bring_up(lab, *pairs):
    """Brings up the client's first uplink with these pairs, and the server, which accepts at PORT."""
    service.set_keys(lab.client, "first", f"remote-ports={PORT}", *pairs)
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
    service.bring_up(lab, "first")
    service.wait_state(lab.server, "s0", service.ACTIVE)
    service.wait_state(lab.client, "c0", service.ACTIVE)


def destinations(lab):
    """Rows of `underpassctl flows`; the same as those of the bus."""
    rows = json.loads(lab.client.output("underpassctl", "--json", "flows", "c0"))["destinations"]
    answer = service.manager_call(lab.client, "ListDestinations")["data"][0]
    assert [row[:4] for row in answer] == [
        [row[name] for name in ("interface_index", "remote_address", "remote_port", "state")] for row in rows
    ], f"{answer} {rows}"
    return rows


def assert_one(lab, known, seconds):
    """One destination is known, the server, and the known on it has just been made."""
    rows = destinations(lab)
    assert len(rows) == 1, rows
    assert (rows[0]["interface"], rows[0]["remote_address"]) == ("c0", address("s0")), rows
    assert (rows[0]["remote_port"], rows[0]["state"]) == (PORT, known), rows
    assert seconds - SLACK < rows[0]["seconds_left"] <= seconds, rows


def set_fallback(lab, word):
    """Reapplies the profile with another value; returns when the service has heard of it."""
    service.set_keys(lab.client, "first", f"fallback={word}", options=("--reapply",))
    wait_until(lambda: service.link(lab.client, "c0")["Fallback"] is (word == "yes"), "the profile is read again")


def test_blocked():
    """A firewall drops UDP: the destination is listed and explained, unless the profile gives no fallback."""
    with runner.TestLab() as lab:
        bring_up(lab, "tunnel=yes")
        _, client = traffic.pair(lab)
        client.connect("tunnelled")
        client.transfer("upload", "tunnelled", size=1000)
        assert destinations(lab) == []
        path.rules(lab, f"udp dport {PORT} drop")
        for name in ("plain", "plain again"):
            assert destinations(lab) == []
            client.connect(name)
            client.transfer("upload", name, size=1000)
        assert_one(lab, "blocked", BLOCKED_SECONDS)
        text = lab.client.output("underpassctl", "explain", "c0")
        assert f"{address('s0')}:{PORT}  UDP blocked, plain TCP for 9 min" in text, text
        assert "1 destination of c0 does not answer over UDP" in text.splitlines()[-1], text
        set_fallback(lab, "no")
        assert destinations(lab) == []
        set_fallback(lab, "yes")
        assert_one(lab, "blocked", BLOCKED_SECONDS)
        lab.client.down("first")
        assert destinations(lab) == []


def forgets(lab, *arguments):
    """How many destinations the command forgets."""
    return json.loads(lab.client.output("underpassctl", "--json", "forget", *arguments))["forgotten_destinations"]


def test_forget():
    """What is known of two destinations is forgotten one by one; the next connection uses the tunnel at once."""
    with runner.TestLab() as lab:
        bring_up(lab, "tunnel=yes")
        _, client = traffic.pair(lab)
        targets = [address("s0", family) for family in (4, 6)]
        path.rules(lab, f"udp dport {PORT} drop")
        for target in targets:
            for name in ("first", "second"):
                client.connect(f"{name} {target}", target=target)
        assert [row["remote_address"] for row in destinations(lab)] in (targets, targets[::-1])
        assert forgets(lab, "c1") == 0
        assert forgets(lab, "c0", f"{targets[0]}:{PORT + 1}") == 0
        assert forgets(lab, "c0", f"[{targets[1]}]:{PORT}") == 1
        assert [row["remote_address"] for row in destinations(lab)] == targets[:1]
        path.rules(lab)
        client.connect("tunnelled", target=targets[1])
        assert not client.info("tunnelled")["fallback"]
        client.connect("plain", target=targets[0])
        assert client.info("plain")["fallback"], "what is known of the other one still holds"
        assert forgets(lab) >= 1 and forgets(lab) == 0
        client.connect("tunnelled again", target=targets[0])
        assert not client.info("tunnelled again")["fallback"]


def test_stripped():
    """The middlebox strips MPTCP options: an on-demand link knows it after the first connection."""
    with runner.TestLab() as lab:
        bring_up(lab, "tunnel=on-demand")
        lab.strip_mptcp(False)
        _, client = traffic.pair(lab)
        client.connect("whole")
        client.transfer("upload", "whole", size=1000)
        assert destinations(lab) == []
        text = lab.client.output("underpassctl", "explain", "c0")
        assert "Nothing: MPTCP options have passed on c0" in text.splitlines()[-1], text
        lab.strip_mptcp(True)
        client.connect("stripped")
        client.transfer("upload", "stripped", size=1000)
        assert client.info("stripped")["fallback"]
        assert_one(lab, "stripped", STRIPPED_SECONDS)
        assert "MPTCP stripped, tunnelled for 59 min" in lab.client.output("underpassctl", "flows", "c0")
        client.connect("tunnelled")
        client.transfer("upload", "tunnelled", size=1000)
        assert not client.info("tunnelled")["fallback"]
