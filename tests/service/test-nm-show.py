#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tunnel profiles that NetworkManager shows as active: with their base, by hand, and never a condition for the
tunnel.

Usage: test-nm-show.py UNDERPASSD-FAKE [TEST…]
"""

from gi.repository import GLib

import harness
import mock_nm
from harness import wait_until
from mock_nm import DEVICE_DISCONNECTED, SERVICE_STOPPED, USER_DISCONNECTED, connection, tunnel
from tunnel_test import TunnelTest

KEYS = {"link": "LTE", "tunnel": "yes", "remote_ports": "443"}
UUID = "22222222-0000-0000-0000-000000000001"
BUSY = "org.freedesktop.NetworkManager.ConnectionNotAvailable"


class ShowTest(TunnelTest):
    """There is a tunnel profile for the link."""

    def setUp(self):
        super().setUp()
        self.profile_path = self.nm.add_profile(tunnel("T", KEYS, uuid=UUID))

    def activations(self):
        """What the service has asked to be activated."""
        return [subject for method, subject in self.nm.calls if method == "ActivateConnection"]

    def shown(self):
        """Path by which the tunnel profile is active, or None."""
        return next((path for path, uuid in self.nm.actives.items() if uuid == UUID), None)

    def wait_shown(self):
        """Waits until the tunnel profile is active; its path."""
        path = wait_until(self.shown, "the tunnel profile is active")
        self.client.manager("Reload")  # the service has read that
        return path

    def start_shown(self):
        """Starts the service, which activates the tunnel profile; its path."""
        self.start()
        self.wait_state("up0", "active")
        return self.wait_shown()

    def settle(self):
        """Several looks at all links, with all that follows from them."""
        for _ in range(3):
            self.client.manager("Reload")


class WithTheBase(ShowTest):
    """The tunnel profile goes up and down with the profile of the link."""

    def test_base_is_active(self):
        self.start_shown()
        base = self.nm.base_path("up0")
        self.assertEqual(self.activations(), [(self.profile_path, "/", base)])
        self.settle()
        self.assertEqual(len(self.activations()), 1)

    def test_base_goes_up_and_down(self):
        self.nm.deactivate("up0")
        self.start()
        self.wait_state("up0", "off")
        for _ in range(3):
            self.nm.activate("up0", connection("LTE"))
            self.wait_state("up0", "active")
            self.wait_shown()
            self.nm.deactivate("up0")
            self.wait_state("up0", "off")
            self.settle()
            self.assertIsNone(self.shown())
        self.assertEqual(len(self.activations()), 3)

    def test_not_before_the_base(self):
        """NetworkManager would bind it to another device."""
        self.nm.deactivate("up0")
        self.start()
        self.nm.applied["up0"] = connection("LTE")
        for state in (mock_nm.PREPARE, mock_nm.IP_CHECK, mock_nm.SECONDARIES):
            self.nm.set_state("up0", state)
            self.wait_state("up0", "active")  # the tunnel does not wait for it
            self.settle()
            self.assertEqual(self.activations(), [])
        self.nm.set_state("up0", mock_nm.ACTIVATED)
        self.wait_shown()

    def test_no_autoconnect(self):
        """The tunnel is there; only nobody shows it."""
        autoconnect = {"autoconnect": GLib.Variant("b", False)}
        self.nm.update_profile(self.profile_path, tunnel("T", KEYS, uuid=UUID, connection=autoconnect))
        self.start()
        self.wait_state("up0", "active")
        self.settle()
        self.assertEqual(self.activations(), [])

    def test_added_and_removed(self):
        self.nm.remove_profile(self.profile_path)
        self.start()
        self.assertEqual(self.client.link("up0")["State"], "off")
        path = self.nm.add_profile(tunnel("T", KEYS, uuid=UUID))
        self.wait_state("up0", "active")
        active = self.wait_shown()
        self.nm.remove_profile(path)
        self.nm.end(active, 11)
        self.wait_state("up0", "off")

    def test_one_for_two_links(self):
        """NetworkManager activates it once, and nobody complains."""
        self.share()
        self.assertEqual(len(self.activations()), 1)
        self.assertNotIn("cannot show", self.log.read_text())

    def share(self):
        """The tunnel profile is for two links, which have their tunnels; the service runs."""
        self.add_link("up1")
        self.nm.add_device("up1", connection("WLAN"))
        self.nm.update_profile(self.profile_path, tunnel("T", {**KEYS, "link": "up*"}, uuid=UUID))
        self.start()
        for name in ("up0", "up1"):
            self.wait_state(name, "active")
        self.wait_shown()
        self.settle()

    def assert_states(self, **states):
        """The links are in these states, and stay there."""
        for name, state in states.items():
            self.wait_state(name, state)
        self.settle()
        self.assertEqual({name: self.client.link(name)["State"] for name in states}, states)

    def test_two_links_by_themselves(self):
        """What is said of one link is not said of another one that has the same tunnel profile."""
        self.share()
        path = self.shown()
        for name, other in (("up0", "up1"), ("up1", "up0")):
            with self.subTest(name):
                self.client.manager("Deactivate", name)
                self.assert_states(**{name: "off", other: "active"})
                self.assertEqual(self.shown(), path)
                self.client.manager("Activate", name)
                self.assert_states(up0="active", up1="active")
        self.client.manager("Deactivate", "up1")
        self.client.manager("Deactivate", "up0")
        wait_until(lambda: not self.shown(), "the tunnel profile is inactive")
        self.assert_states(up0="off", up1="off")
        self.client.manager("Activate", "up0")
        self.wait_shown()
        self.assert_states(up0="active", up1="off")
        self.assertEqual(len(self.activations()), 2)

    def test_two_links_by_hand(self):
        """A person speaks of all links of the tunnel profile."""
        self.share()
        self.nm.end(self.shown(), USER_DISCONNECTED)
        self.assert_states(up0="off", up1="off")
        path = self.nm.begin(UUID)
        self.assert_states(up0="active", up1="active")
        self.client.manager("Deactivate", "up1")
        self.assert_states(up0="active", up1="off")
        self.nm.end(path, USER_DISCONNECTED)
        self.assert_states(up0="off", up1="off")
        self.nm.begin(UUID)
        self.assert_states(up0="active", up1="active")

    def test_two_links_and_a_late_answer(self):
        """An activation that NetworkManager does not answer in time, and does all the same, is nobody's wish."""
        self.share()
        for name in ("up0", "up1"):
            self.client.manager("Deactivate", name)
        wait_until(lambda: not self.shown(), "the tunnel profile is inactive")
        self.nm.spoilt["ActivateConnection"] = "org.freedesktop.DBus.Error.NoReply"
        self.client.manager("Activate", "up0")
        wait_until(lambda: len(self.activations()) == 2, "the service asks for the activation")
        self.settle()
        self.nm.begin(UUID)
        self.settle()
        self.assert_states(up0="active", up1="off")
        self.assertEqual(self.client.link("up0")["Warnings"], [])

    def test_two_links_and_a_base_that_goes(self):
        """The tunnel profile goes with the base that it is active on, and is shown for the other one."""
        self.share()
        self.client.manager("Deactivate", "up1")
        self.assert_states(up0="active", up1="off")
        self.nm.deactivate("up0")
        self.assert_states(up0="off", up1="off")
        self.assertIsNone(self.shown())
        self.client.manager("Activate", "up1")
        self.assert_states(up0="off", up1="active")
        self.wait_shown()
        self.nm.activate("up0", connection("LTE"))
        self.assert_states(up0="active", up1="active")
        self.client.manager("Deactivate", "up1")
        self.assert_states(up0="active", up1="off")
        self.wait_shown()

    def test_service_restarts(self):
        """What is active already is not activated again."""
        self.start_shown()
        for _ in range(2):
            self.stop()
            self.start()
            self.wait_state("up0", "active")
            self.settle()
        self.assertEqual(len(self.activations()), 1)

    def test_manager_restarts(self):
        self.start_shown()
        self.client.signals.clear()
        self.nm.stop()
        self.wait_gone()
        self.nm.start(startup=True)
        self.wait_back()
        self.settle()
        self.assertEqual(len(self.activations()), 1)  # not before it has taken up its devices
        self.nm.finish_startup()
        self.wait_shown()
        self.assertEqual((len(self.activations()), self.states_heard()), (2, []))

    def test_other_connections(self):
        """Whatever else becomes active is none of our business."""
        path = self.start_shown()
        other = self.nm.begin("33333333-0000-0000-0000-000000000001")
        self.nm.end(other, USER_DISCONNECTED)
        self.settle()
        self.assertEqual((self.shown(), self.client.link("up0")["State"]), (path, "active"))


class ByHand(ShowTest):
    """What a person does with the tunnel profile."""

    def test_down(self):
        """It is as good as "deactivate": off until it, or the base, is activated again."""
        self.nm.end(self.start_shown(), USER_DISCONNECTED)
        self.assertIn("by hand", self.wait_state("up0", "off")["Reason"])
        self.settle()
        self.assertIsNone(self.shown())
        path = self.nm.begin(UUID)
        self.wait_state("up0", "active")
        self.nm.end(path, USER_DISCONNECTED)
        self.wait_state("up0", "off")
        self.nm.deactivate("up0")
        self.nm.activate("up0", connection("LTE"))
        self.client.manager("Dispatch", "up0", "pre-up", mock_nm.UUID)
        self.wait_state("up0", "active")
        self.wait_shown()

    def test_deactivate(self):
        """What the service is told shows in NetworkManager."""
        self.start_shown()
        self.client.manager("Deactivate", "up0")
        wait_until(lambda: not self.shown(), "the tunnel profile is inactive")
        self.settle()
        self.assertEqual((self.shown(), self.client.link("up0")["State"]), (None, "off"))
        self.client.manager("Activate", "up0")
        self.wait_state("up0", "active")
        self.wait_shown()

    def test_not_told_in_time(self):
        """What becomes active while NetworkManager is too busy to say what it is."""
        self.nm.end(self.start_shown(), USER_DISCONNECTED)
        self.wait_state("up0", "off")
        self.quiet("up0")
        for what in ("Uuid", "ActiveConnections"):
            with self.subTest(what):
                self.nm.calls.clear()
                path = self.nm.begin(UUID)  # nothing is answered before the test waits
                subject = path if what == "Uuid" else what
                self.nm.mute.add(("Get", subject))
                wait_until(lambda subject=subject: ("Get", subject) in self.nm.calls, "it is asked")
                self.settle()
                self.nm.mute.clear()
                self.wait_state("up0", "active")
                self.nm.end(path, USER_DISCONNECTED)
                self.wait_state("up0", "off")

    def test_up_without_autoconnect(self):
        autoconnect = {"autoconnect": GLib.Variant("b", False)}
        self.nm.update_profile(self.profile_path, tunnel("T", KEYS, uuid=UUID, connection=autoconnect))
        self.start()
        self.wait_state("up0", "active")
        path = self.nm.begin(UUID)
        self.settle()
        self.nm.end(path, USER_DISCONNECTED)
        self.wait_state("up0", "off")
        self.nm.begin(UUID)
        self.wait_state("up0", "active")


class Faults(ShowTest):
    """An activation that fails harms nothing."""

    def test_refused(self):
        self.nm.spoilt["ActivateConnection"] = BUSY
        self.start()
        self.wait_state("up0", "active")
        wait_until(lambda: "cannot show" in "".join(self.client.link("up0")["Warnings"]), "a warning")
        self.settle()
        self.assertEqual((len(self.activations()), self.client.link("up0")["State"]), (1, "active"))
        self.nm.spoilt.clear()
        self.nm.deactivate("up0")
        self.nm.activate("up0", connection("LTE"))
        self.wait_shown()
        self.assertEqual(self.wait_state("up0", "active")["Warnings"], [])

    def test_somebody_is_quicker(self):
        """A refusal is none when the profile is active by now."""
        self.nm.hold.add("ActivateConnection")
        self.start()
        wait_until(lambda: self.nm.held, "the service asks for the activation")
        self.nm.held.clear()
        self.nm.hold.clear()
        self.nm.begin(UUID)
        self.nm.spoilt["ActivateConnection"] = BUSY
        self.nm.base_paths.clear()  # another activation of the base
        for _ in range(3):
            self.settle()
        wait_until(lambda: self.client.link("up0")["Warnings"] == [], "no warning")
        self.assert_active()

    def test_breaks(self):
        """It is begun again, but not for ever."""
        self.start()
        for number in range(4):
            path = self.wait_shown()
            self.assertEqual(len(self.activations()), number + 1)
            self.nm.end(path, SERVICE_STOPPED)
        self.settle()
        self.assertEqual((self.shown(), len(self.activations())), (None, 4))
        self.assert_active()

    def test_on_another_device(self):
        """A person has activated it on a device that is not its own; when that goes, it is shown where it belongs."""
        self.nm.deactivate("up0")
        self.start()
        self.wait_state("up0", "off")
        path = self.nm.begin(UUID)
        self.nm.activate("up0", connection("LTE"))
        self.wait_state("up0", "active")
        self.settle()
        self.assertEqual(self.activations(), [])
        self.nm.end(path, DEVICE_DISCONNECTED)
        self.wait_shown()
        self.assertEqual(len(self.activations()), 1)
        self.assert_active()

    def test_bad_value(self):
        """A profile with a mistake is active, too: NetworkManager shows what is wrong."""
        self.nm.update_profile(self.profile_path, tunnel("T", {**KEYS, "remote_ports": "0"}, uuid=UUID))
        self.start()
        self.wait_state("up0", "failed")
        self.wait_shown()

    def test_silence(self):
        """NetworkManager is asked and does not answer."""
        for method in ("ActivateConnection", "Get"):
            with self.subTest(method):
                self.start_shown()
                self.nm.hold.add(method)
                self.client.manager("Deactivate", "up0")
                self.client.manager("Activate", "up0")
                self.assert_active()
                self.stop()
                self.nm.hold.clear()
                self.nm.release()

    def test_odd_signals(self):
        path = self.start_shown()
        for arguments in (None, GLib.Variant("(s)", ("off",)), GLib.Variant("(us)", (4, "2"))):
            self.nm._emit(path, mock_nm.ACTIVE, "StateChanged", arguments)
        self.nm._emit(path + "0", mock_nm.ACTIVE, "StateChanged", GLib.Variant("(uu)", (4, 2)))
        self.nm._emit(path, mock_nm.ACTIVE, "StateChanged", GLib.Variant("(uu)", (2, 2)))
        self.settle()
        self.assert_active()

    def test_other_programs_signals(self):
        """Only NetworkManager tells that somebody has deactivated something."""
        path = self.start_shown()
        self.lie(path, mock_nm.ACTIVE, "StateChanged", GLib.Variant("(uu)", (4, USER_DISCONNECTED)))
        self.settle()
        self.assert_active()


class Describe(ShowTest):
    """What the service says about a tunnel profile."""

    def describe(self, uuid=UUID):
        """The sentences."""
        return self.client.manager("DescribeTunnelProfile", uuid)[0]

    def test_states(self):
        self.start()
        self.wait_state("up0", "active")
        for word in ("up0", "active", "tunnel=yes in T", "attach-point=", "mss-ipv4="):
            self.assertIn(word, self.describe())
        self.nm.update_profile(self.profile_path, tunnel("T", {**KEYS, "remote_ports": "0"}, uuid=UUID))
        self.wait_state("up0", "failed")
        self.assertIn("remote-ports=0 in T", self.describe())
        self.nm.update_profile(self.profile_path, tunnel("T", {**KEYS, "link": "W\x1bLAN"}, uuid=UUID))
        self.wait_state("up0", "off")
        self.assertIn("“W\\x1bLAN”", self.describe())
        self.nm.update_profile(self.profile_path, tunnel("T", {"tunnel": "yes"}, uuid=UUID))
        wait_until(lambda: "names no link" in self.describe(), "no link is named")
        self.assertIn("not known", self.describe("other"))

    def test_warnings(self):
        """They are told as well, and of all links."""
        self.add_link("up1")
        self.nm.add_device("up1", connection("LTE"))
        self.nm.add_profile(tunnel("T2", KEYS, uuid=UUID[:-1] + "2"))
        self.start()
        self.wait_state("up1", "active")
        wait_until(lambda: self.describe().count("are both for") == 2, "a warning for each link")


if __name__ == "__main__":
    harness.main()
