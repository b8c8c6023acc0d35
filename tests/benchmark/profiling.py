# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the time goes: measurements under perf, and the functions it saw most often. May touch: a file in
the scratch folder of the run."""

import os
import re
import shutil
import signal
import subprocess

PACKAGE = "linux-perf"  # has perf
TOP = 30  # functions
LENGTH_MIN = 3.0  # seconds: enough samples for functions of one per cent
ROW = re.compile(r"^\s+\d+\.\d+%")


def functions(path):
    """The lines of "perf report" that have a share, of what the traffic did and softirqs did for it."""
    names = ["bench-traffic", "swapper", *(f"ksoftirqd/{cpu}" for cpu in range(os.cpu_count()))]
    options = ["--stdio", "--no-children", "--sort", "symbol", "-g", "none", "--percentage", "relative"]
    result = subprocess.run(
        ["perf", "report", *options, "--comms", ",".join(names), "-i", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    rows = [line.rstrip(" -") for line in result.stdout.splitlines() if ROW.match(line)]
    return rows[:TOP] or [f"  perf report: {result.stderr.strip() or 'no samples'}"]


def record(subject, seconds, path):
    """One measurement under perf; its result."""
    # All CPUs: softirqs run wherever they like. Sampled by the clock: virtual machines count no cycles.
    command = ["perf", "record", "-q", "-a", "-e", "cpu-clock", "-F", "4000", "-o", str(path)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as perf:
        try:
            result = subject.measure(seconds)
        finally:
            perf.send_signal(signal.SIGINT)
            errors = perf.communicate()[1]
    if not path.exists():
        raise RuntimeError(f"perf record: {errors.strip()}")
    return result


def obstacle():
    """Why there can be no profile; None: there can."""
    return None if shutil.which("perf") else f"perf is not installed (package {PACKAGE})"


def run(bench, scenarios, options):
    """Each subject of the scenarios once; exit status."""
    if obstacle():
        print(obstacle(), flush=True)
        return 1
    path = bench.folder / "perf.data"
    for scenario in scenarios:
        for subject in scenario.subjects(bench):
            print(f"\n{scenario.title}: {subject.title}", flush=True)
            subject.prepare()
            try:
                result = record(subject, max(LENGTH_MIN, options.seconds) * scenario.length, path)
                print(f"{result['value']:.2f} {scenario.unit}; share of samples, function")
                print("\n".join(functions(path)), flush=True)
            finally:
                subject.finish()
                path.unlink(missing_ok=True)
    return 0
