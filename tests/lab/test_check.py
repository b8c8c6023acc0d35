# SPDX-License-Identifier: GPL-2.0-or-later
"""What "underpassctl check" says of whole hosts: healthy ones, and those where one thing is wrong. The line that
says so names the command that repairs it; after the command the line is good."""

import json
import os
import pathlib
import shlex
import subprocess
import time

import networkd
import path
import runner
import service
import traffic
from host import HERE, wait_until
from lab import PORT, address
from test_probe import NOBODY

BOTH = ("first", "second")
BOTH_LINKS = ("c0", "c1")


def checks(host, *arguments):
    """Rows of the command: {(interface, check, result): row}. Its exit status is 0 if no row is bad. With
    $UNDERPASS_CHECK_OUTPUTS the text goes there, too."""
    begin = time.monotonic()
    text = host.run("underpassctl", "check", *arguments, check=False)
    seconds = time.monotonic() - begin
    if "UNDERPASS_CHECK_OUTPUTS" in os.environ:
        with pathlib.Path(os.environ["UNDERPASS_CHECK_OUTPUTS"]).open("a", encoding="utf-8") as file:
            words = " ".join(["underpassctl check", *arguments])
            outcome = f"{seconds * 1000:.0f} ms, exit status {text.returncode}"
            file.write(f"{host.name}$ {words}    # {outcome}\n{text.stdout}\n")
    document = json.loads(host.run("underpassctl", "check", "--json", *arguments, check=False).stdout)
    rows = {(row["interface"], row["check"], row["result"]): row for row in document["checks"]}
    assert text.returncode == (0 if document["good"] else 1), text
    assert document["good"] == (not [key for key in rows if key[2] == "bad"]), document
    return rows


def title(text):
    """Names what follows in the file of outputs."""
    if "UNDERPASS_CHECK_OUTPUTS" in os.environ:
        with pathlib.Path(os.environ["UNDERPASS_CHECK_OUTPUTS"]).open("a", encoding="utf-8") as file:
            file.write(f"\n######## {text}\n\n")


def bad(rows):
    """What is wrong, by interface and check."""
    return {key[:2] for key in rows if key[2] == "bad"}


def only_bad(rows, interface, check, part, command):
    """Nothing else is wrong; the repair."""
    assert bad(rows) == {(interface, check)}, {key: rows[key]["sentence"] for key in rows if key[2] == "bad"}
    row = rows[interface, check, "bad"]
    assert part in row["sentence"], row
    assert row["command"] == command, row
    return row["command"]


def repair(host, command):
    """Runs it as it stands."""
    return host.run(*shlex.split(command))


def begin(lab, *pairs, profiles=("first",), ports=PORT):
    """Brings up the client with these pairs, and the server."""
    for profile in profiles:
        service.set_keys(lab.client, profile, "tunnel=yes", f"remote-ports={ports}", *pairs)
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
    service.bring_up(lab, *profiles)
    service.wait_state(lab.server, "s0", service.ACTIVE)
    for profile in profiles:
        service.wait_state(lab.client, "c0" if profile == "first" else "c1", service.ACTIVE)


def programs(lab, server="mptcp"):
    """A program that listens at PORT, and one that connects."""
    listener, client = traffic.Peer(lab, lab.server), traffic.Peer(lab, lab.client)
    listener.listen(PORT, server)
    return client


def test_healthy():
    """The middlebox strips MPTCP options, and the tunnel carries them: nothing is wrong on either side."""
    title("healthy, on a path that strips MPTCP options; both sides")
    with runner.TestLab() as lab:
        begin(lab, profiles=BOTH)
        client = programs(lab)
        traffic.connect_both(lab, client, "a")
        rows = checks(lab.client)
        assert not bad(rows), rows
        assert "2 links have a tunnel." == rows["", "tunnels", "good"]["sentence"]
        for interface in ("c0", "c1"):
            for check in ("program", "udp", "endpoint"):
                assert (interface, check, "good") in rows, rows.keys()
        rows = checks(lab.server)
        assert not bad(rows), rows
        assert ("s0", "listener", "good") in rows and ("s0", "clients", "good") in rows, rows.keys()
        mine = json.loads(lab.client.output("underpassctl", "check", "--json"))
        theirs = json.loads(lab.client.output(*NOBODY, "underpassctl", "check", "--json"))
        assert theirs == mine, "any user sees the same"


def test_stripped():
    """Without a tunnel on this path, MPTCP gets lost, and only the host's own counters tell: whose fault that
    is they do not."""
    title("stripped path: the connection leaves by a link without tunnel")
    with runner.TestLab() as lab:
        begin(lab, profiles=("second",))
        lab.client.up("first")
        client = programs(lab)
        client.connect("plain")
        rows = checks(lab.client)
        row = rows["", "answers", "note"]
        assert "answered without MPTCP: 1." in row["sentence"] and not row["command"], row
        assert "or the path strips its options" in row["sentence"], row


def test_first_set_up():
    """What fell back before there was a tunnel, as a probe does, and what an on-demand link begins as plain TCP
    say nothing against the tunnel."""
    title("first set-up: probed without a tunnel, then on-demand")
    with runner.TestLab() as lab:
        lab.server.up("server")
        lab.client.up("first")
        client = programs(lab)
        client.connect("before")
        assert client.info("before")["fallback"], "the path strips MPTCP"
        service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}", options=("--reapply",))
        pairs = ("tunnel=on-demand", f"remote-ports={PORT}")
        service.set_keys(lab.client, "first", *pairs, options=("--reapply",))
        service.wait_state(lab.client, "c0", service.ACTIVE)
        service.wait_state(lab.server, "s0", service.ACTIVE)
        for name in ("", "stays plain"):
            if name:
                client.connect(name)
            rows = checks(lab.client)
            assert not bad(rows), rows
            assert ("", "answers", "note") in rows, rows.keys()
            assert "does not work" not in lab.client.output("underpassctl", "status")


def blocked(lab, words, *rules):
    """UDP does not get through for a while: what check says then, and that it is good again after the repair."""
    begin(lab)
    client = programs(lab)
    path.rules(lab, *rules)
    for number in range(2):
        client.connect(f"plain {number}")
    command = only_bad(checks(lab.client), "c0", "udp", words, "underpassctl forget c0")
    status = lab.client.output("underpassctl", "status")
    assert "c0: does not work: " in status and words in status, status
    path.rules(lab)
    repair(lab.client, command)
    client.connect("tunnelled")
    assert not client.info("tunnelled")["fallback"]
    assert not bad(checks(lab.client))


def test_udp_dropped():
    """Something on the path drops UDP."""
    title("UDP dropped on the path, and repaired")
    with runner.TestLab() as lab:
        blocked(lab, "does not answer over UDP", f"udp dport {PORT} drop")


def test_udp_refused():
    """A firewall on the path refuses UDP."""
    title("UDP refused by a firewall on the path, and repaired")
    with runner.TestLab() as lab:
        blocked(lab, "A firewall refuses UDP", f"udp dport {PORT} reject with icmp admin-prohibited")


def test_first_syn():
    """One SYN has left, and nothing came back: status is not green."""
    title("the first SYN gets no answer: status")
    with runner.TestLab() as lab:
        begin(lab, "fallback=no")
        client = programs(lab)
        path.rules(lab, f"udp dport {PORT} drop")
        try:
            client.connect("never", timeout=1)
        except traffic.PeerError:
            pass
        status = lab.client.output("underpassctl", "status")
        assert "c0: does not work: " in status and "no handshake was completed" in status, status
        assert ("c0", "udp") in bad(checks(lab.client))


def test_server_without_underpass():
    """Nothing takes UDP at the port of the server; then Underpass is set up there."""
    title("server without Underpass, and repaired")
    with runner.TestLab() as lab:
        service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}")
        service.bring_up(lab, "first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        client = programs(lab)
        for number in range(2):
            client.connect(f"plain {number}")
        rows = checks(lab.client)
        command = only_bad(rows, "c0", "udp", "Underpass is not set up there", "underpassctl forget c0")
        there = checks(lab.server)
        row = checks(lab.server, "s0")["s0", "profile", "bad"]
        assert row["sentence"] == "The active profile “server” does not ask for a tunnel.", row
        assert there["", "tunnels", "bad"]["command"].startswith("underpassctl profile set ")
        service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}", options=("--reapply",))
        service.wait_state(lab.server, "s0", service.ACTIVE)
        repair(lab.client, command)
        client.connect("tunnelled")
        assert not client.info("tunnelled")["fallback"]
        assert not bad(checks(lab.client, "c0"))


def test_server_without_mptcp():
    """The program of the server uses plain TCP: both sides say so."""
    title("server without MPTCP; both sides")
    with runner.TestLab() as lab:
        begin(lab)
        client = programs(lab, server="tcp")
        client.connect("tunnelled, without MPTCP")
        words = "answered without MPTCP: the program of the server does not use it"
        only_bad(checks(lab.client), "c0", "server", words, "mptcpize enable UNIT")
        words = f"listens at port {PORT} does not use MPTCP"
        only_bad(checks(lab.server), "s0", "listener", words, "mptcpize enable UNIT")


def test_program_without_mptcp():
    """The program of the client uses plain TCP; with MPTCP, the line is no longer bad."""
    title("program without MPTCP, and repaired")
    with runner.TestLab() as lab:
        begin(lab)
        client = programs(lab)
        for number in range(3):
            client.connect(f"plain {number}", protocol="tcp")
        words = f"3 connections to port {PORT} were plain TCP: the program does not use MPTCP"
        only_bad(checks(lab.client), "c0", "program", words, "mptcpize run PROGRAM")
        assert words in lab.client.output("underpassctl", "explain", "c0").splitlines()[-1]
        assert words in lab.client.output("underpassctl", "status")
        client.connect("mptcp")
        rows = checks(lab.client)
        assert not bad(rows), bad(rows)
        assert f"4 connections to port {PORT}, 1 of them MPTCP." == rows["c0", "program", "note"]["sentence"]


def test_mptcp_off():
    """net.mptcp.enabled is 0."""
    title("MPTCP off, and repaired")
    with runner.TestLab() as lab:
        begin(lab)
        lab.client.sysctl("net.mptcp.enabled", 0)
        command = only_bad(checks(lab.client), "", "mptcp", "net.mptcp.enabled=0", "sysctl net.mptcp.enabled=1")
        assert "net.mptcp.enabled=0" in lab.client.output("underpassctl", "explain", "c0").splitlines()[-1]
        assert "net.mptcp.enabled=0" in lab.client.output("underpassctl", "status")
        repair(lab.client, command)
        rows = checks(lab.client)
        assert ("", "mptcp", "good") in rows and not bad(rows), bad(rows)


def test_strict_source():
    """The kernel drops what comes by the second link, as the route to the server is by the first.
    Handshakes over UDP are completed, and MPTCP knows nothing of them."""
    title("rp_filter=1, and repaired")
    with runner.TestLab() as lab:
        for name in ("all", "default", "c0", "c1"):
            lab.client.sysctl(f"net.ipv4.conf.{name}.rp_filter", 1)
        service.set_tunnels(lab, endpoints="Underpass")
        service.bring_up(lab)
        client = programs(lab)
        client.connect("one subflow")
        client.transfer("echo", "one subflow", size=1000)
        words = "This host drops what comes in by c1: rp_filter is 1"
        command = "sysctl net/ipv4/conf/c1/rp_filter=2"
        only_bad(checks(lab.client), "c1", "rp-filter", words, command)
        assert words in lab.client.output("underpassctl", "explain", "c1")
        said = " ".join(lab.client.output("underpassctl", "probe", f"{address('s0')}:{PORT}").split())
        assert "drops what comes in by c1" in said and "server is down" not in said, said
        for remotes in ("0.0.0.0/0", "128.0.0.0/1", address("s0")):
            service.set_keys(lab.client, "second", f"remote-addresses={remotes}", options=("--reapply",))
            only_bad(checks(lab.client), "c1", "rp-filter", words, command)
        client.close("one subflow")
        gateway = address("c1", router=True)
        lab.client.run("ip", "route", "add", "default", "via", gateway, "dev", "c1", "table", "77")
        lab.client.run("ip", "rule", "add", "from", address("c1"), "lookup", "77")
        lab.client.run("underpassctl", "forget")
        assert not bad(checks(lab.client)), "answers leave by the same link"
        traffic.connect_both(lab, client, "by a rule")
        client.close("by a rule")
        lab.client.run("ip", "rule", "del", "from", address("c1"), "lookup", "77")
        only_bad(checks(lab.client), "c1", "rp-filter", words, command)
        repair(lab.client, command)
        assert not bad(checks(lab.client))
        traffic.connect_both(lab, client, "two")


def finds_drops(host, user=()):
    """Whether it says that the host drops answers."""
    found = json.loads(host.run(*user, "underpassctl", "check", "--json", check=False).stdout)
    assert found["checks"], found
    return [row for row in found["checks"] if row["check"] == "rp-filter"]


def test_strict_source_without_harm():
    """The kernel is strict, and takes what comes by the second link all the same: the route back is by both
    links, or only this user has another one; or the address is one that nobody far away talks to."""
    title("rp_filter=1, and nothing wrong")
    with runner.TestLab() as lab:
        for name in ("all", "default", "c0", "c1"):
            lab.client.sysctl(f"net.ipv4.conf.{name}.rp_filter", 1)
        service.set_tunnels(lab, endpoints="Underpass")
        service.bring_up(lab)
        for interface in BOTH_LINKS:
            service.wait_state(lab.client, interface, service.ACTIVE)
        assert finds_drops(lab.client)

        hops = [f"nexthop via {address(name, router=True)} dev {name}" for name in BOTH_LINKS]
        for far in (address("s0") + "/32", "192.88.99.1/32"):
            lab.client.run("ip", "route", "add", far, *" ".join(hops).split())
        for last in range(10, 18):  # before 6.16 the kernel sends some of them by c0
            lab.client.run("ip", "address", "add", f"10.77.2.{last}/24", "dev", "c1")
        assert not finds_drops(lab.client), "by several links"
        for last in range(10, 18):
            lab.client.run("ip", "address", "del", f"10.77.2.{last}/24", "dev", "c1")
        for far in (address("s0") + "/32", "192.88.99.1/32"):
            lab.client.run("ip", "route", "del", far)

        for interface, table in (("c1", "77"), ("c0", "78")):
            gateway = address(interface, router=True)
            lab.client.run("ip", "route", "add", "default", "via", gateway, "dev", interface, "table", table)
        lab.client.run("ip", "rule", "add", "pref", "200", "from", address("c1"), "lookup", "77")
        assert not finds_drops(lab.client), "by a rule"
        lab.client.run("ip", "address", "add", "169.254.7.7/16", "scope", "link", "dev", "c1")
        assert not finds_drops(lab.client), "a link-local address"
        lab.client.run("ip", "rule", "add", "pref", "100", "uidrange", "1-65534", "lookup", "78")
        assert not finds_drops(lab.client, NOBODY), "the kernel itself has no such route"


def test_path_manager():
    """The kernel leaves subflows to a program, and there is none."""
    title("subflows left to a program, and repaired")
    with runner.TestLab() as lab:
        lab.client.sysctl("net.mptcp.pm_type", 1)
        begin(lab, profiles=BOTH)
        client = programs(lab)
        client.connect("one subflow")
        client.transfer("echo", "one subflow", size=1000)
        rows = checks(lab.client)
        command = rows["", "path-manager", "note"]["command"]
        assert command == "sysctl net.mptcp.pm_type=0", command
        assert not [key for key in rows if key[1] in ("endpoint", "endpoints", "limits")], rows.keys()
        assert "left to a program" in lab.client.output("underpassctl", "explain", "c1")
        repair(lab.client, command)
        rows = checks(lab.client)
        assert ("c1", "endpoint", "good") in rows and ("", "path-manager", "note") not in rows, rows.keys()
        client.close("one subflow")
        traffic.connect_both(lab, client, "two")


def test_limits():
    """No additional subflow is allowed; or fewer than there are links."""
    title("limits 0, and repaired")
    with runner.TestLab() as lab:
        begin(lab, profiles=BOTH)
        lab.client.run("ip", "mptcp", "limits", "set", "subflow", "0")
        command = only_bad(checks(lab.client), "", "limits", "their limit is 0", "ip mptcp limits set subflow 1")
        assert "their limit is 0" in lab.client.output("underpassctl", "status")
        repair(lab.client, command)
        assert not bad(checks(lab.client))
        for number in (5, 6):
            lab.client.run("ip", "mptcp", "endpoint", "add", f"192.0.2.{number}", "subflow")
        words = "may have 1 additional subflows, but the endpoints ask for 3"
        repair(lab.client, only_bad(checks(lab.client), "", "limits", words, "ip mptcp limits set subflow 3"))
        assert not bad(checks(lab.client))


def test_limits_and_temporary_addresses():
    """Routers advertise themselves, and connections begin from temporary addresses, which are no endpoints:
    then the first link's endpoint takes a subflow, too, and the second one goes without unless there may be
    two."""
    title("temporary addresses and limits, and repaired")
    with runner.TestLab() as lab:
        words = ("ipv6.method", "auto", "ipv6.addresses", "", "ipv6.gateway", "", "ipv6.ip6-privacy", "2")
        for number, (interface, profile) in enumerate((("c0", "first"), ("c1", "second")), 1):
            command = ["/usr/bin/python3", str(HERE / "advertise.py"), f"m{interface}"]
            router = lab.middlebox.spawn([*command, f"2001:db8:77:{number}::"], stdin=subprocess.PIPE)
            lab.at_close(router.wait)
            lab.at_close(router.stdin.close)
            lab.client.run("nmcli", "connection", "modify", profile, *words)
        begin(lab, profiles=BOTH)
        stable = ("ip", "-6", "-o", "address", "show", "scope", "global", "mngtmpaddr", "-deprecated", "dev")
        for interface in ("c0", "c1"):
            wait_until(lambda name=interface: "inet6" in lab.client.output(*stable, name), "an address", 30)
        wait_until(lambda: len(traffic.endpoints(lab.client, 6)) == 2, "both endpoints of IPv6")
        lab.client.run("ip", "mptcp", "limits", "set", "subflow", "1")
        words = "may have 1 additional subflows, but the endpoints ask for 2"
        command = only_bad(checks(lab.client), "", "limits", words, "ip mptcp limits set subflow 2")
        second = lab.client.output(*stable, "c1").split()[3].partition("/")[0]
        client = programs(lab)
        repair(lab.client, command)
        assert not bad(checks(lab.client))
        client.connect("a", address("s0", 6))
        client.transfer("echo", "a", size=1000)
        wait_until(lambda: second in traffic.subflows(lab.client), "a subflow of the second link")


def test_not_active():
    """NetworkManager manages the link, and the profile with the tunnel is not active there."""
    title("profile not active, by link and by profile, and repaired")
    with runner.TestLab() as lab:
        service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}")
        for arguments in (("c0",), ("first",), ()):
            rows = checks(lab.client, *arguments)
            command = only_bad(rows, "c0", "profile", "Profiles with a tunnel: first.", "nmcli connection up id first")
        assert "nmcli connection up id first" in lab.client.output("underpassctl", "explain", "c0").splitlines()[-1]
        repair(lab.client, command)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert not bad(checks(lab.client, "first"))


def test_profile_for_any_link():
    """A profile that names no interface: the command brings it up on the link that is checked, and not on
    another one that is free, whether it may be active on several links or not."""
    title("profile for any link not active, by link, and repaired")
    for several in ("single", "multiple"):
        with runner.TestLab() as lab:
            words = ("connection.interface-name", "", "connection.multi-connect", several)
            lab.client.run("nmcli", "connection", "modify", "second", *words)
            service.set_keys(lab.client, "second", "tunnel=yes", f"remote-ports={PORT}")
            words = ("Profiles with a tunnel: second.", "nmcli connection up id second ifname c1")
            repair(lab.client, only_bad(checks(lab.client, "c1"), "c1", "profile", *words))
            service.wait_state(lab.client, "c1", service.ACTIVE)
            assert not bad(checks(lab.client)), several


def test_port_of_a_bridge():
    """The uplink is a port of a bridge, which has the addresses. The tunnel of the port's profile works;
    what is missing on the port is not wrong, and it is the profile of the bridge that is named for a
    tunnel."""
    title("port of a bridge")
    with runner.TestLab() as lab:
        settings = []
        for key, value in lab.profile_properties("c0", 100).items():
            settings += [key.replace("_", ".", 1).replace("_", "-"), str(value)]
        add = ("nmcli", "connection", "add", "connection.autoconnect", "no")
        lab.client.run("nmcli", "connection", "delete", "first")
        bridge = ("type", "bridge", "con-name", "home", "ifname", "br0", "bridge.stp", "no")
        lab.client.run(*add, *bridge, "connection.autoconnect-slaves", "1", *settings)
        port = ("type", "ethernet", "con-name", "port", "ifname", "c0")
        lab.client.run(*add, *port, "master", "br0", "slave-type", "bridge")
        lab.client.up("home")
        shown = ("ip", "link", "show", "c0")
        wait_until(lambda: "master br0" in lab.client.output(*shown), "c0 is a port of br0")
        words = "c0 is a port of br0, which has the addresses: a tunnel belongs in the profile of br0."
        explain = ("underpassctl", "explain", "c0")
        wait_until(lambda: words in lab.client.output(*explain), "explain names the bridge")
        command = checks(lab.client, "c0")["c0", "profile", "bad"]["command"]
        told = lab.client.run(*shlex.split(command), check=False).stdout
        assert "The active profile “home” does not ask for a tunnel." in told, told
        service.set_keys(lab.client, "port", "tunnel=yes", f"remote-ports={PORT}", options=("--reapply",))
        service.wait_state(lab.client, "c0", service.ACTIVE)
        begin(lab, profiles=("second",))
        client = programs(lab)
        traffic.connect_both(lab, client, "a")
        rows = checks(lab.client)
        assert not bad(rows) and rows["c0", "endpoint", "note"]["sentence"] == words, rows


def test_link_not_there():
    """The profile with the tunnel is for a modem that is not plugged in, or another one is active in its place: no
    other profile is to be written."""
    title("profile for a link that is not there")
    with runner.TestLab() as lab:
        service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}")
        lab.client.run("nmcli", "connection", "modify", "first", "connection.interface-name", "wwan9")
        only_bad(checks(lab.client), "", "tunnels", "its link wwan9 is not there", "nmcli connection up id first")
        lab.client.up("second")
        lab.client.run("nmcli", "connection", "modify", "first", "connection.interface-name", "c1")
        command = only_bad(checks(lab.client), "", "tunnels", "is active on no link", "nmcli connection up id first")
        repair(lab.client, command)
        service.wait_state(lab.client, "c1", service.ACTIVE)
        rows = checks(lab.client)
        assert ("", "tunnels", "good") in rows, rows


def test_sctp_beside():
    """A file that asks for SCTP over UDP hides no profile with a tunnel that is not active: neither on its own
    link nor on another one; and MPTCP is not beside the point then."""
    title("profile not active, and a file asks for SCTP")
    with runner.TestLab() as lab:
        service.set_options(lab.client, "--sctp-sysctls=/run/sctp-sysctls")
        service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}")
        for interface in ("c0", "c1"):
            text = f"[Match]\nName={interface}\n[X-Underpass]\nSCTPUDPPort=9899\n"
            lab.client.write("/etc/underpass/s.conf", text)
            lab.client.run("underpassctl", "reload")
            rows = checks(lab.client)
            command = only_bad(rows, "c0", "profile", "Profiles with a tunnel: first.", "nmcli connection up id first")
            assert interface in {key[0] for key in rows}, rows.keys()
            assert bad(checks(lab.client, "c0")) == {("c0", "profile")}
        lab.client.sysctl("net.mptcp.enabled", 0)
        assert ("", "mptcp") in bad(checks(lab.client))
        lab.client.sysctl("net.mptcp.enabled", 1)
        repair(lab.client, command)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert not bad(checks(lab.client))


def test_by_hand():
    """The profile is right and active, and somebody has taken the tunnel off: no profile is to be written. Also
    where another link has a tunnel."""
    title("deactivated by hand, and repaired")
    with runner.TestLab() as lab:
        begin(lab, profiles=BOTH)
        for name in ("c1", "c0"):
            lab.client.run("underpassctl", "deactivate", name)
            rows = checks(lab.client)
            assert "Deactivated by hand" in rows[name, "profile", "bad"]["sentence"], rows
            assert ("", "tunnels", "bad") not in rows, rows.keys()
        for name in ("c0", "c1"):
            repair(lab.client, rows[name, "profile", "bad"]["command"])
        assert not bad(checks(lab.client))


def test_spare():
    """A link of networkd that is down on purpose is nothing wrong while another one has a tunnel. It is where
    somebody asks for it, and where no link has one."""
    title("networkd: a spare link is down")
    with networkd.lab() as lab:
        lab.client.run("networkctl", "down", "c1")
        service.wait_state(lab.client, "c1", "off")
        rows = checks(lab.client)
        assert not bad(rows) and "c1" not in {key[0] for key in rows}, rows
        only_bad(checks(lab.client, "c1"), "c1", "profile", "The link is down", "networkctl up c1")
        lab.client.run("underpassctl", "deactivate", "c0")
        assert bad(checks(lab.client)) == {("c0", "profile"), ("c1", "profile")}, checks(lab.client)
        lab.client.run("networkctl", "up", "c1")
        service.wait_state(lab.client, "c1", service.ACTIVE)
        only_bad(checks(lab.client), "c0", "profile", "Deactivated by hand", "underpassctl activate c0")


def test_service_off():
    """The bus cannot start the service; all that the kernel says is there all the same."""
    title("service off")
    with runner.TestLab() as lab:
        lab.client.path("/usr/share/dbus-1/system-services/org.underpass1.service").unlink()
        bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
        service.busctl(lab.client, "call", *bus, "ReloadConfig")
        begun = time.monotonic()
        rows = checks(lab.client)
        assert time.monotonic() - begun < 5
        only_bad(rows, "", "service", "The service does not run: ", "systemctl restart underpass.service")
        assert ("", "mptcp", "good") in rows and ("", "limits", "good") in rows


def test_bpf_refused():
    """Without CAP_BPF, as in a container: the service stays, all commands say why and nothing waits."""
    title("BPF refused")
    with runner.TestLab() as lab:
        name = "/usr/share/dbus-1/system-services/org.underpass1.service"
        text = lab.client.path(name).read_text()
        without = "Exec=/usr/bin/setpriv --bounding-set=-bpf,-sys_admin "
        lab.client.write(name, text.replace("Exec=", without))
        bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
        service.busctl(lab.client, "call", *bus, "ReloadConfig")
        service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}")
        begun = time.monotonic()
        lab.client.up("first")
        rows = checks(lab.client)
        assert time.monotonic() - begun < 8
        assert bad(rows) == {("", "bpf"), ("c0", "tunnel")}, bad(rows)
        reason = rows["", "bpf", "bad"]["sentence"]
        assert "BPF cannot be used at /sys/fs/bpf/underpass: Operation not permitted." in reason, reason
        assert reason in lab.client.output("underpassctl", "status")
        assert "Once BPF can be used here" in lab.client.output("underpassctl", "explain", "c0").splitlines()[-1]
        assert service.pid(lab.client), "the service stays up"
        lab.client.write(name, text)
        service.busctl(lab.client, "call", *bus, "ReloadConfig")
        service.kill(lab.client)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert not bad(checks(lab.client))


def test_server_ports():
    """Clients ask at another port, and without MPTCP: the counters name the cause."""
    title("server: another port; clients without MPTCP, and repaired")
    with runner.TestLab() as lab:
        begin(lab, "mptcp-only=no", ports=f"{PORT},{PORT + 1}")
        client = programs(lab)
        client.connect("plain", protocol="tcp")
        rows = checks(lab.server)
        row = rows["s0", "clients", "bad"]
        assert "had no MPTCP option and" in row["sentence"], row
        command = row["command"]
        assert command.endswith(" mptcp-only=no --reapply"), command
        assert "had no MPTCP option" in lab.server.output("underpassctl", "explain", "s0").splitlines()[-1]
        repair(lab.server, command)
        wait_until(lambda: not service.link(lab.server, "s0")["MPTCPOnly"], "the profile is read again")
        lab.client.run("underpassctl", "forget")
        client.connect("tunnelled", protocol="tcp")
        client.transfer("echo", "tunnelled", size=100)
        assert ("s0", "clients", "good") in checks(lab.server)
        try:
            client.connect("another port", port=PORT + 1, timeout=2)
        except traffic.PeerError:
            pass
        assert "not in local-ports" in checks(lab.server)["s0", "clients", "note"]["sentence"]


def test_taken_port():
    """Another program has a port that receive=socket asks for: it is named."""
    title("server: a port that receive=socket asks for is taken")
    with runner.TestLab() as lab:
        begin(lab, "mptcp-only=no")
        code = f"import socket as s; u = s.socket(2, 2); u.bind(('', {PORT})); print('ready', flush=True); input()"
        holder = lab.server.spawn(
            ["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        assert holder.stdout.readline() == "ready\n"
        assert "shares port" in checks(lab.server)["s0", "udp-sockets", "note"]["sentence"]
        service.set_keys(lab.server, "server", "bulk=yes", "receive=socket", options=["--reapply"])

        def named():
            sentence = checks(lab.server)["s0", "udp-sockets", "note"]["sentence"]
            return f"UDP port {PORT}, which receive=socket asks for, belongs to python3, process " in sentence

        wait_until(named, "the process is named")
        holder.communicate("\n", timeout=10)
        assert ("s0", "udp-sockets", "note") not in checks(lab.server)


def test_eight_endpoints():
    """The kernel takes no more endpoints: the error says so, and which command makes room."""
    title("eight endpoints, and repaired")
    with runner.TestLab() as lab:
        for number in range(1, 9):
            lab.client.run("ip", "mptcp", "endpoint", "add", f"192.0.2.{number}", "id", number, "signal")
        lab.client.run("nmcli", "connection", "modify", "first", "connection.mptcp-flags", "disabled")
        service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}", "mptcp-endpoint=subflow")
        lab.client.up("first")
        service.wait_state(lab.client, "c0", "failed")
        rows = checks(lab.client)
        row = rows["c0", "tunnel", "bad"]
        assert "c0 gets no MPTCP endpoint, because the kernel accepts only eight and all are in use." in row["sentence"], row
        assert "the kernel accepts no more" in rows["", "endpoints", "note"]["sentence"]
        for number in (1, 2):
            lab.client.run("ip", "mptcp", "endpoint", "delete", "id", number)
        repair(lab.client, row["command"])
        assert not bad(checks(lab.client))


def test_endpoint():
    """The endpoint of the link is missing, and the connection brings it back."""
    title("endpoint missing, and repaired")
    with runner.TestLab() as lab:
        begin(lab, profiles=("second",))
        lab.client.up("first")
        lab.client.run("ip", "mptcp", "endpoint", "flush")
        assert ("c1", "endpoint", "bad") not in checks(lab.client), "one link alone needs none"
        lab.client.run("ip", "mptcp", "endpoint", "add", address("c0"), "dev", "c0", "subflow")
        row = checks(lab.client)["c1", "endpoint", "bad"]
        assert row["command"].startswith("nmcli connection up uuid "), row
        repair(lab.client, row["command"])
        service.wait_state(lab.client, "c1", service.ACTIVE)
        assert ("c1", "endpoint", "good") in checks(lab.client)


def test_endpoint_and_no_gateway():
    """The default route names no gateway, as by a modem: it needs no flag for the endpoint to come back."""
    title("endpoint removed where there is a default route without gateway, and repaired")
    with runner.TestLab() as lab:
        words = ("ipv4.gateway", "", "ipv4.routes", "0.0.0.0/0 0.0.0.0 200", "ipv6.gateway", "")
        lab.client.run("nmcli", "connection", "modify", "second", *words)
        begin(lab, profiles=BOTH)
        assert ("c1", "endpoint", "good") in checks(lab.client)
        lab.client.run("ip", "mptcp", "endpoint", "flush")
        lab.client.run("ip", "mptcp", "endpoint", "add", address("c0"), "dev", "c0", "subflow")
        command = checks(lab.client)["c1", "endpoint", "bad"]["command"]
        assert command.startswith("nmcli connection up uuid "), command
        repair(lab.client, command)
        service.wait_state(lab.client, "c1", service.ACTIVE)
        assert ("c1", "endpoint", "good") in checks(lab.client)


def endpoint_by_flags(change):
    """The connection of c1 registers no endpoint for subflows however often it is activated; the command
    has it do so. change: what is done to the client before."""
    with runner.TestLab() as lab:
        change(lab.client)
        begin(lab, profiles=BOTH)
        row = checks(lab.client)["c1", "endpoint", "bad"]
        assert "+connection.mptcp-flags" in row["command"], row
        for bad_row in [row for key, row in checks(lab.client).items() if key[2] == "bad"]:
            lab.client.run("bash", "-c", bad_row["command"])
        for interface in ("c0", "c1"):
            service.wait_state(lab.client, interface, service.ACTIVE)
        rows = checks(lab.client)
        assert not bad(rows) and ("c1", "endpoint", "good") in rows, rows
        client = programs(lab)
        traffic.connect_both(lab, client, "a")


def test_endpoint_without_default_route():
    """NetworkManager makes none for links without a default route; only a route to the server is there."""
    title("endpoint missing, as there is no default route, and repaired")
    route = f"10.77.9.0/24 {address('c1', router=True)}"
    words = ("ipv4.gateway", "", "ipv4.routes", route, "ipv6.gateway", "")
    endpoint_by_flags(lambda host: host.run("nmcli", "connection", "modify", "second", *words))


def test_endpoint_of_another_kind():
    """The flags of the profile ask for an endpoint that is announced, and builds nothing."""
    title("endpoint that builds no subflows, and repaired")
    words = ("connection.mptcp-flags", "signal")
    endpoint_by_flags(lambda host: host.run("nmcli", "connection", "modify", "second", *words))


def test_endpoints_switched_off():
    """NetworkManager's configuration has them off, and the profiles say nothing of it."""
    title("endpoints off in NetworkManager.conf, and repaired")

    def switch_off(host):
        host.stop_daemon("manager")
        host.write("/etc/NetworkManager/conf.d/mptcp.conf", "[connection]\nconnection.mptcp-flags=1\n")
        host.start_manager()

    endpoint_by_flags(switch_off)
