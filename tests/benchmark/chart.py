# SPDX-License-Identifier: GPL-2.0-or-later
"""The results as a chart: one group of bars for each scenario, the median as the bar, least and greatest
value as a whisker. Modes of Underpass are in the tables only: there are many. Touches nothing."""

import textwrap
from xml.sax.saxutils import escape

import report

WIDTH = 872  # of the whole chart: what a README has room for, so that text is as large as it says here
COLUMNS = 2
GAP = 28
PANEL = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
LABEL = 194  # room for the names of the bars
VALUE = 70  # room for numbers to the right of them
ROW = 22
LINE = 17  # of text
HEAD_CHARACTERS = 46  # in a line
LABEL_CHARACTERS = 30
ABOUT_CHARACTERS = 118
STYLE = """
 text { font-family: "DejaVu Sans", "Liberation Sans", Helvetica, Arial, sans-serif; fill: #1f2328 }
 .paper { fill: #ffffff; stroke: #d0d7de }
 .title { font-size: 20px; font-weight: bold }
 .about { font-size: 12px; fill: #59636e }
 .head { font-size: 13px; font-weight: bold }
 .unit { font-size: 12px; fill: #59636e }
 .name { font-size: 12px; text-anchor: end }
 .value { font-size: 12px }
 .axis { stroke: #8c959f; stroke-width: 1 }
 .whisker { stroke: #1f2328; stroke-width: 1.2 }
 @media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .paper { fill: #0d1117; stroke: #3d444d }
  .about, .unit { fill: #9198a1 }
  .axis { stroke: #656c76 }
  .whisker { stroke: #f0f6fc }
 }
"""
# Colour by the beginning of the name; the first that fits.
COLOURS = (
    ("underpass-", "#8fc9a3"),
    ("underpass", "#2e8b57"),
    ("flows", "#2e8b57"),
    ("links", "#2e8b57"),
    ("warm", "#2e8b57"),
    ("cold", "#2e8b57"),
    ("reference", "#d9822b"),
    ("one-by-one", "#d9822b"),
    ("plain", "#9aa5b1"),
    ("xdp", "#9aa5b1"),
    ("", "#5b7fb5"),
)


def colour(name):
    """Of a bar."""
    return next(found for beginning, found in COLOURS if name.startswith(beginning))


def element(name, text=None, **attributes):
    """One element of SVG; class_ stands for class."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{round(value, 1) if isinstance(value, float) else value}"'
        for key, value in attributes.items()
    )
    return f"<{name}{words}/>" if text is None else f"<{name}{words}>{escape(text)}</{name}>"


def shortened(text, characters):
    """The text, or its beginning."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def bars(subjects, left, top):
    """The bars of one group, and the line they stand on."""
    largest = max(subject["value"]["max"] for subject in subjects) or 1
    room, begin = PANEL - LABEL - VALUE, left + LABEL
    found = []
    for index, subject in enumerate(subjects):
        value, y = subject["value"], top + index * ROW
        middle = y + ROW / 2 - 1
        ends = [begin + room * value[which] / largest for which in ("min", "max")]
        found.append(
            element("text", shortened(subject["title"], LABEL_CHARACTERS), class_="name", x=begin - 8.0, y=middle + 4)
        )
        found.append(
            element(
                "rect",
                x=float(begin),
                y=y + 3.0,
                width=room * value["median"] / largest,
                height=ROW - 8.0,
                fill=colour(subject["name"]),
            )
        )
        found.append(element("line", class_="whisker", x1=ends[0], x2=ends[1], y1=middle, y2=middle))
        for end in ends:
            found.append(element("line", class_="whisker", x1=end, x2=end, y1=middle - 4, y2=middle + 4))
        text = report.number(value["median"])
        found.append(element("text", text, class_="value", x=ends[1] + 8, y=middle + 4))
    bottom = top + len(subjects) * ROW
    found.append(element("line", class_="axis", x1=float(begin), x2=float(begin), y1=top, y2=float(bottom)))
    return found


def heading(scenario):
    """Its lines."""
    return textwrap.wrap(scenario["title"], HEAD_CHARACTERS)


def shown(scenario):
    """Subjects that have a bar."""
    return [subject for subject in scenario["subjects"] if "value" in subject and not subject["mode"]]


def panel(scenario, left, top):
    """One scenario."""
    subjects = shown(scenario)
    better = "more is better" if scenario["higher_is_better"] else "less is better"
    found, y = [], top
    for line in heading(scenario):
        y += LINE
        found.append(element("text", line, class_="head", x=float(left), y=y))
    y += LINE
    found.append(element("text", f"{scenario['unit']}, {better}", class_="unit", x=float(left), y=y))
    return [*found, *bars(subjects, left, y + 8)]


def height(scenario):
    """Of a panel."""
    return LINE * (len(heading(scenario)) + 1) + ROW * len(shown(scenario)) + 28


def explanation(about):
    """What was compared, in lines."""
    text = (
        f"The same data by each of them in turn, between namespaces on one machine. Bars: median of {about['rounds']} rounds of "
        f"{about['seconds']:g} s; whiskers: least and greatest. Linux {about['kernel']}, {about['cpus']} × {about['cpu']}, "
        f"{about['when'][:10]}."
    )
    return textwrap.wrap(text, ABOUT_CHARACTERS)


def draw(results):
    """The chart as the text of an SVG file."""
    lines, parts = explanation(results["environment"]), []
    bottoms = [float(48 + LINE * len(lines) + 12)] * COLUMNS
    for scenario in results["scenarios"]:
        if not shown(scenario):
            continue
        column = bottoms.index(min(bottoms))
        left = GAP + column * (PANEL + GAP)
        parts += panel(scenario, left, bottoms[column])
        bottoms[column] += height(scenario)
    total = max(bottoms)
    title = "Underpass beside plain TCP and other tunnels"
    return "\n".join(
        [
            "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->",
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{total:.0f}" '
            f'viewBox="0 0 {WIDTH} {total:.0f}">',
            element("title", title),
            f"<style>{STYLE}</style>",
            element("rect", class_="paper", width=WIDTH, height=float(total), rx=8),
            element("text", title, class_="title", x=GAP, y=40),
            *(element("text", line, class_="about", x=GAP, y=46 + LINE * (i + 1)) for i, line in enumerate(lines)),
            *parts,
            "</svg>\n",
        ]
    )
