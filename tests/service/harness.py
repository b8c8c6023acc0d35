# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the service share: a private bus, underpassd-fake on it, links in a network namespace.

May touch: the network namespace that enter_namespace() makes, one scratch folder, processes it has started.
UNDERPASS_WRAPPER in the environment is put before the service: "valgrind --quiet --error-exitcode=99".
"""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from gi.repository import Gio, GLib

LIBRARY = pathlib.Path(__file__).resolve().parents[1] / "lib"
sys.path.insert(0, str(LIBRARY))

from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position
import interrupts  # noqa: E402  pylint: disable=wrong-import-position

NAME = "org.underpass1"
ROOT = "/org/underpass1"
MANAGER = NAME + ".Manager"
LINK = NAME + ".Link"
PROPERTIES = "org.freedesktop.DBus.Properties"
SKIPPED = 77
ENDPOINTS_MAX = 8  # that the kernel takes
WRAPPER = shlex.split(os.environ.get("UNDERPASS_WRAPPER", ""))
PATIENCE = 60.0 if WRAPPER else 15.0


def enter_namespace(strangers=False):
    """Starts this program again in a network namespace of its own, where it may do as it likes; ends with 77
    where that is impossible. strangers: without root's rights, nobody in it is root."""
    mapping = ["--map-current-user", "--keep-caps"] if strangers else ["--map-root-user"]
    os.umask(0o022)  # the service uses no file that its group can change
    if os.environ.get("UNDERPASS_TEST_NAMESPACE") == "1":
        return
    for way in (["unshare", "--net"], ["unshare", "--user", *mapping, "--net"]):
        if subprocess.run([*way, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            os.environ["UNDERPASS_TEST_NAMESPACE"] = "1"
            os.execvp(way[0], [*way, sys.executable, "-B", *sys.argv])
    print("skipped: neither root nor a user namespace: no network namespace", file=sys.stderr)
    sys.exit(SKIPPED)


def wait_until(condition, what, seconds=PATIENCE):
    """Waits for a condition, serving signals meanwhile; its true value."""
    end = time.monotonic() + seconds
    ticks = GLib.timeout_add(5, lambda: True)
    try:
        while not (value := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:g} s: {what}")
            interrupts.iterate(GLib.MainContext.default())
    finally:
        GLib.source_remove(ticks)
    return value


def ip(*words):
    """Runs ip."""
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


def mtu(interface):
    """MTU of a link in this namespace, by rtnetlink: /sys is that of another one."""
    return int(
        subprocess.check_output(["ip", "-o", "link", "show", interface]).split(b" mtu ")[1].split()[0]
    )


def endpoints():
    """MPTCP endpoints of this namespace, a line each, without their numbers."""
    lines = subprocess.check_output(["ip", "mptcp", "endpoint"], text=True).splitlines()
    return sorted(" ".join(word for word in line.split() if word != "id" and not word.isdigit()) for line in lines)


class Failure(Exception):
    """An error that a call was answered with."""

    def __init__(self, error):
        remote = Gio.DBusError.get_remote_error(error)
        super().__init__(f"{remote}: {error.message}")
        self.name = remote
        self.message = error.message.partition(f"GDBus.Error:{remote}: ")[2]


class Client:
    """Calls of the service over one connection, and the signals heard there."""

    def __init__(self, connection):
        self.connection = connection
        self.signals = []  # (path, interface, member, unpacked arguments)
        connection.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, self._on_signal)

    def _on_signal(self, _connection, _sender, path, interface, member, arguments):
        self.signals.append((path, interface, member, arguments.unpack()))

    def call(self, path, interface, member, arguments=None):
        """Calls a method; the unpacked answer. Signals that came before the answer have been heard."""
        answers = []
        self.send(path, interface, member, arguments, answers.append)
        wait_until(lambda: answers, f"an answer to {member}")
        if isinstance(answers[0], Failure):
            raise answers[0]
        return answers[0]

    def send(self, path, interface, member, arguments, done):
        """Calls a method without waiting; done(answer or Failure) is called later."""

        def answered(connection, result):
            try:
                done(connection.call_finish(result).unpack())
            except GLib.Error as error:
                done(Failure(error))

        self.connection.call(
            NAME,
            path,
            interface,
            member,
            arguments,
            None,
            Gio.DBusCallFlags.NONE,
            int(PATIENCE * 1000),
            None,
            answered,
        )

    def manager(self, member, *strings):
        """Calls a method of the manager whose arguments are strings; the unpacked answer."""
        arguments = GLib.Variant(f"({'s' * len(strings)})", strings) if strings else None
        return self.call(ROOT, MANAGER, member, arguments)

    def forget(self, interface="", address="", port=0):
        """Calls Forget; how many destinations there were."""
        return self.call(ROOT, MANAGER, "Forget", GLib.Variant("(ssq)", (interface, address, port)))[0]

    def properties(self, path, interface=LINK):
        """All properties of an object."""
        return self.call(path, PROPERTIES, "GetAll", GLib.Variant("(s)", (interface,)))[0]

    def link(self, name):
        """All properties of a link."""
        return self.properties(self.manager("GetLink", name)[0])

    def changes(self, path):
        """Takes what PropertiesChanged has said about an object so far, merged."""
        merged = {}
        for signal_path, _, member, arguments in self.signals:
            if signal_path == path and member == "PropertiesChanged":
                merged.update(arguments[1])
        self.signals = [heard for heard in self.signals if heard[0] != path]
        return merged


class ServiceTest(unittest.TestCase):
    """A bus, a client and the service for each test; folder is scratch space, profiles are read from a folder
    in it."""

    program = None  # underpassd-fake
    xml = None  # data/org.underpass1.xml
    vpn = None  # underpass-vpn
    options = ()

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="underpass-service-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.profiles = self.folder / "profiles"
        self.profiles.mkdir()
        self.log = self.folder / "log"
        self.process = None
        self.bus = Bus(self.folder)
        self.bus.start()
        self.addCleanup(lambda: self.bus.stop())
        self.client = Client(self.bus.connect())

    def environment(self):
        """Environment of the service: this bus, no other; what a sanitizer finds ends it."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.endswith("SAN_OPTIONS") or name in ("NOTIFY_SOCKET", "WATCHDOG_USEC")
        }
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address,
            "ASAN_OPTIONS": "quarantine_size_mb=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
            **kept,
        }

    def command(self, *options):
        """Command line of the service."""
        return [*WRAPPER, self.program, f"--profiles={self.profiles}", *(options or self.options)]

    def start(self, *options, wait=True):
        """Starts the service; it answers when this returns."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(*options),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stderr=log,
                stdout=log,
            )
        self.addCleanup(self.stop, self.process)
        if wait:
            wait_until(self.owner, "the service is on the bus")

    def owner(self):
        """Unique name of the service, or None."""
        try:
            return self.client.connection.call_sync(
                "org.freedesktop.DBus",
                "/org/freedesktop/DBus",
                "org.freedesktop.DBus",
                "GetNameOwner",
                GLib.Variant("(s)", (NAME,)),
                None,
                Gio.DBusCallFlags.NONE,
                int(PATIENCE * 1000),
            ).unpack()[0]
        except GLib.Error:
            return None

    def stop(self, process=None):
        """Ends the service as systemd does. It must end well: so do sanitizers and valgrind speak up."""
        process = process or self.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=PATIENCE)
        if status != 0:
            self.fail(f"the service ended with {status}:\n{self.log.read_text(errors='replace')[-20000:]}")

    def add_link(self, name):
        """A veth link, up, gone after the test. Returns when the kernel has it."""
        ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
        self.addCleanup(subprocess.run, ["ip", "link", "del", name], stderr=subprocess.DEVNULL, check=False)
        ip("link", "set", name, "up")
        ip("link", "set", f"{name}-peer", "up")

    def fill_endpoints(self):
        """MPTCP endpoints of others until the kernel takes no more."""
        self.addCleanup(subprocess.run, ["ip", "mptcp", "endpoint", "flush"], check=False)
        for number in range(ENDPOINTS_MAX - len(endpoints())):
            ip("mptcp", "endpoint", "add", f"203.0.113.{number + 1}", "signal")

    def profile(self, name, text):
        """Writes a file profile."""
        path = self.profiles / f"{name}.conf"
        path.write_text(text)
        return path

    def tunnel(self, interface, *lines):
        """A file profile that asks for a tunnel on an interface."""
        settings = "\n".join(lines or ("Tunnel=yes", "RemotePorts=443"))
        return self.profile(interface, f"[Match]\nName={interface}\n[X-Underpass]\n{settings}\n")

    def wait_state(self, name, state, seconds=PATIENCE):
        """Waits until a link is in a state; its properties."""
        return wait_until(
            lambda: (found := self.client.link(name))["State"] == state and found,
            f"{name} is {state}",
            seconds,
        )

    def start_with_tunnel(self, name):
        """Starts the service with one link that has a tunnel; the object of the link."""
        self.add_link(name)
        self.tunnel(name)
        self.start()
        self.wait_state(name, "active")
        return self.client.manager("GetLink", name)[0]

    def quiet(self, interface):
        """Returns when a link of add_link() and its peer will not change by themselves any more: their IPv6 addresses
        are no longer tentative, and the service has looked at them since. When it has answered once, it has read what
        the kernel told it; when it has answered again, it has asked about that."""

        def tentative(name):
            shown = subprocess.check_output(["ip", "-6", "address", "show", "dev", name], text=True)
            return "inet6" not in shown or "tentative" in shown

        for name in (interface, f"{interface}-peer"):
            wait_until(lambda name=name: not tentative(name), f"the addresses of {name} are there to stay")
        for _ in range(2):
            self.client.manager("Reload")

    def lie(self, path, interface, member, arguments):
        """A signal of some other program, to everybody and straight to the service, which has read it then."""
        liar = self.bus.connect()
        for destination in (None, self.owner()):
            liar.emit_signal(destination, path, interface, member, arguments)
        # The bus keeps the order of one sender, so the answer tells that the signals are on their way.
        liar.call_sync(NAME, ROOT, MANAGER, "ListLinks", None, None, Gio.DBusCallFlags.NONE, -1)
        liar.close_sync()
        self.client.manager("ListLinks")

    def lie_about_owner(self, name):
        """Somebody who is not the bus says that nobody owns the name."""
        arguments = GLib.Variant("(sss)", (name, ":1.0", ""))
        self.lie("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", arguments)

    def assert_fails(self, error, call, *arguments):
        """The call must be answered with this error; its message."""
        with self.assertRaises(Failure) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.name, error, caught.exception)
        return caught.exception.message


def main(*names, strangers=False):
    """Enters the namespace (see there) and runs the tests of the main module: the first argument is the service,
    further ones go by these names to ServiceTest."""
    enter_namespace(strangers)
    ServiceTest.program = os.path.abspath(sys.argv[1])
    for name, argument in zip(names, sys.argv[2:]):
        setattr(ServiceTest, name, os.path.abspath(argument))
    interrupts.main(argv=[sys.argv[0], *sys.argv[2 + len(names) :]])
