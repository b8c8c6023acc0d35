# SPDX-License-Identifier: GPL-2.0-or-later
"""NetworkManager and systemd-networkd together: on one host, where links go from one to the other, and on
the two ends of a connection; and links of neither."""

import signal

import networkd
import runner
import service
import state
import traffic
from host import wait_until
from lab import PORT, address
from state import tunnel_state
from steady import transfer_under_way

BOTH = [address("c0"), address("c1")]


def start_networkmanager(lab, host, *profiles):
    """NetworkManager on a host. profiles: (name, interface, metric, pairs of keys), not yet up."""
    host.start_manager()
    for name, interface, metric, pairs in profiles:
        host.run("nmcli", "device", "set", interface, "managed", "no")
        host.add_profile(name, interface, **lab.profile_properties(interface, metric))
        service.set_keys(host, name, *pairs)


def test_both_managers():
    """NetworkManager and networkd on one host; a link is handed from one to the other and back."""
    pairs = ("tunnel=yes", f"remote-ports={PORT}", "mss=1350")
    with networkd.lab() as lab:
        start_networkmanager(lab, lab.client, ("second", "c1", 200, pairs))
        _, client = traffic.pair(lab)
        for _ in range(2):
            networkd.write(lab.client, "c1", *networkd.CLIENT, manage=False)
            networkd.reload(lab.client)
            service.wait_state(lab.client, "c1", "off")
            lab.client.run("nmcli", "device", "set", "c1", "managed", "yes")
            lab.client.up("second")
            service.wait_state(lab.client, "c1", service.ACTIVE)
            assert networkd.settings(lab.client, "c1")["mss"][:2] == ("1350", "NetworkManager")
            assert networkd.settings(lab.client, "c0")["tunnel"][1] == "networkd"
            traffic.connect_both(lab, client, "mixed")
            client.transfer("upload", "mixed", size=1_000_000)
            client.close("mixed")
            lab.client.down("second")
            service.wait_state(lab.client, "c1", "off")
            lab.client.run("nmcli", "device", "set", "c1", "managed", "no")
            networkd.write(lab.client, "c1", *networkd.CLIENT)
            networkd.reload(lab.client)
            service.wait_state(lab.client, "c1", service.ACTIVE)
            assert networkd.settings(lab.client, "c1")["tunnel"][1] == "networkd"
            traffic.connect_both(lab, client, "networkd")
            client.close("networkd")


def test_networkmanager_watches():
    """NetworkManager shows links that networkd has set up as connected externally; the file still counts,
    and NetworkManager's restarts change nothing."""
    with networkd.lab() as lab:
        lab.client.start_manager()
        devices = ("nmcli", "-t", "-f", "device,state", "device")
        wait_until(lambda: "c0:connected (externally)" in lab.client.output(*devices), "it watches", 10)
        service.manager_call(lab.client, "Reload")
        built = tunnel_state(lab.client)
        del built[
            "links"
        ]  # a NetworkManager that ends changes details of all devices, also of those of others
        with transfer_under_way(lab):
            networkd.stop(lab.client)
            service.manager_call(lab.client, "Reload")
            networkd.start(lab.client)
            lab.client.stop_daemon("manager", signal.SIGTERM)
            service.manager_call(lab.client, "Reload")
            lab.client.start_manager()
            # The worst case: nobody is left who knows, and NetworkManager has a connection of its own.
            networkd.stop(lab.client, signal.SIGKILL)
            service.kill(lab.client)
            service.manager_call(lab.client, "Reload")
            for uplink in networkd.UPLINKS:
                assert service.link(lab.client, uplink)["State"] == service.ACTIVE
            networkd.start(lab.client)
            for uplink in networkd.UPLINKS:
                service.wait_state(lab.client, uplink, service.ACTIVE)
        state.assert_same(built, {topic: tunnel_state(lab.client)[topic] for topic in built}, "afterwards")


def test_file_profiles():
    """Links of neither manager, and links of networkd whose .network file says nothing, follow files."""
    with runner.TestLab(manager=False) as lab:
        networkd.start_host(lab.server, s0=networkd.SERVER)
        networkd.start_host(lab.client, c0=())
        ipv4 = f"{address('c1')}/24"
        for command in (("address", "add", ipv4, "dev", "c1"), ("link", "set", "c1", "up")):
            lab.client.run("ip", *command)
        route = ("default", "via", address("c1", router=True), "dev", "c1", "metric", 200)
        lab.client.run("ip", "route", "add", *route)
        lines = [*networkd.CLIENT, "MPTCPEndpoint=subflow"]
        text = "\n".join(["[Match]", "Name=c*", "[X-Underpass]", *lines, ""])
        lab.client.write("/etc/underpass/both.conf", text)
        networkd.start_service(lab.server, "s0")
        networkd.start_service(lab.client, *networkd.UPLINKS)
        for uplink in networkd.UPLINKS:
            assert networkd.settings(lab.client, uplink)["tunnel"][1] == "file"
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        # A file can go while the service is dead; no manager has to be asked about that.
        service.kill(lab.client)
        lab.client.run("rm", "/etc/underpass/both.conf")
        service.manager_call(lab.client, "Reload")
        for uplink in networkd.UPLINKS:
            service.wait_state(lab.client, uplink, "off")


def mixed(client_is_networkd):
    """One host with networkd, the other one with NetworkManager."""
    with runner.TestLab(manager=False) as lab:
        if client_is_networkd:
            networkd.start_host(lab.client, c0=networkd.CLIENT, c1=networkd.CLIENT)
            nm_host, profiles = lab.server, [("server", "s0", 100, ("tunnel=yes", f"local-ports={PORT}"))]
        else:
            networkd.start_host(lab.server, s0=networkd.SERVER)
            pairs = ("tunnel=yes", f"remote-ports={PORT}")
            nm_host, profiles = lab.client, [("first", "c0", 100, pairs), ("second", "c1", 200, pairs)]
        nm_host.start_bus()
        start_networkmanager(lab, nm_host, *profiles)
        for name, interface, *_ in profiles:
            nm_host.run("nmcli", "device", "set", interface, "managed", "yes")
            nm_host.up(name)
        networkd.start_service(lab.server, "s0")
        networkd.start_service(lab.client, *networkd.UPLINKS)
        _, client = traffic.pair(lab)
        for family in (4, 6):
            traffic.connect_both(lab, client, "a", family)
            client.transfer("upload", "a", size=2_000_000)
            client.transfer("download", "a", size=2_000_000)
            client.close("a")
        counted = lab.counters()
        assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted


def test_networkd_client_networkmanager_server():
    """The client runs networkd, the server NetworkManager."""
    mixed(True)


def test_networkmanager_client_networkd_server():
    """The reverse."""
    mixed(False)
