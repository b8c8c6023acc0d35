# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the tests of one file of the lab and prints one line for each: "ok|FAIL|skip  name  seconds".

A test is a function test_* of the file, in the order in which they stand there; it fails by raising an
exception. After a failure the lines say why, and the end of every log of its lab follows. May touch: nothing
but standard output.
"""

import argparse
import os
import pathlib
import signal
import sys
import time
import traceback

import lab as lab_module

LOG_TAIL = 15


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Run:
    """Options of this run, and what the current test notes for the case that it fails."""

    keep = False
    notes = []
    labs = []


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


def main():
    """Runs the tests of the file that was started; never returns."""
    file = pathlib.Path(sys.argv[0]).resolve()
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--list", action="store_true", help="print the names of the tests and end")
    parser.add_argument("-k", metavar="PATTERN", default="", help="only tests whose name contains PATTERN")
    parser.add_argument("--keep", action="store_true", help="leave the lab of a failed test up until Ctrl-C")
    options = parser.parse_args()
    Run.keep = options.keep

    prefix = f"{file.parent.name}/{file.stem.removeprefix('test_')}"
    tests = {
        f"{prefix}/{name.removeprefix('test_')}": function
        for name, function in vars(sys.modules["__main__"]).items()
        if name.startswith("test_") and callable(function)
    }
    tests = {name: function for name, function in tests.items() if options.k in name}
    if options.list:
        print(*tests, sep="\n")
        sys.exit(0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.umask(0o022)
    try:
        verdicts = [run_test(name, function) for name, function in tests.items()]
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if "FAIL" in verdicts else 0)
