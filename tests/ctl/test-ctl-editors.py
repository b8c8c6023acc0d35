#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl profile set while somebody else edits the same profile: nobody's change is lost. NetworkManager is a
mock, which lets the other editor act between two calls, with and without the version of profiles that came in 1.44.

Usage: test-ctl-editors.py UNDERPASSCTL [TEST…]
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from gi.repository import Gio, GLib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position

DBUS = "org.freedesktop.DBus"
NM = "org.freedesktop.NetworkManager"
SETTINGS = NM + ".Settings"
CONNECTION = SETTINGS + ".Connection"
PATH = "/org/freedesktop/NetworkManager"
PROFILE = PATH + "/Settings/1"
PATIENCE = 30.0

MANAGER_XML = f"""<node><interface name="{NM}">
 <method name="GetPermissions"><arg type="a{{ss}}" direction="out"/></method>
</interface></node>"""
OBJECTS_XML = f"""<node><interface name="{DBUS}.ObjectManager">
 <method name="GetManagedObjects"><arg type="a{{oa{{sa{{sv}}}}}}" direction="out"/></method>
</interface></node>"""
PROFILE_XML = f"""<node><interface name="{CONNECTION}">
 <method name="GetSettings"><arg type="a{{sa{{sv}}}}" direction="out"/></method>
 <method name="Update2"><arg type="a{{sa{{sv}}}}" direction="in"/><arg type="u" direction="in"/>
  <arg type="a{{sv}}" direction="in"/><arg type="a{{sv}}" direction="out"/></method>
 <property name="VersionId" type="t" access="read"/>
</interface></node>"""


class MockNm:
    """NetworkManager with one profile."""

    def __init__(self, connection):
        self._connection = connection
        self.version = 7  # None: too old to have one
        self.before = {}  # method: what the other editor does just before it is answered
        self.calls = []
        self.update = None  # arguments of Update2 that were taken
        self.settings = {
            "connection": {
                "id": GLib.Variant("s", "LTE"),
                "uuid": GLib.Variant("s", "11111111-2222-3333-4444-555555555555"),
                "type": GLib.Variant("s", "802-3-ethernet"),
            },
            "802-3-ethernet": {},
            "ipv4": {"method": GLib.Variant("s", "auto")},
            "future": {"unknown": GLib.Variant("(su)", ("kept", 1))},
            "user": {"data": GLib.Variant("a{ss}", {"other.key": "x", "underpass.mss": "1300"})},
        }
        for path, xml in (("/org/freedesktop", OBJECTS_XML), (PATH, MANAGER_XML), (PROFILE, PROFILE_XML)):
            info = Gio.DBusNodeInfo.new_for_xml(xml).interfaces[0]
            connection.register_object(path, info, self._call, None, None)
        request = GLib.Variant("(su)", (NM, 0))
        connection.call_sync(DBUS, "/", DBUS, "RequestName", request, None, Gio.DBusCallFlags.NONE, -1)

    def data(self):
        """user.data."""
        return self.settings["user"]["data"].unpack()

    def edit(self, setting, name, value):
        """What another editor does."""
        self.settings[setting][name] = value
        if self.version is not None:
            self.version += 1

    def _objects(self):
        profile = {
            "Unsaved": GLib.Variant("b", False),
            "Flags": GLib.Variant("u", 0),
            "Filename": GLib.Variant("s", "/etc/NetworkManager/system-connections/LTE.nmconnection"),
        }
        return {
            PATH: {NM: {"Version": GLib.Variant("s", "1.50"), "ActiveConnections": GLib.Variant("ao", [])}},
            PATH + "/Settings": {SETTINGS: {"Connections": GLib.Variant("ao", [PROFILE])}},
            PROFILE: {CONNECTION: profile},
        }

    def _answer(self, method, arguments):
        if method == "GetManagedObjects":
            return GLib.Variant("(a{oa{sa{sv}}})", (self._objects(),))
        if method == "GetSettings":
            return GLib.Variant("(a{sa{sv}})", (self.settings,))
        if method == "Get" and arguments.unpack() == (CONNECTION, "VersionId") and self.version is not None:
            return GLib.Variant("(v)", (GLib.Variant("t", self.version),))
        if method == "Update2":
            told = arguments.get_child_value(2).unpack().get("version-id")
            if told is not None and self.version is None:
                return SETTINGS + ".InvalidArguments"
            if told not in (None, self.version):
                return SETTINGS + ".VersionIdMismatch"
            self.update = arguments
            settings = arguments.get_child_value(0)
            self.settings = {}
            for number in range(settings.n_children()):
                name, values = (settings.get_child_value(number).get_child_value(part) for part in (0, 1))
                pairs = [values.get_child_value(place) for place in range(values.n_children())]
                self.settings[name.unpack()] = {
                    pair.get_child_value(0).unpack(): pair.get_child_value(1).get_variant() for pair in pairs
                }
            return GLib.Variant("(a{sv})", ({},))
        return DBUS + ".Error.InvalidArgs"

    def _call(self, _connection, _sender, _path, _interface, method, arguments, invocation):
        self.calls.append(method)
        self.before.pop((method, self.calls.count(method)), lambda: None)()
        answer = self._answer(method, arguments)
        if isinstance(answer, str):
            invocation.return_dbus_error(answer, "the mock says no")
            return
        reply = invocation.get_message().new_method_reply()
        reply.set_body(answer)
        self._connection.send_message(reply, Gio.DBusSendMessageFlags.NONE)


class Editors(unittest.TestCase):
    """A bus and a NetworkManager for each test."""

    program = None

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="underpass-editors-")
        self.addCleanup(scratch.cleanup)
        bus = Bus(scratch.name)
        bus.start()
        self.addCleanup(bus.stop)
        self.address = bus.address
        self.nm = MockNm(bus.connect())

    def set(self, *words, status=0):
        """Runs underpassctl profile set; standard error."""
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        environment |= {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
        command = [self.program, "profile", "set", "LTE", *words]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            end = time.monotonic() + PATIENCE
            ticks = GLib.timeout_add(5, lambda: True)
            while process.poll() is None and time.monotonic() < end:
                interrupts.iterate(GLib.MainContext.default())
            GLib.source_remove(ticks)
            process.kill()
            output.seek(0)
            said = output.read()
        self.assertEqual(process.wait(), status, said)
        return said

    def assert_refused(self):
        """The command fails, says why, and writes nothing."""
        said = self.set("tunnel=yes", "remote-ports=443", status=1)
        self.assertIn("Another program changed the profile “LTE” meanwhile", said)
        self.assertIn("try again", said)
        self.assertIsNone(self.nm.update)

    def test_alone(self):
        """Everything but the edited keys is written as it was, whether libnm knows it or not."""
        before = {name: dict(values) for name, values in self.nm.settings.items()}
        self.set("tunnel=yes", "remote-ports=443")
        self.assertEqual(self.nm.update.get_child_value(2).unpack(), {"version-id": 7})
        wanted = {"other.key": "x", "underpass.mss": "1300", "underpass.tunnel": "yes", "underpass.remote-ports": "443"}
        self.assertEqual(self.nm.data(), wanted)
        for name, values in before.items():
            if name != "user":
                self.assertEqual(self.nm.settings[name].keys(), values.keys(), name)
                for key, value in values.items():
                    self.assertTrue(self.nm.settings[name][key].equal(value), (name, key))

    def test_alone_with_an_old_networkmanager(self):
        self.nm.version = None
        self.set("tunnel=yes", "remote-ports=443")
        self.assertEqual(self.nm.update.get_child_value(2).unpack(), {})
        self.assertEqual(self.nm.data()["underpass.tunnel"], "yes")

    def test_between_version_and_settings(self):
        """The version is read first, so a change after it is noticed; without a version it is taken in."""
        def edit():
            self.nm.edit("ipv4", "method", GLib.Variant("s", "disabled"))

        self.nm.before["GetSettings", 2] = edit
        self.assert_refused()
        self.nm.version, self.nm.calls = None, []
        self.nm.before["GetSettings", 2] = edit
        self.set("tunnel=yes", "remote-ports=443")
        self.assertEqual(self.nm.settings["ipv4"]["method"].unpack(), "disabled")

    def test_before_the_version_is_read(self):
        self.nm.before["Get", 1] = lambda: self.nm.edit("ipv4", "method", GLib.Variant("s", "disabled"))
        self.set("tunnel=yes", "remote-ports=443")
        self.assertEqual(self.nm.settings["ipv4"]["method"].unpack(), "disabled")
        self.assertEqual(self.nm.data()["underpass.tunnel"], "yes")

    def test_same_keys(self):
        """The other editor changes our keys: what was checked is not what would be written."""
        for version in (7, None):
            for data in ({"underpass.mss": "1000"}, {}, {"underpass.mss": "1300", "underpass.mtu": "1400"}):
                with self.subTest(version=version, data=data):
                    self.nm.version, self.nm.calls = version, []
                    self.nm.edit("user", "data", GLib.Variant("a{ss}", {"underpass.mss": "1300"}))
                    self.nm.before["Get", 1] = lambda: self.nm.edit("user", "data", GLib.Variant("a{ss}", data))
                    self.assert_refused()
                    self.assertEqual(self.nm.data(), data)

    def test_at_the_last_moment(self):
        """The other editor is quicker than the last step: NetworkManager refuses."""
        self.nm.before["Update2", 1] = lambda: self.nm.edit("ipv4", "method", GLib.Variant("s", "disabled"))
        self.assert_refused()
        self.assertEqual(self.nm.settings["ipv4"]["method"].unpack(), "disabled")
        self.nm.calls = []
        self.set("tunnel=yes", "remote-ports=443")
        self.assertEqual(self.nm.data()["underpass.tunnel"], "yes")
        self.assertEqual(self.nm.settings["ipv4"]["method"].unpack(), "disabled")


if __name__ == "__main__":
    Editors.program = os.path.abspath(sys.argv[1])
    interrupts.main(argv=[sys.argv[0], *sys.argv[2:]])
