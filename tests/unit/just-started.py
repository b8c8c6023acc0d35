#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of this folder once more, on a machine that was started a second ago: what is "long ago" in a
record may then be before the clock's 0. Time namespaces give them such a clock (Linux 5.6).
Usage: just-started.py FOLDER. May touch: the programs' own namespaces.
"""

import os
import pathlib
import subprocess
import sys
import time

SKIPPED = 77  # of a program; TAP says it in words
SECONDS = 120
ROOT = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]


def in_a_young_world(*command):
    """The command, for which the machine has been up for a second."""
    words = ["unshare", *ROOT, "--time", "--fork", "--kill-child"]
    for option, clock in (("monotonic", time.CLOCK_MONOTONIC), ("boottime", time.CLOCK_BOOTTIME)):
        words += [f"--{option}", str(1 - int(time.clock_gettime(clock)))]
    return subprocess.run(
        [*words, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        timeout=SECONDS,
        check=False,
    )


def main(folder):
    """Runs the programs one after the other."""
    programs = sorted(
        path for path in pathlib.Path(folder).glob("test-*") if path.is_file() and os.access(path, os.X_OK)
    )
    found = in_a_young_world("cat", "/proc/uptime")
    if found.returncode != 0:
        print(f"1..0 # SKIP no time namespace: {found.stdout.strip()}")
        return 0
    assert float(found.stdout.split()[0]) < 10, f"the machine is up for {found.stdout}"
    print(f"1..{len(programs)}")
    failed = 0
    for number, program in enumerate(programs, 1):
        result = in_a_young_world(program)
        passed = result.returncode in (0, SKIPPED)
        if not passed:
            print(*(f"# {line}" for line in result.stdout.splitlines()[-20:]), sep="\n")
        print(f"{'ok' if passed else 'not ok'} {number} - {program.name}", flush=True)
        failed += not passed
    return 1 if failed or not programs else 0


sys.exit(main(sys.argv[1]))
