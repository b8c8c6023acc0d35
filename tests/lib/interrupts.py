# SPDX-License-Identifier: GPL-2.0-or-later
"""How tests end when they are told to: they clean up, once and undisturbed. May touch: what this program does on SIGINT
and SIGTERM."""

import signal
import subprocess
import sys
import unittest

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_once(first=lambda: None):
    """At the first of these signals, calls first() and raises SystemExit. Those behind it do not interrupt what cleans up: a
    terminal sends Ctrl-C to all its programs, and rungs.py then tells those that it has started to end."""

    def end(number, _frame):
        for each in SIGNALS:
            signal.signal(each, lambda *_: None)  # if they were ignored, so would be what is started from now on
        first()
        sys.exit(128 + number)

    for each in SIGNALS:
        signal.signal(each, end)


def ended_too(command, **options):
    """(what a command prints, its exit status); options: as for Popen. When this program is interrupted, the command is told to
    end, and ends what it has started."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, **options) as process:
        try:
            return process.communicate()[0], process.returncode
        except BaseException:
            process.terminate()
            process.communicate()
            raise


class EndingTest(unittest.TestCase):
    """A test that cleans up when it is told to end; none begins behind it."""

    def run(self, result=None):
        end_once(result.stop)
        return super().run(result)
