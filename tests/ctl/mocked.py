# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of underpassctl against the mock of the service have in common: a private bus that starts the mock, as it
starts the real service. It makes the modules of tests/lib importable."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position

NAME = "org.underpass1"


class MockedTest(unittest.TestCase):
    """One bus for all tests of a class."""

    program = None
    xml = None
    service = True

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="underpass-ctl-")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        cls.log = cls.folder / "log"
        cls.log.touch()
        cls.bus = Bus(cls.folder)
        cls.address = cls.bus.address
        if cls.service:
            cls.bus.add_service(NAME, "/usr/bin/python3", "-B", HERE / "mock_service.py", cls.xml, cls.log)
        cls.bus.start()
        cls.addClassCleanup(cls.bus.stop)  # which ends the mock too

    @classmethod
    def start_manager(cls, log, *words):
        """Starts the mock of NetworkManager, which is never started by a client's request."""
        manager = subprocess.Popen(
            ["/usr/bin/python3", "-B", HERE / "mock_manager.py", log, *words],
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": cls.address},
            stdout=subprocess.PIPE,
        )
        cls.addClassCleanup(manager.stdout.close)
        cls.addClassCleanup(manager.wait)
        cls.addClassCleanup(manager.terminate)
        assert manager.stdout.readline() == b"ready\n"
