#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl metrics: its text follows the rules of OpenMetrics 1.0, and uses only what the older Prometheus format has, too.

Usage: test-ctl-metrics.py UNDERPASSCTL XML
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(r"([^{ ]+)(?:\{(.*)\})? (\S+)\Z")
RESERVED = ("_total", "_created", "_bucket", "_count", "_sum", "_info")


class Wrong(Exception):
    """The text breaks a rule."""


def need(rule, what):
    """Raises what is wrong."""
    if not rule:
        raise Wrong(what)


def unescape(text):
    """The text of a label's value."""
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def parse_labels(text):
    """The labels between braces."""
    labels, position = {}, 0
    while position < len(text):
        found = LABEL.match(text, position)
        need(found, f"labels: {text}")
        need(found[1] not in labels, f"label {found[1]} twice")
        need(not found[1].startswith("__"), f"label {found[1]} is reserved")
        labels[found[1]] = unescape(found[2])
        position = found.end()
        if position < len(text):
            need(text[position] == "," and position + 1 < len(text), f"labels: {text}")
            position += 1
    return labels


class Family:
    """What its metadata says, and its samples by name and labels."""

    def __init__(self, name):
        self.name, self.type, self.unit, self.help, self.samples = name, None, None, None, {}

    def set(self, what, value):
        """A line of metadata."""
        need(not self.samples, f"{self.name}: {what} behind samples")
        need(getattr(self, what) is None, f"{self.name}: {what} twice")
        if what == "type":
            need(value in ("counter", "gauge"), f"{self.name}: type {value}")
            need(not self.name.endswith("_total"), f"{self.name}: a family's name has no _total")
        if what == "unit":
            need(value and self.name.endswith(f"_{value}"), f"{self.name}: does not end with its unit {value}")
        setattr(self, what, value)

    def add(self, name, labels, value):
        """A sample."""
        suffix = "_total" if self.type == "counter" else ""
        need(name == self.name + suffix, f"{name} is none of the {self.type} {self.name}")
        key = (name, tuple(sorted(labels.items())))
        need(key not in self.samples, f"{key} twice")
        number = float(value)
        need(self.type != "counter" or number >= 0, f"{name}: {value}")
        self.samples[key] = number


def parse(text):
    """The families of a document, by name."""
    need(text.endswith("# EOF\n") and text.count("# EOF") == 1, "does not end with # EOF")
    families, current = {}, None
    for line in text.split("\n")[:-2]:
        need(line and line == line.strip(), f"blanks: {line!r}")
        words = line.split(" ", 3)
        if words[0] == "#":
            need(len(words) == 4 and words[1] in ("TYPE", "UNIT", "HELP"), line)
            need(NAME.match(words[2]), line)
            if not current or current.name != words[2]:
                need(words[2] not in families, f"{words[2]} is not in one place")
                current = families[words[2]] = Family(words[2])
            if words[1] == "HELP":
                need(not re.search(r'(?<!\\)(?:\\\\)*\\[^n"\\]', words[3]), line)
            current.set(words[1].lower(), words[3])
            continue
        found = SAMPLE.match(line)
        need(found and NAME.match(found[1]), line)
        need(current and current.type and current.help, f"{line}: no metadata")
        current.add(found[1], parse_labels(found[2]) if found[2] is not None else {}, found[3])
    for name in families:
        need(not any(name + suffix in families for suffix in RESERVED), f"{name}: clashes with another family")
    return families


def value(families, name, **labels):
    """A sample."""
    return families[name.removesuffix("_total")].samples[(name, tuple(sorted(labels.items())))]


class Rules(unittest.TestCase):
    """The parser knows what is wrong."""

    GOOD = '# TYPE a counter\n# HELP a b\na_total{c="d"} 1\n# TYPE e_seconds gauge\n# UNIT e_seconds seconds\n# HELP e_seconds f\ne_seconds 2\n# EOF\n'

    def test_good(self):
        families = parse(self.GOOD)
        self.assertEqual(value(families, "a_total", c="d"), 1)
        self.assertEqual(value(families, "e_seconds"), 2)
        families = parse('# TYPE a gauge\n# HELP a b\na{c="\\"\\\\\\n,}"} 1\n# EOF\n')
        self.assertEqual(value(families, "a", c='"\\\n,}'), 1)

    def test_bad(self):
        for old, new in [
            ("# EOF\n", ""), ("# EOF\n", "# EOF\n\n"), ("# EOF", "#EOF"), ("a_total", "a"), ("e_seconds 2", "e_seconds_total 2"),
            (" counter", " stateset"), ("# TYPE a ", "# TYPE a_total "), ("# UNIT e_seconds seconds", "# UNIT e_seconds meters"),
            ('c="d"', "c=d"), ('c="d"', 'c="d'), ('c="d"', 'c="d",'), ('c="d"', 'c="d",c="e"'), ('c="d"', 'c="\\d"'), ('"d"} 1', '"d"} -1'),
            ("# HELP a b\n", ""), ("# TYPE a counter\n", ""), ('a_total{c="d"} 1\n', 'a_total{c="d"} 1\na_total{c="d"} 2\n'),
            ("# EOF", '# TYPE a counter\na_total{c="f"} 1\n# EOF'), ("# HELP a b", "# HELP a b\n# HELP a c"), ("\ne_seconds 2", "\n\ne_seconds 2"),
            (" 1\n", " one\n"), ("a_total{", "a-b_total{"), (" 1\n", " 1 \n"), ("e_seconds", "a_total"),
        ]:
            with self.subTest(new), self.assertRaises((Wrong, ValueError)):
                parse(self.GOOD.replace(old, new))


class Metrics(unittest.TestCase):
    """Against the mock, or without any service."""

    program = None
    xml = None

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="underpass-ctl-")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        log = cls.folder / "log"
        log.touch()
        cls.buses = []
        for name in ("with", "without"):
            (cls.folder / name).mkdir()
            bus = Bus(cls.folder / name)
            if name == "with":
                bus.add_service("org.underpass1", "/usr/bin/python3", "-B", HERE / "mock_service.py", cls.xml, log)
            bus.start()
            cls.addClassCleanup(bus.stop)
            cls.buses.append(bus)

    def ctl(self, *arguments, status=0, bus=0, locale="C.UTF-8"):
        """Runs the command; standard output."""
        result = subprocess.run(
            [self.program, "metrics", *arguments],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": locale, "DBUS_SYSTEM_BUS_ADDRESS": self.buses[bus].address},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(bool(result.stderr), status != 0, result.stderr)
        return result.stdout

    def test_values(self):
        families = parse(self.ctl())
        self.assertEqual(value(families, "underpass_up"), 1)
        self.assertEqual(value(families, "underpass_build_info", version="0.1.0", kernel="6.12.1", attach_point="tcx"), 1)
        for state in ("off", "waiting", "active", "failed"):
            self.assertEqual(value(families, "underpass_link_state", interface="eth1", state=state), state == "failed")
        self.assertEqual(value(families, "underpass_sent_total", interface="lte0"), 12034)
        self.assertEqual(value(families, "underpass_flows_opened_total", interface="lte0"), 3)
        self.assertEqual(value(families, "underpass_pass_port_total"), 4)  # belongs to no link
        self.assertEqual(value(families, "underpass_link_warnings", interface="lte0"), 1)
        self.assertEqual(value(families, "underpass_link_flows", interface="lte0"), 4)
        self.assertEqual(value(families, "underpass_link_flows", interface="idle0"), 0)
        self.assertEqual(value(families, "underpass_link_destinations", interface="blocked0", state="silent"), 2)
        remaining = families["underpass_link_destinations_remaining_seconds"]
        self.assertEqual((remaining.unit, remaining.type), ("seconds", "gauge"))
        self.assertGreater(
            value(families, "underpass_link_destinations_remaining_seconds", interface="blocked0", state="stripped"), 3000
        )
        self.assertIn("TCP segments", families["underpass_sent"].help)

    def test_english(self):
        """Whatever the locale is, and UTF-8."""
        for locale in ("ru_RU.UTF-8", "C"):
            self.assertEqual(self.ctl(locale=locale), self.ctl())
        self.assertEqual(value(parse(self.ctl()), "underpass_link_warnings", interface="a$(b)'c“é"), 0)

    def test_json(self):
        rows = json.loads(self.ctl("--json"))["metrics"]
        samples = [key for family in parse(self.ctl()).values() for key in family.samples]
        self.assertEqual([(row["name"], tuple(sorted(row["labels"].items()))) for row in rows], samples)
        self.assertIn({"name": "underpass_sent_total", "labels": {"interface": "lte0"}, "value": 12034}, rows)

    def test_output(self):
        """The file is replaced at once: whoever has opened the old one reads it to its end, and nothing else is left."""
        folder = self.folder / "output"
        folder.mkdir()
        path = folder / "underpass.prom"
        path.write_text("old")
        with path.open() as old:
            self.assertEqual(self.ctl("--output", str(path)), "")
            self.assertEqual(old.read(), "old")
        parse(path.read_text())
        self.assertEqual([each.name for each in folder.iterdir()], ["underpass.prom"])
        self.assertEqual(path.stat().st_mode & 0o777, 0o644)
        self.ctl("--output=" + str(folder / "missing" / "x.prom"), status=1)
        self.ctl("--output", status=2)

    def test_dead_service(self):
        """That is a number, too."""
        path = self.folder / "dead.prom"
        for text in (self.ctl(status=3, bus=1), self.ctl("--output", str(path), status=3, bus=1) + path.read_text()):
            families = parse(text)
            self.assertEqual(list(families), ["underpass_up"])
            self.assertEqual(value(families, "underpass_up"), 0)


if __name__ == "__main__":
    Metrics.program, Metrics.xml = sys.argv[1:3]
    interrupts.main(argv=[sys.argv[0], *sys.argv[3:]])
