# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration works, ends well and can be interrupted at any time."""

import os
import pathlib
import signal
import tempfile
import xml.etree.ElementTree as ElementTree

import film
import programs
from host import wait_until


def every_claim_holds(*options):
    """A run of the demonstration with a small file, whose film has every line of it; its text."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as films:
        os.chmod(folder, 0o755)
        drawing = pathlib.Path(films) / "demo.svg"
        options = ("--size", "10", "--record", str(drawing), *options)
        process = programs.start(programs.DEMO, *options, folder=folder)
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text
        assert "Every claim held." in text and "FAILED" not in text, text
        assert "does not work" not in text, text
        assert os.listdir(folder) == [], f"left behind: {os.listdir(folder)}"
        assert drawing.stat().st_size < film.BYTES_MAX
        shown = film.texts(ElementTree.parse(drawing).getroot())
        assert shown[-1] == "Every claim held." and len(shown) > 40, shown
        printed = "".join(text.split())
        for line in shown:
            assert "".join(line.split()) in printed, f"not printed: {line}"
    return text


def test_every_claim_holds():
    """As it is."""
    assert "underpassctl profile set" in every_claim_holds()


def test_nmcli():
    """With nmcli alone."""
    text = every_claim_holds("--nmcli")
    assert "underpassctl" not in text and "VPN.BANNER" in text, text


def test_interrupted():
    """Ctrl-C or a termination signal in the middle: nothing is left behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            process = programs.start(programs.DEMO, "--size", "10", folder=folder)
            lines = iter(process.stdout.readline, "")
            assert any(
                "nmcli connection up second" in line for line in lines
            ), "the demonstration ended early"
            os.killpg(process.pid, number)
            process.stdout.read()
            assert process.wait(timeout=30) in (128 + number, -number), process.returncode
            wait_until(lambda where=folder: os.listdir(where) == [], "the scratch folder is gone", 5)
