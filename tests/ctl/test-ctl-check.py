#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl check against mocks of the service, systemd and NetworkManager on a private bus, and without them.

Usage: test-ctl-check.py UNDERPASSCTL XML [TEST…]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position

NAME = "org.underpass1"
PATIENCE = 60.0


class CheckTest(unittest.TestCase):
    """A bus for each test."""

    program = None
    xml = None

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="underpass-check-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.asked = self.folder / "asked"  # of systemd and NetworkManager
        self.bus = Bus(self.folder)
        self.bus.start()
        self.addCleanup(self.bus.stop)

    def add_service(self, only="", **loopback):
        """The bus starts the mock of the service. only: links that it has; loopback: what it says of lo."""
        log = self.folder / "log"
        log.touch()
        more = []
        if only:
            more = [self.folder / "loopback", only]
            more[0].write_text(json.dumps(loopback))
        self.bus.add_service(NAME, "/usr/bin/python3", "-B", HERE / "mock_service.py", self.xml, log, *more)
        self.bus.stop()
        self.bus.start()

    def add_world(self, state):
        """Starts the mocks of systemd and NetworkManager."""
        world = subprocess.Popen(
            ["/usr/bin/python3", "-B", HERE / "mock_world.py", state, self.asked],
            env=dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.bus.address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(world.wait)
        self.addCleanup(world.stdout.close)
        self.addCleanup(world.kill)
        self.assertEqual(world.stdout.readline(), b"ready\n")

    def run_check(self, *arguments, status, verb="check", **environment):
        """Runs the command; (standard output, standard error)."""
        variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address}
        result = subprocess.run(
            [self.program, verb, *arguments],
            env={**variables, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        out, err = result.stdout.decode(), result.stderr.decode()
        if status is not None:
            self.assertEqual(result.returncode, status, out + err)
        return out, err

    def checks(self, *arguments, status):
        """Runs it with --json: {(interface, check, result): (sentence, command)}."""
        document = json.loads(self.run_check("--json", *arguments, status=status)[0])
        self.assertEqual(set(document), {"good", "checks"})
        self.assertEqual(document["good"], status == 0)
        for row in document["checks"]:
            self.assertEqual(set(row), {"interface", "check", "result", "sentence", "command"})
        return {
            (row["interface"], row["check"], row["result"]): (row["sentence"], row["command"])
            for row in document["checks"]
        }

    def test_nobody_answers(self):
        """No service, no systemd, no NetworkManager: what the kernel says is there all the same."""
        begin = time.monotonic()
        found = self.checks(status=1)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertIn("not running", found["", "service", "bad"][0])
        self.assertTrue({("", "mptcp", "good"), ("", "mptcp", "bad")} & set(found))
        self.assertIn(("", "bpf", "note"), found)

    def test_no_bus(self):
        out, _ = self.run_check(status=1, DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={self.folder}/nothing")
        self.assertIn("✘ service     The service does not run: Cannot connect to the system bus", out)

    def test_service_that_hangs(self):
        """Nobody waits for it longer than a few seconds."""
        self.bus.add_service(NAME, "/usr/bin/sleep", "60")
        self.bus.stop()
        self.bus.start()
        begin = time.monotonic()
        found = self.checks(status=1)
        self.assertLess(time.monotonic() - begin, 9)
        self.assertIn("did not answer in time", found["", "service", "bad"][0])

    def test_unit(self):
        """What systemd says of the unit names the repair."""
        for state, part, command in (
            ("disabled", "not enabled, so nothing starts it", "systemctl enable --now underpass.service"),
            ("masked", "is masked", "systemctl unmask underpass.service && systemctl enable --now underpass.service"),
            ("missing", "there is no unit underpass.service", ""),
            ("enabled", "does not run", "systemctl restart underpass.service"),
        ):
            with self.subTest(state):
                self.setUp()
                self.add_world(state)
                sentence, repair = self.checks(status=1)["", "service", "bad"]
                self.assertIn(part, sentence)
                self.assertEqual(repair, command)

    def test_links(self):
        """All links that have something to do with a tunnel; each fact comes from where it should."""
        self.add_service()
        self.add_world("enabled")
        found = self.checks(status=1)
        self.assertEqual(found["", "service", "good"][0], "The service 0.1.0 runs.")
        self.assertEqual(found["eth1", "tunnel", "bad"], ("The attach point is taken.", "underpassctl activate eth1"))
        for name, origin in (("lte0", "Ж本\x1b[31m"), ("eth1", "/etc/underpass/eth.conf:3")):
            self.assertEqual(found[name, "profile", "good"][0], f"The profile “{origin}” asks for a tunnel.")
        self.assertEqual(found["lte0", "udp", "good"][0], "2 handshakes were completed over UDP.")
        self.assertEqual(found["lte0", "tunnel", "note"][0], "Port 443 is held by another UDP socket.\nSecond line.")
        self.assertNotIn("idle0", {interface for interface, _, _ in found}, "it is off, and was not asked for")
        self.assertNotIn(("", "tunnels", "bad"), found)

    def assert_asked_once(self, *arguments):
        """Runs it, and looks at what it asks NetworkManager."""
        self.asked.write_text("")
        self.run_check(*arguments, status=1)
        calls = self.asked.read_text().splitlines()
        self.assertTrue(calls, arguments)
        for part in ("GetSettings ", "ListConnections ", "GetDeviceByIpIface ", "AvailableConnections "):
            found = [call for call in calls if call.startswith(part)]
            self.assertEqual(sorted(found), sorted(set(found)), arguments)
        return calls

    def test_asked_once(self):
        """NetworkManager is asked for each profile and each device once, however many checks want to know."""
        self.add_service()
        self.add_world("enabled")
        for argument in ("idle0", "Office", "Home", "Ghost", "lo"):
            self.assert_asked_once(argument)

    def test_all_asked_once(self):
        """Also where all links are looked at for one that waits for its profile."""
        self.add_service(only="idle0,idle1", state="off")
        self.add_world("enabled")
        self.assertIn("AvailableConnections /org/freedesktop/NetworkManager/Devices/3", self.assert_asked_once())

    def test_profile_asks(self):
        """No profile is to be written where one is there; a tunnel profile names the one that it is for."""
        self.add_service(only="idle1", state="off")
        self.add_world("enabled")
        for uuid, words in (("other", "The profile “Office” asks"), ("uuid1", "The profile “Hotel” asks")):
            (self.folder / "loopback").write_text(json.dumps({"state": "off", "Connection": ["Profile", uuid]}))
            sentence, command = self.checks(status=1)["", "tunnels", "bad"]
            self.assertIn(words, sentence)
            self.assertIn("is active on no link", sentence)
            self.assertEqual(command, f"nmcli connection up id {words.split('“')[1].split('”')[0]}")

    def test_hidden_by_nothing(self):
        """While no link has a tunnel, one that waits for its profile is listed, whatever else there is to tell: SCTP, a
        warning, or nothing. Where one has a tunnel, or is about to, it is not."""
        ports = [("tunnel", "no", "default", ""), ("sctp-udp-port", "9899", "file", "/etc/underpass/s.conf:3")]
        tunnel = [("tunnel", "yes", "file", "/etc/underpass/s.conf:3")]
        for changes, listed in (
            ({"state": "off", "Settings": ports}, True),
            ({"state": "off", "Settings": ports, "Warnings": ["Load the module."]}, True),
            ({"state": "off", "Warnings": ["Mind the port."]}, True),
            ({"state": "off"}, True),
            ({"state": "off", "Settings": tunnel}, True),
            ({"state": "active", "Settings": tunnel}, False),
            ({"state": "waiting", "Settings": tunnel}, False),
            ({"state": "failed", "LastError": "No.", "Settings": tunnel}, False),
            ({"state": "failed", "LastError": "No.", "Settings": ports}, True),
        ):
            with self.subTest(changes):
                self.setUp()
                self.add_service(only="idle0", **changes)
                self.add_world("enabled")
                rows = json.loads(self.run_check("--json", status=None)[0])["checks"]
                found = [row["check"] for row in rows if row["interface"] == "idle0" and row["result"] == "bad"]
                self.assertEqual(found, ["profile"] if listed else [])
                self.assertNotIn(("", "tunnels", "bad"), {(row["interface"], row["check"], row["result"]) for row in rows})

    def test_one_link(self):
        """By its name, by its active profile, and by one that is not active. NetworkManager manages it, and one of
        its profiles has our keys, another one a tunnel profile."""
        self.add_service()
        self.add_world("enabled")
        for argument, profiles in (("idle0", "Office, Hotel"), ("uuid1", "Office")):
            found = self.checks(argument, status=1)
            self.assertEqual({interface for interface, _, _ in found}, {"", "idle0"})
            sentence, command = found["idle0", "profile", "bad"]
            self.assertIn(f"no connection is active on it. Profiles with a tunnel: {profiles}.", sentence)
            self.assertEqual(command, "nmcli connection up id Office")
        found = self.checks("Office", status=1)
        self.assertEqual({interface for interface, _, _ in found}, {"", "idle1"}, "it is active there")
        self.assertIn("The active profile “Office” does not ask", found["idle1", "profile", "bad"][0])

    def test_profile_that_is_not_active(self):
        """What is wrong with it, and not only with its link."""
        self.add_service()
        self.add_world("enabled")
        sentence, command = self.checks("Home", status=1)["idle0", "profile", "bad"]
        self.assertEqual(sentence, "The profile “Home” does not ask for a tunnel.")
        self.assertEqual(command.split("tunnel=")[0], "underpassctl profile set id Home ")
        sentence, command = self.checks("Ghost", status=1)["gone9", "profile", "bad"]
        self.assertEqual(sentence, "The profile “Ghost” is for the link gone9, which is not there now.")
        self.assertEqual(command, "")
        _, err = self.run_check("Twin", status=4)
        self.assertIn("Several profiles match “Twin”; use one of their UUIDs: uuid7, uuid8.", err)

    def test_profile_without_the_service(self):
        """NetworkManager tells where it is active."""
        self.add_world("enabled")
        self.assertIn("\nlo, asked for as “Loop”\n", self.run_check("Loop", status=1)[0] + "\n")
        _, err = self.run_check("Hotel-tunnel", status=4)
        self.assertIn("The profile “Hotel-tunnel” is not active on any link", err)

    def test_what_was_asked_for(self):
        """The heading says which link a profile has led to, and a note that a link was meant where a profile is called so, too."""
        self.add_service()
        self.add_world("enabled")
        for argument, heading in (("uuid1", "idle0, asked for as “uuid1”"), ("Office", "idle1, asked for as “Office”"),
                                  ("idle1", "idle1")):  # fmt: skip
            self.assertIn(f"\n{heading}\n", self.run_check(argument, status=1)[0])
        found = self.checks("wlan0", status=1)
        words = "wlan0 is also the name of a profile for gone9, which is not active. This is about the link wlan0."
        self.assertEqual(found["wlan0", "profile", "note"], (words, ""))
        self.assertIn(words, self.run_check("wlan0", status=0, verb="explain")[0])
        self.assertNotIn(("idle1", "profile", "note"), self.checks("idle1", status=1))

    def test_unknown(self):
        self.add_service()
        _, err = self.run_check("nothing0", status=4)
        self.assertIn("There is no link “nothing0”", err)
        self.run_check("a", "b", status=2)

    def test_ascii(self):
        """Without UTF-8 the marks are ASCII."""
        out, _ = self.run_check(status=1, LC_ALL="C")
        self.assertTrue(out.isascii(), out)
        self.assertIn("  x service ", out)
        self.assertIn(" -> ", out)


if __name__ == "__main__":
    CheckTest.program, CheckTest.xml = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    interrupts.main(argv=[sys.argv[0], *sys.argv[3:]])
