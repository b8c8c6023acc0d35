# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of underpassctl against the mock of the service have in common: a private bus that starts the mock, as it
starts the real service."""

import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position
from interrupts import EndingTest  # noqa: E402  pylint: disable=wrong-import-position

NAME = "org.underpass1"


class MockedTest(EndingTest):
    """One bus for all tests of a class."""

    program = None
    xml = None
    service = True

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="underpass-ctl-")
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.log = cls.folder / "log"
        cls.log.touch()
        cls.bus = Bus(cls.folder)
        cls.address = cls.bus.address
        if cls.service:
            cls.bus.add_service(NAME, "/usr/bin/python3", "-B", HERE / "mock_service.py", cls.xml, cls.log)
        cls.bus.start()

    @classmethod
    def tearDownClass(cls):
        cls.bus.stop()  # which ends the mock too
        cls.scratch.cleanup()
