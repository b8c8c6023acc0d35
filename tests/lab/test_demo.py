# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration works, ends well and can be interrupted at any time."""

import os
import signal
import subprocess
import tempfile

from host import HERE, wait_until


def demo(folder, *options):
    """Starts the demonstration with its scratch folder below folder."""
    return subprocess.Popen(
        ["/usr/bin/python3", str(HERE / "demo.py"), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
        env=dict(os.environ, TMPDIR=folder),
    )


def test_every_claim_holds():
    """With a small file."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        process = demo(folder, "--size", "10")
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text
        assert "Every claim held." in text and "FAILED" not in text, text
        assert os.listdir(folder) == [], f"left behind: {os.listdir(folder)}"


def test_interrupted():
    """Ctrl-C or a termination signal in the middle: nothing is left behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            process = demo(folder, "--size", "10")
            lines = iter(process.stdout.readline, "")
            assert any(
                "nmcli connection up second" in line for line in lines
            ), "the demonstration ended early"
            os.killpg(process.pid, number)
            process.stdout.read()
            assert process.wait(timeout=30) in (128 + number, -number), process.returncode
            wait_until(lambda where=folder: os.listdir(where) == [], "the scratch folder is gone", 5)
