# SPDX-License-Identifier: GPL-2.0-or-later
"""The results as a chart: one group of bars for each scenario, the median as the bar, least and greatest
value as a whisker. Touches nothing."""

from xml.sax.saxutils import escape

import report

WIDTH = 1160  # of the whole chart
COLUMNS = 2
GAP = 40
PANEL = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
LABEL = 200  # room for the names of the bars
VALUE = 96  # room for numbers to the right of them
ROW = 22
HEAD = 48
MARGIN_TOP = 84
STYLE = """
 text { font-family: "DejaVu Sans", "Liberation Sans", Helvetica, Arial, sans-serif; fill: #222 }
 .title { font-size: 20px; font-weight: bold }
 .about { font-size: 12px; fill: #555 }
 .head { font-size: 13px; font-weight: bold }
 .unit { font-size: 11px; fill: #555 }
 .name { font-size: 11px; text-anchor: end }
 .value { font-size: 11px }
 .axis { stroke: #999; stroke-width: 1 }
 .whisker { stroke: #222; stroke-width: 1.2 }
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
            element("text", shortened(subject["title"], 32), class_="name", x=begin - 8.0, y=middle + 4)
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


def panel(scenario, left, top):
    """One scenario."""
    subjects = [subject for subject in scenario["subjects"] if "value" in subject]
    better = "more is better" if scenario["higher_is_better"] else "less is better"
    return [
        element("text", shortened(scenario["title"], 66), class_="head", x=float(left), y=top + 14.0),
        element("text", f"{scenario['unit']}, {better}", class_="unit", x=float(left), y=top + 31.0),
        *bars(subjects, left, top + HEAD - 8),
    ]


def height(scenario):
    """Of a panel."""
    return HEAD + ROW * sum("value" in subject for subject in scenario["subjects"]) + 16


def draw(results):
    """The chart as the text of an SVG file."""
    about, parts = results["environment"], []
    bottoms = [float(MARGIN_TOP)] * COLUMNS
    for scenario in results["scenarios"]:
        if not any("value" in subject for subject in scenario["subjects"]):
            continue
        column = bottoms.index(min(bottoms))
        left = GAP + column * (PANEL + GAP)
        parts += panel(scenario, left, bottoms[column])
        bottoms[column] += height(scenario)
    total = max(bottoms) + GAP / 2
    text = (
        f"Linux {about['kernel']}, {about['cpus']} × {about['cpu']}; median of {about['rounds']} rounds of "
        f"{about['seconds']:g} s that took turns; whiskers: least and greatest; {about['when']}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total:.0f}" '
            f'viewBox="0 0 {WIDTH} {total:.0f}">',
            f"<style>{STYLE}</style>",
            element("rect", width="100%", height="100%", fill="white"),
            element("text", "Underpass beside plain TCP and other tunnels", class_="title", x=GAP, y=36),
            element("text", text, class_="about", x=GAP, y=58),
            *parts,
            "</svg>\n",
        ]
    )
