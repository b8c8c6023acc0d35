#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmark makes of its numbers: quotients, verdicts, tables and the chart. Needs no root."""

import unittest
import xml.etree.ElementTree

import chart
import report
import wanted
from subject import Subject

PLAIN_SUM, REFERENCE, VXLAN, OURS = "plain-sum", "reference", "vxlan", "underpass"


class Shape:
    """As much of a scenario as results() reads."""

    def __init__(self, name, unit="Gbit/s", higher_is_better=True):
        self.name, self.unit, self.higher_is_better = name, unit, higher_is_better
        self.title = f"<{name}> & more"


def subject(name, values, **more):
    """A subject with these values, one a round."""
    found = Subject(name, f"title of {name}", None)
    for turn, value in enumerate(values):
        counts = {"retransmits": 0, "out_of_order": 0, "drops": 0, "disturbed": False}
        found.samples.append({"round": turn, "value": value, **counts, **more})
    return found


def results(*scenarios):
    """Results of (scenario, subjects) as the benchmark has them, judged."""
    environment = {"kernel": "6.1", "cpus": 2, "cpu": "a CPU", "rounds": 3, "seconds": 1, "when": "today"}
    found = report.results(scenarios, environment, {"fou": "not on this machine"})
    found["wanted"] = wanted.judge(found)
    return found


def goal(found, what):
    """The verdict on a goal."""
    return next(each for each in found["wanted"] if each["what"] == what)


class Quotients(unittest.TestCase):
    """Of each round, then their median."""

    def test_rounds(self):
        """A machine that changes its speed between rounds changes no quotient."""
        found = results((Shape("direct"), [subject(OURS, [4, 40, 8]), subject(REFERENCE, [1, 10, 2])]))
        ours, reference = found["scenarios"][0]["subjects"]
        self.assertEqual(report.ratios(ours, reference), [4, 4, 4])
        self.assertEqual(ours["value"], {"median": 8, "min": 4, "max": 40})

    def test_another_flow_each_time(self):
        """The goal for many flows is about packets of different ones."""
        found = results((Shape("program", "ns", False), [subject("flows-100000", [70, 71], spread=374)]))
        reached = goal(found, "the program for one packet, of 100 000 flows another one each time")
        self.assertEqual((reached["reached"], reached["verdict"]), (374, "NOT reached"))

    def test_missing_round(self):
        """A round in which one of both failed does not count."""
        ours, reference = subject(OURS, [4, 6]), subject(REFERENCE, [2, 2])
        del reference.samples[0]
        found = results((Shape("direct"), [ours, reference]))["scenarios"][0]["subjects"]
        self.assertEqual(report.ratios(*found), [3])

    def test_nothing_to_compare_with(self):
        """None."""
        self.assertIsNone(report.ratio(None, None))


class Goals(unittest.TestCase):
    """Reached, not reached, not measured."""

    def test_at_least(self):
        """Throughput."""
        for factor, verdict in ((3.5, "reached"), (3.4, "NOT reached")):
            found = results((Shape("direct"), [subject(OURS, [factor]), subject(REFERENCE, [1])]))
            self.assertEqual(goal(found, "one stream against the reference, same cable")["verdict"], verdict)
            self.assertEqual(goal(found, "classic form against VXLAN, same cable")["verdict"], "not measured")

    def test_at_most(self):
        """Milliseconds."""
        for value, verdict in ((10, "reached"), (10.1, "NOT reached")):
            found = results((Shape("activation", "ms", False), [subject("warm", [value])]))
            self.assertEqual(goal(found, "activation of a link, service warm")["verdict"], verdict)

    def test_by_cpu_time(self):
        """Less CPU time is faster."""
        subjects = [subject(OURS, [1], cpu_s_gb=1.0), subject(VXLAN, [1], cpu_s_gb=0.5)]
        found = results((Shape("direct"), subjects))
        self.assertEqual(goal(found, "classic form against VXLAN, same cable")["by_cpu"], 0.5)

    def test_trouble(self):
        """Only what plain TCP does not suffer counts, and what Underpass has dropped itself does."""
        ours, plain = subject(OURS, [1], retransmits=3, drops=3), subject(
            PLAIN_SUM, [1], retransmits=2, drops=2
        )
        what = "dropped, sent again, out of order beyond plain TCP, 64 streams, classic form"
        self.assertEqual(goal(results((Shape("streams-64"), [ours, plain])), what)["reached"], 2)
        ours.notes["underpass_drops"] = {"drop-no-device": 5}
        self.assertEqual(goal(results((Shape("streams-64"), [ours, plain])), what)["reached"], 7)
        self.assertEqual(
            goal(results((Shape("streams-64"), [plain, plain])), what)["verdict"], "not measured"
        )


class Output(unittest.TestCase):
    """For people."""

    def setUp(self):
        failed = Subject(VXLAN, "title of VXLAN", None, failures=["no route\nat all"])
        forms = [subject(OURS, [1.0, 2.0, 3.0]), subject(wanted.BULK, [1.5, 1.5, 1.8])]
        mode = subject(wanted.SOCKETS, [1.9, 2.2, 2.0])
        mode.mode = True
        self.found = results((Shape("direct"), [*forms, mode, subject(PLAIN_SUM, [2, 2, 2]), failed]))

    def test_tables(self):
        """Medians, quotients, failures, what is not offered, goals."""
        text = report.tables(self.found)
        for part in ("1.00–3.00", "× plain-sum", "no route", "Not offered: fou: not on this machine"):
            self.assertIn(part, text)
        self.assertNotIn("at all", text)
        text = wanted.table(self.found["wanted"])
        self.assertRegex(text, r"bulk form against plain TCP, same cable +≥ 0.8 × +0.75 ×.* NOT reached")
        self.assertRegex(text, r"bulk form with sockets against plain TCP, same cable +≥ 0.9 × +1.00 ×.* reached")
        self.assertIn("were not measured", text)

    def test_chart(self):
        """Well-formed whatever names contain; a bar for each result but those of modes; nothing outside of the picture."""
        root = xml.etree.ElementTree.fromstring(chart.draw(self.found))
        space = "{http://www.w3.org/2000/svg}"
        self.assertEqual(len(root.findall(space + "rect")), 1 + 3)
        texts = [each.text for each in root.findall(space + "text")]
        self.assertIn("<direct> & more", texts)
        self.assertFalse(any("socket" in text for text in texts))
        height = float(root.get("height"))
        for each in root.iter():
            self.assertLessEqual(float(each.get("y", "0").rstrip("%")), height)
            self.assertLessEqual(float(each.get("x2", "0")), chart.WIDTH)


if __name__ == "__main__":
    unittest.main()
