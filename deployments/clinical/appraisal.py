"""From trends, anomalies and notes to findings, a risk with its factors, a health score and a confidence.

All figures are formulas over what was measured (docs/clinical.md); none was fitted to outcomes, so they order what to look
at first and predict nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from deployments.clinical.medication import Note
from deployments.clinical.trends import DAY_S, Anomaly, Series, Trend
from deployments.clinical.vitals import Reference, Status, parameters

Priority = Literal["urgent", "high", "medium", "low"]
RiskLevel = Literal["low", "moderate", "high", "critical"]
POINTS: Mapping[str, int] = {
    "critical_now": 40,
    "out_of_range_now": 12,
    "adverse_trend": 10,
    "outliers": 5,
    "implausible": 5,
    "adherence": 8,
    "many": 5,
}
LEVELS: tuple[tuple[int, RiskLevel], ...] = ((70, "critical"), (40, "high"), (15, "moderate"), (0, "low"))
CORE = ("heart_rate", "respiratory_rate", "systolic_bp", "temperature", "oxygen_saturation")
"""The vital signs that an adult's early warning score is made of; a report without them knows less."""
ENOUGH = 10
RECENCY_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class Vital:
    """All that was found on one parameter. ``anomalies``: newest first."""

    series: Series
    trend: Trend
    reference: Reference | None
    anomalies: Sequence[Anomaly]
    halves: Mapping[str, float] | None = None

    @property
    def name(self) -> str:
        return self.series.parameter

    @property
    def status(self) -> Status:
        return self.reference.status(self.series.current) if self.reference else "no_reference"

    @property
    def adverse(self) -> bool:
        """Whether it moves, significantly, away from the middle of the range, on the side where it already is."""
        if not self.trend.significant or self.reference is None:
            return False
        low, high = self.reference.low, self.reference.high
        rising = self.trend.direction == "increasing"
        if low is not None and high is not None:
            middle = (low + high) / 2
            return self.series.current > middle if rising else self.series.current < middle
        return rising if high is not None else not rising


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at; recommendations name its ``id``."""

    id: str
    kind: str
    about: str
    text: str
    priority: Priority
    category: Literal["vitals", "medication", "data"]


@dataclass(frozen=True, slots=True)
class Risk:
    """``factors``: (finding's id, text, points); ``score`` 0 to 100."""

    level: RiskLevel
    score: int
    factors: Sequence[tuple[str, str, int]]


def findings_of(vitals: Sequence[Vital], pairs: Sequence[Anomaly], notes: Sequence[Note]) -> list[Finding]:
    """Everything worth a look, the most pressing first."""
    found: list[tuple[str, str, str, Priority, Literal["vitals", "medication", "data"]]] = []
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


def _on_vital(vital: Vital) -> list[tuple[str, str, str, Priority, Literal["vitals", "medication", "data"]]]:
    known = parameters()[vital.name]
    label, unit, current = known.label, known.unit, f"{vital.series.current:g}"
    found: list[tuple[str, str, str, Priority, Literal["vitals", "medication", "data"]]] = []
    if vital.status.startswith("critical"):
        text = f"{label}: the newest value, {current} {unit}, is at a critical level."
        found.append(("critical_now", vital.name, text, "urgent", "vitals"))
    elif vital.status in ("low", "high"):
        side = "below" if vital.status == "low" else "above"
        text = f"{label}: the newest value, {current} {unit}, is {side} the reference range."
        found.append(("out_of_range_now", vital.name, text, "high", "vitals"))
    if vital.adverse and vital.trend.slope is not None:
        text = f"{label} is {vital.trend.direction}, by {abs(vital.trend.slope):.3g} {unit} a day."
        found.append(("adverse_trend", vital.name, text, "medium", "vitals"))
    outliers = sum(each.kind == "outlier" for each in vital.anomalies)
    if outliers:
        text = f"{label}: {outliers} value(s) far from the others."
        found.append(("outliers", vital.name, text, "low", "vitals"))
    if vital.status == "no_reference":
        text = f"{label}: there is no reference range for this patient, so it was not judged."
        found.append(("no_reference", vital.name, text, "low", "data"))
    return found


def risk_of(findings: Sequence[Finding]) -> Risk:
    """The findings' points, at most 100; any critical value makes it critical."""
    factors = [(each.id, each.text, POINTS[each.kind]) for each in findings if each.kind in POINTS]
    score = min(100, sum(points for _, _, points in factors))
    if any(each.kind == "critical_now" for each in findings):
        return Risk("critical", score, factors)
    return Risk(next(level for least, level in LEVELS if score >= least), score, factors)


def health_score(vitals: Sequence[Vital]) -> float | None:
    """The mean over parameters with a reference of 50 x (share of values inside the range) + 50 x (1, 0.5 or 0 for a newest
    value that is normal, outside, critical), less 5 for each adverse trend; None without any reference."""
    judged = [vital for vital in vitals if vital.reference is not None]
    if not judged:
        return None
    scores = []
    for vital in judged:
        assert vital.reference is not None
        inside = sum(vital.reference.status(value) == "normal" for value in vital.series.values) / len(
            vital.series.values
        )
        now = {"normal": 1.0, "low": 0.5, "high": 0.5}.get(vital.status, 0.0)
        scores.append(50 * inside + 50 * now)
    return round(max(0.0, sum(scores) / len(scores) - 5 * sum(vital.adverse for vital in judged)), 1)


def confidence_of(vitals: Sequence[Vital], until: datetime) -> tuple[float, dict[str, float]]:
    """0.4 x volume (mean of values / 10, at most 1) + 0.4 x coverage (of the five core vital signs) + 0.2 x recency (e to the
    power of -days / 30 since the newest value), and the three parts."""
    if not vitals:
        return 0.0, {"volume": 0.0, "coverage": 0.0, "recency": 0.0}
    volume = sum(min(len(vital.series.values) / ENOUGH, 1.0) for vital in vitals) / len(vitals)
    names = {vital.name for vital in vitals}
    coverage = sum(name in names for name in CORE) / len(CORE)
    newest = max(vital.series.times[-1] for vital in vitals)
    recency = math.exp(-max(0.0, (until - newest).total_seconds() / DAY_S) / RECENCY_DAYS)
    parts = {"volume": round(volume, 4), "coverage": round(coverage, 4), "recency": round(recency, 4)}
    return round(0.4 * volume + 0.4 * coverage + 0.2 * recency, 4), parts


_ADVICE: Mapping[str, str] = {
    "critical_now": "Have a clinician look at this value now, and measure it again.",
    "out_of_range_now": "Measure again under standard conditions and discuss the value with a clinician.",
    "adverse_trend": "Watch this trend at the next visits and look for its cause.",
    "outliers": "Check whether these values were measured and written down correctly.",
    "implausible": "Check the blood pressure entries of these times.",
    "no_reference": "Judge this value by hand; give age and sex where they are missing.",
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
