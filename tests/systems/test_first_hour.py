# SPDX-License-Identifier: GPL-2.0-or-later
"""The first hour of a person who has the README and "underpassctl check": from a system on which nothing is installed to a
tunnelled subflow. What is typed is printed and counted."""

import json
import shlex
import shutil

import debs
import roots
import runner
import service
import systems
import test_package
import traffic
from lab import PORT, address

COMMANDS_MAX = 6
ROUNDS = 3  # of asking and repairing


class Person:
    """Types commands on a machine."""

    def __init__(self, machine):
        self._machine = machine
        self.commands = []

    def type(self, command, check=True):
        """Runs a command line as root; what it prints."""
        self.commands.append(command)
        runner.note(f"{len(self.commands)}# {command}")
        script = f"cd /root && {command}"
        return self._machine.run("/bin/sh", "-c", script, check=check, text="y\n", timeout=120)

    def built(self, command):
        """What was done before, where the sources are."""
        self.commands.append(command)
        runner.note(f"{len(self.commands)}# {command}    (where the sources are)")

    def check(self):
        """Asks what is wrong; the commands that repair it."""
        shown = self.type("underpassctl check", check=False)
        for line in shown.stdout.splitlines():
            runner.note(f"   {line}")
        document = json.loads(self._machine.run("underpassctl", "check", "--json", check=False).stdout)
        bad = [row for row in document["checks"] if row["result"] == "bad"]
        assert all(row["command"] for row in bad), f"nothing repairs {bad}"
        return list(dict.fromkeys(row["command"] for row in bad))


def assert_in_readme(commands):
    """README.md has them, with its own names."""
    readme = (roots.ROOT / "README.md").read_text()
    for command in commands:
        told = command.replace("first", "LTE").replace(str(PORT), "443").replace(address("s0"), "203.0.113.7").replace("'", '"')
        assert told in readme, f"not in README.md: {told}"


def test_trixie():
    """Debian 13, uplinks of NetworkManager as it makes them; the server is ready."""
    with test_package.Packaged("trixie", tunnel=True) as lab:
        machine, person = lab.client, Person(lab.client)
        package = debs.build("trixie")[0]
        person.built("tests/package trixie")
        folder = f"/root/build/packages/trixie"
        machine.run("mkdir", "-p", folder)
        shutil.copy(package, machine.path(folder))
        for name in ("first", "second"):  # nobody has thought of MPTCP yet
            machine.run("nmcli", "connection", "modify", name, "connection.mptcp-flags", "")
            machine.up(name)
        traffic.Peer(lab, lab.server).listen()
        data = f"link=first, tunnel=yes, remote-ports={PORT}, remote-addresses={address('s0')}"
        words = ["nmcli", "connection", "add", "type", "vpn", "con-name", "first-tunnel", "vpn-type", "underpass", "vpn.data"]
        person.type("apt install ./build/packages/trixie/underpass_*.deb")
        person.type(shlex.join([*words, data]))
        person.type("nmcli connection up first")
        service.wait_state(machine, "c0", service.ACTIVE)
        for _ in range(ROUNDS):
            repairs = person.check()
            for command in repairs:
                person.type(command)
            if not repairs:
                break
        client = traffic.Peer(lab, machine)
        systems.count_plain(lab)
        client.connect("a")
        client.transfer("echo", "a", size=10_000)
        assert not client.info("a")["fallback"] and address("c0") in traffic.subflows(machine), traffic.subflows(machine)
        assert lab.counters()["udp-mc0"][0] > 0, lab.counters()
        runner.note(f"a tunnelled subflow after {len(person.commands)} commands")
        assert not repairs and len(person.commands) <= COMMANDS_MAX, f"{person.commands}, {repairs} left"
        assert_in_readme(person.commands)
