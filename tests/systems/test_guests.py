# SPDX-License-Identifier: GPL-2.0-or-later
"""The data path on the kernels of three Debian releases, in guests: programs load, attach, and carry MPTCP
through a middlebox that strips its options."""

import concurrent.futures
import functools
import json

import ahead

RESULT = "found: "
INSIDE = "/project/tests/systems/inside_{}.py"
CAP_BPF_AND_NET_ADMIN = (1 << 39) | (1 << 12)
PROGRAMS_SECONDS = 400
STORY_SECONDS = 400

# Version of the kernel as tests are called -> release of Debian, and what is chosen there: attach point and segmentation device.
KERNELS = {
    "6_1": ("bookworm", "clsact", "vlan"),
    "6_12": ("trixie", "tcx", "netkit"),
    "newest": ("sid", "tcx", "netkit"),
}


def capabilities(_, machine, say):
    """All programs load with CAP_BPF and CAP_NET_ADMIN and nothing more, CAP_PERFMON least of all."""
    say(machine.output("/project/programs/bpf-capabilities"))


def programs(_, machine, say):
    """What rung 2 asks of the programs on the machine's own kernel, on this one."""
    status, text = machine.run("/project/programs/bpf-programs", seconds=PROGRAMS_SECONDS)
    lines = [line for line in text.splitlines() if line]
    verdicts = [line.split()[0] for line in lines]
    # What did not pass comes first: a report may keep no more than the first words.
    wrong = [line for line, verdict in zip(lines, verdicts) if verdict not in ("ok", "skip")]
    assert status == 0, f"exit status {status}: " + "\n".join(wrong or lines[-1:])[-4000:]
    assert "FAIL" not in verdicts and verdicts.count("ok") > 10, text[-4000:]
    say(f"{verdicts.count('ok')} groups of packets, {verdicts.count('skip')} skipped")


def tell_story(name, machine, say):
    """Runs a story inside; what it has found."""
    text = machine.output(
        *("/usr/bin/python3", INSIDE.format(name)),
        seconds=STORY_SECONDS,
        say=lambda line: line.startswith(RESULT) or say(line),
    )
    return json.loads(text.splitlines()[-1].removeprefix(RESULT))


def mptcp(kernel, machine, say):
    """Attached by the service, with two capabilities, the programs carry MPTCP through a middlebox that
    strips its options; the status names attach point and segmentation device."""
    _, attach_point, chosen = KERNELS[kernel]
    found = tell_story("mptcp", machine, say)
    kind, device = found["segmentation_device"]
    assert found["kernel"] == machine.release
    assert found["attach_point"] == attach_point and found["features"]["tcx"] == (attach_point == "tcx"), found
    assert kind == chosen, f"the segmentation device is {kind}, not {chosen}: {found}"
    assert found["features"]["netkit"] == (chosen == "netkit"), found
    assert f"segmentation device {kind} ({device})" in found["status"], found["status"]
    assert f"attach point {attach_point}" in found["status"], found["status"]
    assert int(found["capabilities"], 16) == CAP_BPF_AND_NET_ADMIN, found["capabilities"]
    assert found["plain"] == 0, f"{found['plain']} packets left outside of the tunnel"
    # The newest kernel has it; an older one may get it.
    assert found.get("accurate_ecn_syns", 0 if kernel == "newest" else 1) > 0, found
    assert all(packets > 0 for packets in [*found["udp"].values(), *found["sent"].values()]), found


def vlans(kernel, machine, say):
    """VLANs and QinQ above a link that has a tunnel, each with a tunnel of its own or without, tags beside the frames
    and in them."""
    found = tell_story("vlan", machine, say)
    assert f"segmentation device {KERNELS[kernel][2]}" in found["status"], found


def raw(kernel, machine, say):
    """Tunnels of the kernel without Ethernet header: IPsec, GRE and others; GRE to many ends is refused; a bond takes
    on the type of its port, unless an 8021q device, as ours, keeps it from that."""
    found = tell_story("raw", machine, say)
    others = [] if KERNELS[kernel][2] == "vlan" else ["ipip", "nlmon"]
    assert found["ports"] == [*others, "dummy"], found


STEPS = {step.__name__: step for step in (capabilities, programs, mptcp, vlans, raw)}
# What depends on drivers more than on the kernel's BPF is told on the oldest and the newest.
ENDS_ONLY, MIDDLE = ("vlans", "raw"), "6_12"
NAMES = [
    f"{kernel}_{step}" for kernel in KERNELS for step in STEPS if kernel != MIDDLE or step not in ENDS_ONLY
]
OUTCOMES = {name: concurrent.futures.Future() for name in ahead.selected("systems/guests", NAMES)}


def all_steps(kernel, machine, say):
    """The steps of this run on one kernel."""
    for name, step in STEPS.items():
        outcome = OUTCOMES.get(f"{kernel}_{name}")
        if outcome is None:
            continue
        try:
            outcome.set_result(step(kernel, machine, say))
        except Exception as error:  # pylint: disable=broad-except  (raised again where it belongs)
            outcome.set_exception(error)


def tell(kernel, name):
    """Waits for one of the steps in the guest with this kernel."""
    GUESTS.result(kernel, OUTCOMES[f"{kernel}_{name}"])


GUESTS = ahead.Ahead(
    {
        kernel: (suite, functools.partial(all_steps, kernel))
        for kernel, (suite, *_) in KERNELS.items()
        if any(name.startswith(f"{kernel}_") for name in OUTCOMES)
    }
)
for _kernel in KERNELS:
    for _name in STEPS:
        if f"{_kernel}_{_name}" in NAMES:
            globals()[f"test_{_kernel}_{_name}"] = functools.partial(tell, _kernel, _name)
