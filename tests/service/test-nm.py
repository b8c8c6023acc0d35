#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The NetworkManager source of the service, with a NetworkManager that has every fault.

Usage: test-nm.py UNDERPASSD-FAKE [TEST…]
"""

import signal
import time

from gi.repository import GLib

import harness
import mock_nm
from harness import MANAGER, PATIENCE, ROOT, Failure, ip, wait_until
from mock_nm import UUID, connection

FAILED = "org.underpass1.Error.Failed"
NOTHING_TO_DO = "org.underpass1.Error.NothingToDo"
CALL_TIMEOUT = 1.0  # of the service's questions
TUNNEL = {"tunnel": "yes", "remote_ports": "443"}


class NmTest(harness.ServiceTest):
    """A link and a NetworkManager that knows it."""

    def setUp(self):
        super().setUp()
        self.add_link("up0")
        self.nm = mock_nm.MockNm(self.bus)
        self.nm.start()

    def active(self, **user):
        """The device is active with a tunnel in its profile, and so is the link."""
        self.nm.add_device("up0", connection("LTE", {**TUNNEL, **user}))
        self.start()
        found = self.wait_state("up0", "active")
        self.client.signals.clear()
        return found

    def states_heard(self):
        """All states of links that PropertiesChanged has told."""
        return [
            arguments[1]["State"]
            for _, _, member, arguments in self.client.signals
            if member == "PropertiesChanged" and "State" in arguments[1]
        ]

    def sources(self):
        """Names of the sources that can be asked."""
        found = self.client.properties(ROOT, MANAGER)["Sources"]
        return [name for name, available in found if available]


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

    def test_hooks(self):
        """The word of a hook counts while the signals are still on their way."""
        self.active()
        self.nm.hold.add("GetAppliedConnection")
        self.client.manager("Dispatch", "up0", "pre-down", UUID)
        self.assertEqual(self.client.link("up0")["State"], "active")
        self.client.manager("Dispatch", "up0", "down", UUID)
        self.wait_state("up0", "off")
        self.nm.hold.clear()
        self.client.manager("Dispatch", "up0", "pre-up", UUID)
        self.assertEqual(self.client.link("up0")["State"], "active")

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
        self.assertEqual(self.client.link("up0")["State"], "active")

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


class Restarts(NmTest):
    """NetworkManager goes and comes back: tunnels stay."""

    def test_restart(self):
        applied = self.active() and self.nm.applied["up0"]
        for _ in range(2):
            self.nm.stop()
            wait_until(lambda: self.sources() == ["file"], "the service has noticed")
            self.client.manager("Reload")
            self.nm.applied.clear()
            self.nm.start(startup=True)
            wait_until(lambda: "NetworkManager" in self.sources(), "the service has noticed")
            for state in (mock_nm.UNMANAGED, mock_nm.UNAVAILABLE, mock_nm.DISCONNECTED):
                self.nm.set_state("up0", state)
                self.client.manager("Reload")
            self.nm.activate("up0", applied)
            self.client.manager("Reload")
            self.nm.finish_startup()
            self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assertEqual(self.client.link("up0")["State"], "active")

    def test_not_active_after_restart(self):
        """When NetworkManager has finished starting, its word counts again."""
        self.active()
        self.nm.stop()
        self.nm.applied.clear()
        self.nm.start(startup=True)
        wait_until(lambda: "NetworkManager" in self.sources(), "the service has noticed")
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "active")
        self.nm.finish_startup()
        self.wait_state("up0", "off")

    def test_bus_restarts_too(self):
        self.active()
        self.bus.stop()
        self.bus.start()
        self.client = harness.Client(self.bus.connect())
        wait_until(self.owner, "the service is back on the bus")
        self.assertEqual(self.client.link("up0")["State"], "active")
        self.nm.start()
        wait_until(lambda: "NetworkManager" in self.sources(), "the service has noticed")
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "active")
        self.nm.deactivate("up0")
        self.wait_state("up0", "off")

    def test_is_never_started(self):
        """The service asks NetworkManager only when it is there."""
        self.nm.stop()
        (self.folder / f"services/{mock_nm.NAME}.service").write_text(
            f"[D-BUS Service]\nName={mock_nm.NAME}\nExec=/usr/bin/touch {self.folder}/started\n"
        )
        self.tunnel("up0")
        self.start()
        self.wait_state("up0", "active")
        self.client.manager("Reload")
        self.client.manager("Dispatch", "up0", "pre-up", UUID)
        self.assertFalse((self.folder / "started").exists())


class Silence(NmTest):
    """NetworkManager does not answer."""

    def timed(self, call, *arguments):
        """Seconds until the call is answered, well or with an error."""
        begin = time.monotonic()
        try:
            call(*arguments)
        except Failure:
            pass
        return time.monotonic() - begin

    def test_silent_from_the_start(self):
        """File profiles do not wait for longer than a second, calls that ask nothing do not wait at all."""
        self.nm.hold |= {"GetDeviceByIpIface", "GetAppliedConnection"}
        self.nm.add_device("up0", connection("LTE", TUNNEL))
        self.add_link("up1")
        self.tunnel("up1")
        begin = time.monotonic()
        self.start()
        self.wait_state("up1", "active")
        self.assertLess(time.monotonic() - begin, CALL_TIMEOUT + PATIENCE / 10)
        self.assertLess(self.timed(self.client.manager, "ListLinks"), CALL_TIMEOUT / 2)
        elapsed = self.timed(self.client.manager, "Reload")
        self.assertGreater(elapsed, CALL_TIMEOUT / 2, "the mock is silent")
        self.assertLess(elapsed, 2 * CALL_TIMEOUT + PATIENCE / 10)
        self.nm.hold.clear()
        self.nm.release()  # far too late: nobody listens any more
        self.client.manager("Activate", "up0")
        self.assertEqual(self.client.link("up0")["State"], "active")

    def test_silent_while_active(self):
        self.active()
        self.nm.hold |= {"GetDeviceByIpIface", "GetAppliedConnection"}
        self.client.manager("Reload")
        self.client.manager("Dispatch", "up0", "pre-up", UUID)
        self.assertEqual(self.states_heard(), [])
        self.assertEqual(self.client.link("up0")["State"], "active")

    def test_startup_is_not_told(self):
        """Not even whether it is there."""
        self.nm.spoilt["Get"] = "org.freedesktop.DBus.Error.Failed"
        self.active()

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
                answers = []
                for name in ("up0", "up1", "up2"):
                    arguments = GLib.Variant("(s)", (name,))
                    self.client.send(ROOT, MANAGER, "Activate", arguments, answers.append)
                self.client.send(ROOT, MANAGER, "Reload", None, answers.append)
                wait_until(lambda: len(self.nm.held) >= 3, "NetworkManager is asked about all")
                self.client.manager("ListLinks")  # so all calls have been read
                self.process.send_signal(signal.SIGTERM)
                wait_until(lambda: len(answers) == 4, "all callers are answered")
                self.assertEqual({answer.name for answer in answers}, {FAILED})
                self.assertEqual(self.process.wait(timeout=PATIENCE), 0, self.log.read_text())
                self.nm.release()
                self.nm.hold.clear()
                self.start()

    def test_link_vanishes_while_asked_about(self):
        self.nm.add_device("up0", connection("LTE", TUNNEL))
        self.start()
        self.wait_state("up0", "active")
        self.nm.hold.add("GetAppliedConnection")
        answers = []
        self.client.send(ROOT, MANAGER, "Activate", GLib.Variant("(s)", ("up0",)), answers.append)
        self.client.send(ROOT, MANAGER, "Reload", None, answers.append)
        wait_until(lambda: self.nm.held, "NetworkManager is asked")
        ip("link", "del", "up0")
        wait_until(lambda: len(answers) == 2, "both are answered")
        self.assertEqual(answers[0].name, "org.underpass1.Error.NoSuchLink")
        self.nm.release()
        self.assertEqual(self.client.manager("ListLinks"), ([],))

    def test_activate_means_from_now_on(self):
        """A call that comes while NetworkManager is being asked is not answered with what was asked before."""
        self.nm.add_device("up0", connection("LTE", {}))
        self.start()
        self.client.manager("Reload")
        self.nm.hold.add("GetAppliedConnection")
        answers = []
        self.client.send(ROOT, MANAGER, "Reload", None, answers.append)
        wait_until(lambda: self.nm.held, "NetworkManager is asked")
        self.nm.applied["up0"] = connection("LTE", TUNNEL)
        self.client.send(ROOT, MANAGER, "Activate", GLib.Variant("(s)", ("up0",)), answers.append)
        self.client.manager("ListLinks")  # so Activate has been read
        self.nm.hold.clear()
        self.nm.release()
        wait_until(lambda: len(answers) == 2, "both are answered")
        self.assertFalse([answer for answer in answers if isinstance(answer, Failure)], answers)
        self.assertEqual(self.client.link("up0")["State"], "active")


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
                self.assertEqual(self.client.link("up0")["State"], "active")
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
                self.assertEqual(self.client.link("up0")["State"], "active")
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
        """Only NetworkManager speaks for NetworkManager."""
        self.active()
        liar = self.bus.connect()
        path = f"{mock_nm.PATH}/Devices/100"
        arguments = GLib.Variant("(uuu)", (mock_nm.DISCONNECTED, mock_nm.ACTIVATED, 0))
        liar.emit_signal(None, path, mock_nm.DEVICE, "StateChanged", arguments)
        liar.flush_sync()
        before = len(self.nm.calls)
        self.client.manager("ListLinks")
        self.assertEqual((self.states_heard(), len(self.nm.calls)), ([], before))


if __name__ == "__main__":
    harness.main()
