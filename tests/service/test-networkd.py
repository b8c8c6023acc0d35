#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The networkd source of the service, with a networkd that has every fault.

Usage: test-networkd.py UNDERPASSD-FAKE [TEST…]
"""

import os
import signal
import socket
import time

from gi.repository import GLib

import harness
import mock_networkd
import mock_nm
from harness import PATIENCE, ip, mtu, wait_until
from peer_test import FAILED, PeerTest, RestartTests, SilenceTests

TUNNEL = ("Tunnel=yes", "RemotePorts=443")


class NetworkdTest(PeerTest):
    """A link and a networkd that knows it."""

    source = "networkd"
    questions = ("DescribeLink",)
    dispatched = ("changed", "")

    def new_peer(self):
        return mock_networkd.MockNetworkd(self.bus)

    def setUp(self):
        super().setUp()
        self.networkd = self.peer
        self.index = socket.if_nametoindex("up0")
        (self.folder / "systemd/network").mkdir(parents=True)

    def give_profile(self, tunnel=True):
        name = "20-up0.network" if tunnel else "10-up0.network"
        self.networkd.manage(self.index, self.network(*(TUNNEL if tunnel else ()), name=name))

    def take_profile(self):
        self.networkd.release_link(self.index)
        self.networkd.signal(self.index)

    def network(self, *lines, name="10-up0.network"):
        """Writes a .network file with these lines in [X-Underpass]; its path."""
        path = self.folder / "systemd/network" / name
        path.parent.mkdir(exist_ok=True)
        section = "\n".join(["[X-Underpass]", *lines, ""]) if lines else ""
        path.write_text(f"[Match]\nName=up0\n[Network]\nDHCP=yes\n{section}")
        return path

    def active(self, *lines):
        """networkd manages the link by a file with a tunnel, and the link is active."""
        self.networkd.manage(self.index, self.network(*TUNNEL, *lines))
        return self.start_active()

    def wait_asked(self):
        """Waits until networkd is asked once more."""
        count = len(self.networkd.calls)
        return lambda: wait_until(lambda: len(self.networkd.calls) > count, "networkd is asked")


class Profiles(NetworkdTest):
    """What .network files say."""

    def test_file_and_dropins(self):
        file = self.network("Tunnel=no", "RemotePorts=80", "MSS=1300")
        dropin = self.network("Tunnel=yes", "RemotePorts=443", name="10-up0.network.d/a.conf")
        self.networkd.manage(self.index, file, dropins=[dropin])
        self.start()
        found = self.wait_state("up0", "active")
        settings = {key: (value, source, where) for key, value, source, where in found["Settings"]}
        self.assertEqual(settings["tunnel"], ("yes", "networkd", f"{dropin}:6"))
        self.assertEqual(settings["remote-ports"], ("443", "networkd", f"{dropin}:7"))
        self.assertEqual(settings["mss"], ("1300", "networkd", f"{file}:8"))
        self.assertEqual(settings["mptcp-endpoint"], ("subflow", "networkd", "default for systemd-networkd"))
        self.assertEqual(found["MPTCPEndpoint"], ["subflow"])
        self.assertEqual(found["Connection"], ("", ""))
        self.assertEqual(found["ConnectionSettings"], [("network-file", str(file))])
        self.assertEqual(self.sources(), ["file", "networkd"])

    def test_files_of_others(self):
        """What others can change is not used, and a FIFO among the drop-ins holds nobody up."""
        file = self.network(*TUNNEL)
        dropin = self.network("MSS=1300", name="10-up0.network.d/a.conf")
        fifo = dropin.with_name("b.conf")
        os.mkfifo(fifo)
        self.networkd.manage(self.index, file, dropins=[dropin, fifo])
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual(found["MSS"], 1300)
        self.assertIn(f"{fifo} is not a regular file", " ".join(found["Warnings"]))
        before = found["Applied"]
        for path in (dropin, file):
            path.chmod(0o666)
            self.client.manager("Reload")
            self.client.manager("Reload")
            found = self.client.link("up0")
            self.assertEqual((found["State"], found["MSS"], found["Applied"]), ("failed", 1300, before))
            self.assertIn(f"{path} can be changed by", found["LastError"])
            path.chmod(0o644)
            self.client.manager("Reload")
            found = self.client.link("up0")
            self.assertEqual((found["State"], found["MSS"], found["LastError"]), ("active", 1300, ""))
        # Nothing that others can change brings a link up.
        self.client.manager("Deactivate", "up0")
        self.stop()
        file.chmod(0o666)
        self.start()
        self.client.manager("Reload")
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["Applied"]), ("off", []))
        self.assertIn(f"{file} can be changed by", " ".join(found["Warnings"]))

    def test_file_in_the_place_of_another(self):
        """A file that others can change does not take away what one of the same name has asked for that it
        replaces, whether it says something to us or not."""
        file = self.network("MSS=1300")
        dropin = self.network(*TUNNEL, name="10-up0.network.d/a.conf")
        self.networkd.manage(self.index, file, dropins=[dropin])
        self.start()
        before = self.wait_state("up0", "active")["Applied"]
        for old in (file, dropin):
            for text in ("[X-Underpass]\nTunnel=no\n", "[Network]\nDHCP=yes\n", ""):
                with self.subTest((old.name, text)):
                    new = self.folder / "etc" / old.relative_to(self.folder)
                    new.parent.mkdir(parents=True, exist_ok=True)
                    new.write_text(text)
                    new.chmod(0o666)
                    files = [new if path == old else path for path in (file, dropin)]
                    self.networkd.manage(self.index, files[0], dropins=files[1:])
                    self.client.manager("Reload")
                    self.client.manager("Reload")
                    found = self.client.link("up0")
                    self.assertEqual((found["State"], found["Applied"]), ("failed", before))
                    self.assertIn(f"{new} can be changed by", found["LastError"])
                    self.networkd.manage(self.index, file, dropins=[dropin])
                    self.client.manager("Reload")
                    self.assertEqual(self.client.link("up0")["State"], "active")

    def test_section_that_others_may_have_removed(self):
        """The same file in its place: the link stays as it is until root alone can change the file."""
        file = self.network("MSS=1300")
        dropin = self.network(*TUNNEL, name="10-up0.network.d/a.conf")
        self.networkd.manage(self.index, file, dropins=[dropin])
        self.start()
        before = self.wait_state("up0", "active")["Applied"]
        for path in (dropin, file):
            path.chmod(0o664)
            text = path.read_text()
            path.write_text(text.partition("[X-Underpass]")[0])
            self.client.manager("Reload")
            found = self.client.link("up0")
            self.assertEqual((found["State"], found["Applied"]), ("failed", before))
            self.assertIn(f"{path} can be changed by", found["LastError"])
            path.write_text(text)
            path.chmod(0o644)
            self.client.manager("Reload")
            self.assertEqual(self.client.link("up0")["State"], "active")
        dropin.chmod(0o664)
        self.network(name="10-up0.network.d/a.conf")
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "failed")
        dropin.chmod(0o644)
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "off")

    def test_file_that_says_nothing(self):
        """Whoever can change it: it is networkd's business alone, unless it replaces one that has said something."""
        file = self.network(*TUNNEL)
        other = self.network(name="20-other.network")
        other.chmod(0o666)
        self.networkd.manage(self.index, file)
        self.start_active()
        self.networkd.manage(self.index, other)
        self.client.manager("Reload")
        found = self.client.link("up0")
        self.assertEqual((found["State"], found["LastError"], found["Warnings"]), ("off", "", []))

    def test_reload(self):
        """networkctl reload: networkd leads the link through its states, and the files are read again."""
        self.active()
        file = self.network(*TUNNEL, "MSS=1200")
        self.networkd.manage(self.index, file, state="configuring")
        self.networkd.signal(self.index)
        wait_until(lambda: self.client.link("up0")["MSS"] == 1200, "the new value counts")
        self.network("Tunnel=no")
        self.networkd.manage(self.index, file)
        self.networkd.signal(self.index, "OperationalState")
        self.wait_state("up0", "off")

    def test_passing_states(self):
        """While networkd has not decided what file the link gets, the last one counts."""
        self.active()
        for state in ("pending", "initialized"):
            self.networkd.release_link(self.index, state)
            asked = self.wait_asked()
            self.networkd.signal(self.index)
            asked()
            self.client.manager("Reload")
            self.assert_active()
        self.assertEqual(self.states_heard(), [])
        self.networkd.release_link(self.index)
        self.networkd.signal(self.index)
        self.wait_state("up0", "off")

    def test_unmanaged_and_managed(self):
        self.networkd.release_link(self.index)
        self.start()
        self.wait_state("up0", "off")
        file = self.network(*TUNNEL)
        for _ in range(3):
            self.networkd.manage(self.index, file)
            self.networkd.signal(self.index)
            self.wait_state("up0", "active")
            self.networkd.release_link(self.index)
            self.networkd.signal(self.index)
            found = self.wait_state("up0", "off")
            self.assertEqual((found["ConnectionSettings"], found["Applied"]), ([], []))

    def test_down_and_up(self):
        """An interface that is down has no active profile, whoever took it down."""
        self.active("MTU=1400")
        before = 1500
        self.assertEqual(mtu("up0"), 1400)
        for _ in range(2):
            ip("link", "set", "up0", "down")
            found = self.wait_state("up0", "off")
            self.assertIn("10-up0.network", found["Reason"])
            self.assertEqual(mtu("up0"), before)
            ip("link", "set", "up0", "up")
            self.wait_state("up0", "active")
            self.assertEqual(mtu("up0"), 1400)

    def test_deactivated_until_the_next_activation(self):
        self.active()
        self.client.manager("Deactivate", "up0")
        self.networkd.signal(self.index)
        self.client.manager("ListLinks")
        self.assertEqual(self.client.link("up0")["State"], "off")
        ip("link", "set", "up0", "down")
        wait_until(lambda: "10-up0.network" in self.client.link("up0")["Reason"], "it is noticed")
        ip("link", "set", "up0", "up")
        self.wait_state("up0", "active")

    def test_bad_value(self):
        file = self.network("Tunnel=yes", "RemotePorts=70000")
        self.networkd.manage(self.index, file)
        self.start()
        message = self.assert_fails(FAILED, self.client.manager, "Activate", "up0")
        for word in ("RemotePorts", "70000", f"{file}:7"):
            self.assertIn(word, message)
        self.network(*TUNNEL)
        self.client.manager("Activate", "up0")
        self.assert_active()

    def test_file_profiles(self):
        """Files of Underpass itself count for links of networkd, too, and are overruled key by key."""
        self.tunnel("up0", "Tunnel=yes", "RemotePorts=80", "MSS=1200", "MPTCPEndpoint=none")
        self.networkd.manage(self.index, self.network())
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual((found["RemotePorts"], found["MPTCPEndpoint"]), ([(80, 80)], []))
        self.network("RemotePorts=443")
        self.client.manager("Reload")
        found = self.client.link("up0")
        self.assertEqual((found["RemotePorts"], found["MSS"]), ([(443, 443)], 1200))
        self.assertEqual(found["MPTCPEndpoint"], [])

    def test_other_links(self):
        """Neither signals about links that do not exist nor odd paths do any harm."""
        self.active()
        for ifindex in (1, 4711, 2**31, 2**40):
            self.networkd.signal(ifindex)
        for path in ("/link", "/link/_33x", "/link/_2d1", "/link/_33/more"):
            self.networkd.signal(self.index, path=mock_networkd.PATH + path)
        self.client.manager("Reload")
        self.assert_active()


class Restarts(RestartTests, NetworkdTest):
    """networkd goes and comes back: tunnels stay."""

    def test_restart_without_signals(self):
        self.active()
        for _ in range(3):
            self.networkd.stop()
            self.wait_gone()
            self.client.manager("Reload")
            self.networkd.start()
            self.wait_back()
            self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.assert_active()

    def test_changes_while_away(self):
        """No signal tells of them, and what stands in files counts when networkd is back."""
        self.active()
        self.networkd.stop()
        self.wait_gone()
        self.network("Tunnel=no")
        self.client.manager("Reload")
        self.assert_active()
        self.networkd.start()
        self.wait_state("up0", "off")
        self.networkd.stop()
        self.network(*TUNNEL)
        self.networkd.start()
        self.wait_state("up0", "active")

    def test_back_before_it_knows_the_link(self):
        self.active()
        self.networkd.stop()
        for state in ("pending", "initialized"):
            self.networkd.release_link(self.index, state)
            asked = self.wait_asked()
            self.networkd.start()
            asked()
            self.client.manager("Reload")
            self.networkd.stop()
        self.networkd.links.clear()
        asked = self.wait_asked()
        self.networkd.start()
        asked()
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])
        self.networkd.release_link(self.index)
        self.networkd.signal(self.index)
        self.wait_state("up0", "off")

    def test_stays_for_networkd(self):
        """networkd does not start the service again, so it does not leave before it."""
        self.networkd.release_link(self.index)
        self.start("--idle=1")
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 2.5, "a while", PATIENCE)
        self.assertIsNone(self.process.poll())
        self.networkd.stop()
        wait_until(lambda: self.process.poll() == 0, "it leaves")


class Silence(SilenceTests, NetworkdTest):
    """networkd does not answer, or late."""

    def test_is_asked_again(self):
        """A networkd that was too busy to answer in time need not have a reason for a signal later."""
        self.networkd.hold.add("DescribeLink")
        self.networkd.manage(self.index, self.network(*TUNNEL))
        self.start()
        wait_until(lambda: self.networkd.held, "networkd is asked")
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "off")
        self.networkd.hold.clear()
        self.wait_state("up0", "active")

    def test_restart_while_asking(self):
        """The question of an answer that never comes is not waited for."""
        self.active()
        self.networkd.hold.add("DescribeLink")
        answers = self.send("Reload")
        wait_until(lambda: self.networkd.held, "networkd is asked")
        self.networkd.stop()
        self.networkd.hold.clear()
        self.networkd.start()
        wait_until(lambda: answers, "the call is answered")
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])

    def test_stop_while_asking(self):
        self.active()
        self.networkd.hold.add("DescribeLink")
        answers = self.send("Reload")
        wait_until(lambda: self.networkd.held, "networkd is asked")
        self.process.send_signal(signal.SIGTERM)
        wait_until(lambda: answers, "the caller is answered")
        self.assertEqual(self.process.wait(timeout=PATIENCE), 0, self.log.read_text())


class Nonsense(NetworkdTest):
    """Answers that make no sense: the last good one stands, and the service lives on."""

    def is_told(self):
        """Asks networkd again; whether the link then warns of its answer. The tunnel stays."""
        self.client.manager("Reload")
        # A busy machine may need longer for a huge answer than the service waits. The bus has it before the next call,
        # or more and more late answers would stand before the calls in its queue.
        self.networkd.flush()
        found = self.client.link("up0")
        self.assertEqual(found["State"], "active")
        return "systemd-networkd" in " ".join(found["Warnings"])

    def test_malformed_answers(self):
        self.active()
        huge = '{"Index":%d,"Routes":[%s0]}' % (self.index, "0," * 8_400_000)
        for name, answer, told in [
            ("nothing", GLib.Variant("()", ()), True),
            ("a number", GLib.Variant("(u)", (7,)), True),
            ("no JSON", GLib.Variant("(s)", ("not JSON",)), True),
            ("half of it", GLib.Variant("(s)", ('{"Index":%d,' % self.index,)), True),
            ("another link", GLib.Variant("(s)", ('{"Index":77,"AdministrativeState":"unmanaged"}',)), True),
            (
                "a strange file",
                GLib.Variant(
                    "(s)",
                    (
                        '{"Index":%d,"AdministrativeState":"configured",'
                        '"NetworkFile":"/etc/shadow"}' % self.index,
                    ),
                ),
                True,
            ),
            ("huge", GLib.Variant("(s)", (huge,)), True),
            ("an error of the bus", "org.freedesktop.DBus.Error.NoReply", False),
            ("no such method", "org.freedesktop.DBus.Error.UnknownMethod", False),
        ]:
            with self.subTest(name):
                self.networkd.spoilt["DescribeLink"] = answer
                wait_until(lambda: self.is_told() or not told, "the link warns", 6 * PATIENCE)
                self.networkd.spoilt.clear()
                wait_until(lambda: not self.is_told(), "the warning is gone")
        self.assertEqual(self.states_heard(), [])  # it never left "active"

    def test_large_answer(self):
        """A router with many routes."""
        self.networkd.manage(self.index, self.network(*TUNNEL))
        route = {"Family": 2, "Destination": [10, 5, 0, 0], "PreferredSource": [10, 5, 0, 2], "Table": 254}
        self.networkd.links[self.index]["Routes"] = [route] * 50_000
        self.networkd.prepare(self.index)
        self.start()

        def taken():
            """Asks again: a busy machine may be late all the same."""
            self.client.manager("Reload")
            self.networkd.flush()
            return self.client.link("up0")["State"] == "active"

        wait_until(taken, "up0 is active", 6 * PATIENCE)

    def test_file_is_gone(self):
        """Removed, but networkd not told: there is no profile any more."""
        self.active()
        (self.folder / "systemd/network/10-up0.network").unlink()
        self.client.manager("Reload")
        self.assertEqual(self.client.link("up0")["State"], "off")


class OtherPrograms(NetworkdTest):
    """Only networkd speaks for networkd, and only the bus of who is there."""

    def test_signals(self):
        self.active()
        self.quiet("up0")

        def lies_change_nothing():
            before = len(self.networkd.calls)
            for index in (0, self.index):
                path = f"{mock_networkd.PATH}/link/_{ord(str(index)[0]):02x}{str(index)[1:]}"
                state = {"AdministrativeState": GLib.Variant("s", "unmanaged")}
                arguments = GLib.Variant("(sa{sv}as)", (mock_networkd.LINK, state, []))
                self.lie(path, "org.freedesktop.DBus.Properties", "PropertiesChanged", arguments)
            self.lie_about_owner(mock_networkd.NAME)
            return self.networkd.calls[before:] == []

        # Who believes them asks networkd each time. On a busy machine the kernel tells of an address some time after it
        # shows it as settled, and then the service has to ask, too.
        wait_until(lies_change_nothing, "nobody believes the lies")
        self.assertEqual(self.states_heard(), [])
        self.assertIn("networkd", self.sources())


class BothManagers(NetworkdTest):
    """NetworkManager is there as well."""

    def setUp(self):
        super().setUp()
        self.nm = mock_nm.MockNm(self.bus)
        self.nm.start()

    def test_handed_over(self):
        """From networkd to NetworkManager and back, twice; without a profile in between."""
        nm_profile = mock_nm.connection("LTE", {"tunnel": "yes", "remote_ports": "80"})
        file = self.network(*TUNNEL)
        self.nm.add_device("up0")
        self.networkd.manage(self.index, file)
        self.start()
        self.wait_state("up0", "active")
        for _ in range(2):
            self.networkd.release_link(self.index)
            self.networkd.signal(self.index)
            self.wait_state("up0", "off")
            self.nm.activate("up0", nm_profile)
            found = self.wait_state("up0", "active")
            self.assertEqual((found["RemotePorts"], found["MPTCPEndpoint"]), ([(80, 80)], []))
            self.assertEqual(found["Connection"][0], "LTE")
            self.nm.deactivate("up0")
            self.wait_state("up0", "off")
            self.nm.set_state("up0", mock_nm.UNMANAGED)
            self.networkd.manage(self.index, file)
            self.networkd.signal(self.index)
            found = self.wait_state("up0", "active")
            self.assertEqual((found["RemotePorts"], found["Connection"]), ([(443, 443)], ("", "")))

    def test_networkmanager_only_watches(self):
        """A connection that NetworkManager makes up for what it sees does not count here."""
        self.nm.add_device("up0", mock_nm.connection("up0"))
        self.active()
        found = self.client.link("up0")
        self.assertEqual(found["Connection"], ("", ""))
        self.assertEqual(found["Warnings"], [])
        self.networkd.stop()
        self.wait_gone()
        self.client.manager("Reload")
        self.networkd.start()
        self.wait_back()
        self.client.manager("Reload")
        self.assertEqual(self.states_heard(), [])

    def test_both_claim_the_link(self):
        """Two profiles are not mixed: NetworkManager's counts, and somebody is told."""
        applied = mock_nm.connection("LTE", {"tunnel": "yes", "remote_ports": "80"})
        self.nm.add_device("up0", applied)
        self.networkd.manage(self.index, self.network(*TUNNEL, "MSS=1200", "LocalPorts=22"))
        self.start()
        found = self.wait_state("up0", "active")
        self.assertEqual((found["RemotePorts"], found["LocalPorts"], found["MSS"]), ([(80, 80)], [], 0))
        self.assertEqual(found["MPTCPEndpoint"], [])
        warning = " ".join(found["Warnings"])
        for word in ("LTE", "10-up0.network", "both"):
            self.assertIn(word, warning)
        self.nm.deactivate("up0")
        wait_until(lambda: self.client.link("up0")["RemotePorts"] == [(443, 443)], "networkd's counts")
        self.assertEqual(self.client.link("up0")["Warnings"], [])


if __name__ == "__main__":
    harness.main()
