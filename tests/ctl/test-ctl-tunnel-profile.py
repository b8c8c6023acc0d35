#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl profile and tunnel profiles, against a real NetworkManager in namespaces of its own: both edit the same keys,
and both say where they are.

Usage: test-ctl-tunnel-profile.py UNDERPASSCTL      as root; skipped otherwise
"""

import json

import nm_host

SERVICE = "org.freedesktop.NetworkManager.underpass"


class TunnelProfileTest(nm_host.NmHostTest):
    """Every test makes profiles of its own. nmcli does not know the VPN type by its short name there."""

    def add(self, name, *words):
        """Adds a profile that is deleted after the test; its UUID."""
        self.host.run("nmcli", "connection", "add", "con-name", name, "autoconnect", "no", *words)
        self.addCleanup(lambda: self.host.run("nmcli", "connection", "delete", name))
        return self.host.output("nmcli", "-g", "connection.uuid", "connection", "show", name).strip()

    def add_base(self, name="LTE"):
        """A profile of the link."""
        fixed = ("ipv4.method", "manual", "ipv4.addresses", "192.0.2.2/24", "ipv6.method", "disabled")
        return self.add(name, "type", "ethernet", "ifname", "up0", *fixed)

    def add_tunnel(self, data, name="T", *words):
        """A tunnel profile."""
        return self.add(name, "type", "vpn", "vpn-type", SERVICE, "vpn.data", data, *words)

    def vpn_data(self, name="T"):
        """What nmcli says of vpn.data."""
        text = self.host.output("nmcli", "-e", "no", "-g", "vpn.data", "connection", "show", name).strip()
        return dict(pair.strip().split(" = ") for pair in text.split(","))

    def json(self, *arguments):
        """The document that underpassctl profile prints."""
        return json.loads(self.ctl(*arguments, "--json")[0])

    def test_base_shows_the_keys_of_its_tunnel_profile(self):
        self.add_base()
        uuid = self.add_tunnel("link=LTE, tunnel=yes, remote-ports=443")
        self.ctl("set", "T", "mss=1300")
        for name, source in (("LTE", "T"), ("T", "profile")):
            profile = self.json("show", name)["profile"]
            self.assertEqual(profile["id"], name)
            self.assertEqual(profile["settings"], {"tunnel": "yes", "remote-ports": "443", "mss": "1300"})
            self.assertEqual(profile["tunnel_profile"], {"id": "T", "uuid": uuid, "link": "LTE"})
            out, _ = self.ctl("show", name)
            self.assertRegex(out, rf"remote-ports +443 +{source}\n")
            self.assertRegex(out, rf"keys are in +T \({uuid}\)")
            self.assertRegex(out, r"link +LTE\n")

    def test_list(self):
        """Without the key, a tunnel profile has its default, as the service reads it. No service is needed for that."""
        for name, words, tunnel in (("T", "link=LTE, tunnel=yes", "yes"), ("U", "link=other", "no")):
            self.add_tunnel(words, name)
            document = json.loads(self.ctl("list", "--json", status=3)[0])
            listed = {profile["name"]: profile["tunnel"] for profile in document["profiles"]}
            self.assertEqual(listed[name], tunnel)

    def test_base_without_one(self):
        self.add_base()
        self.add_tunnel("link=other, tunnel=yes, remote-ports=443")
        profile = self.json("show", "LTE")["profile"]
        self.assertEqual((profile["settings"], profile["tunnel_profile"]), ({}, {}))
        self.ctl("set", "LTE", "tunnel=yes", "remote-ports=80")
        self.assertEqual(self.vpn_data()["remote-ports"], "443")

    def test_edits_go_to_the_tunnel_profile(self):
        """nmcli and underpassctl show the same truth, and neither makes what the other one cannot edit."""
        self.add_base()
        self.add_tunnel("link=up*, tunnel=yes, remote-ports=443")
        out, _ = self.ctl("set", "LTE", "remote-ports=443,8000-8080", "remote-addresses=203.0.113.7,::1")
        self.assertIn("“T” was changed", out)
        self.assertNotIn("next:", out)
        self.assertEqual(
            self.vpn_data(),
            {
                "link": "up*",
                "tunnel": "yes",
                "remote-ports": "443 8000-8080",
                "remote-addresses": "203.0.113.7 ::1",
            },
        )
        self.host.run("nmcli", "connection", "modify", "T", "+vpn.data", "mss=1300")
        self.assertEqual(self.json("show", "LTE")["profile"]["settings"]["mss"], "1300")
        self.ctl("unset", "LTE", "mss", "remote-addresses")
        self.assertEqual(set(self.vpn_data()), {"link", "tunnel", "remote-ports"})
        self.assertIn("nothing was changed", self.ctl("set", "LTE", "tunnel=yes")[0])
        content = self.host.path(self.json("show", "LTE")["profile"]["file"]).read_text()
        self.assertNotIn("underpass", content)

    def test_mistakes_are_refused(self):
        self.add_base()
        self.add_tunnel("link=LTE, tunnel=yes, remote-ports=443")
        before = self.vpn_data()
        _, err = self.ctl("set", "LTE", "remote-ports=70000", status=5)
        self.assertIn("remote-ports=70000 in T", err)
        self.assertNotIn("underpass.remote-ports", err)
        self.assertIn("“T” was not changed", err)
        self.ctl("set", "T", "link=WLAN", status=5)
        self.assertEqual(self.vpn_data(), before)

    def test_mistakes_are_shown_and_mended(self):
        """Also a key that nobody knows; what others have in there stays."""
        self.add_base()
        self.add_tunnel("link=LTE, tunel=yes, remote-ports=443", "T", "vpn.user-name", "me", "vpn.timeout", "7")
        errors = self.json("show", "LTE")["profile"]["errors"]
        self.assertEqual(len(errors), 1)
        self.assertIn("did you mean tunnel?", errors[0])
        self.ctl("unset", "LTE", "tunel")
        self.ctl("set", "LTE", "tunnel=yes")
        self.assertEqual(self.vpn_data(), {"link": "LTE", "tunnel": "yes", "remote-ports": "443"})
        shown = self.host.output("nmcli", "-g", "vpn.user-name,vpn.timeout", "connection", "show", "T")
        self.assertEqual(shown.split(), ["me", "7"])

    def test_choice(self):
        """As the service chooses: the most exact name, and no profile of one user for a link of all."""
        self.add_base()
        self.add_tunnel("link=up0, remote-ports=1", "interface")
        self.add_tunnel("link=LTE, remote-ports=2", "private", "connection.permissions", "user:root")
        self.add_tunnel("remote-ports=3", "named", "ifname", "up0")
        self.assertIn(self.json("show", "LTE")["profile"]["tunnel_profile"]["id"], ("interface", "named"))
        self.add_tunnel("link=LTE, remote-ports=4", "name")
        self.assertEqual(self.json("show", "LTE")["profile"]["settings"]["remote-ports"], "4")

    def test_endpoints(self):
        """The warning is about the profile of the link, which NetworkManager registers endpoints for."""
        self.add_base()
        self.add_tunnel("link=LTE, tunnel=yes, remote-ports=443, mptcp-endpoint=subflow")
        self.assertIn("mptcp-flags disabled", "".join(self.json("show", "LTE")["warnings"]))
        self.assertEqual(self.json("show", "T")["warnings"], [])


if __name__ == "__main__":
    nm_host.main()
