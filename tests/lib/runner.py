# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test of tests/lab or tests/systems sees of the run that it is in: a lab that shows its logs, notes,
and skipping. run_file.py is the program. May touch: standard output, and the folder "failures" of the build, where
all is kept that can be said of a test that failed.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

import interrupts
import lab as lab_module

LOG_TAIL = 15
FAILURES = pathlib.Path(os.environ.get("UNDERPASS_BUILD", lab_module.ROOT / "build")) / "failures"
IN_SHORT = "      | in short: "  # begins the line that says why a test failed, for whoever counts (rungs.py)
SHORT = 180  # characters
# What is asked in each host of a lab in which a test has failed.
QUESTIONS = (
    "ip -details -statistics address",
    "ip neighbour",
    "ip route show table all",
    "ip -6 route show table all",
    "ip rule",
    "ip mptcp endpoint",
    "tc -statistics qdisc",
    "ss --tcp --udp --all --numeric --info --extended",
    "nft list ruleset",
    "nstat --ignore --noupdate",
    "bpftool net",
    "ps -e -o pid,ppid,stat,etime,args",
)


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Run:
    """Options of this run, what the current test notes for the case that it fails, and what is to be
    ended after the last test."""

    keep = False
    pattern = ""
    facts = []  # measured by the current test
    notes = []
    records = []  # longer than what is printed
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
    """A fact that was measured; it is printed below the verdict, and no part of it."""
    Run.records.append(text)
    Run.facts.append(text)


def answer(host, question):
    """What a host says to a command, whatever becomes of it."""
    try:
        result = host.run(*question.split(), check=False, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{error}\n"
    return result.stdout + result.stderr


class TestLab(lab_module.Lab):
    """A lab that shows its logs when the test in it fails, and that stays up on request."""

    def __exit__(self, kind, *_):
        if kind is not None and issubclass(kind, Exception) and kind is not Skip:
            Run.records.append(self.record())
            Run.notes.append(self.tail_of_logs())
            if Run.keep:
                traceback.print_exc()
                print("The lab stays up until Ctrl-C:", *self.how_to_enter(), sep="\n", flush=True)
                self.close_when_told()
        self.close()

    def close_when_told(self):
        """Waits for Ctrl-C. The next test follows, unless the whole run is to end."""
        signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.SIGNALS)
        number = signal.sigwait(interrupts.SIGNALS)
        self.close()
        if number == signal.SIGTERM:
            signal.raise_signal(number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.SIGNALS)

    def tail_of_logs(self):
        """The last lines of each log of each host."""
        lines = []
        for name, text in self.logs():
            lines += [f"--- {name}"] + text.splitlines()[-LOG_TAIL:]
        return "\n".join(lines)

    def logs(self):
        """(name, text) of each log of each host that says anything."""
        for path in sorted(self.folder.glob("*/log/*.log")):
            text = path.read_text(errors="backslashreplace")
            if text:
                yield path.relative_to(self.folder), text

    def record(self):
        """All logs, and what the hosts are at this moment."""
        parts = [f"--- {name}\n{text}" for name, text in self.logs()]
        for host in self.hosts:
            if host.init is not None:
                parts += [f"--- {host.name}: {question}\n{answer(host, question)}" for question in QUESTIONS]
        return "\n".join(parts)


def keep_failure(name, text):
    """Writes all that there is to say of a test that failed into a file; its path, or why there is none."""
    path = FAILURES / (name.replace("/", ".") + ".txt")
    try:
        FAILURES.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([name, text, *Run.records, ""]), errors="backslashreplace")
    except OSError as error:
        return str(error)
    return str(path)


def in_short(text):
    """As much of a text as fits one line."""
    words = " ".join(text.split())
    return words if len(words) <= SHORT else words[: SHORT - 1] + "…"


def run_test(name, function):
    """Runs one test and prints its line; its verdict."""
    begin = time.monotonic()
    Run.facts, Run.notes, Run.records = [], [], []
    verdict, text, short = "ok", "", ""
    try:
        function()
    except Skip as reason:
        verdict, text = "skip", str(reason)
    except Exception as error:  # pylint: disable=broad-except  (a test may fail in any way)
        kept = keep_failure(name, traceback.format_exc())
        verdict, text = "FAIL", "\n".join([traceback.format_exc(), *Run.notes, f"all of it: {kept}"])
        short = IN_SHORT + in_short(f"{type(error).__name__}: {error}")
    print(f"{verdict:<4}  {name}  {time.monotonic() - begin:.2f}")
    for line in "\n".join([*Run.facts, text]).splitlines():
        print(f"      | {line}")
    if short:
        print(short)
    sys.stdout.flush()
    return verdict
