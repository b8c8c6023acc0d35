#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SCTP over UDP: two sysctls that belong to the host, and links that come and go. The sysctls are files of a
scratch folder here, so no SCTP is needed.

Usage: test-sctp.py UNDERPASSD-FAKE [TEST…]
"""

import struct

from gi.repository import Gio, GLib

import harness
from harness import ROOT, MANAGER, ip, wait_until


SYSTEMD = """<node><interface name="org.freedesktop.systemd1.Manager"><method name="StartUnit">
<arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="o" direction="out"/>
</method></interface></node>"""


class Systemd:
    """What the service wants of systemd: a unit is started, which does the work."""

    def __init__(self, connection, work):
        self.connection = connection
        self.started = []
        self._work = work
        interface = Gio.DBusNodeInfo.new_for_xml(SYSTEMD).interfaces[0]
        connection.register_object("/org/freedesktop/systemd1", interface, self._call, None, None)
        Gio.bus_own_name_on_connection(
            connection, "org.freedesktop.systemd1", Gio.BusNameOwnerFlags.NONE, None, None
        )

    def _call(self, _connection, _sender, _path, _interface, _member, arguments, invocation):
        self.started.append(arguments.unpack())
        invocation.return_value(GLib.Variant("(o)", ("/org/freedesktop/systemd1/job/1",)))
        self._work()


class Sctp(harness.ServiceTest):
    """The service with the sysctls of a scratch folder."""

    def setUp(self):
        super().setUp()
        self.sysctls = self.folder / "sctp"

    def make_sysctls(self, udp=0, encap=0):
        """What the module sctp brings."""
        self.sysctls.mkdir()
        (self.sysctls / "udp_port").write_text(f"{udp}\n")
        (self.sysctls / "encap_port").write_text(f"{encap}\n")

    def ports(self):
        """Values of both; a file keeps what a shorter value does not overwrite, a sysctl would not."""
        return tuple(
            int((self.sysctls / name).read_text().splitlines()[0] or -1) for name in ("udp_port", "encap_port")
        )

    def wait_ports(self, *wanted):
        """Waits until both have these values."""
        wait_until(lambda: self.ports() == wanted, f"{wanted}, not {self.ports()}")

    def start(self, *options, wait=True):
        super().start(f"--sctp-sysctls={self.sysctls}", *options, wait=wait)

    def sctp(self, interface, *lines):
        """A file profile that asks for no tunnel."""
        return self.tunnel(interface, *(lines or ("SCTPUDPPort=9899", "SCTPEncapPort=9899")))

    def reload(self):
        """Reads the profiles again; the links follow them when this returns."""
        self.client.manager("Reload")

    def warnings(self, name):
        """Warnings of a link."""
        return self.client.link(name)["Warnings"]


class Ports(Sctp):
    """The values, from the first link to the last."""

    def test_counted_over_links(self):
        self.make_sysctls(udp=7000, encap=0)
        self.start()
        for name in ("up0", "up1"):
            self.add_link(name)
            self.sctp(name)
        self.reload()
        self.assertEqual(self.ports(), (9899, 9899))
        link = self.client.link("up1")
        self.assertEqual((link["State"], link["Warnings"]), ("off", []))
        self.assertEqual((link["SCTPUDPPort"], link["SCTPEncapPort"]), (9899, 9899))
        applied = dict(link["Applied"])
        self.assertEqual(applied["net.sctp.udp_port"], "9899")
        self.assertEqual(applied["net.sctp.udp_port-original"], "7000")
        self.assertEqual(applied["net.sctp.encap_port-original"], "0")
        ip("link", "del", "up0")
        wait_until(lambda: "up0" not in [row[1] for row in self.client.manager("ListLinks")[0]], "up0 gone")
        self.assertEqual(self.ports(), (9899, 9899))
        ip("link", "set", "up1", "down")
        self.wait_ports(7000, 0)
        ip("link", "set", "up1", "up")
        self.wait_ports(9899, 9899)
        ip("link", "del", "up1")
        self.wait_ports(7000, 0)

    def test_by_hand_and_by_profile(self):
        self.make_sysctls(udp=1, encap=2)
        self.add_link("up0")
        self.sctp("up0")
        self.start()
        self.wait_ports(9899, 9899)
        self.client.manager("Deactivate", "up0")
        self.assertEqual(self.ports(), (1, 2))
        self.client.manager("Activate", "up0")
        self.assertEqual(self.ports(), (9899, 9899))
        self.assertEqual(self.client.manager("DeactivateAll"), (0,))
        self.assertEqual(self.ports(), (1, 2))
        self.client.manager("Activate", "up0")
        self.sctp("up0", "SCTPUDPPort=9900")
        self.reload()
        self.assertEqual(self.ports(), (9900, 2))
        self.sctp("up0", "SCTPUDPPort=no")
        self.reload()
        self.assertEqual(self.ports(), (1, 2))

    def test_with_a_tunnel(self):
        """Both from one profile; a bad profile changes nothing, a stopped service neither."""
        self.make_sysctls()
        self.add_link("up0")
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "SCTPUDPPort=9899")
        self.start()
        self.wait_state("up0", "active")
        self.wait_ports(9899, 0)
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "SCTPUDPPort=70000")
        self.reload()
        found = self.client.link("up0")
        self.assertEqual((found["State"], self.ports()), ("failed", (9899, 0)))
        self.assertIn("SCTPUDPPort", found["LastError"])
        self.stop()
        self.assertEqual(self.ports(), (9899, 0))

    def test_set_by_others(self):
        """What others have set meanwhile stays."""
        self.make_sysctls()
        self.add_link("up0")
        self.sctp("up0")
        self.start()
        self.wait_ports(9899, 9899)
        (self.sysctls / "udp_port").write_text("5000\n")
        self.sctp("up0", "SCTPUDPPort=no")
        self.reload()
        self.assertEqual(self.ports(), (5000, 0))

    def test_stays_for_it(self):
        """An idle service does not leave while there is something to give back."""
        self.make_sysctls()
        self.add_link("up0")
        profile = self.sctp("up0")
        self.start("--idle=1")
        self.wait_ports(9899, 9899)
        self.client.manager("Deactivate", "up0")
        profile.unlink()
        self.reload()
        self.assertEqual(self.ports(), (0, 0))
        self.assertEqual(self.process.wait(timeout=harness.PATIENCE), 0)


class Failed(Sctp):
    """A link whose tunnel cannot be attached, in looks that nobody asks for: what it says of SCTP counts all the
    same."""

    def environment(self):
        # The fake has no such segmentation device.
        return {**super().environment(), "UNDERPASS_SEGMENTATION": "netkit"}

    def look(self):
        """Something changes about the link."""
        self.looks = getattr(self, "looks", 0) + 1
        ip("link", "set", "up0", "alias", f"look {self.looks}")

    def start_failed(self, *lines):
        """The service with a link that has failed, and whose delayed retry has failed, too."""
        self.make_sysctls()
        self.add_link("up0")
        self.tunnel("up0", *lines)
        self.start("--debug")
        self.wait_state("up0", "failed")
        wait_until(lambda: self.log.read_text().count("Retrying what has failed.") == 1, "the retry")

    def test_keys(self):
        lines = ("Tunnel=yes", "RemotePorts=443")
        self.start_failed(*lines)
        for port in (9899, 0, 9900):
            self.tunnel("up0", *lines, *([f"SCTPUDPPort={port}"] if port else []))
            self.look()
            self.wait_ports(port, 0)
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["LastStage"]), ("failed", "segmentation"))
        self.assertEqual(dict(found["Applied"])["net.sctp.udp_port"], "9900")

    def test_warnings(self):
        lines = ("Tunnel=yes", "RemotePorts=443")
        self.start_failed(*lines)
        path = self.client.manager("GetLink", "up0")[0]
        self.client.changes(path)
        self.tunnel("up0", *lines, "SCTPEncapPort=9899")
        self.look()
        wait_until(lambda: len(self.client.changes(path).get("Warnings", [])) == 1, "a warning is announced")
        self.assertIn("set SCTPUDPPort as well", self.warnings("up0")[0])

    def test_down(self):
        self.start_failed("Tunnel=yes", "RemotePorts=443", "SCTPUDPPort=9899")
        for _ in range(2):
            self.wait_ports(9899, 0)
            ip("link", "set", "up0", "down")
            self.wait_ports(0, 0)
            ip("link", "set", "up0", "up")
        self.wait_ports(9899, 0)
        self.assertEqual(self.client.link("up0")["State"], "failed")

    def test_wrong_profile(self):
        """A link that is down asks for nothing, whatever its profile is like; one that is up for what it did before,
        where its keys cannot be read, and for what they say, where they can."""
        self.make_sysctls()
        self.add_link("up0")
        self.sctp("up0", "SCTPUDPPort=9899")
        self.start()
        self.wait_ports(9899, 0)
        self.sctp("up0", "SCTPUDPPort=70000")
        self.reload()
        self.assertEqual((self.client.link("up0")["State"], self.ports()), ("failed", (9899, 0)))
        ip("link", "set", "up0", "down")
        self.wait_ports(0, 0)
        self.assertEqual(self.client.link("up0")["State"], "failed")
        ip("link", "set", "up0", "up")
        self.reload()
        self.assertEqual(self.ports(), (0, 0))
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "MSS=1480", "SCTPUDPPort=9900")
        self.reload()
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["LastStage"], self.ports()), ("failed", "profile", (9900, 0)))


class Warnings(Sctp):
    """What does not work is said, and hinders nothing else."""

    def test_no_sctp(self):
        self.add_link("up0")
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "SCTPUDPPort=9899", "SCTPEncapPort=9899")
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual(len(found["Warnings"]), 1, found["Warnings"])
        self.assertIn("this kernel has no SCTP over UDP", found["Warnings"][0])
        self.assertIn(f"SCTPUDPPort=9899 in {self.profiles}/up0.conf:6", found["Warnings"][0])
        self.assertNotIn("net.sctp.udp_port", dict(found["Applied"]))
        # The module has been loaded.
        self.make_sysctls()
        self.reload()
        self.assertEqual(self.ports(), (9899, 9899))
        self.assertEqual(self.warnings("up0"), [])

    def test_module(self):
        """A module that nobody has needed yet: systemd is asked for it, and then it is all there."""
        systemd = Systemd(self.bus.connect(), self.make_sysctls)
        self.add_link("up0")
        self.sctp("up0")
        self.start()
        wait_until(self.sysctls.exists, "systemd is asked")
        self.wait_ports(9899, 9899)
        wait_until(lambda: self.warnings("up0") == [], "the warning is taken back")
        self.reload()
        self.assertEqual(systemd.started, [("modprobe@sctp.service", "fail")])

    def test_conflict(self):
        """The first one keeps it; who comes later is told, and gets it when the first one is gone."""
        self.make_sysctls()
        self.start()
        self.add_link("up0")
        self.add_link("up1")
        self.sctp("up1", "SCTPUDPPort=9899")
        self.reload()
        self.assertEqual(self.ports(), (9899, 0))
        self.sctp("up0", "SCTPUDPPort=9900")
        self.reload()
        self.assertEqual(self.ports(), (9899, 0))
        self.assertEqual(self.warnings("up1"), [])
        (sentence,) = self.warnings("up0")
        for part in ("SCTPUDPPort=9900", "up0.conf:4", "on up0", "up1 came first", "SCTPUDPPort=9899"):
            self.assertIn(part, sentence)
        ip("link", "del", "up1")
        self.wait_ports(9900, 0)
        wait_until(lambda: self.warnings("up0") == [], "the warning is taken back")

    def test_refused(self):
        """A sysctl that nobody may write; the tunnel is there."""
        self.make_sysctls()
        (self.sysctls / "udp_port").unlink()
        (self.sysctls / "udp_port").symlink_to("/proc/sys/kernel/cap_last_cap")
        self.add_link("up0")
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "SCTPUDPPort=9899")
        self.start()
        found = self.wait_state("up0", "active")
        self.assertIn("net.sctp.udp_port cannot be set", found["Warnings"][0])

    def test_deaf(self):
        self.make_sysctls()
        self.add_link("up0")
        self.sctp("up0", "SCTPEncapPort=9899")
        self.start()
        self.wait_ports(0, 9899)
        wait_until(lambda: len(self.warnings("up0")) == 1, "a warning")
        self.assertIn("set SCTPUDPPort as well", self.warnings("up0")[0])
        self.assertEqual(self.client.properties(ROOT, MANAGER)["AttachPoint"], "tcx")


class Unread(Sctp):
    """An earlier service has set a port, and its record cannot be read until BPF can be used."""

    def setUp(self):
        super().setUp()
        self.pins = self.folder / "pins"
        self.pins.mkdir()
        self.refusal = self.pins / "refused"
        self.refusal.touch()
        # struct underpass_saved_sctp: udp_port was 7000, and encap_port was not changed.
        record = struct.pack("=4H4H2I", 1, 7000, 9899, 0, 0, 0, 0, 0, 1, 0)
        (self.pins / "sctp").write_bytes(record)
        self.make_sysctls(udp=9899)
        self.add_link("up0")

    def start_unread(self, *lines):
        """Starts the service with a link that asks for this, and nothing happens yet."""
        if lines:
            self.sctp("up0", *lines)
        self.start(f"--pins={self.pins}")
        self.reload()
        self.assertEqual(self.ports(), (9899, 0))
        self.assertEqual(self.client.link("up0")["State"], "off")

    def allow(self):
        """BPF can be used, and the service is told to try."""
        self.refusal.unlink()
        self.reload()

    def test_wanted(self):
        """The value of before is not forgotten: ours is not taken for it."""
        self.start_unread("SCTPUDPPort=9899")
        self.assertIn("net.sctp.udp_port cannot be set (Operation not permitted)", self.warnings("up0")[0])
        self.allow()
        wait_until(lambda: self.warnings("up0") == [], "the warning is taken back")
        applied = dict(self.client.link("up0")["Applied"])
        self.assertEqual(applied["net.sctp.udp_port-original"], "7000")
        self.sctp("up0", "SCTPUDPPort=no")
        self.reload()
        self.assertEqual(self.ports(), (7000, 0))

    def test_changed(self):
        """Another value, and a port that nobody has changed."""
        self.start_unread("SCTPUDPPort=9900", "SCTPEncapPort=9900")
        self.allow()
        self.wait_ports(9900, 9900)
        applied = dict(self.client.link("up0")["Applied"])
        self.assertEqual(applied["net.sctp.udp_port-original"], "7000")
        self.assertEqual(applied["net.sctp.encap_port-original"], "0")

    def test_unwanted(self):
        """Nobody asks for it any more."""
        self.start_unread()
        self.allow()
        self.wait_ports(7000, 0)


if __name__ == "__main__":
    harness.main()
