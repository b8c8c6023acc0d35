#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts how much of the stack the BPF programs need. Kernel 6.1 rounds the frame of each function up to 32 bytes and takes
no chain of calls that needs more than 512; newer kernels round to 16 bytes, so they do not tell when it gets tight.

Usage: check-bpf-stack.py OBJDUMP OBJECT, or check-bpf-stack.py --self-test
"""

import collections
import re
import subprocess
import sys

LIMIT, STEP = 512, 32  # bytes: MAX_BPF_STACK, and what check_max_stack_depth() of Linux 6.1 rounds to
FUNCTION = re.compile(r"^[0-9a-f]+ <((?!LBB)\w+)>:")
ACCESS = re.compile(r"r10 - (0x[0-9a-f]+|\d+)")
ADDRESS = re.compile(r"r\d+ \+= -(0x[0-9a-f]+|\d+)\s*$")
CALL = re.compile(r"R_BPF_64_32\s+(\w+)")

SAMPLE = """
0000000000000000 <program>:
       0:	*(u64 *)(r10 - {program}) = r1
       1:	call -1
		0000000000000008:  R_BPF_64_32	middle

0000000000000010 <LBB0_1>:
       2:	r2 += -0x30

0000000000000000 <middle>:
       0:	r2 = r10
       1:	r2 += -{middle}
       2:	call -1
		0000000000000010:  R_BPF_64_32	leaf

0000000000000020 <leaf>:
       0:	exit
"""


def read(disassembly):
    """(frame, callees) by function: the deepest byte of the stack that it touches, and whom it calls."""
    frames, callees, function = collections.Counter(), collections.defaultdict(set), None
    for line in disassembly.splitlines():
        if found := FUNCTION.match(line):
            function = found[1]
            frames[function] = max(frames[function], 1)
            continue
        for pattern in (ACCESS, ADDRESS):
            for offset in pattern.findall(line):
                frames[function] = max(frames[function], int(offset, 0))
        callees[function].update(CALL.findall(line))
    return frames, callees


def deepest(frames, callees, function, above=()):
    """(bytes, chain of functions) of the deepest chain of calls from a function on."""
    own = -(-frames[function] // STEP) * STEP
    chains = [
        deepest(frames, callees, callee, (*above, function))
        for callee in callees[function]
        if callee not in (*above, function)
    ]
    below, chain = max(chains, default=(0, []))
    return own + below, [function, *chain]


def judge(disassembly):
    """(lines for people, whether a chain is too deep)."""
    frames, callees = read(disassembly)
    called = {callee for each in callees.values() for callee in each}
    chains = sorted((deepest(frames, callees, each) for each in frames if each not in called), reverse=True)
    if not chains:
        return ["no function was found: this is no BPF object, or objdump has changed"], True
    worst = chains[0][0]
    lines = [f"{size} of {LIMIT} bytes of stack: {' → '.join(chain)}" for size, chain in chains if size > LIMIT]
    return lines or [f"deepest chain: {worst} of {LIMIT} bytes, {' → '.join(chains[0][1])}"], worst > LIMIT


def self_test():
    """Chains that fit and that do not; an empty one."""
    cases = [(256, 224, False), (257, 224, True), (448, 0x20, False), (448, 0x21, True)]
    for program, middle, wanted in cases:
        lines, failed = judge(SAMPLE.format(program=program, middle=middle))
        if failed is not wanted or "program → middle → leaf" not in lines[0]:
            return [f"{program} and {middle} bytes: {lines}"]
    return [] if judge("")[1] else ["an empty disassembly passes"]


def main():
    """See above."""
    if sys.argv[1:] == ["--self-test"]:
        lines = self_test()
        failed = bool(lines)
    else:
        command = [sys.argv[1], "-dr", "--no-show-raw-insn", sys.argv[2]]
        lines, failed = judge(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(*lines, sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
