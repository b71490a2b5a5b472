"""Vital signs: which there are, in which units, what can be true, and what is usual at an age and for a sex.

The table (``ranges.yaml``) has a source in every row; ``docs/clinical.md`` shows it. Values become the parameter's own unit
before anything else looks at them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from deployments.errors import InvalidInput

Sex = Literal["female", "male", "other", "unknown"]
Worse = Literal["low", "high", "both"]
Status = Literal["normal", "low", "high", "critical_low", "critical_high", "no_reference"]
_FILE = Path(__file__).with_name("ranges.yaml")


@dataclass(frozen=True, slots=True)
class Parameter:
    """``units``: name to (factor, offset) into ``unit``; ``possible``: both bounds, in ``unit``; ``worse``: the sides of the
    range on which a trend is adverse."""

    name: str
    label: str
    unit: str
    possible: tuple[float, float]
    units: Mapping[str, tuple[float, float]]
    worse: Worse


@dataclass(frozen=True, slots=True)
class Reference:
    """A usual range, both ends included; None: open, and with both ends open only critical values are judged. ``note``:
    where it is the envelope of two rows, or holds for every age."""

    low: float | None
    high: float | None
    critical_low: float | None
    critical_high: float | None
    source: str
    note: str | None = None

    def status(self, value: float) -> Status:
        if self.critical_low is not None and value <= self.critical_low:
            return "critical_low"
        if self.critical_high is not None and value >= self.critical_high:
            return "critical_high"
        if self.low is None and self.high is None:
            return "no_reference"
        if self.low is not None and value < self.low:
            return "low"
        return "high" if self.high is not None and value > self.high else "normal"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value in the parameter's own unit."""

    parameter: str
    value: float
    at: datetime


@cache
def parameters() -> Mapping[str, Parameter]:
    """All vital signs by name."""
    return {
        name: Parameter(
            name,
            row["label"],
            row["unit"],
            (float(row["possible"][0]), float(row["possible"][1])),
            {unit: (float(factor), float(offset)) for unit, (factor, offset) in row["units"].items()},
            row["worse"],
        )
        for name, row in _table()["parameters"].items()
    }


def sources() -> Mapping[str, str]:
    """What the sources' short names stand for."""
    named: Mapping[str, str] = _table()["sources"]
    return named


def rows() -> Sequence[Mapping[str, Any]]:
    """The table of ranges."""
    held: Sequence[Mapping[str, Any]] = _table()["ranges"]
    return held


def measured(parameter: str, value: float, unit: str | None, at: datetime, param: str) -> Measurement:
    """A value in the parameter's own unit. Raises ``InvalidInput`` naming ``param`` for a wrong unit or an impossible value.

    ``param``: the field's path, for example ``vitals[3]``.
    """
    known = parameters()[parameter]
    if unit is not None and unit not in known.units:
        raise InvalidInput(f"{parameter} is given in {', '.join(known.units)}.", f"{param}.unit")
    factor, offset = known.units[unit or known.unit]
    converted = value * factor + offset
    low, high = known.possible
    if not low <= converted <= high:
        told = unit or known.unit
        bounds = [(bound - offset) / factor for bound in (low, high)]
        raise InvalidInput(
            f"{parameter} can only be from {bounds[0]:.4g} to {bounds[1]:.4g} {told}; check the value and its unit.",
            f"{param}.value",
        )
    return Measurement(parameter, round(converted, 4), at)


def any_age() -> Sequence[Mapping[str, Any]]:
    """What holds at every age, a row for each parameter that has such bounds."""
    held: Sequence[Mapping[str, Any]] = _table()["any_age"]
    return held


def has_range(parameter: str) -> bool:
    """Whether the table has a range of it for any age."""
    return any(row["parameter"] == parameter for row in rows())


def reference(parameter: str, age: float | None, sex: Sex) -> Reference | None:
    """The usual range. Without an age, or at one that has no row, what holds at every age; None where nothing does.

    Where the sex is neither female nor male and the table tells them apart, both rows together.
    """
    fitting = [row for row in rows() if row["parameter"] == parameter and _covers(row, age)]
    fitting = [row for row in fitting if row["sex"] in ("any", sex)] or fitting
    if fitting:
        return _envelope(fitting, "both sexes' ranges together" if len(fitting) > 1 else None)
    fitting = [row for row in any_age() if row["parameter"] == parameter]
    return _envelope(fitting, "only what holds at every age") if fitting else None


def _covers(row: Mapping[str, Any], age: float | None) -> bool:
    return age is not None and bool(row["from"] <= age < row["to"])


def _envelope(fitting: Sequence[Mapping[str, Any]], note: str | None) -> Reference:
    """One range out of one row or more: the widest."""
    lows, highs = [row["low"] for row in fitting], [row["high"] for row in fitting]
    critical = [row.get("critical", [None, None]) for row in fitting]
    return Reference(
        low=None if None in lows else min(lows),
        high=None if None in highs else max(highs),
        critical_low=None if any(each[0] is None for each in critical) else min(each[0] for each in critical),
        critical_high=None if any(each[1] is None for each in critical) else max(each[1] for each in critical),
        source=", ".join(dict.fromkeys(name.strip() for row in fitting for name in row["source"].split(","))),
        note=note,
    )


@cache
def _table() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return loaded
