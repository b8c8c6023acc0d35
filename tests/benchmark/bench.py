#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark that tests/bench starts after it has built everything; tests/bench --help says what it does.

May touch: hosts of its own and one scratch folder, which are gone afterwards; the files it is told to write.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# Hosts and what drives the service in them are those of the lab.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

# pylint: disable=wrong-import-position
import chart
import configs
import profiling
import report
import sample
import wanted
from lab import stage_project
from rig import Rig
from scenarios import ALL
from scenarios_more import MORE

QUICK_CONFIGS = ("plain", "plain-sum", "vxlan", "reference", "underpass")
OVERHEAD = 0.35  # seconds that a measurement takes beside its traffic
REPEATS = 2  # of a disturbed measurement
FAILURES = (RuntimeError, TimeoutError, AssertionError, subprocess.SubprocessError)


def say(text=""):
    """One line for the reader."""
    print(text, flush=True)


class Bench:
    """The rigs of one run, and what they measure."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = pathlib.Path(folder)
        self.stage = None
        self.missing = {}  # configuration -> why it is not there
        self.broken = False  # one that should be there is not
        self.scenarios = []  # (scenario, subjects)
        self._rigs = []
        self._extra = {}

    def rigs(self):
        """(configuration, rig) of all that take part."""
        return self._rigs

    def close(self):
        """Takes all rigs down."""
        for rig in [*self._extra.values(), *(rig for _, rig in self._rigs)]:
            rig.stop()
        self._extra, self._rigs = {}, []

    def start(self, selected):
        """Makes the rig of each configuration."""
        self.stage = os.environ.get("UNDERPASS_STAGE") or self.folder / "stage"
        if not os.environ.get("UNDERPASS_STAGE"):
            stage_project(self.stage)
        for config in selected:
            begin = time.monotonic()
            try:
                rig = self._start_rig(config)
            except configs.NotOffered as reason:
                self.missing[config.name] = str(reason).partition("\n")[0]
                say(f"  {config.title}: not offered: {self.missing[config.name]}")
                continue
            except FAILURES as error:
                self.missing[config.name] = f"failed: {error}"
                self.broken = True
                say(f"  {config.title}: FAILED: {error}")
                continue
            notes = "".join(f", {name}: {note}" for name, note in rig.notes.items())
            say(f"  {config.title}: ready after {time.monotonic() - begin:.1f} s{notes}")

    def _start_rig(self, config):
        """The rig of a configuration, which is taken down again if it is not available."""
        if config.offered:
            config.offered(self.stage)
        rig = self._new_rig(config)
        self._rigs.append((config, rig))
        try:
            rig.start()
            config.setup(rig)
            if config.udp:
                configs.prove_udp(rig)
        except (configs.NotOffered, *FAILURES):
            rig.stop()
            self._rigs.pop()
            raise
        return rig

    def _new_rig(self, config, name=None):
        stage = self.stage if config.ours else None
        return Rig(config.name, self.folder / (name or config.name), stage, config.cuts)

    def extra_rig(self, name):
        """A rig of Underpass for one scenario."""
        config = next(config for config, _ in self._rigs if config.name == "underpass")
        rig = self._extra[name] = self._new_rig(config, name)
        rig.start()
        config.setup(rig)
        return rig

    def drop_rig(self, name):
        """Takes it down."""
        rig = self._extra.pop(name, None)
        if rig:
            rig.stop()
            shutil.rmtree(rig.folder, ignore_errors=True)


class Progress:
    """How much is done, and how long the rest may take."""

    def __init__(self, work):
        self._left = self._work = work
        self._begin = time.monotonic()

    def step(self, work):
        """So much is done; the rest, in words."""
        self._left -= work
        done = self._work - self._left
        seconds = (time.monotonic() - self._begin) / done * self._left
        return f"{max(0, seconds) // 60:.0f}:{max(0, seconds) % 60:02.0f} left"


def measured(subject, seconds, patient):
    """One sample, repeated when others have used the machine meanwhile; the least disturbed one."""
    found = []
    for _ in range(1 + (REPEATS if patient else 0)):
        found.append(subject.measure(seconds))
        if found[-1].get("others", 0) <= sample.OTHERS_MAX:
            break
    best = min(found, key=lambda each: each.get("others", 0))
    best["repeated"] = len(found) - 1
    best["disturbed"] = best.get("others", 0) > sample.OTHERS_MAX
    return best


def run_scenario(scenario, subjects, options, progress):
    """All rounds of a scenario: A B C A B C …"""
    seconds = options.seconds * scenario.length
    work = seconds + OVERHEAD
    say(f"\n{scenario.name}: {scenario.title}")
    width = max((len(subject.title) for subject in subjects), default=0)
    for turn in range(options.rounds):
        for subject in subjects:
            try:
                found = measured(subject, seconds, not options.quick)
            except FAILURES as error:
                subject.failures.append(str(error))
                say(f"  {turn + 1}/{options.rounds}  {subject.title:<{width}}  FAILED: {error}")
                progress.step(work)
                continue
            found["round"] = turn
            subject.samples.append(found)
            text = f"{report.number(found['value'])} {scenario.unit}"
            note = f"  (others used {found['others']:.1f} CPUs)" if found["disturbed"] else ""
            left = progress.step(work)
            say(f"  {turn + 1}/{options.rounds}  {subject.title:<{width}}  {text:>14}  {left}{note}")


def run_all(bench, options):
    """Every scenario, one after the other."""
    plan = []
    for scenario in selected_scenarios(options):
        subjects = scenario.subjects(bench)
        if subjects:
            plan.append((scenario, subjects))
    work = [
        (options.seconds * scenario.length + OVERHEAD) * len(subjects) * options.rounds
        for scenario, subjects in plan
    ]
    progress = Progress(sum(work))
    for scenario, subjects in plan:
        bench.scenarios.append((scenario, subjects))
        prepared = []
        try:
            for subject in subjects:
                if prepare(subject):
                    prepared.append(subject)
            run_scenario(scenario, prepared, options, progress)
            note_own_drops(prepared)
        finally:
            for subject in prepared:
                subject.finish()


def prepare(subject):
    """Whether the subject can take part."""
    try:
        subject.prepare()
        return True
    except FAILURES as error:
        subject.failures.append(str(error))
        say(f"\n  {subject.title}: FAILED: {error}")
        return False


def note_own_drops(subjects):
    """What Underpass itself has dropped so far in the rigs of these subjects, if anything."""
    for subject in subjects:
        if subject.rig and subject.name.startswith("underpass"):
            subject.notes["underpass_drops"] = configs.drops(subject.rig)


def matches(name, pattern):
    """Whether a name is selected: the pattern is a part of it, or with = in front the whole of it; several
    are separated by commas."""
    words = pattern.split(",")
    return any(name == word[1:] if word.startswith("=") else word in name for word in words)


def selected_scenarios(options):
    """Those of -k; of --quick when there is no -k; none that takes more CPUs than there are."""
    return [
        scenario
        for scenario in [*ALL, *MORE]
        if matches(scenario.name, options.k)
        and (scenario.quick or options.k or not options.quick)
        and scenario.cpus <= sample.CPUS
    ]


def selected_configs(options):
    """Those of -c; those that --quick has when there is no -c."""
    found = []
    for config in configs.all_configs(options.reference):
        if options.c:
            chosen = matches(config.name, options.c)
        else:
            chosen = not options.quick or config.name in QUICK_CONFIGS
        if chosen:
            found.append(config)
    return found


def commit():
    """What was built, as git calls it; None where there is no git."""
    if not shutil.which("git"):
        return None
    command = ["git", "-C", str(configs.ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stdout.strip() or None


def environment(options):
    """What the numbers depend upon."""
    model = [
        line.partition(":")[2].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "kernel": os.uname().release,
        "cpu": model[0] if model else os.uname().machine,
        "cpus": os.cpu_count(),
        "commit": commit(),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "reference": bool(options.reference),
        "netdev_max_backlog": int(pathlib.Path("/proc/sys/net/core/netdev_max_backlog").read_text()),
    }


def publish(bench, options):
    """Prints the tables and writes the files."""
    results = report.results(bench.scenarios, environment(options), bench.missing)
    say("\n" + report.tables(results))
    results["wanted"] = wanted.judge(results)
    say(wanted.table(results["wanted"]))
    write(results, options)


def write(results, options):
    """Writes the files."""
    for path, text in (
        (options.json, json.dumps(results, indent=1, ensure_ascii=False) + "\n"),
        (options.svg, chart.draw(results)),
    ):
        path.write_text(text, encoding="utf-8")
    say(f"\nNumbers: {options.json}\nChart: {options.svg}")


def parse():
    """The options that tests/bench passed on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--guest", choices=("bookworm", "trixie", "sid"))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--reference", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, default=sample.BUILD / "benchmark.json")
    parser.add_argument("--svg", type=pathlib.Path, default=sample.BUILD / "benchmark.svg")
    parser.add_argument("-k", default="")
    parser.add_argument("-c", default="")
    options = parser.parse_args()
    if not options.guest:
        options.rounds = options.rounds or (3 if options.quick else 5)
        options.seconds = options.seconds or (0.25 if options.quick else 1.0)
    return options


def run(options):
    """The whole run; exit status."""
    folder = tempfile.mkdtemp(prefix="underpass-bench-")
    os.chmod(folder, 0o755)
    bench = Bench(options, folder)
    interrupted = False
    try:
        say("Hosts:")
        bench.start(selected_configs(options))
        if options.profile:
            return profiling.run(bench, selected_scenarios(options), options)
        try:
            run_all(bench, options)
        except KeyboardInterrupt:
            say("\nInterrupted; this is what there was until now.")
            interrupted = True
        if any(subject.samples for _, subjects in bench.scenarios for subject in subjects):
            publish(bench, options)
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    failed = bench.broken or any(subject.failures for _, subjects in bench.scenarios for subject in subjects)
    return 130 if interrupted else 1 if failed else 0


def run_in_guest(options):
    """The same in a guest; exit status."""
    import guest_run  # pylint: disable=import-outside-toplevel  (guests have no guests)

    results = guest_run.run(options, say)
    if results:
        results["environment"]["guest"] = options.guest
        write(results, options)
    return 1 if results is None else 0


def main():
    """Lists, or runs."""
    options = parse()
    if options.list:
        for scenario in selected_scenarios(options):
            say(f"{scenario.name:<14}{scenario.title}")
        say()
        for config in selected_configs(options):
            say(f"{config.name:<24}{config.title}")
        return 0
    if not selected_scenarios(options):
        sys.exit(f"no scenario has {options.k!r} in its name; --list names them")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.umask(0o022)
    try:
        return run_in_guest(options) if options.guest else run(options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
