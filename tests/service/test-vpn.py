#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The VPN service on a private bus, called as NetworkManager calls it, with the service or without it.

Usage: test-vpn.py UNDERPASSD-FAKE UNDERPASS-VPN [TEST…]
"""

import signal
import subprocess

from gi.repository import Gio, GLib

import harness
import mock_nm
from harness import PATIENCE, wait_until
from mock_nm import connection, tunnel

NAME = mock_nm.NAME + ".underpass"
PATH = "/org/freedesktop/NetworkManager/VPN/Plugin"
INTERFACE = mock_nm.NAME + ".VPN.Plugin"
UUID = "22222222-0000-0000-0000-000000000001"
STARTING, STARTED, STOPPED = 3, 4, 6  # NM_VPN_SERVICE_STATE_*
ALL_ROUTERS = bytes([0xFF, 0x02, *[0] * 13, 1])
KEYS = {"link": "LTE", "tunnel": "yes", "remote_ports": "443"}


class VpnTest(harness.ServiceTest):
    """The program, and a NetworkManager that has a link and a tunnel profile for it."""

    def setUp(self):
        super().setUp()
        self.add_link("up0")
        self.nm = mock_nm.MockNm(self.bus)
        self.nm.add_device("up0", connection("LTE"))
        self.profile_path = self.nm.add_profile(tunnel("T", KEYS, uuid=UUID))
        self.nm.start()
        self.heard = []  # (member, unpacked arguments) of signals of the VPN service
        self.caller = self.bus.connect()
        self.caller.signal_subscribe(
            None, INTERFACE, None, PATH, None, Gio.DBusSignalFlags.NONE, self._on_signal
        )

    def _on_signal(self, _connection, _sender, _path, _interface, member, arguments):
        self.heard.append((member, arguments.unpack()))

    def launch(self, name=None):
        """Starts the program, and waits until it has its name."""
        command = [*harness.WRAPPER, self.vpn, *(["--bus-name", name] if name else [])]
        process = subprocess.Popen(command, env=self.environment(), stdin=subprocess.DEVNULL)
        self.addCleanup(self.end, process)
        wait_until(lambda: self.owned(name or NAME), "the program is on the bus")
        return process

    @staticmethod
    def end(process):
        """Ends what still runs."""
        if process.poll() is None:
            process.kill()
        process.wait()

    def owned(self, name):
        """Whether somebody owns a name."""
        bus = "org.freedesktop.DBus"
        arguments = GLib.Variant("(s)", (name,))
        words = (bus, "/org/freedesktop/DBus", bus, "NameHasOwner", arguments, None)
        return self.caller.call_sync(*words, Gio.DBusCallFlags.NONE, -1).unpack()[0]

    def call(self, member, arguments=None, name=NAME):
        """Calls the VPN service; the unpacked answer."""
        words = (name, PATH, INTERFACE, member, arguments, None)
        return self.caller.call_sync(*words, Gio.DBusCallFlags.NONE, int(PATIENCE * 1000)).unpack()

    def profile(self):
        """The tunnel profile, as NetworkManager hands it over."""
        return GLib.Variant("(a{sa{sv}})", (self.nm.profiles[self.profile_path],))

    def banners(self):
        """All banners so far."""
        return [arguments[0]["banner"] for member, arguments in self.heard if member == "Config"]

    def states(self):
        """All states so far."""
        return [arguments[0] for member, arguments in self.heard if member == "StateChanged"]

    def wait_banner(self, *words):
        """Waits for a last banner with these words."""
        wait_until(
            lambda: self.banners() and all(word in self.banners()[-1] for word in words), f"banner: {words}"
        )


class Activation(VpnTest):
    """The calls of an activation."""

    def test_connect(self):
        self.start()
        self.wait_state("up0", "active")
        process = self.launch()
        self.assertEqual(self.call("NeedSecrets", self.profile()), ("",))
        self.call("Connect", self.profile())
        wait_until(lambda: STARTED in self.states(), "it has started")
        self.assertEqual(self.states(), [STARTING, STARTED])
        self.assertEqual([member for member, _ in self.heard], ["StateChanged", "Config", "StateChanged"])
        config = self.heard[1][1][0]
        self.assertEqual(set(config), {"has-ip4", "has-ip6", "gateway", "banner"})
        self.assertEqual((config["has-ip4"], config["has-ip6"]), (False, False))
        self.assertEqual(bytes(config["gateway"]), ALL_ROUTERS)
        self.wait_banner("up0", "active", "tunnel=yes in T")
        self.call("Disconnect")
        self.assertEqual(process.wait(timeout=PATIENCE), 0)
        wait_until(lambda: self.states()[-1] == STOPPED, "it has stopped")
        self.assertFalse(self.owned(NAME))

    def test_interactive(self):
        self.start()
        self.launch()
        arguments = GLib.Variant("(a{sa{sv}}a{sv})", (self.nm.profiles[self.profile_path], {}))
        self.call("ConnectInteractive", arguments)
        self.wait_banner("up0")

    def test_connect_again(self):
        """So does a NetworkManager that has been started again."""
        self.start()
        self.launch()
        for number in (1, 2, 3):
            self.call("Connect", self.profile())
            wait_until(lambda n=number: self.states() == [STARTING, STARTED] * n, f"activation {number}")
            self.assertEqual(len(self.banners()), number)

    def test_other_calls(self):
        """What is told about secrets and addresses is taken, and changes nothing."""
        self.launch()
        empty = GLib.Variant("(a{sv})", ({},))
        for member in ("SetConfig", "SetIp4Config", "SetIp6Config"):
            self.assertEqual(self.call(member, empty), ())
        self.assertEqual(self.call("SetFailure", GLib.Variant("(s)", ("reason",))), ())
        self.assertEqual(self.call("NewSecrets", self.profile()), ())
        self.assertEqual(self.heard, [])

    def test_odd_profiles(self):
        """Nothing in a profile fails an activation."""
        self.start()
        self.launch()
        odd = (
            {},
            {"connection": {}},
            {"connection": {"uuid": GLib.Variant("u", 5)}},
            {"connection": {"uuid": GLib.Variant("s", "\x1b[31m" + "x" * 100_000)}},
            {"vpn": {"uuid": GLib.Variant("s", UUID)}},
        )
        for number, settings in enumerate(odd, 1):
            self.call("Connect", GLib.Variant("(a{sa{sv}})", (settings,)))
            wait_until(lambda n=number: self.states().count(STARTED) == n, "it has started")
            self.assertIn("not known", self.banners()[-1])

    def test_names(self):
        """Each activation has a process of its own."""
        self.start()
        processes = {number: self.launch(f"{NAME}.Connection_{number}") for number in (1, 2)}
        self.call("Disconnect", name=f"{NAME}.Connection_1")
        self.assertEqual(processes[1].wait(timeout=PATIENCE), 0)
        self.assertEqual(self.call("NeedSecrets", self.profile(), name=f"{NAME}.Connection_2"), ("",))
        for arguments in (["--bus-name", "no name"], ["word"], ["--bad"]):
            command = [self.vpn, *arguments]
            result = subprocess.run(command, env=self.environment(), capture_output=True, check=False)
            self.assertEqual(result.returncode, 2)
            self.assertTrue(result.stderr)


class News(VpnTest):
    """The banner follows what becomes of the tunnel."""

    def test_edit(self):
        self.start()
        self.launch()
        self.call("Connect", self.profile())
        self.wait_banner("active")
        bad = tunnel("T", {**KEYS, "remote_ports": "70000"}, uuid=UUID)
        self.nm.update_profile(self.profile_path, bad)
        self.wait_banner("remote-ports=70000 in T", "1 ... 65535")
        self.nm.update_profile(self.profile_path, tunnel("T", {**KEYS, "mss": "1300"}, uuid=UUID))
        self.wait_banner("active", "mss-ipv4=1300")
        self.assertEqual(self.states(), [STARTING, STARTED])

    def test_service_ends(self):
        """Tunnels outlive it, so what it has said last stays."""
        self.start()
        self.launch()
        self.call("Connect", self.profile())
        self.wait_banner("active")
        self.stop()
        self.nm.update_profile(self.profile_path, tunnel("T", {**KEYS, "mss": "1300"}, uuid=UUID))
        self.assertIn("active", self.banners()[-1])
        self.start()
        self.wait_banner("mss-ipv4=1300")

    def test_without_service(self):
        """The activation succeeds all the same."""
        self.launch()
        self.call("Connect", self.profile())
        wait_until(lambda: self.states() == [STARTING, STARTED], "it has started")
        self.wait_banner("underpassd does not answer")
        self.start()
        self.wait_banner("up0", "active")

    def test_silent_service(self):
        self.start()
        self.wait_state("up0", "active")
        self.launch()
        self.process.send_signal(signal.SIGSTOP)
        try:
            self.call("Connect", self.profile())
            wait_until(lambda: STARTED in self.states(), "it has started")
            self.wait_banner("underpassd does not answer")
        finally:
            self.process.send_signal(signal.SIGCONT)


class Ends(VpnTest):
    """The program never outlives its reason."""

    def test_manager_leaves(self):
        """Before and after the activation; a new NetworkManager starts programs of its own."""
        for connects in (False, True):
            process = self.launch()
            if connects:
                self.call("Connect", self.profile())
            self.nm.stop()
            self.assertEqual(process.wait(timeout=PATIENCE), 0)
            self.nm.start()

    def test_bus_leaves(self):
        process = self.launch()
        self.bus.stop()
        self.assertIsNotNone(process.wait(timeout=PATIENCE))
        self.bus.start()

    def test_told_to(self):
        process = self.launch()
        process.terminate()
        self.assertEqual(process.wait(timeout=PATIENCE), 0)

    def test_second_of_a_name(self):
        self.launch()
        result = subprocess.run([self.vpn], env=self.environment(), capture_output=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(NAME.encode(), result.stderr)


if __name__ == "__main__":
    harness.main("vpn")
