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
from state import PINS
from test_security import NOBODY

BLOCKED_SECONDS = 10  # the first time
STRIPPED_SECONDS = 3600
SLACK = 60  # seconds that a slow machine may need from the known to the question
PATIENCE = 2 * BLOCKED_SECONDS
SOURCES = 10_000  # more than there is room for
ADDRESSES = """
import socket, sys
target, port, count = sys.argv[1:]
IPV6_FREEBIND = 78
for number in range(int(count)):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as one:
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        one.bind((f"2001:db8:66::{number + 1:x}", 0))
        one.connect_ex((target, int(port)))
"""

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


def states(lab):
    """States of the rows of `underpassctl flows`, which may expire at any moment."""
    rows = json.loads(lab.client.output("underpassctl", "--json", "flows", "c0"))["destinations"]
    return [row["state"] for row in rows]


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
        assert_one(lab, "silent", BLOCKED_SECONDS)
        text = lab.client.output("underpassctl", "explain", "c0")
        assert f"{address('s0')}:{PORT}  UDP gets no answer, plain TCP for " in text, text
        assert "1 destination of c0 does not answer over UDP" in text.splitlines()[-1], text
        set_fallback(lab, "no")
        assert destinations(lab) == []
        set_fallback(lab, "yes")
        assert destinations(lab) == [], "other settings begin without memory"


def add_home(lab, *pairs):
    """Another profile for the same link, with the same addresses."""
    lab.client.add_profile("home", "c0", **lab.profile_properties("c0", 100))
    service.set_keys(lab.client, "home", f"remote-ports={PORT}", *pairs)


def learn_blocked(lab, client, family=4, prefix=""):
    """Two connections fall back to plain TCP, and the destination is remembered for it."""
    path.rules(lab, "meta l4proto udp drop")
    for name in ("first", "second"):
        client.connect(f"{prefix}{name} {family}", target=address("s0", family))
    assert len(destinations(lab)) == 1, destinations(lab)
    path.rules(lab)


def assert_tunnelled(lab, client, name, family=4):
    """A connection uses the tunnel at once."""
    before = path.forwarded(lab, "udp")
    seconds = client.connect(name, target=address("s0", family))["seconds"]
    client.transfer("echo", name, size=1000)
    datagrams = path.forwarded(lab, "udp") - before
    runner.note(f"{name}: connected after {seconds:.2f} s, {datagrams} datagrams")
    assert not client.info(name)["fallback"] and datagrams > 0 and seconds < 0.9, client.info(name)


def entries(host, name):
    """How many entries a map of the BPF programs has."""
    folder = host.output("find", PINS, "-mindepth", "1", "-maxdepth", "1").split()[0]
    return len(json.loads(host.output("bpftool", "--json", "map", "dump", "pinned", f"{folder}/{name}")))


def test_addresses_without_end():
    """A user without rights who connects from ten thousand addresses, none of which is the host's, takes no room from
    what is known of destinations."""
    with runner.TestLab() as lab:
        bring_up(lab, "tunnel=yes")
        _, client = traffic.pair(lab)
        learn_blocked(lab, client)
        before = entries(lab.client, "destinations")
        command = (*NOBODY, "/usr/bin/python3", "-c", ADDRESSES, address("s0", 6), PORT, SOURCES)
        said = lab.client.output(*command)
        assert said == "", said
        assert service.counters(lab.client, "c0")["plain-not-mptcp"] >= SOURCES, service.counters(lab.client, "c0")
        # One for the server's IPv6 address may have come.
        assert entries(lab.client, "destinations") <= before + 1
        assert entries(lab.client, "sources") > SOURCES / 4, "the addresses were seen"
        assert forgets(lab) == 1, "what was known of the server is there"


def test_another_profile():
    """A laptop comes home: what the network of the café did to UDP does not count there."""
    with runner.TestLab() as lab:
        bring_up(lab, "tunnel=yes")
        add_home(lab, "tunnel=yes")
        _, client = traffic.pair(lab)
        learn_blocked(lab, client)
        for profile, family in (("home", 4), ("first", 6)):
            if family == 6:
                learn_blocked(lab, client, family)
            lab.client.up(profile)  # in place of the other one
            service.wait_state(lab.client, "c0", service.ACTIVE)
            assert forgets(lab) == 0, "nothing is left"
            assert_tunnelled(lab, client, f"at {profile}", family)


def test_stripped_elsewhere():
    """The same for a path that strips MPTCP options: at home, where they pass, not one datagram."""
    with runner.TestLab() as lab:
        bring_up(lab, "tunnel=on-demand")
        add_home(lab, "tunnel=on-demand")
        _, client = traffic.pair(lab)
        lab.strip_mptcp(False)
        client.connect("known to speak MPTCP")
        lab.strip_mptcp(True)
        client.connect("café")
        assert states(lab) == ["stripped"]
        lab.strip_mptcp(False)
        lab.client.down("first")
        lab.client.up("home")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        client.connect("home")
        client.transfer("echo", "home", size=1000)
        assert path.forwarded(lab, "udp") == 0


def test_another_gateway():
    """The same profile in another network: only the gateway tells, or only the address."""
    with runner.TestLab() as lab:
        bring_up(lab, "tunnel=yes")
        _, client = traffic.pair(lab)
        router = address("c0", router=True).rsplit(".", 1)[0] + ".254"
        lab.middlebox.run("ip", "address", "add", f"{router}/24", "dev", "mc0")
        learn_blocked(lab, client)
        lab.client.run("ip", "route", "replace", "default", "via", router, "dev", "c0", "metric", "100")
        wait_until(lambda: destinations(lab) == [], "what was known is forgotten")
        assert forgets(lab) == 0, "nothing is left"
        assert_tunnelled(lab, client, "by another gateway")

        learn_blocked(lab, client, 6)
        other = address("c0", 6).rsplit("::", 1)[0] + "::77"
        lab.client.run("ip", "address", "add", f"{other}/64", "dev", "c0", "nodad")
        assert len(destinations(lab)) == 1, "one more address is no other network"
        lab.client.run("ip", "address", "delete", f"{address('c0', 6)}/64", "dev", "c0")
        wait_until(lambda: destinations(lab) == [], "what was known is forgotten")
        assert forgets(lab) == 0, "nothing is left"
        assert_tunnelled(lab, client, "from another address", 6)


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
        for target in targets[::-1]:
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


def reason(lab, client, name, family):
    """Makes two connections fail; the state of the destination and the last line of explain."""
    for number in range(2):
        client.connect(f"{name} {number}", target=address("s0", family), protocol="tcp")
    found = states(lab)
    advice = lab.client.output("underpassctl", "explain", "c0").splitlines()[-1]
    runner.note(f"{name}: {found}: {advice[:90]}")
    return found, advice


def test_reasons():
    """Who refuses UDP, if anybody says so: the destination has no Underpass, or a firewall is on the way, its
    own or another one. Each has its remedy."""
    with runner.TestLab() as lab:
        service.set_keys(lab.client, "first", f"remote-ports={PORT}", "tunnel=yes", "mptcp-only=no")
        service.bring_up(lab, "first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        server = traffic.Peer(lab, lab.server)
        server.listen(PORT, "tcp")
        client = traffic.Peer(lab, lab.client)
        for family, icmp in ((4, "icmp"), (6, "icmpv6")):
            found, advice = reason(lab, client, f"no Underpass, IPv{family}", family)
            assert found == ["refused"] and "Set up Underpass there" in advice, (found, advice)
            forgets(lab)
            path.rules(lab, f"udp dport {PORT} reject with {icmp} port-unreachable")
            found, advice = reason(lab, client, f"refused on the path, IPv{family}", family)
            assert found == ["filtered"] and "Have the firewall let UDP" in advice, (found, advice)
            path.rules(lab)
            forgets(lab)
            head = "chain input { type filter hook input priority 0; policy accept;"
            refusal = f"udp dport {PORT} reject with {icmp} admin-prohibited"
            lab.server.set_nft_table("firewall", head, refusal, "}")
            found, advice = reason(lab, client, f"firewall of the server, IPv{family}", family)
            assert found == ["filtered"], (found, advice)
            forgets(lab)
            lab.server.set_nft_table("firewall", head, f"udp dport {PORT} drop", "}")
            found, advice = reason(lab, client, f"no answer, IPv{family}", family)
            assert found == ["silent"] and "does not answer over UDP" in advice, (found, advice)
            lab.server.set_nft_table("firewall", head, "}")
            forgets(lab)


def test_back_off():
    """A destination is tried again after ten seconds, and when that fails, after twenty; one success, and it
    begins anew."""
    with runner.TestLab() as lab:
        bring_up(lab, "tunnel=yes")
        _, client = traffic.pair(lab)
        learn_blocked(lab, client)
        assert_one(lab, "silent", BLOCKED_SECONDS)
        path.rules(lab, f"udp dport {PORT} drop")
        wait_until(lambda: states(lab) == [], "the first pause ends", PATIENCE)
        client.connect("again")
        rows = destinations(lab)
        assert len(rows) == 1 and rows[0]["seconds_left"] > BLOCKED_SECONDS, rows
        path.rules(lab)
        wait_until(lambda: states(lab) == [], "the second pause ends", 2 * PATIENCE)
        assert_tunnelled(lab, client, "at last")
        learn_blocked(lab, client, prefix="after a success ")
        assert_one(lab, "silent", BLOCKED_SECONDS)


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
