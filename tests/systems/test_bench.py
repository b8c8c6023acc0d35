# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark runs in a guest, whose clock counts instructions, with what this machine's kernel may lack.
"""

import json
import os
import pathlib
import tempfile

import guest
import programs
import runner

SECONDS = 900  # 130 on a machine that has nothing else to do
CONFIGURATIONS = "=vxlan,=underpass,=underpass-bulk-socket"
OPTIONS = ("--guest", "trixie", "--seconds", "0.05", "-k", "=direct", "-c", CONFIGURATIONS)


def benchmark(folder, *options):
    """Runs the benchmark with its scratch folders below folder; (exit status, output). It takes its guest
    down also when this test is ended."""
    with programs.start(programs.BENCH, *options, folder=folder) as process:
        try:
            text, _ = process.communicate(timeout=SECONDS)
        finally:
            process.terminate()
    return process.returncode, text


def test_guest():
    """Kernel 6.12: the segmentation device is netkit, the router saw nothing but UDP, and there are quotients to judge,
    also of the bulk form with tunnel sockets, which this machine's own kernel may lack."""
    if guest.obstacle():
        raise runner.Skip(guest.obstacle())
    with tempfile.TemporaryDirectory() as folder:
        numbers = pathlib.Path(folder) / "numbers.json"
        files = ("--json", str(numbers), "--svg", str(numbers.with_suffix(".svg")))
        status, text = benchmark(folder, *OPTIONS, *files)
        assert status == 0 and "segmentation_device: netkit" in text, text[-4000:]
        found = json.loads(numbers.read_text())
        left = sorted(os.listdir(folder))
    assert left == ["numbers.json", "numbers.svg"], f"left behind: {left}"
    assert found["environment"]["kernel"].startswith("6.12."), found["environment"]
    goals = {each["what"]: each for each in found["wanted"]}
    for form in ("classic form", "bulk form with sockets"):
        goal = goals[f"{form} against VXLAN, same cable"]
        assert goal["reached"] and goal["by_cpu"], goal
        runner.note(f"{form}: {goal['reached']:.2f} of the speed of VXLAN, counted in instructions")
