#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl profile against a real NetworkManager in namespaces of its own.

Usage: test-ctl-profile.py UNDERPASSCTL      as root; skipped otherwise
"""

import json
import os
import pathlib
import re
from subprocess import PIPE

import nm_host
from nm_host import wait_until

HERE = pathlib.Path(__file__).resolve().parent
PSK = "correct horse battery"
# Holds port 443 until it may end.
UDP_SOCKET = """
import socket
holder = socket.socket(type=socket.SOCK_DGRAM)
holder.bind(("", 443))
print(flush=True)
input()
"""
SETTINGS = "org.freedesktop.NetworkManager.Settings.Connection"


class ProfileTest(nm_host.NmHostTest):
    """Every test makes profiles of its own."""

    def add(self, name, *words, kind="ethernet", save="yes"):
        """Adds a profile that is deleted after the test; its uuid."""
        where = ["ifname", "up0"] if kind == "ethernet" else []
        self.host.run(
            "nmcli",
            "connection",
            "add",
            "save",
            save,
            "type",
            kind,
            "con-name",
            name,
            *where,
            "connection.autoconnect",
            "no",
            "ipv4.method",
            "manual",
            "ipv4.addresses",
            "192.0.2.2/24",
            "ipv6.method",
            "disabled",
            *words,
        )
        lines = self.host.output("nmcli", "-g", "UUID,NAME", "connection", "show").splitlines()
        uuid = [line.partition(":")[0] for line in lines if line.endswith(":" + name)][-1]
        self.addCleanup(lambda: self.host.run("nmcli", "connection", "delete", uuid))
        return uuid

    def file(self, name):
        """Path of a profile's file inside the host."""
        return self.json("show", name)["profile"]["file"]

    def content(self, name):
        """The lines of a profile's file."""
        return self.host.path(self.file(name)).read_text().splitlines()

    def json(self, *arguments):
        """The document that underpassctl profile prints."""
        return json.loads(self.ctl(*arguments, "--json")[0])

    def test_what_was_meant(self):
        """A link's name, and a misspelt profile."""
        self.add("Home LTE")
        self.assertIn("There is no profile “Hme LTE”; did you mean “Home LTE”?", self.ctl("show", "Hme LTE", status=4)[1])
        self.assertIn("`nmcli connection show` lists", self.ctl("set", "quite-another", "tunnel=no", status=4)[1])
        self.assertIn("up0 is a link, not a profile, and no profile is active", self.ctl("set", "up0", "tunnel=no", status=4)[1])
        self.host.run("nmcli", "connection", "up", "Home LTE")
        for verb, words in (("set", ["tunnel=no"]), ("unset", ["tunnel"]), ("show", [])):
            error = self.ctl(verb, "up0", *words, status=4)[1]
            self.assertIn("up0 is a link, not a profile. The profile “Home LTE” is active on it: ", error)
            self.assertIn(f"`underpassctl profile {verb} id 'Home LTE' ...`", error)

    def test_set_show_unset(self):
        uuid = self.add("LTE")
        self.assertEqual(self.json("show", "LTE")["profile"]["settings"], {})
        out, _ = self.ctl("set", "LTE", "tunnel=yes", "underpass.remote-ports=443,8000-8080")
        self.assertIn("“LTE” was changed", out)
        self.assertIn("next: nmcli connection up id LTE", out)
        self.assertIn("underpass.remote-ports=443,8000-8080", self.content("LTE"))
        self.assertEqual(
            self.json("show", "LTE")["profile"]["settings"],
            {"tunnel": "yes", "remote-ports": "443,8000-8080"},
        )
        out, _ = self.ctl("show", "LTE")
        self.assertIn(f"Profile LTE ({uuid})", out)
        self.assertRegex(out, r"remote-ports +443,8000-8080 +profile")
        self.assertRegex(out, r"mptcp-only +yes +default")
        self.assertIn("nothing was changed", self.ctl("set", "LTE", "tunnel=yes")[0])
        self.assertEqual(
            self.json("unset", "LTE", "tunnel", "remote-ports")["requested"],
            {"tunnel": None, "remote-ports": None},
        )
        self.assertNotIn("[user]", self.content("LTE"))

    def test_members_are_in_the_manual(self):
        self.add("manual")
        manual = (HERE.parents[1] / "data/man/underpassctl.1.rst").read_text(encoding="utf-8")
        documented = set(re.findall(r"``(\w+)``", manual.partition("\nprofile show\n")[2].partition("\nerrors\n")[0]))
        changed = self.json("set", "manual", "mss=1000")
        self.assertEqual(set(changed) | set(changed["profile"]), documented - {"null"})
        self.assertEqual(set(self.json("show", "manual")), {"profile", "warnings"})

    def test_survives_restart_of_networkmanager(self):
        self.add("stays")
        self.ctl("set", "stays", "tunnel=yes", "local-ports=443")
        self.host.stop_daemon("manager")
        self.host.start_manager()
        self.assertEqual(
            self.json("show", "stays")["profile"]["settings"], {"tunnel": "yes", "local-ports": "443"}
        )

    def test_secret_survives(self):
        self.add("WLAN", "ssid", "net", "wifi-sec.key-mgmt", "wpa-psk", "wifi-sec.psk", PSK, kind="wifi")
        self.ctl("set", "WLAN", "tunnel=yes", "remote-ports=443")
        self.assertIn(f"psk={PSK}", self.content("WLAN"))
        self.ctl("set", "WLAN", "mss=1300")
        self.ctl("unset", "WLAN", "mss", "--reapply")
        self.assertIn(f"psk={PSK}", self.content("WLAN"))
        secret = self.host.output(
            "nmcli", "-s", "-g", "802-11-wireless-security.psk", "connection", "show", "WLAN"
        )
        self.assertEqual(secret.strip(), PSK)
        self.assertEqual(
            self.json("show", "WLAN")["profile"]["mtu"], {"802-11-wireless.mtu": "auto", "ipv6.mtu": "auto"}
        )

    def test_data_of_others_survives(self):
        self.add("shared")
        self.ctl("set", "shared", "mss=1300")
        path = self.file("shared")
        lines = [
            line + "\norg.example.owner=them" if line == "[user]" else line
            for line in self.content("shared")
        ]
        self.host.write(path, "\n".join(lines) + "\n", mode=0o600)
        self.host.run("nmcli", "connection", "load", path)
        self.ctl("set", "shared", "mss=1200")
        self.ctl("unset", "shared", "mss")
        self.assertIn("org.example.owner=them", self.content("shared"))

    def test_bad_input_changes_nothing(self):
        self.add("bad", "802-3-ethernet.mtu", "1400")
        self.ctl("set", "bad", "mss=1000")
        before = self.content("bad")
        for arguments, words in [
            (["tunel=yes"], ["“tunnel”?"]),
            (["remote-ports=0"], ["port 0"]),
            (["remote-ports=70000"], ["70000", "65535"]),
            (["remote-ports=a-b"], ["a-b"]),
            (["remote-ports=" + ",".join(str(port) for port in range(1, 20001, 2))], ["32"]),
            (["tunnel=yes"], ["remote-ports", "local-ports"]),
            (["mss=9000", "mtu=1500"], ["mss", "mtu"]),
            (["tunnel=maybe", "mtu=99999", "fwmark=x"], ["tunnel=maybe", "mtu=99999", "fwmark=x"]),
            (["remote-ports=\udcff\udcfe"], ["UTF-8"]),
            (["mss=\x1b[31m"], ["mss"]),
        ]:
            with self.subTest(arguments[0][:40]):
                out, err = self.ctl("set", "bad", *arguments, status=5)
                for word in words:
                    self.assertIn(word, err)
                self.assertEqual(out, "")
                self.assertNotIn("\x1b", err)
                self.assertEqual(self.content("bad"), before)
        self.assertIn("KEY=VALUE", self.ctl("set", "bad", "tunnel", status=2)[1])
        self.assertIn("twice", self.ctl("set", "bad", "mss=1000", "underpass.mss=1001", status=2)[1])
        self.assertIn("“mtu”", self.ctl("unset", "bad", "mtuu", status=5)[1])
        self.assertEqual(self.content("bad"), before)

    def test_bad_profile_can_be_mended(self):
        self.add("broken")
        self.host.set_user_data("broken", tunel="yes", mss="0", mtu="1")
        shown = self.json("show", "broken")["profile"]
        self.assertEqual(len(shown["errors"]), 3)
        self.assertIn("error: ", self.ctl("show", "broken")[0])
        self.ctl("set", "broken", "mptcp-only=no", status=5)
        self.assertIn("warning: ", self.ctl("unset", "broken", "tunel")[0])
        self.ctl("set", "broken", "mss=1000", "mtu=1400")
        self.assertEqual(self.json("show", "broken")["profile"]["errors"], [])

    def test_ways_to_name_a_profile(self):
        uuid = self.add("id")
        shown = self.json("show", "id")["profile"]
        name = os.path.basename(shown["file"])
        self.assertEqual(name, "id.nmconnection")
        ways = [
            ["id"],
            ["id", "id"],
            ["uuid", uuid],
            [uuid],
            ["path", shown["dbus_path"]],
            [shown["dbus_path"]],
            ["filename", shown["file"]],
            [shown["file"]],
            [name],
            ["filename", name],
        ]
        for number, arguments in enumerate(ways, 1000):
            with self.subTest(arguments):
                self.ctl("set", *arguments, f"mss={number}")
                found = self.json("show", *arguments)["profile"]
                self.assertEqual((found["uuid"], found["settings"]), (uuid, {"mss": str(number)}))
        self.ctl("show", "uuid", "id", status=4)
        self.ctl("show", "nobody", status=4)
        self.ctl("set", "nobody", "mss=1000", status=4)
        self.ctl("show", "id", "id", "id", status=2)
        self.ctl("show", uuid, "more", status=2)

    def test_completion_of_selectors(self):
        uuid = self.add("completed")
        shown = self.json("show", "completed")["profile"]
        script = (
            f"underpassctl() {{ {self.program} \"$@\"; }}; source {HERE.parents[1]}/data/underpassctl.bash-completion; "
            'COMP_WORDS=(underpassctl profile show "$1" ""); COMP_CWORD=4; _underpassctl; printf "%s\n" "${COMPREPLY[@]}"'
        )
        for selector, value in [
            ("id", "completed"),
            ("uuid", uuid),
            ("path", shown["dbus_path"]),
            ("filename", shown["file"]),
        ]:
            with self.subTest(selector):
                offered = self.host.output("bash", "--norc", "-uc", script, "bash", selector)
                self.assertIn(value, offered.splitlines())

    def test_ambiguous_name(self):
        uuids = [self.add("twin"), self.add("twin")]
        self.assertNotEqual(*uuids)
        for arguments in [["show", "twin"], ["set", "twin", "mss=1000"], ["unset", "id", "twin", "mss"]]:
            _, err = self.ctl(*arguments, status=4)
            for uuid in uuids:
                self.assertIn(uuid, err)
        self.assertEqual(self.json("set", uuids[0], "mss=1000")["next_commands"], [f"nmcli connection up uuid {uuids[0]}"])

    def test_endpoint_of_both(self):
        self.add("my endpoint")
        document = self.json("set", "my endpoint", "tunnel=yes", "local-ports=443", "mptcp-endpoint=subflow")
        command = "nmcli connection modify id 'my endpoint' connection.mptcp-flags disabled"
        self.assertEqual(document["next_commands"], [command, "nmcli connection up id 'my endpoint'"])
        self.assertIn(command, document["warnings"][0])
        self.assertIn(command, self.ctl("show", "my endpoint")[0])
        self.host.run("sh", "-c", command)
        shown = self.json("show", "my endpoint")
        self.assertEqual(
            (shown["profile"]["mptcp_flags_text"], shown["profile"]["mptcp_flags"], shown["warnings"]),
            ("disabled", 1, []),
        )
        self.assertEqual(self.json("set", "my endpoint", "mss=1000")["warnings"], [])

    def test_warnings_of_an_activation(self):
        """What an activation would warn of is said at once: here the MTUs of both, and a port that the kernel gives
        away. A port that a UDP socket shares is nothing to be warned of."""
        self.add("warned", "802-3-ethernet.mtu", "1400")
        command = ["/usr/bin/python3", "-c", UDP_SOCKET]
        with self.host.spawn(command, stdin=PIPE, stdout=PIPE) as process:
            process.stdout.readline()
            warnings = self.json("set", "warned", "tunnel=yes", "local-ports=443,40000", "mtu=1300")["warnings"]
            process.communicate(b"\n")
        self.assertEqual(len(warnings), 2, warnings)
        self.assertIn("local-ports: 40000-40000 overlaps net.ipv4.ip_local_port_range", warnings[0])
        self.assertIn("the connection itself sets an MTU of 1400", warnings[1])
        self.assertEqual(self.json("set", "warned", "tunnel=no")["warnings"], [])

    def applied(self):
        """user.data and the address that the device uses now, as text."""
        device = self.host.output("nmcli", "-g", "GENERAL.DBUS-PATH", "device", "show", "up0").strip()
        return self.host.output(
            "busctl",
            "call",
            "org.freedesktop.NetworkManager",
            device,
            "org.freedesktop.NetworkManager.Device",
            "GetAppliedConnection",
            "u",
            "0",
        )

    def test_reapply(self):
        self.add("live", "802-3-ethernet.mtu", "1400")
        self.host.up("live")
        shown = self.json("show", "live")["profile"]
        self.assertEqual((shown["interfaces"], shown["mtu"]["802-3-ethernet.mtu"]), (["up0"], "1400"))
        self.ctl("set", "live", "tunnel=yes", "remote-ports=4431")
        self.assertNotIn("4431", self.applied())
        document = self.json("set", "live", "remote-ports=4432", "--reapply")
        self.assertEqual((document["reapplied"], document["next_commands"]), (["up0"], []))
        self.assertIn('"underpass.remote-ports" "4432"', self.applied())
        self.assertIn("192.0.2.2/24", self.host.output("ip", "-4", "address", "show", "dev", "up0"))
        self.assertIn("reapplied to up0", self.ctl("set", "live", "remote-ports=4432", "--reapply")[0])
        # A profile that was changed in a way that NetworkManager cannot apply while it is active.
        self.host.run("nmcli", "connection", "modify", "live", "match.kernel-command-line", "!nothing")
        out, err = self.ctl("set", "live", "remote-ports=4433", "--reapply", status=1)
        self.assertIn("“live” was changed", out)
        self.assertIn("Run `nmcli connection up id live`", err)
        self.assertNotIn("4433", self.applied())

    def test_commands_with_any_name(self):
        """What is printed does what it says, for names that nmcli has as words of its own, that are options, and that a terminal
        cannot show."""
        for name in ("id", "path", "help", "h", "--", "-x", "My\nLTE\x1b[31m", "a\"$(b)'c", "\u202eabc", "Дом"):
            with self.subTest(name):
                uuid = self.add("to be named", save="no")
                self.host.run("nmcli", "connection", "modify", "--temporary", uuid, "connection.id", name)
                document = self.json("set", uuid, "tunnel=yes", "local-ports=443", "mptcp-endpoint=subflow")
                save = document["warnings"][1].split("`")[1]
                for command in [save, *document["next_commands"]]:
                    self.host.run("sh", "-c", command)
                shown = self.json("show", uuid)["profile"]
                self.assertEqual((shown["id"], shown["unsaved"], shown["interfaces"]), (name, False, ["up0"]))
                self.assertEqual(shown["mptcp_flags_text"], "disabled")
                words = self.ctl("show", "up0", status=4)[1].split("`")[1].split(maxsplit=3)
                self.assertEqual(words[:3], ["underpassctl", "profile", "show"])
                self.host.run("sh", "-c", f"{self.program} profile show {words[3].removesuffix(' ...')}")

    def test_reapply_of_an_inactive_profile(self):
        self.add("idle")
        document = self.json("set", "idle", "mss=1000", "--reapply")
        self.assertEqual((document["reapplied"], document["next_commands"]), ([], ["nmcli connection up id idle"]))

    def test_profile_in_memory_stays_there(self):
        self.add("fleeting", save="no")
        self.assertTrue(self.json("show", "fleeting")["profile"]["unsaved"])
        document = self.json("set", "fleeting", "mss=1000")
        self.assertIn("in memory only", document["warnings"][0])
        shown = self.json("show", "fleeting")["profile"]
        self.assertEqual((shown["unsaved"], shown["settings"]), (True, {"mss": "1000"}))
        self.assertTrue(shown["file"].startswith("/run/"), shown["file"])
        self.host.run("sh", "-c", document["warnings"][0].split("`")[1])
        shown = self.json("show", "fleeting")["profile"]
        self.assertEqual((shown["unsaved"], shown["settings"]), (False, {"mss": "1000"}))

    def test_saving_keeps_a_name_that_is_not_unique(self):
        uuid, _ = self.add("my twin", save="no"), self.add("my twin", save="no")
        warning = self.json("set", uuid, "mss=1000")["warnings"][0]
        self.host.run("sh", "-c", warning.split("`")[1])
        shown = self.json("show", uuid)["profile"]
        self.assertEqual((shown["id"], shown["unsaved"]), ("my twin", False))

    def test_profile_of_others_is_refused(self):
        self.host.run("ip", "link", "add", "ext0", "type", "bridge")
        self.addCleanup(lambda: self.host.run("ip", "link", "delete", "ext0"))
        self.host.run("ip", "address", "add", "203.0.113.1/24", "dev", "ext0")
        self.host.run("ip", "link", "set", "ext0", "up")
        wait_until(
            lambda: "ext0" in self.host.output("nmcli", "-g", "NAME", "connection", "show", "--active"),
            "NetworkManager mirrors the link",
        )
        self.assertIn("/etc/underpass", self.ctl("set", "ext0", "mss=1000", status=1)[1])

    def test_not_root(self):
        self.add("public")
        self.ctl("set", "public", "mss=1000")
        # The folder of the build may be closed to others, so the program is opened by root.
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        copy = "/run/underpassctl"
        self.host.path(copy).write_bytes(pathlib.Path(self.program).read_bytes())
        self.host.path(copy).chmod(0o755)
        result = self.host.run(*nobody, copy, "profile", "set", "public", "mss=1100", check=False)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("as root", result.stderr)
        result = self.host.run(*nobody, copy, "profile", "show", "--json", "public")
        self.assertEqual(json.loads(result.stdout)["profile"]["settings"], {"mss": "1000"})


class WiredConnection(nm_host.NmHostTest):
    """NetworkManager has made a connection itself, as it does for Ethernet links where nobody has set up one."""

    auto_default = True

    def test_takes_settings(self):
        """It is a profile like any other. nmcli saves it with the first change, and so do we."""
        name = "Wired connection 1"
        before = json.loads(self.ctl("show", name, "--json")[0])
        self.assertEqual((before["profile"]["unsaved"], before["warnings"]), (True, []))
        document = json.loads(self.ctl("set", name, "tunnel=yes", "local-ports=443", "--json")[0])
        self.assertEqual(document["warnings"], [])
        shown = json.loads(self.ctl("show", name, "--json")[0])["profile"]
        self.assertEqual((shown["unsaved"], shown["interfaces"]), (False, ["up0"]))
        self.assertEqual(shown["settings"], {"tunnel": "yes", "local-ports": "443"})
        self.assertTrue(shown["file"].startswith("/etc/"), shown["file"])


if __name__ == "__main__":
    nm_host.main()
