# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts the programs that people start, tests/demo and tests/bench, for the tests of these: without the
build that comes first. May touch: what the program does."""

import os
import signal
import subprocess

from host import HERE

BENCH = HERE.parent / "benchmark/bench.py"
DEMO = HERE / "demo.py"


def hear_interrupts():
    """Ctrl-C counts, even if whoever runs the tests ignores it: nohup, a shell's job in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(program, *options, folder):
    """Starts one with its scratch folders below folder, in a process group of its own; the Popen."""
    return subprocess.Popen(
        ["/usr/bin/python3", str(program), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        start_new_session=True,
        preexec_fn=hear_interrupts,
        env=dict(os.environ, TMPDIR=folder),
    )
