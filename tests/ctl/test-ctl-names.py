#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Links and profiles by the names that people use, the list of profiles, and verbs that people guess. The service is a mock, and so is
NetworkManager, which has two profiles: "LTE", with keys, whose UUID is that of the mock's links, and "Filtered tunnel", a tunnel
profile of one of them.

Usage: test-ctl-names.py UNDERPASSCTL XML [TEST…]
"""

import json
import os
import re
import subprocess
import sys

from mocked import HERE, MockedTest

import interrupts  # noqa: E402  pylint: disable=wrong-import-position

UUID = "11111111-2222-3333-4444-555555555555"


class Names(MockedTest):
    """The mock of NetworkManager is there, too."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start_manager(cls.folder / "manager", "underpass.tunnel=yes", "vpn.link=filtered0", "vpn.tunnel=on-demand")

    def ctl(self, *arguments, status=0, address=None):
        """Runs the command; (standard output, standard error)."""
        result = subprocess.run(
            [self.program, *arguments],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": address or self.bus.address},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, err = result.stdout.decode(), result.stderr.decode()
        self.assertEqual(result.returncode, status, f"{arguments}: {out}{err}")
        return out, err

    def test_explain_takes_a_profile(self):
        self.assertEqual(self.ctl("explain", "Office"), self.ctl("explain", "idle1"))
        self.assertEqual(self.ctl("explain", "Office", "--json"), self.ctl("explain", "idle1", "--json"))
        self.assertEqual(self.ctl("explain", "Filtered tunnel"), self.ctl("explain", "filtered0"))

    def test_status_takes_a_profile(self):
        self.assertEqual(self.ctl("status", "Office"), self.ctl("status", "idle1"))
        out, _ = self.ctl("status", "Office", "wlan0", "--no-legend")
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["idle1", "wlan0"])
        self.assertEqual(self.ctl("status", "Office", "idle1", "--no-legend")[0].count("idle1"), 1)

    def test_changes_take_a_profile(self):
        before = len(self.log.read_text().splitlines())
        self.ctl("activate", "Office")
        self.ctl("deactivate", "Office")
        self.ctl("forget", "Office")
        calls = self.log.read_text().splitlines()[before:]
        for call in ("Activate", "Deactivate", "Forget"):
            self.assertTrue([line for line in calls if line.startswith(call) and "idle1" in line], calls)

    def test_flows_take_a_profile(self):
        self.assertEqual(self.ctl("flows", "Office"), self.ctl("flows", "idle1"))

    def test_profile_of_several_links(self):
        """The UUID is that of two links: verbs for one link ask which, status shows both."""
        _, err = self.ctl("explain", UUID, status=4)
        self.assertRegex(err, "is active on several links, among them [a-z0-9]+ and [a-z0-9]+; name one of them.")
        self.assertGreater(len(self.ctl("status", UUID, "--no-legend")[0].splitlines()), 1)

    def test_profile_that_is_not_active(self):
        for verb in (["explain"], ["check"], ["status"], ["activate"], ["deactivate"], ["flows"], ["forget"]):
            with self.subTest(verb):
                _, err = self.ctl(*verb, "LTE", status=4)
                self.assertIn("The profile “LTE” is not active on any link; activate it with `nmcli connection up id LTE`.", err)

    def test_nobody_is_called_so(self):
        _, err = self.ctl("explain", "bogus", status=4)
        self.assertEqual(err, "underpassctl: There is no link “bogus”; `underpassctl status --all` lists the links.\n")

    def test_profile_list(self):
        profiles = json.loads(self.ctl("profile", "list", "--json")[0])["profiles"]
        lte = next(profile for profile in profiles if profile["name"] == "LTE")
        self.assertEqual((lte["uuid"], lte["source"], lte["tunnel"]), (UUID, "NetworkManager", "yes"))
        self.assertIn("idle1", lte["interfaces"])
        manual = (HERE.parents[1] / "data/man/underpassctl.1.rst").read_text(encoding="utf-8")
        section = manual.partition("\nprofile list\n    ``profiles``")[2].partition("\n\n")[0]
        self.assertEqual(set(lte), set(re.findall("``([a-z]+)`` ?[(,a.]", section)) - {"file", "networkd"})
        out, _ = self.ctl("profile", "list")
        self.assertRegex(out.splitlines()[0], "^PROFILE +SOURCE +TUNNEL +ACTIVE ON$")
        self.assertRegex(out, r"(?m)^LTE +NetworkManager +yes +.*idle1")

    def test_profile_list_of_tunnel_profiles(self):
        profiles = json.loads(self.ctl("profile", "list", "--json")[0])["profiles"]
        tunnel = next(profile for profile in profiles if profile["name"] == "Filtered tunnel")
        self.assertEqual((tunnel["source"], tunnel["tunnel"]), ("NetworkManager", "on-demand"))
        self.assertEqual(tunnel["interfaces"], ["filtered0"])

    def test_profile_list_of_files(self):
        """A file has the value of its own, and none where another one decides."""
        profiles = json.loads(self.ctl("profile", "list", "--json")[0])["profiles"]
        files = {each["name"]: each for each in profiles if not each["uuid"]}
        for name, source, value, link in (
            ("/etc/underpass/eth.conf", "file", "yes", "eth1"),
            ("/etc/underpass/d.conf", "file", "on-demand", "demand0"),
            ("/etc/underpass/r.conf", "file", "", "refused0"),
            ("/etc/systemd/network/r.network.d/tunnel.conf", "networkd", "yes", "refused0"),
        ):
            with self.subTest(name):
                found = files[name]
                self.assertEqual((found["source"], found["tunnel"], found["interfaces"]), (source, value, [link]))

    def test_profile_list_without_a_bus(self):
        self.ctl("profile", "list", status=3, address="unix:path=/nowhere")

    def test_help_and_version(self):
        self.assertEqual(self.ctl("help"), self.ctl("--help"))
        self.assertEqual(self.ctl("help", "status"), self.ctl("status", "--help"))
        self.assertEqual(self.ctl("help", "profile", "set"), self.ctl("profile", "set", "--help"))
        self.assertEqual(self.ctl("version"), self.ctl("--version"))
        self.ctl("help", "bogus", status=0)

    def test_words_of_other_programs(self):
        for words, meant in [
            (["profile", "modify", "LTE", "tunnel=yes"], "profile set"),
            (["set", "LTE", "tunnel=yes"], "profile set"),
            (["up", "LTE"], "activate"),
            (["show"], "status"),
            (["doctor"], "check"),
        ]:
            with self.subTest(words):
                _, err = self.ctl(*words, status=2)
                self.assertRegex(err, f"There is no verb “.*”; did you mean “{meant}”\\?")
        self.assertIn("lists the verbs", self.ctl("frobnicate", status=2)[1])


if __name__ == "__main__":
    Names.program, Names.xml = map(os.path.abspath, sys.argv[1:3])
    interrupts.main(argv=[sys.argv[0], *sys.argv[3:]])
