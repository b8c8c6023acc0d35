#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One language for each reader: D-Bus, the journal and JSON are English whatever the locale of the service, and the screen of
underpassctl is in the locale of its user.

Usage: test-language.py UNDERPASSD-FAKE UNDERPASSCTL RU.PO [TEST…]
"""

import json
import os
import re
import socket
import subprocess

import harness
from harness import wait_until

# What a Russian text may have of Latin words: names of things, and what is typed or read by programs.
NAMES = set("""
Underpass NetworkManager systemd networkd LTE UDP TCP MPTCP SYN SYNs MTU MSS GRO GSO XDP BPF TCX IP IPv ICMP RST VLAN UUID HTTP
ether netkit vlan bridge veth underpass tc tcx ingress egress Name
""".split())
# Commands, paths, assignments, sections, words with digits, dashes or underscores.
TYPED = re.compile(r"`[^`]*`|/[\w./:-]+|[\w.-]+=\S*|\[[\w-]+\]|\w*\d\S*|\w+_\w+|[a-z]+(?:-[a-z]+)+|^underpassctl:", re.M)
CYRILLIC = re.compile("[а-яё]", re.I)


class LanguageTest(harness.ServiceTest):
    """Links in all states, a service with a Russian locale, and the command."""

    def environment(self):
        return {**super().environment(), **self.russian()}

    def russian(self):
        """Variables of a Russian user; the charset is UTF-8, whichever locales there are."""
        return {"LC_ALL": "C.UTF-8", "LANGUAGE": "ru", "UNDERPASS_LOCALE": str(self.folder)}

    def setUp(self):
        super().setUp()
        catalogue = self.folder / "ru/LC_MESSAGES/underpass.mo"
        catalogue.parent.mkdir(parents=True)
        subprocess.run(["msgfmt", f"--output-file={catalogue}", self.po], check=True)
        for name in ("up0", "up1", "up2", "up3"):
            self.add_link(name)
        quic = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        quic.bind(("127.0.0.1", 8443))
        self.addCleanup(quic.close)
        self.tunnel("up0", "Tunnel=yes", "LocalPorts=8443", "Receive=tc", "MPTCPEndpoint=subflow")
        self.tunnel("up1", "Tunnel=yes", "RemotePorts=8443-8000")
        self.tunnel("up2", "Tunnel=auto", "RemotePorts=443")
        self.profile("stray", "[Match]\nName=up3\nNmae=x\n[X-Underpass]\nTunnel=no\n").chmod(0o666)
        self.start()
        for name, state in {"up0": "active", "up1": "failed", "up2": "waiting"}.items():
            self.wait_state(name, state)
        wait_until(lambda: self.client.link("up3")["Warnings"], "the warning of the file")

    def run_ctl(self, *arguments, **variables):
        """Runs the command; its output, both streams."""
        result = subprocess.run(
            [self.ctl, *arguments],
            env={"PATH": os.environ["PATH"], "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address, **self.russian(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        return result.stdout.decode()

    def keys(self):
        """Words of the table of keys, as they are typed."""
        table = json.loads(self.run_ctl("keys", "--json"))["keys"]
        return {word for key in table for word in re.findall("[A-Za-z]+", f"{key['key']} {key['file_key']} {key['keywords']}")}

    def foreign_words(self, text):
        """English words in a Russian text."""
        return set(re.findall("[A-Za-z]{2,}", TYPED.sub(" ", text))) - NAMES - self.keys()

    def assert_russian(self, *arguments):
        """The command prints Russian and no English."""
        text = self.run_ctl(*arguments)
        self.assertRegex(text, CYRILLIC)
        self.assertEqual(self.foreign_words(text), set(), f"{arguments}: {text}")
        return text

    def test_screens(self):
        self.assert_russian("status", "--all")
        for name in ("up0", "up1", "up2", "up3"):
            self.assert_russian("explain", name)
        self.assert_russian("reload")
        self.assert_russian("activate", "up1")
        self.assert_russian("activate", "up3")
        self.assert_russian("activate", "none")
        self.assert_russian("flows")

    def test_sentences(self):
        """The words of a sentence that the service makes of four others, and of the C library."""
        self.assertIn("up1: ошибка (профиль): RemotePorts=8443-8000 в ", self.run_ctl("status"))
        self.assertIn("границы диапазона 8443-8000 переставлены; напишите 8000-8443; допустимо: ", self.run_ctl("explain", "up1"))
        self.assertIn("ждёт", self.run_ctl("status"))

    def test_json(self):
        for arguments in (["status", "--all"], ["explain", "up1"], ["explain", "up0"], ["flows"], ["keys"], ["activate", "up1"], ["frob"]):
            text = self.run_ctl(*arguments, "--json")
            self.assertNotRegex(text, CYRILLIC, arguments)

    def test_bus(self):
        """The service says nothing in Russian, neither on the bus nor in its log."""
        for name in ("up0", "up1", "up2", "up3"):
            self.assertNotRegex(str(self.client.link(name)), CYRILLIC)
        self.assertNotRegex(self.log.read_text(), CYRILLIC)
        self.assertNotIn("\1", self.log.read_text())
        self.assertIn("RemotePorts=8443-8000", self.log.read_text())
        message = self.assert_fails("org.underpass1.Error.Failed", self.client.manager, "Activate", "up1")
        self.assertEqual(message, self.client.link("up1")["LastError"])
        self.assertIn("range 8443-8000 is reversed; write 8000-8443", message)

    def test_messages(self):
        """Every sentence has an entry that makes it again."""
        for name in ("up0", "up1", "up2", "up3"):
            link = self.client.link(name)
            sentences = [link["Reason"], link["LastError"], link["ReceiveMode"][1], *link["Warnings"]]
            for sentence in filter(None, sentences):
                msgid, arguments = link["Messages"][sentence]
                parts = iter(arguments)
                self.assertEqual(re.sub(r"%[#.0-9]*l*z*[sdux]", lambda _: next(parts), msgid), sentence)
                self.assertEqual(next(parts, None), None)

    def test_announced(self):
        """The entries change with the sentences."""
        path = self.client.manager("GetLink", "up2")[0]
        self.client.changes(path)
        self.tunnel("up2", "Tunnel=no")
        self.client.manager("Reload")
        changes = wait_until(lambda: (seen := self.client.changes(path)) and "Reason" in seen and seen, "the change is announced")
        self.assertIn(changes["Reason"], changes["Messages"])


if __name__ == "__main__":
    harness.main("ctl", "po")
