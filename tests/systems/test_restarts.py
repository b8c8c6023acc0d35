# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole systems under a transfer: network manager, bus and service of both ends are restarted and killed, the
transfer does not notice, and the tunnels are what they were."""

import re

import runner
import service
import systems
import traffic
from host import wait_until
from machine import MANAGERS
from state import assert_same, tunnel_state
from steady import goes_on, transfer_under_way

SERVICE = "underpass.service"
BUS = "dbus.service"
ACTIVATED = ("systemd-hostnamed.service", "NetworkManager-dispatcher.service", "polkit.service")
RATE = 2_000_000


def restart(machine, unit):
    """systemctl restart."""
    machine.run("systemctl", "restart", unit)


def kill(machine, unit):
    """kill -9; systemd starts it again."""
    before = machine.processes(unit)
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)
    wait_until(lambda: machine.processes(unit) - before, f"{machine.name}: {unit} is there again", 20)
    machine.run("systemctl", "start", unit)  # waits until it is ready


def revive(machine, unit):
    """Makes a unit start again that perhaps has ended by itself, and perhaps so often that systemd left
    it at that."""

    def started():
        machine.run("systemctl", "reset-failed", unit, check=False)
        return machine.run("systemctl", "start", unit, check=False).returncode == 0

    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit, check=False)
    # The new bus waits for them, as systemd says they run, and NetworkManager waits with it.
    machine.run("systemctl", "stop", *ACTIVATED, check=False)
    wait_until(started, f"{machine.name}: {unit} is there again", 20)


def settle(lab, machine):
    """Waits until the network manager and the service of a machine have found their way again."""
    if lab.manager(machine) == "NetworkManager":
        profiles = {systems.PROFILES[interface][0] for interface in lab.interfaces(machine)}

        def active():
            answer = machine.run("nmcli", "-g", "name,state", "connection", "show", "--active", check=False)
            return profiles <= {
                line.split(":")[0] for line in answer.stdout.splitlines() if ":activated" in line
            }

        wait_until(active, f"{machine.name}: NetworkManager has taken the links up again", 20)
    else:
        command = ["networkctl", "--no-legend", "--no-pager", "list", *lab.interfaces(machine)]
        links = len(lab.interfaces(machine))
        wait_until(
            lambda: machine.run(*command, check=False).stdout.count(" configured") == links,
            f"{machine.name}: networkd has taken the links up again",
            20,
        )
    machine.run("underpassctl", "reload")
    for interface in lab.interfaces(machine):
        service.wait_state(machine, interface, service.ACTIVE)


def manager_unit(lab, machine):
    """The unit of the network manager of a machine."""
    return MANAGERS[lab.manager(machine)]


def built(machine):
    """What the tunnels of a machine are made of. On its way out, NetworkManager tells even devices that it left alone
    to make IPv6 addresses again; those of the segmentation device have no IPv6."""
    found = tunnel_state(machine)
    found["links"] = re.sub(r"addrgenmode \w+", "addrgenmode N", found["links"])
    return found


def disturb(lab, how, what):
    """Restarts or kills something on both machines; what: its unit, or a function that tells it."""
    for machine in (lab.client, lab.server):
        unit = what(lab, machine) if callable(what) else what
        how(machine, unit)
        if unit == BUS:
            # NetworkManager and older networkds do not come back to a new bus by themselves, and before they end they wait
            # in vain for the old one.
            revive(machine, manager_unit(lab, machine))
    for machine in (lab.client, lab.server):
        settle(lab, machine)


def restarts(release):
    """All of it for one release."""
    with systems.Systems(release) as lab:
        again = sum(traffic.retransmissions(machine) for machine in (lab.client, lab.server))
        at_first = {machine: built(machine) for machine in (lab.client, lab.server)}
        with transfer_under_way(lab, RATE) as client:
            for what in (SERVICE, manager_unit, BUS):
                for how in (restart, kill):
                    disturb(lab, how, what)
                    goes_on(client)
                    for machine, before in at_first.items():
                        name = what if isinstance(what, str) else lab.manager(machine)
                        assert_same(before, built(machine), f"{machine.name}: {how.__name__} {name}")
        again = sum(traffic.retransmissions(machine) for machine in (lab.client, lab.server)) - again
        runner.note(f"six restarts and six kills, {again} segments were sent again")


def test_bookworm():
    """Debian 12."""
    restarts("bookworm")


def test_trixie():
    """Debian 13."""
    restarts("trixie")


def test_sid():
    """Debian unstable."""
    restarts("sid")
