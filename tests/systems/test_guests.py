#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The data path on the kernels of three Debian releases, in guests: programs load, attach, and carry MPTCP
through a middlebox that strips its options."""
import atexit
import functools
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

# pylint: disable=wrong-import-position
import guest
import runner

INSIDE = "/project/tests/systems/inside_mptcp.py"
CAP_BPF_AND_NET_ADMIN = (1 << 39) | (1 << 12)
PROGRAMS_SECONDS = 400
STORY_SECONDS = 400

# Version of the kernel as tests are called -> release of Debian, hook, and the hops that may be chosen.
KERNELS = {
    "6_1": ("bookworm", "clsact", {"vlan", "veth"}),
    "6_12": ("trixie", "tcx", {"netkit", "veth"}),
    "newest": ("sid", "tcx", {"netkit", "veth"}),
}


@functools.cache
def booted(kernel):
    """The guest with this kernel; it runs until another one is asked for, or the tests end."""
    reason = guest.obstacle()
    if reason:
        raise runner.Skip(reason)
    for other in Running.guests:
        other.close()
    Running.guests.clear()
    machine = guest.Guest(KERNELS[kernel][0], say=runner.note)
    machine.__enter__()
    Running.guests.append(machine)
    return machine


class Running:
    """Guests to be switched off in the end."""

    guests = []


def switch_off():
    """Ends what still runs."""
    for machine in Running.guests:
        machine.close()


def capabilities(kernel):
    """All programs load with CAP_BPF and CAP_NET_ADMIN and nothing more, CAP_PERFMON least of all."""
    machine = booted(kernel)
    machine.output("/project/programs/bpf-capabilities")


def programs(kernel):
    """What rung 2 asks of the programs on the machine's own kernel, on this one."""
    machine = booted(kernel)
    text = machine.output("/project/programs/bpf-programs", seconds=PROGRAMS_SECONDS)
    verdicts = [line.split()[0] for line in text.splitlines() if line]
    assert "FAIL" not in verdicts and verdicts.count("ok") > 10, text[-4000:]
    runner.note(f"{verdicts.count('ok')} groups of packets, {verdicts.count('skip')} skipped")


def mptcp(kernel):
    """Attached by the service, with two capabilities, the programs carry MPTCP through a middlebox that
    strips its options; the status names hook and hop."""
    _, hook, hops = KERNELS[kernel]
    machine = booted(kernel)
    text = machine.output("/usr/bin/python3", INSIDE, seconds=STORY_SECONDS, say=runner.note)
    found = json.loads(text.splitlines()[-1])
    kind, device = found["hop"]
    assert found["kernel"] == machine.release
    assert found["hook"] == hook and found["features"]["tcx"] == (hook == "tcx"), found
    assert kind in hops, f"the hop is {kind}, not one of {hops}"
    assert f"segmentation hop {kind} ({device})" in found["status"], found["status"]
    assert f"hook {hook}" in found["status"], found["status"]
    assert int(found["capabilities"], 16) == CAP_BPF_AND_NET_ADMIN, found["capabilities"]
    assert found["plain"] == 0, f"{found['plain']} packets left outside of the tunnel"
    assert all(packets > 0 for packets in [*found["udp"].values(), *found["sent"].values()]), found


for _kernel in KERNELS:
    for _test in (capabilities, programs, mptcp):
        globals()[f"test_{_kernel}_{_test.__name__}"] = functools.partial(_test, _kernel)

if __name__ == "__main__":
    atexit.register(switch_off)
    runner.main()
