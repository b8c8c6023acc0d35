# SPDX-License-Identifier: GPL-2.0-or-later
"""receive=socket in guests: kernels of Debian have FOU, the one of this machine may not. The stories are told
in inside_sockets.py, where the hosts are.
"""

import functools

import ahead

INSIDE = "/project/tests/systems/inside_sockets.py"
SECONDS = 900
STORIES = {
    "6_1": ("bookworm", ("old",)),
    "6_12": ("trixie", ("missing", "served", "life", "many", "hurried", "forwarded", "shared")),
    "newest": ("sid", ("served", "taken", "unpacked", "downloaded", "spoofed")),
}


def run(stories, machine, say):
    """Runs these stories in a guest; all that they say."""
    return machine.output("/usr/bin/python3", INSIDE, *stories, seconds=SECONDS, say=say)


def tell(kernel):
    """All stories came to their end on this kernel."""
    text = GUESTS.result(kernel)
    for story in STORIES[kernel][1]:
        assert f"\n{story}: as it should be" in "\n" + text, f"{story} was not told to its end"


JOBS = {kernel: (suite, functools.partial(run, stories)) for kernel, (suite, stories) in STORIES.items()}
GUESTS = ahead.Ahead({name: JOBS[name] for name in ahead.selected("systems/sockets", JOBS)})


def test_6_1():
    """This kernel's GRO cannot use the sockets, and the service says so."""
    tell("6_1")


def test_6_12():
    """The driver merges bulk by the sockets, without the module the GRO pair does; sockets go with the tunnel, however
    many; forwarded data; a download and other programs at its port."""
    tell("6_12")


def test_newest():
    """The driver merges bulk, also of downloads; strangers get nothing unpacked; ports that another program has."""
    tell("newest")
