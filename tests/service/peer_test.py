# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the sources NetworkManager and systemd-networkd have in common: the peer, which is
one of the two as a mock, goes and comes back, is silent or slow, and the service copes with both in the
same way."""

import time

from gi.repository import GLib

import harness
from harness import MANAGER, PATIENCE, ROOT, Failure, ip, wait_until

FAILED = "org.underpass1.Error.Failed"
CALL_TIMEOUT = 1.0  # of the service's questions


class PeerTest(harness.ServiceTest):
    """A link up0 and a peer that knows it. A subclass says which peer, and how it gives a profile to the
    link."""

    source = None  # as the property Sources calls the peer
    questions = ()  # methods that the service calls for one link; the last one answers with the profile
    dispatched = ()  # what the dispatcher script tells when the link comes up: action and uuid

    def new_peer(self):
        """A mock of the peer that is not on the bus yet."""
        raise NotImplementedError

    def give_profile(self, tunnel=True):
        """The peer has an active profile for the link, with a tunnel or without one; the service is not
        told."""
        raise NotImplementedError

    def take_profile(self):
        """The peer has no active profile for the link any more, and says so."""
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        self.add_link("up0")
        self.peer = self.new_peer()
        self.peer.start()

    def start_active(self):
        """Starts the service, which finds a profile with a tunnel; the link's properties once it is
        active."""
        self.start()
        found = self.wait_state("up0", "active")
        self.client.signals.clear()
        return found

    def states_heard(self):
        """All changes of states that PropertiesChanged has told, of any link."""
        return [
            arguments[1]["State"]
            for _, _, member, arguments in self.client.signals
            if member == "PropertiesChanged" and "State" in arguments[1]
        ]

    def sources(self):
        """Names of the sources that can be asked."""
        found = self.client.properties(ROOT, MANAGER)["Sources"]
        return [name for name, available in found if available]

    def wait_gone(self):
        """Waits until the service has noticed that the peer has left."""
        wait_until(lambda: self.source not in self.sources(), "the service has noticed")

    def wait_back(self):
        """Waits until the service has noticed that the peer is there."""
        wait_until(lambda: self.source in self.sources(), "the service has noticed")

    def assert_active(self):
        """The link has its tunnel at this moment."""
        self.assertEqual(self.client.link("up0")["State"], "active")

    def send(self, member, *strings):
        """Calls a method of the manager without waiting; a list that gets the answer."""
        answers = []
        arguments = GLib.Variant(f"({'s' * len(strings)})", strings) if strings else None
        self.client.send(ROOT, MANAGER, member, arguments, answers.append)
        return answers


class RestartTests:
    """For a subclass of PeerTest: the peer goes and comes back."""

    def test_bus_restarts_too(self):
        self.give_profile()
        self.start_active()
        self.bus.stop()
        self.bus.start()
        self.client = harness.Client(self.bus.connect())
        wait_until(self.owner, "the service is back on the bus")
        self.assert_active()
        self.peer.start()
        self.wait_back()
        self.client.manager("Reload")
        self.assert_active()
        self.take_profile()
        self.wait_state("up0", "off")

    def test_is_never_started(self):
        """The service asks the peer only when it is there."""
        self.peer.stop()
        self.bus.add_service(self.peer.name, "/usr/bin/touch", self.folder / "started")
        self.tunnel("up0")
        self.start()
        self.wait_state("up0", "active")
        self.client.manager("Reload")
        self.client.manager("Dispatch", "up0", *self.dispatched)
        self.assertFalse((self.folder / "started").exists())


class SilenceTests:
    """For a subclass of PeerTest: the peer does not answer, or late."""

    def test_silent_from_the_start(self):
        """File profiles do not wait for longer than a second, calls that ask nothing do not wait at all."""
        self.peer.hold.update(self.questions)
        self.give_profile()
        self.add_link("up1")
        self.tunnel("up1")
        begin = time.monotonic()
        self.start()
        self.wait_state("up1", "active")
        self.assertLess(time.monotonic() - begin, CALL_TIMEOUT + PATIENCE / 10)
        begin = time.monotonic()
        reloaded = self.send("Reload")
        self.client.manager("ListLinks")
        self.assertEqual(reloaded, [], "a call that asks nothing waits as well")
        wait_until(lambda: reloaded, "the call is answered")
        elapsed = time.monotonic() - begin
        self.assertGreater(elapsed, CALL_TIMEOUT / 2, "the mock is silent")
        self.assertLess(elapsed, 2 * CALL_TIMEOUT + PATIENCE / 10)
        self.peer.hold.clear()
        self.peer.release()  # far too late: nobody listens any more
        self.client.manager("Activate", "up0")
        self.assert_active()

    def test_silent_while_active(self):
        self.give_profile()
        self.start_active()
        self.peer.hold.update(self.questions)
        self.client.manager("Reload")
        self.client.manager("Dispatch", "up0", *self.dispatched)
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()

    def test_link_vanishes_while_asked_about(self):
        self.give_profile()
        self.start_active()
        self.peer.hold.add(self.questions[-1])
        activated, reloaded = self.send("Activate", "up0"), self.send("Reload")
        wait_until(lambda: self.peer.held, "the peer is asked")
        ip("link", "del", "up0")
        wait_until(lambda: activated and reloaded, "both are answered")
        self.assertEqual(activated[0].name, "org.underpass1.Error.NoSuchLink")
        self.peer.release()
        self.assertEqual(self.client.manager("ListLinks"), ([],))

    def test_activate_means_from_now_on(self):
        """A call that comes while the peer is being asked is not answered with what was asked before."""
        self.give_profile(tunnel=False)
        self.start()
        self.client.manager("Reload")
        self.peer.hold.add(self.questions[-1])
        reloaded = self.send("Reload")
        wait_until(lambda: self.peer.held, "the peer is asked")
        self.give_profile()
        activated = self.send("Activate", "up0")
        self.client.manager("ListLinks")  # so Activate has been read
        self.peer.hold.clear()
        self.peer.release()
        wait_until(lambda: activated and reloaded, "both are answered")
        answers = activated + reloaded
        self.assertFalse([answer for answer in answers if isinstance(answer, Failure)], answers)
        self.assert_active()
