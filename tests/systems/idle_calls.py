#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a machine: calls the service again and again around the moment at which it leaves because it has
nothing to do, and prints how many calls were answered. Touches nothing.

usage: idle_calls.py BURSTS CALLS   so many calls in each of so many bursts; the service leaves after a second
"""

import subprocess
import sys
import time

CALL = (
    "busctl",
    "--timeout=30",
    "call",
    "org.underpass1",
    "/org/underpass1",
    "org.underpass1.Manager",
    "ListLinks",
)
EARLY = 0.02  # seconds before the service leaves, at which a burst begins
LATER = 0.015  # seconds that each burst begins later than the one before it
GAP = 0.005  # seconds between two calls


def main():
    """All bursts; says what failed."""
    bursts, calls = int(sys.argv[1]), int(sys.argv[2])
    answered = 0
    for burst in range(bursts):
        subprocess.run(CALL, check=True, stdout=subprocess.DEVNULL)
        time.sleep(1 - EARLY + LATER * burst)
        running = []
        for _ in range(calls):
            running.append(subprocess.Popen(CALL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
            time.sleep(GAP)
        for process in running:
            complaint = process.communicate()[1]
            answered += process.returncode == 0
            if process.returncode != 0:
                print(complaint.decode(errors="backslashreplace").strip(), file=sys.stderr)
    print(answered)


if __name__ == "__main__":
    main()
