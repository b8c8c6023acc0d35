# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts as they come: nobody has set up a connection, so NetworkManager has made "Wired connection 1" and "2", and their
addresses come by DHCP."""

import nmcli
import runner
import service
import traffic
from host import wait_until
from lab import LINKS, PORT, address

NAMES = ("Wired connection 1", "Wired connection 2")
LEASE = 10  # seconds, the least that the client takes; it asks again after half of it
POOL = """interface {device}
start 10.77.{network}.50
end 10.77.{network}.53
option router 10.77.{network}.1
option subnet 255.255.255.0
option lease {lease}
min_lease {lease}
lease_file {leases}
pidfile {leases}.pid
"""


def serve_addresses(lab, device):
    """A DHCP server in the middlebox, until the lab is taken down; the file of its leases."""
    peer, network = LINKS[device]
    leases, configuration = f"/run/{peer}.leases", f"/run/{peer}.conf"
    lab.middlebox.write(leases, "")
    lab.middlebox.write(
        configuration, POOL.format(device=peer, network=network, lease=LEASE, leases=leases)
    )
    with open(lab.middlebox.folder / "log" / f"{peer}.log", "ab") as log:
        process = lab.middlebox.spawn(["/bin/busybox", "udhcpd", "-f", configuration], stdout=log, stderr=log)
    lab.at_close(process.wait)
    lab.at_close(process.kill)


def begin(lab):
    """The server is up; the client has no connection yet, and NetworkManager makes one for each link. Returns the client."""
    host = lab.client
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
    lab.server.up("server")
    for profile in ("first", "second"):
        host.run("nmcli", "connection", "delete", profile)
    host.stop_daemon("manager")
    configuration = host.path("/etc/NetworkManager/NetworkManager.conf")
    configuration.write_text(configuration.read_text().replace("no-auto-default=*\n", ""))
    for device in ("c0", "c1"):
        serve_addresses(lab, device)
    host.start_manager()
    wait_connected(host)
    return host


def wait_connected(host):
    """Both links have an address."""

    def connected():
        lines = host.output("nmcli", "-t", "-f", "DEVICE,STATE", "device").splitlines()
        return {"c0:connected", "c1:connected"} <= set(lines)

    wait_until(connected, "DHCP gives both links an address", 30)


def own_address(host, device):
    """The IPv4 address of a link."""
    return host.output("ip", "-4", "-o", "address", "show", "dev", device).split()[3].partition("/")[0]


def transfer(lab, client, name):
    """An upload over both uplinks, all of it in the tunnel."""
    lab.strip_mptcp(True)
    client.connect(name, address("s0"))
    client.transfer("echo", name, size=1000)
    traffic.wait_subflows(lab.client, [own_address(lab.client, device) for device in ("c0", "c1")])
    client.transfer("upload", name, size=1_000_000)
    client.close(name)
    counted = lab.counters()
    assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
    assert all(counted[f"udp-{peer}"][0] > 10 for peer in ("mc0", "mc1")), counted


def test_connections_of_nobody():
    """They take the keys, are saved with them, keep the tunnel through renewals and a restart of NetworkManager."""
    with runner.TestLab() as lab:
        host = begin(lab)
        for name in NAMES:
            said = service.set_keys(host, name, "tunnel=yes", f"remote-ports={PORT}", options=("--reapply",))
            assert "in memory" not in said.stdout + said.stderr, said
        files = host.output("nmcli", "-g", "NAME,FILENAME", "connection", "show").splitlines()
        for name in NAMES:
            assert [line for line in files if line.startswith(f"{name}:/etc/")], files
        for device in ("c0", "c1"):
            service.wait_state(host, device, service.ACTIVE)
        _, client = traffic.pair(lab)
        transfer(lab, client, "set")

        log = lab.middlebox.folder / "log" / "mc0.log"
        granted = log.read_text().count("sending ACK")
        wait_until(lambda: log.read_text().count("sending ACK") > granted, "the lease is renewed", 2 * LEASE)
        transfer(lab, client, "renewed")

        host.stop_daemon("manager")
        host.start_manager()
        wait_connected(host)
        for device in ("c0", "c1"):
            service.wait_state(host, device, service.ACTIVE)
        transfer(lab, client, "restarted")
        assert host.run("underpassctl", "check", check=False).returncode == 0


def test_tunnel_profiles_for_them():
    """nmcli alone: a tunnel profile comes with such a connection, which stays as NetworkManager has made it."""
    with runner.TestLab() as lab:
        host = begin(lab)
        for name, device in zip(NAMES, ("c0", "c1")):
            nmcli.add_tunnel(host, f"{device}-tunnel", f"link={name}, tunnel=yes, remote-ports={PORT}")
            host.up(name)
            nmcli.wait_shown(host, f"{device}-tunnel", device)
            service.wait_state(host, device, service.ACTIVE)
        files = host.output("nmcli", "-g", "NAME,FILENAME", "connection", "show").splitlines()
        assert all(f"{name}:/run/" in "\n".join(files) for name in NAMES), files
        _, client = traffic.pair(lab)
        transfer(lab, client, "set")
