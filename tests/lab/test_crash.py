# SPDX-License-Identifier: GPL-2.0-or-later
"""The tunnel outlives what made it: the service killed or stopped, NetworkManager and the bus restarted."""

import signal

import runner
import service
import state
from host import wait_until
from state import tunnel_state
from steady import transfer_under_way

def killed(number):
    """The service is ended on both hosts in the middle of a transfer; the next start adopts it all."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, "mtu=1400", endpoints="Underpass")
        service.bring_up(lab)
        built = {host: tunnel_state(host) for host in (lab.client, lab.server)}
        with transfer_under_way(lab):
            for host, before in built.items():
                service.kill(host, number)
                state.assert_same(before, tunnel_state(host), f"{host.name} after signal {number}")
            for host in built:
                service.manager_call(host, "ListLinks")  # starts it again
            service.wait_state(lab.client, "c0", service.ACTIVE)
            service.wait_state(lab.client, "c1", service.ACTIVE)
            service.wait_state(lab.server, "s0", service.ACTIVE)
            for host, before in built.items():
                state.assert_same(before, tunnel_state(host), f"{host.name} after the next start")


def test_kill_during_transfer():
    """kill -9."""
    killed(signal.SIGKILL)


def test_stop_during_transfer():
    """SIGTERM: an update of the package."""
    killed(signal.SIGTERM)


def test_down_while_the_service_is_dead():
    """What a killed service left on a link is removed after the connection went down, at the latest by the
    next start."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        lab.client.down("first")
        before = state.host_state(lab.client)
        service.set_tunnels(lab, "mtu=1400")
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        service.kill(lab.client)
        lab.client.down("first")
        service.manager_call(lab.client, "ListLinks")
        state.assert_becomes(before, lab.client, "the next service has been started")


def test_deactivate_all_by_a_fresh_service():
    """underpassctl deactivate --all takes down what a killed service left."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        lab.client.up("second")
        before = state.host_state(lab.client)
        service.set_tunnels(lab)
        service.bring_up(lab)
        service.wait_state(lab.client, "c1", service.ACTIVE)
        service.kill(lab.client)
        lab.client.run("underpassctl", "deactivate", "--all")
        state.assert_same(before, state.host_state(lab.client), "deactivate --all")


def test_file_breaks_while_the_service_is_dead():
    """The next service cannot read the file that asked for the tunnel: it takes nothing off, and says why."""
    with runner.TestLab(manager=False) as lab:
        client, path = lab.client, "/etc/underpass/c0.conf"
        text = "[Match]\nName=c0\n\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\nMTU=1400\n"
        client.run("ip", "link", "set", "c0", "up")
        wait_until(lambda: "state UP" in client.output("ip", "link", "show", "c0"), "c0 has its carrier")
        client.start_bus()
        before = tunnel_state(client)
        client.write(path, text)
        service.manager_call(client, "ListLinks")
        service.wait_state(client, "c0", service.ACTIVE)
        built = tunnel_state(client)
        for broken in (text + "# " + "x" * 65536, text.replace("[X-Underpass]", "[X-Underpass")):
            service.kill(client)
            client.write(path, broken)
            service.manager_call(client, "Reload")
            found = service.wait_state(client, "c0", "failed")
            assert found["LastError"].startswith(path), found["LastError"]
            state.assert_same(built, tunnel_state(client), "with a broken file")
            client.write(path, text)
            service.manager_call(client, "Reload")
            service.wait_state(client, "c0", service.ACTIVE)
            state.assert_same(built, tunnel_state(client), "with the file mended")
        client.path(path).unlink()
        service.manager_call(client, "Reload")
        state.assert_becomes(before, client, "without the file", tunnel_state)


def test_link_vanishes_while_the_service_is_dead():
    """Its endpoints stay in the kernel, which has room for eight: the next service removes them, and no others."""
    with runner.TestLab(manager=False) as lab:
        client = lab.client
        client.start_bus()
        client.run("ip", "mptcp", "endpoint", "add", "203.0.113.1", "signal")
        before = client.output("ip", "mptcp", "endpoint")
        client.write(
            "/etc/underpass/up.conf",
            "[Match]\nName=up*\n\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\nMPTCPEndpoint=subflow\n",
        )
        client.run(*"ip link add up0 type veth peer name away0".split())
        client.run(*"ip link set away0 up".split())
        client.run(*"ip address add 198.51.100.1/24 dev up0".split())
        client.run(*"ip address add 198.51.100.2/24 dev up0".split())
        client.run(*"ip link set up0 up".split())
        service.manager_call(client, "ListLinks")
        service.wait_state(client, "up0", service.ACTIVE)
        wait_until(lambda: len(client.output("ip", "mptcp", "endpoint").splitlines()) == 3, "both are registered")
        service.kill(client)
        client.run("ip", "link", "delete", "up0")
        service.manager_call(client, "ListLinks")
        wait_until(lambda: client.output("ip", "mptcp", "endpoint") == before, "they are removed")


def active_profiles(host):
    """Names of the profiles that are active."""
    return set(host.output("nmcli", "-g", "name", "connection", "show", "--active").splitlines())


def manager_restarted(number):
    """NetworkManager ends and starts again in the middle of a transfer."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        with transfer_under_way(lab):
            lab.client.stop_daemon("manager", number)
            service.wait_state(lab.client, "c0", service.ACTIVE)
            lab.client.start_manager()
            wait_until(
                lambda: {"first", "second"} <= active_profiles(lab.client),
                "NetworkManager has taken the links up again",
            )
            service.wait_state(lab.client, "c0", service.ACTIVE)
            service.wait_state(lab.client, "c1", service.ACTIVE)
        # It still listens to the new NetworkManager.
        lab.client.down("second")
        service.wait_state(lab.client, "c1", "off")
        lab.client.up("second")
        service.wait_state(lab.client, "c1", service.ACTIVE)


def test_manager_stopped_and_started():
    """SIGTERM, as systemctl restart NetworkManager does."""
    manager_restarted(signal.SIGTERM)


def test_manager_killed_and_started():
    """SIGKILL: NetworkManager crashed."""
    manager_restarted(signal.SIGKILL)


def is_starting(host):
    """Whether NetworkManager says of itself that it is starting."""
    name, path = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
    return service.busctl(host, "get-property", name, path, name, "Startup")["data"]


def test_activation_while_networkmanager_starts():
    """NetworkManager counts as starting as long as any link waits for its addresses, which can take minutes.
    Other links are brought up and taken down meanwhile, and those that were up before it started stay up."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        lab.client.add_profile(
            "no-dhcp", "c1", ipv4_method="auto", ipv4_dhcp_timeout="120", ipv6_method="disabled"
        )
        lab.client.run("nmcli", "connection", "modify", "no-dhcp", "connection.autoconnect", "yes")
        lab.client.stop_daemon("manager", signal.SIGTERM)
        lab.client.start_manager()
        assert is_starting(lab.client)
        service.wait_state(lab.client, "c0", "off")
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        lab.client.down("first")
        service.wait_state(lab.client, "c0", "off")
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        before = state.host_state(lab.client)["programs on links"]
        lab.client.stop_daemon("manager", signal.SIGTERM)
        lab.client.start_manager()
        wait_until(
            lambda: "first" in active_profiles(lab.client), "NetworkManager has taken the link up again"
        )
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert is_starting(lab.client)
        assert state.host_state(lab.client)["programs on links"] == before, "the tunnel was made again"


def test_bus_restarted():
    """The bus ends and starts again; the tunnel stays, and the service is there for the next question."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        with transfer_under_way(lab):
            lab.client.stop_daemon("bus", signal.SIGKILL)
            lab.client.start_bus()
            # NetworkManager does not come back to a new bus by itself.
            lab.client.stop_daemon("manager", signal.SIGKILL)
            lab.client.start_manager()
            service.wait_state(lab.client, "c0", service.ACTIVE)
            service.wait_state(lab.client, "c1", service.ACTIVE)
        lab.client.down("second")
        service.wait_state(lab.client, "c1", "off")
