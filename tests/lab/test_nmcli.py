# SPDX-License-Identifier: GPL-2.0-or-later
"""nmcli is enough: tunnel profiles with a real NetworkManager. Nothing here calls underpassctl but to see that
it says the same."""

import os
import signal

import nmcli
import runner
import service
import state
import steady
import traffic
from host import wait_until
from lab import LINKS, PORT, address

ACTIVATIONS = 100
VPN_FILE = "/usr/lib/NetworkManager/VPN/nm-underpass-service.name"


def bring_up(lab):
    """All profiles up, all tunnels attached and shown."""
    service.bring_up(lab)
    for host, base, device in (
        (lab.client, "first", "c0"),
        (lab.client, "second", "c1"),
        (lab.server, "server", "s0"),
    ):
        service.wait_state(host, device, service.ACTIVE)
        nmcli.wait_shown(host, f"{base}-tunnel", device)


def transfer(lab, name="a"):
    """An upload over both uplinks; all of it must be tunnelled."""
    _, client = traffic.pair(lab)
    traffic.connect_both(lab, client, name)
    client.transfer("upload", name, size=2_000_000)
    client.close(name)
    counted = lab.counters()
    assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
    assert all(counted[f"udp-{peer}"][0] > 10 for peer in ("mc0", "mc1")), counted


def everything(host):
    """The state of a host, NetworkManager's word included."""
    return {**state.host_state(host), **nmcli.manager_state(host)}


def test_four_commands():
    """Add, modify, up, show: that is all there is to do, on both uplinks and on the server."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", f"remote-addresses={address('s0')}")
        bring_up(lab)
        shown = lab.client.output("nmcli", "connection", "show", "first-tunnel")
        for word in ("activated", "VPN connected", "tunnel active", "attach-point=", "remote-addresses"):
            assert word in shown, shown
        assert service.link(lab.client, "c0")["Warnings"] == [], service.link(lab.client, "c0")["Warnings"]
        assert len(nmcli.processes(lab.client)) == 2
        transfer(lab)
        explained = lab.client.output("underpassctl", "explain", "c0")
        assert "first-tunnel" in explained and "tunnel-profile" in explained, explained


def test_nothing_else_changes():
    """Addresses, routes, rules, name servers and the primary connection before and after an activation: an
    empty diff. Base profiles have name servers and come without gateway, too."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        nmcli.modify(lab.client, "first", "ipv4.dns", "192.0.2.53", "ipv6.dns", "2001:db8::53")
        nmcli.modify(lab.client, "second", "ipv4.dns", "192.0.2.54", "ipv4.gateway", "")
        nmcli.modify(lab.client, "second", "+ipv4.routes", "0.0.0.0/0")
        nmcli.modify(
            *(lab.client, "second", "ipv6.gateway", "", "ipv6.addresses", "", "ipv6.method", "disabled")
        )
        for name in ("first-tunnel", "second-tunnel"):
            nmcli.modify(lab.client, name, "connection.autoconnect", "no")
        service.bring_up(lab)
        for device in ("c0", "c1"):
            service.wait_state(lab.client, device, service.ACTIVE)
        state.tunnel_state(lab.client)
        before = everything(lab.client)
        for name, device in (("first-tunnel", "c0"), ("second-tunnel", "c1")):
            lab.client.run("nmcli", "connection", "up", name, "ifname", device)
            nmcli.wait_banner(lab.client, name, device, "tunnel active")
            state.assert_same(before, everything(lab.client), f"{name} is active")
        # Another banner is another configuration to NetworkManager.
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", "fwmark=0x7f000000")
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", "remote-ports=0")
        nmcli.wait_banner(lab.client, "first-tunnel", "remote-ports=0")
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", f"remote-ports={PORT}", "-vpn.data", "fwmark")
        nmcli.wait_banner(lab.client, "first-tunnel", "tunnel active")
        state.assert_same(before, everything(lab.client), "after another banner")


def test_edit_while_active():
    """An edit counts at once, without an activation; the banner tells what came of it."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        bring_up(lab)
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", "remote-ports=9000 9100-9200")
        wait_until(
            lambda: service.link(lab.client, "c0")["RemotePorts"] == [[9000, 9000], [9100, 9200]], "new ports"
        )
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", f"remote-ports={PORT}")
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", "mss=1300")
        nmcli.wait_banner(lab.client, "first-tunnel", "tunnel active", "mss-ipv4=1300")
        nmcli.modify(lab.client, "first-tunnel", "-vpn.data", "mss")
        wait_until(lambda: "mss-ipv4=1300" not in nmcli.banner(lab.client, "first-tunnel"), "the old MSS")
        transfer(lab)
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", "tunnel=no")
        service.wait_state(lab.client, "c0", "off")
        nmcli.wait_banner(lab.client, "first-tunnel", "tunnel off", "tunnel=no in first-tunnel")


def test_mistakes():
    """A mistake is shown, and harms neither the connection nor the tunnel that is there."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        bring_up(lab)
        with steady.transfer_under_way(lab) as client:
            for pair, words in (
                ("remote-ports=70000", ("remote-ports=70000 in first-tunnel", "1 ... 65535")),
                ("remote-port=8443", ("did you mean remote-ports?",)),
            ):
                nmcli.modify(lab.client, "first-tunnel", "+vpn.data", pair)
                nmcli.wait_banner(lab.client, "first-tunnel", *words)
                nmcli.modify(lab.client, "first-tunnel", "-vpn.data", "remote-port")
                nmcli.modify(lab.client, "first-tunnel", "+vpn.data", f"remote-ports={PORT}")
                nmcli.wait_banner(lab.client, "first-tunnel", "tunnel active")
                steady.goes_on(client)
        nmcli.modify(lab.client, "second-tunnel", "+vpn.data", "tunnel=maybe")
        lab.client.down("second")
        lab.client.up("second")
        nmcli.wait_banner(lab.client, "second-tunnel", "tunnel=maybe", "neither no, yes")
        assert nmcli.active(lab.client)["second"] == ("activated", "c1")


def test_up_and_down():
    """The tunnel profile goes with its base, and by itself it is a switch."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        before = state.host_state(lab.client)
        bring_up(lab)
        lab.client.down("first-tunnel")
        service.wait_state(lab.client, "c0", "off")
        assert nmcli.active(lab.client)["first"] == ("activated", "c0")
        lab.client.up("first-tunnel")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        lab.client.down("first-tunnel")
        service.wait_state(lab.client, "c0", "off")
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        nmcli.wait_shown(lab.client, "first-tunnel", "c0")
        transfer(lab)
        log = (lab.client.folder / "log/bus.log").read_text()
        assert "Rejected send message" not in log, log  # a second answer to a call
        for base in ("first", "second"):
            lab.client.down(base)
            nmcli.wait_shown(lab.client, f"{base}-tunnel", None)
        assert set(nmcli.active(lab.client)) <= {"lo"}
        after = state.settled(lab.client, before)
        state.assert_same(before, after, "all profiles are down")
        wait_until(lambda: not nmcli.processes(lab.client), "no process is left")


def test_delete_while_active():
    """The tunnel goes, the connection stays."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        bring_up(lab)
        lab.client.run("nmcli", "connection", "delete", "first-tunnel")
        service.wait_state(lab.client, "c0", "off")
        assert nmcli.active(lab.client)["first"] == ("activated", "c0")
        wait_until(lambda: len(nmcli.processes(lab.client)) == 1, "its process ends")


def test_carrier():
    """A flap changes nothing; a loss takes base and tunnel down, and both come back."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        nmcli.modify(lab.client, "first", "connection.autoconnect", "yes")
        bring_up(lab)
        peer = LINKS["c0"][0]
        lab.middlebox.run("ip", "link", "set", peer, "down")
        wait_until(lambda: "NO-CARRIER" in lab.client.output("ip", "link", "show", "c0"), "no carrier")
        lab.middlebox.run("ip", "link", "set", peer, "up")
        wait_until(lambda: "state UP" in lab.client.output("ip", "link", "show", "c0"), "carrier")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert nmcli.active(lab.client)["first-tunnel"] == ("activated", "c0")
        lab.middlebox.run("ip", "link", "set", peer, "down")
        nmcli.wait_shown(lab.client, "first-tunnel", None, seconds=20)
        lab.middlebox.run("ip", "link", "set", peer, "up")
        service.wait_state(lab.client, "c0", service.ACTIVE, seconds=20)
        nmcli.wait_shown(lab.client, "first-tunnel", "c0", seconds=20)


def tunnel(host):
    """The tunnel in the kernel. Without the links: NetworkManager changes IPv6 settings of all of them when it
    ends."""
    return {topic: text for topic, text in state.tunnel_state(host).items() if topic != "links"}


def manager_ends(number):
    """NetworkManager is ended and started again under a transfer."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        bring_up(lab)
        before = tunnel(lab.client)
        with steady.transfer_under_way(lab) as client:
            lab.client.stop_daemon("manager", number)
            wait_until(lambda: not nmcli.processes(lab.client), "the VPN service ends with NetworkManager")
            steady.goes_on(client)
            lab.client.start_manager()
            for base, device in (("first", "c0"), ("second", "c1")):
                nmcli.wait_shown(lab.client, f"{base}-tunnel", device, seconds=20)
            steady.goes_on(client)
        state.assert_same(before, tunnel(lab.client), "after the restart")
        assert len(nmcli.processes(lab.client)) == 2
        assert len(nmcli.bus_names(lab.client)) == 2


def test_manager_restarts():
    """SIGTERM, as an update of its package."""
    manager_ends(signal.SIGTERM)


def test_manager_crashes():
    """kill -9."""
    manager_ends(signal.SIGKILL)


def test_plugin_killed():
    """NetworkManager shows the profile as inactive for a moment; the tunnel does not notice."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        bring_up(lab)
        with steady.transfer_under_way(lab) as client:
            for victim in nmcli.processes(lab.client):
                os.kill(victim, signal.SIGKILL)
            steady.goes_on(client)
            for base, device in (("first", "c0"), ("second", "c1")):
                nmcli.wait_shown(lab.client, f"{base}-tunnel", device)
            steady.goes_on(client)
        assert all(state_ == "activated" for state_, _ in nmcli.active(lab.client).values())


def test_service_killed():
    """The tunnel profile stays active, and the next service finds it so."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        bring_up(lab)
        plugins = nmcli.processes(lab.client)
        service.kill(lab.client)
        service.manager_call(lab.client, "ListLinks")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        service.manager_call(lab.client, "Reload")
        assert nmcli.processes(lab.client) == plugins
        nmcli.modify(lab.client, "first-tunnel", "+vpn.data", "mss=1300")
        nmcli.wait_banner(lab.client, "first-tunnel", "mss-ipv4=1300")


def test_package_removed():
    """Profiles of a VPN type that nobody knows any more: the network comes up as ever, with the tunnel while
    the service is there, and without it."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        lab.client.run("mount", "-t", "tmpfs", "tmpfs", os.path.dirname(VPN_FILE))
        lab.client.stop_daemon("manager")
        lab.client.start_manager()
        lab.client.up("first")
        found = service.wait_state(lab.client, "c0", service.ACTIVE)
        wait_until(
            lambda: "cannot show" in "".join(service.link(lab.client, "c0")["Warnings"]), "a warning"
        )
        assert nmcli.active(lab.client)["first"] == ("activated", "c0"), found
        lab.client.run("umount", os.path.dirname(VPN_FILE))
    with runner.TestLab(stage=False) as lab:
        offline = ("nmcli", "--offline", "connection", "add", "type", "vpn", "con-name", "T", "vpn-type")
        data = ("vpn.data", "link=first, tunnel=yes, remote-ports=443")
        result = lab.client.run(*offline, f"{nmcli.NM}.underpass", *data)
        lab.client.write(
            "/etc/NetworkManager/system-connections/T.nmconnection", result.stdout, mode=0o600
        )
        lab.client.run("nmcli", "connection", "reload")
        assert "T" in lab.client.output("nmcli", "-g", "NAME", "connection").split()
        for base, device in (("first", "c0"), ("second", "c1")):
            lab.client.up(base)
            assert nmcli.active(lab.client)[base] == ("activated", device)


def test_odd_places():
    """Warnings about what harms the link, and two profiles for one link."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        nmcli.modify(lab.client, "first", "+connection.secondaries", "first-tunnel")
        nmcli.add_tunnel(lab.client, "third-tunnel", f"link=second, tunnel=yes, remote-ports={PORT}")
        for name in ("second-tunnel", "third-tunnel"):  # one of them is used
            nmcli.modify(lab.client, name, "ipv4.dns-search", "example.org")
        service.bring_up(lab)

        def warned(device, word):
            return lambda: word in "".join(service.link(lab.client, device)["Warnings"])

        wait_until(warned("c0", "connection.secondaries"), "secondaries")
        wait_until(warned("c1", "name servers"), "its own settings")
        wait_until(warned("c1", "are both for c1"), "two for one link")
        nmcli.wait_shown(lab.client, "first-tunnel", "c0")  # once, whoever began it
        assert nmcli.active(lab.client)["first"] == ("activated", "c0")


FILE = """[Match]
Connection=first

[X-Underpass]
Tunnel=yes
RemotePorts=8443 9000-9100
"""


def test_import_and_export():
    """A file becomes a tunnel profile that works, and is the same when it comes back; mistakes are refused."""
    with runner.TestLab() as lab:
        client = lab.client
        client.write("/run/lte.conf", FILE)
        client.run("nmcli", "connection", "import", "type", "underpass", "file", "/run/lte.conf")
        client.up("first")
        found = service.wait_state(client, "c0", service.ACTIVE)
        assert found["TunnelProfile"][0] == "lte", found["TunnelProfile"]
        assert found["RemotePorts"] == [[8443, 8443], [9000, 9100]], found["RemotePorts"]
        nmcli.wait_shown(client, "lte", "c0")
        client.run("nmcli", "connection", "export", "lte", "/run/back.conf")
        assert client.path("/run/back.conf").read_text() == FILE, client.path("/run/back.conf").read_text()
        for text, words in (
            (FILE.replace("8443", "84430"), ("bad.conf:6", "84430", "65535")),
            (FILE.replace("RemotePorts", "RemotePort"), ("did you mean RemotePorts?",)),
            ("", ("[Match] is missing",)),
        ):
            client.write("/run/bad.conf", text)
            result = client.run(
                *("nmcli", "connection", "import", "type", "underpass", "file", "/run/bad.conf"), check=False
            )
            assert result.returncode != 0
            for word in words:
                assert word in result.stderr, result.stderr
        nmcli.modify(client, "lte", "+vpn.data", "tunnel=maybe")
        result = client.run("nmcli", "connection", "export", "lte", "/run/worse.conf", check=False)
        assert result.returncode != 0 and "neither no, yes" in result.stderr, result.stderr
        assert not client.path("/run/worse.conf").exists()


def test_many_activations():
    """No process, device, name on the bus or descriptor is left over."""
    with runner.TestLab() as lab:
        nmcli.add_tunnels(lab)
        bring_up(lab)
        devices = lab.client.output("nmcli", "-t", "-f", "DEVICE", "device")
        processes = lab.client.output("ps", "-e", "--no-headers", "-o", "comm").split()
        descriptors = service.descriptors(lab.client)
        for number in range(ACTIVATIONS):
            lab.client.run("nmcli", "connection", "down", "first-tunnel")
            lab.client.run("nmcli", "connection", "up", "first-tunnel", "ifname", "c0")
            if number % 20 == 0:
                service.wait_state(lab.client, "c0", service.ACTIVE)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        wait_until(lambda: len(nmcli.processes(lab.client)) == 2, "one process for each tunnel profile")
        wait_until(lambda: len(nmcli.bus_names(lab.client)) == 2, "one name for each of them")
        assert lab.client.output("nmcli", "-t", "-f", "DEVICE", "device") == devices
        names = lab.client.output("ps", "-e", "--no-headers", "-o", "comm").split()
        assert [name for name in names if name not in processes] == [], names
        wait_until(lambda: service.descriptors(lab.client) <= descriptors + 2, "its descriptors are closed")
        transfer(lab)
