# SPDX-License-Identifier: GPL-2.0-or-later
"""One host with a real NetworkManager and one Ethernet link, up0, for all tests of a class. Needs root. Makes namespaces of
its own; nothing of the project is installed there."""

import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from host import Host, wait_until  # noqa: E402  pylint: disable=wrong-import-position

SKIP = 77


class NmHostTest(unittest.TestCase):
    """Tests of a program, the first argument, in that host."""

    program = None
    auto_default = False  # NetworkManager makes a connection for each Ethernet link that has none

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="underpass-ctl-")
        cls.addClassCleanup(scratch.cleanup)
        cls.host = Host("ctl", pathlib.Path(scratch.name) / "host")
        cls.addClassCleanup(cls.host.stop)
        cls.host.start()
        if cls.auto_default:
            configuration = cls.host.path("/etc/NetworkManager/NetworkManager.conf")
            text = configuration.read_text().replace("no-auto-default=*\n", "")
            configuration.write_text(text.replace("interface-name:lan", "interface-name:far0"))
        cls.host.start_bus()
        cls.host.start_manager()
        cls.host.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "far0")
        cls.host.run("ip", "link", "set", "far0", "up")
        state = "up0:connecting" if cls.auto_default else "up0:disconnected"
        wait_until(
            lambda: state in cls.host.output("nmcli", "-t", "-f", "DEVICE,STATE", "device"),
            "NetworkManager manages the link",
        )

    def ctl(self, *arguments, status=0, before=()):
        """Runs underpassctl profile in the host; (standard output, standard error)."""
        result = self.host.run(*before, self.program, "profile", *arguments, check=False)
        self.assertEqual(result.returncode, status, f"{arguments}: {result.stdout}{result.stderr}")
        return result.stdout, result.stderr


def main():
    """Runs the tests of the main module."""
    if os.geteuid() != 0:
        print("skipped: needs root", file=sys.stderr)
        sys.exit(SKIP)
    NmHostTest.program = os.path.abspath(sys.argv[1])
    interrupts.main(argv=[sys.argv[0], *sys.argv[2:]])
