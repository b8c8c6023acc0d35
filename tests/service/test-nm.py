#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The NetworkManager source of the service, with a NetworkManager that has every fault.

Usage: test-nm.py UNDERPASSD-FAKE [TEST…]
"""

import signal

from gi.repository import GLib

import harness
import mock_nm
from harness import PATIENCE, wait_until
from mock_nm import UUID, connection
from peer_test import FAILED, PeerTest, RestartTests, SilenceTests

NOTHING_TO_DO = "org.underpass1.Error.NothingToDo"
GIVEN_UP = 6 + PATIENCE  # a device that NetworkManager does not manage any more has no connection then
NO_REPLY = "org.freedesktop.DBus.Error.NoReply"  # what the library says when nobody has answered in time
TUNNEL = {"tunnel": "yes", "remote_ports": "443"}


class NmTest(PeerTest):
    """A link and a NetworkManager that knows it."""

    source = "NetworkManager"
    questions = ("GetDeviceByIpIface", "GetAppliedConnection")
    dispatched = ("pre-up", UUID)

    def new_peer(self):
        return mock_nm.MockNm(self.bus)

    def setUp(self):
        super().setUp()
        self.nm = self.peer

    def give_profile(self, tunnel=True):
        self.nm.add_device("up0", connection("LTE", TUNNEL if tunnel else {}))

    def take_profile(self):
        self.nm.deactivate("up0")

    def active(self, **user):
        """The device is active with a tunnel in its profile, and so is the link."""
        self.nm.add_device("up0", connection("LTE", {**TUNNEL, **user}))
        return self.start_active()


class Profiles(NmTest):
    """What applied connections say."""

    def test_applied_connection(self):
        self.nm.add_device(
            "up0",
            connection(
                "LTE",
                {**TUNNEL, "mss": "1300"},
                connection={"mptcp-flags": GLib.Variant("u", 0x2)},
                _802_3_ethernet={},
                **{"802_3_ethernet": {"mtu": GLib.Variant("u", 1400)}},
            ),
        )
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual(found["Connection"], ("LTE", UUID))
        self.assertIn(("mtu", "1400"), found["ConnectionSettings"])
        self.assertIn("connection.mptcp-flags", dict(found["ConnectionSettings"]))
        self.assertIn(("mss", "1300", "NetworkManager", f"LTE ({UUID})"), found["Settings"])
        self.assertEqual((found["RemotePorts"], found["MSS"]), ([(443, 443)], 1300))
        self.assertEqual(self.sources(), ["file", "NetworkManager"])

    def test_mtu_of_ipv6(self):
        """It is that of IPv6 alone, and not the link's, whichever setting is told first."""
        ipv6 = {"mtu": GLib.Variant("u", 1280)}
        applied = connection("LTE", {**TUNNEL, "mtu": "1400"}, ipv6=ipv6)
        self.nm.add_device("up0", applied)
        self.start()
        found = self.wait_state("up0", "active")
        self.assertIn(("mtu", "auto"), found["ConnectionSettings"])
        self.assertEqual(found["Warnings"], [])
        wired = {"802_3_ethernet": {"mtu": GLib.Variant("u", 1300)}}
        for order in ({"ipv6": ipv6, **wired}, {**wired, "ipv6": ipv6}):
            applied = connection("LTE", {**TUNNEL, "mtu": "1400"})
            del applied["802-3-ethernet"]
            applied.update({name.replace("_", "-"): values for name, values in order.items()})
            self.nm.applied["up0"] = applied
            self.client.manager("Reload")
            found = self.client.link("up0")
            self.assertIn(("mtu", "1300"), found["ConnectionSettings"])
            self.assertIn("MTU of 1300", "".join(found["Warnings"]))

    def test_up_and_down(self):
        self.nm.add_device("up0")
        self.start()
        self.wait_state("up0", "off")
        for ports in ("443", "80"):
            self.nm.activate("up0", connection("LTE", {"tunnel": "yes", "remote_ports": ports}))
            found = self.wait_state("up0", "active")
            self.assertEqual(found["RemotePorts"], [(int(ports), int(ports))])
            self.nm.deactivate("up0")
            found = self.wait_state("up0", "off")
            self.assertEqual((found["Connection"], found["Applied"]), (("", ""), []))

    def test_dispatcher_script(self):
        """What the dispatcher script says counts while the signals are still on their way."""
        self.active()
        applied = self.nm.applied["up0"]
        for state in (mock_nm.DISCONNECTED, mock_nm.UNMANAGED):
            with self.subTest(state=state):
                self.nm.hold.add("GetAppliedConnection")
                self.client.manager("Dispatch", "up0", "pre-down", UUID)
                self.assert_active()
                self.nm.add_device("up0", state=state)
                self.client.manager("Dispatch", "up0", "down", UUID)
                self.wait_state("up0", "off")
                self.nm.hold.clear()
                self.nm.add_device("up0", applied)
                self.client.manager("Dispatch", "up0", "pre-up", UUID)
                self.assert_active()

    def test_late_word_of_dispatcher_script(self):
        """A "down" that is about the activation before this one takes nothing down."""
        self.active()
        self.nm.set_state("up0", mock_nm.PREPARE)
        self.client.manager("Dispatch", "up0", "down", UUID)
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()

    def test_nothing_begins_at_the_end(self):
        """A device that goes down gets no tunnel any more, whatever its profile says by then: not if it goes down
        while its profile is asked for, nor later, nor by a service that has just been started."""
        self.nm.add_device("up0", connection("LTE", {**TUNNEL, "remote_ports": "70000"}))
        self.start()
        self.wait_state("up0", "failed")
        self.quiet("up0")
        self.client.signals.clear()
        self.nm.applied["up0"] = connection("LTE", TUNNEL)
        self.nm.hold.add("GetAppliedConnection")
        reloaded = self.send("Reload")
        wait_until(lambda: self.nm.held, "the connection is asked for")
        self.nm.set_state("up0", mock_nm.DEACTIVATING)
        self.nm.hold.clear()
        self.nm.release()
        wait_until(lambda: reloaded, "the call is answered")
        self.client.manager("Reload")
        self.stop()
        self.start()
        self.client.manager("Reload")
        self.assertNotIn("active", self.states_heard())
        self.nm.activate("up0", self.nm.applied["up0"])
        self.wait_state("up0", "active")

    def test_precedence(self):
        """Files match what NetworkManager knows, and NetworkManager overrules them."""
        self.profile("id", "[Match]\nConnection=LTE\n[X-Underpass]\nTunnel=yes\nRemotePorts=80\nMSS=1000\n")
        self.profile("uuid", f"[Match]\nUUID={UUID}\n[X-Underpass]\nMTU=1400\n")
        self.profile("other", "[Match]\nConnection=WLAN\n[X-Underpass]\nLocalPorts=1\n")
        self.nm.add_device("up0", connection("LTE", {"remote_ports": "443"}))
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual((found["RemotePorts"], found["LocalPorts"]), ([(443, 443)], []))
        self.assertEqual((found["MSS"], found["MTU"]), (1000, 1400))

    def test_bad_value(self):
        self.nm.add_device("up0", connection("LTE", {**TUNNEL, "remote_ports": "70000"}))
        self.start()
        message = self.assert_fails(FAILED, self.client.manager, "Activate", "up0")
        for word in ("underpass.remote-ports", "70000", "LTE", UUID):
            self.assertIn(word, message)
        self.nm.applied["up0"] = connection("LTE", TUNNEL)
        self.client.manager("Activate", "up0")
        self.assert_active()

    def test_hostile_profile(self):
        """Huge and countless keys; those of others are left alone."""
        user = {f"key-{number}": "x" for number in range(5000)}
        applied = connection("\x1b[31m" + "L" * 50_000, {**TUNNEL, **user})
        data = {**applied["user"]["data"].unpack(), "other.program": "y" * 50_000, "tunnel": "no"}
        applied["user"]["data"] = GLib.Variant("a{ss}", data)
        self.nm.add_device("up0", applied)
        self.start()
        message = self.assert_fails(FAILED, self.client.manager, "Activate", "up0")
        self.assertNotIn("\x1b", message)
        self.assertLess(len(message), 1000)

        self.nm.applied["up0"] = connection("LTE", {**TUNNEL, "remote_ports": "1," * 25_000})
        message = self.assert_fails(FAILED, self.client.manager, "Activate", "up0")
        self.assertLess(len(message), 1000)
        self.assertNotIn("\x1b", self.log.read_text())


    def test_countless_keys(self):
        """Ours are an error, those of others are not."""
        applied = connection("LTE", TUNNEL)
        others = {f"other.{number}": "x" for number in range(100_000)}
        applied["user"]["data"] = GLib.Variant("a{ss}", {**others, **applied["user"]["data"].unpack()})
        self.nm.add_device("up0", applied)
        self.start_active()
        self.nm.applied["up0"] = connection("LTE", {**TUNNEL, **{f"key{number}": "x" for number in range(100_000)}})
        message = self.assert_fails(FAILED, self.client.manager, "Activate", "up0")
        self.assertIn("1024 keys", message)
        self.assertIn(f"LTE ({UUID})", message)
        self.assertTrue(self.client.link("up0")["Applied"])


class Restarts(RestartTests, NmTest):
    """NetworkManager goes and comes back: tunnels stay."""

    def test_restart(self):
        applied = self.active() and self.nm.applied["up0"]
        for _ in range(2):
            self.nm.stop()
            self.wait_gone()
            self.client.manager("Reload")
            self.nm.applied.clear()
            self.nm.start(startup=True)
            self.wait_back()
            for state in (mock_nm.UNMANAGED, mock_nm.UNAVAILABLE, mock_nm.DISCONNECTED):
                self.nm.set_state("up0", state)
                self.client.manager("Reload")
            self.nm.activate("up0", applied)
            self.client.manager("Reload")
            self.nm.finish_startup()
            self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()

    def test_not_active_after_restart(self):
        """When NetworkManager has finished starting, its word counts again."""
        self.active()
        self.nm.stop()
        self.nm.applied.clear()
        self.nm.start(startup=True)
        self.wait_back()
        self.client.manager("Reload")
        self.assert_active()
        self.nm.finish_startup()
        self.wait_state("up0", "off")

    def test_name_before_answers(self):
        """NetworkManager owns its name before it has objects, and what it says then is no answer."""
        applied = self.active() and self.nm.applied["up0"]
        self.nm.stop()
        self.wait_gone()
        self.nm.applied.clear()
        self.nm.add_device("up0", state=mock_nm.UNMANAGED)
        questions = ("Get", "GetDeviceByIpIface")
        self.nm.spoilt = dict.fromkeys(questions, "org.freedesktop.DBus.Error.UnknownMethod")
        self.nm.start(startup=True)
        self.wait_back()
        self.client.manager("Reload")
        self.nm.spoilt.clear()
        for state in (mock_nm.UNAVAILABLE, mock_nm.DISCONNECTED):
            self.nm.set_state("up0", state)
            self.client.manager("Reload")
        self.nm.activate("up0", applied)
        self.nm.finish_startup()
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()
        self.take_profile()
        self.wait_state("up0", "off")

    def quit(self):
        """What NetworkManager does first when it quits."""
        self.nm.applied.clear()
        self.nm.set_state("up0", mock_nm.UNMANAGED)
        self.client.manager("Reload")

    def test_quits(self):
        """It gives its devices up, which is seen by any question that it still answers."""
        applied = self.active() and self.nm.applied["up0"]
        for last_words in (None, mock_nm.NAME + ".UnknownDevice"):
            self.quit()
            if last_words:
                self.nm.spoilt["GetDeviceByIpIface"] = last_words
                self.client.manager("Reload")
            self.nm.stop()
            self.wait_gone()
            self.nm.spoilt.clear()
            self.nm.start(startup=True)
            self.wait_back()
            self.nm.activate("up0", applied)
            self.nm.finish_startup()
            self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()

    def test_quits_between_two_questions(self):
        """The state was that of an active device, and then there is no connection."""
        self.active()
        self.nm.applied.clear()
        self.nm.hold.add("GetAppliedConnection")
        reloaded = self.send("Reload")
        wait_until(lambda: self.nm.held, "the connection is asked for")
        self.nm.add_device("up0", state=mock_nm.UNMANAGED)
        self.nm.hold.clear()
        self.nm.release()
        wait_until(lambda: reloaded, "the call is answered")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()

    def test_gives_up_a_device(self):
        """When it does not quit, its word counts, even if no dispatcher script tells so."""
        self.active()
        self.quit()
        self.assert_active()
        self.wait_state("up0", "off", seconds=GIVEN_UP)


class Silence(SilenceTests, NmTest):
    """NetworkManager does not answer."""

    def test_startup_is_not_told(self):
        """Not even whether it is there."""
        self.nm.spoilt["Get"] = "org.freedesktop.DBus.Error.Failed"
        self.active()

    def test_asked_again(self):
        """What happened to a device while NetworkManager was silent is learnt later, though no signal tells it."""
        self.active()
        self.quiet("up0")
        for method in ("GetDeviceByIpIface", "Get", "GetAppliedConnection"):
            with self.subTest(method):
                asked = len(self.nm.calls)
                self.nm.spoilt[method] = NO_REPLY
                self.nm.set_state("up0", mock_nm.ACTIVATED)
                wait_until(lambda method=method, asked=asked: method in self.methods(asked), "it is asked")
                self.client.manager("Reload")
                self.nm.applied["up0"] = connection("LTE", {**TUNNEL, "mss": "1300"})
                self.nm.spoilt.clear()
                wait_until(lambda: self.client.link("up0")["MSS"] == 1300, "the last word counts")
                self.assertEqual(self.states_heard(), [])
                self.nm.applied["up0"] = connection("LTE", TUNNEL)
                self.client.manager("Reload")

    def methods(self, first):
        """What NetworkManager was asked, from this call on."""
        return [method for method, _ in self.nm.calls[first:]]

    def test_stop_while_asking(self):
        """The service is told to stop while questions and calls are open: it ends well, every caller hears."""
        self.add_link("up1")
        self.add_link("up2")
        for name in ("up0", "up1", "up2"):
            self.nm.add_device(name, connection("LTE", TUNNEL))
        self.start()
        self.wait_state("up2", "active")
        for method in ("GetDeviceByIpIface", "GetAppliedConnection"):
            with self.subTest(method=method):
                self.nm.hold = {method}
                calls = [self.send("Activate", name) for name in ("up0", "up1", "up2")] + [self.send("Reload")]
                wait_until(lambda: len(self.nm.held) >= 3, "NetworkManager is asked about all")
                self.client.manager("ListLinks")  # so all calls have been read
                self.process.send_signal(signal.SIGTERM)
                wait_until(lambda: all(calls), "all callers are answered")
                self.assertEqual({answer.name for (answer,) in calls}, {FAILED})
                self.assertEqual(self.process.wait(timeout=PATIENCE), 0, self.log.read_text())
                self.nm.release()
                self.nm.hold.clear()
                self.start()


class Nonsense(NmTest):
    """Answers that make no sense: the last good one stands, and the service lives on."""

    def variants(self):
        """Answers to GetAppliedConnection by what is wrong with them."""
        good = connection("LTE", TUNNEL)
        yield "nothing", GLib.Variant("()", ())
        yield "a number", GLib.Variant("(u)", (7,))
        yield "another dictionary", GLib.Variant("(a{ss}t)", ({"connection": "LTE"}, 1))
        yield "an error of its own", "org.example.Error.Odd"
        yield "an error of the bus", "org.freedesktop.DBus.Error.NoReply"
        yield "no version", GLib.Variant("(a{sa{sv}})", (good,))

    def test_malformed_answers(self):
        self.active()
        for name, answer in self.variants():
            with self.subTest(name):
                self.nm.spoilt["GetAppliedConnection"] = answer
                self.client.manager("Reload")
                self.assert_active()
                told = "Cannot parse NetworkManager's reply" in " ".join(self.client.link("up0")["Warnings"])
                self.assertEqual(told, not name.startswith("an error") and name != "no version")
        self.nm.spoilt.clear()
        for name, answer in [
            ("a string", GLib.Variant("(s)", ("/not/a/path",))),
            ("nothing", GLib.Variant("()", ())),
            ("no device of anybody", GLib.Variant("(o)", ("/",))),
            ("an error", "org.freedesktop.DBus.Error.AccessDenied"),
        ]:
            with self.subTest(name):
                self.nm.spoilt["GetDeviceByIpIface"] = answer
                self.client.manager("Reload")
                self.assert_active()
        self.assertEqual(self.states_heard(), [])

    def test_wrong_types(self):
        """Properties of other types than expected are as good as absent; the others count."""
        applied = connection("LTE", TUNNEL, ipv4={"mtu": GLib.Variant("s", "big")})
        applied["connection"]["id"] = GLib.Variant("u", 5)
        applied["connection"]["mptcp-flags"] = GLib.Variant("s", "all")
        applied["connection"]["uuid"] = GLib.Variant("as", [])
        self.nm.add_device("up0", applied)
        self.start()
        self.assertEqual(self.wait_state("up0", "active")["Connection"][1], "")
        for data in (
            GLib.Variant("s", "underpass.tunnel=yes"),
            GLib.Variant("a{sv}", {"underpass.tunnel": GLib.Variant("s", "yes")}),
            GLib.Variant("as", ["underpass.tunnel", "yes"]),
            GLib.Variant("a{ss}", {}),
        ):
            applied["user"]["data"] = data
            self.client.manager("Reload")
            self.assertEqual(self.client.link("up0")["State"], "off")

    def test_odd_signals(self):
        self.active()
        for arguments in (
            None,
            GLib.Variant("(s)", ("up",)),
            GLib.Variant("(uu)", (10, 20)),
            GLib.Variant("(uuuu)", (4_000_000_000, 0, 0, 0)),
            GLib.Variant("(uuu)", (4_000_000_000, 4_000_000_000, 0)),
            GLib.Variant("(uuu)", (0, 0, 0)),
        ):
            self.nm.send_signal("up0", arguments)
        self.nm.set_state("up0", mock_nm.ACTIVATED)
        self.client.manager("Reload")
        self.wait_state("up0", "active")

    def test_other_programs_signals(self):
        """Only NetworkManager speaks for NetworkManager, and only the bus of who is there."""
        self.active()
        self.quiet("up0")
        before = len(self.nm.calls)
        path = f"{mock_nm.PATH}/Devices/100"
        arguments = GLib.Variant("(uuu)", (mock_nm.DISCONNECTED, mock_nm.ACTIVATED, 0))
        self.lie(path, mock_nm.DEVICE, "StateChanged", arguments)
        changed = GLib.Variant("(sa{sv}as)", (mock_nm.NAME, {"Startup": GLib.Variant("b", True)}, []))
        self.lie(mock_nm.PATH, harness.PROPERTIES, "PropertiesChanged", changed)
        self.lie_about_owner(mock_nm.NAME)
        self.assertEqual((self.states_heard(), self.nm.calls[before:]), ([], []))
        self.assertIn("NetworkManager", self.sources())
        self.take_profile()
        self.wait_state("up0", "off")

    def test_signals_are_a_reason_to_ask(self):
        """Not even NetworkManager's own signal is taken for a fact: it may be history when it arrives."""
        self.active()
        for state in (mock_nm.DISCONNECTED, mock_nm.FAILED, mock_nm.UNMANAGED, mock_nm.DEACTIVATING):
            arguments = GLib.Variant("(uuu)", (state, mock_nm.ACTIVATED, 0))
            self.nm.send_signal("up0", arguments)
            self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()
        for answer in (GLib.Variant("(s)", ("down",)), GLib.Variant("(v)", (GLib.Variant("s", "down"),))):
            self.nm.spoilt["Get"] = answer
            self.client.manager("Reload")
            self.assert_active()


if __name__ == "__main__":
    harness.main()
