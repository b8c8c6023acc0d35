# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the files of rungs 3 and 4, several beside each other, for rungs.py: most of their time they wait. What a test
prints stays together. May touch: standard output."""

import collections
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import threading

from runner import IN_SHORT

RUN_FILE = ("/usr/bin/python3", str(pathlib.Path(__file__).resolve().parent / "run_file.py"))
LINE = re.compile(r"(ok|FAIL|skip) +(\S+) +([0-9.]+)$")
BESIDE_MAX = 2  # more of them would wait for each other's CPUs


def jobs_by_default():
    """How many files run beside each other when nobody says so."""
    return min(BESIDE_MAX, os.cpu_count() or 1)


def names_in(file, pattern):
    """Names of the tests of a file that contain the pattern."""
    return subprocess.run(
        [*RUN_FILE, str(file), "--list", "-k", pattern],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    ).stdout.split()


class Files:
    """Runs files and counts into totals. words: options of run_file.py."""

    def __init__(self, words, totals):
        self._words = words
        self._totals = totals
        self._lock = threading.Lock()  # of what is printed and counted, and of the next two
        self._processes = set()
        self._ended = False

    def run(self, files, jobs):
        """files: pairs of path and names of its tests. When it is interrupted, the tests take their labs down
        before it returns."""
        waiting = collections.deque(files)
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            workers = [pool.submit(self._work, waiting) for _ in range(jobs)]
            try:
                for worker in concurrent.futures.as_completed(workers):
                    worker.result()
            except BaseException:
                waiting.clear()
                self._end()
                raise

    def _end(self):
        """Nothing more begins; what runs is told to end."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.send_signal(signal.SIGTERM)

    def _work(self, waiting):
        """One file after the other, as long as there are any."""
        while True:
            try:
                file, names = waiting.popleft()
            except IndexError:
                return
            self._run_file(file, names)

    def _start(self, file):
        """The process of a file; None when the run is to end."""
        with self._lock:
            if self._ended:
                return None
            process = subprocess.Popen(
                [*RUN_FILE, str(file), *self._words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="backslashreplace",
            )
            self._processes.add(process)
            return process

    def _run_file(self, file, names):
        process = self._start(file)
        if process is None:
            return
        left, block = set(names), []
        with process:
            for line in process.stdout:
                if LINE.match(line.rstrip()):
                    self._take(block, left)
                    block = []
                block.append(line)
            self._take(block, left)
        with self._lock:
            self._processes.discard(process)
            if self._ended:
                return
            for name in names:
                if name in left:
                    text = f"{file.name} ended with status {process.returncode}, this test has no verdict"
                    self._totals.show("FAIL", name, 0, text)

    def _take(self, block, left):
        """What one test has printed: its verdict comes first. left: tests that have none yet."""
        if not block:
            return
        match = LINE.match(block[0].rstrip())
        with self._lock:
            print(*block, sep="", end="", flush=True)
            if not match or match[2] not in left:
                return
            left.discard(match[2])
            self._totals.count(match[1], match[2])
            for line in block:
                if line.startswith(IN_SHORT):
                    self._totals.explain(match[2], line.removeprefix(IN_SHORT).strip())
