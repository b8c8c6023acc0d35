# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark in a guest: a Debian kernel under QEMU, with a clock that counts instructions. A second of
the guest is 10^9 of them, so what is told as Gbit/s says how many instructions a bit takes, and quotients are
those of instructions: the same on every machine and however busy it is. Copies of memory look cheaper there
than they are.

May touch: what guest.py of tests/systems says.
"""

import json
import pathlib
import shutil
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "systems"))

# pylint: disable=wrong-import-position
import guest
import profiling

PROGRAMS = [f"tests/benchmark/bench-{name}" for name in ("traffic", "helper", "cost", "rival.bpf.o")]
CLOCK = ("-icount", "shift=0,sleep=off")
# While the guest waits for its disk and does nothing else, the clock runs on to the end of the next timer, and
# so to the end of anybody's patience. So everything is read first, and stays in memory. Megabytes: the tables of
# one configuration of Underpass take 50.
MEMORY = ("-m", "2048")
READ_ALL = ("bash", "-O", "globstar", "-c", "cat /usr/**/* /project/**/* >/dev/null 2>&1")
SECONDS = 3600  # more than any run should take
RESULTS = "/tmp/results.json"
REFERENCE = "/project/reference.o"
# Each host takes many seconds there, and one round is as good as many.
SCENARIOS = "=direct,=direct-down,=link-cuts,=router,=bbr,=latency,forward,=untunnelled,=program"
DEFAULT_SECONDS = 0.2


def command(options):
    """The run in the guest, with the options of this one."""
    words = [
        "env",
        "UNDERPASS_BUILD=/project/programs",
        "UNDERPASS_STAGE=/project/stage",
        "/usr/bin/python3",
    ]
    words += ["/project/tests/benchmark/bench.py", "--json", RESULTS, "--svg", "/dev/null"]
    words += ["-k", options.k or SCENARIOS, "--rounds", options.rounds or 1]
    words += ["--seconds", options.seconds or DEFAULT_SECONDS]
    words += ["-c", options.c] if options.c else []
    words += [f"--{name}" for name in ("quick", "profile") if getattr(options, name)]
    return words + (["--reference", REFERENCE] if options.reference else [])


def add_to_project(folder, reference):
    """What the guest sees below /project, beside what guest.py puts there."""
    ignore = shutil.ignore_patterns("__pycache__", "*.c", "*.h")
    shutil.copytree(TESTS / "benchmark", folder / "tests/benchmark", ignore=ignore)
    if reference:
        shutil.copy2(reference, folder / pathlib.Path(REFERENCE).name)


def run(options, say):
    """Runs the benchmark in a guest; the results as data, {} after a profile, or None when there are none."""
    obstacle = guest.obstacle() or (options.profile and profiling.obstacle())
    if obstacle:
        say(f"no guest: {obstacle}")
        return None
    arguments = {
        "programs": PROGRAMS,
        "packages": [profiling.PACKAGE] if options.profile else [],
        "prepare": lambda folder: add_to_project(folder, options.reference),
        "words": (*CLOCK, *MEMORY),
    }
    with guest.Guest(options.guest, say=say, **arguments) as machine:
        say("A second is 10^9 instructions here, so Gbit/s tells how many instructions a bit takes.")
        machine.run(*READ_ALL)
        status, _ = machine.run(*command(options), seconds=SECONDS, say=say)
        if status != 0:
            say(f"The benchmark in the guest ended with {status}.")
        if options.profile:
            return None if status else {}
        missing, text = machine.run("cat", RESULTS)
    return None if missing else json.loads(text)
