#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher script against a private bus, a mock of the service, and buses that do not behave.

Usage: test-dispatcher.py SCRIPT      (the mock is this file too: test-dispatcher.py --mock BEHAVIOUR LOG)
"""

import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position

LIMIT = 1.0  # seconds that an activation may lose to a dispatcher script
SLACK = 2.0  # that a busy machine may take to start it and to let us run again
NAME = "org.underpass1"


def mock(behaviour, log):
    """Writes one line for each call of Dispatch; behaviour: answer, answer-late, refuse or silent."""
    import dbus
    import dbus.lowlevel
    import dbus.mainloop.glib
    from gi.repository import GLib

    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    loop = GLib.MainLoop()
    out = open(log, "a", buffering=1, encoding="utf-8")

    def answer(message):
        bus.send_message(dbus.lowlevel.MethodReturnMessage(message))
        return False

    def on_message(_, message):
        if message.get_member() == "Disconnected":
            loop.quit()  # the bus is gone, and nobody else ends a mock that the bus has started
        if message.get_member() != "Dispatch":
            return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
        where = (message.get_path(), message.get_interface(), message.get_signature())
        assert where == ("/org/underpass1", "org.underpass1.Manager", "sss"), where
        flags = ["no-reply"] if message.get_no_reply() else []
        flags += [] if message.get_auto_start() else ["no-start"]
        out.write("|".join([str(argument) for argument in message.get_args_list()] + flags) + "\n")
        if behaviour == "answer":
            answer(message)
        elif behaviour == "answer-late":
            GLib.timeout_add(200, answer, message)
        elif behaviour == "refuse":
            bus.send_message(dbus.lowlevel.ErrorMessage(message, "org.underpass1.Error.Failed", "port 0 is no port"))
        return dbus.lowlevel.HANDLER_RESULT_HANDLED

    bus.add_message_filter(on_message)
    bus.request_name(NAME)
    out.write("ready\n")
    loop.run()


class DispatcherTest(unittest.TestCase):
    script = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="underpass-dispatcher-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.log = f"{self.folder}/log"
        self.address = f"unix:path={self.folder}/bus"

    # -- the stage

    def spawn(self, *command, **options):
        process = subprocess.Popen(command, **options)

        def end():
            process.kill()
            process.wait()
            for pipe in [process.stdout, process.stderr]:
                if pipe:
                    pipe.close()

        self.addCleanup(end)
        return process

    def start_bus(self):
        bus = Bus(self.folder)
        bus.add_service(NAME, "/usr/bin/python3", os.path.abspath(__file__), "--mock", "answer", self.log)
        bus.start()
        self.addCleanup(bus.stop)

    def start_mock(self, behaviour):
        self.start_bus()
        self.spawn("/usr/bin/python3", os.path.abspath(__file__), "--mock", behaviour, self.log,
                   env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address})
        self.wait_for(lambda: "ready" in self.lines())

    def listen(self, backlog):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(f"{self.folder}/bus")
        listener.listen(backlog)
        return listener

    def lines(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as file:
            return file.read().splitlines()

    def wait_for(self, condition):
        end = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), end, f"waited in vain; log: {self.lines()}")
            time.sleep(0.005)

    def run_script(self, *arguments, expect=0, **environment):
        begin = time.monotonic()
        result = subprocess.run([self.script, *arguments], env={"DBUS_SYSTEM_BUS_ADDRESS": self.address, **environment},
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        self.seconds = time.monotonic() - begin
        self.assertEqual(result.returncode, expect, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertLess(self.seconds, LIMIT + SLACK)
        self.assertLessEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def assert_call(self, line):
        self.wait_for(lambda: line in self.lines())

    # -- what reaches the service

    def test_pre_up_waits_for_the_answer(self):
        self.start_mock("answer-late")
        self.assertEqual(self.run_script("up0", "pre-up", CONNECTION_UUID="1-2"), "")
        self.assertGreaterEqual(self.seconds, 0.2)
        self.assertIn("up0|pre-up|1-2", self.lines())

    def test_refused_pre_up_is_told_and_goes_on(self):
        self.start_mock("refuse")
        self.assertIn("up0: no tunnel so far: port 0 is no port", self.run_script("up0", "pre-up"))

    def test_others_do_not_wait(self):
        self.start_mock("silent")
        for action in ["up", "reapply", "dhcp4-change", "dhcp6-change"]:
            self.assertEqual(self.run_script("up0", action, CONNECTION_UUID="1-2"), "")
            self.assertLess(self.seconds, 0.5)
            self.assert_call(f"up0|{action}|1-2|no-reply")

    def test_down_never_starts_the_service(self):
        self.start_mock("silent")
        for action in ["pre-down", "down"]:
            self.assertEqual(self.run_script("up0", action, CONNECTION_UUID="1-2"), "")
            self.assert_call(f"up0|{action}|1-2|no-reply|no-start")

    def test_down_without_service(self):
        self.start_bus()
        self.assertEqual(self.run_script("up0", "down"), "")
        self.assertEqual(self.lines(), [])

    def test_up_starts_the_service(self):
        self.start_bus()
        self.assertEqual(self.run_script("up0", "up"), "")
        self.wait_for(lambda: "ready" in self.lines())

    def test_pre_up_starts_the_service(self):
        self.start_bus()
        self.run_script("up0", "pre-up")
        self.wait_for(lambda: "ready" in self.lines())

    def test_modem(self):
        self.start_mock("silent")
        self.run_script("cdc-wdm0", "up", DEVICE_IFACE="cdc-wdm0", DEVICE_IP_IFACE="wwan0")
        self.assert_call("wwan0|up||no-reply")

    def test_utf8_name(self):
        self.start_mock("silent")
        self.run_script("büro0", "up")
        self.assert_call("büro0|up||no-reply")

    def test_networkd(self):
        self.start_mock("silent")
        for state, flags in [("routable", ""), ("degraded", ""), ("carrier", ""), ("off", "|no-start"),
                             ("no-carrier", "|no-start")]:
            name = f"{state[:6]}0"
            self.assertEqual(self.run_script(IFACE=name, STATE=state, OperationalState=state), "")
            self.assert_call(f"{name}|changed||no-reply{flags}")

    # -- what concerns nobody

    def test_nothing_to_tell(self):
        bus = self.listen(backlog=5)
        for interface, action in [("lo", "up"), ("underpass-tx", "pre-up"), ("underpass-rx", "up"), ("none", "hostname"),
                                  ("up0", "connectivity-change"), ("up0", "vpn-up"), ("up0", ""), ("", "up"),
                                  ("a-name-that-no-link-has", "up"), (b"up\xff", "up")]:
            self.assertEqual(self.run_script(interface, action), "")
        self.assertEqual(self.run_script(IFACE="up0", STATE="dormant", OperationalState="dormant"), "")
        self.assertEqual(self.run_script(IFACE="lo", STATE="carrier", OperationalState="carrier"), "")
        self.assertEqual(select.select([bus], [], [], 0)[0], [], "it connected to the bus")

    def test_usage(self):
        for arguments in [[], ["up0"], ["up0", "up", "more"]]:
            self.assertIn("INTERFACE ACTION", self.run_script(*arguments, expect=2))
        self.assertIn("INTERFACE ACTION", self.run_script(IFACE="up0", expect=2))

    # -- a bus that does not behave

    def test_absent_bus(self):
        for action in ["pre-up", "up", "down"]:
            self.assertIn(f'up0: could not tell the service about "{action}"', self.run_script("up0", action))

    def test_dead_socket(self):
        self.listen(backlog=1).close()
        self.assertIn("could not tell", self.run_script("up0", "pre-up"))

    def test_full_backlog(self):
        self.listen(backlog=0)
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.connect(f"{self.folder}/bus")
        self.assertNotEqual(self.run_script("up0", "pre-up"), "")

    def test_silent_bus(self):
        self.listen(backlog=5)
        for action in ["pre-up", "up", "down"]:
            self.assertNotEqual(self.run_script("up0", action), "")
            self.assertGreater(self.seconds, 0.5)

    def test_bus_that_hangs_up(self):
        bus = self.listen(backlog=5)
        process = self.spawn(self.script, "up0", "pre-up", env={"DBUS_SYSTEM_BUS_ADDRESS": self.address},
                             stderr=subprocess.PIPE)
        bus.accept()[0].close()
        self.assertIn(b"50-underpass: up0: ", process.communicate(timeout=LIMIT + SLACK)[1])
        self.assertEqual(process.returncode, 0)

    def test_service_that_never_answers(self):
        self.start_mock("silent")
        self.assertNotEqual(self.run_script("up0", "pre-up"), "")
        self.assertGreater(self.seconds, 0.5)


if __name__ == "__main__":
    if sys.argv[1] == "--mock":
        mock(sys.argv[2], sys.argv[3])
    else:
        DispatcherTest.script = os.path.abspath(sys.argv.pop(1))
        interrupts.main()
