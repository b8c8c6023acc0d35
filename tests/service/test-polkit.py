#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may call what: root everything, others what polkit allows them, which takes its time, is gone, refuses, says nonsense.

Usage: test-polkit.py UNDERPASSD-FAKE XML [TEST…]
"""

import contextlib
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree

from gi.repository import Gio, GLib

import harness
from harness import LINK, MANAGER, ROOT, Failure, wait_until
from mock_polkit import ALLOWED, CHALLENGE, REFUSED, MockPolkit
from mock_prober import MockProber

NOBODY, DAEMON = 65534, 1
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
INTERACTIVE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
LIMITS = "org.freedesktop.DBus.Error.LimitsExceeded"
FAILED = "org.underpass1.Error.Failed"
NO_LINK = "org.underpass1.Error.NoSuchLink"
ACTION = "org.underpass1."
QUESTIONS, QUESTIONS_OF_A_USER = 64, 8
CALLS, CALLS_OF_A_STRANGER = 1024, 16  # that wait for the bus to say who has called
ANSWER_SECONDS = 10

STRING = GLib.Variant("(s)", ("up0",))
FORGET = GLib.Variant("(ssq)", ("up0", "192.0.2.1", 443))
# Every method that is not for everybody: arguments, action. Dispatch is kept from others by the bus.
GUARDED = {
    (MANAGER, "Activate"): (STRING, "activate"),
    (MANAGER, "Probe"): (FORGET, "probe"),
    (MANAGER, "Deactivate"): (STRING, "deactivate"),
    (MANAGER, "DeactivateAll"): (None, "deactivate"),
    (MANAGER, "Forget"): (FORGET, "forget"),
    (MANAGER, "Reload"): (None, "reload"),
    (LINK, "Activate"): (None, "activate"),
    (LINK, "Deactivate"): (None, "deactivate"),
}


class Stranger(harness.Client):
    """A client that is not root. In a user namespace nobody is root, see main()."""

    def __init__(self, bus, user=NOBODY):
        with self._become(user):
            super().__init__(bus.connect())

    @staticmethod
    @contextlib.contextmanager
    def _become(user):
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(user)
        try:
            yield
        finally:
            os.seteuid(0)

    def unique(self):
        """Its name on the bus."""
        return self.connection.get_unique_name()


class PolkitTest(harness.ServiceTest):
    """A polkit that is not there yet, somebody who is not root."""

    path = None  # object of the link

    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)
        self.polkit = MockPolkit(self.bus)
        MockProber(self.bus).start()
        self.stranger = Stranger(self.bus)

    def answer_all(self, answer):
        """polkit has one answer to everything."""
        self.polkit.answers = {ACTION + action: answer for _, action in GUARDED.values()}

    def call(self, interface, member, client=None):
        """The stranger calls a guarded method."""
        path = self.path if interface == LINK else ROOT
        return (client or self.stranger).call(path, interface, member, GUARDED[interface, member][0])

    def send(self, member="Deactivate", client=None, arguments=STRING):
        """The stranger calls a method of the manager without waiting; the list that the answer comes to."""
        answers = []
        (client or self.stranger).send(ROOT, MANAGER, member, arguments, answers.append)
        return answers

    def hold(self):
        """polkit is there and thinks."""
        self.polkit.hold.add("CheckAuthorization")
        self.polkit.start()

    def wait_asked(self, count=1):
        """Returns when polkit has been asked so often."""
        wait_until(lambda: len(self.polkit.asked()) >= count, "polkit is asked")

    @staticmethod
    def failure(answers):
        """The name of the error that a call is answered with."""
        wait_until(lambda: answers, "an answer")
        return answers[0].name if isinstance(answers[0], Failure) else None


class Judged(PolkitTest):
    """Calls about one link with a tunnel."""

    def setUp(self):
        super().setUp()
        self.path = self.start_with_tunnel("up0")

    def active(self):
        """Whether the link has its tunnel."""
        return self.client.link("up0")["State"] == "active"

    def test_table_is_complete(self):
        """Every method of the interfaces is for everybody, or here, or kept away by the bus."""
        tree = ElementTree.parse(self.xml)
        methods = {
            (interface.get("name"), method.get("name"))
            for interface in tree.iter("interface")
            for method in interface.iter("method")
        }
        reading = {pair for pair in methods if pair[1].startswith(("Describe", "Get", "List"))}
        self.assertEqual(methods - reading, set(GUARDED) | {(MANAGER, "Dispatch"), (MANAGER, "Subscribe")})

    def test_reading_asks_nobody(self):
        self.polkit.start()
        self.stranger.link("up0")
        for member in ("ListLinks", "ListCounters", "ListDestinations"):
            self.stranger.manager(member)
        self.assertEqual(self.polkit.calls, [])

    def test_allowed(self):
        """Each method asks for its action, for the caller as the bus knows it, and then does its work."""
        self.answer_all(ALLOWED)
        self.polkit.start()
        for (interface, member), (_, action) in GUARDED.items():
            with self.subTest(interface=interface, member=member):
                self.polkit.calls.clear()
                self.call(interface, member)
                (subject, asked, details, flags, _), = self.polkit.asked()
                self.assertEqual(asked, ACTION + action)
                self.assertEqual(subject, ("system-bus-name", {"name": self.stranger.unique()}))
                self.assertEqual((details, flags), ({}, 0))
                self.assertEqual(self.polkit.taken_back(), [])
                if action in ("activate", "deactivate"):
                    self.assertEqual(self.active(), action == "activate")

    def test_refused(self):
        self.polkit.start()
        for answer, error in ((REFUSED, DENIED), (CHALLENGE, INTERACTIVE)):
            self.answer_all(answer)
            for interface, member in GUARDED:
                with self.subTest(interface=interface, member=member, answer=answer):
                    self.assert_fails(error, self.call, interface, member)
        self.assertTrue(self.active())
        self.assertEqual(len(self.polkit.asked()), 2 * len(GUARDED))

    def test_nobody_waits_for_the_answer(self):
        """A call that wants no answer is refused like any other, whether its caller is known or not."""
        self.polkit.start()
        for _ in range(2):
            for member in ("DeactivateAll", "Reload", "Explode"):
                message = Gio.DBusMessage.new_method_call(harness.NAME, ROOT, MANAGER, member)
                message.set_flags(Gio.DBusMessageFlags.NO_REPLY_EXPECTED)
                self.stranger.connection.send_message(message, Gio.DBusSendMessageFlags.NONE)
            self.stranger.manager("ListLinks")
        self.wait_asked(4)
        self.client.manager("ListLinks")
        self.assertTrue(self.active())

    def test_often(self):
        """A user who asks again and again is turned down for a while, and root is not."""
        self.answer_all(ALLOWED)
        self.polkit.start()
        begin = time.monotonic()
        answers = [self.failure(self.send("Reload", arguments=None)) for _ in range(100)]
        if time.monotonic() - begin < 1.9:  # on a busy machine they may be slow enough
            self.assertIn(LIMITS, answers)
        self.assertIsNone(answers[0])
        if os.geteuid() == 0:
            self.client.manager("Reload")
        wait_until(lambda: self.failure(self.send("Reload", arguments=None)) is None, "it may again", 5)

    def test_order(self):
        """Calls of one sender are done in the order in which they came, while it is found out who it is."""
        if os.geteuid() != 0:
            self.skipTest("nobody is root in this namespace")
        for last, state in (("Activate", True), ("Deactivate", False)) * 5:
            client = harness.Client(self.bus.connect())
            first = "Deactivate" if last == "Activate" else "Activate"
            answers = [self.send(member, client=client) for member in [first, last] * 10]
            wait_until(lambda answers=answers: all(answers), "all are answered")
            self.assertEqual(self.active(), state)

    def test_other_actions_do_not_count(self):
        """Leave to reload is no leave to deactivate."""
        self.answer_all(ALLOWED)
        self.polkit.answers[ACTION + "deactivate"] = REFUSED
        self.polkit.start()
        self.call(MANAGER, "Reload")
        self.assert_fails(DENIED, self.call, MANAGER, "Deactivate")
        self.assert_fails(DENIED, self.call, LINK, "Deactivate")
        self.assert_fails(DENIED, self.call, MANAGER, "DeactivateAll")
        self.assertTrue(self.active())

    def test_root_is_not_asked_for(self):
        if os.geteuid() != 0:
            self.skipTest("nobody is root in this namespace")
        self.polkit.start()
        for interface, member in GUARDED:
            self.call(interface, member, self.client)
        self.assertEqual(self.polkit.calls, [])

    def test_what_is_in_no_table(self):
        """A method that does not exist, and one that the bus would have kept away."""
        self.answer_all(ALLOWED)
        self.polkit.start()
        self.assert_fails(DENIED, self.stranger.call, ROOT, MANAGER, "Explode")
        self.assert_fails(DENIED, self.stranger.call, ROOT, harness.NAME + ".Other", "Reload")
        self.assertEqual(self.polkit.calls, [])

    def test_without_interface(self):
        """A call may leave it out; then it is for root, whatever polkit would allow."""
        self.answer_all(ALLOWED)
        self.polkit.start()
        for path in (ROOT, self.path):
            message = Gio.DBusMessage.new_method_call(harness.NAME, path, None, "Deactivate")
            if path == ROOT:
                message.set_body(STRING)
            self.assertEqual(self.error_of(self.stranger, message), DENIED)
        self.assertEqual(self.polkit.calls, [])
        self.assertTrue(self.active())

    @staticmethod
    def error_of(client, message):
        """The name of the error that a message is answered with."""
        errors = []

        def answered(connection, result):
            try:
                connection.send_message_with_reply_finish(result).to_gerror()
                errors.append(None)
            except GLib.Error as error:
                errors.append(Failure(error).name)

        flags = Gio.DBusSendMessageFlags.NONE
        client.connection.send_message_with_reply(message, flags, 5000, None, answered)
        wait_until(lambda: errors, "an answer")
        return errors[0]

    def test_interactive_flag(self):
        """Only who has said so is asked for a password."""
        self.answer_all(ALLOWED)
        self.polkit.start()
        answers = []

        def answered(connection, result):
            answers.append(connection.call_finish(result).unpack())

        flags = Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION
        arguments = (harness.NAME, ROOT, MANAGER, "Reload", None, None, flags, 5000, None, answered)
        self.stranger.connection.call(*arguments)
        wait_until(lambda: answers, "an answer")
        self.assertEqual(self.polkit.asked()[0][3], 1)

    def test_absent(self):
        """Without polkit only root may, and is told so; when polkit comes, it is asked."""
        message = self.assert_fails(DENIED, self.call, MANAGER, "Deactivate")
        self.assertIn("only root", message)
        self.assertTrue(self.active())
        self.answer_all(ALLOWED)
        self.polkit.start()
        self.call(MANAGER, "Deactivate")
        self.assertFalse(self.active())

    def test_no_answer(self):
        """Nobody else waits meanwhile, and in the end the caller hears of it."""
        self.hold()
        answers = self.send()
        self.wait_asked()
        self.stranger.manager("ListLinks")
        self.client.link("up0")
        wait_until(lambda: answers, "the service gives up", ANSWER_SECONDS + 5)
        self.assertEqual(answers[0].name, DENIED)
        wait_until(self.polkit.taken_back, "the question is taken back")
        self.polkit.release()
        self.assertTrue(self.active())

    def test_dies_while_asked(self):
        self.hold()
        answers = self.send()
        self.wait_asked()
        self.polkit.stop()
        wait_until(lambda: answers, "an error", ANSWER_SECONDS / 2)
        self.assertEqual(answers[0].name, DENIED)
        self.assertTrue(self.active())

    def test_caller_leaves(self):
        """The question is taken back, and a late answer does nothing."""
        self.hold()
        self.answer_all(ALLOWED)
        leaver = Stranger(self.bus)
        self.send(client=leaver)
        self.wait_asked()
        leaver.connection.close_sync()
        # The service would give up by itself later.
        wait_until(self.polkit.taken_back, "the question is taken back", ANSWER_SECONDS / 2)
        self.assertEqual(self.polkit.taken_back(), [self.polkit.asked()[0][4]])
        self.polkit.release()
        self.client.manager("ListLinks")
        self.assertTrue(self.active())

    def test_nonsense(self):
        """What is no answer is no leave."""
        self.polkit.start()
        for answer in (
            GLib.Variant("(b)", (True,)),
            GLib.Variant("((bb))", ((True, True),)),
            GLib.Variant("((sba{ss}))", (("yes", True, {}),)),
            GLib.Variant("()", ()),
            "org.freedesktop.PolicyKit1.Error.Failed",
            "org.freedesktop.PolicyKit1.Error.Cancelled",
        ):
            with self.subTest(answer=str(answer)):
                self.polkit.spoilt["CheckAuthorization"] = answer
                self.assert_fails(DENIED, self.call, MANAGER, "Deactivate")
                self.assertTrue(self.active())

    def test_bounded(self):
        """A user has so many open questions and no more; other users are served, and the room comes back."""
        self.hold()
        answers = [self.send(client=Stranger(self.bus)) for _ in range(QUESTIONS_OF_A_USER)]
        self.wait_asked(QUESTIONS_OF_A_USER)
        self.assert_fails(LIMITS, self.call, MANAGER, "Reload")
        self.assertEqual(len(self.polkit.asked()), QUESTIONS_OF_A_USER)
        if os.geteuid() == 0:
            self.client.manager("Reload")
            self.send(client=Stranger(self.bus, DAEMON))
            self.wait_asked(QUESTIONS_OF_A_USER + 1)
        self.polkit.hold.clear()
        self.polkit.release()
        wait_until(lambda: all(answers), "all are answered")
        self.answer_all(ALLOWED)
        self.call(MANAGER, "Reload")

    def test_bounded_for_all(self):
        """However many users ask, so many questions are open and no more, and the room comes back."""
        if os.geteuid() != 0:
            self.skipTest("there is one user in this namespace")
        self.hold()
        users = range(1, 1 + QUESTIONS // QUESTIONS_OF_A_USER)
        strangers = [Stranger(self.bus, user) for user in users for _ in range(QUESTIONS_OF_A_USER)]
        answers = [self.send(client=stranger) for stranger in strangers]
        self.wait_asked(QUESTIONS)
        another = Stranger(self.bus, max(users) + 1)
        self.assert_fails(LIMITS, self.call, MANAGER, "Reload", another)
        self.assertEqual(len(self.polkit.asked()), QUESTIONS)
        self.client.manager("Reload")
        self.polkit.hold.clear()
        self.polkit.release()
        wait_until(lambda: all(answers), "all are answered")
        self.answer_all(ALLOWED)
        wait_until(lambda: self.failure(self.send("Reload", another, None)) is None, "it may ask again", 5)

    @contextlib.contextmanager
    def stopped(self):
        """Meanwhile the service reads nothing, and it knows nobody whose first calls it finds then."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def send_most(self, strangers):
        """The answers to as many calls as each of them may send before it is known."""
        answers = [self.send("Explode", each, None) for each in strangers for _ in range(CALLS_OF_A_STRANGER)]
        for each in strangers:
            self.reach_bus(each)
        return answers

    def test_place_for_the_next(self):
        """Connections that send many calls before it is known whose they are leave places for others."""
        strangers = [Stranger(self.bus) for _ in range(CALLS // CALLS_OF_A_STRANGER + 8)]
        with self.stopped():
            answers = self.send_most(strangers)
            another = Stranger(self.bus)
            last = self.send("Explode", another, None)
            self.reach_bus(another)
        self.assertEqual(self.failure(last), DENIED)
        errors = [self.failure(each) for each in answers]
        self.assertEqual(set(errors), {DENIED, LIMITS})
        self.assertLess(errors.count(DENIED), CALLS)

    def test_bounded_before_it_is_known(self):
        """However many connections call, so many calls wait for the bus to say whose they are."""
        strangers = [Stranger(self.bus) for _ in range(CALLS // CALLS_OF_A_STRANGER + 32)]
        with self.stopped():
            answers = self.send_most(strangers)
        errors = [self.failure(each) for each in answers]
        self.assertEqual(errors.count(DENIED), CALLS)
        self.assertEqual(errors.count(LIMITS), len(errors) - CALLS)
        self.assertEqual(self.failure(self.send("Explode", Stranger(self.bus), None)), DENIED)

    @staticmethod
    def reach_bus(client):
        """Returns when the bus has passed on what this client has sent."""
        bus = "org.freedesktop.DBus"
        call = (bus, "/org/freedesktop/DBus", bus, "GetId", None, None)
        client.connection.call_sync(*call, Gio.DBusCallFlags.NONE, -1)

    def test_long_arguments(self):
        """They are not kept while polkit thinks."""
        self.hold()
        for length in (5000, 100_000):
            name = GLib.Variant("(s)", ("x" * length,))
            wait_until(lambda name=name: self.failure(self.send(arguments=name)) == LIMITS, "it is refused")
        self.assertEqual(self.polkit.asked(), [])

    def test_wrong_arguments(self):
        """Who is allowed to call gets the errors that root would get."""
        self.answer_all(ALLOWED)
        self.polkit.start()
        wrong = GLib.Variant("(a(sv))", ([("x", STRING)] * 3,))
        self.assertEqual(
            self.failure(self.send(arguments=wrong)), "org.freedesktop.DBus.Error.InvalidArgs"
        )
        gone = GLib.Variant("(s)", ("no-such-link",))
        self.assertEqual(self.failure(self.send(arguments=gone)), NO_LINK)

    def test_link_vanishes_meanwhile(self):
        self.hold()
        self.answer_all(ALLOWED)
        answers = self.send()
        self.wait_asked()
        harness.ip("link", "del", "up0")
        wait_until(lambda: not self.client.manager("ListLinks")[0] or self.gone(), "the link is gone")
        self.polkit.release()
        self.assertEqual(self.failure(answers), NO_LINK)

    def gone(self):
        """Whether the service does not know the link any more."""
        return "up0" not in [row[1] for row in self.client.manager("ListLinks")[0]]

    def test_descriptors(self):
        """A call that brings descriptors does not reach the service, which would hold them open."""
        self.hold()
        message = Gio.DBusMessage.new_method_call(harness.NAME, ROOT, MANAGER, "Deactivate")
        message.set_body(STRING)
        with open("/dev/null", "rb") as file:
            descriptors = Gio.UnixFDList.new()
            descriptors.append(file.fileno())
            message.set_unix_fd_list(descriptors)
            message.set_num_unix_fds(1)
            error = self.error_of(self.stranger, message)
        self.assertEqual(error, "org.freedesktop.DBus.Error.NotSupported")
        self.assertEqual(self.polkit.asked(), [])

    def test_service_is_stopped_meanwhile(self):
        self.hold()
        answers = self.send()
        self.wait_asked()
        self.stop()
        self.assertEqual(self.failure(answers), FAILED)
        wait_until(self.polkit.taken_back, "the question is taken back")

    def test_bus_goes_away_meanwhile(self):
        """Whoever has called is gone with it; on the next bus everything works."""
        self.hold()
        self.send()
        self.wait_asked()
        self.polkit.held.clear()
        self.bus.stop()
        self.bus.start()
        self.client = harness.Client(self.bus.connect())
        wait_until(self.owner, "the service is back")
        self.polkit.hold.clear()
        self.answer_all(ALLOWED)
        self.polkit.start()
        self.stranger = Stranger(self.bus)
        self.call(MANAGER, "Deactivate")
        self.assertFalse(self.active())


class Idle(PolkitTest):
    """A service that has nothing else to do and would leave after three seconds."""

    def test_waits_for_polkit(self):
        self.start("--idle=3")
        self.hold()
        self.answer_all(ALLOWED)
        answers = self.send("Reload", arguments=None)
        self.wait_asked()
        with self.assertRaises(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.polkit.release()
        self.assertIsNone(self.failure(answers))
        wait_until(lambda: self.process.poll() is not None, "the service leaves")
        self.assertEqual(self.process.returncode, 0)


if __name__ == "__main__":
    harness.main("xml", strangers=True)
