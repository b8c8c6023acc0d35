# SPDX-License-Identifier: GPL-2.0-or-later
"""One host with a real NetworkManager and one Ethernet link, up0, for all tests of a class. Needs root. Makes namespaces of
its own; nothing of the project is installed there."""

import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from host import Host, wait_until  # noqa: E402  pylint: disable=wrong-import-position
from interrupts import EndingTest  # noqa: E402  pylint: disable=wrong-import-position

SKIP = 77


class NmHostTest(EndingTest):
    """Tests of a program, the first argument, in that host."""

    program = None

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="underpass-ctl-")
        cls.host = Host("ctl", pathlib.Path(cls.scratch.name) / "host")
        cls.host.start()
        try:
            cls.host.start_bus()
            cls.host.start_manager()
            cls.host.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "far0")
            cls.host.run("ip", "link", "set", "far0", "up")
            wait_until(
                lambda: "up0:disconnected" in cls.host.output("nmcli", "-t", "-f", "DEVICE,STATE", "device"),
                "NetworkManager manages the link",
            )
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.host.stop()
        cls.scratch.cleanup()

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
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
