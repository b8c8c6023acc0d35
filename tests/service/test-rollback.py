#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Complete or nothing, with the kernel's own MTU and MPTCP endpoints: where a later step fails, what was in force is in
force again, and D-Bus says so.

Usage: test-rollback.py UNDERPASSD-FAKE
"""

import subprocess
import sys

import harness
from harness import endpoints, ip, mtu, wait_until

OURS = "198.51.100.1"
INFINIBAND = 32  # ARPHRD_INFINIBAND
ACTIVE = ("Tunnel=yes", "RemotePorts=443", "MTU=1400", "MPTCPEndpoint=subflow")


def ours():
    """Those with an address of the link."""
    return [line for line in endpoints() if line.startswith(("198.51.100.", "192.0.2."))]


class Rollback(harness.ServiceTest):
    """A link with everything that can be applied, and a table of endpoints that is full."""

    def setUp(self):
        super().setUp()
        self.add_link("up0")
        ip("address", "add", f"{OURS}/24", "dev", "up0")
        self.addCleanup(subprocess.run, ["ip", "mptcp", "endpoint", "flush"], check=False)

    def state(self):
        """What the kernel has, and what D-Bus says of it."""
        applied = self.client.link("up0")["Applied"]
        return {
            "mtu": mtu("up0"),
            "endpoints": ours(),
            "applied": sorted((name, value) for name, value in applied if not name.startswith("mss")),
        }

    def refuse(self, *lines):
        """A profile that cannot be applied as a whole; what the link says then."""
        self.tunnel("up0", *lines)
        self.client.manager("Reload")
        found = self.client.link("up0")
        self.assertEqual(found["State"], "failed")
        self.assertEqual(found["LastStage"], "endpoint")
        self.assertIn("up0", found["LastError"])
        self.assertNotIn("put back", found["LastError"])
        return found

    def test_what_was_in_force_stays_in_force(self):
        self.tunnel("up0", *ACTIVE)
        self.start()
        self.wait_state("up0", "active")
        before = self.state()
        self.assertEqual((before["mtu"], len(before["endpoints"])), (1400, 1))
        self.fill_endpoints()
        ip("address", "add", "192.0.2.1/24", "dev", "up0")
        wait_until(lambda: self.client.link("up0")["State"] == "failed", "there is no room for the new address")
        self.assertEqual(self.state(), before)
        for lines in (
            ("Tunnel=yes", "RemotePorts=443", "MTU=1300", "MPTCPEndpoint=subflow,backup"),
            ("Tunnel=yes", "RemotePorts=443", "MTU=1300", "MPTCPEndpoint=subflow"),
            ("Tunnel=yes", "RemotePorts=443", "MPTCPEndpoint=signal"),
            ("Tunnel=yes", "RemotePorts=80", "MTU=1400", "MPTCPEndpoint=subflow,fullmesh"),
        ):
            with self.subTest(lines):
                self.refuse(*lines)
                self.assertEqual(self.state(), before)

    def test_a_failure_is_not_repeated_by_its_own_events(self):
        """Setting the MTU and setting it back are changes of the link, too."""
        self.tunnel("up0", *ACTIVE)
        self.start("--debug")
        self.wait_state("up0", "active")
        self.fill_endpoints()
        ip("address", "add", "192.0.2.1/24", "dev", "up0")
        self.wait_state("up0", "failed")
        self.refuse("Tunnel=yes", "RemotePorts=443", "MTU=1300", "MPTCPEndpoint=subflow,backup")
        looks = self.log.read_text().count("Plan:")
        for _ in range(200):
            self.client.manager("ListLinks")
        self.assertLessEqual(self.log.read_text().count("Plan:") - looks, 5)

    def test_the_next_look_finds_room(self):
        self.tunnel("up0", *ACTIVE)
        self.start()
        self.wait_state("up0", "active")
        self.fill_endpoints()
        ip("address", "add", "192.0.2.1/24", "dev", "up0")
        self.wait_state("up0", "failed")
        ip("mptcp", "endpoint", "flush")
        self.client.manager("Reload")
        found = self.wait_state("up0", "active")
        self.assertEqual(len(ours()), 2)
        self.assertEqual((found["LastError"], found["LastStage"]), ("", ""))

    def test_nothing_is_left_of_a_first_activation(self):
        self.fill_endpoints()
        self.start()
        before = self.state()
        self.refuse(*ACTIVE)
        self.assertEqual(self.state(), before)
        self.assertEqual(before["applied"], [])
        self.assertEqual(mtu("up0"), 1500)

    def test_an_old_activation_is_taken_down_as_ever(self):
        """After a failure as after any success."""
        self.start()
        before = self.state()
        self.tunnel("up0", *ACTIVE)
        self.client.manager("Reload")
        self.wait_state("up0", "active")
        self.fill_endpoints()
        ip("address", "add", "192.0.2.1/24", "dev", "up0")
        self.wait_state("up0", "failed")
        self.client.manager("Deactivate", "up0")
        self.assertEqual(self.state(), before)

    def test_larger_segments_come_with_the_mtu_of_before(self):
        """In one edit: the profile is judged by the MTU that it brings back."""
        self.tunnel("up0", *ACTIVE)
        self.start("--debug")
        self.assertIn(("mss-ipv4", "1360"), self.wait_state("up0", "active")["Applied"])
        for lines, ipv4 in (("MSS=1440",), "1440"), (("MTU=1400",), "1360"), ((), "1460"):
            self.tunnel("up0", "Tunnel=yes", "RemotePorts=443", *lines)
            self.client.manager("Reload")
            found = self.client.link("up0")
            self.assertEqual((found["State"], found["LastError"]), ("active", ""))
            self.assertIn(("mss-ipv4", ipv4), found["Applied"], "by the first look")
            self.assertEqual(mtu("up0"), 1400 if "MTU=1400" in lines else 1500)

    def test_a_tunnel_goes_where_its_link_cannot_have_the_old_mtu_any_more(self):
        """Links on top of others have at most their MTU, which may have become smaller meanwhile."""
        words = ("link", "add", "link", "up0", "name", "above0", "type", "macvlan")
        if subprocess.run(["ip", *words], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("the kernel has no macvlan")
        ip("link", "set", "above0", "up")
        self.tunnel("above0", "Tunnel=yes", "RemotePorts=443", "MTU=1400")
        self.start()
        self.wait_state("above0", "active")
        self.assertEqual(mtu("above0"), 1400)
        ip("link", "set", "up0", "mtu", "1450")
        self.client.manager("Deactivate", "above0")
        found = self.client.link("above0")
        self.assertEqual((found["State"], found["LastError"], found["Applied"]), ("off", "", []))
        self.assertEqual(mtu("above0"), 1400)
        text = "The MTU of above0 stays 1400: before the tunnel it was 1500, which the link does not take now"
        self.assertEqual([warning.partition(" (")[0] for warning in found["Warnings"]], [text])
        self.client.manager("Reload")  # the next look has no other opinion
        self.assertEqual(self.client.link("above0")["Warnings"], found["Warnings"])
        self.assertIn(text, self.log.read_text())
        ip("link", "set", "above0", "mtu", "1450")
        wait_until(lambda: not self.client.link("above0")["Warnings"], "somebody has chosen an MTU")

    def test_news_of_a_failed_link(self):
        """A look that tries nothing again tells all the same what is new: here the name."""
        self.profile("any", "[Match]\nName=up*\n[X-Underpass]\n" + "\n".join(ACTIVE))
        self.start()
        self.wait_state("up0", "active")
        self.fill_endpoints()
        ip("address", "add", "192.0.2.1/24", "dev", "up0")
        self.wait_state("up0", "failed")
        path = self.client.manager("GetLink", "up0")[0]
        for name in ("up1", "up2", "up3"):
            self.client.changes(path)
            ip("link", "set", self.client.properties(path)["Name"], "name", name)
            self.addCleanup(subprocess.run, ["ip", "link", "del", name], stderr=subprocess.DEVNULL, check=False)
            wait_until(lambda name=name: self.client.changes(path).get("Name") == name, f"{name} is announced")
            self.assertEqual(self.client.link(name)["State"], "failed")

    def test_the_last_failure_is_told(self):
        """Also where it is the one before the last, again."""
        self.tunnel("up0", *ACTIVE)
        self.start()
        self.wait_state("up0", "active")
        self.fill_endpoints()
        ip("address", "add", "192.0.2.1/24", "dev", "up0")
        self.wait_state("up0", "failed")
        for stage, lines in 2 * (("profile", ("Tunnel=perhaps",)), ("endpoint", ACTIVE)):
            self.tunnel("up0", *lines)
            ip("link", "set", "up0", "alias", f"to {stage}")
            wait_until(lambda stage=stage: self.client.link("up0")["LastStage"] == stage, f"the stage is {stage}")

    def forgets(self, stage, *lines):
        """What was learnt is forgotten in another network, once, where this is the profile and it fails."""
        ip("route", "replace", "default", "via", "198.51.100.254", "dev", "up0")
        self.tunnel("up0", *ACTIVE)
        self.start()
        self.wait_state("up0", "active")
        self.fill_endpoints()
        ip("address", "add", "192.0.2.1/24", "dev", "up0")
        self.wait_state("up0", "failed")
        self.tunnel("up0", *lines)
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["LastStage"], stage)
        self.assertNotIn("forgotten", self.log.read_text())
        ip("route", "replace", "default", "via", "198.51.100.253", "dev", "up0")
        wait_until(lambda: "destinations forgotten: 1." in self.log.read_text(), "what was learnt is forgotten")
        self.client.manager("Reload")
        self.assertEqual(self.log.read_text().count("forgotten"), 1)
        self.assertEqual(self.client.link("up0")["LastStage"], stage)

    def test_another_network(self):
        self.forgets("endpoint", *ACTIVE)

    def test_another_network_with_a_wrong_profile(self):
        self.forgets("profile", "Tunnel=perhaps")

    def test_misfits_that_stay(self):
        """The type of a link changes to one that no programs are for, and those that are there cannot be taken off: that
        is said, tried once more, and not again and again by its own events."""
        try:
            with open("/dev/net/tun", "rb"):
                pass
        except OSError as error:
            self.skipTest(f"no tun devices: {error}")
        stuck = self.folder / "stuck"
        tun = subprocess.Popen(
            [sys.executable, harness.LIBRARY / "typed_tun.py", "tun0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(tun.communicate)
        self.assertEqual(tun.stdout.readline(), "ready\n")
        ip("link", "set", "tun0", "up")
        self.tunnel("tun0", "Tunnel=yes", "RemotePorts=443", "MTU=1400")
        self.start(f"--pins={self.folder}", "--debug")
        self.wait_state("tun0", "active")
        stuck.touch()
        ip("link", "set", "tun0", "down")
        tun.stdin.write(f"{INFINIBAND}\n")
        tun.stdin.flush()
        self.assertEqual(tun.stdout.readline(), "done\n")
        ip("link", "set", "tun0", "up")
        found = self.wait_state("tun0", "failed")
        self.assertIn("the tunnel could not be detached", found["Reason"])
        self.assertIn("The tunnel cannot be detached from tun0", found["LastError"])
        self.assertEqual((found["LastStage"], mtu("tun0")), ("attach", 1400))
        wait_until(lambda: "Retrying what has failed." in self.log.read_text(), "the retry")
        self.assertEqual(self.client.link("tun0")["LastStage"], "attach")
        looks = self.log.read_text().count("cannot be detached")
        for _ in range(200):
            self.client.manager("ListLinks")
        self.assertEqual(self.log.read_text().count("cannot be detached"), looks)
        stuck.unlink()
        self.client.manager("Reload")
        found = self.client.link("tun0")
        self.assertIn("tun0 has type 32", found["LastError"])
        self.assertEqual((found["LastStage"], found["Applied"], mtu("tun0")), ("profile", [], 1500))


class Lost(harness.ServiceTest):
    """Somebody takes the programs off while no plan can be made for the link."""

    WRONG = ("Tunnel=perhaps",)

    def setUp(self):
        super().setUp()
        self.add_link("up0")
        ip("address", "add", f"{OURS}/24", "dev", "up0")
        self.addCleanup(subprocess.run, ["ip", "mptcp", "endpoint", "flush"], check=False)
        self.tunnel("up0", *ACTIVE)
        self.start(f"--pins={self.folder}", "--debug")
        self.before = self.wait_state("up0", "active")["Applied"]

    def restored(self):
        """How often they came back without a plan."""
        return self.log.read_text().count("Attached again what others had taken off.")

    def look(self):
        """What a new look finds."""
        self.client.manager("Reload")
        return self.client.link("up0")

    def lose(self):
        """The same after a loss, which it has found."""
        (self.folder / "lost").touch()
        found = self.look()
        self.assertFalse((self.folder / "lost").exists())
        return found

    def test_with_a_wrong_profile(self):
        """They come back each time. A profile that is right finds them there."""
        self.tunnel("up0", *self.WRONG)
        self.look()
        for count in (1, 2):
            found = self.lose()
            self.assertEqual((found["State"], found["LastStage"]), ("failed", "profile"))
            self.assertEqual((found["Applied"], self.restored()), (self.before, count))
            self.look()
            self.assertEqual(self.restored(), count, "they are there")
        self.tunnel("up0", *ACTIVE)
        found = self.look()
        self.assertEqual((found["State"], found["Applied"]), ("active", self.before))

    def test_with_an_unreadable_profile(self):
        """By a service that has read it before, and by one that does not know whether what it found is complete."""
        path = self.tunnel("up0", *ACTIVE)
        path.chmod(0o666)
        self.assertIn("can be changed by", self.lose()["LastError"])
        self.assertEqual(self.restored(), 1)
        path.chmod(0o644)
        self.assertEqual(self.look()["State"], "active")
        self.fill_endpoints()
        ip("address", "add", "192.0.2.1/24", "dev", "up0")
        self.wait_state("up0", "failed")
        self.assertEqual(self.lose()["LastStage"], "endpoint")
        path.chmod(0o666)
        self.assertIn("cannot be read", self.look()["Reason"])
        self.assertEqual(self.restored(), 1, "the failed plan had put them back")
        self.assertEqual((self.lose()["Applied"], self.restored()), (self.before, 2))

    def test_where_they_cannot_come_back(self):
        """That is told, and tried again when somebody insists only; the first plan brings all of them."""
        refusing = self.folder / "refusing"
        refusing.touch()
        self.tunnel("up0", *self.WRONG)
        found = self.lose()
        self.assertEqual((found["LastStage"], found["Programs"]), ("profile", []))
        told = self.log.read_text().count("cannot be attached to up0")
        self.assertEqual((told, self.restored()), (1, 0))
        self.look()
        self.assertEqual(self.log.read_text().count("cannot be attached to up0"), 1)
        refusing.unlink()
        self.tunnel("up0", *ACTIVE)
        found = self.look()
        self.assertEqual((found["State"], found["Applied"], mtu("up0")), ("active", self.before, 1400))

    def test_as_the_profile_is_right_again(self):
        """The plan brings them back in the same look."""
        self.tunnel("up0", *self.WRONG)
        self.look()
        self.tunnel("up0", *ACTIVE)
        self.assertEqual(self.lose()["State"], "active")
        self.tunnel("up0", *self.WRONG)
        self.look()
        self.assertEqual(self.restored(), 0, "none were missing any more")


if __name__ == "__main__":
    harness.main()
