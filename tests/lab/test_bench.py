# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark works, ends well and can be interrupted. How fast anything was does not matter here."""

import contextlib
import json
import os
import pathlib
import signal
import tempfile
import xml.etree.ElementTree

import programs
from host import wait_until

TINY = ("--rounds", "2", "--seconds", "0.05")


@contextlib.contextmanager
def bench(folder, *options):
    """The benchmark, started with its scratch folder below folder."""
    with programs.start(programs.BENCH, *TINY, *options, folder=folder) as process:
        try:
            yield process
        finally:
            # Nothing happens if it has ended; else it takes its hosts down.
            process.terminate()


def judge_numbers(path):
    """The JSON has what was asked for, each sample with its value, and a verdict on what is wanted."""
    results = json.loads(path.read_text())
    scenarios = {each["name"]: each for each in results["scenarios"]}
    assert set(scenarios) == {"direct", "activation"}, sorted(scenarios)
    subjects = {each["name"]: each for each in scenarios["direct"]["subjects"]}
    assert set(subjects) == {"plain-sum", "underpass"}, sorted(subjects)
    for subject in [*subjects.values(), *scenarios["activation"]["subjects"]]:
        assert len(subject["samples"]) == 2 and not subject["failures"], subject
        assert 0 < subject["value"]["min"] <= subject["value"]["median"] <= subject["value"]["max"], subject
    assert all(each["bytes"] > 0 and each["cpu"] > 0 for each in subjects["underpass"]["samples"])
    verdicts = {each["what"]: each["verdict"] for each in results["wanted"]}
    assert set(verdicts.values()) <= {"reached", "NOT reached", "not measured"}, verdicts
    assert verdicts["activation of a link, service warm"] != "not measured", verdicts


def judge_chart(path):
    """The chart is well-formed and has a bar for each result."""
    root = xml.etree.ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == space + "svg"
    assert len(root.findall(space + "rect")) == 1 + 4, "a background and four bars"


def test_results():
    """Two configurations and two scenarios: tables, JSON, chart; nothing is left behind."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as results:
        os.chmod(folder, 0o755)
        numbers, drawing = pathlib.Path(results) / "numbers.json", pathlib.Path(results) / "chart.svg"
        files = ("--json", str(numbers), "--svg", str(drawing))
        options = ("-k", "=direct,activation", "-c", "=plain-sum,=underpass", *files)
        with bench(folder, *options) as process:
            text, _ = process.communicate(timeout=300)
        assert process.returncode == 0, text
        assert "activation of a link, service warm" in text and "× plain-sum" in text, text
        judge_numbers(numbers)
        judge_chart(drawing)
        assert os.listdir(folder) == [], f"left behind: {os.listdir(folder)}"


def test_what_is_not_offered():
    """A configuration that this machine or build lacks is named and left out, the others are measured."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as results:
        os.chmod(folder, 0o755)
        numbers = pathlib.Path(results) / "numbers.json"
        files = ("--json", str(numbers), "--svg", str(numbers.with_suffix(".svg")))
        options = ("-k", "=latency", "-c", "=plain,=wireguard,=fou,=vxlan", *files)
        with bench(folder, *options) as process:
            text, _ = process.communicate(timeout=300)
        assert process.returncode == 0, text
        found = json.loads(numbers.read_text())
        measured = {each["name"] for each in found["scenarios"][0]["subjects"]}
        missing = set(found["not_offered"])
        assert "plain" in measured and measured | missing == {"plain", "wireguard", "fou", "vxlan"}, text
        assert not measured & missing and all(found["not_offered"].values()), text


def test_interrupted():
    """Ctrl-C or a termination signal in the middle: nothing is left behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            files = ("--json", "/dev/null", "--svg", "/dev/null")
            options = ("--rounds", "500", "-k", "=direct", "-c", "=plain,=underpass", *files)
            with bench(folder, *options) as process:
                lines = iter(process.stdout.readline, "")
                assert any("2/500" in line for line in lines), "the benchmark ended early"
                os.killpg(process.pid, number)
                process.stdout.read()
                assert process.wait(timeout=60) in (128 + number, -number), process.returncode
            wait_until(lambda where=folder: os.listdir(where) == [], "the scratch folder is gone", 5)
