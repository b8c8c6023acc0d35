#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the service does with links and file profiles, seen over the bus.

Usage: test-links.py UNDERPASSD-FAKE [TEST…]
"""

import platform
import os
import subprocess

from gi.repository import GLib

import harness
from harness import LINK, MANAGER, ROOT, Failure, ip, mtu, wait_until

NO_SUCH_LINK = "org.underpass1.Error.NoSuchLink"
FAILED = "org.underpass1.Error.Failed"
NOTHING_TO_DO = "org.underpass1.Error.NothingToDo"
FAILED = "org.underpass1.Error.Failed"
DBUS_ERROR = "org.freedesktop.DBus.Error."

KEY_PROPERTIES = {
    "Tunnel": "no",
    "RemotePorts": [],
    "LocalPorts": [],
    "RemoteAddresses": [],
    "FirewallMark": "",
    "MPTCPOnly": True,
    "MSS": 0,
    "MTU": 0,
    "MPTCPEndpoint": [],
}


class Manager(harness.ServiceTest):
    """Methods and properties of the manager."""

    def test_properties(self):
        self.start()
        found = self.client.properties(ROOT, MANAGER)
        self.assertRegex(found["Version"], r"^[0-9]+\.[0-9]+\.[0-9]+$")
        self.assertEqual(found["KernelVersion"], platform.release())
        self.assertEqual(set(found["Features"]), {"bpf", "btf", "tcx", "netkit", "mptcp"})
        self.assertEqual(found["AttachPoint"], "tcx")
        self.assertEqual(found["SegmentationDevice"], ("", ""))
        self.assertEqual(found["Sources"], [("file", True), ("networkd", False), ("NetworkManager", False)])
        explained = self.client.manager("ListCounters")[0]
        self.assertEqual(set(found["Counters"]), {name for name, _ in explained})
        self.assertTrue(all(sentence.endswith(".") for _, sentence in explained), explained)
        page = GLib.Variant("(su)", ("", 0))
        self.assertEqual(self.client.call(ROOT, MANAGER, "ListFlows", page), ([], ""))

    def test_links(self):
        """Loopback is no link; the others come and go with their objects."""
        self.add_link("up0")
        self.start()
        rows = {row[1]: row for row in self.client.manager("ListLinks")[0]}
        self.assertEqual(set(rows), {"up0", "up0-peer"})
        index, _, state, path = rows["up0"]
        self.assertEqual(state, "off")
        self.assertEqual(self.client.manager("GetLink", "up0"), (path,))
        found = self.client.properties(path)
        self.assertEqual((found["InterfaceIndex"], found["Name"], found["Type"]), (index, "up0", "ether"))
        self.assertEqual({name: found[name] for name in KEY_PROPERTIES}, KEY_PROPERTIES)
        self.assertEqual((found["Applied"], found["Programs"], found["Connection"]), ([], [], ("", "")))
        for name in ("lo", "up1", ""):
            self.assert_fails(NO_SUCH_LINK, self.client.manager, "GetLink", name)

    def test_objects_come_and_go(self):
        self.start()
        self.add_link("up0")
        path = wait_until(lambda: self.added("up0"), "InterfacesAdded")
        objects = self.client.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
        self.assertEqual(objects[path][LINK]["Name"], "up0")
        ip("link", "del", "up0")
        gone = ("InterfacesRemoved", path)
        wait_until(
            lambda: any(
                (member, arguments[0]) == gone and LINK in arguments[1]
                for _, _, member, arguments in self.client.signals
                if member == "InterfacesRemoved"
            ),
            "InterfacesRemoved",
        )
        self.assert_fails(NO_SUCH_LINK, self.client.manager, "GetLink", "up0")
        self.assert_fails(DBUS_ERROR + "UnknownObject", self.client.properties, path)
        objects = self.client.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
        self.assertEqual([found for found in objects if found.startswith(ROOT + "/link/")], [])

    def added(self, name):
        """Path of a link that InterfacesAdded has announced with all its properties, or None."""
        for _, _, member, arguments in self.client.signals:
            if member == "InterfacesAdded" and arguments[1].get(LINK, {}).get("Name") == name:
                self.assertLessEqual(set(KEY_PROPERTIES), set(arguments[1][LINK]))
                return arguments[0]
        return None

    def test_rename(self):
        """A link keeps its object when it gets another name, and profiles go by the new one."""
        self.add_link("up0")
        self.tunnel("up1")
        self.start()
        path = self.client.manager("GetLink", "up0")[0]
        ip("link", "set", "up0", "name", "up1")
        self.addCleanup(subprocess.run, ["ip", "link", "del", "up1"], stderr=subprocess.DEVNULL, check=False)
        wait_until(lambda: self.client.properties(path)["Name"] == "up1", "the new name")
        self.wait_state("up1", "active")
        self.assertEqual(self.client.manager("GetLink", "up1"), (path,))
        self.assert_fails(NO_SUCH_LINK, self.client.manager, "GetLink", "up0")


class Profiles(harness.ServiceTest):
    """What file profiles do to links."""

    def setUp(self):
        super().setUp()
        self.add_link("up0")

    def test_active_at_start(self):
        path = self.tunnel("up0", "Tunnel=yes", "RemotePorts=443,8000-8080", "MSS=1300", "MPTCPOnly=no")
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual(found["RemotePorts"], [(443, 443), (8000, 8080)])
        self.assertEqual((found["Tunnel"], found["MSS"], found["MPTCPOnly"]), ("yes", 1300, False))
        self.assertIn(("remote-ports", "443,8000-8080", "file", f"{path}:5"), found["Settings"])
        self.assertIn(("local-ports", "", "default", ""), found["Settings"])
        self.assertIn(("attach-point", "tcx"), found["Applied"])
        self.assertIn(("segmentation-device", "veth (underpass-tx)"), found["Applied"])
        self.assertIn(("receive", "auto"), found["Applied"])
        self.assertEqual((found["Receive"], found["ReceiveMode"][0]), ("auto", "auto"))
        self.assertEqual([where for where, _ in found["Programs"]], ["tcx ingress", "tcx egress"])
        self.assertEqual((found["LastError"], found["LastStage"]), ("", ""))
        self.assertEqual(self.client.properties(ROOT, MANAGER)["SegmentationDevice"], ("veth", "underpass-tx"))
        self.assertEqual(self.client.link("up0-peer")["State"], "off")

    def test_receive(self):
        """What is not available is replaced, with a warning; another value takes effect and ends it."""
        self.tunnel("up0", "Tunnel=yes", "LocalPorts=443", "Receive=xdp")
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual((found["Receive"], found["ReceiveMode"][0]), ("xdp", "auto"))
        self.assertIn("up0 has no native XDP", found["ReceiveMode"][1])
        self.assertEqual(found["Warnings"], [found["ReceiveMode"][1]])
        for value in ("gro", "tc", "auto"):
            self.tunnel("up0", "Tunnel=yes", "LocalPorts=443", f"Receive={value}")
            self.client.manager("Reload")
            found = self.client.link("up0")
            self.assertEqual((found["State"], found["ReceiveMode"][0]), ("active", value))
            self.assertIn(("receive", value), found["Applied"])
            self.assertEqual(found["Warnings"], [])
        self.client.manager("Deactivate", "up0")
        self.assertEqual(self.client.link("up0")["ReceiveMode"], ("", ""))

    def test_match_by_type(self):
        self.profile("all", "[Match]\nType=ether\n[X-Underpass]\nTunnel=yes\nLocalPorts=443\n")
        self.profile("never", "[Match]\nType=wwan\n[X-Underpass]\nMSS=1000\n")
        self.start()
        for name in ("up0", "up0-peer"):
            found = self.wait_state(name, "active")
            self.assertEqual((found["LocalPorts"], found["MSS"]), ([(443, 443)], 0))

    def test_activate_and_deactivate(self):
        self.tunnel("up0")
        self.start()
        link = self.client.manager("GetLink", "up0")
        self.wait_state("up0", "active")
        self.assertEqual(self.client.manager("Deactivate", "up0"), ())
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["Applied"], found["Programs"]), ("off", [], []))
        self.assertEqual(self.client.properties(ROOT, MANAGER)["SegmentationDevice"], ("", ""))
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "off", "kept off by Deactivate")
        self.assertEqual(self.client.manager("Activate", "up0"), link)
        self.assertEqual(self.client.link("up0")["State"], "active")
        self.assertEqual(self.client.manager("Activate", "up0"), link, "a second time")
        self.assertEqual(self.client.call(link[0], LINK, "Deactivate"), ())
        self.assertEqual(self.client.link("up0")["State"], "off")
        self.assertEqual(self.client.call(link[0], LINK, "Activate"), ())
        self.assertEqual(self.client.link("up0")["State"], "active")

    def test_errors_of_calls(self):
        self.start()
        message = self.assert_fails(NOTHING_TO_DO, self.client.manager, "Activate", "up0")
        self.assertTrue(message, "the reason is told")
        for method in ("Activate", "Deactivate"):
            message = self.assert_fails(NO_SUCH_LINK, self.client.manager, method, "up7")
            self.assertIn("up7", message)

    def test_deactivate_all(self):
        self.add_link("up1")
        self.tunnel("up0")
        self.tunnel("up1")
        self.start()
        for name in ("up0", "up1"):
            self.wait_state(name, "active")
        self.assertEqual(self.client.manager("DeactivateAll"), (2,))
        for name in ("up0", "up1"):
            self.assertEqual(self.client.link(name)["State"], "off")
        self.assertEqual(self.client.manager("DeactivateAll"), (0,))
        self.client.manager("Activate", "up1")
        self.assertEqual(self.client.manager("DeactivateAll"), (1,))

    def test_a_tunnel_that_stays_is_told(self):
        """The fake tunnel takes a file of that name for programs that cannot be detached."""
        self.add_link("up1")
        self.tunnel("up0")
        self.tunnel("up1")
        self.start(f"--pins={self.folder}")
        for name in ("up0", "up1"):
            self.wait_state(name, "active")
        stuck = self.folder / "stuck"
        stuck.touch()
        up0 = self.client.manager("GetLink", "up0")[0]
        reason = "The tunnel cannot be detached from up0: Device or resource busy."
        for _ in range(2):
            self.assertEqual(self.assert_fails(FAILED, self.client.manager, "Deactivate", "up0"), reason)
            self.assertEqual(self.assert_fails(FAILED, self.client.call, up0, LINK, "Deactivate"), reason)
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["LastError"]), ("failed", reason))
        message = self.assert_fails(FAILED, self.client.manager, "DeactivateAll")
        self.assertIn("Tunnels that were detached: 0; links on which that failed: 2, the first of them up", message)
        self.assertIn("Device or resource busy.", message)
        stuck.unlink()
        self.client.manager("Deactivate", "up0")
        stuck.touch()
        message = self.assert_fails(FAILED, self.client.manager, "DeactivateAll")
        self.assertIn("detached: 0; links on which that failed: 1, the first of them up1: The tunnel cannot", message)
        told = self.client.properties(ROOT, MANAGER)["Messages"]
        self.assertIn(message, told, "and can be translated")
        stuck.unlink()
        self.assertEqual(self.client.manager("DeactivateAll"), (1,))
        self.assertEqual(self.client.link("up1")["State"], "off")

    def test_reload(self):
        self.start()
        self.tunnel("up0")
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "active", "done when Reload answers")
        path = self.tunnel("up0", "Tunnel=yes", "RemotePorts=80")
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["RemotePorts"], [(80, 80)])
        path.unlink()
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "off")

    def test_forget(self):
        """Each link of the fake tunnel knows one destination from its first attachment until it forgets."""
        self.add_link("up1")
        self.tunnel("up0")
        self.tunnel("up1")
        self.start()
        for name in ("up0", "up1"):
            self.wait_state(name, "active")
        self.assertEqual(self.client.forget("up0", "192.0.2.1", 443), 0, "another destination")
        self.assertEqual(self.client.forget("up0", "", 443), 0, "another port")
        self.assertEqual(self.client.forget("up0"), 1)
        self.assertEqual(self.client.forget("up0"), 0, "a second time")
        self.assertEqual(self.client.forget(), 1, "that of up1")
        self.assertIn("up7", self.assert_fails(NO_SUCH_LINK, self.client.forget, "up7"))
        for text in ("host", "192.0.2", "192.0.2.1:443", "[::1]", "fe80::1%up0"):
            self.assertIn(text, self.assert_fails(DBUS_ERROR + "InvalidArgs", self.client.forget, "", text))

    def test_deactivate_forgets(self):
        self.tunnel("up0")
        self.start()
        self.wait_state("up0", "active")
        self.client.manager("Activate", "up0")
        self.client.manager("Reload")
        self.client.manager("Deactivate", "up0")
        self.assertEqual(self.client.forget(), 0)

    def test_files_are_told_of(self):
        """By Reload, by ListFiles for everybody, and by the log once: also those that no link has."""
        self.tunnel("up0")
        self.profile("lone", "[Match]\nName=ghost\n[X-Underpass]\nTunnel=no\n")
        self.profile("typo", "[Match]\nNames=up0\n[X-underpass]\nTunnel=yes\n")
        lone, typo = (next(self.folder.rglob(name)) for name in ("lone.conf", "typo.conf"))
        stray = lone.with_name("stray")
        stray.write_text("[X-Underpass]\n")
        self.start()
        self.wait_state("up0", "active")
        for method in ("Reload", "ListFiles"):
            files, messages = self.client.manager(method)
            found = {path: (complaints, links) for path, complaints, links in files if path.startswith(str(lone.parent))}
            self.assertEqual(found[str(lone)], ([], []))
            self.assertEqual([links for _, links in found.values() if links], [["up0"]])
            wrong = " ".join(found[str(typo)][0])
            for words in ('no key "Names"', "did you mean [X-Underpass]?", "nothing is set", "no condition"):
                self.assertIn(words, wrong)
            sentence = f"{stray} is ignored: the name of a profile file ends in .conf. Move it to {stray}.conf."
            self.assertEqual(found[str(stray)], ([sentence], []))
            self.assertEqual(messages[sentence][1], [str(stray), str(stray)])
        log = self.log.read_text()
        for words in (sentence, f"{lone} matches no link that is there now.", 'no key "Names"'):
            self.assertEqual(log.count(words), 1, log)

    def test_another_network_forgets(self):
        """So does a profile with other settings; what stays the same does not."""
        for name, change in (
            ("same", lambda: self.client.manager("Reload")),
            ("settings", lambda: self.tunnel("up0", "Tunnel=yes", "RemotePorts=80")),
            ("address", lambda: ip("address", "add", "198.51.100.8/24", "dev", "up0")),
            ("gateway", lambda: ip("route", "replace", "default", "via", "192.0.2.254")),
            ("gateway6", lambda: ip("-6", "route", "replace", "default", "via", "fe80::2", "dev", "up0")),
        ):
            with self.subTest(name):
                ip("address", "flush", "dev", "up0", "scope", "global")
                ip("address", "add", "192.0.2.7/24", "dev", "up0")
                ip("route", "replace", "default", "via", "192.0.2.1")
                ip("-6", "route", "replace", "default", "via", "fe80::1", "dev", "up0")
                self.tunnel("up0")
                self.start()
                self.wait_state("up0", "active")
                self.quiet("up0")
                change()
                if name == "address":
                    ip("address", "delete", "192.0.2.7/24", "dev", "up0")
                self.client.manager("Reload")
                self.assertEqual(self.client.forget(), name == "same")
                self.stop()
                wait_until(lambda: not self.owner(), "the name is free")

    def test_dispatcher_scripts(self):
        self.start()
        self.tunnel("up0")
        self.assertEqual(self.client.manager("Dispatch", "up0", "pre-up", "uuid"), ())
        self.assertEqual(self.client.link("up0")["State"], "active", "in place when pre-up is answered")
        self.client.manager("Deactivate", "up0")
        self.assertEqual(self.client.manager("Dispatch", "up0", "dhcp4-change", "uuid"), ())
        self.assertEqual(self.client.link("up0")["State"], "off", "a lease does not undo Deactivate")
        self.client.manager("Dispatch", "up0", "pre-up", "uuid")
        self.assertEqual(self.client.link("up0")["State"], "active", "an activation does")
        for action in ("up", "reapply", "pre-down", "down", "changed", "", "no such action", "\x1b[31m"):
            self.assertEqual(self.client.manager("Dispatch", "up0", action, ""), ())
            self.assertEqual(self.client.manager("Dispatch", "vanished", action, ""), ())

    def test_changes_are_announced(self):
        self.start()
        path = self.client.manager("GetLink", "up0")[0]
        self.client.manager("Reload")
        before = self.client.properties(path)
        self.client.changes(path)
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "MTU=1400")
        self.client.manager("Reload")
        wait_until(lambda: len(self.client.signals) > 0, "PropertiesChanged")
        after = self.client.properties(path)
        announced = self.client.changes(path)
        differing = {name for name in after if after[name] != before[name]} - {"Counters"}
        self.assertGreater(differing, {"State", "Tunnel", "RemotePorts", "MTU", "Applied"})
        self.assertEqual(set(announced), differing)
        self.assertEqual({name: after[name] for name in announced}, announced)
        self.assertNotIn("Counters", announced)

    def test_silence(self):
        """Nothing is announced when nothing has changed."""
        self.tunnel("up0")
        self.start()
        path = self.client.manager("GetLink", "up0")[0]
        self.wait_state("up0", "active")
        self.client.manager("Reload")
        self.client.changes(path)
        for _ in range(3):
            self.client.manager("Reload")
        self.assertEqual(self.client.changes(path), {})

    def test_vanishes_while_active(self):
        self.tunnel("up0")
        self.start()
        self.wait_state("up0", "active")
        ip("link", "del", "up0")
        wait_until(lambda: self.client.manager("ListLinks")[0] == [], "the link is gone")
        self.assertEqual(self.client.properties(ROOT, MANAGER)["SegmentationDevice"], ("", ""))
        self.add_link("up0")
        self.wait_state("up0", "active")

    def test_mtu_and_back(self):
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "MTU=1400")
        self.start()
        self.wait_state("up0", "active")
        self.assertEqual(mtu("up0"), 1400)
        self.assertLessEqual(
            {("mtu", "1400"), ("mtu-original", "1500")}, set(self.client.link("up0")["Applied"])
        )
        self.client.manager("Deactivate", "up0")
        self.assertEqual(mtu("up0"), 1500)


class BadProfiles(harness.ServiceTest):
    """A value that cannot be taken: the link stays as it is, and says why."""

    def setUp(self):
        super().setUp()
        self.add_link("up0")

    def assert_refused(self, path, line, *words):
        """Link up0 has failed because of this line; the error names these words."""
        message = self.assert_fails(FAILED, self.client.manager, "Activate", "up0")
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["LastStage"]), ("failed", "profile"))
        self.assertEqual(found["LastError"], message)
        for word in (f"{path}:{line}", *words):
            self.assertIn(word, message)
        return found

    def test_values(self):
        self.start()
        for key, value, *words in [
            ("RemotePorts", "0"),
            ("RemotePorts", "70000"),
            ("RemotePorts", "a-b"),
            ("RemotePorts", "9-5"),
            ("RemotePorts", ",".join(str(port) for port in range(1, 20001, 2)), "…"),
            ("LocalPorts", "443;80"),
            ("RemoteAddresses", "192.0.2.0/33"),
            ("FirewallMark", "0x100000000"),
            ("MPTCPOnly", "perhaps"),
            ("MSS", "70000"),
            ("MTU", "67"),
            ("MTU", "-1"),
            ("MPTCPEndpoint", "everything"),
            ("Tunnel", "\x1b[31mred", "\\x1b"),
        ]:
            with self.subTest(key=key, value=value[:20]):
                path = self.profile("up0", f"[Match]\nName=up0\n[X-Underpass]\n{key}={value}\n")
                words = words or [value]
                found = self.assert_refused(path, 4, key, *words)
                self.assertLess(len(found["LastError"]), 1000)
                self.assertNotIn("\x1b", found["LastError"])
                self.assertEqual((found["Applied"], mtu("up0")), ([], 1500))

    def test_not_utf8(self):
        self.start()
        path = self.profiles / "up0.conf"
        path.write_bytes(b"[Match]\nName=up0\n[X-Underpass]\nTunnel=\xff\xfe\n")
        self.assert_refused(path, 4, "UTF-8")

    def test_unknown_key(self):
        self.start()
        path = self.profile("up0", "[Match]\nName=up0\n[X-Underpass]\nRemotePort=443\n")
        self.assert_refused(path, 4, "RemotePort", "RemotePorts")

    def test_what_is_attached_stays(self):
        """A slip of the pen takes no running tunnel down, and mending it is enough."""
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "MTU=1400")
        self.start()
        before = self.wait_state("up0", "active")["Applied"]
        path = self.tunnel("up0", "Tunnel=yes", "RemotePorts=44x", "MTU=1300")
        self.client.manager("Reload")
        found = self.assert_refused(path, 5, "44x")
        self.assertEqual((found["Applied"], mtu("up0")), (before, 1400))
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=80")
        self.client.manager("Reload")
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["LastError"], found["LastStage"]), ("active", "", ""))
        self.assertEqual(mtu("up0"), 1500)

    def test_refused_by_the_kernel(self):
        """An MTU that the device does not take: what was attached before is taken off again, and another link
        is not held up."""
        kind = ["link", "up0", "name", "upper", "type", "macvlan"]
        if subprocess.run(["ip", "link", "add", *kind], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("no macvlan in this kernel")
        self.tunnel("up0")
        self.tunnel("upper", "Tunnel=yes", "RemotePorts=443", "MTU=1600")
        self.start()
        message = self.assert_fails(FAILED, self.client.manager, "Activate", "upper")
        found = self.client.link("upper")
        self.assertEqual((found["State"], found["LastStage"]), ("failed", "mtu"))
        self.assertEqual(found["LastError"], message)
        self.assertIn("1600", message)
        self.assertEqual((found["Applied"], found["Programs"], mtu("upper")), ([], [], 1500))
        self.wait_state("up0", "active")

    def test_huge_file(self):
        self.start()
        self.profile("up0", "[Match]\nName=up0\n[X-Underpass]\n" + "# " + "x" * 200_000 + "\n")
        self.assert_fails(NOTHING_TO_DO, self.client.manager, "Activate", "up0")
        self.assertIn("cannot be read", " ".join(self.client.link("up0")["Warnings"]))

    def test_files_that_are_none(self):
        """A FIFO, a device or a folder holds nobody up and harms no other file."""
        self.tunnel("up0")
        os.mkfifo(self.profiles / "a.conf")
        (self.profiles / "b.conf").symlink_to("/dev/zero")
        (self.profiles / "c.conf").mkdir()
        (self.profiles / "d.conf").symlink_to("/dev/null")
        self.start()
        found = self.wait_state("up0", "active")
        ours = [warning for warning in found["Warnings"] if str(self.profiles) in warning]
        self.assertEqual(len(ours), 3, ours)
        for name, warning in zip("abc", ours):
            self.assertIn(f"{self.profiles}/{name}.conf is not a regular file", warning)
        self.client.manager("Reload")

    def test_broken_file(self):
        """A file that cannot be read any more takes no tunnel down, whatever is wrong with it, and no other link cares.
        When it is in order again, what it says counts; and when it is gone, so is the tunnel."""
        self.add_link("up1")
        self.tunnel("up1")
        path = self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "MTU=1400")
        good = path.read_text()
        self.start()
        before = self.wait_state("up0", "active")["Applied"]
        self.wait_state("up1", "active")

        def write(text):
            return lambda: path.write_bytes(text)

        for name, spoil, sentence in [
            ("too large", write(good.encode() + b"# " + b"x" * 65536), "cannot be read"),
            ("a FIFO", lambda: (path.unlink(), os.mkfifo(path)), "is not a regular file"),
            ("a folder", path.mkdir, "is not a regular file"),
            ("a loop", lambda: path.symlink_to(path.name), "cannot be read"),
            ("no UTF-8", write(b"[M\xe4tch]\n"), "is not valid UTF-8"),
            ("half of it", write(b"[Match\nName=up0\n"), ":1: "),
            ("no section", write(b"tunnel please\n"), ":1: "),
            ("a slip", write(good.replace("[X-Underpass]", "[X-Underpass").encode()), ":3: "),
        ]:
            with self.subTest(name):
                if spoil not in (path.mkdir,) and path.is_dir():
                    path.rmdir()
                elif name in ("a folder", "a loop", "no UTF-8"):
                    path.rmdir() if path.is_dir() else path.unlink()
                spoil()
                for _ in range(2):
                    self.client.manager("Reload")
                    found = self.client.link("up0")
                    self.assertEqual((found["State"], found["Applied"], mtu("up0")), ("failed", before, 1400))
                    self.assertIn(sentence, found["LastError"])
                    self.assertIn(str(path), found["LastError"])
                    self.assertEqual(self.client.link("up1")["State"], "active")
        path.write_text(good.replace("1400", "1350"))
        self.client.manager("Reload")
        self.assertEqual((self.client.link("up0")["State"], mtu("up0")), ("active", 1350))
        path.unlink()
        self.client.manager("Reload")
        self.assertEqual((self.client.link("up0")["State"], mtu("up0")), ("off", 1500))

    def test_files_of_others(self):
        """What others can change is not used; a warning names the file and says what to do. A tunnel that the file
        has asked for before stays as it is, and so does its error until the file is in order again."""
        path = self.tunnel("up0")
        path.chmod(0o666)
        self.start()
        self.client.manager("Reload")
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["Applied"]), ("off", []))
        self.assertIn(f"{path} can be changed by its group or by everybody", " ".join(found["Warnings"]))
        path.chmod(0o644)
        self.client.manager("Reload")
        applied = self.wait_state("up0", "active")["Applied"]
        for what, mode in ((path, 0o664), (path, 0o646), (self.profiles, 0o777)):
            before = what.stat().st_mode & 0o777
            what.chmod(mode)
            self.client.manager("Reload")
            found = self.client.link("up0")
            self.assertEqual((found["State"], found["Applied"]), ("failed", applied))
            self.assertIn(f"{what} can be changed by its group or by everybody", found["LastError"])
            what.chmod(before)
            self.client.manager("Reload")
            self.assertEqual(self.client.link("up0")["State"], "active")

    def test_file_in_the_place_of_another(self):
        """A file that cannot be used replaces one of the same name in the folder of the vendor all the same, and does
        not take away what that one has asked for."""
        self.tunnel("up0")
        path = self.folder / "etc/up0.conf"
        path.parent.mkdir()
        self.start(f"--profiles={path.parent}")  # after that of the vendor
        applied = self.wait_state("up0", "active")["Applied"]

        def others():
            path.write_text("[Match]\nName=up0\n[X-Underpass]\nTunnel=no\n")
            path.chmod(0o664)

        for make, words in (
            (others, "can be changed by its group"),
            (path.mkdir, "is not a regular file"),
            (lambda: path.write_bytes(b"[Match]\nName=\xff\n[X-Underpass]\nTunnel=no\n"), "is not valid UTF-8"),
            (lambda: path.write_text("[Match\nName=up0\n[X-Underpass]\nTunnel=no\n"), f"{path}:1: "),
        ):
            with self.subTest(words):
                make()
                for _ in range(2):
                    self.client.manager("Reload")
                    found = self.client.link("up0")
                    self.assertEqual((found["State"], found["Applied"]), ("failed", applied))
                    self.assertIn(str(path), found["LastError"])
                    self.assertIn(words, found["LastError"])
                (path.rmdir if path.is_dir() else path.unlink)()
                self.client.manager("Reload")
                self.assertEqual(self.client.link("up0")["State"], "active")
        # Another name says nothing about it, and an empty file in order takes it away.
        path.with_name("up00.conf").touch()
        path.with_name("up00.conf").chmod(0o664)
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "active")
        path.touch()
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "off")

    def test_nul_in_a_file(self):
        path = self.profiles / "a.conf"
        path.write_bytes(b"[Match]\nName=up0\n[X-Underpass]\nTunnel=yes\0\nRemotePorts=443\n")
        self.start()
        error = self.wait_state("up0", "failed")["LastError"]
        self.assertEqual(error, f"{path}:4: the line contains a NUL byte; remove it, or save the file as UTF-8.")
        path.write_bytes(b"[Match]\nName=up0\n[X-Underpass]\nRemotePorts=443\xff\n; \0\n")
        self.client.manager("Reload")
        self.assertIn(":4: \"RemotePorts=443\\xff\" is not valid UTF-8", self.client.link("up0")["LastError"])

    def test_warnings_of_an_earlier_profile(self):
        """When another profile cannot be applied, what was wrong with the one before is no news any more."""
        self.tunnel("up0", "Tunnel=yes", "colour", "RemotePorts=443")
        self.start()
        self.assertIn(":5: ", " ".join(self.wait_state("up0", "active")["Warnings"]))
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", "MTU=1", "shape")
        self.client.manager("Reload")
        found = self.wait_state("up0", "failed")
        self.assertIn(":7: ", " ".join(found["Warnings"]))
        self.assertNotIn(":5: ", " ".join(found["Warnings"]))

    def test_odd_names(self):
        """Names of files reach neither the bus nor the journal as they are."""
        path = os.fsencode(self.profiles) + b"/\x1b[31m\xff\n<0>.conf"
        with open(path, "wb") as file:
            file.write(b"[Match]\nName=up0\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\nnonsense\n")
        self.start()
        found = self.wait_state("up0", "active")
        shown = f"{self.profiles}/\\x1b[31m\\xff\\x0a<0>.conf"
        self.assertIn(("tunnel", "yes", "file", f"{shown}:4"), found["Settings"])
        self.assertIn(f"{shown}:6", " ".join(found["Warnings"]))
        self.assertNotIn("\x1b", self.log.read_text())

    def test_failure_class(self):
        """The helper of these tests tells errors apart."""
        self.start()
        with self.assertRaises(Failure) as caught:
            self.client.manager("NoSuchMethod")
        self.assertEqual(caught.exception.name, DBUS_ERROR + "UnknownMethod")


if __name__ == "__main__":
    harness.main()
