"""From findings and vital signs to a risk with its factors, a health score and a confidence.

All figures are formulas over what was measured (docs/clinical.md); none was fitted to outcomes, so they order what to look
at first and predict nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from deployments.clinical.appraisal import Finding, Vital
from deployments.clinical.trends import DAY_S

RiskLevel = Literal["low", "moderate", "high", "critical"]
POINTS: Mapping[str, int] = {
    "critical_now": 40,
    "critical_before": 20,
    "out_of_range_now": 15,
    "adverse_trend": 10,
    "outliers": 5,
    "implausible": 5,
    "adherence": 8,
    "many": 5,
}
MODERATE = 15
"""Not more than ``out_of_range_now``: whoever is outside a range now is never at low risk."""
LEVELS: tuple[tuple[int, RiskLevel], ...] = ((70, "critical"), (40, "high"), (MODERATE, "moderate"), (0, "low"))
CORE = ("heart_rate", "respiratory_rate", "systolic_bp", "temperature", "oxygen_saturation")
"""The vital signs that an adult's early warning score is made of; a report without them knows less."""
ENOUGH = 10
RECENCY_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class Risk:
    """``factors``: (finding's id, text, points); ``score`` 0 to 100. Level and score are None where nothing was judged, and
    ``reason`` says why."""

    level: RiskLevel | None
    score: int | None
    factors: Sequence[tuple[str, str, int]]
    reason: str | None = None


def risk_of(findings: Sequence[Finding], vitals: Sequence[Vital], *, left_out: bool = False) -> Risk:
    """The findings' points, at most 100; any critical value now makes it critical. ``left_out``: the client wanted no vitals.

    A low risk is told only where a vital sign was judged: that nothing was found where nothing was looked at is no finding.
    """
    factors = [(each.id, each.text, POINTS[each.kind]) for each in findings if each.kind in POINTS]
    score = min(100, sum(points for _, _, points in factors))
    if any(each.kind == "critical_now" for each in findings):
        return Risk("critical", score, factors)
    level = next(level for least, level in LEVELS if score >= least)
    if level == "low" and not any(vital.judged for vital in vitals):
        return Risk(None, None, factors, _nothing_judged(vitals, left_out))
    return Risk(level, score, factors)


def _nothing_judged(vitals: Sequence[Vital], left_out: bool) -> str:
    if left_out:
        return "Vital signs were left out of this report."
    if not vitals:
        return "No vital signs were given for this period."
    return f"None of the {len(vitals)} vital signs could be judged."


def health_score(vitals: Sequence[Vital]) -> float | None:
    """The mean over judged parameters of 50 x (share of judged values inside the range) + 50 x (1, 0.5 or 0 for a newest
    value that is normal, outside, critical), less 5 for each adverse trend; None where nothing was judged."""
    judged = [vital for vital in vitals if vital.judged]
    if not judged:
        return None
    scores = []
    for vital in judged:
        assert vital.reference is not None
        states = [vital.reference.status(value) for value in vital.series.values]
        inside = states.count("normal") / (len(states) - states.count("no_reference"))
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
