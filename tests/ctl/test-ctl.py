#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl against a mock of the service on a private bus.

Usage: test-ctl.py UNDERPASSCTL XML
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

from gi.repository import Gio, GLib

from mocked import HERE, NAME, MockedTest

import interrupts  # noqa: E402  pylint: disable=wrong-import-position


class CtlTest(MockedTest):
    """Runs the command as a person would."""

    def ctl(self, *arguments, status=0, **environment):
        """Runs the command; (standard output, standard error)."""
        variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        result = subprocess.run(
            [self.program, *arguments],
            env={**variables, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, err = result.stdout.decode(), result.stderr.decode()
        self.assertEqual(result.returncode, status, f"{arguments}: {out}{err}")
        return out, err

    def json(self, *arguments):
        """Runs the command with --json; the document."""
        out, err = self.ctl("--json", *arguments)
        self.assertEqual(err, "")
        return json.loads(out)

    def error(self, *arguments, status):
        """Runs the command that fails; standard error. Also with --json, which must say the same."""
        out, err = self.ctl(*arguments, status=status)
        json_out, json_err = self.ctl(*arguments, "--json", status=status)
        document = json.loads(json_err)
        self.assertEqual(document["exit_status"], status)
        self.assertEqual("".join(f"underpassctl: {line}\n" for line in document["error"].splitlines()), err)
        self.assertTrue(json_out == "" or json.loads(json_out) == {"links": []}, json_out)
        self.assertEqual(out, "")
        return err

    def keys(self):
        """Names of all keys."""
        return self.ctl("keys", "--names")[0].split()

    def key_properties(self):
        """(name, signature) of the properties that data/org.underpass1.xml has for keys: Tunnel and all
        behind it."""
        tree = xml.etree.ElementTree.parse(self.xml)
        found = tree.findall(f"interface[@name='{NAME}.Link']/property")
        names = [each.get("name") for each in found]
        return [(each.get("name"), each.get("type")) for each in found[names.index("Tunnel") :]]

    def calls(self):
        """Takes the lines that the mock has logged."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines


class CommandLine(CtlTest):
    """What needs no service."""

    service = False

    def test_help(self):
        out, _ = self.ctl("--help")
        for verb in [
            "status",
            "explain",
            "flows",
            "forget",
            "probe",
            "keys",
            "activate",
            "deactivate",
            "reload",
            "profile show",
            "profile set",
            "profile unset",
        ]:
            self.assertRegex(out, rf"\n  {verb} +[A-Z]")
            verb_help, _ = self.ctl(*verb.split(), "--help")
            self.assertIn(f" {verb}", verb_help)
            self.assertLessEqual(max(map(len, verb_help.splitlines())), 80, verb_help)
        for code in range(6):
            self.assertRegex(out, rf"\n  {code}  [a-z]")
        self.assertLessEqual(max(map(len, out.splitlines())), 80, out)
        self.assertEqual(self.ctl("-h")[0], out)
        self.assertIn("profile unset", self.ctl("profile", "--help")[0])
        self.assertIn("--reapply", self.ctl("profile", "set", "--help")[0])
        self.assertNotIn("--reapply", out)

    def test_version(self):
        self.assertRegex(self.ctl("--version")[0], r"^underpassctl [0-9]+\.[0-9]+\.[0-9]+\n$")

    def test_wrong_use(self):
        for arguments in [
            ["bogus"],
            ["profile"],
            ["profile", "bogus"],
            ["explain"],
            ["explain", "a", "b"],
            ["reload", "a"],
            ["keys", "a", "b"],
            ["flows", "a", "b"],
            ["forget", "a", "192.0.2.1", "b"],
            ["forget", "--all"],
            ["profile", "set", "a"],
            ["activate"],
            ["deactivate"],
            ["deactivate", "--all", "lte0"],
            ["status", "--names"],
            ["flows", "--all"],
            ["keys", "--bogus"],
            ["keys", "--values"],
        ]:
            with self.subTest(arguments):
                self.error(*arguments, status=2)

    def test_keys(self):
        rows = self.json("keys")["keys"]
        self.assertEqual([row["key"] for row in rows], self.keys())
        self.assertEqual(
            [(row["file_key"], row["dbus_signature"]) for row in rows],
            self.key_properties(),
            "keys (got) and the properties of org.underpass1.Link from Tunnel on (wanted)",
        )
        for row in rows:
            self.assertEqual(row["user_data_key"], "underpass." + row["key"])
        self.assertEqual(rows[1]["user_data_key"], "underpass.remote-ports")
        self.assertEqual(rows[1]["file_key"], "RemotePorts")
        self.assertEqual(rows[5]["default"], "yes")
        out, _ = self.ctl("keys")
        for row in rows:
            self.assertIn(row["help"], out)
            self.assertIn(row["allowed"], out)
        self.assertEqual(self.ctl("keys", "tunnel", "--values")[0].split(), ["no", "yes", "auto", "on-demand"])
        self.assertEqual(self.ctl("keys", "KeepAlive", "--values")[0], "no\n")
        self.assertEqual(self.ctl("keys", "remote-ports", "--values")[0], "")
        self.assertEqual(self.json("keys", "underpass.mptcp-only")["keys"][0]["keywords"], ["yes", "no"])
        for name in ["mss", "underpass.mss", "MSS"]:
            self.assertEqual([row["key"] for row in self.json("keys", name)["keys"]], ["mss"])

    def test_unknown_key(self):
        self.assertIn("“remote-ports”?", self.error("keys", "remote-prots", status=5))
        self.assertIn("underpassctl keys", self.error("keys", "zzzzzzzz", status=5))
        self.assertNotIn("\x1b", self.error("keys", "\x1b[31mred", status=5))

    def test_no_service(self):
        for arguments in [["status"], [], ["explain", "lte0"], ["flows"], ["activate", "lte0"], ["reload"]]:
            with self.subTest(arguments):
                self.assertIn("Underpass is not running", self.error(*arguments, status=3))
        self.assertIn("NetworkManager is not running", self.error("profile", "show", "LTE", status=3))

    def test_no_bus(self):
        nowhere = "unix:path=/nonexistent/bus"
        _, err = self.ctl("status", status=3, DBUS_SYSTEM_BUS_ADDRESS=nowhere)
        self.assertIn("Cannot connect to the system bus", err)
        _, err = self.ctl("profile", "show", "LTE", status=3, DBUS_SYSTEM_BUS_ADDRESS=nowhere)
        self.assertIn("Cannot connect to NetworkManager", err)

    def test_output_lost(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([self.program, "keys"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"Cannot write the output", result.stderr)


class Reading(CtlTest):
    """The verbs that show something."""

    def test_status(self):
        out, _ = self.ctl("status")
        self.assertEqual(out, self.ctl()[0])
        lines = out.splitlines()
        self.assertEqual(lines[0], "Underpass 0.1.0, kernel 6.12.1")
        self.assertRegex(lines[2], "^LINK +STATE +PROFILE +TUNNEL +REMOTE PORTS +LOCAL PORTS +SENT +RECEIVED$")
        self.assertRegex(lines[3], "^wlan0 +waiting ")
        self.assertRegex(lines[4], "^lte0 +active .* yes +443,8000-8080 +- +12034 +9007199254740993$")
        self.assertRegex(lines[5], "^eth1 +failed +- +yes +- +443 +0 +0$")
        self.assertIn("lte0: warning: Port 443 is held", out)
        self.assertIn("eth1: error (attach): The attach point is taken.", out)
        self.assertIn("2 links without a tunnel are not shown", lines[-1])
        self.assertNotIn("\x1b", out)

    def test_status_width(self):
        lines = self.ctl("status", "--no-legend")[0].splitlines()
        columns = [lines[1].index(" yes ") + 1, lines[0].index(" no ") + 1]
        # The name of the profile has one wide character, which takes two columns.
        self.assertEqual(columns[0] + 1, columns[1])

    def test_status_all(self):
        out, _ = self.ctl("status", "--all")
        self.assertIn("\nidle0 ", out)
        self.assertNotIn("not shown", out)
        names = [link["interface"] for link in self.json("status", "--all")["links"]]
        others = ["plain0", "blocked0", "demand0", "filtered0", "refused0", "a$(b)'c“é"]
        self.assertEqual(names, ["idle0", "idle1", "wlan0", "lte0", "eth1", *others])

    def test_status_of_links(self):
        names = [link["interface"] for link in self.json("status", "eth1", "idle0")["links"]]
        self.assertEqual(names, ["idle0", "eth1"])
        err = self.error("status", "eth1", "ghost", "spook", status=4)
        self.assertIn("“ghost”", err)
        self.assertIn("“spook”", err)

    def test_status_json(self):
        document = self.json("status")
        self.assertEqual(document["manager"]["segmentation_device"], {"kind": "bridge", "interface": "underpass-br"})
        self.assertEqual(
            document["manager"]["segmentation_devices_skipped"][0], {"kind": "netkit", "reason": "the kernel has none"}
        )
        self.assertEqual(document["manager"]["features"], {"tcx": True, "netkit": False})
        self.assertEqual(document["manager"]["sources"][1], {"name": "NetworkManager", "available": False})
        link = document["links"][1]
        self.assertEqual(link["connection"]["id"], "Ж本\x1b[31m")
        self.assertEqual(link["settings"][1]["key"], "remote-ports")
        self.assertEqual(link["settings"][1]["value"], "443,8000-8080")
        self.assertEqual(link["counters"]["received"], 2**53 + 1)
        self.assertEqual(link["programs"], [{"attach_point": "tcx ingress", "program": "underpass_in"}])
        self.assertEqual(len(link["warnings"]), 1)
        self.assertEqual(
            {
                "receive_mode",
                "interface",
                "interface_index",
                "type",
                "state",
                "reason",
                "settings",
                "connection",
                "connection_settings",
                "tunnel_profile",
                "applied",
                "programs",
                "warnings",
                "last_error",
                "last_stage",
                "counters",
            },
            set(link),
        )

    def test_explain(self):
        out, _ = self.ctl("explain", "lte0")
        self.assertTrue(
            out.startswith("lte0 (type wwan, index 7): active\nlte0 is active in this test.\n"), out
        )
        self.assertRegex(out, r"remote-ports +443,8000-8080 +NetworkManager +LTE \(")
        self.assertRegex(out, r"connection.mptcp-flags +disabled")
        self.assertNotIn("underpass_in", out)
        self.assertRegex(self.ctl("explain", "lte0", "--verbose")[0], r"tcx ingress +underpass_in")
        self.assertRegex(out, r"sent +12034  TCP segments that left as UDP")
        self.assertNotIn("pass-port", out)
        self.assertIn("Port 443 is held by another UDP socket.\\x0aSecond line.", out)
        self.assertIn("underpassctl flows lte0", out)
        self.assertNotIn("\x1b", out)

    def test_no_name_makes_a_line(self):
        """Whatever is typed, or is the name of something: each line of an error is one of the command's, and none is endless."""
        forged = "a\nunderpassctl: All is well.\x1b[31m"
        for words, status in (([forged], 2), (["profile", forged], 2), (["check", forged], 4), (["explain", forged], 4),
                              (["probe", forged], 5), (["verify", forged], 1), ([f"--{forged}"], 2), (["keys", forged], 5),
                              (["forget", forged], 4), (["activate", forged], 4)):  # fmt: skip
            with self.subTest(words):
                _, err = self.ctl(*words, status=status)
                self.assertEqual(len(err.splitlines()), 1, err)
                self.assertIn("\\x0aunderpassctl: All is well.\\x1b[31m", err)
        for words, status in ((["x" * 5000], 2), (["profile", "x" * 5000], 2), (["check", "x" * 5000], 4)):
            self.assertLess(len(self.ctl(*words, status=status)[1]), 300)

    def test_links_that_look_like_options(self):
        """Behind "--" they are links, as printed commands have them."""
        for verb in ("explain", "activate", "deactivate", "forget", "flows", "check", "status"):
            with self.subTest(verb):
                self.assertIn("There is no link “--all”", self.ctl(verb, "--", "--all", status=4)[1])

    def test_output_needs_a_file(self):
        """Nothing is written to a name that is none."""
        for words in (["--output="], ["--output", ""]):
            self.assertIn("--output needs the name of a file.", self.ctl("metrics", *words, status=2)[1])

    def test_explain_advice(self):
        for name, words in [
            ("eth1", "bpftool net show dev eth1"),
            ("a$(b)'c“é", "`ip -d link show dev 'a$(b)'\\''c“é'` prints its range"),
            ("wlan0", "mptcp-endpoint=subflow"),
            ("idle0", "/etc/underpass"),
            ("idle1", "underpassctl profile set uuid 11111111-"),
            ("plain0", "Nothing: MPTCP options have passed on plain0"),
            ("lte0", "See the warnings; `underpassctl flows lte0`"),
            ("demand0", "No connection has used the tunnel of demand0 yet"),
            ("blocked0", "2 destinations of blocked0 do not answer over UDP"),
            ("blocked0", "local-ports"),
            ("filtered0", "A firewall on the path to 1 destination of filtered0 refuses UDP"),
            ("filtered0", "Have the firewall let UDP to this port pass"),
            ("refused0", "2 destinations of refused0 say that nothing takes UDP at these ports"),
            ("refused0", "Set up Underpass there"),
        ]:
            with self.subTest(name):
                out, _ = self.ctl("explain", name)
                self.assertIn(words, out.splitlines()[-1])
                self.assertIn(words, self.json("explain", name)["advice"])
        self.assertIn("The attach point is taken. (stage: attach)", self.ctl("explain", "eth1")[0])

    def test_explain_bulk_form(self):
        for name, state, words in [
            ("lte0", "unused", "none was faster than 300 Mbit/s with a peer that runs Underpass"),
            ("refused0", "unused", "none has sent much at once to a peer that runs Underpass"),
            ("plain0", "unused", "the bulk form does not arrive"),
            ("blocked0", "used", "(datagrams: 70 sent, 8 received)"),
            ("demand0", "off", "Every connection has the classic form: bulk=no."),
            ("filtered0", "unused", "the veth pair, the segmentation device of this link"),
        ]:
            with self.subTest(name):
                lines = self.ctl("explain", name)[0].splitlines()
                self.assertIn(words, lines[lines.index("Bulk form") + 1])
                form = self.json("explain", name)["bulk_form"]
                self.assertEqual(form["state"], state)
                self.assertIn(words, form["reason"])
        self.assertNotIn("Bulk form", self.ctl("explain", "idle0")[0])

    def test_explain_destinations(self):
        lines = self.ctl("explain", "blocked0")[0].splitlines()
        start = lines.index("Destinations")
        self.assertEqual(
            lines[start + 1 : start + 5],
            [
                "  198.51.100.7:443    UDP gets no answer, plain TCP for 9 min",
                "  [2001:db8::7]:8443  MPTCP stripped, tunnelled for 58 min",
                "  198.51.100.8:443    UDP gets no answer, plain TCP for 119 s",
                "",
            ],
        )
        self.assertNotIn("Destinations", self.ctl("explain", "lte0")[0])
        self.assertEqual(self.json("explain", "lte0")["destinations"], [])
        self.assertEqual(len(self.json("explain", "blocked0")["destinations"]), 3)

    def test_explain_json(self):
        document = self.json("explain", "lte0")
        self.assertEqual(document["link"]["interface"], "lte0")
        self.assertIn({"name": "sent", "help": "TCP segments that left as UDP."}, document["counter_help"])

    def test_flows(self):
        lines = self.ctl("flows")[0].splitlines()
        self.assertRegex(
            lines[1],
            r"^lte0 +tunnelled +192.0.2.1:40000 +198.51.100.7:443 +this host +2 min +850 ms +1522 +22 +[0-9]+\.1 MB +850 B$",
        )
        # Three attempts to reach one destination are one row.
        self.assertRegex(
            lines[2],
            r"^lte0 +half-open, 5 tries +\[2001:db8::1\]:40002 +\[2001:db8::7\]:443 +this host +9 s +40 ms +5 +0 +0 B +0 B$",
        )
        self.assertRegex(lines[3], r"^eth1 +tunnelled .* peer +2 h +61 s +9 +1099511627776 +5 B +1125.9 TB$")
        self.assertRegex(lines[4], r"^#99 ")
        self.assertRegex(
            lines[5], r"^plain0 +plain +192.0.2.3:40002 +198.51.100.8:443 +this host +90 ms +90 ms +1 +0 +0 B +0 B$"
        )
        flows = self.json("flows", "eth1")["flows"]
        self.assertEqual(len(flows), 1)
        self.assertEqual(flows[0]["remote_port"], 50000)
        self.assertEqual(flows[0]["opened_here"], False)
        self.assertEqual(self.ctl("flows", "wlan0")[0], "No connections are tunnelled.\n")
        self.assertEqual(self.json("flows", "wlan0"), {"flows": [], "destinations": []})
        self.error("flows", "ghost", status=4)

    def test_flows_json(self):
        """Amounts, and attempts that were made one."""
        first, tries = self.json("flows")["flows"][:2]
        self.assertEqual((first["segments_sent"], first["bytes_received"], first["attempts"]), (1522, 850, 1))
        self.assertEqual((first["bytes_per_second_sent"], first["bytes_per_second_received"]), (0, 0))
        self.assertEqual((tries["attempts"], tries["syns"], tries["local_port"], tries["age_ms"]), (3, 5, 40002, 9000))

    def test_flows_as_all_documents(self):
        """Rows are printed one by one, and look as in the documents of other verbs, which JSON-GLib writes as a whole."""

        def pretty(text):
            return json.dumps(json.loads(text), indent=2, separators=(",", " : "), ensure_ascii=False) + "\n"

        for arguments in (["status"], ["flows"], ["flows", "eth1"], ["flows", "demand0"], ["flows", "wlan0"]):
            with self.subTest(arguments):
                text = self.ctl("--json", *arguments)[0]
                self.assertEqual(text, pretty(text))
        for line in self.watch("--watch=0.1", "--json", lines=2):
            plain = json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False)
            self.assertEqual(line, plain + "\n")

    def watch(self, *arguments, lines):
        """The first lines of what goes on until it is ended, by nobody else."""
        process = subprocess.Popen(
            [self.program, "flows", "lte0", *arguments],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": self.address},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            found = [process.stdout.readline() for _ in range(lines)]
            process.kill()
        return found

    def test_watch(self):
        """1 MB more each time; the first look has no rate yet."""
        began = time.monotonic()
        looks = [json.loads(line)["flows"] for line in self.watch("--watch", "0.5", "--json", lines=3)]
        self.assertGreaterEqual(time.monotonic() - began, 1)
        self.assertEqual(looks[0][0]["bytes_per_second_sent"], 0)
        for each in looks[1:]:
            self.assertGreater(each[0]["bytes_per_second_sent"], 500000)
            self.assertLess(each[0]["bytes_per_second_sent"], 2100000)
            self.assertEqual(each[0]["bytes_per_second_received"], 0)
        lines = self.watch("--watch=0.5", lines=8)
        self.assertRegex(lines[0], "SENDS +RECEIVES +SENT +RECEIVED$")
        self.assertRegex(lines[1], r" 0\.0 Mbit/s +0\.0 Mbit/s +1522 +22$")
        self.assertEqual(lines[3], "\n")
        self.assertRegex(lines[5], r" [0-9]+\.[0-9] Mbit/s +0\.0 Mbit/s +1522 +22$")
        self.assertNotRegex(lines[5], r" 0\.0 Mbit/s +0\.0 Mbit/s")
        began = time.monotonic()
        self.watch("--watch", lines=5)
        self.assertGreaterEqual(time.monotonic() - began, 2)

    def test_watch_wrong(self):
        for value in ["0", "-1", "0.01", "1e9", "nan", "x", "0.0.0"]:
            with self.subTest(value):
                self.error("flows", f"--watch={value}", status=2)
        self.assertIn("between 0.1 and", self.error("flows", "--watch", "0.001", status=2))
        self.error("status", "--watch", status=2)

    def test_destinations(self):
        lines = self.ctl("flows")[0].splitlines()[6:]
        self.assertEqual(lines[0], "")
        self.assertRegex(lines[1], r"^LINK +DESTINATION +STATE$")
        self.assertRegex(lines[2], r"^blocked0 +198.51.100.7:443 +UDP gets no answer, plain TCP for 9 min$")
        self.assertRegex(
            lines[3], r"^blocked0 +\[2001:db8::7\]:8443 +MPTCP stripped, tunnelled for 58 min$"
        )
        self.assertRegex(lines[4], r"^blocked0 +198.51.100.8:443 +UDP gets no answer, plain TCP for 119 s$")
        # A state of a later version, and in the end a link that has just gone.
        self.assertRegex(lines[5], r"^demand0 +198.51.100.7:443 +moonstruck, 7 s$")
        self.assertRegex(lines[7], r"^filtered0 +198.51.100.6:443 +no MPTCP there, not tunnelled for 20 s$")
        self.assertRegex(lines[8], r"^filtered0 +198.51.100.8:443 +UDP refused by a firewall, plain TCP for 20 s$")
        self.assertRegex(
            lines[10], r"^refused0 +198.51.100.8:443 +UDP refused by the destination, plain TCP for 20 s$"
        )
        self.assertRegex(lines[12], r"^#98 +198.51.100.7:443 +UDP gets no answer, plain TCP for 1 s$")
        self.assertEqual(len(lines), 13)

        lines = self.ctl("flows", "demand0")[0].splitlines()
        self.assertEqual(lines[:2], ["No connections are tunnelled.", ""])
        self.assertEqual(len(lines), 4)
        self.assertEqual(
            self.json("flows", "demand0"),
            {
                "flows": [],
                "destinations": [
                    {
                        "interface": "demand0",
                        "interface_index": 24,
                        "remote_address": "198.51.100.7",
                        "remote_port": 443,
                        "state": "moonstruck",
                        "seconds_left": 7,
                    }
                ],
            },
        )

    def test_unknown_link(self):
        for verb in ["explain", "activate", "deactivate"]:
            with self.subTest(verb):
                self.assertIn("There is no link “ghost”", self.error(verb, "ghost", status=4))

    def test_not_utf8(self):
        _, err = self.ctl("explain", b"\xff\xfe", status=4)
        self.assertIn("valid UTF-8", err)

    def test_no_legend(self):
        lines = self.ctl("flows", "--no-legend")[0].splitlines()
        self.assertEqual((lines.index(""), len(lines)), (5, 17))
        self.assertEqual(len(self.ctl("flows", "--no-legend", "demand0")[0].splitlines()), 1)
        self.assertTrue(self.ctl("status", "--no-legend")[0].startswith("wlan0"))

    def test_verbose(self):
        lines = self.ctl("status", "--verbose")[0].splitlines()
        self.assertEqual(
            lines[0], "Underpass 0.1.0, kernel 6.12.1, attach point tcx, segmentation device bridge (underpass-br)"
        )
        self.assertEqual(lines[1], "Unavailable segmentation devices: netkit: the kernel has none; vlan: lte0 is odd")
        self.assertRegex(lines[3], "^LINK .* RECEIVED +ATTACH POINT$")
        self.assertRegex(lines[5], "^lte0 +active .* 9007199254740993 +tcx$")

    def test_width(self):
        """Rows of tables fit the width that COLUMNS tells; without it, and in a pipe, nothing is cut."""
        for width in (70, 80, 200):
            for verb in (["status"], ["flows"]):
                rows = self.ctl(*verb, COLUMNS=str(width))[0].splitlines()
                rows = [row for row in rows if re.match(r"[a-z]+\d +[a-z]|LINK", row)]
                self.assertTrue(rows)
                self.assertLessEqual(max(map(len, rows)), width, f"{verb} {width}: {rows}")
        self.assertIn("…", self.ctl("status", COLUMNS="70")[0])
        self.assertNotIn("…", self.ctl("status", COLUMNS="bogus")[0].partition("warning")[0])
        self.assertEqual(self.ctl("status", COLUMNS="0")[0], self.ctl("status")[0])

    def test_charset(self):
        """Where the charset is not UTF-8, quotes are those of ASCII."""
        _, err = self.ctl("keys", "tunel", status=5, LC_ALL="C")
        self.assertEqual(err, 'underpassctl: There is no key "tunel"; did you mean "tunnel"?\n')
        self.assertNotIn("?", self.ctl("--help", LC_ALL="C")[0])
        self.assertNotIn("?", self.ctl("keys", LC_ALL="C")[0])
        self.assertIn("...", self.ctl("status", LC_ALL="C", COLUMNS="70")[0])
        json.loads(self.ctl("keys", "--json", LC_ALL="C")[0])

    def test_colour_only_on_a_terminal(self):
        import pty

        master, slave = pty.openpty()
        environment = {"PATH": "/usr/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        try:
            for extra, coloured in [
                ({"TERM": "xterm"}, True),
                ({"TERM": "dumb"}, False),
                ({}, False),
                ({"TERM": "xterm", "NO_COLOR": "1"}, False),
                ({"TERM": "xterm", "NO_COLOR": ""}, True),
            ]:
                subprocess.run(
                    [self.program, "flows"], env={**environment, **extra}, stdout=slave, check=True
                )
                text = os.read(master, 65536)
                while text.count(b"\n") < 5:
                    text += os.read(master, 65536)
                self.assertEqual(b"\x1b[32m" in text, coloured, extra)
        finally:
            os.close(master)
            os.close(slave)


class Doubt(CtlTest):
    """A link that is attached, and does not work."""

    def test_status(self):
        """It is not shown in the colour of one that works, and why stands below the table."""
        import pty

        master, slave = pty.openpty()
        environment = {"PATH": "/usr/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        try:
            arguments = [self.program, "status", "--no-legend"]
            subprocess.run(arguments, env={**environment, "TERM": "xterm"}, stdout=slave, check=True)
            # All of it is there, in pieces as it was written.
            os.set_blocking(master, False)
            text = ""
            with contextlib.suppress(BlockingIOError):
                while piece := os.read(master, 65536).decode():
                    text += piece
        finally:
            os.close(master)
            os.close(slave)
        self.assertRegex(text, "lte0 +\x1b\\[32mactive")
        self.assertRegex(text, "refused0 +\x1b\\[33mactive")
        self.assertIn("refused0: does not work: 2 destinations", text)


class Document(CtlTest):
    """The names of members in the JSON and in the manual are the same."""

    # Members whose own members are names of something else: counters, features, properties, keys.
    FREE = {"counters", "features", "labels", "mtu", "settings", "requested"}

    def names(self, value):
        """All names of members in a document."""
        if isinstance(value, list):
            return {name for item in value for name in self.names(item)}
        if not isinstance(value, dict):
            return set()
        inner = [self.names(item) for name, item in value.items() if name not in self.FREE or isinstance(item, list)]
        return set(value).union(*inner)

    @contextlib.contextmanager
    def monitored(self, locale="C.UTF-8"):
        """The monitor while it runs: a function that returns what it prints up to a look and the last signal of the
        mock, from where it was called before."""
        words = [self.program, "monitor", "--json"]
        environment = {"PATH": "/usr/bin", "LC_ALL": locale, "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        with subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            watchdog = threading.Timer(20, process.kill)
            watchdog.start()

            def read():
                found = []
                while not any("links" in each for each in found) or not any("left_out" in each for each in found):
                    line = process.stdout.readline()
                    self.assertTrue(line, f"it has told no more than {found}")
                    found.append(json.loads(line))
                return found

            try:
                yield read
                process.terminate()
                process.communicate(timeout=10)
            finally:
                watchdog.cancel()
                process.kill()
        self.assertEqual(process.returncode, 0)

    def monitor(self, locale="C.UTF-8"):
        """What it prints up to the last signal of the mock."""
        with self.monitored(locale) as read:
            return read()

    def test_events_of_subflows(self):
        self.json("status")  # starts the mock, which the monitor waits for
        events = [each for each in self.monitor() if each.get("event") == "subflow"]
        place = {"local_address": "192.0.2.10", "local_port": 43210, "remote_address": "2001:db8::2", "remote_port": 443}
        first, second, third = events
        name = first["interface"]
        sentence = f"{name}: subflow with [2001:db8::2]:443"
        self.assertEqual(first, {"event": "subflow", "sentence": f"{sentence} established", "interface": name,
                                 "change": "established", **place, "errno": 0})
        self.assertEqual(second, {"event": "subflow", "sentence": f"{sentence} closed: Connection timed out",
                                  "interface": name, "change": "closed", **place, "errno": 110})
        self.assertEqual(third, {"event": "subflow", "sentence": f"{name}: 7 more changes of subflows",
                                 "interface": name, "left_out": 7})

    def queue(self, connection):
        """Who has the name of the service, or waits for it."""
        arguments = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ListQueuedOwners")
        reply = connection.call_sync(*arguments, GLib.Variant("(s)", (NAME,)), None, Gio.DBusCallFlags.NONE, -1, None)
        return reply.unpack()[0]

    def test_monitor_hears_the_next_service(self):
        """One that takes the name over between two looks, as after a quick restart."""
        self.json("status")
        words = [sys.executable, "-B", HERE / "mock_service.py", self.xml, self.log]
        with subprocess.Popen(words, env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}) as heir:
            try:
                connection = self.bus.connect()
                while len(self.queue(connection)) < 2:
                    self.assertIsNone(heir.poll())
                    time.sleep(0.02)
                self.calls()
                with self.monitored() as read:
                    read()
                    self.ctl("activate", "vanish", status=3)
                    events = read()
                self.assertEqual(self.calls().count("Subscribe"), 2)
            finally:
                heir.terminate()
        self.assertIn({"event": "service", "sentence": "Underpass answers"}, events)

    def test_utf8(self):
        """In any locale: a quote as ASCII has it would end a string, and “?” is no name."""
        for verb in (["status", "--all"], ["explain", "a$(b)'c“é"], ["keys"], ["metrics"], ["profile", "list"]):
            with self.subTest(verb):
                self.assertEqual(self.ctl(*verb, "--json", LC_ALL="C"), self.ctl(*verb, "--json"))
        looks = [each for each in self.monitor(locale="C") if "links" in each]
        self.assertIn("a$(b)'c“é", [link["interface"] for link in looks[0]["links"]])

    def test_manual(self):
        manual = (HERE.parents[1] / "data/man/underpassctl.1.rst").read_text(encoding="utf-8")
        section = manual.partition("\nJSON\n")[2].partition("\nEXAMPLES\n")[0]
        documented = set(re.findall(r"``(\w+)``", section)) - {"null", "silent", "refused", "filtered", "stripped"}
        documented -= {"throttled", "good", "bad", "note", "silence", "answered", "helps", "closed", "unreached"}
        documented -= {"subflow", "established", "upload", "download", "measured", "stalled", "alike", "unknown"}
        verbs = [["status"], ["explain", "blocked0"], ["flows"], ["keys"], ["deactivate", "--all"]]
        verbs += [["metrics"], ["forget", "lte0"]]
        printed = {name for verb in verbs for name in self.names(self.json(*verb))}
        printed |= self.names(json.loads(self.ctl("check", "--json", status=1)[0])) - {"good"}
        printed |= self.names(json.loads(self.ctl("reload", "--json", status=1)[0]))
        printed |= self.names(json.loads(self.ctl("probe", "127.0.0.1:1", "lo", "--rate", "--json", status=1)[0]))
        printed |= set(json.loads(self.ctl("explain", "ghost", "--json", status=4)[1]))
        printed |= self.names(self.monitor()) | {"retransmissions"}  # of connections that exist: lab/monitor asks
        self.assertEqual(printed - documented, set())
        # The rest belongs to profiles, which need NetworkManager: test-ctl-profile.py asks for it.
        profiles = set(re.findall(r"``(\w+)``", section.partition("\nverify\n")[2]))
        self.assertEqual(documented - printed - profiles, set())


class Changing(CtlTest):
    """The verbs that change something."""

    def test_activate_and_deactivate(self):
        self.calls()
        out, _ = self.ctl("activate", "wlan0", "lte0")
        self.assertIn("wlan0: active. ", out)
        self.assertIn("lte0: warning: Port 443", out)
        self.assertEqual(
            [call for call in self.calls() if call.startswith("A")], ["Activate wlan0", "Activate lte0"]
        )
        links = self.json("deactivate", "wlan0")["links"]
        self.assertEqual([(link["interface"], link["state"]) for link in links], [("wlan0", "off")])

    def test_one_bad_link_keeps_no_other(self):
        out, err = self.ctl("activate", "ghost", "lte0", "broken", status=4)
        self.assertIn("lte0: active", out)
        self.assertIn("There is no link “ghost”", err)
        self.assertIn("broken: the mock says no", err)

    def test_all(self):
        self.calls()
        self.assertEqual(self.ctl("deactivate", "--all")[0], "The tunnels of 2 links were detached.\n")
        self.assertEqual(self.calls(), ["DeactivateAll"])
        self.assertEqual(self.json("deactivate", "--all"), {"deactivated_links": 2})

    def test_a_tunnel_that_stays(self):
        """Of one link, which keeps no other; then of all."""
        out, err = self.ctl("deactivate", "broken", "wlan0", status=1)
        self.assertIn("wlan0: off", out)
        self.assertEqual(err, "underpassctl: broken: the mock says no\n")
        self.assertEqual(self.error("deactivate", "--all", status=1), "underpassctl: the mock says no\n")
        self.ctl("activate", "broken", status=1)
        self.ctl("deactivate", "--all")

    def test_reload(self):
        self.calls()
        out, err = self.ctl("reload", status=1)
        self.assertIn("All profiles were read again; active links: 6, failed links: 2.\n", out)
        errors = ["eth1 failed: The attach point is taken.", "a$(b)'c“é failed: It is odd.", "2 files have something wrong."]
        self.assertEqual(err, "".join(f"underpassctl: {error}\n" for error in errors))
        self.assertEqual(self.calls()[0], "Reload")
        self.assertEqual(
            out.splitlines()[1:],
            [
                "/etc/underpass/lone.conf: matches no link that is there now.",
                "/etc/underpass/lte is ignored: the mock says so.",
                "/etc/underpass/typo.conf:2: bad.",
                "/etc/underpass/typo.conf:3: worse.",
                "/etc/underpass/typo.conf: matches lte0, wlan0.",
            ],
        )
        document = json.loads(self.ctl("reload", "--json", status=1)[0])
        self.assertEqual(len(document["links"]), 11)
        self.assertEqual(document["files"][0], {"file": "/etc/underpass/eth.conf", "complaints": [], "matches": ["eth1"]})
        self.assertEqual([len(file["complaints"]) for file in document["files"]], [0, 0, 1, 2])

    def test_refused(self):
        self.assertIn("only root", self.error("activate", "private", status=1))
        for words in (("activate", "private"), ("activate", "asked"), ("forget", "asked")):
            self.assertIn("with sudo", self.error(*words, status=1))
        self.assertIn("password", self.error("deactivate", "asked", status=1))
        self.assertEqual(
            self.error("activate", "broken", status=1), "underpassctl: broken: the mock says no\n"
        )

    def test_service_ends(self):
        self.assertIn("did not answer", self.error("activate", "vanish", status=3))
        begin = time.monotonic()
        self.ctl("status")  # the bus starts it again
        self.assertLess(time.monotonic() - begin, 10)


class Forgetting(CtlTest):
    """The verb forget; each call of it leaves the mock with less."""

    def remembered(self):
        """(interface, address, port) of what the mock still knows."""
        return [
            (row["interface"], row["remote_address"], row["remote_port"])
            for row in self.json("flows")["destinations"]
        ]

    def test_forget(self):
        before = self.remembered()
        self.assertEqual(len(before), 11)
        self.calls()
        self.assertEqual(self.ctl("forget", "lte0")[0], "0 destinations were forgotten.\n")
        self.assertEqual(self.ctl("forget", "blocked0", "198.51.100.7:80")[0], "0 destinations were forgotten.\n")
        self.assertEqual(self.remembered(), before)
        self.assertEqual(self.ctl("forget", "blocked0", "198.51.100.7")[0], "1 destination was forgotten.\n")
        self.assertEqual(self.ctl("forget", "blocked0", "[2001:db8::7]:8443")[0], "1 destination was forgotten.\n")
        self.assertEqual(self.json("forget", "blocked0"), {"forgotten_destinations": 1})
        self.assertEqual(self.json("forget", "blocked0"), {"forgotten_destinations": 0})
        self.assertEqual(self.json("forget"), {"forgotten_destinations": 8})
        self.assertEqual(self.remembered(), [])
        self.assertEqual(
            [call for call in self.calls() if call.startswith("Forget")],
            [
                "Forget lte0  0",
                "Forget blocked0 198.51.100.7 80",
                "Forget blocked0 198.51.100.7 0",
                "Forget blocked0 2001:db8::7 8443",
                "Forget blocked0  0",
                "Forget blocked0  0",
                "Forget   0",
            ],
        )

    def test_addresses(self):
        for address, sent in (
            ("192.0.2.1", "192.0.2.1 0"),
            ("192.0.2.1:443", "192.0.2.1 443"),
            ("2001:db8::7", "2001:db8::7 0"),
            ("[2001:db8::7]", "2001:db8::7 0"),
            ("::1", "::1 0"),
        ):
            self.calls()
            self.ctl("forget", "lte0", address)
            self.assertEqual(self.calls(), [f"Forget lte0 {sent}"])
        for address in (
            *("", "host", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:https", "192.0.2.1:+1"),
            *("192.0.2.1:1:2", "[192.0.2.1]:443", "[2001:db8::7", "[2001:db8::7]443", "2001:db8::7]:443", "[]", ":443"),
        ):
            with self.subTest(address):
                self.assertIn("is not an address", self.error("forget", "lte0", address, status=5))
        self.assertEqual(self.calls(), [])

    def test_errors(self):
        self.assertIn("There is no link “ghost”", self.error("forget", "ghost", status=4))
        self.assertIn("only root", self.error("forget", "private", "192.0.2.1", status=1))
        self.assertIn("did not answer", self.error("forget", "vanish", status=3))
        self.ctl("forget", b"\xff\xfe", status=4)


class Netplan(CtlTest):
    """A NetworkManager that loses user.data, as it does where it stores profiles through netplan."""

    service = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start_manager(cls.log)

    def test_lost_keys(self):
        _, err = self.ctl("profile", "set", "LTE", "tunnel=yes", "remote-ports=443,8000-8080", status=1)
        self.assertIn("netplan", err)
        lines = [
            "[Match]",
            "UUID=11111111-2222-3333-4444-555555555555",
            "[X-Underpass]",
            "RemotePorts=443,8000-8080",
            "Tunnel=yes",
        ]
        self.assertEqual(err.splitlines()[1:], ["  " + line for line in lines])
        self.assertEqual(
            [call for call in self.calls() if call.startswith("Update2")], ["Update2 keys=2 flags=65"]
        )
        self.assertEqual(self.json("profile", "show", "LTE")["profile"]["settings"], {})

    def test_update_fails(self):
        _, err = self.ctl("profile", "set", "LTE", "mss=1111", status=1)
        self.assertEqual(err, "underpassctl: LTE: the disk is full\n")


if __name__ == "__main__":
    CtlTest.program, CtlTest.xml = (os.path.abspath(path) for path in sys.argv[1:3])
    interrupts.main(argv=sys.argv[:1])
