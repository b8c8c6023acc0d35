#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The bus policy on a private bus: root may call and tell everything, others only what reads or asks polkit, and what is told
to all. Needs root, to be somebody else.

Usage: test-policy.py POLICY INTERFACES      (both from data/; the mock is this file too: test-policy.py --mock)
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position

SERVICE_RULES = pathlib.Path(__file__).resolve().parents[2] / "plugin/service/authority.c"
RULE = re.compile(r'\{ (MANAGER|LINK), "(\w+)", ACCESS_(ANYBODY|ROOT|BUS)(, "[\w.]+")? \},')
NAME = "org.underpass1"
PROBER = f"{NAME}.Prober"
PROPERTIES = "org.freedesktop.DBus.Properties"
SIGNALS = (
    f"{PROPERTIES}.PropertiesChanged",
    "org.freedesktop.NetworkManager.Device.StateChanged",
    "org.freedesktop.login1.Manager.PrepareForSleep",
    "org.freedesktop.DBus.NameOwnerChanged",
)
PATH = "/org/underpass1"
NOBODY = 65534
SKIPPED = 77

# What anybody may send. Every other method of the interface description is for root.
FOR_ALL = {
    f"{NAME}.Link.Activate",
    f"{NAME}.Link.Deactivate",
    f"{NAME}.Manager.Activate",
    f"{NAME}.Manager.Deactivate",
    f"{NAME}.Manager.DeactivateAll",
    f"{NAME}.Manager.Forget",
    f"{NAME}.Manager.GetLink",
    f"{NAME}.Manager.ListBusyFlows",
    f"{NAME}.Manager.ListCounters",
    f"{NAME}.Manager.ListDestinations",
    f"{NAME}.Manager.ListFiles",
    f"{NAME}.Manager.ListFlows",
    f"{NAME}.Manager.ListLinks",
    f"{NAME}.Manager.Probe",
    f"{NAME}.Manager.Reload",
    f"{NAME}.Manager.ListLiveFlows",
    f"{NAME}.Manager.Subscribe",
    "org.freedesktop.DBus.Introspectable.Introspect",
    "org.freedesktop.DBus.ObjectManager.GetManagedObjects",
    "org.freedesktop.DBus.Peer.Ping",
    "org.freedesktop.DBus.Properties.Get",
    "org.freedesktop.DBus.Properties.GetAll",
}
FOR_ROOT = {"org.freedesktop.DBus.Properties.Set", "org.freedesktop.DBus.Debug.Stats"}

# The rules of the system bus, as every distribution has them.
RULES = """ <policy context="default">
  <allow user="*"/>
  <deny own="*"/>
  <deny send_type="method_call"/>
  <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/>
  <allow receive_type="method_return"/>
  <allow receive_type="error"/>
  <allow receive_type="signal"/>
  <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
 </policy>
 <include>{policy}</include>"""


def mock(address, name):
    """Answers every call with nothing."""
    import dbus.bus
    import dbus.lowlevel
    import dbus.mainloop.glib
    from gi.repository import GLib

    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(address)

    def on_message(_, message):
        if message.get_type() == dbus.lowlevel.MESSAGE_TYPE_SIGNAL and message.get_path() != dbus.BUS_DAEMON_PATH:
            print(message.get_path(), message.get_interface(), message.get_member(), flush=True)
        if message.get_type() != dbus.lowlevel.MESSAGE_TYPE_METHOD_CALL:
            return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
        bus.send_message(dbus.lowlevel.MethodReturnMessage(message))
        return dbus.lowlevel.HANDLER_RESULT_HANDLED

    bus.add_message_filter(on_message)
    bus.add_match_string("type='signal'")
    bus.request_name(name)
    print("ready", flush=True)
    GLib.MainLoop().run()


class PolicyTest(unittest.TestCase):
    policy = interfaces = None

    @classmethod
    def spawn(cls, *command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def end():
            process.kill()
            process.wait()
            process.stdout.close()

        cls.addClassCleanup(end)
        assert process.stdout.readline()
        return process

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="underpass-policy-")
        cls.addClassCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        bus = Bus(folder.name, RULES.format(policy=cls.policy))
        bus.start()
        cls.addClassCleanup(bus.stop)
        cls.address = bus.address
        cls.mock = cls.spawn("/usr/bin/python3", os.path.abspath(__file__), "--mock", cls.address, NAME)
        cls.spawn("/usr/bin/python3", os.path.abspath(__file__), "--mock", cls.address, PROBER)

    def call(self, user, destination, path, method, *arguments):
        """Standard error of dbus-send: empty when the call got through."""
        return subprocess.run(["dbus-send", f"--bus={self.address}", "--print-reply", f"--dest={destination}", path, method,
                               *arguments], user=user, group=user, extra_groups=[], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30, check=False).stderr

    def methods(self):
        tree = xml.etree.ElementTree.parse(self.interfaces)
        found = {f"{interface.get('name')}.{method.get('name')}"
                 for interface in tree.iter("interface") for method in interface.iter("method")}
        self.assertIn(f"{NAME}.Manager.Activate", found)
        self.assertIn(f"{NAME}.Link.Deactivate", found)
        return found | FOR_ALL | FOR_ROOT

    def test_the_service_says_the_same(self):
        """What the bus lets through and the service then refuses to everybody but root would be a trap."""
        rules = RULE.findall(SERVICE_RULES.read_text(encoding="utf-8"))
        self.assertGreater(len(rules), 10)
        let_through = {
            f"{NAME}.{interface.title()}.{member}" for interface, member, access, action in rules if access == "ANYBODY" or action
        }
        self.assertEqual(let_through, {method for method in FOR_ALL if method.startswith(NAME)})

    def test_root_may_call_everything(self):
        for method in sorted(self.methods()):
            with self.subTest(method):
                self.assertEqual(self.call(0, NAME, PATH, method), "")

    def test_others_may_read_and_ask(self):
        for method in sorted(self.methods()):
            with self.subTest(method):
                error = self.call(NOBODY, NAME, PATH, method)
                if method in FOR_ALL:
                    self.assertEqual(error, "")
                else:
                    self.assertIn("AccessDenied", error)

    def test_nobody_but_root_asks_the_prober(self):
        ask = (PROBER, f"{PATH}/Prober", f"{PROBER}.Ask")
        self.assertEqual(self.call(0, *ask), "")
        self.assertIn("AccessDenied", self.call(NOBODY, *ask))

    def signal(self, user, path, signal, straight):
        """Sends a signal to everybody, or straight to the service, which may be refused."""
        destination = [f"--dest={NAME}"] if straight else []
        subprocess.run(["dbus-send", f"--bus={self.address}", "--type=signal", *destination, path, signal], user=user,
                       group=user, extra_groups=[], stdin=subprocess.DEVNULL, timeout=30, check=True)

    def assert_heard(self, user, signal, straight, heard):
        """Whether a signal arrives. What root says after it ends the wait when it does not."""
        self.signal(user, "/asked", signal, straight)
        self.signal(0, "/end", f"{PROPERTIES}.PropertiesChanged", False)
        lines = []
        while not lines or not lines[-1].startswith("/end "):
            lines.append(self.mock.stdout.readline().decode().rstrip())
        wanted = [f"/asked {' '.join(signal.rsplit('.', 1))}"] if heard else []
        self.assertEqual(lines[:-1], wanted)

    def test_signals_for_everybody_arrive(self):
        """systemd-networkd is a user of its own, and what it tells must reach the service."""
        for user in (NOBODY, 0):
            for signal in SIGNALS:
                with self.subTest(user=user, signal=signal):
                    self.assert_heard(user, signal, straight=False, heard=True)

    def test_nothing_comes_straight_from_others(self):
        for signal in SIGNALS:
            with self.subTest(signal=signal):
                self.assert_heard(NOBODY, signal, straight=True, heard=False)
                self.assert_heard(0, signal, straight=True, heard=True)

    def test_others_may_not_take_the_name(self):
        for name in (NAME, PROBER):
            words = (f"string:{name}", "uint32:0")
            request = ("org.freedesktop.DBus", "/", "org.freedesktop.DBus.RequestName", *words)
            self.assertIn("AccessDenied", self.call(NOBODY, *request))
            self.assertEqual(self.call(0, *request), "")


if __name__ == "__main__":
    if sys.argv[1] == "--mock":
        mock(*sys.argv[2:])
    elif os.geteuid() != 0:
        print("needs root", file=sys.stderr)
        sys.exit(SKIPPED)
    else:
        PolicyTest.policy, PolicyTest.interfaces = (os.path.abspath(name) for name in sys.argv[1:3])
        interrupts.main(argv=sys.argv[:1])
