#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""NetworkManager's tunnel profiles as a source of settings: which of them is for which link, edits, faults.

Usage: test-nm-tunnels.py UNDERPASSD-FAKE [TEST…]
"""

import os
import pathlib
import struct

from gi.repository import GLib

import harness
import mock_nm
from harness import PATIENCE, wait_until
from mock_nm import UUID, connection, tunnel
from tunnel_test import TunnelTest

KEYS = {"tunnel": "yes", "remote_ports": "443"}
SILENT = "org.freedesktop.DBus.Error.NoReply"  # what the library says when nobody has answered in time
ALICE = {"permissions": GLib.Variant("as", ["user:alice:"])}


class ProfilesTest(TunnelTest):
    """Tunnel profiles come and go."""

    def add(self, name="LTE-tunnel", link="LTE", **settings):
        """A tunnel profile with a tunnel; its path."""
        return self.nm.add_profile(tunnel(name, {"link": link, **KEYS}, **settings))

    def warnings(self):
        """The warnings of the link, as one text."""
        return "\n".join(self.client.link("up0")["Warnings"])

    def wait_warning(self, *words):
        """Waits until the warnings have all these words."""
        wait_until(lambda: all(word in self.warnings() for word in words), f"warnings: {words}")


class Links(ProfilesTest):
    """Which link a tunnel profile is for."""

    def test_names_of_a_link(self):
        for link in ("LTE", UUID, "up0", "up*", "u?[0-9]"):
            with self.subTest(link):
                path = self.add(link=link)
                self.start()
                found = self.wait_state("up0", "active")
                self.assertEqual(found["Connection"], ("LTE", UUID))
                self.assertEqual(found["TunnelProfile"][0], "LTE-tunnel")
                origin = f"LTE-tunnel ({found['TunnelProfile'][1]})"
                self.assertIn(("remote-ports", "443", "tunnel-profile", origin), found["Settings"])
                self.assertEqual(found["Warnings"], [])
                self.stop()
                self.nm.remove_profile(path)

    def test_other_links(self):
        self.add_link("up1")
        self.nm.add_device("up1", connection("WLAN"))
        for number, link in enumerate(("lte", "LTE*", "WLAN", "up1", "", "*1")):
            self.add(f"tunnel {number}", link)
        self.nm.add_profile(tunnel("without", KEYS))
        self.start()
        self.wait_state("up1", "active")
        self.assertEqual(self.client.link("up0")["State"], "off")
        self.assertEqual(self.client.link("up0")["TunnelProfile"], ("", ""))

    def test_interface_name(self):
        """Instead of link=, which counts more."""
        for link, interface, state in ((None, "up0", "active"), ("WLAN", "up0", "off"), ("LTE", "up1", "active")):
            with self.subTest(link=link, interface=interface):
                data = {**KEYS, "link": link} if link else KEYS
                named = {"interface-name": GLib.Variant("s", interface)}
                path = self.nm.add_profile(tunnel("T", data, connection=named))
                self.start()
                self.wait_state("up0", state)
                self.stop()
                self.nm.remove_profile(path)

    def test_not_active(self):
        """A link without an active profile has no tunnel profile, either."""
        self.add(link="up0")
        self.nm.deactivate("up0")
        self.start()
        self.wait_state("up0", "off")
        self.nm.activate("up0", connection("LTE"))
        self.wait_state("up0", "active")

    def test_most_exact_name(self):
        paths = []
        for link, port in (("up*", "1"), ("up0", "2"), ("LTE", "3"), (UUID, "4")):
            paths.append(self.nm.add_profile(tunnel(f"T{port}", {**KEYS, "link": link, "remote_ports": port})))
        self.start()
        for port in ("4", "3", "2", "1"):
            wait_until(
                lambda port=port: self.client.link("up0")["RemotePorts"] == [(int(port), int(port))],
                f"port {port}",
            )
            self.assertEqual("are both for" in self.warnings(), len(paths) > 2)  # a glob is for the rest
            self.nm.remove_profile(paths.pop())
        self.wait_state("up0", "off")

    def test_two_for_one_link(self):
        """The choice does not depend on the order in which they are told."""
        low, high = ("33333333-3333-4444-5555-000000000001", "33333333-3333-4444-5555-000000000002")
        for order in ((low, high), (high, low)):
            paths = [self.add(uuid, uuid=uuid) for uuid in order]
            self.start()
            self.assertEqual(self.wait_state("up0", "active")["TunnelProfile"], (low, low))
            self.wait_warning(low, high, "up0", "is used")
            self.stop()
            for path in paths:
                self.nm.remove_profile(path)

    def test_profile_of_one_user(self):
        """It decides about links of the same user only."""
        self.add(connection=ALICE)
        self.start()
        self.wait_warning("LTE-tunnel", "one user", "up0")
        self.assertEqual(self.client.link("up0")["State"], "off")
        self.nm.activate("up0", connection("LTE", connection=ALICE))
        self.wait_state("up0", "active")
        self.assertEqual(self.warnings(), "")

    def test_other_vpns(self):
        """Profiles of other VPN types are none of ours, whatever they say."""
        path = self.add()
        other = tunnel("LTE-tunnel", {"link": "LTE", **KEYS})
        other["vpn"]["service-type"] = GLib.Variant("s", mock_nm.NAME + ".openvpn")
        self.start()
        self.wait_state("up0", "active")
        self.nm.update_profile(path, other)
        self.wait_state("up0", "off")


class Settings(ProfilesTest):
    """What tunnel profiles say."""

    def test_lists(self):
        """Elements of lists stand between blanks: nmcli cannot store a comma."""
        data = {"link": "LTE", "tunnel": "yes", "remote_ports": "443 8000-8080", "remote_addresses": "192.0.2.1 ::1"}
        self.nm.add_profile(tunnel("T", data))
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual(found["RemotePorts"], [(443, 443), (8000, 8080)])
        self.assertEqual(sorted(found["RemoteAddresses"]), ["192.0.2.1/32", "::1/128"])

    def test_edit(self):
        """Each edit of a stored profile counts at once."""
        self.start()
        self.assertEqual(self.client.link("up0")["State"], "off")
        path = self.add()
        self.wait_state("up0", "active")
        self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS, "remote_ports": "80"}))
        wait_until(lambda: self.client.link("up0")["RemotePorts"] == [(80, 80)], "another port")
        self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS, "tunnel": "no"}))
        self.wait_state("up0", "off")
        self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS}))
        self.wait_state("up0", "active")
        self.nm.remove_profile(path)
        found = self.wait_state("up0", "off")
        self.assertEqual(found["TunnelProfile"], ("", ""))

    def test_edited_while_it_is_read(self):
        """The last word counts."""
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        self.nm.hold.add("GetSettings")
        self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS, "remote_ports": "80"}))
        wait_until(lambda: self.nm.held, "the profile is asked for")
        self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS, "remote_ports": "81"}))
        self.nm.hold.clear()
        self.nm.release()
        wait_until(lambda: self.client.link("up0")["RemotePorts"] == [(81, 81)], "the last port")

    def test_known_before_the_link(self):
        """No link is asked about before all tunnel profiles are known, so none is attached late."""
        self.add()
        self.nm.hold.add("GetSettings")
        self.start()
        wait_until(lambda: self.nm.held, "the profile is asked for")
        self.assertNotIn("up0", [subject for _, subject in self.nm.calls])
        self.nm.hold.clear()
        self.nm.release()
        self.wait_state("up0", "active")
        self.assertNotIn("off", self.states_heard())

    def test_edited_and_no_answer(self):
        """What was known stands, and NetworkManager is asked again."""
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        self.client.signals.clear()
        for number, answer in enumerate((SILENT, "org.freedesktop.DBus.Error.LimitsExceeded", GLib.Variant("()", ()))):
            with self.subTest(answer):
                asked = len(self.nm.calls)
                self.nm.spoilt["GetSettings"] = answer
                edited = tunnel("LTE-tunnel", {"link": "LTE", **KEYS, "remote_ports": str(80 + number)})
                self.nm.update_profile(path, edited)
                wait_until(lambda asked=asked: len(self.nm.calls) > asked, "the profile is asked for")
                self.client.manager("Reload")
                self.assertEqual(self.states_heard(), [])
                self.nm.spoilt.clear()
                port = 80 + number
                wait_until(lambda port=port: self.client.link("up0")["RemotePorts"] == [(port, port)], "the port")
                self.assertEqual(self.states_heard(), [])

    def test_edited_and_a_late_answer(self):
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        self.client.signals.clear()
        self.nm.hold.add("GetSettings")
        self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS, "remote_ports": "80"}))
        wait_until(lambda: len(self.nm.held) == 2, "the profile is asked for once more")
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.nm.hold.clear()
        self.nm.release()
        wait_until(lambda: self.client.link("up0")["RemotePorts"] == [(80, 80)], "the port")
        self.assertEqual(self.states_heard(), [])

    def test_deleted_while_nobody_answers(self):
        for error in ("org.freedesktop.DBus.Error.UnknownObject", mock_nm.SETTINGS + ".PermissionDenied", None):
            with self.subTest(error):
                path = self.add()
                if not self.process:
                    self.start()
                self.wait_state("up0", "active")
                self.nm.spoilt["GetSettings"] = SILENT
                self.nm.update_profile(path, self.nm.profiles[path])
                self.client.manager("Reload")
                self.assert_active()
                if error:
                    self.nm.spoilt["GetSettings"] = error
                else:
                    self.nm.remove_profile(path)
                self.wait_state("up0", "off")
                self.nm.spoilt.clear()
                if error:
                    self.nm.remove_profile(path)

    def test_bad_value(self):
        """It fails the tunnel, and nothing else: what is attached stays."""
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        for data, words in (
            ({"remote_ports": "70000"}, ("remote-ports=70000", "65535")),
            ({"remote_port": "80"}, ("remote-port", "did you mean remote-ports?")),
            ({"underpass.tunnel": "yes"}, ("underpass.tunnel",)),
        ):
            self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS, **data}))
            found = self.wait_state("up0", "failed")
            for word in (*words, "LTE-tunnel"):
                self.assertIn(word, found["LastError"])
            self.assertTrue(found["Applied"])
            self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS}))
            self.wait_state("up0", "active")

    def test_both_kinds(self):
        """The tunnel profile wins over user.data as a whole, mistakes in it included, and files stay below both."""
        self.profile("id", "[Match]\nConnection=LTE\n[X-Underpass]\nMSS=1000\n")
        self.nm.applied["up0"] = connection("LTE", {"tunnel": "yes", "remote_ports": "70000", "mtu": "1400"})
        path = self.add()
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual((found["RemotePorts"], found["MTU"], found["MSS"]), ([(443, 443)], 0, 1000))
        self.wait_warning("user.data", "LTE-tunnel")
        self.nm.remove_profile(path)
        self.assertIn("underpass.remote-ports", self.wait_state("up0", "failed")["LastError"])

    def test_odd_profiles(self):
        """What harms the link, and what NetworkManager adds to it."""
        path = self.add()
        uuid = self.nm.profiles[path]["connection"]["uuid"].unpack()
        self.nm.applied["up0"] = connection("LTE", connection={"secondaries": GLib.Variant("as", [uuid])})
        self.start()
        self.wait_warning("connection.secondaries", "LTE-tunnel", uuid)
        self.nm.activate("up0", connection("LTE"))
        wait_until(lambda: self.warnings() == "", "no warning")
        for setting, name, value in (
            ("ipv4", "address-data", GLib.Variant("aa{sv}", [{"address": GLib.Variant("s", "192.0.2.1")}])),
            ("ipv6", "dns", GLib.Variant("aay", [b"0123456789abcdef"])),
            ("ipv4", "routes", GLib.Variant("aau", [[1, 2, 3]])),
            ("ipv4", "dns-search", GLib.Variant("as", ["example.org"])),
        ):
            with self.subTest(name):
                odd = tunnel("T", {"link": "LTE", **KEYS}, uuid, **{setting: {name: value}})
                self.nm.update_profile(path, odd)
                self.wait_warning("“T”", "addresses, routes or name servers")
                empty = GLib.Variant(value.get_type_string(), [])
                odd = tunnel("T", {"link": "LTE", **KEYS}, uuid, **{setting: {name: empty}})
                self.nm.update_profile(path, odd)
                wait_until(lambda: self.warnings() == "", "no warning")

    def test_hostile_profile(self):
        name = "\x1b[31m" + "L" * 50_000
        data = {"link": "up0", **KEYS, **{f"key {number}": "x" * 100 for number in range(2000)}}
        self.nm.add_profile(tunnel(name, data, uuid="\x1b[32m" + "u" * 50_000))
        self.start()
        found = self.wait_state("up0", "failed")
        self.assertNotIn("\x1b", found["LastError"])
        self.assertLess(len(found["LastError"]), 1000)
        self.assertNotIn("\x1b", self.log.read_text())


class Hostile(ProfilesTest):
    """Any user may store profiles, and must not keep the service busy, or decide anything, by them."""

    def pairs(self, count=30_000):
        """vpn.data with countless keys."""
        return {"link": "up0", **KEYS, **{f"key{number}": "x" for number in range(count)}}

    def cpu_seconds(self):
        """Processor time of the service since it was started."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_countless_keys(self):
        """They are neither kept nor looked through, once for each link and look."""
        for number in range(3):
            data = self.pairs() if number else self.pairs(100_000)
            self.nm.add_profile(tunnel(f"A{number}", data, connection=ALICE))
        self.add()
        self.start()
        self.wait_state("up0", "active")
        for _ in range(10):
            self.client.manager("Reload")
        self.assertLess(self.cpu_seconds(), PATIENCE / 3)
        self.assert_active()

    def test_countless_keys_of_everybody(self):
        """It is a bad profile: what is attached stays."""
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        uuid = self.nm.profiles[path]["connection"]["uuid"].unpack()
        for data in (self.pairs(), {"link": "up0", **KEYS, "remote_addresses": "::1 " * 50_000}):
            self.nm.update_profile(path, tunnel("LTE-tunnel", data, uuid))
            found = self.wait_state("up0", "failed")
            self.assertIn("LTE-tunnel", found["LastError"])
            self.assertIn("1024 keys", found["LastError"])
            self.assertEqual(found["TunnelProfile"], ("LTE-tunnel", uuid))
            self.assertTrue(found["Applied"])
            self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS}, uuid))
            self.wait_state("up0", "active")

    def test_countless_users(self):
        """However many users a profile belongs to, it does not belong to everybody."""
        for users in ([f"user:u{number}:" for number in range(100_000)], ["user:" + "u" * 100_000 + ":"]):
            several = {"permissions": GLib.Variant("as", users)}
            path = self.add(connection=several)
            if not self.process:
                self.start()
            self.wait_warning("LTE-tunnel", "one user", "up0")
            self.assertEqual(self.client.link("up0")["State"], "off")
            self.nm.remove_profile(path)
            wait_until(lambda: self.warnings() == "", "no warning")

    def test_countless_profiles(self):
        """The first few are told of."""
        for number in range(300):
            self.add(f"A{number}", connection=ALICE, uuid=f"44444444-3333-4444-5555-{number:012d}")
        self.add()
        self.start()
        self.wait_state("up0", "active")
        warnings = self.client.link("up0")["Warnings"]
        self.assertLess(len(warnings), 20)
        self.assertIn("one user", "".join(warnings))


class Restarts(ProfilesTest):
    """NetworkManager goes and comes back."""

    def test_restart(self):
        """Profiles get other paths, and the tunnel stays."""
        self.nm.add_profile(tunnel("first", {"link": "other", **KEYS}))
        self.add()
        self.start()
        self.wait_state("up0", "active")
        self.client.signals.clear()
        for _ in range(2):
            self.nm.stop()
            self.wait_gone()
            self.client.manager("Reload")
            self.nm.start()
            self.wait_back()
            self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()

    def test_gone_meanwhile(self):
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        self.nm.stop()
        self.wait_gone()
        self.assert_active()
        del self.nm.profiles[path]
        self.nm.start()
        self.wait_state("up0", "off")

    def test_no_answer_at_first(self):
        """NetworkManager owns its name before it has objects."""
        self.add()
        self.start()
        self.wait_state("up0", "active")
        self.client.signals.clear()
        self.nm.stop()
        self.wait_gone()
        self.nm.spoilt["ListConnections"] = "org.freedesktop.DBus.Error.UnknownMethod"
        self.nm.start(startup=True)
        self.wait_back()
        self.client.manager("Reload")
        self.nm.spoilt.clear()
        self.nm.finish_startup()
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()

    def test_late_answers(self):
        """What NetworkManager does not say in time, it has not taken back; it is asked again, by the new paths."""
        self.nm.add_profile(tunnel("first", {"link": "other", **KEYS}))
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        self.client.signals.clear()
        self.nm.stop()
        self.wait_gone()
        self.nm.hold.add("GetSettings")
        self.nm.start(startup=True)
        self.wait_back()
        self.nm.finish_startup()
        for _ in range(2):
            self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()
        self.nm.hold.clear()
        path = next(path for path in self.nm.profiles if self.nm.profiles[path]["connection"]["id"].unpack() != "first")
        self.nm.update_profile(path, tunnel("LTE-tunnel", {"link": "LTE", **KEYS, "remote_ports": "80"}))
        wait_until(lambda: self.client.link("up0")["RemotePorts"] == [(80, 80)], "another port")
        self.nm.remove_profile(path)
        self.wait_state("up0", "off")

    def test_late_and_gone(self):
        """A profile that was deleted meanwhile counts until NetworkManager has told of all that there are."""
        self.nm.add_profile(tunnel("first", {"link": "other", **KEYS}))
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        self.nm.stop()
        self.wait_gone()
        del self.nm.profiles[path]
        self.nm.spoilt["GetSettings"] = SILENT
        self.nm.start()
        self.wait_back()
        self.client.manager("Reload")
        self.assert_active()
        self.nm.spoilt.clear()
        self.wait_state("up0", "off")

    def test_late_at_the_start(self):
        """Links whose tunnel profiles are known do not wait for the others."""
        self.nm.add_profile(tunnel("first", {"link": "other", **KEYS}))
        path = self.add()
        self.nm.mute.add(("GetSettings", path))
        self.add_link("up1")
        self.nm.add_device("up1", connection("other", connection={"uuid": GLib.Variant("s", UUID[:-1] + "6")}))
        self.start()
        self.wait_state("up1", "active")
        self.assertEqual(self.client.link("up0")["State"], "off")
        self.nm.mute.clear()
        self.wait_state("up0", "active")

    def test_not_undone_before_all_are_known(self):
        """What an earlier service has set stays while a profile that is not known yet may ask for it: here a port of
        SCTP, as the record of that service has it."""
        sysctls, pins = self.folder / "sysctls", self.folder / "pins"
        for folder in (sysctls, pins):
            folder.mkdir()
        (sysctls / "udp_port").write_text("9899\n")
        (sysctls / "encap_port").write_text("0\n")
        (pins / "sctp").write_bytes(struct.pack("=4H4H2I", 1, 7000, 9899, 0, 0, 0, 0, 0, 1, 0))
        path = self.nm.add_profile(tunnel("T", {"link": "LTE", "sctp_udp_port": "9899"}))
        self.nm.mute.add(("GetSettings", path))
        self.start(f"--sctp-sysctls={sysctls}", f"--pins={pins}")
        self.wait_back()
        for _ in range(2):
            self.client.manager("Reload")
        self.assertEqual((sysctls / "udp_port").read_text(), "9899\n")
        self.nm.mute.clear()
        wait_until(lambda: self.client.link("up0")["TunnelProfile"][0] == "T", "the profile is known")
        self.assertEqual((sysctls / "udp_port").read_text(), "9899\n")
        self.nm.remove_profile(path)
        wait_until(lambda: (sysctls / "udp_port").read_text().startswith("7000"), "the port of before")

    def test_no_list(self):
        """The list itself is asked for until it comes."""
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        self.client.signals.clear()
        self.nm.stop()
        self.wait_gone()
        del self.nm.profiles[path]
        self.nm.spoilt["ListConnections"] = SILENT
        self.nm.start()
        self.wait_back()
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()
        self.nm.spoilt.clear()
        self.wait_state("up0", "off")

    def test_leaves_and_stays(self):
        """While there is a tunnel profile the service stays, because an edit of it has to count at once."""
        path = self.nm.add_profile(tunnel("T", {"link": "nothing"}))
        self.start("--idle=1")
        self.assertEqual(self.client.link("up0")["State"], "off")
        begin = GLib.get_monotonic_time()
        wait_until(lambda: GLib.get_monotonic_time() > begin + 2_500_000, "time goes by")
        self.assertIsNone(self.process.poll())
        self.nm.remove_profile(path)
        wait_until(lambda: self.process.poll() is not None, "the service leaves")

    def test_other_programs_signals(self):
        """Only NetworkManager tells of its profiles."""
        path = self.add()
        self.start()
        self.wait_state("up0", "active")
        self.quiet("up0")
        before = len(self.nm.calls)
        removed = GLib.Variant("(o)", (path,))
        self.lie(mock_nm.SETTINGS_PATH, mock_nm.SETTINGS, "ConnectionRemoved", removed)
        self.lie(mock_nm.SETTINGS_PATH, mock_nm.SETTINGS, "NewConnection", removed)
        self.lie(path, mock_nm.PROFILE, "Updated", None)
        self.assertEqual(self.nm.calls[before:], [])
        self.assert_active()


if __name__ == "__main__":
    harness.main()
