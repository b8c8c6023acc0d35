# SPDX-License-Identifier: GPL-2.0-or-later
"""SCTP over UDP, switched by profiles, in guests: kernels of Debian have SCTP, the one of this machine
may not. The stories are told in inside_sctp.py, where the hosts are.
"""

import functools

import ahead

INSIDE = "/project/tests/systems/inside_sctp.py"
SECONDS = 600
STORIES = {
    "6_1": ("bookworm", ("dropped", "one_side")),
    "newest": ("sid", ("dropped", "one_side", "crash", "taken")),
}


def run(stories, machine, say):
    """Runs these stories in a guest; all that they say."""
    return machine.output("/usr/bin/python3", INSIDE, *stories, seconds=SECONDS, say=say)


def run_unit(machine, say):
    """The service by its unit, in a guest that has not needed SCTP yet."""
    return machine.output("/project/tests/systems/inside-unit", say=say)


def tell(kernel):
    """All stories came to their end on this kernel."""
    text = GUESTS.result(kernel)
    for story in STORIES[kernel][1]:
        assert f"\n{story}: as it should be" in "\n" + text, f"{story} was not told to its end"


JOBS = {kernel: (suite, functools.partial(run, stories)) for kernel, (suite, stories) in STORIES.items()}
JOBS["unit"] = ("trixie", run_unit)
GUESTS = ahead.Ahead({name: JOBS[name] for name in ahead.selected("systems/sctp", JOBS)})


def test_6_1():
    """The association comes up over UDP where plain SCTP is dropped, peers answer as they are asked, and in
    the end the sysctls are what they were."""
    tell("6_1")


def test_newest():
    """The same; and a service that is killed, and a port that another program has."""
    tell("newest")


def test_unit():
    """In the sandbox of its unit, under systemd, the service has the modules loaded, for SCTP and for tunnel sockets, sets
    the ports and makes the sockets."""
    assert "the sandboxed service has SCTP and FOU loaded, its ports set, and tunnel sockets" in GUESTS.result("unit")
