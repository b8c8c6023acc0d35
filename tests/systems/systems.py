# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab of tests/lib/lab.py with whole systems as client and server: see there for how they are connected.

    client  c0 ── mc0 ┐                    ┌ ms0 ── s0  server
            c1 ── mc1 ┴── middlebox ───────┘

The middlebox is a host of the lab; client and server are machines. May touch: what it made itself.
"""

import os
import pathlib
import time

import cgroups
import roots
import runner
import service
import traffic
from host import wait_until
from lab import LINKS, PORT, address
from machine import Machine

# Interface -> (profile of NetworkManager, metric of its routes)
PROFILES = {"c0": ("first", 100), "c1": ("second", 200), "s0": ("server", 100)}
WITHIN = 3.0  # seconds from link up to a tunnelled subflow
RELEASES = roots.RELEASES


def disk(release, folder):
    """Folders of which the disk of a machine is made; skips the test where there is no root."""
    stages = os.environ.get("UNDERPASS_SYSTEM_STAGES")
    try:
        root, stage = roots.prepare(release, pathlib.Path(stages or folder / "stages"))
    except roots.RootError as error:
        raise runner.Skip(f"no root of {release}: {error}") from None
    return [stage, root]


class Machines(runner.TestLab):
    """Machines of a release; the lab of Systems, or another."""

    def __init__(self, release):
        super().__init__(stage=False)
        self._release = release
        self._layers = None

    def _start(self):
        """The machines are made one by one."""

    def __exit__(self, kind, *rest):
        super().__exit__(kind, *rest)
        assert kind is not None or not cgroups.left(), f"left: {cgroups.left()}"

    def machine(self, name, managers):
        """A machine that is off."""
        self._layers = self._layers or disk(self._release, self.folder)
        machine = Machine(name, self.folder / name, self._layers, managers)
        self.hosts.append(machine)
        machine.start()
        return machine

    def tail_of_logs(self):
        """The lab's logs, and what the journals of the machines say."""
        parts = [super().tail_of_logs()]
        for machine in self.hosts:
            if isinstance(machine, Machine) and machine.booted:
                units = ("underpass", "NetworkManager", "systemd-networkd", "dbus")
                options = [f"--unit={unit}" for unit in units]
                parts += [f"--- journal of {machine.name}", machine.journal(*options, "--lines=60")]
                parts += [machine.run("underpassctl", "status", check=False).stdout]
        return "\n".join(parts)


class Systems(Machines):
    """Client and server of a release, booted and set up. client, server: the network manager of each, or two for
    the client: one for each uplink. tunnel: whether the profiles ask for the tunnel."""

    def __init__(self, release, client="NetworkManager", server="networkd", tunnel=True):
        super().__init__(release)
        uplinks = (client, client) if isinstance(client, str) else client
        self._managers = dict(zip(("c0", "c1", "s0"), (*uplinks, server)))
        self._tunnel = tunnel

    def _start(self):
        self.client = self.machine("client", {self._managers["c0"], self._managers["c1"]})
        self.server = self.machine("server", {self._managers["s0"]})
        self.middlebox = self.add_host("middlebox", None)
        self.middlebox.sysctl("net.ipv4.ip_forward", 1)
        self.middlebox.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.strip_mptcp(True)
        for machine in (self.client, self.server):
            self._write_network_files(machine)
            self.plug(machine)
            machine.boot()
        for machine in (self.client, self.server):
            machine.wait_running()
            self._add_profiles(machine)

    def manager(self, machine, interface=None):
        """Name of the network manager of an interface, or of the first one of a machine."""
        return self._managers[interface or self.interfaces(machine)[0]]

    def managed(self, machine, manager):
        """Interfaces of a machine that a network manager is there for."""
        return [name for name in self.interfaces(machine) if self._managers[name] == manager]

    def interfaces(self, machine):
        """Interfaces of a machine."""
        return [name for name in LINKS if name.startswith(machine.name[0])]

    def plug(self, machine):
        """Connects all interfaces of a machine."""
        for interface in self.interfaces(machine):
            addresses = {family: (address(interface, family, router=True),) for family in (4, 6)}
            self.cable(self.middlebox, LINKS[interface][0], machine, interface, addresses)

    def unplug(self, machine):
        """Takes the interfaces of a machine away, and with them the other ends of the cables."""
        for interface in self.interfaces(machine):
            peer = LINKS[interface][0]
            self.middlebox.run("ip", "link", "delete", peer, check=False)
            gone = (
                lambda name=peer: self.middlebox.run("ip", "link", "show", name, check=False).returncode != 0
            )
            wait_until(gone, f"{peer} is gone")

    def reboot(self, machine):
        """Shuts a machine down and boots it; returns as soon as systemd answers."""
        machine.power_off()
        self.unplug(machine)
        count_plain(self)
        machine.power_on()
        self.plug(machine)
        machine.boot()

    # Profiles

    def keys(self, machine):
        """Keys of the profiles of a machine, as NetworkManager's user.data has them."""
        if not self._tunnel:
            return {}
        if machine is self.server:
            return {"tunnel": "yes", "local-ports": PORT}
        return {"tunnel": "yes", "remote-ports": PORT, "mptcp-endpoint": "subflow"}

    def _add_profiles(self, machine):
        for interface in self.managed(machine, "NetworkManager"):
            name, metric = PROFILES[interface]
            machine.add_profile(name, interface, **self.profile_properties(interface, metric))
            machine.run("nmcli", "connection", "modify", name, "connection.mptcp-flags", "disabled")
            pairs = [f"{key}={value}" for key, value in self.keys(machine).items()]
            if pairs:
                service.set_keys(machine, name, *pairs)
            machine.run("nmcli", "connection", "modify", name, "connection.autoconnect", "yes")
            machine.up(name)

    def _write_network_files(self, machine):
        mine = self.managed(machine, "networkd")
        if len(machine.managers) > 1:
            others = "".join(f"interface-name:{interface};" for interface in mine)
            text = f"[device-of-networkd]\nmatch-device={others}\nmanaged=0\n"
            machine.write("/etc/NetworkManager/conf.d/networkd.conf", text)
        for interface in mine:
            metric = 200 if interface == "c1" else 100
            lines = ["[Match]", f"Name={interface}", "[Network]", "IPv6AcceptRA=no"]
            for family, length in ((4, 24), (6, 64)):
                lines.append(f"Address={address(interface, family)}/{length}")
            for family in (4, 6):
                lines += [
                    "[Route]",
                    f"Gateway={address(interface, family, router=True)}",
                    f"Metric={metric}",
                ]
            # Underpass registers the endpoints without a word there.
            lines += [line for line in self.section(machine) if not line.startswith("MPTCPEndpoint")]
            machine.write(f"/etc/systemd/network/20-{interface}.network", "\n".join(lines) + "\n")

    def section(self, machine):
        """The keys of a machine as a section of a file."""
        spelled = {"tunnel": "Tunnel", "mptcp-endpoint": "MPTCPEndpoint"}
        spelled |= {"remote-ports": "RemotePorts", "local-ports": "LocalPorts"}
        keys = self.keys(machine)
        return ["[X-Underpass]", *(f"{spelled[key]}={value}" for key, value in keys.items())] if keys else []

    # Links

    def up(self, machine, interface):
        """The network manager of a machine brings a link up."""
        if self.manager(machine, interface) == "NetworkManager":
            machine.up(PROFILES[interface][0])
        else:
            machine.run("networkctl", "up", interface)

    def down(self, machine, interface):
        """The network manager of a machine takes a link down."""
        if self.manager(machine, interface) == "NetworkManager":
            machine.down(PROFILES[interface][0])
        else:
            machine.run("networkctl", "down", interface)


def count_plain(lab):
    """From now on, counts the SYNs for PORT that leave as TCP. (Other segments of a tunnelled connection may do so,
    when the tunnel is gone with its link.)"""
    chain = [
        "chain forward { type filter hook forward priority -20; policy accept;",
        f"tcp dport {PORT} tcp flags & syn == syn counter name plain",
        "}",
    ]
    lab.middlebox.set_nft_table("systems", "counter plain { }", *chain)
    lab.strip_mptcp(True)  # its counters begin at 0, too


def assert_tunnelled(lab, *uplinks):
    """All connections since count_plain() were tunnelled, and something was over each of these uplinks."""
    plain = lab.middlebox.nft_counters("systems")["plain"][0]
    counted = lab.counters()
    assert plain == 0, f"{plain} SYNs left as TCP; {counted}"
    for uplink in uplinks:
        assert counted[f"udp-{LINKS[uplink][0]}"][0] > 0, counted


def tunnelled(lab, client, name, uplinks=("c0", "c1")):
    """Opens a connection and waits until it has a tunnelled subflow over each uplink; the seconds that took."""
    begin = time.monotonic()
    count_plain(lab)
    client.connect(name)
    client.transfer("echo", name, size=10_000)  # only data makes the kernel open the other subflows
    traffic.wait_subflows(lab.client, [address(uplink) for uplink in uplinks], seconds=WITHIN)
    assert_tunnelled(lab, *uplinks)
    return time.monotonic() - begin
