# SPDX-License-Identifier: GPL-2.0-or-later
"""A film of what a program prints, as one animated SVG without scripts: for pages that show it as a picture. Recorder notes the
lines and when they came, draw() makes the film. Touches nothing.

All lines stand one below the other. A curtain uncovers them one by one, and the paper rolls up. Where nothing moves (a reader who
wants less motion, a program that shows still pictures only), the last screen is there.
"""

import dataclasses
import re
import textwrap
import time
from xml.sax.saxutils import escape

COLUMNS, ROWS = 100, 26
CHARACTER, LINE, SIZE = 8.4, 19, 14  # pixels
MARGIN, BAR = 16, 30
TYPING = 0.03  # seconds for a character
TYPED_MAX = 1.2  # seconds for a command
GAP_MIN, GAP_MAX = 0.12, 0.9  # seconds between lines, however long it really took
HEADING_GAP = 1.2
BYTES_MAX = 200_000  # of a film, for pages that many people load
END = 8.0  # seconds that the last screen stays

COMMAND = re.compile(r"(  \w+\$ )(.*)")
VERDICT = re.compile(r"(  \[(?:ok|FAILED)\])(.*)")
HEADING = re.compile(r"\(\w\) ")
CONTINUED = "    "

STYLE = """
text { font: %(size)dpx ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace; fill: #d5dbe3; white-space: pre }
.t { fill: #8b97a7 } .p { fill: #7cc7e8 } .c { fill: #ffffff } .o { fill: #8fd694 } .f { fill: #ff8a80 } .h { fill: #ffd479 }
.k { fill: #1b2129 } .b { fill: #d5dbe3 }
"""


@dataclasses.dataclass
class Row:
    """One line of the screen: spans of (class, text), when it begins, how long it takes to be typed."""

    spans: list
    begin: float = 0.0
    typing: float = 0.0
    prompt: int = 0  # characters that are there before the typing

    def length(self):
        """In characters."""
        return sum(len(text) for _, text in self.spans)


class Recorder:
    """A stream that notes the lines written to another one, as (seconds, text)."""

    def __init__(self, stream, clock=time.monotonic):
        self._stream, self._clock, self._begin = stream, clock, clock()
        self._rest = ""
        self.lines = []

    def write(self, text):
        """Writes and notes."""
        *whole, self._rest = (self._rest + text).split("\n")
        self.lines += [(self._clock() - self._begin, line) for line in whole]
        return self._stream.write(text)

    def flush(self):
        """Flushes the other stream."""
        self._stream.flush()


def spans_of(text):
    """The colours of a line: (class, text), ..."""
    for pattern, classes in ((COMMAND, ("p", "c")), (VERDICT, ("o", ""))):
        if found := pattern.fullmatch(text):
            first = "f" if "FAILED" in found[1] else classes[0]
            return [(first, found[1]), (classes[1], found[2])]
    return [("h" if HEADING.match(text) else "", text)]


def split(text):
    """A line as lines that fit."""
    if len(text) <= COLUMNS:
        return [text]
    indent = text[: len(text) - len(text.lstrip())] + CONTINUED
    return textwrap.wrap(text, COLUMNS, subsequent_indent=indent, drop_whitespace=False, break_on_hyphens=False) or [""]


def rows_of(lines):
    """The lines as rows with their times: long waits are cut short, and what comes at once is read one by one."""
    rows, now, before = [], 0.0, 0.0
    for real, text in lines:
        text = "".join(character if character.isprintable() else " " for character in text.expandtabs())
        gap = min(max(real - before, GAP_MIN), GAP_MAX)
        now, before = now + (HEADING_GAP if HEADING.match(text) else gap), real
        for number, part in enumerate(split(text)):
            row = Row(spans_of(part) if number == 0 else [("c" if COMMAND.fullmatch(text) else "", part)], now)
            if COMMAND.fullmatch(text):
                row.prompt = len(row.spans[0][1]) if number == 0 else 0
                row.typing = min((row.length() - row.prompt) * TYPING, TYPED_MAX)
                now += row.typing
            rows.append(row)
    return rows, now + END


def keyframes(name, moments, total):
    """A rule of CSS: (seconds, transformation), each until the next one."""
    steps, last = [], None
    for second, value in moments:
        if value != last:
            steps.append(f"{second * 100 / total:.2f}%{{transform:{value}}}")
            last = value
    return f"@keyframes {name}{{{''.join(steps)}}}"


def cursor_moments(rows):
    """Where the cursor is, and with it the end of what can be seen of its row."""
    yield 0.0, "translate(0,0)"
    for number, row in enumerate(rows):
        typed = row.length() - row.prompt if row.typing else 0
        steps = max(typed // 2, 1)
        for step in range(steps + 1) if typed else [steps]:
            column = row.prompt + typed * step // steps if typed else row.length()
            second = row.begin + (row.typing * step / steps if typed else 0)
            yield second, f"translate({column * CHARACTER:.1f}px,{number * LINE}px)"


def roll(number):
    """How far the paper has rolled up when the row is there."""
    return f"translateY({min(0, ROWS - 1 - number) * LINE}px)"


def motion(rows, total):
    """The rules that move paper, curtain and cursor; without them the last screen is shown."""
    last = len(rows) - 1
    paper = [(0.0, roll(0))] + [(row.begin, roll(number)) for number, row in enumerate(rows)]
    curtain = [(0.0, "translateY(0px)")]
    curtain += [(row.begin, f"translateY({(number + 1) * LINE}px)") for number, row in enumerate(rows)]
    cursor = list(cursor_moments(rows))
    rules = [f"#paper{{transform:{roll(last)}}}", f"#curtain{{transform:{curtain[-1][1]}}}", f"#cursor{{transform:{cursor[-1][1]}}}"]
    rules.append("@media (prefers-reduced-motion: no-preference){")
    rules += [f"#{name}{{animation:{name} {total:.1f}s step-end infinite}}" for name in ("paper", "curtain", "cursor")]
    rules.append("}")
    moments = {"paper": paper, "curtain": curtain, "cursor": cursor}
    return "\n".join(rules + [keyframes(name, found, total) for name, found in moments.items()])


def text_element(row, number):
    """A row. Its width is given, so that every font is as wide as the cursor believes."""
    if row.length() == 0:
        return ""
    inside = "".join(f'<tspan class="{kind}">{escape(text)}</tspan>' if kind else escape(text) for kind, text in row.spans)
    width = row.length() * CHARACTER
    return f'<text y="{number * LINE + SIZE}" textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs">{inside}</text>\n'


def draw(lines, title):
    """The film of lines (seconds, text) as the text of an SVG file."""
    rows, total = rows_of(lines)
    width, height = COLUMNS * CHARACTER + 2 * MARGIN, ROWS * LINE + MARGIN + BAR
    inner = f'x="{MARGIN}" y="{BAR}" width="{width - 2 * MARGIN:.0f}" height="{ROWS * LINE}"'
    tall = len(rows) * LINE
    return "".join(
        [
            "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n",
            f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" role="img" width="{width:.0f}" height="{height}" '
            f'viewBox="0 0 {width:.0f} {height}">\n<title>{escape(title)}</title>\n',
            f"<style>{STYLE % {'size': SIZE}}{motion(rows, total)}</style>\n",
            f'<rect class="k" width="{width:.0f}" height="{height}" rx="8" stroke="#5b6675"/>\n',
            *(f'<circle cx="{18 + 16 * place}" cy="15" r="5" fill="#5b6675"/>' for place in range(3)),
            f'\n<text class="t" x="72" y="20">{escape(title)}</text>\n<svg {inner}>\n<g id="paper">\n',
            *(text_element(row, number) for number, row in enumerate(rows)),
            f'<rect id="curtain" class="k" width="{width:.0f}" height="{tall}"/>\n',
            f'<g id="cursor"><rect class="k" width="{width:.0f}" height="{LINE}"/>'
            f'<rect class="b" x="1" width="{CHARACTER:.0f}" height="{LINE - 2}"/></g>\n',
            "</g>\n</svg>\n</svg>\n",
        ]
    )


def texts(root):
    """The lines of a film that was parsed, in their order; without the title."""
    space = "{http://www.w3.org/2000/svg}"
    return ["".join(element.itertext()) for element in root.find(f"{space}svg").iter(f"{space}text")]
