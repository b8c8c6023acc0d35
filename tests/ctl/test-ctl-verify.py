#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl verify: without a bus, as any user.

Usage: test-ctl-verify.py UNDERPASSCTL [TEST…]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position

class Verify(unittest.TestCase):
    """Files in a scratch folder."""

    program = None

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="underpass-verify-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def file(self, name, text):
        """Writes a file; its path."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def ctl(self, *arguments, status=0, folder=None):
        """Runs the command; (standard output, standard error)."""
        result = subprocess.run(
            [self.program, "verify", *arguments],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere"},
            stdin=subprocess.DEVNULL,
            cwd=folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, err = result.stdout.decode(), result.stderr.decode()
        self.assertEqual(result.returncode, status, f"{arguments}: {out}{err}")
        return out, err

    def test_good(self):
        path = self.file("lo.conf", "[Match]\nName=lo\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\n")
        self.assertEqual(self.ctl(path), (f"{path}: matches lo.\n", ""))
        self.assertEqual(json.loads(self.ctl(path, "--json")[0]), {"files": [{"file": path, "complaints": [], "matches": ["lo"], "unevaluated_conditions": []}]})
        other = self.file("no.conf", "[Match]\nName=nobody\n[X-Underpass]\nTunnel=no\n")
        self.assertEqual(self.ctl(other), (f"{other}: matches no link that is there now.\n", ""))

    def test_every_complaint(self):
        path = self.file("bad.conf", "Stray=1\n[Match]\nNames=lo\n[X-Underpass]\nTunel=yes\nRemotePorts=0\nrubbish\n[X-underpass]\nTunnel=yes\n")
        out, err = self.ctl(path, status=5)
        for line, words in [(1, "stands outside"), (3, 'no key "Names"'), (7, "neither a section"), (9, "did you mean [X-Underpass]?")]:
            self.assertRegex(out, f"(?m)^{path}:{line}: .*{words.replace('[', chr(92) + '[').replace('?', chr(92) + '?')}")
        self.assertIn(f"Tunel in {path}:5: there is no such key; did you mean Tunnel?", out)
        self.assertIn(f"RemotePorts=0 in {path}:6: ", out)
        self.assertIn(f"{path}: [Match] has no condition", out)
        self.assertEqual(err, "underpassctl: 1 file has something wrong.\n")

    def test_sections_that_resemble_ours(self):
        for section in ("X-underpass", "Underpass", "X_Underpass", "x-underpass", "XUnderpass"):
            path = self.file("10-lte.network", f"[Match]\nName=wwan0\n[{section}]\nTunnel=yes\n")
            self.assertIn(f"the section [{section}] is ignored; did you mean [X-Underpass]?", self.ctl(path, status=5)[0])

    def test_lists_on_more_lines(self):
        """Unlike in systemd's own sections the last line counts alone; one that is empty takes back what was there."""
        repeated = "[Match]\nName=lo\nName=eth0\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\nRemotePorts=444\n"
        path = self.file("twice.conf", repeated)
        out, _ = self.ctl(path, status=5)
        for line, key in ((3, "Name"), (7, "RemotePorts")):
            self.assertIn(f"{path}:{line}: this line takes the place of an earlier {key}=; write all values of a list on one line.", out)
        self.assertEqual(out.count("takes the place"), 2, out)
        for network in ("twice.network", "twice.network.d/a.conf"):
            path = self.file(network, repeated)
            self.assertEqual(self.ctl(path, status=5)[0].count("takes the place"), 1)
        path = self.file("anew.conf", repeated.replace("Name=eth0", "Name=\nName=lo").replace("RemotePorts=444", "RemotePorts=\nRemotePorts=444"))
        self.assertEqual(self.ctl(path)[0], f"{path}: matches lo.\n")

    def test_keys_on_more_lines(self):
        """A later value of a key that takes one value replaces the earlier one, as in systemd; of a list, the same in other words
        takes no value away, nor does a line in place of an empty list."""
        match = "Name=lo\nConnection=LTE\nUUID=6f0c\nConnection=WLAN\nUUID=7a1d\nName=lo\nType=loopback\nType=loopback\n"
        scalars = "Tunnel=no\nTunnel=yes\nFirewallMark=1\nFirewallMark=2\nMPTCPOnly=no\nMPTCPOnly=yes\nMSS=auto\nMSS=1400\n"
        modes = "Receive=tc\nReceive=gro\nBulk=no\nBulk=yes\nKeepAlive=no\nKeepAlive=25\n"
        same = "RemotePorts=443\nRemotePorts=443\nLocalPorts=80,443\nLocalPorts= 443 80 80\nRemoteAddresses=192.0.2.1\nRemoteAddresses=192.0.2.1/32\n"
        flags = "MPTCPEndpoint=none\nMPTCPEndpoint=subflow,backup\nMPTCPEndpoint=backup subflow\nMPTCPEndpoint=none\nMPTCPEndpoint=subflow\n"
        path = self.file("once.conf", f"[Match]\n{match}[X-Underpass]\n{scalars}{modes}{same}{flags}")
        self.assertEqual(self.ctl(path)[0], f"{path}: matches lo.\n")
        for key, first, second in (
            ("RemotePorts", "443", "443,444"),
            ("LocalPorts", "80-90", "80"),
            ("RemoteAddresses", "192.0.2.1", "192.0.2.2"),
            ("MPTCPEndpoint", "subflow", "backup"),
        ):
            with self.subTest(key):
                lines = f"{key}={first}\n{key}={first}\n{key}={second}\n"
                path = self.file("twice.conf", f"[Match]\nName=lo\n[X-Underpass]\nTunnel=no\n{lines}")
                out, _ = self.ctl(path, status=5)
                self.assertIn(f"{path}:7: this line takes the place of an earlier {key}=;", out)
                self.assertEqual(out.count("takes the place"), 1, out)
        path = self.file("types.conf", "[Match]\nType=ether\nType=wwan\n[X-Underpass]\nTunnel=no\n")
        self.assertIn(f"{path}:3: this line takes the place of an earlier Type=;", self.ctl(path, status=5)[0])

    def test_networkd(self):
        path = self.file("10-lte.network", "[Match]\nName=wwan0\n[Network]\nDHCP=yes\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\n")
        self.assertEqual(self.ctl(path)[0], f"{path}: matches no link that is there now.\n")
        drop_in = self.file("10-lte.network.d/underpass", "[X-Underpass]\nTunnel=yes\n")
        out, _ = self.ctl(drop_in, status=5)
        self.assertIn("the name of a drop-in ends in .conf", out)
        self.assertIn("set RemotePorts", out)

    def test_drop_ins_by_any_path(self):
        """The folder counts that the file is in, however it is called."""
        self.file("10-lte.network.d/tunnel.conf", "[X-Underpass]\nTunnel=no\n[Network]\nDHCP=yes\n")
        self.file("other.conf", "[Match]\nName=nobody\n[X-Underpass]\nTunnel=no\n")
        drop_ins = self.folder / "10-lte.network.d"
        (self.folder / "link").symlink_to(drop_ins)
        for folder, path in (
            (drop_ins, "tunnel.conf"),
            (drop_ins, "./tunnel.conf"),
            (drop_ins, "../10-lte.network.d/tunnel.conf"),
            (drop_ins, ".././10-lte.network.d//tunnel.conf"),
            (self.folder, "10-lte.network.d/./tunnel.conf"),
            (self.folder, "link/tunnel.conf"),
            (self.folder / "link", "tunnel.conf"),
        ):
            with self.subTest(path, folder=folder):
                self.assertEqual(self.ctl(path, folder=folder), (f"{path}: nothing is wrong.\n", ""))
        self.assertIn("matches no link", self.ctl("../other.conf", folder=drop_ins)[0])

    def test_links_of_networkd(self):
        """By name, type and address, as networkd matches; what it alone can evaluate is named."""
        section = "[X-Underpass]\nTunnel=no\n"
        for conditions, links in (
            ("Name=l?", ["lo"]),
            ("Name=eth9\nName=l*", ["lo"]),
            ("Name=lo\nType=loopback", ["lo"]),
            ("Type=loopback\nMACAddress=00:00:00:00:00:00", ["lo"]),
            ("Name=lo\nMACAddress=00-00-00-00-00-00 02:00:00:00:00:01", ["lo"]),
            ("Name=lo\nMACAddress=02:00:00:00:00:01", []),
            ("Name=!lo\nType=loopback", []),
            ("Name=lo\nType=!loopback", []),
            ("Name=lo\nType=ether", []),
        ):
            with self.subTest(conditions):
                path = self.file("10.network", f"[Match]\n{conditions}\n{section}")
                (found,) = json.loads(self.ctl(path, "--json")[0])["files"]
                self.assertEqual((found["matches"], found["unevaluated_conditions"]), (links, []))
        path = self.file("10.network", f"[Match]\nName=lo\nDriver=x\nSSID=y\nDriver=z\n{section}")
        self.assertEqual(
            self.ctl(path)[0],
            f"{path}: matches lo.\n{path}: only systemd-networkd can evaluate Driver=, SSID=, so it may match fewer links.\n",
        )
        self.assertIn("lo", self.ctl(self.file("all.network", section))[0])
        drop_in = self.file("10.network.d/x.conf", section)
        self.assertEqual(self.ctl(drop_in)[0], f"{drop_in}: nothing is wrong.\n")

    def test_encoding(self):
        """As the service says it; which links the file matches is told all the same."""
        for stray, words in (
            (b"# caf\xe9\n", '"# caf\\xe9" is not valid UTF-8; save the file as UTF-8.'),
            (b"Tunnel=yes\0\n", "the line contains a NUL byte; remove it, or save the file as UTF-8."),
        ):
            for name in ("lo.conf", "10-lo.network"):
                with self.subTest(name=name, stray=stray):
                    path = self.file(name, b"[Match]\nName=lo\n[X-Underpass]\n" + stray + b"RemotePorts=443\n")
                    (found,) = json.loads(self.ctl(path, "--json", status=5)[0])["files"]
                    self.assertEqual((found["complaints"], found["matches"]), ([f"{path}:4: {words}"], ["lo"]))

    def test_who_may_write(self):
        """As the service would refuse it."""
        path = self.file("lo.conf", "[Match]\nName=lo\n[X-Underpass]\nTunnel=no\n")
        for mode in (0o666, 0o664):
            os.chmod(path, mode)
            self.assertIn("run `chmod go-w` on it.", self.ctl(path, status=5)[0])
        os.chmod(path, 0o600)
        self.ctl(path)

    def test_names(self):
        path = self.file("lte", "[Match]\nName=lo\n[X-Underpass]\nTunnel=no\n")
        self.assertIn("the name of a profile file ends in .conf, so this file is ignored.", self.ctl(path, status=5)[0])

    def test_what_cannot_be_read(self):
        self.assertIn("Cannot read /nowhere.conf: No such file", self.ctl("/nowhere.conf", status=1)[1])
        self.assertIn("Cannot read", self.ctl(str(self.folder), status=1)[1])
        path = self.file("latin.conf", b"[Match]\nName=lo\n[X-Underpass]\nTunnel=y\xe9s\n")
        self.assertIn(f"{path}:4: ", self.ctl(path, status=5)[0])
        self.ctl(status=2)


if __name__ == "__main__":
    os.umask(0o022)
    Verify.program = os.path.abspath(sys.argv[1])
    interrupts.main(argv=[sys.argv[0], *sys.argv[2:]])
