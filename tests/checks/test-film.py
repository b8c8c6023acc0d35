#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Films of tests/demo: whole, small, in order, still where nothing may move. And the one that README.md shows.

Usage: test-film.py ROOT [TEST…]
"""

import io
import pathlib
import re
import sys
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import film  # noqa: E402  pylint: disable=wrong-import-position

PICTURE = "data/pictures/demo.svg"
MOVING = ("paper", "curtain", "cursor")
SESSION = [
    (0.0, "Starting <two> hosts & more."),
    (0.0, ""),
    (9.0, "(a) With the tunnel"),
    (9.1, "  client$ nmcli connection up first"),
    (9.2, "      LINK  STATE\x1b[2J\tü 測"),
    (99.0, "  [ok] it works"),
    (99.0, "  [FAILED] it does not"),
    (99.5, "  " + "word " * 60),
    *((100.0 + number, f"line {number}") for number in range(60)),
    (200.0, "The end."),
]


def frames(text, name):
    """The moments of an animation as (percent, transformation)."""
    rule = re.search(rf"@keyframes {name}\{{(.*?\}})\}}", text)[1]
    return [(float(percent), value) for percent, value in re.findall(r"([\d.]+)%\{transform:(.*?)\}", rule)]


class Film(unittest.TestCase):
    """The session above, and the picture."""

    root = None

    def setUp(self):
        self.text = film.draw(SESSION, "a title & more")
        self.rows = film.texts(ElementTree.fromstring(self.text))

    def test_texts_in_order(self):
        """Every line is there, unchanged but for what steers a terminal; long ones go on in the next row."""
        wanted = [re.sub(r"\s+", " ", text.replace("\x1b", " ")).strip() for _, text in SESSION]
        joined = re.sub(r"\s+", " ", " ".join(self.rows)).strip()
        self.assertEqual(joined, " ".join(text for text in wanted if text))
        self.assertLessEqual(max(map(len, self.rows)), film.COLUMNS)
        self.assertIn("      LINK  STATE [2J", "\n".join(self.rows))

    def test_small(self):
        self.assertLess(len(self.text), 40_000)

    def test_nothing_from_elsewhere(self):
        """No script and nothing to load, which pages that show pictures do not allow."""
        for word in ("<script", "href", "url(", "@import", "<foreignObject", "onload"):
            self.assertNotIn(word, self.text)

    def test_colours(self):
        for kind, text in (("p", "  client$ "), ("o", "  [ok]"), ("f", "  [FAILED]"), ("h", "(a) With the tunnel")):
            self.assertIn(f'<tspan class="{kind}">{text}</tspan>', self.text)

    def test_time_goes_on(self):
        """Each animation has rising moments, begins at the beginning and leaves time to read the end."""
        for name in MOVING:
            moments = [percent for percent, _ in frames(self.text, name)]
            self.assertEqual(moments[0], 0)
            self.assertEqual(moments, sorted(moments))
            self.assertLess(moments[-1], 95)
        total = float(re.search(r"animation:paper ([\d.]+)s", self.text)[1])
        self.assertLess(total, 90)  # real waits are cut short
        self.assertEqual(len(frames(self.text, "curtain")), len(film.rows_of(SESSION)[0]) + 1)

    def test_command_is_typed(self):
        """The cursor stands behind the prompt first and gets further step by step, in one row."""
        row = next(number for number, each in enumerate(film.rows_of(SESSION)[0]) if each.typing)
        places = [value for _, value in frames(self.text, "cursor") if value.endswith(f",{row * film.LINE}px)")]
        columns = [float(re.search(r"\(([\d.]+)px", value)[1]) for value in places]
        self.assertGreater(len(columns), 5)
        self.assertEqual(columns, sorted(columns))
        self.assertAlmostEqual(columns[0], len("  client$ ") * film.CHARACTER, 0)
        self.assertAlmostEqual(columns[-1], len("  client$ nmcli connection up first") * film.CHARACTER, 0)

    def test_still(self):
        """Without animations, or where a reader wants less motion, the last screen is there."""
        style = self.text.partition("</style>")[0]
        still, _, moving = style.partition("@media (prefers-reduced-motion: no-preference){")
        self.assertNotIn("animation", still)
        self.assertEqual(moving.count("animation:"), len(MOVING))
        for name in MOVING:
            last = frames(self.text, name)[-1][1]
            self.assertIn(f"#{name}{{transform:{last}}}", still)
        rows = len(film.rows_of(SESSION)[0])
        self.assertEqual(frames(self.text, "paper")[-1][1], f"translateY({-(rows - film.ROWS) * film.LINE}px)")

    def test_short(self):
        """A session that does not fill the screen stays at its top."""
        text = film.draw(SESSION[:1], "short")
        self.assertIn("#paper{transform:translateY(0px)}", text)
        ElementTree.fromstring(text)

    def test_recorder(self):
        """Lines get the times of their ends, and pass through."""
        now = [10.0]
        stream = io.StringIO()
        recorder = film.Recorder(stream, lambda: now[0])
        for moment, text in ((10.5, "one\ntw"), (11.0, "o\n"), (12.0, "\nno end")):
            now[0] = moment
            recorder.write(text)
        self.assertEqual(recorder.lines, [(0.5, "one"), (1.0, "two"), (2.0, "")])
        self.assertEqual(stream.getvalue(), "one\ntwo\n\nno end")

    def test_picture(self):
        """The one in the sources is whole and is the film of a demonstration that went well."""
        text = (self.root / PICTURE).read_text(encoding="utf-8")
        rows = film.texts(ElementTree.fromstring(text))
        self.assertEqual(rows[-1], "Every claim held.")
        self.assertFalse([row for row in rows if "FAILED" in row])
        self.assertGreater(sum("[ok]" in row for row in rows), 8)
        self.assertLess(len(text), film.BYTES_MAX)
        self.assertIn(PICTURE, (self.root / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    Film.root = pathlib.Path(sys.argv.pop(1))
    unittest.main()
