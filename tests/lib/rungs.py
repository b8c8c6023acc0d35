#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the rungs of tests of a finished build and counts: the second half of tests/run, which has the
options' help.

Rungs 1 and 2 are meson tests; rung 3 is meson tests too and the files test_*.py of tests/lab, rung 4 those
of tests/systems. May touch: logs and the folder "failures" in the build folder, one scratch folder with the
installed project, and what tests/systems/roots.py says.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LAB = HERE.parent / "lab"
SYSTEMS = HERE.parent / "systems"
sys.path.insert(0, str(SYSTEMS))

import interrupts  # noqa: E402
import many  # noqa: E402
from roots import RELEASES  # noqa: E402
from runner import in_short  # noqa: E402

ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("UNDERPASS_BUILD", ROOT / "build"))
LOG_TAIL = 40
NAMED = 8  # failures that are explained at the end of a run
TELLING = re.compile(r"Error\b|\berror:|^FAIL: |Assertion|^not ok|failed:")

TITLES = {
    1: "pure code and checks",
    2: "BPF programs",
    3: "network namespaces and hosts",
    4: "whole systems",
}

# Whole groups that take minutes and change with releases rather than with sources: only who names one runs it, as
# tests/release-check does.
OF_RELEASES = ("systems/builds", "systems/processors", "systems/autopkgtest")

# Suites of meson tests by rung; a test of none of them belongs to rung 1.
SUITE_BPF = "bpf"
SUITE_ROOT = "root"
MESON_VERDICTS = {"OK": "ok", "EXPECTEDFAIL": "ok", "SKIP": "skip"}


class Totals:
    """Counts verdicts."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self._failures = {}  # name -> why, in short
        lines = (ROOT / "tests/expected-skips").read_text().splitlines()
        self._expected = {line.partition("#")[0].strip() for line in lines}
        self._strict = os.environ.get("CI") == "true"

    def count(self, verdict, name):
        """Takes one verdict in."""
        if verdict == "ok":
            self.passed += 1
        elif verdict == "FAIL":
            self.failed += 1
            self._failures.setdefault(name, "")
        else:
            self.skipped += 1
            if self._strict and name not in self._expected:
                print(
                    "      | skipped, but tests/expected-skips does not name it: a failure in CI", flush=True
                )
                self.skipped -= 1
                self.failed += 1
                self._failures[name] = "skipped, and nobody expects it"

    def explain(self, name, reason):
        """Why a test failed, in short."""
        self._failures[name] = reason

    def show(self, verdict, name, seconds, detail=""):
        """Prints the line of a test, what is to be said about it, and counts it."""
        print(f"{verdict:<4}  {name}  {seconds:.2f}")
        for line in detail.splitlines():
            print(f"      | {line}")
        sys.stdout.flush()
        self.count(verdict, name)
        if verdict == "FAIL":
            self.explain(name, in_short(telling_line(detail)))

    def empty(self):
        """Whether nothing was counted."""
        return self.passed + self.failed + self.skipped == 0

    def closing_lines(self):
        """The last lines of a run: the failures, and how many there were of everything."""
        failures = list(self._failures.items())
        lines = [f"failed: {name}: {reason}" for name, reason in failures[:NAMED]]
        if failures[NAMED:]:
            lines.append("failed, too: " + ", ".join(name for name, _ in failures[NAMED:]))
        return [*lines, f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"]


def telling_line(text):
    """The line of a program's output that most likely says why it failed: the last one with a word of that kind."""
    lines = [line for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if TELLING.search(line)), lines[-1] if lines else "")


def meson_tests():
    """(suites, name) of all meson tests, suites without the project's name."""
    answer = subprocess.run(
        ["/usr/bin/meson", "introspect", str(BUILD), "--tests"],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    return [
        ({suite.rpartition(":")[2] for suite in test["suite"]}, test["name"])
        for test in json.loads(answer.stdout)
    ]


def meson_name(suites, name):
    """How a meson test is called in the output: suite/name."""
    return f"{min(suites or {'meson'})}/{name}".replace(" ", "-")


def run_meson(selected, rung, totals):
    """Runs these meson tests and shows the results in the order of their end."""
    base = f"rung-{rung}"
    # Tests of rung 3 are not made to run beside each other on a small machine.
    command = [
        "/usr/bin/meson",
        "test",
        "-C",
        str(BUILD),
        "--no-rebuild",
        "--logbase",
        base,
        "--num-processes",
        "1" if rung == 3 else "2",
        *[name for _, name in selected],
    ]
    log = BUILD / "meson-logs" / f"{base}.json"
    log.unlink(missing_ok=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    output, _ = interrupts.ended_too(command, **pipes, encoding="utf-8", errors="backslashreplace")
    suites = {name: suites for suites, name in selected}
    seen = set()
    for line in log.read_text().splitlines() if log.exists() else []:
        result = json.loads(line)
        # "project:suite / name", or in newer versions "suite - project:name".
        name = re.split(r" / |:(?!.* / )", result["name"])[-1]
        seen.add(name)
        verdict = MESON_VERDICTS.get(result["result"], "FAIL")
        text = (result["stdout"] or "") + (result.get("stderr") or "")
        lines = text.splitlines()
        if verdict == "FAIL":
            head = f"{result['result']}, exit status {result['returncode']}, all of it: {log.with_suffix('.txt')}"
            lines = [head, *lines[-LOG_TAIL:]]
        elif verdict == "skip":
            lines = lines[-1:]
        else:
            lines = [line.removeprefix("note: ") for line in lines if line.startswith("note: ")]
        totals.show(verdict, meson_name(suites[name], name), result["duration"], "\n".join(lines))
    for name in suites.keys() - seen:
        text = output[-2000:]
        totals.show("FAIL", meson_name(suites[name], name), 0, "no result\n" + text)


def lab_files(folder, pattern):
    """Files of a folder that have tests with a name that contains the pattern, and these names."""
    for file in sorted(folder.glob("test_*.py")):
        group = f"{folder.name}/{file.stem.removeprefix('test_')}"
        if group in OF_RELEASES and not pattern.startswith(group):
            continue
        names = many.names_in(file, pattern)
        if names:
            yield file, names


def install_stage(folder):
    """Installs the project into a folder for the hosts of the lab; its path."""
    stage = pathlib.Path(folder) / "stage"
    subprocess.run(
        ["/usr/bin/meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet"],
        check=True,
        env=dict(os.environ, DESTDIR=str(stage)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return stage


class Systems:
    """Builds the roots of the releases that tests of rung 4 have in their names, as far as they are missing, and the
    project in each: beside rung 3, which mostly waits. A release that fails is reported by its tests."""

    def __init__(self, scratch, names):
        self._log = pathlib.Path(scratch) / "systems.log"
        self._process = None
        stages = pathlib.Path(scratch) / "systems"
        os.environ["UNDERPASS_SYSTEM_STAGES"] = str(stages)
        releases = [release for release in RELEASES if any(release in name for name in names)]
        if not releases:
            return
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["nice", "-n", "10", "/usr/bin/python3", str(SYSTEMS / "roots.py"), str(stages), *releases],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self):
        """Until they are there; shows what was said meanwhile."""
        if self._process:
            if self._process.poll() is None:
                print("\nWaiting for the systems of rung 4.", flush=True)
                self._process.wait()
            print(self._log.read_text(errors="backslashreplace"), end="", flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def run_all(options, totals, scratch):
    """All rungs."""
    tests = [(suites, name) for suites, name in meson_tests() if options.k in meson_name(suites, name)]
    rungs = {
        1: [test for test in tests if not test[0] & {SUITE_BPF, SUITE_ROOT}],
        2: [test for test in tests if SUITE_BPF in test[0]],
        3: [test for test in tests if SUITE_ROOT in test[0] and SUITE_BPF not in test[0]],
    }
    folders = {} if options.quick else {3: LAB, 4: SYSTEMS}
    labs = {rung: list(lab_files(folder, options.k)) for rung, folder in folders.items()}
    if options.quick:
        rungs.pop(3)
    else:
        rungs[4] = []
    runs_systems = not options.list and os.geteuid() == 0
    names = [name for _, each in labs.get(4, []) for name in each] if runs_systems else []
    with Systems(scratch, names) as systems:
        for rung, selected in rungs.items():
            if rung == 4:
                systems.wait()
            run_rung(rung, selected, labs.get(rung, []), options, totals, scratch)


def run_rung(rung, selected, labs, options, totals, scratch):
    """One rung: its meson tests and its files, or their names only."""
    names = [name for _, each in labs for name in each]
    if options.list:
        print(
            *[meson_name(*test) for test in selected],
            *names,
            sep="\n",
            end="\n" if selected or names else "",
        )
        return
    print(f"\nrung {rung}: {TITLES[rung]}", flush=True)
    if rung > 1 and os.geteuid() != 0:
        for name in [meson_name(*test) for test in selected] + names:
            totals.show("skip", name, 0, "needs root: sudo tests/run")
        return
    if selected:
        run_meson(selected, rung, totals)
    if rung == 3 and labs:
        os.environ["UNDERPASS_STAGE"] = str(install_stage(scratch))
    # Those with the most tests begin, so that none of them is left alone at the end.
    labs.sort(key=lambda each: -len(each[1]))
    words = ["-k", options.k] + (["--keep"] if options.keep else [])
    many.Files(words, totals).run(labs, 1 if options.keep else options.jobs)


def main():
    """Parses the options that tests/run passed on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--jobs", type=int, default=many.jobs_by_default())
    parser.add_argument("-k", metavar="PATTERN", default="")
    options = parser.parse_args()
    # So what the tests start hears Ctrl-C, even if whoever runs them ignores it: nohup, a shell's job in the background.
    interrupts.end_once()
    os.umask(0o022)
    totals = Totals()
    scratch = tempfile.mkdtemp(prefix="underpass-run-")
    os.chmod(scratch, 0o755)
    try:
        run_all(options, totals, scratch)
    except (OSError, subprocess.CalledProcessError) as error:
        stderr = getattr(error, "stderr", None) or b""
        totals.show("FAIL", "run", 0, f"{error}\n{stderr.decode(errors='backslashreplace')}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if options.list:
        return
    if totals.empty():
        totals.show("FAIL", "run", 0, f"no test has {options.k!r} in its name")
    print()
    print(*totals.closing_lines(), sep="\n")
    sys.exit(1 if totals.failed else 0)


if __name__ == "__main__":
    main()
