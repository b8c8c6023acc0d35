# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test of tests/lab or tests/systems sees of the run that it is in: a lab that shows its logs, notes,
and skipping. run_file.py is the program. May touch: nothing but standard output.
"""

import signal
import sys
import time
import traceback

import lab as lab_module

LOG_TAIL = 15


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Run:
    """Options of this run, what the current test notes for the case that it fails, and what is to be
    ended after the last test."""

    keep = False
    pattern = ""
    notes = []
    closers = []

    @classmethod
    def close(cls):
        """Calls what at_end() has been given, the last one first."""
        while cls.closers:
            cls.closers.pop()()


def at_end(function):
    """Calls function after the last test of this run, however that ends."""
    Run.closers.append(function)


def note(text):
    """Prints a fact that was measured; it is no part of the verdict."""
    print(f"      | {text}", flush=True)


class TestLab(lab_module.Lab):
    """A lab that shows its logs when the test in it fails, and that stays up on request."""

    def __exit__(self, kind, *_):
        if kind is not None and issubclass(kind, Exception) and kind is not Skip:
            Run.notes.append(self.tail_of_logs())
            if Run.keep:
                traceback.print_exc()
                print("The lab stays up until Ctrl-C:", *self.how_to_enter(), sep="\n", flush=True)
                try:
                    signal.pause()
                except KeyboardInterrupt:
                    pass
        self.close()

    def tail_of_logs(self):
        """The last lines of each log of each host."""
        lines = []
        for path in sorted(self.folder.glob("*/log/*.log")):
            text = path.read_text(errors="backslashreplace").splitlines()[-LOG_TAIL:]
            if text:
                lines += [f"--- {path.relative_to(self.folder)}"] + text
        return "\n".join(lines)


def run_test(name, function):
    """Runs one test and prints its line; its verdict."""
    begin = time.monotonic()
    Run.notes = []
    verdict, text = "ok", ""
    try:
        function()
    except Skip as reason:
        verdict, text = "skip", str(reason)
    except Exception:  # pylint: disable=broad-except  (a test may fail in any way)
        verdict, text = "FAIL", "\n".join([traceback.format_exc()] + Run.notes)
    print(f"{verdict:<4}  {name}  {time.monotonic() - begin:.2f}")
    for line in text.splitlines():
        print(f"      | {line}")
    sys.stdout.flush()
    return verdict
