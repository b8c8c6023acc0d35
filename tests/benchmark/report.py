# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as data and as tables for people. Touches nothing."""

import statistics

# Counters of a sample that tell of loss or reordering, summed over all rounds; column -> counter.
COUNTERS = {"sent again": "retransmits", "out of order": "out_of_order", "dropped": "drops"}
BASES = ("plain", "plain-sum", "reference")  # configurations that others are compared with


def number(value):
    """Three significant digits, and all digits of what is larger; of whole numbers nothing but these."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    magnitude = abs(value)
    digits = 2 if magnitude < 10 else 1 if magnitude < 100 else 0
    return f"{value:.{digits}f}"


def spread(values):
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(subject):
    """One subject as data: its samples and what follows from them."""
    found = {
        "name": subject.name,
        "title": subject.title,
        "mode": subject.mode,
        "failures": subject.failures,
        "notes": subject.notes,
        "samples": subject.samples,
    }
    if not subject.samples:
        return found
    found["value"] = spread([each["value"] for each in subject.samples])
    for extra in ("cpu_s_gb", "p99_us", "rtt_us", "spread"):
        values = [each[extra] for each in subject.samples if each.get(extra)]
        if values:
            found[extra] = spread(values)
    for counter in (*COUNTERS.values(), "reordering", "timeouts", "checksum_errors"):
        if counter in subject.samples[0]:
            found[counter] = sum(each[counter] for each in subject.samples)
    return found


def results(scenarios, environment, missing):
    """Everything as data."""
    return {
        "format": 1,
        "environment": environment,
        "not_offered": missing,
        "scenarios": [
            {
                "name": scenario.name,
                "title": scenario.title,
                "unit": scenario.unit,
                "higher_is_better": scenario.higher_is_better,
                "subjects": [summary(subject) for subject in subjects],
            }
            for scenario, subjects in scenarios
        ],
    }


def by_name(entries, name):
    """The entry with this name, or None."""
    return next((entry for entry in entries if entry["name"] == name), None)


def ratios(subject, base, field="value"):
    """Quotients of the samples of two subjects, round by round: the speed of a shared machine changes, but
    less so from one measurement to the next."""
    bottoms = {each["round"]: each[field] for each in base["samples"] if each.get(field)}
    return [
        each[field] / bottoms[each["round"]]
        for each in subject["samples"]
        if each["round"] in bottoms and each.get(field) is not None
    ]


def ratio(subject, base, field="value"):
    """Median of these quotients, or None."""
    values = ratios(subject, base, field) if subject and base else []
    return statistics.median(values) if values else None


def columns(rows):
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def extras(scenario):
    """Columns beyond median and range: heading -> function of a subject."""
    found = {}
    bases = [by_name(scenario["subjects"], name) for name in BASES]
    for base in bases:
        if base and "value" in base:
            found[f"× {base['name']}"] = lambda subject, base=base: number(ratio(subject, base))
    if any("cpu_s_gb" in subject for subject in scenario["subjects"]):
        found["CPU s/GB"] = lambda subject: number(subject.get("cpu_s_gb", {}).get("median"))
    if scenario["unit"] == "µs":
        found["p99 µs"] = lambda subject: number(subject.get("p99_us", {}).get("median"))
    if scenario["name"] == "queue":
        found["rtt ms"] = lambda subject: number(subject["rtt_us"]["median"] / 1e3)
    if any("spread" in subject for subject in scenario["subjects"]):
        found["other flow each time"] = lambda subject: number(subject["spread"]["median"])
    for heading, counter in COUNTERS.items():
        if any(counter in subject for subject in scenario["subjects"]):
            found[heading] = lambda subject, counter=counter: str(subject.get(counter, "–"))
    return found


def scenario_table(scenario):
    """One scenario as text."""
    more = extras(scenario)
    rows = [["", f"{scenario['unit']}", "min–max", *more]]
    for subject in scenario["subjects"]:
        if "value" not in subject:
            failure = subject["failures"][0].splitlines()[0] if subject["failures"] else "not measured"
            rows.append([subject["title"], "failed", failure[:60], *[""] * len(more)])
            continue
        value = subject["value"]
        reach = f"{number(value['min'])}–{number(value['max'])}"
        rows.append(
            [
                subject["title"],
                number(value["median"]),
                reach,
                *(cell(subject) for cell in more.values()),
            ]
        )
    better = "more is better" if scenario["higher_is_better"] else "less is better"
    lines = [f"{scenario['title']} [{scenario['name']}; {better}]"]
    lines += ["  " + line for line in columns(rows)]
    for subject in scenario["subjects"]:
        for name, note in subject["notes"].items():
            if note:
                lines.append(f"  {subject['title']}: {name.replace('_', ' ')}: {note}")
    return "\n".join(lines)


def tables(found):
    """All scenarios as text."""
    about = found["environment"]
    samples = [
        each
        for scenario in found["scenarios"]
        for subject in scenario["subjects"]
        for each in subject["samples"]
    ]
    noisy = sum(each["disturbed"] for each in samples)
    lines = [
        f"Linux {about['kernel']}, {about['cpus']} × {about['cpu']}; {about['rounds']} rounds of "
        f"{about['seconds']:g} s, taking turns; medians. \"× plain\" is the median of the quotients of each "
        "round."
    ]
    if noisy:
        lines.append(f"Others used the machine during {noisy} of {len(samples)} measurements.")
    for name, reason in found["not_offered"].items():
        lines.append(f"Not offered: {name}: {reason}")
    return "\n\n".join(["\n".join(lines), *(scenario_table(each) for each in found["scenarios"])]) + "\n"
