# SPDX-License-Identifier: GPL-2.0-or-later
"""How tests end when they are told to: they clean up, once and undisturbed. May touch: what this program does on SIGINT
and SIGTERM."""

import signal
import subprocess
import sys
import unittest

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Round:
    """Whether iterate() is at it, and the signal that came meanwhile."""

    runs = False
    number = None


def end_once(first=lambda: None):
    """At the first of these signals, calls first() and raises SystemExit. Those behind it do not interrupt what cleans up: a
    terminal sends Ctrl-C to all its programs, and rungs.py then tells those that it has started to end."""

    def end(number, _frame):
        if Round.runs:
            Round.number = number
            return
        for each in SIGNALS:
            signal.signal(each, lambda *_: None)  # if they were ignored, so would be what is started from now on
        first()
        sys.exit(128 + number)

    for each in SIGNALS:
        signal.signal(each, end)


def iterate(context):
    """One round of a main loop of GLib, which signals do not interrupt: GLib ends the program on the spot when a callback
    raises SystemExit. Masks would not keep them away, for GLib has threads."""
    Round.runs = True
    try:
        context.iteration(True)
    finally:
        Round.runs = False
    if Round.number is not None:
        signal.raise_signal(Round.number)


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


class Result(unittest.TextTestResult):
    """Of tests that clean up when they are told to end; none begins behind the one that was told, nor a part of it."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        end_once(self._end)

    def _end(self):
        self.failfast = True  # ends a test behind a part (subTest) that has failed
        self.stop()


class Runner(unittest.TextTestRunner):
    """Runs such tests."""

    resultclass = Result


def main(**options):
    """unittest.main() for such tests. What a class has set up and wants to be cleaned up (addClassCleanup) is, even if the
    signal came while the class was set up: unittest itself then forgets it."""

    def classes(base=unittest.TestCase):
        for each in base.__subclasses__():
            yield each
            yield from classes(each)

    try:
        unittest.main(testRunner=Runner, **options)
    finally:
        for each in classes():
            each.doClassCleanups()
