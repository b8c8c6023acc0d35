# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of one flow on several links: a server that answers by its other uplink, routes and policies that
change while a connection lives, a line that comes and goes, subflows that cross. The link that a packet is on
decides. No network manager has a say; profiles are files.

    client  c0, c1 ── middlebox ── s0, s1  server
            wwan7 ──── a line ──── line0            without Ethernet header, in some tests
"""

import contextlib
import fnmatch
import json
import random
import socket

import craft
import path
import runner
import service
import state
import test_router
import test_security
import traffic
import wire
from host import wait_until
from lab import PORT, address
from test_rawip import ADDRESSES, CLIENT, SERVER, Line

SECOND = {4: ("10.77.10.1", "10.77.10.2"), 6: ("2001:db8:77:10::1", "2001:db8:77:10::2")}  # ms1, s1
RATE = 4_000_000
PIECE = 400_000  # bytes that show that a transfer goes on
BLIND = 300
FIRST = 1.6  # seconds: one more SYN, or the one more SYN-ACK that answers it
FLUENT = 1.0  # seconds: less than the first SYN over UDP that is not answered costs


def profile(names, *lines):
    """Text of a profile for links with these names."""
    return "\n".join(["[Match]", f"Name={names}", "[X-Underpass]", "Tunnel=yes", *lines, ""])


def set_address(host, interface, near, router=None, metric=None):
    """An address, and the default route if there is a router."""
    family = "-6" if ":" in near else "-4"
    nodad = ("nodad",) if family == "-6" else ()
    host.run("ip", "address", "add", near + ("/64" if nodad else "/24"), "dev", interface, *nodad)
    host.run("ip", "link", "set", interface, "up")
    if router:
        route = ("default", "via", router, "dev", interface, "metric", metric)
        host.run("ip", family, "route", "add", *route)


def dress(lab):
    """Addresses and routes of both hosts: the first uplink of each has the better metric."""
    lab.cable(lab.middlebox, "ms1", lab.server, "s1", {family: ends[:1] for family, ends in SECOND.items()})
    for family in (4, 6):
        for host, interface, metric in ((lab.client, "c0", 100), (lab.client, "c1", 200), (lab.server, "s0", 100)):
            set_address(host, interface, address(interface, family), address(interface, family, True), metric)
        set_address(lab.server, "s1", SECOND[family][1], SECOND[family][0], 200)
    for host in lab.hosts:
        for which in ("all", "default", *host.output("ls", "/sys/class/net").split()):
            host.sysctl(f"net.ipv4.conf.{which}.rp_filter", 0)


@contextlib.contextmanager
def hosts(*more, client="[cw]*", server="[sl]*", options=(), announce=False):
    """A lab with tunnels on the links of these names. more: lines of the client's profile. announce: MPTCP
    announces the server's addresses."""
    with runner.TestLab(manager=False) as lab:
        dress(lab)
        announced = ("MPTCPEndpoint=signal",) if announce else ()
        for host, text in (
            (lab.client, profile(client, f"RemotePorts={PORT}", *more)),
            (lab.server, profile(server, f"LocalPorts={PORT}", "MPTCPOnly=no", *announced)),
        ):
            host.write("/etc/underpass/uplinks.conf", text)
            host.start_bus()
            if options:
                service.set_options(host, *options)
            service.manager_call(host, "ListLinks")
        for host, interfaces, pattern in ((lab.client, ("c0", "c1"), client), (lab.server, ("s0", "s1"), server)):
            for interface in fnmatch.filter(interfaces, pattern):
                service.wait_state(host, interface, service.ACTIVE)
        lab.server.sysctl("net.mptcp.enabled", 1)
        yield lab


@contextlib.contextmanager
def line(lab):
    """The line without Ethernet header, with its tunnels, and no routes over it."""
    with Line(lab) as wires:
        wires.up()
        for host, device in ((lab.client, CLIENT), (lab.server, SERVER)):
            host.sysctl(f"net.ipv4.conf.{device}.rp_filter", 0)
            service.wait_state(host, device, service.ACTIVE)
        yield wires


def wait_link(host, port, interface):
    """Waits until the host says that the tunnelled flow with this port of the client is on this link."""

    def there():
        answer = json.loads(host.output("underpassctl", "flows", "--json"))
        ours = [flow for flow in answer["flows"] if flow["local_port"] == port and flow["state"] == "tunnelled"]
        return [flow["interface"] for flow in ours] == [interface]

    wait_until(there, f"{host.name}: the flow is on {interface}", 4)


def goes_on(peer, name="a", seconds=4.0):
    """Waits until the transfer has moved on."""
    before = peer.progress(name)
    assert before["running"], peer.wait(name)
    wait_until(lambda: peer.progress(name)["bytes"] > before["bytes"] + PIECE, "the transfer goes on", seconds)


def nothing_plain(lab):
    """No packet of the port has passed the middlebox as TCP, and none was lost on the way to a link."""
    counted = lab.counters()
    assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
    for host in (lab.client, lab.server):
        for interface in host.output("ls", "/sys/class/net").split():
            if interface[0] in "cs":
                odd = {key: value for key, value in service.counters(host, interface).items()
                       if value and key.startswith(("drop", "fallback"))}
                assert not odd, f"{host.name}, {interface}: {odd}"


def both_ways(peer, name="a"):
    """Bulk there and back."""
    for task in ("upload", "download"):
        peer.transfer(task, name, size=3_000_000, timeout=30)


def answers_by_the_other(families, options=()):
    """The client asks for the address of the server's second uplink; answers leave by the first."""
    with hosts("MPTCPOnly=no", options=options) as lab:
        _, client = traffic.pair(lab)
        for family in families:
            for protocol in ("tcp", "mptcp"):
                took = client.connect("a", SECOND[family][1], protocol=protocol)["seconds"]
                assert took < FLUENT, f"IPv{family}, {protocol}: {took:.2f} s to connect"
                runner.note(f"IPv{family}, {protocol}: connected in {took * 1000:.0f} ms")
                both_ways(client)
                client.close("a")
        nothing_plain(lab)
        sent = {name: service.counters(lab.server, name)["sent"] for name in ("s0", "s1")}
        received = {name: service.counters(lab.server, name)["received"] for name in ("s0", "s1")}
        assert sent["s1"] == 0 and sent["s0"] > 1000, sent
        assert received["s0"] == 0 and received["s1"] > 1000, received


def test_server_answers_by_the_other():
    """A server with two uplinks whose default route leads by the one that it was not asked on."""
    answers_by_the_other((4, 6))


def test_server_answers_by_the_other_clsact():
    """The same with the filters of kernels without tcx."""
    answers_by_the_other((4,), ("--attach-point=clsact",))


def answers_without_header(lab, client):
    """Connections with one direction on the line, then with none."""
    for family in (4, 6):
        for host, target, device in (
            (lab.server, address("c0", family), SERVER),
            (lab.client, address("s0", family), CLIENT),
        ):
            host.run("ip", "route", "add", target, "dev", device)
            took = client.connect("a", address("s0", family), source=address("c0", family))["seconds"]
            assert took < FLUENT, f"IPv{family}, {host.name} by {device}: {took:.2f} s to connect"
            both_ways(client)
            host.run("ip", "route", "del", target, "dev", device)
            both_ways(client)
            client.close("a")


def test_server_answers_without_header():
    """Asked over Ethernet, answered over the line without Ethernet header, and the other way round."""
    with hosts("MPTCPOnly=no") as lab:
        _, client = traffic.pair(lab)
        with line(lab) as wires:
            answers_without_header(lab, client)
        nothing_plain(lab)
        report = wire.judge(wire.read_pcap(wires.path), PORT)
        report.assert_tunnelled("the line")
        assert report.udp > 4000, f"{report}"


def moving(lab, client, changes, target=None):
    """A transfer during which routes change, some times over. changes: a list of commands of ip, each with its
    host, and the link of the client that its packets leave by then; before the first that is c0."""
    port = client.connect("a", target)["port"]
    client.start("uploads", "a", rate=RATE)
    goes_on(client)
    wait_link(lab.client, port, "c0")
    for commands, link in 2 * changes:
        for host, *command in commands:
            host.run("ip", *command)
        goes_on(client)
        wait_link(lab.client, port, link)
    client.finish("a")
    assert client.wait("a")["equal"]
    both_ways(client)
    client.close("a")


def test_default_route_switches():
    """The default route goes to the other uplink and back: the connection does not notice."""
    with hosts("MPTCPOnly=no") as lab:
        _, client = traffic.pair(lab)
        for family in (4, 6):
            better = ("default", "via", address("c1", family, True), "dev", "c1", "metric", 50)
            there = (lab.client, f"-{family}", "route", "add", *better)
            back = (lab.client, f"-{family}", "route", "del", *better)
            moving(lab, client, [([there], "c1"), ([back], "c0")], address("s0", family))
        nothing_plain(lab)


def test_policy_routing():
    """A rule by the port sends the connection the other way, on both ends."""
    with hosts("MPTCPOnly=no") as lab:
        lab.client.run(*f"ip route add default via {address('c1', router=True)} dev c1 table 77".split())
        lab.server.run(*f"ip route add default via {SECOND[4][0]} dev s1 table 77".split())

        def rules(verb):
            words = ("ipproto", "tcp", "lookup", 77)
            return [
                (lab.client, "rule", verb, "dport", PORT, *words),
                (lab.server, "rule", verb, "sport", PORT, *words),
            ]

        moving(lab, traffic.pair(lab)[1], [(rules("add"), "c1"), (rules("del"), "c0")])
        nothing_plain(lab)
        assert service.counters(lab.server, "s1")["sent"] > 100


def test_vpn_comes_and_goes():
    """A line with a tunnel of its own comes up, takes the route to the server, and goes away again with it."""
    with hosts("MPTCPOnly=no") as lab:
        before = {host: state.host_state(host) for host in (lab.client, lab.server)}
        _, client = traffic.pair(lab)
        port = client.connect("a", protocol="tcp")["port"]
        client.start("uploads", "a", rate=RATE)
        goes_on(client)
        for _ in range(2):
            with line(lab) as wires:
                lab.client.run("ip", "route", "add", address("s0"), "dev", CLIENT)
                goes_on(client)
                wait_link(lab.client, port, CLIENT)
                assert service.counters(lab.server, SERVER)["received"] > 100
            goes_on(client)
            wait_link(lab.client, port, "c0")
            wire.judge(wire.read_pcap(wires.path), PORT).assert_tunnelled("the line")
        client.finish("a")
        assert client.wait("a")["equal"]
        nothing_plain(lab)
        for host, then in before.items():
            state.assert_becomes(then, host, f"{host.name}: the line has gone")


def test_subflows_cross():
    """Each address of the client with each of the server, whichever links they leave and come by."""
    with hosts() as lab:
        lab.client.run("ip", "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
        lab.server.run("ip", "mptcp", "limits", "set", "subflow", "8")
        lab.server.run("ip", "mptcp", "endpoint", "add", SECOND[4][1], "dev", "s1", "signal")
        lab.client.run("ip", "mptcp", "endpoint", "add", address("c1"), "subflow", "fullmesh")
        lab.client.run("ip", "mptcp", "endpoint", "add", address("c0"), "subflow", "fullmesh")
        _, client = traffic.pair(lab)
        for _ in range(2):
            client.connect("a")
            client.transfer("echo", "a", size=1000)
            ours = [address("c0"), address("c1")]
            traffic.wait_subflows(lab.client, sorted(2 * ours))
            both_ways(client)
            assert client.info("a")["fallback"] is False
            client.close("a")
        nothing_plain(lab)
        # Both addresses of the client leave by its first uplink, whatever they are.
        assert service.counters(lab.client, "c0")["sent"] > 100
        assert service.counters(lab.client, "c1")["received"] > 100


def test_blind_segments_move_nothing():
    """Who knows addresses and ports but no sequence number sends to either end by its other link: the
    connection stays where routing has it."""
    with hosts("MPTCPOnly=no") as lab:
        _, client = traffic.pair(lab)
        port = client.connect("a", protocol="tcp")["port"]
        client.start("uploads", "a", rate=RATE)
        goes_on(client)
        here, there = (address("c0"), port), (address("s0"), PORT)
        rolls = random.Random(3)
        segments = [
            craft.wrapped(there, here, craft.ACK, rolls.randrange(1 << 32), rolls.randrange(1 << 32))
            for _ in range(BLIND)
        ]
        path.inject(lab, "c1", segments)
        assert service.counters(lab.client, "c1")["received"] == BLIND
        goes_on(client)
        wait_link(lab.client, port, "c0")
        assert service.counters(lab.client, "c1")["sent"] == 0
        client.finish("a")
        assert client.wait("a")["equal"]
        nothing_plain(lab)


@contextlib.contextmanager
def host_behind(lab):
    """Makes the client a router, without translation, for a further host."""
    with test_router.host_behind(lab, masquerade=False) as inner:
        for family in (4, 6):
            way = (test_router.INSIDE[family][1], "via", address("c0", family))
            lab.middlebox.run("ip", f"-{family}", "route", "add", *way)
        lab.client.sysctl("net.ipv4.conf.lan.rp_filter", 0)
        yield inner


def test_forwarded():
    """What a router forwards changes uplinks like what it sends itself."""
    with hosts("MPTCPOnly=no") as lab, line(lab), host_behind(lab) as inner:
        server, client = traffic.Peer(lab, lab.server), traffic.Peer(lab, inner)
        server.listen(PORT)
        for family in (4, 6):
            changes = []
            for words, link in (
                (("default", "via", address("c1", family, True), "dev", "c1", "metric", 50), "c1"),
                ((address("s0", family), "dev", CLIENT), CLIENT),
            ):
                changes.append(([(lab.client, f"-{family}", "route", "add", *words)], link))
                changes.append(([(lab.client, f"-{family}", "route", "del", *words)], "c0"))
            moving(lab, client, changes, address("s0", family))
        nothing_plain(lab)


def test_syns_in_the_name_of_a_host_behind():
    """A user of a router without rights opens connections from address and port of a host behind it, whose own one
    stays in the tunnel: nothing but those SYNs is plain."""
    with hosts() as lab, host_behind(lab) as inner:
        server, client = traffic.Peer(lab, lab.server), traffic.Peer(lab, inner)
        server.listen(PORT)
        port = client.connect("a", address("s0", 6))["port"]
        client.start("uploads", "a", rate=RATE)
        goes_on(client)
        for protocol in (socket.IPPROTO_TCP, test_security.IPPROTO_MPTCP):
            inside = test_router.INSIDE[6][1]
            said = test_security.connect_as_nobody(lab, inside, protocol=protocol, source_port=port)
            assert said == "timed out\n", said
            goes_on(client)
        client.finish("a")
        assert client.wait("a")["equal"]
        plain = path.forwarded(lab, "tcp")
        assert 1 <= plain <= 6, f"{plain} packets were plain, SYNs of the user among them"
        assert service.counters(lab.client, "c0")["plain-not-mptcp"] >= 1


def carried(lab, link):
    """What a link says that has programs only for connections that have moved to it."""
    found = service.wait_state(lab.client, link, service.ACTIVE)
    assert "new ones do not use the tunnel" in found["Reason"], found["Reason"]
    return found


def moves_to(lab, client, link, there, target=None):
    """A connection whose route moves to a link without tunnel, where plain TCP does not pass, and back."""
    before = state.host_state(lab.client)
    port = client.connect("a", target)["port"]
    client.start("uploads", "a", rate=RATE)
    goes_on(client)
    path.rules(lab, f"tcp dport {PORT} drop", f"tcp sport {PORT} drop")
    lab.client.run("ip", *there[:2], "add", *there[2:])
    goes_on(client)
    wait_link(lab.client, port, link)
    carried(lab, link)
    return before


def ends_again(lab, client, link, there, before):
    """The connection ends where it is; with it the programs go."""
    client.finish("a")
    assert client.wait("a")["equal"]
    assert service.counters(lab.client, link)["flows-opened"] == 0
    client.close("a")
    path.rules(lab)
    client.connect("plain", protocol="tcp")
    both_ways(client, "plain")
    assert service.counters(lab.client, link)["flows-opened"] == 0
    client.close("plain")
    lab.client.run("ip", *there[:2], "del", *there[2:])
    service.wait_state(lab.client, link, "off", 90)
    state.assert_becomes(before, lab.client, "the connection has ended")


def test_link_without_tunnel():
    """The default route moves to a link without tunnel: the connection goes on there in its form, over a
    restart of the service; nothing else uses the tunnel there; at its end the link is as before."""
    with hosts("MPTCPOnly=no", client="[c]0") as lab:
        _, client = traffic.pair(lab)
        for family in (4, 6):
            there = (f"-{family}", "route", "default", "via", address("c1", family, True), "dev", "c1")
            before = moves_to(lab, client, "c1", there + ("metric", 50), address("s0", family))
            service.kill(lab.client)
            goes_on(client)
            service.manager_call(lab.client, "ListLinks")
            carried(lab, "c1")
            goes_on(client)
            ends_again(lab, client, "c1", there + ("metric", 50), before)


def test_link_without_tunnel_and_header():
    """The same with a line without Ethernet header that nobody asks a tunnel for on this end."""
    with hosts("MPTCPOnly=no", client="[c]*") as lab, Line(lab) as wires:
        wires.up()
        lab.server.sysctl(f"net.ipv4.conf.{SERVER}.rp_filter", 0)
        service.wait_state(lab.server, SERVER, service.ACTIVE)
        _, client = traffic.pair(lab)
        there = ("-4", "route", address("s0"), "dev", CLIENT)
        before = moves_to(lab, client, CLIENT, there)
        ends_again(lab, client, CLIENT, there, before)


def test_link_without_tunnel_forwarded():
    """The same for what a router forwards. It has no socket, so it counts as alive for a while."""
    with hosts("MPTCPOnly=no", client="[c]0") as lab, host_behind(lab) as inner:
        server, client = traffic.Peer(lab, lab.server), traffic.Peer(lab, inner)
        server.listen(PORT)
        there = ("-4", "route", "default", "via", address("c1", router=True), "dev", "c1", "metric", "50")
        before = moves_to(lab, client, "c1", there)
        lab.client.run("ip", *there[:2], "del", *there[2:])
        goes_on(client)
        service.wait_state(lab.client, "c1", "off")
        client.finish("a")
        assert client.wait("a")["equal"]
        state.assert_becomes(before, lab.client, "the connection has ended")


def answers_by_one_without(lab, client, server, link, families, targets):
    """Connections to addresses of a link with a tunnel, whose answers leave by one without, where plain TCP does not
    pass: the first waits for one more SYN at most, the next ones do not wait."""
    before = state.host_state(server)
    path.rules(lab, f"tcp dport {PORT} drop", f"tcp sport {PORT} drop")
    for family in families:
        for limit in (FIRST, FLUENT / 4):
            took = client.connect(f"{family}-{limit}", targets[family], protocol="tcp")["seconds"]
            runner.note(f"IPv{family}: connected in {took * 1000:.0f} ms")
            assert took < limit, f"IPv{family}: {took:.2f} s to connect"
            both_ways(client, f"{family}-{limit}")
    found = service.wait_state(server, link, service.ACTIVE)
    assert "new ones do not use the tunnel" in found["Reason"], found["Reason"]
    counted = service.counters(server, link)
    assert counted["sent"] > 1000 and counted["flows-accepted"] == counted["received"] == 0, counted
    for family in families:
        for limit in (FIRST, FLUENT / 4):
            client.close(f"{family}-{limit}")
    return before


def test_server_answers_by_one_without_tunnel():
    """A server with two uplinks is asked on the one that has a tunnel and answers by the one that has none, which gets
    the programs for as long as these connections live."""
    with hosts("MPTCPOnly=no", server="[s]1") as lab:
        targets = {family: SECOND[family][1] for family in (4, 6)}
        client = traffic.pair(lab)[1]
        before = answers_by_one_without(lab, client, lab.server, "s0", (4, 6), targets)
        service.wait_state(lab.server, "s0", "off", 90)
        state.assert_becomes(before, lab.server, "the connections have ended")


def test_router_answers_by_one_without_tunnel():
    """The same on a router, for the server behind it."""
    with hosts("MPTCPOnly=no", client="[c]1") as lab, host_behind(lab) as inner:
        for host, links, ports in ((lab.client, "[c]1", "LocalPorts"), (lab.server, "[s]0", "RemotePorts")):
            host.write("/etc/underpass/uplinks.conf", profile(links, f"{ports}={PORT}", "MPTCPOnly=no"))
            service.manager_call(host, "Reload")
        targets = {family: test_router.INSIDE[family][1] for family in (4, 6)}
        for family in (4, 6):
            way = (targets[family], "via", address("c1", family))
            lab.middlebox.run("ip", f"-{family}", "route", "replace", *way)
        server, client = traffic.Peer(lab, inner), traffic.Peer(lab, lab.server)
        server.listen(PORT)
        answers_by_one_without(lab, client, lab.client, "c0", (4, 6), targets)


def test_link_that_stays_without():
    """A link that was deactivated by hand takes no connection in: one whose route moves there is ended, as a
    reset would end it, and the link says so."""
    with hosts("MPTCPOnly=no", client="[c]0") as lab:
        _, client = traffic.pair(lab)
        lab.client.run("underpassctl", "deactivate", "c1")
        client.connect("a", protocol="tcp")
        client.start("uploads", "a", rate=RATE)
        goes_on(client)
        path.rules(lab, f"tcp dport {PORT} drop", f"tcp sport {PORT} drop")
        lab.client.run(*f"ip route add default via {address('c1', router=True)} dev c1 metric 50".split())
        wait_until(lambda: not client.progress("a")["running"], "the connection ends", 5)
        try:
            client.wait("a")
            raise AssertionError("the transfer has ended well")
        except traffic.PeerError as error:
            assert "Connection" in str(error), error
        assert "were ended" in lab.client.output("underpassctl", "explain", "c1")
        assert service.link(lab.client, "c1")["State"] == "off"
