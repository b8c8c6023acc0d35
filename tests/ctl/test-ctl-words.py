#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Words of the D-Bus interface that underpassctl has a sentence for. Command and service share no header, so this test compares
three lists: what the service sends, what data/org.underpass1.xml documents, and what the tables of the command know.

Usage: test-ctl-words.py ROOT
"""

import pathlib
import re
import sys
import unittest


def documented(xml, element):
    """The quoted words in the comment right before an element."""
    before = xml.partition(element)[0]
    assert before != xml, element
    return set(re.findall(r'"([\w-]+)"', before[before.rindex("<!--") :]))


def table(source, name):
    """The first string of every row of a table in C: { "word", …."""
    rows = source.partition(f"}} {name}[] = {{")[2].partition("\n};")[0]
    return set(re.findall(r'^\s*\{ "([\w-]+)",', rows, re.M))


class Words(unittest.TestCase):
    """Each table of the command has a row for each documented word."""

    root = None

    def read(self, name):
        """The text of a file of the project."""
        return (self.root / name).read_text(encoding="utf-8")

    def assert_known(self, element, source, name):
        """The table has exactly the words that are documented at the element."""
        words = documented(self.read("data/org.underpass1.xml"), element)
        rows = table(self.read(source), name)
        self.assertTrue(words)
        self.assertEqual(words - rows, set(), f"{source}: {name} has no row for these words of {element}")
        self.assertEqual(rows - words, set(), f"{source}: {name} has rows for words that {element} does not document")

    def test_stages(self):
        self.assert_known('<property name="LastStage"', "plugin/ctl/explain.c", "stage_advice")

    def test_stages_of_the_service(self):
        """A stage that the service adds has to be documented, and then the test above asks for advice about it."""
        texts = [path.read_text(encoding="utf-8") for path in (self.root / "plugin/service").glob("*.c")]
        sent = {name for text in texts for name in re.findall(r'\[STAGE_\w+\] = "(\w+)"', text)}
        self.assertEqual(sent, documented(self.read("data/org.underpass1.xml"), '<property name="LastStage"'))

    def test_states(self):
        self.assert_known('<property name="State"', "plugin/ctl/explain.c", "state_advice")

    def test_states_of_destinations(self):
        self.assert_known('<method name="ListDestinations"', "plugin/ctl/destinations.c", "state_sentences")

    def test_readers(self):
        """The two readers, on samples: a reader that finds nothing would agree with everything."""
        xml = '<!-- "old" --> <a/> <!-- A state: "on", "half-open". -->\n <property name="X"/>'
        self.assertEqual(documented(xml, '<property name="X"'), {"on", "half-open"})
        source = '} first[] = {\n        { "one", 1 },\n};\n} rows[] = {\n        { "on", "a" },\n        { "half-open",\n          "b" },\n};\n'
        self.assertEqual(table(source, "rows"), {"on", "half-open"})


if __name__ == "__main__":
    Words.root = pathlib.Path(sys.argv[1])
    unittest.main(argv=sys.argv[:1])
