#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Test of tests/lib/many.py, which runs files of tests beside each other: what a test prints stays together, every
test has one verdict, and who is interrupted lets the tests clean up. May touch: a scratch folder."""

import contextlib
import io
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402
import many  # noqa: E402

MIXED = """
import time
import runner

def test_one():
    runner.note("{name} one begins")
    time.sleep(0.2)
    runner.note("{name} one ends")

def test_two():
    raise runner.Skip("{name} two cannot")

def test_three():
    runner.note("{name} three measures")
    assert False, "{name} three fails"
"""
ENDING = """
import os

def test_one():
    pass

def test_two():
    os._exit(3)

def test_three():
    pass
"""
WAITING = """
import pathlib
import time

def test_one():
    try:
        pathlib.Path("{folder}/begun").touch()
        time.sleep(60)
    finally:
        pathlib.Path("{folder}/cleaned").touch()
"""
TESTS = ("one", "two", "three")


class Totals:
    """As in rungs.py, in lists."""

    def __init__(self):
        self.verdicts, self.reasons = {}, {}

    def count(self, verdict, name):
        """One verdict."""
        assert name not in self.verdicts, name
        self.verdicts[name] = verdict

    def explain(self, name, reason):
        """Why a test failed."""
        self.reasons[name] = reason

    def show(self, verdict, name, _seconds, detail):
        """A verdict that no file has printed."""
        self.count(verdict, name)
        self.explain(name, detail)


class Many(unittest.TestCase):
    """Files in a scratch folder, run as rungs.py runs those of tests/lab."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="underpass-many-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        os.environ["UNDERPASS_BUILD"] = folder.name
        self.totals = Totals()

    def file(self, name, text):
        """Writes a file; what Files.run() takes."""
        path = self.folder / f"test_{name}.py"
        path.write_text(text.replace("{name}", name).replace("{folder}", str(self.folder)))
        names = many.names_in(path, "")
        self.assertTrue(names)
        return path, names

    def run_files(self, files, jobs=2):
        """Runs them; what they print."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            many.Files([], self.totals).run(files, jobs)
        return output.getvalue().splitlines()

    def test_blocks(self):
        """Two files that take turns at printing: below each verdict stands what belongs to its test."""
        lines = self.run_files([self.file(name, MIXED) for name in ("first", "second")])
        verdict = dict(zip(TESTS, ("ok", "skip", "FAIL")))
        expected = {f"{self.folder.name}/{name}/{test}": verdict[test] for name in ("first", "second") for test in TESTS}
        self.assertEqual(self.totals.verdicts, expected)
        current = None
        seen = 0
        for line in lines:
            match = many.LINE.match(line)
            if match:
                current = match[2].split("/")[1:]
            for name in ("first", "second"):
                for test in TESTS:
                    if f"{name} {test} " in line:
                        self.assertEqual(current, [name, test], line)
                        seen += 1
        self.assertGreaterEqual(seen, 2 * 5)
        reason = self.totals.reasons[f"{self.folder.name}/first/three"]
        self.assertEqual(reason, "AssertionError: first three fails")

    def test_file_that_ends(self):
        """The test that ended the process, and those behind it, have failed."""
        self.run_files([self.file("ending", ENDING)])
        verdicts = [self.totals.verdicts[f"{self.folder.name}/ending/{test}"] for test in TESTS]
        self.assertEqual(verdicts, ["ok", "FAIL", "FAIL"])
        self.assertIn("status 3", self.totals.reasons[f"{self.folder.name}/ending/two"])

    def test_interrupted(self):
        """Ctrl-C: the test cleans up before the run is over, and nothing else begins."""
        files = [self.file(name, WAITING) for name in ("waiting", "never")]

        def interrupt():
            while not (self.folder / "begun").exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, previous)
        threading.Thread(target=interrupt, daemon=True).start()
        with self.assertRaises(KeyboardInterrupt):
            self.run_files(files, 1)
        self.assertTrue((self.folder / "cleaned").exists())
        self.assertEqual(self.totals.verdicts, {})


if __name__ == "__main__":
    interrupts.main()
