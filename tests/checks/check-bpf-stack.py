#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts how much of the stack the BPF programs need. Kernel 6.1 rounds the frame of each function up to 32 bytes and takes
no chain of calls that needs more than 512; newer kernels round to 16 bytes, so they do not tell when it gets tight.

Usage: check-bpf-stack.py OBJDUMP OBJECT, or check-bpf-stack.py --self-test
"""

import collections
import itertools
import re
import subprocess
import sys

LIMIT, STEP = 512, 32  # bytes: MAX_BPF_STACK, and what check_max_stack_depth() of Linux 6.1 rounds to
FUNCTION = re.compile(r"^[0-9a-f]+ <((?!LBB)\w+)>:")
ACCESS = re.compile(r"r10 - (0x[0-9a-f]+|\d+)")
ADDRESS = re.compile(r"r\d+ \+= -(0x[0-9a-f]+|\d+)\s*$")
# Of a function, not of a helper (BPF_PSEUDO_CALL), in either byte order. Only global ones are called by name, others
# by their place: in another section, or, without a relocation, in their own.
CALL = re.compile(r"\s85 (?:10|01)(?: [0-9a-f]{2}){6}\s+call\b")
CALLEE = re.compile(r"R_BPF_64_32\s+(\S+)")
HERE = "its own section"

SAMPLE = """
0000000000000000 <program>:
       0:	7b 1a f8 ff 00 00 00 00	*(u64 *)(r10 - {program}) = r1
       1:	85 10 00 00 ff ff ff ff	call -1
		0000000000000008:  R_BPF_64_32	middle

0000000000000010 <LBB0_1>:
       2:	07 02 00 00 d0 ff ff ff	r2 += -0x30

0000000000000000 <middle>:
       0:	bf a2 00 00 00 00 00 00	r2 = r10
       1:	07 02 00 00 d0 ff ff ff	r2 += -{middle}
       2:	85 10 00 00 ff ff ff ff	call -1
		0000000000000010:  R_BPF_64_32	leaf

0000000000000020 <leaf>:
       0:	85 00 00 00 07 00 00 00	call 7
       1:	95 00 00 00 00 00 00 00	exit
"""
RELOCATION = "R_BPF_64_32	leaf\n"


def read(disassembly):
    """(frame, callees) by function: the deepest byte of the stack that it touches, and whom it calls."""
    frames, callees, function = collections.Counter(), collections.defaultdict(set), None
    for line, after in itertools.pairwise([*disassembly.splitlines(), ""]):
        if found := FUNCTION.match(line):
            function = found[1]
            frames[function] = max(frames[function], 1)
            continue
        for pattern in (ACCESS, ADDRESS):
            for offset in pattern.findall(line):
                frames[function] = max(frames[function], int(offset, 0))
        callees[function].update(CALLEE.findall(line))
        if CALL.search(line) and not CALLEE.search(after):
            callees[function].add(HERE)
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
    """(lines for people, whether a chain is too deep, or cannot be counted)."""
    frames, callees = read(disassembly)
    unknown = sorted((caller, each) for caller in callees for each in callees[caller] - frames.keys())
    if unknown:
        return [f"{caller} calls a static function in {place}: make it global" for caller, place in unknown], True
    called = {callee for each in callees.values() for callee in each}
    chains = sorted((deepest(frames, callees, each) for each in frames if each not in called), reverse=True)
    if not chains:
        return ["no function was found: this is no BPF object, or objdump has changed"], True
    worst = chains[0][0]
    lines = [f"{size} of {LIMIT} bytes of stack: {' → '.join(chain)}" for size, chain in chains if size > LIMIT]
    return lines or [f"deepest chain: {worst} of {LIMIT} bytes, {' → '.join(chains[0][1])}"], worst > LIMIT


def self_test():
    """Chains that fit, that do not, and that cannot be followed; an empty one."""
    cases = [(256, 224, False), (257, 224, True), (448, 0x20, False), (448, 0x21, True)]
    for program, middle, wanted in cases:
        lines, failed = judge(SAMPLE.format(program=program, middle=middle))
        if failed is not wanted or "program → middle → leaf" not in lines[0]:
            return [f"{program} and {middle} bytes: {lines}"]
    for relocation, place in (("R_BPF_64_32	.text\n", ".text"), ("", HERE)):
        lines, failed = judge(SAMPLE.format(program=8, middle=8).replace(RELOCATION, relocation))
        if not failed or f"middle calls a static function in {place}:" not in lines[0]:
            return [f"a call of a static function in {place}: {lines}"]
    return [] if judge("")[1] else ["an empty disassembly passes"]


def main():
    """See above."""
    if sys.argv[1:] == ["--self-test"]:
        lines = self_test()
        failed = bool(lines)
    else:
        command = [sys.argv[1], "-dr", sys.argv[2]]
        lines, failed = judge(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(*lines, sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
