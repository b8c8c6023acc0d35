# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios and the things that take turns in them, as data. Touches nothing."""

import dataclasses


def nothing():
    """What most subjects need before and after."""


@dataclasses.dataclass
class Subject:
    """One of the things that take turns. measure(seconds): what sample.transfer() returns, and "value"."""

    name: str
    title: str
    measure: object
    prepare: object = nothing
    finish: object = nothing
    samples: list = dataclasses.field(default_factory=list)
    failures: list = dataclasses.field(default_factory=list)
    notes: dict = dataclasses.field(default_factory=dict)
    rig: object = None
    mode: bool = False  # one of many modes: in tables, not in the chart


@dataclasses.dataclass(frozen=True)
class Scenario:
    """subjects(bench) makes the subjects. length: how much longer than usual a measurement takes."""

    name: str
    title: str
    unit: str
    higher_is_better: bool
    subjects: object
    length: float = 1.0
    quick: bool = True  # part of --quick
    cpus: int = 1  # that it takes
