#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the service gets along with the rest of the system: with the bus away, told to stop, with options,
with a kernel that says too much.

Usage: test-life.py UNDERPASSD-FAKE [TEST…]
"""

import os
import shlex
import signal
import socket
import subprocess

import harness
from gi.repository import Gio, GLib
from harness import MANAGER, PATIENCE, ROOT, ip, wait_until

LOGIN = "org.freedesktop.login1"


class Unlucky(harness.ServiceTest):
    """A link that fails."""

    def retries(self):
        """How many delayed retries there were."""
        return self.log.read_text().count("Retrying what has failed.")

    def use_up_retry(self):
        """Starts the service with such a link, whose delayed retry has failed, too."""
        self.add_link("up0")
        ip("address", "add", "198.51.100.1/24", "dev", "up0")
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "MPTCPEndpoint=subflow")
        self.fill_endpoints()
        self.start("--debug")
        self.wait_state("up0", "failed")
        self.quiet("up0")
        wait_until(self.retries, "the retry")
        self.assertEqual(self.client.link("up0")["State"], "failed")

    def fail_for_good(self):
        """The same. Then it would not fail any more, but nobody tells the service."""
        self.use_up_retry()
        ip("mptcp", "endpoint", "flush")

    def looks(self):
        """How many looks have come to a plan."""
        return self.log.read_text().count("Plan:")


class Retries(Unlucky):
    """A failure has one delayed retry. When somebody insists, that is a new try, and its failure has another one."""

    def test_one_failure_one_retry(self):
        """That a retry has failed is no reason for the next one: it would have come before that of another link."""
        self.use_up_retry()
        self.add_link("up1")
        ip("address", "add", "198.51.101.1/24", "dev", "up1")
        self.tunnel("up1", "Tunnel=yes", "RemotePorts=443", "MPTCPEndpoint=subflow")
        ip("link", "set", "up1", "alias", "look")
        self.wait_state("up1", "failed")
        wait_until(lambda: self.retries() > 1, "the retry of the other link")
        self.client.manager("ListLinks")
        self.assertEqual(self.log.read_text().count("up0: Retrying"), 1)
        self.assertEqual(self.log.read_text().count("up1: Retrying"), 1)

    def test_reload(self):
        """Somebody asks a moment too early."""
        self.use_up_retry()
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "failed")
        ip("mptcp", "endpoint", "flush")
        self.wait_state("up0", "active")
        self.assertEqual(self.retries(), 2)


class Bus(Unlucky):
    """The bus goes away and comes back."""

    def test_restart(self):
        self.add_link("up0")
        self.tunnel("up0")
        self.start()
        before = self.wait_state("up0", "active")
        for _ in range(3):
            for _ in range(20):
                self.client.send(ROOT, MANAGER, "Reload", None, lambda answer: None)
            self.bus.stop()
            self.bus.start()
            self.client = harness.Client(self.bus.connect())
            wait_until(self.owner, "the service is back on the bus")
            self.assertEqual(self.client.link("up0"), before)
        path = self.client.manager("GetLink", "up0")[0]
        self.client.manager("Deactivate", "up0")
        wait_until(lambda: self.client.changes(path).get("State") == "off", "changes are announced again")

    def test_change_without_bus(self):
        """What happens while the bus is away is not missed."""
        self.tunnel("up1")
        self.start()
        self.bus.stop()
        self.add_link("up1")
        self.bus.start()
        self.client = harness.Client(self.bus.connect())
        wait_until(self.owner, "the service is back on the bus")
        self.wait_state("up1", "active")

    def test_retry(self):
        """What has failed before the bus went is tried again when it is back: others may have repaired it."""
        self.fail_for_good()
        self.bus.stop()
        self.bus.start()
        self.client = harness.Client(self.bus.connect())
        wait_until(self.owner, "the service is back on the bus")
        self.wait_state("up0", "active")

    def test_start_without_bus(self):
        self.bus.stop()
        self.start(wait=False)
        wait_until(lambda: "No bus yet" in self.log.read_text(), "the service says what it waits for")
        self.bus.start()
        self.client = harness.Client(self.bus.connect())
        wait_until(self.owner, "the service is on the bus")
        self.assertEqual(self.client.manager("ListLinks"), ([],))

    def test_second_service(self):
        """The name is taken: the newcomer ends, the first one is not disturbed."""
        self.start()
        owner = self.owner()
        second = subprocess.run(
            self.command(), env=self.environment(), capture_output=True, timeout=PATIENCE, check=False
        )
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertIn(harness.NAME, second.stderr.decode())
        self.assertEqual(self.owner(), owner)

    def test_taken_over(self):
        """The name is somebody else's when the bus comes back: leaves."""
        self.start()
        first = self.process
        first.send_signal(signal.SIGSTOP)
        self.bus.stop()
        self.bus.start()
        self.client = harness.Client(self.bus.connect())
        self.start()
        first.send_signal(signal.SIGCONT)
        self.assertEqual(first.wait(timeout=PATIENCE), 0)
        self.client.manager("ListLinks")


class Started(harness.ServiceTest):
    """The bus starts the service for somebody who calls: that link comes first."""

    LINKS = ("up0", "up1", "up2", "up3")

    def active(self):
        """Links in the order in which they became active."""
        lines = self.log.read_text().splitlines()
        return [line.partition(":")[0] for line in lines if ": Now active:" in line]

    def setUp(self):
        super().setUp()
        script = self.folder / "start"
        script.write_text(f"exec {shlex.join(self.command())} 2>>{shlex.quote(str(self.log))}\n")
        self.bus.add_service(harness.NAME, "/bin/sh", script)
        self.addCleanup(self.end)
        for name in self.LINKS:
            self.add_link(name)
            self.tunnel(name)

    def end(self):
        """Ends the service, if there is one; returns when it is no more on the bus."""
        bus = "org.freedesktop.DBus"
        words = GLib.Variant("(s)", (harness.NAME,))
        call = (bus, "/org/freedesktop/DBus", bus, "GetConnectionUnixProcessID", words)
        if self.owner():
            answer = self.client.connection.call_sync(*call, None, Gio.DBusCallFlags.NONE, -1)
            os.kill(answer.unpack()[0], signal.SIGTERM)
        wait_until(lambda: not self.owner(), "the service is gone")

    def test_caller_comes_first(self):
        """Whichever it calls for."""
        for name in self.LINKS:
            self.log.write_text("")
            self.client.manager("Activate", name)
            self.assertEqual(self.active()[:1], [name], self.log.read_text())
            for other in self.LINKS:
                self.wait_state(other, "active")
            self.assertEqual(len(self.active()), len(self.LINKS))
            self.end()

    def test_dispatcher_script(self):
        """The same where a network manager's script has called."""
        self.client.manager("Dispatch", "up2", "pre-up", "")
        self.assertEqual(self.active()[:1], ["up2"], self.log.read_text())

    def test_nobody_waits(self):
        """A call that is about no link keeps none waiting."""
        self.assertEqual(len(self.client.manager("ListLinks")[0]), 2 * len(self.LINKS))
        for name in self.LINKS:
            self.wait_state(name, "active")


class Refused(harness.ServiceTest):
    """BPF cannot be used, as in a container; the fake tunnel takes a file of that name for it."""

    def setUp(self):
        super().setUp()
        self.refusal = self.folder / "refused"
        self.refusal.touch()

    def test_refused(self):
        """The service stays and says why; a link with a tunnel fails with the same reason."""
        self.add_link("up0")
        self.add_link("up1")
        self.tunnel("up0")
        self.start(f"--pins={self.folder}")
        found = self.client.properties(ROOT, MANAGER)
        self.assertIn(f"BPF cannot be used at {self.folder}: Operation not permitted", found["BpfError"])
        self.assertFalse(found["Features"]["bpf"])
        self.assertEqual(found["AttachPoint"], "")
        link = self.wait_state("up0", "failed")
        self.assertEqual(link["LastStage"], "load")
        self.assertIn("Operation not permitted", link["LastError"])
        self.assertEqual(self.client.link("up1")["State"], "off")
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "failed")
        self.assertEqual(self.log.read_text().count("BPF cannot be used at"), 1, "said once")

    def test_allowed_later(self):
        """Reload tries again, and all links get what their profiles ask for."""
        self.add_link("up0")
        self.tunnel("up0")
        self.start(f"--pins={self.folder}")
        self.wait_state("up0", "failed")
        self.refusal.unlink()
        self.client.manager("Reload")
        self.wait_state("up0", "active")
        self.assertEqual(self.client.properties(ROOT, MANAGER)["BpfError"], "")
        heard = [
            arguments[1]
            for path, _, member, arguments in self.client.signals
            if path == ROOT and member == "PropertiesChanged"
        ]
        self.assertEqual(len(heard), 1, heard)
        self.assertEqual((heard[0]["BpfError"], heard[0]["AttachPoint"]), ("", "tcx"))
        self.assertTrue(heard[0]["Features"]["bpf"])

    def test_guards(self):
        """Those of an earlier service, of sockets that are gone, are found only once BPF can be used, and go then."""
        guards = self.folder / "guards"
        guards.touch()
        self.start(f"--pins={self.folder}")
        self.assertTrue(guards.exists())
        self.log.write_text("")  # the first sweep may have said the same
        self.refusal.unlink()
        self.client.manager("Reload")
        # Who is not root of the host cannot know that the sockets are gone, if the kernel has FOU.
        unknown = "Tunnel sockets of an earlier service cannot be removed" in self.log.read_text()
        self.assertEqual(guards.exists(), unknown)


class Sleep(Unlucky):
    """The host is suspended and resumed."""

    def prepare_for_sleep(self, connection, begins, destination=None):
        """What systemd-logind says before and after."""
        path, member = "/org/freedesktop/login1", "PrepareForSleep"
        arguments = GLib.Variant("(b)", (begins,))
        connection.emit_signal(destination, path, LOGIN + ".Manager", member, arguments)
        connection.flush_sync()

    def test_resume(self):
        """All links are looked at after it, as logind says; not before, and not when somebody else says so."""
        self.add_link("up0")
        self.add_link("up1")
        self.tunnel("up1")
        self.start()
        self.wait_state("up1", "active")
        self.tunnel("up0")  # nobody tells the service
        stranger, login = self.bus.connect(), self.bus.connect()
        bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
        name = GLib.Variant("(su)", (LOGIN, 0))
        login.call_sync(*bus, "RequestName", name, None, Gio.DBusCallFlags.NONE, -1, None)
        self.lie_about_owner(LOGIN)
        self.prepare_for_sleep(stranger, False)
        self.prepare_for_sleep(stranger, False, self.owner())
        stranger.call_sync(harness.NAME, ROOT, "org.freedesktop.DBus.Peer", "Ping", None, None, 0, -1, None)
        self.prepare_for_sleep(login, True)
        peer = (harness.NAME, ROOT, "org.freedesktop.DBus.Peer")
        login.call_sync(*peer, "Ping", None, None, Gio.DBusCallFlags.NONE, -1, None)
        self.assertEqual(self.client.link("up0")["State"], "off")
        self.prepare_for_sleep(login, False)
        self.wait_state("up0", "active")
        self.assertEqual(self.log.read_text().count("Resumed from sleep"), 1)

    def test_resume_retries(self):
        """What has failed before is tried again, though nothing has changed that the service knows of."""
        login = self.bus.connect()
        bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
        name = GLib.Variant("(su)", (LOGIN, 0))
        login.call_sync(*bus, "RequestName", name, None, Gio.DBusCallFlags.NONE, -1, None)
        self.fail_for_good()
        self.prepare_for_sleep(login, False)
        self.wait_state("up0", "active")

    def test_resume_comes_first(self):
        """The cause of the failure passes a moment after the host has resumed, and nobody tells."""
        login = self.bus.connect()
        bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
        name = GLib.Variant("(su)", (LOGIN, 0))
        login.call_sync(*bus, "RequestName", name, None, Gio.DBusCallFlags.NONE, -1, None)
        self.use_up_retry()
        looks = self.looks()
        self.prepare_for_sleep(login, False)
        wait_until(lambda: self.looks() > looks, "the link is looked at")
        self.assertEqual(self.client.link("up0")["State"], "failed")
        ip("mptcp", "endpoint", "flush")
        self.wait_state("up0", "active")
        self.assertEqual(self.retries(), 2)


class Process(harness.ServiceTest):
    """Signals, options, the word to systemd."""

    def test_signals(self):
        self.add_link("up0")
        self.tunnel("up0")
        for number in (signal.SIGTERM, signal.SIGINT):
            self.start()
            self.wait_state("up0", "active")
            self.process.send_signal(number)
            self.assertEqual(self.process.wait(timeout=PATIENCE), 0)
            wait_until(lambda: self.owner() is None, "the name is free")

    def test_notify(self):
        """systemd is told when the service is ready, and when it leaves."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(self.folder / "notify"))
            notify.settimeout(PATIENCE)
            os.environ["NOTIFY_SOCKET"] = str(self.folder / "notify")
            self.addCleanup(os.environ.pop, "NOTIFY_SOCKET")
            self.start("--idle=1", wait=False)
            self.assertEqual(notify.recv(100), b"READY=1")
            self.assertIsNotNone(self.owner(), "ready means: on the bus")
            self.assertEqual(notify.recv(100), b"STOPPING=1")
            self.assertEqual(self.process.wait(timeout=PATIENCE), 0)

    def test_watchdog(self):
        """systemd hears again and again that the service does not hang, if it has asked for that."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(self.folder / "notify"))
            notify.settimeout(PATIENCE)
            for name, value in (("NOTIFY_SOCKET", self.folder / "notify"), ("WATCHDOG_USEC", 400_000)):
                os.environ[name] = str(value)
                self.addCleanup(os.environ.pop, name)
            self.start()
            heard = []
            while heard.count(b"WATCHDOG=1") < 3:
                heard.append(notify.recv(100))
            self.assertIn(b"READY=1", heard)
            self.stop()

    def run_with(self, *options):
        """Runs the service with options that end it; status and what it wrote."""
        result = subprocess.run(
            self.command(*options),
            env=self.environment(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    def test_options(self):
        status, out, err = self.run_with("--help")
        self.assertEqual((status, err), (0, ""))
        for option in (
            "--attach-point=",
            "--profiles=",
            "--pins=",
            "--sctp-sysctls=",
            "--idle=",
            "--debug",
            "--version",
            "--help",
        ):
            self.assertIn(option, out)
        status, out, err = self.run_with("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^underpassd [0-9]+\.[0-9]+\.[0-9]+\n$")
        for option in (
            "--idle=",
            "--idle=soon",
            "--idle=-1",
            "--idle=1s",
            "--idle=99999999999999999999",
            "--attach-point=xdp",
            "--attach-point=",
            "--nothing",
            "lte0",
        ):
            with self.subTest(option=option):
                status, out, err = self.run_with(option)
                self.assertEqual((status, out), (2, ""))
                self.assertIn(option.partition("=")[2] or option.partition("=")[0], err)

    def test_attach_point_option(self):
        self.add_link("up0")
        self.tunnel("up0")
        self.start("--attach-point=clsact", "--debug")
        found = self.wait_state("up0", "active")
        self.assertIn(("attach-point", "clsact"), found["Applied"])
        self.assertEqual([point for point, _ in found["Programs"]], ["clsact ingress", "clsact egress"])
        self.assertIn("Plan:", self.log.read_text())


class LostMessages(harness.ServiceTest):
    """More link changes than the kernel keeps for the service."""

    def test_overrun(self):
        self.add_link("old0")
        self.add_link("old1")
        self.tunnel("old0")
        self.tunnel("new0")
        self.start()
        self.wait_state("old0", "active")
        self.process.send_signal(signal.SIGSTOP)
        try:
            flaps = "link set old1 down\nlink set old1 up\n" * 2000
            subprocess.run(["ip", "-batch", "-"], input=flaps.encode(), check=True)
            ip("link", "del", "old0")
            self.add_link("new0")
        finally:
            self.process.send_signal(signal.SIGCONT)
        self.wait_state("new0", "active")
        names = wait_until(
            lambda: "old0" not in (found := {row[1] for row in self.client.manager("ListLinks")[0]})
            and found,
            "a link whose end was not heard is forgotten",
        )
        self.assertEqual(names, {"old1", "old1-peer", "new0", "new0-peer"})
        self.assert_fails("org.underpass1.Error.NoSuchLink", self.client.manager, "Activate", "old0")


if __name__ == "__main__":
    harness.main()
