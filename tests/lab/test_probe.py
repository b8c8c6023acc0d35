# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl probe: what it says of paths that pass everything, strip, drop, refuse, clamp, translate and are narrow,
and how many packets it takes for that."""

import json
import subprocess

import path
import runner
import service
import test_rawip
import traffic
from host import wait_until
from lab import PORT, address
from test_reference import reference_object, start_reference

PACKETS_MAX = 20
UPLINKS = ("c0", "c1")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def count_packets(lab):
    """Begins to count what the client sends to the server, by uplink; the function that tells."""
    names = [f"counter {uplink} {{ }}" for uplink in UPLINKS]
    rules = [
        f'iifname "m{uplink}" {word} daddr {address("s0", family)} counter name {uplink}'
        for uplink in UPLINKS
        for word, family in (("ip", 4), ("ip6", 6))
    ]
    head = "chain come { type filter hook prerouting priority -350; policy accept;"
    lab.middlebox.set_nft_table("probe", *names, head, *rules, "}")
    return lambda: {name: packets for name, (packets, _) in lab.middlebox.nft_counters("probe").items()}


def probe(lab, *words, host=None, user=NOBODY):
    """Probes the server by each uplink, as a user without rights; what is said of each link."""
    counted = count_packets(lab)
    target = host or f"{address('s0')}:{PORT}"
    result = lab.client.run(*user, "underpassctl", "probe", "--json", target, *words, check=False)
    assert result.stdout, result.stderr
    found = {link["interface"]: link for link in json.loads(result.stdout)["links"]}
    sent = counted()
    for uplink, link in found.items():
        assert 0 < sent[uplink] <= link["packets"] <= PACKETS_MAX, (uplink, sent, link)
    return found


def show(lab, *words, host=None, check=True):
    """The same for people; notes what is printed."""
    target = host or f"{address('s0')}:{PORT}"
    text = lab.client.run("underpassctl", "probe", target, *words, check=check).stdout
    runner.note(text)
    return text


def show_errors(lab, host):
    """What is said of a probe that fails."""
    result = lab.client.run(*NOBODY, "underpassctl", "probe", host, check=False)
    assert result.returncode != 0, result
    return result.stderr


def bring_up(lab, *profiles, protocol="mptcp", strip=False, tunnel=True):
    """Links up, no tunnel on the client; a server that listens, with Underpass unless told otherwise."""
    lab.strip_mptcp(strip)
    lab.client.sysctl("net.ipv4.ping_group_range", "0 2147483647")
    if tunnel:
        service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
    service.bring_up(lab, *profiles)
    if tunnel:
        service.wait_state(lab.server, "s0", service.ACTIVE)
    if protocol:
        traffic.Peer(lab, lab.server).listen(PORT, protocol)


def outcomes(link):
    """How the three questions were answered."""
    return [link[form]["outcome"] for form in ("tcp", "mptcp", "udp")]


def ask_both(lab, family=4):
    """What is said of the first uplink, and of the second one."""
    found = probe(lab, host=f"[{address('s0', 6)}]:{PORT}" if family == 6 else None)
    assert set(found) == set(UPLINKS), found
    return [found[uplink] for uplink in UPLINKS]


def test_everything_passes():
    """No tunnel is needed; full-sized packets both ways; the links need no root, and no tunnel appears on them."""
    with runner.TestLab() as lab:
        bring_up(lab)
        for family in (4, 6):
            for link in ask_both(lab, family):
                assert outcomes(link) == ["answered", "mptcp", "mptcp"], link
                assert (link["verdict"], link["speaks_underpass"], link["command"]) == ("not-needed", True, ""), link
                assert [link[name] for name in ("mtu", "mtu_there", "mtu_lost", "mtu_back")] == [1500, 1500, 0, 1500], link
                assert link["mss"] == (1448 if family == 4 else 1428), link
                assert all(0 < link[form]["rtt_us"] < 1_000_000 for form in ("tcp", "mptcp", "udp")), link
        assert "plain MPTCP reaches" in show(lab)
        # What was begun at the server is over: no half-open connection, no flow.
        assert not lab.server.output("ss", "-Htn", "state", "syn-recv").strip()


def test_stripped_on_one_link():
    """Only one path strips: on-demand is advised for that one, by a command that does it."""
    with runner.TestLab() as lab:
        bring_up(lab)
        path.rules(lab, 'iifname "mc1" tcp option mptcp exists reset tcp option mptcp')
        for family in (4, 6):
            first, second = ask_both(lab, family)
            assert first["verdict"] == "not-needed" and second["verdict"] == "helps", (first, second)
            assert outcomes(second) == ["answered", "answered", "mptcp"], second
        text = show(lab)
        assert "option lost" in text and "Set tunnel=on-demand on c1, " in text, text
        lab.client.run("bash", "-c", second["command"])
        service.wait_state(lab.client, "c1", service.ACTIVE)
        assert "the tunnel carries MPTCP" in show(lab, host=f"[{address('s0', 6)}]:{PORT}")
        text = show(lab)
        assert "The tunnel of c1 leaves" in text and "carries MPTCP" not in text, text


def test_left_out():
    """The link has a tunnel, but not for this server: the command that is advised adds it, and takes nothing away."""
    with runner.TestLab() as lab:
        service.set_keys(lab.client, "first", "tunnel=yes", "remote-ports=443,1000-2000", "remote-addresses=192.0.2.0/24")
        bring_up(lab, "first", strip=True)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        link = probe(lab)["c0"]
        assert (link["has_tunnel"], link["tunnel_carries"], link["verdict"]) == (True, False, "helps"), link
        text = show(lab)
        assert "The tunnel of c0 leaves" in text and "carries MPTCP" not in text, text
        lab.client.run("bash", "-c", link["command"])
        link = probe(lab)["c0"]
        assert (link["tunnel_carries"], link["mptcp"]["outcome"], link["command"]) == (True, "mptcp", ""), link
        text = show(lab)
        assert "no tunnel is needed" not in text and "plain MPTCP reaches" not in text, text
        settings = {row[0]: row[1] for row in service.link(lab.client, "c0")["Settings"]}
        assert settings["remote-ports"] == f"443,1000-2000,{PORT}", settings
        assert settings["remote-addresses"] == f"{address('s0')}/32,192.0.2.0/24", settings
        lab.strip_mptcp(True)
        client = traffic.Peer(lab, lab.client)
        client.connect("a")
        client.transfer("echo", "a", size=100)
        assert not client.info("a")["fallback"]


def test_dropped():
    """A firewall drops SYNs with MPTCP options, or the answers to them; the probe does not make the kernel avoid MPTCP."""
    with runner.TestLab() as lab:
        bring_up(lab, "first")
        for rule in ('iifname "mc0" tcp option mptcp exists drop', 'oifname "mc0" tcp option mptcp exists drop'):
            path.rules(lab, rule)
            (link,) = probe(lab).values()
            assert outcomes(link) == ["answered", "silence", "mptcp"] and link["verdict"] == "helps", link
        path.rules(lab)
        (link,) = probe(lab).values()
        assert link["verdict"] == "not-needed", link


def test_tcp_blocked():
    """No TCP at all gets there, by a refusal or without a word, while the tunnel does."""
    with runner.TestLab() as lab:
        bring_up(lab, "first")
        for rule, outcome in (("drop", "silence"), ("reject", "filtered"), ("reject with tcp reset", "refused")):
            path.rules(lab, f"tcp dport {PORT} {rule}")
            for family in (4, 6):
                (link,) = probe(lab, host=f"[{address('s0', 6)}]:{PORT}" if family == 6 else None).values()
                assert [link["tcp"]["outcome"], link["udp"]["outcome"]] == [outcome, "mptcp"], link
                assert link["verdict"] == "helps", link


def test_udp_blocked():
    """The path strips, and UDP is dropped, or refused by the way."""
    with runner.TestLab() as lab:
        bring_up(lab, strip=True)
        for rule, outcome, verdict in (
            ("drop", "silence", "udp-silent"),
            ("reject", "filtered", "udp-filtered"),
            ("reject with icmpx admin-prohibited", "filtered", "udp-filtered"),
        ):
            path.rules(lab, f"udp dport {PORT} {rule}")
            for family in (4, 6):
                for uplink, link in zip(UPLINKS, ask_both(lab, family)):
                    assert outcomes(link) == ["answered", "answered", outcome] and link["verdict"] == verdict, link
                    said = address(uplink, family, router=True) if outcome == "filtered" else ""
                    assert link["udp"]["from"] == said, link
            show(lab)


def test_firewall_of_this_host():
    """It lets TCP out and no UDP. A tunnel is no concern of it, but a probe is: that says nothing of the
    way, and teaches the tunnel nothing."""
    with runner.TestLab() as lab:
        bring_up(lab, strip=True)
        for verb in ("drop", "reject"):
            lab.client.set_nft_table(
                "own", "chain out { type filter hook output priority 0;", f"udp dport {PORT} {verb}", "}"
            )
            for family in (4, 6):
                for link in ask_both(lab, family):
                    assert outcomes(link) == ["answered", "answered", "not-sent"], link
                    assert (link["udp"]["error"], link["verdict"]) == ("EPERM", "udp-not-sent"), link
        text = " ".join(show(lab).split())
        assert "kept back by the firewall of this host" in text and f"send UDP to port {PORT}," in text, text
        service.set_tunnels(lab)
        service.bring_up(lab)
        for uplink in UPLINKS:
            service.wait_state(lab.client, uplink, service.ACTIVE)
        client = traffic.Peer(lab, lab.client)
        for name in ("before", "after"):
            client.connect(name)
            client.transfer("echo", name, size=100)
            assert not client.info(name)["fallback"], f"{name} the service has probed"
            told = lab.client.output("underpassctl", "probe", "--json", f"{address('s0')}:{PORT}")
            for link in json.loads(told)["links"]:
                assert link["udp"]["outcome"] == "not-sent", link


def test_server_without_underpass():
    """The server itself refuses UDP: with and without MPTCP there, on a path that strips and on one that does not."""
    with runner.TestLab() as lab:
        bring_up(lab, tunnel=False)
        path.rules(lab, 'iifname "mc1" tcp option mptcp exists reset tcp option mptcp')
        for family in (4, 6):
            first, second = ask_both(lab, family)
            assert outcomes(first) == ["answered", "mptcp", "refused"] and first["verdict"] == "not-needed", first
            assert outcomes(second) == ["answered", "answered", "refused"], second
            assert second["verdict"] == "no-underpass" and second["udp"]["from"] == second["address"], second
            assert not second["speaks_underpass"] and not second["command"], second
        text = show(lab)
        assert "Set up Underpass on the server" in text and "A tunnel does not help the other links" in text, text
        text = show(lab, "c1")
        assert "or the server has no MPTCP" in text.replace("\n       ", " "), text


def test_server_without_mptcp():
    """Underpass is there, and the program uses plain TCP: no tunnel helps."""
    with runner.TestLab() as lab:
        bring_up(lab, "first", protocol="tcp")
        for family in (4, 6):
            (link,) = probe(lab, host=f"[{address('s0', 6)}]:{PORT}" if family == 6 else None).values()
            assert outcomes(link) == ["answered", "answered", "answered"], link
            assert link["verdict"] == "server-without-mptcp" and link["speaks_underpass"], link
        assert "its program does not use MPTCP" in show(lab)


def test_nothing_listens():
    """With Underpass the refusal comes in UDP form; without it by ICMP. Exit status 1."""
    with runner.TestLab() as lab:
        bring_up(lab, "first", protocol=None)
        (link,) = probe(lab).values()
        assert outcomes(link) == ["refused"] * 3 and link["verdict"] == "closed", link
        assert link["speaks_underpass"], link
        (link,) = probe(lab, host=f"{address('s0')}:9").values()
        assert outcomes(link) == ["refused"] * 3 and link["verdict"] == "closed", link
        assert not link["speaks_underpass"], link
        assert lab.client.run("underpassctl", "probe", f"{address('s0')}:9", check=False).returncode == 1


def test_nobody_there():
    """Everything is dropped: the probe ends, and says so."""
    with runner.TestLab() as lab:
        bring_up(lab)
        path.rules(lab, f'ip daddr {address("s0")} drop')
        for link in ask_both(lab):
            assert outcomes(link) == ["silence"] * 3 and link["verdict"] == "unreached", link
        assert "Nothing gets an answer" in show(lab, check=False)


def test_translated():
    """Behind a NAT the same is found."""
    with runner.TestLab() as lab:
        bring_up(lab, strip=True)
        path.translate(lab, c0=(20000, 20999), c1=(30000, 30999))
        for link in ask_both(lab):
            assert outcomes(link) == ["answered", "answered", "mptcp"] and link["verdict"] == "helps", link
            assert (link["mtu_there"], link["mtu_back"]) == (1500, 1500), link


def test_clamped():
    """A router lowers the MSS of TCP, which it cannot see in the UDP form."""
    with runner.TestLab() as lab:
        bring_up(lab, "first")
        path.rules(lab, "tcp flags syn tcp option maxseg size set 1200")
        (link,) = probe(lab).values()
        assert link["mss"] == 1188 and link["mtu_there"] == 1500, link


def test_narrow():
    """A narrow way there: where routers say so the size is exact, and where they do not it is the next usual one."""
    with runner.TestLab() as lab:
        bring_up(lab, "first")
        path.narrow(lab, 1400)
        for family in (4, 6):
            (link,) = probe(lab, host=f"[{address('s0', 6)}]:{PORT}" if family == 6 else None).values()
            assert (link["mtu_there"], link["mtu_lost"], link["mtu_back"]) == (1400, 1500, 1400), link
            assert link["verdict"] == "not-needed", link


def test_black_hole():
    """Large packets get lost without a word, there, or only on the way back."""
    with runner.TestLab() as lab:
        bring_up(lab, "first")
        for family in (4, 6):
            path.rules(lab, 'iifname "mc0" meta length > 1420 drop')
            host = f"[{address('s0', 6)}]:{PORT}" if family == 6 else None
            (link,) = probe(lab, host=host).values()
            assert (link["mtu_there"], link["mtu_lost"], link["mtu_back"]) == (1400, 1492, 1400), link
            path.rules(lab, 'oifname "mc0" meta length > 1420 drop')
            (link,) = probe(lab, host=host).values()
            assert (link["mtu_there"], link["mtu_lost"], link["mtu_back"]) == (1500, 0, 0), link


def test_fragmented_on_the_way_back():
    """The answer to a large packet comes in parts: their size is what the way back carries. IPv4 only, as nobody may cut
    packets of IPv6."""
    with runner.TestLab() as lab:
        bring_up(lab, "first")
        lab.middlebox.run("ip", "route", "replace", address("c0"), "dev", "mc0", "mtu", "lock", "1300")
        (link,) = probe(lab).values()
        assert link["mtu_there"] == 1500 and 1280 <= link["mtu_back"] <= 1300, link


def test_without_echoes():
    """A user who may send no ICMP echoes still gets everything but the way back."""
    with runner.TestLab() as lab:
        bring_up(lab, "first")
        lab.client.sysctl("net.ipv4.ping_group_range", "1 0")
        (link,) = probe(lab).values()
        assert (link["mtu_there"], link["mtu_back"], link["verdict"]) == (1500, 0, "not-needed"), link


def test_mptcp_off():
    """The client's kernel has MPTCP switched off: said so, whether the server has Underpass or not. Nobody has asked plain
    MPTCP, so nothing is learnt of it."""
    with runner.TestLab() as lab:
        bring_up(lab, "first", tunnel=False)
        lab.client.sysctl("net.mptcp.enabled", 0)
        (link,) = probe(lab).values()
        assert outcomes(link) == ["answered", "not-sent", "refused"], link
        assert link["verdict"] == "kernel-without-mptcp", link
        assert "sysctl net.mptcp.enabled=1" in show(lab)
    with runner.TestLab() as lab:
        on_demand(lab)
        lab.client.sysctl("net.mptcp.enabled", 0)
        link = probe(lab, "c0", user=())["c0"]
        assert outcomes(link) == ["answered", "not-sent", "mptcp"], link
        assert (link["verdict"], link["command"]) == ("kernel-without-mptcp", ""), link
        assert "stripped" not in destinations(lab), destinations(lab)


def test_names():
    """A name with addresses of both families: each link asks the one that it leads to."""
    with runner.TestLab() as lab:
        bring_up(lab, "first")
        words = ("ipv4.method", "disabled", "ipv4.addresses", "", "ipv4.gateway", "")
        lab.client.run("nmcli", "connection", "modify", "second", *words)
        lab.client.up("second")
        lab.client.write("/etc/hosts", f"{address('s0')} server.test\n{address('s0', 6)} server.test\n")
        found = probe(lab, host=f"server.test:{PORT}")
        assert found["c1"]["address"] == address("s0", 6), found
        assert all(link["verdict"] == "not-needed" for link in found.values()), found


def test_raw_ip():
    """Devices without Ethernet header: a neighbour, and a host that only a default route without gateway leads to."""
    with runner.TestLab() as lab:
        lab.client.sysctl("net.ipv4.ping_group_range", "0 2147483647")
        lab.server.write("/etc/underpass/line.conf", test_rawip.PROFILES[test_rawip.SERVER])
        lab.server.run("underpassctl", "reload")
        with test_rawip.Line(lab) as line:
            line.up()
            service.wait_state(lab.server, test_rawip.SERVER, service.ACTIVE)
            traffic.Peer(lab, lab.server).listen(PORT)
            far = {4: "10.99.0.9", 6: "2001:db8:99::9"}
            for family in (4, 6):
                lab.server.run("ip", "address", "add", far[family], "dev", test_rawip.SERVER)
                lab.client.run("ip", f"-{family}", "route", "add", "default", "dev", test_rawip.CLIENT)
            for family, target in (*test_rawip.ADDRESSES[test_rawip.SERVER].items(), *far.items()):
                target = f"[{target}]:{PORT}" if family == 6 else f"{target}:{PORT}"
                text = lab.client.run(*NOBODY, "underpassctl", "probe", "--json", target).stdout
                (link,) = json.loads(text)["links"]
                assert outcomes(link) == ["answered", "mptcp", "mptcp"], link
                assert (link["interface"], link["mtu_there"], link["mtu_back"]) == (test_rawip.CLIENT, 1500, 1500), link


def test_file_is_kept():
    """The command for a link without a network manager writes a file, but not over one that is there."""
    with runner.TestLab() as lab:
        file, before = f"/etc/underpass/{test_rawip.CLIENT}.conf", "[Match]\nName=other\n\n[X-Underpass]\nTunnel=no\n"
        lab.server.write("/etc/underpass/line.conf", test_rawip.PROFILES[test_rawip.SERVER])
        lab.server.run("underpassctl", "reload")
        with test_rawip.Line(lab) as line:
            line.up()
            service.wait_state(lab.server, test_rawip.SERVER, service.ACTIVE)
            traffic.Peer(lab, lab.server).listen(PORT)
            lab.client.run("nmcli", "device", "set", test_rawip.CLIENT, "managed", "no")
            wait_until(lambda: not service.link(lab.client, test_rawip.CLIENT)["Connection"][1], "it is nobody's")
            strip = f'iifname "{test_rawip.CLIENT}" tcp option mptcp exists reset tcp option mptcp'
            head = "chain come { type filter hook prerouting priority -350; policy accept;"
            lab.client.set_nft_table("strip", head, strip, "}")
            words = ("underpassctl", "probe", "--json", f"{test_rawip.ADDRESSES[test_rawip.SERVER][4]}:{PORT}")
            (link,) = json.loads(lab.client.run(*words).stdout)["links"]
            assert link["verdict"] == "helps" and f">'{file}'" in link["command"], link
            lab.client.write(file, before)
            assert lab.client.run("sh", "-c", link["command"], check=False).returncode != 0
            assert lab.client.path(file).read_text() == before
            lab.client.path(file).unlink()
            lab.client.run("sh", "-c", link["command"])
            service.wait_state(lab.client, test_rawip.CLIENT, service.ACTIVE)
            (link,) = json.loads(lab.client.run(*words).stdout)["links"]
            assert (link["tunnel_carries"], link["command"]) == (True, ""), link
            lab.client.run("underpassctl", "deactivate", test_rawip.CLIENT)
            (link,) = json.loads(lab.client.run(*words).stdout)["links"]
            assert (link["verdict"], link["has_tunnel"], link["command"]) == ("helps", False, ""), link


def test_routed():
    """A link that has no default route is asked where a route of its own leads to the host, be it in a table for what has
    the link's address; and a link that no route leads by is not."""
    with runner.TestLab() as lab:
        bring_up(lab)
        for uplink in UPLINKS:
            for family in (4, 6):
                lab.client.run("ip", f"-{family}", "route", "flush", "default", "dev", uplink)
        for family in (4, 6):
            target, gateway = address("s0", family), address("c0", family, router=True)
            host = f"[{target}]:{PORT}" if family == 6 else f"{target}:{PORT}"
            route = ("ip", f"-{family}", "route", "add", target, "via", gateway, "dev", "c0")
            assert "No link leads to" in show_errors(lab, host)
            lab.client.run(*route)
            assert set(probe(lab, host=host)) == {"c0"}
            lab.client.run("ip", f"-{family}", "route", "delete", target)
            lab.client.run(*route, "table", 7)
            lab.client.run("ip", f"-{family}", "rule", "add", "from", address("c0", family), "lookup", 7)
            (link,) = probe(lab, host=host).values()
            assert (link["interface"], link["verdict"]) == ("c0", "not-needed"), link


def destinations(lab):
    """What is known of destinations: their states."""
    return [row[3] for row in service.manager_call(lab.client, "ListDestinations")["data"][0]]


def on_demand(lab, *more):
    """The client's first uplink on demand, its path strips from the very first connection on; the client's peer."""
    service.set_keys(lab.client, "first", "tunnel=on-demand", f"remote-ports={PORT}", *more)
    bring_up(lab, "first", strip=True)
    service.wait_state(lab.client, "c0", service.ACTIVE)
    return traffic.Peer(lab, lab.client)


def test_doubt():
    """On demand, and the only uplink strips from the very first connection on: that one falls back, the service probes, and
    the next one is tunnelled. IPv4 and IPv6."""
    with runner.TestLab() as lab:
        client = on_demand(lab)
        for family in (4, 6):
            counted = count_packets(lab)
            client.connect(f"first {family}", address("s0", family))
            client.transfer("echo", f"first {family}", size=100)
            assert client.info(f"first {family}")["fallback"]
            wait_until(lambda: "stripped" in destinations(lab), "the probe is answered")
            assert path.forwarded(lab, "udp") <= 8, lab.counters()
            before = counted()["c0"]
            client.connect(f"second {family}", address("s0", family))
            client.transfer("echo", f"second {family}", size=100)
            assert not client.info(f"second {family}")["fallback"], "the second connection has no MPTCP"
            runner.note(f"IPv{family}: {before} packets up to the end of the probe")
            service.manager_call(lab.client, "Forget", "ssq", "c0", "", "0")
            lab.strip_mptcp(True)


def test_doubt_about_a_server_without_mptcp():
    """A server that simply has no MPTCP stays plain, whether it has Underpass, refuses UDP, or drops it. It is probed once in
    ten minutes, by few datagrams."""
    for tunnel, rule, most in ((True, "accept", 2), (False, "accept", 1), (True, "drop", 3)):
        with runner.TestLab() as lab:
            service.set_keys(lab.client, "first", "tunnel=on-demand", f"remote-ports={PORT}")
            bring_up(lab, "first", protocol="tcp", tunnel=tunnel)
            service.wait_state(lab.client, "c0", service.ACTIVE)
            lab.middlebox.set_nft_table(
                "count", "counter probes { }", "chain come { type filter hook prerouting priority -350; policy accept;",
                f'iifname "mc0" udp dport {PORT} counter name probes', "}",
            )
            path.rules(lab, f"udp dport {PORT} {rule}")
            probes = lambda: lab.middlebox.nft_counters("count")["probes"][0]  # noqa: E731
            client = traffic.Peer(lab, lab.client)
            client.connect("a")
            wait_until(lambda: probes() >= most, "the server is probed")
            for name in "bc":
                service.manager_call(lab.client, "Forget", "ssq", "c0", "", "0")
                client.connect(name)
            assert destinations(lab) == ["no-mptcp"], destinations(lab)
            assert probes() == most, probes()
            client.transfer("upload", "c", size=10_000)
            assert service.counters(lab.client, "c0")["flows-opened"] == 0


def test_taught():
    """Root probes by a link that has a tunnel: the tunnel knows of the path at once, and the first connection is right."""
    with runner.TestLab() as lab:
        client = on_demand(lab)
        found = probe(lab, "c0", user=())["c0"]
        assert outcomes(found) == ["answered", "answered", "mptcp"] and found["has_tunnel"], found
        assert destinations(lab) == ["stripped"], destinations(lab)
        client.connect("first")
        client.transfer("echo", "first", size=100)
        assert not client.info("first")["fallback"]
        client.close("first")
        wait_until(lambda: f":{PORT}" not in lab.client.output("ss", "-Htn"), "the connection is gone", 70)
        # A server that refuses UDP is left in peace.
        lab.server.run("underpassctl", "deactivate", "s0")
        found = probe(lab, "c0", user=())["c0"]
        assert found["udp"]["outcome"] == "refused", found
        assert sorted(destinations(lab)) == ["refused", "stripped"], destinations(lab)
        # Who may not teach still sees.
        assert "UDP form" in lab.client.run(*NOBODY, "underpassctl", "probe", f"{address('s0')}:{PORT}").stdout


def test_limits():
    """One probe at a time by each link; no link without a tunnel; nothing but an address and a port."""
    with runner.TestLab() as lab:
        on_demand(lab)
        path.rules(lab, "meta l4proto udp drop")
        words = ("busctl", "call", service.BUS_NAME, service.MANAGER, service.BUS_NAME + ".Manager", "Probe", "ssq")
        first = lab.client.spawn([*words, "c0", address("s0"), str(PORT)], stdout=subprocess.DEVNULL)
        wait_until(lambda: lab.client.pids("underpass-prober"), "the prober runs")
        refused = lab.client.run(*words, "c0", address("s0"), PORT, check=False)
        assert "under way" in refused.stderr, refused
        assert first.wait(timeout=20) == 0
        for interface, target, port, text in (
            ("c1", address("s0"), PORT, "has no tunnel"),
            ("ghost", address("s0"), PORT, "no interface named"),
            ("c0", "server.test", PORT, "is not an IP address"),
            ("c0", address("s0"), 0, "0 is not a port"),
        ):
            refused = lab.client.run(*words, interface, target, port, check=False)
            assert refused.returncode != 0 and text in refused.stderr, refused
        stranger = lab.client.run(*NOBODY, *words, "c0", address("s0"), PORT, check=False)
        assert stranger.returncode != 0, stranger
        prober = ("org.underpass1.Prober", "/org/underpass1/Prober", "org.underpass1.Prober", "Ask", "ssqb")
        stranger = lab.client.run(*NOBODY, "busctl", "call", *prober, "c0", address("s0"), PORT, "true", check=False)
        assert stranger.returncode != 0, stranger
        wait_until(lambda: not lab.client.pids("underpass-prober"), "the prober leaves", 20)


def test_reference():
    """A server with the programs of multipath-tcp/tcp-in-udp, on a path that strips."""
    program = reference_object()
    with runner.TestLab() as lab:
        bring_up(lab, "first", tunnel=False, strip=True)
        start_reference(lab.server, program, "s0")
        for family in (4, 6):
            (link,) = probe(lab, host=f"[{address('s0', 6)}]:{PORT}" if family == 6 else None).values()
            assert link["udp"]["outcome"] == "mptcp" and link["verdict"] == "helps", link
