"""From trends, anomalies and notes to findings that somebody should look at, and a recommendation for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deployments.clinical.medication import Note
from deployments.clinical.trends import Anomaly, Series, Trend
from deployments.clinical.vitals import Reference, Status, has_range, parameters

Priority = Literal["urgent", "high", "medium", "low"]
Category = Literal["vitals", "medication", "data"]
NEAR_SHARE, NEAR_OPEN_SHARE = 0.1, 0.05
"""Near a bound: within this share of the range's width, or of the bound itself where the other end is open."""


@dataclass(frozen=True, slots=True)
class Vital:
    """All that was found on one parameter. ``anomalies``: newest first. ``aged``: whether the patient's age is known."""

    series: Series
    trend: Trend
    reference: Reference | None
    anomalies: Sequence[Anomaly]
    halves: Mapping[str, float] | None = None
    aged: bool = True

    @property
    def name(self) -> str:
        return self.series.parameter

    @property
    def label(self) -> str:
        return parameters()[self.name].label

    @property
    def status(self) -> Status:
        return self.reference.status(self.series.current) if self.reference else "no_reference"

    @property
    def judged(self) -> bool:
        """Whether anything can be said of the newest value."""
        return self.status != "no_reference"

    @property
    def adverse(self) -> bool:
        """Whether it moves, significantly, towards a side that is worse, and is beyond the bound there or near it."""
        if not self.trend.significant or self.reference is None:
            return False
        side = "high" if self.trend.direction == "increasing" else "low"
        low, high = self.reference.low, self.reference.high
        bound = high if side == "high" else low
        if bound is None or parameters()[self.name].worse not in (side, "both"):
            return False
        margin = NEAR_OPEN_SHARE * bound if low is None or high is None else NEAR_SHARE * (high - low)
        return self.series.current >= bound - margin if side == "high" else self.series.current <= bound + margin

    @property
    def critical_before(self) -> Sequence[Anomaly]:
        """Critical values where the newest one is not critical; newest first."""
        if self.status.startswith("critical"):
            return ()
        return [each for each in self.anomalies if each.kind == "critical"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at; recommendations name its ``id``."""

    id: str
    kind: str
    about: str
    text: str
    priority: Priority
    category: Category


_Found = tuple[str, str, str, Priority, Category]


def findings_of(vitals: Sequence[Vital], pairs: Sequence[Anomaly], notes: Sequence[Note]) -> list[Finding]:
    """Everything worth a look, the most pressing first."""
    found: list[_Found] = []
    for vital in vitals:
        found += _on_vital(vital)
    if pairs:
        text = f"{len(pairs)} diastolic values are not below the systolic value of the same time."
        found.append(("implausible", "diastolic_bp", text, "medium", "data"))
    for note in notes:
        places = ", ".join(str(index + 1) for index in note.medications)
        priority: Priority = "medium" if note.kind in ("adherence", "duplicate", "many") else "low"
        found.append((note.kind, f"medication {places}", note.text, priority, "medication"))
    order = {"urgent": 0, "high": 1, "medium": 2, "low": 3}
    found.sort(key=lambda each: order[each[3]])
    return [Finding(f"F{number}", *each) for number, each in enumerate(found, 1)]


def _on_vital(vital: Vital) -> list[_Found]:
    label, unit = vital.label, parameters()[vital.name].unit
    found = [*_on_values(vital, f"{vital.series.current:g} {unit}", unit)]
    if vital.adverse and vital.trend.slope is not None:
        text = f"{label} is {vital.trend.direction}, by {abs(vital.trend.slope):.3g} {unit} a day."
        found.append(("adverse_trend", vital.name, text, "medium", "vitals"))
    outliers = sum(each.kind == "outlier" for each in vital.anomalies)
    if outliers:
        text = f"{label}: {outliers} value(s) far from the others."
        found.append(("outliers", vital.name, text, "low", "vitals"))
    if not vital.judged:
        found.append(_unjudged(vital))
    return found


def _on_values(vital: Vital, current: str, unit: str) -> list[_Found]:
    found: list[_Found] = []
    if vital.status.startswith("critical"):
        text = f"{vital.label}: the newest value, {current}, is at a critical level."
        found.append(("critical_now", vital.name, text, "urgent", "vitals"))
    elif vital.status in ("low", "high"):
        side = "below" if vital.status == "low" else "above"
        text = f"{vital.label}: the newest value, {current}, is {side} the reference range."
        found.append(("out_of_range_now", vital.name, text, "high", "vitals"))
    if critical := vital.critical_before:
        last = f"{critical[0].value:g} {unit} at {critical[0].at.isoformat(timespec='minutes')}"
        text = f"{vital.label}: {len(critical)} earlier value(s) at a critical level, the last one {last}."
        found.append(("critical_before", vital.name, text, "high", "vitals"))
    return found


def _unjudged(vital: Vital) -> _Found:
    if not has_range(vital.name):
        return ("no_range", vital.name, f"{vital.label} has no reference range and was not judged.", "low", "data")
    if vital.aged:
        text = f"{vital.label}: there is no reference range for this age, so the newest value was not judged."
        return ("no_reference", vital.name, text, "low", "data")
    text = f"{vital.label}: the range depends on the age, which is not given, so the newest value was not judged."
    return ("no_age", vital.name, text, "medium", "data")


_ADVICE: Mapping[str, str] = {
    "critical_now": "Have a clinician look at this value now, and measure it again.",
    "critical_before": "Have a clinician look at these values soon; check whether they were measured correctly.",
    "out_of_range_now": "Measure again under standard conditions and discuss the value with a clinician.",
    "adverse_trend": "Watch this trend at the next visits and look for its cause.",
    "outliers": "Check whether these values were measured and written down correctly.",
    "implausible": "Check the blood pressure entries of these times.",
    "no_range": "Judge this value by hand.",
    "no_age": "Give the patient's age, or judge this value by hand.",
    "no_reference": "Judge this value by hand.",
    "duplicate": "Check whether the entry is there twice by mistake.",
    "incomplete": "Complete the entry.",
    "adherence": "Ask what makes it hard to take the medicine as agreed.",
    "many": "Consider a review of the whole list.",
    "recent_start": "Keep the start in mind when you read the values since then.",
    "recent_stop": "Keep the stop in mind when you read the values since then.",
}


def recommendations_of(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """One for each finding, which it names."""
    return [
        {"priority": each.priority, "category": each.category, "recommendation": _ADVICE[each.kind], "finding": each.id}
        for each in findings
    ]
