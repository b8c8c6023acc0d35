# SPDX-License-Identifier: GPL-2.0-or-later
"""What the project wants to reach, and what this run has reached. Touches nothing."""

import dataclasses
import statistics

import report

OURS = "underpass"
AUTO = "underpass-auto"
BULK = "underpass-bulk"
SOCKETS = "underpass-bulk-socket"


@dataclasses.dataclass(frozen=True)
class Goal:
    """what: for people. reached(lookup): the value of this run, or None. limit: at least that much, or at
    most when at_most is true."""

    what: str
    limit: float
    reached: object
    at_most: bool = False
    unit: str = "×"
    by_cpu: object = None  # the same quotient by CPU time, which a busy machine distorts less


class Lookup:
    """Finds subjects in results."""

    def __init__(self, results):
        self._results = results

    def subject(self, scenario, name):
        """A subject that was measured, or None."""
        found = report.by_name(self._results["scenarios"], scenario)
        subject = report.by_name(found["subjects"], name) if found else None
        return subject if subject and "value" in subject else None

    def ratios(self, scenario, other, field="value", name=OURS):
        """Underpass by another subject, round by round."""
        pair = self.subject(scenario, name), self.subject(scenario, other)
        return report.ratios(*pair, field) if None not in pair else []


def against(scenario, other, field="value", name=OURS):
    """reached() of a quotient."""
    return lambda lookup: lookup.ratios(scenario, other, field, name)


def faster(what, limit, scenario, other, name=OURS):
    """The goal of a throughput."""
    cpu = against(scenario, other, "cpu_s_gb", name)
    return Goal(
        what,
        limit,
        against(scenario, other, name=name),
        by_cpu=lambda lookup: [1 / each for each in cpu(lookup)],
    )


def cheaper(what, limit, scenario, name=OURS):
    """The goal of the CPU time that a byte takes, against plain TCP with software checksums."""
    return Goal(what, limit, against(scenario, "plain-sum", "cpu_s_gb", name), True)


def value(scenario, name, field="value"):
    """reached() of a value."""

    def reached(lookup):
        subject = lookup.subject(scenario, name)
        return [each[field] for each in subject["samples"]] if subject else []

    return reached


def note(scenario, name, field, factor):
    """reached() of what was measured once, when the hosts were made."""

    def reached(lookup):
        subject = lookup.subject(scenario, name)
        return [subject["notes"][field] * factor] if subject else []

    return reached


def trouble(*scenarios, name=OURS):
    """reached() of what went wrong beyond what plain TCP suffers in the same rounds: packets dropped, sent
    again or out of order."""

    def count(subject):
        own = sum(subject["notes"].get("underpass_drops", {}).values())
        return own + sum(subject[name] for name in ("drops", "retransmits", "out_of_order"))

    def reached(lookup):
        total = 0
        for scenario in scenarios:
            pair = [lookup.subject(scenario, each) for each in (name, "plain-sum")]
            if None in pair:
                return []
            total += max(0, count(pair[0]) - count(pair[1]))
        return [total]

    return reached


GOALS = (
    faster("one stream against the reference, same cable", 3.5, "direct", "reference"),
    faster("one stream against the reference, router, 2 CPUs", 4.5, "router-2cpu", "reference"),
    faster("one stream with BBR against the reference", 9, "bbr", "reference"),
    faster("one stream packet by packet, same cable", 2.5, "direct", "one-by-one"),
    faster("one stream packet by packet, router, 2 CPUs", 2.5, "router-2cpu", "one-by-one"),
    faster("classic form against VXLAN, same cable", 0.6, "direct", "vxlan"),
    faster("classic form against VXLAN, router, 2 CPUs", 0.75, "router-2cpu", "vxlan"),
    cheaper("classic form, CPU per byte against plain TCP, router, 2 CPUs", 1.35, "router-2cpu"),
    faster("bulk form against VXLAN, same cable", 0.85, "direct", "vxlan", BULK),
    faster("bulk form against plain TCP, same cable", 0.8, "direct", "plain-sum", BULK),
    faster("bulk form against VXLAN, router, 2 CPUs", 1.0, "router-2cpu", "vxlan", BULK),
    faster("bulk form against plain TCP, router, 2 CPUs", 0.9, "router-2cpu", "plain-sum", BULK),
    cheaper("bulk form, CPU per byte against plain TCP, router, 2 CPUs", 1.05, "router-2cpu", BULK),
    faster("bulk form with sockets against VXLAN, same cable", 1.0, "direct", "vxlan", SOCKETS),
    faster("bulk form with sockets against plain TCP, same cable", 0.9, "direct", "plain-sum", SOCKETS),
    faster("a download by sockets against VXLAN, same cable", 1.0, "direct-down", "vxlan", SOCKETS),
    faster("a download by sockets against plain TCP, same cable", 0.9, "direct-down", "plain-sum", SOCKETS),
    faster("bulk form with sockets against VXLAN, router, 2 CPUs", 1.0, "router-2cpu", "vxlan", SOCKETS),
    faster(
        "bulk form with sockets against plain TCP, router, 2 CPUs", 0.95, "router-2cpu", "plain-sum", SOCKETS
    ),
    cheaper(
        "bulk form with sockets, CPU per byte against plain TCP, router, 2 CPUs", 1.05, "router-2cpu", SOCKETS
    ),
    faster("bulk form against plain TCP, link cuts", 0.9, "link-cuts", "plain-cut", "underpass-bulk-cut"),
    *(
        Goal(
            f"dropped, sent again, out of order beyond plain TCP, {streams}, {form}",
            0,
            trouble(*scenarios, name=name),
            True,
            "packets",
        )
        for form, name in (("classic form", OURS), ("bulk form", BULK), ("bulk form with sockets", SOCKETS))
        for streams, scenarios in (("1 stream", ("router", "router-2cpu")), ("64 streams", ("streams-64",)))
    ),
    Goal("queue in front of a shaped link against plain TCP", 1.2, against("queue", "plain"), True),
    Goal("the same with bulk=auto", 1.2, against("queue", "plain", name=AUTO), True),
    Goal("round trip time behind that queue", 1.2, against("queue", "plain", "rtt_us"), True),
    faster("untunnelled traffic on a link with a tunnel", 0.98, "untunnelled", "plain"),
    Goal(
        "one byte there and back, p50, against plain TCP", 1.1, against("latency", "plain", "p50_us"), True
    ),
    Goal(
        "one byte there and back, p99, against plain TCP", 1.25, against("latency", "plain", "p99_us"), True
    ),
    Goal(
        "CPU per byte, 100 000 flows in the table against 1",
        1.15,
        against("flows", "flows-1", "cpu_s_gb", "flows-100000"),
        True,
    ),
    Goal(
        "the program for one packet, of 100 000 flows another one each time",
        200,
        value("program", "flows-100000", "spread"),
        True,
        "ns",
    ),
    Goal("MPTCP over two shaped links against the sum of both", 0.95, value("mptcp", OURS), unit="×"),
    Goal("the same with bulk=auto", 0.98, value("mptcp", AUTO), unit="×"),
    faster("router, tunnel on its WAN side, against the reference, up", 2, "forward-up", "reference"),
    faster("router, tunnel on its WAN side, against the reference, down", 3.5, "forward-down", "reference"),
    Goal("activation of a link, service warm", 10, value("activation", "warm"), True, "ms"),
    Goal("activation of a link, service cold", 150, value("activation", "cold"), True, "ms"),
    Goal("activation of 500 links at once", 5, note("links", "links-500", "reload_ms", 0.001), True, "s"),
)


def median(values):
    """Of what was measured; None when nothing was."""
    return statistics.median(values) if values else None


def judge(results):
    """Each goal with what this run has reached."""
    lookup, found = Lookup(results), []
    for goal in GOALS:
        values = goal.reached(lookup)
        reached = median(values)
        if reached is None:
            verdict = "not measured"
        else:
            held = reached <= goal.limit if goal.at_most else reached >= goal.limit
            verdict = "reached" if held else "NOT reached"
        found.append(
            {
                "what": goal.what,
                "wanted": f"{'≤' if goal.at_most else '≥'} {goal.limit:g} {goal.unit}",
                "limit": goal.limit,
                "at_most": goal.at_most,
                "reached": reached,
                "rounds": values,
                "by_cpu": median(goal.by_cpu(lookup)) if goal.by_cpu else None,
                "unit": goal.unit,
                "verdict": verdict,
            }
        )
    return found


def table(judged):
    """The goals as text; those that were not measured are only counted."""
    shown = [each for each in judged if each["reached"] is not None]
    rows = [["Underpass", "wanted", "reached", "rounds", "by CPU time", "verdict"]]
    for each in shown:
        reached = f"{report.number(each['reached'])} {each['unit']}"
        ends = "–".join(report.number(end(each["rounds"])) for end in (min, max))
        by_cpu = f"{report.number(each['by_cpu'])} ×" if each["by_cpu"] else ""
        rows.append([each["what"], each["wanted"], reached, ends, by_cpu, each["verdict"]])
    lines = report.columns(rows)
    if len(shown) < len(judged):
        lines.append(f"{len(judged) - len(shown)} more were not measured in this run.")
    return "\n".join(lines)
