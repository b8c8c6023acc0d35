#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls that nobody means well: huge, of wrong types, too many at once. Each is answered, and the service lives on.

Usage: test-calls.py UNDERPASSD-FAKE [TEST…]
"""

import pathlib

from gi.repository import GLib

import harness
from harness import LINK, MANAGER, PROPERTIES, ROOT, Failure, ip, wait_until

DBUS_ERROR = "org.freedesktop.DBus.Error."
OURS = "org.underpass1.Error."
HUGE = 50_000
CALLS = 1000
OUTSTANDING = 64


class Calls(harness.ServiceTest):
    """One link with a tunnel, and all sorts of calls."""

    def setUp(self):
        super().setUp()
        self.path = self.start_with_tunnel("up0")
        self.begun = self.process.pid, self.owner()

    def tearDown(self):
        self.assertIsNone(self.process.poll(), self.log.read_text(errors="replace"))
        self.assertEqual((self.process.pid, self.owner()), self.begun)
        self.assertEqual(self.client.link("up0")["State"], "active")

    def resident(self):
        """Resident memory of the service in kilobytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def failure(self, path, interface, member, arguments):
        """Name and message of the error of a call."""
        with self.assertRaises(Failure) as caught:
            self.client.call(path, interface, member, arguments)
        return caught.exception.name, caught.exception.message

    def test_huge_strings(self):
        for text in (
            "x" * HUGE,
            "%s%n" * (HUGE // 4),
            "Ж" * (HUGE // 2),
            "\x1b[2J" * (HUGE // 4),
            "../" * 9999,
        ):
            for method in ("GetLink", "Activate", "Deactivate"):
                name, message = self.failure(ROOT, MANAGER, method, GLib.Variant("(s)", (text,)))
                self.assertEqual(name, OURS + "NoSuchLink")
                self.assertLess(len(message), 500)
                self.assertNotIn("\x1b", message)
            self.assertEqual(self.client.manager("Dispatch", text, text, text), ())
            self.assertEqual(self.client.manager("Dispatch", "up0", text, text), ())
        self.assertNotIn("\x1b", self.log.read_text())

    def test_wrong_arguments(self):
        for method, arguments in [
            ("GetLink", None),
            ("GetLink", GLib.Variant("(u)", (7,))),
            ("GetLink", GLib.Variant("(o)", ("/up0",))),
            ("GetLink", GLib.Variant("(ss)", ("up0", "up0"))),
            ("Activate", GLib.Variant("(v)", (GLib.Variant("s", "up0"),))),
            ("Activate", GLib.Variant("(as)", (["up0"] * 1000,))),
            ("Deactivate", GLib.Variant("(x)", (-1,))),
            ("Dispatch", GLib.Variant("(ss)", ("up0", "up"))),
            ("Dispatch", GLib.Variant("(ssu)", ("up0", "up", 1))),
            ("Forget", GLib.Variant("(ss)", ("up0", "192.0.2.1"))),
            ("Forget", GLib.Variant("(ssu)", ("up0", "192.0.2.1", 65536))),
            ("Reload", GLib.Variant("(s)", ("now",))),
            ("DeactivateAll", GLib.Variant("(b)", (True,))),
        ]:
            with self.subTest(method=method, arguments=str(arguments)[:40]):
                name, _ = self.failure(ROOT, MANAGER, method, arguments)
                self.assertEqual(name, DBUS_ERROR + "InvalidArgs")

    def test_what_does_not_exist(self):
        for path, interface, member in [
            (ROOT, MANAGER, "Explode"),
            (ROOT, LINK, "Activate"),
            (ROOT, "org.example.Nothing", "Reload"),
            (ROOT + "/link", LINK, "Activate"),
            (self.path, MANAGER, "Reload"),
        ]:
            with self.subTest(path=path, interface=interface, member=member):
                name, _ = self.failure(path, interface, member, None)
                self.assertIn(name, {DBUS_ERROR + "UnknownMethod", DBUS_ERROR + "UnknownInterface"})
        for path in ("/", ROOT + "/link/_39999", ROOT + "/link/_3", ROOT + "/link/x/y", ROOT + "/links"):
            with self.subTest(path=path):
                name, _ = self.failure(path, LINK, "Activate", None)
                self.assertEqual(name, DBUS_ERROR + "UnknownObject")

    def test_nothing_can_be_written(self):
        for path, interface in ((ROOT, MANAGER), (self.path, LINK)):
            for name in self.client.properties(path, interface):
                value = GLib.Variant("(ssv)", (interface, name, GLib.Variant("s", "x")))
                error, _ = self.failure(path, PROPERTIES, "Set", value)
                self.assertIn(error, {DBUS_ERROR + "PropertyReadOnly", DBUS_ERROR + "InvalidArgs"})
            value = GLib.Variant("(ss)", (interface, "Nothing"))
            self.assertEqual(self.failure(path, PROPERTIES, "Get", value)[0], DBUS_ERROR + "UnknownProperty")

    def flood(self, calls, outstanding):
        """Makes calls (path, interface, member, arguments), so many at a time; the answers."""
        answers, waiting = [], 0

        def done(answer):
            nonlocal waiting
            waiting -= 1
            answers.append(answer)

        for call in calls:
            wait_until(lambda: waiting < outstanding, "an answer")
            waiting += 1
            self.client.send(*call, done)
        wait_until(lambda: waiting == 0, "the last answer")
        return answers

    def test_many_calls_at_once(self):
        up0, huge = GLib.Variant("(s)", ("up0",)), GLib.Variant("(s)", ("x" * HUGE,))
        kinds = [
            (ROOT, MANAGER, "Activate", up0),
            (ROOT, MANAGER, "Reload", None),
            (ROOT, MANAGER, "ListLinks", None),
            (ROOT, MANAGER, "GetLink", huge),
            (self.path, LINK, "Activate", None),
            (self.path, PROPERTIES, "GetAll", GLib.Variant("(s)", (LINK,))),
            (ROOT, MANAGER, "Dispatch", GLib.Variant("(sss)", ("up0", "pre-up", ""))),
            (ROOT, MANAGER, "Dispatch", GLib.Variant("(sss)", ("up0", "changed", ""))),
        ]
        calls = [kinds[number % len(kinds)] for number in range(CALLS)]
        self.flood(calls, OUTSTANDING)
        before = self.resident()
        answers = self.flood(calls, OUTSTANDING)
        self.assertEqual(len(answers), CALLS)
        failed = [answer for answer in answers if isinstance(answer, Failure)]
        self.assertEqual(len(failed), CALLS // len(kinds))
        self.assertEqual({failure.name for failure in failed}, {OURS + "NoSuchLink"})
        if not harness.WRAPPER:  # that would be its memory
            self.assertLess(self.resident(), before + 4096, "kilobytes")

    def test_activate_and_deactivate_in_turns(self):
        """Opposite calls under way at the same time: each is answered, if only with the news that another
        call has overruled it, and the last one holds."""
        up0 = GLib.Variant("(s)", ("up0",))
        calls = [(ROOT, MANAGER, ("Deactivate", "Activate")[number % 2], up0) for number in range(200)]
        answers = self.flood(calls, 16)
        self.assertEqual(len(answers), 200)
        errors = {answer.name for answer in answers if isinstance(answer, Failure)}
        self.assertLessEqual(errors, {OURS + "NothingToDo"})

    def test_callers_that_leave(self):
        """Nobody waits for the answers."""
        for _ in range(20):
            client = harness.Client(self.bus.connect())
            for member in ("Reload", "ListLinks"):
                client.send(ROOT, MANAGER, member, None, lambda answer: None)
            client.connection.flush_sync()
            client.connection.close_sync()

    def test_link_vanishes_under_a_call(self):
        for round_number in range(10):
            name = f"gone{round_number}"
            ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
            wait_until(lambda: self.known(name), "the new link")
            answers = []
            for member in ("Activate", "Deactivate", "Activate"):
                self.client.send(ROOT, MANAGER, member, GLib.Variant("(s)", (name,)), answers.append)
            ip("link", "del", name)
            wait_until(lambda: len(answers) == 3, "three answers")
            self.assertIsInstance(answers[0], Failure)
            self.assertIn(answers[0].name, {OURS + "NoSuchLink", OURS + "NothingToDo"})

    def known(self, name):
        """Whether the service knows a link by this name."""
        return name in [row[1] for row in self.client.manager("ListLinks")[0]]


if __name__ == "__main__":
    harness.main()
