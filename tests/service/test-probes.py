#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Probes on request: what the service asks the prober, how it bounds that, and what it makes of bad answers.

Usage: test-probes.py UNDERPASSD-FAKE UNDERPASSCTL [TEST…]
"""

import re
import signal
import subprocess
import time

from gi.repository import GLib

import harness
import mock_prober
from harness import MANAGER, ROOT, Failure, wait_until
from mock_prober import MockProber

LIMITS = "org.freedesktop.DBus.Error.LimitsExceeded"
INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
FAILED = "org.freedesktop.DBus.Error.Failed"
PER_MINUTE = 30


class ProbesTest(harness.ServiceTest):
    """A link with a tunnel, and a prober that only says something."""

    def setUp(self):
        super().setUp()
        self.prober = MockProber(self.bus)
        self.prober.start()
        for name in ("up0", "up1", "off0"):
            self.add_link(name)
            if name != "off0":
                self.tunnel(name)
        self.start()
        for name in ("up0", "up1"):
            self.wait_state(name, "active")

    def probe(self, interface="up0", address="192.0.2.1", port=443):
        """Calls Probe; its answer."""
        return self.client.call(ROOT, MANAGER, "Probe", GLib.Variant("(ssq)", (interface, address, port)))

    def send(self, interface="up0"):
        """The same without waiting; the list that the answer comes to."""
        answers = []
        arguments = GLib.Variant("(ssq)", (interface, "192.0.2.1", 443))
        self.client.send(ROOT, MANAGER, "Probe", arguments, answers.append)
        return answers

    def assert_refused(self, error, *arguments):
        """The probe fails in this way."""
        self.assert_fails(error, self.probe, *arguments)

    def test_answer(self):
        """All that the prober says is passed on. Both families."""
        self.assertEqual(self.probe(), mock_prober.ANSWER)
        self.assertEqual(self.probe("up0", "2001:db8::1", 8443), mock_prober.ANSWER)
        asked = [("up0", "192.0.2.1", 443, True), ("up0", "2001:db8::1", 8443, True)]
        self.assertEqual(self.prober.calls, [("Ask", each) for each in asked])

    def test_one_at_a_time(self):
        """By each link; another link is free."""
        self.prober.hold.add("Ask")
        first, other = self.send(), self.send("up1")
        wait_until(lambda: len(self.prober.calls) == 2, "both are asked")
        self.assert_refused(LIMITS)
        self.prober.release()
        wait_until(lambda: first and other, "both are answered")
        self.prober.hold.clear()
        self.assertEqual(self.probe(), mock_prober.ANSWER)

    def test_so_many_a_minute(self):
        for _ in range(PER_MINUTE):
            self.probe()
        self.assert_refused(LIMITS)
        self.assert_refused(LIMITS, "up1")
        self.assertEqual(len(self.prober.calls), PER_MINUTE)

    def test_what_is_refused(self):
        """No packet for any of these."""
        self.assert_refused("org.underpass1.Error.NoSuchLink", "ghost")
        self.assert_refused(FAILED, "off0")
        self.assert_refused(INVALID, "up0", "example.org")
        self.assert_refused(INVALID, "up0", "")
        self.assert_refused(INVALID, "up0", "192.0.2.1", 0)
        self.assertEqual(self.prober.calls, [])

    def test_caller_leaves(self):
        """The prober stops, and the link is free for the next one. Who stays is not disturbed."""
        self.prober.hold.add("Ask")
        other = self.send("up1")
        gone = harness.Client(self.bus.connect())
        gone.send(ROOT, MANAGER, "Probe", GLib.Variant("(ssq)", ("up0", "192.0.2.1", 443)), lambda _answer: None)
        wait_until(lambda: len(self.prober.calls) == 2, "both are asked")
        gone.connection.close_sync()
        wait_until(lambda: ("Cancel", ("up0",)) in self.prober.calls, "the prober is told")
        self.prober.hold.clear()
        self.assertEqual(self.probe(), mock_prober.ANSWER)
        self.prober.release()
        wait_until(lambda: other, "the other one is answered")
        self.assertEqual(other[0], mock_prober.ANSWER)
        self.assertEqual([subject for method, subject in self.prober.calls if method == "Cancel"], [("up0",)])

    def test_command_is_interrupted(self):
        """It ends at once by the signal, while the service waits for the prober, and so does the probe."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                self.prober.calls.clear()
                self.prober.hold.add("Ask")
                variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address}
                command = [self.ctl, "probe", "192.0.2.1:443", "up0"]
                with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
                    wait_until(lambda: self.prober.calls, "it is asked")
                    begin = time.monotonic()
                    process.send_signal(number)
                    self.assertEqual(process.wait(30), -number)
                    self.assertLess(time.monotonic() - begin, 2)
                    self.assertEqual(process.stdout.read(), b"")
                wait_until(lambda: ("Cancel", ("up0",)) in self.prober.calls, "the prober is told")

    def test_errors_can_be_translated(self):
        """Who was told one finds what it is made of, and nobody else does."""
        sentences = [
            self.assert_fails(FAILED, self.probe, "off0"),
            self.assert_fails(INVALID, self.probe, "up0", "example.org"),
            self.assert_fails("org.underpass1.Error.NoSuchLink", self.probe, "ghost"),
            self.assert_fails(INVALID, self.client.forget, "up0", "nowhere"),
        ]
        self.prober.spoilt["Ask"] = "org.example.No"
        sentences.append(self.assert_fails(FAILED, self.probe))
        messages = self.client.properties(ROOT, MANAGER)["Messages"]
        other = harness.Client(self.bus.connect()).properties(ROOT, MANAGER)["Messages"]
        arguments = [["off0"], ["example.org", "443"], ["ghost"], ["nowhere"], ["the mock says no"]]
        for sentence, expected in zip(sentences, arguments):
            msgid, found = messages[sentence]
            self.assertEqual(found, expected)
            parts = iter(found)
            self.assertEqual(re.sub("%[su]", lambda _, rest=parts: next(rest), msgid), sentence)
            self.assertNotIn(sentence, other)

    def test_bad_answers(self):
        """They are errors, and the next probe is asked for as ever."""
        for spoilt in (
            "org.example.No",
            GLib.Variant("(s)", ("x",)),
            GLib.Variant("()", ()),
            GLib.Variant(mock_prober.SIGNATURE, ([("udp", "perhaps", 0, "", 0)], {})),
            GLib.Variant(mock_prober.SIGNATURE, ([("udp", "refused", 0, "somewhere", 0)], {})),
        ):
            self.prober.spoilt["Ask"] = spoilt
            self.assert_refused(FAILED)
        self.prober.spoilt["Ask"] = GLib.Variant(mock_prober.SIGNATURE, ([("new", "mptcp", 1, "", 0)], {"new": 1}))
        answers, figures = self.probe()
        self.assertEqual([answer[1] for answer in answers], ["not-sent"] * 3)
        self.assertEqual(set(figures), set(mock_prober.ANSWER[1]))
        del self.prober.spoilt["Ask"]
        self.assertEqual(self.probe(), mock_prober.ANSWER)

    def test_prober_leaves(self):
        """Who waits hears of it."""
        self.prober.hold.add("Ask")
        answers = self.send()
        wait_until(lambda: self.prober.calls, "it is asked")
        self.prober.stop()
        wait_until(lambda: answers, "the call fails")
        self.assertIsInstance(answers[0], Failure)
        self.assert_refused(FAILED)

    def test_link_goes_meanwhile(self):
        """Its answer still comes."""
        self.prober.hold.add("Ask")
        answers = self.send()
        wait_until(lambda: self.prober.calls, "it is asked")
        self.client.manager("Deactivate", "up0")
        self.prober.release()
        wait_until(lambda: answers, "the call is answered")
        self.assertEqual(answers, [mock_prober.ANSWER])


if __name__ == "__main__":
    harness.main("ctl")
