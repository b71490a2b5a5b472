"""What can be said of a case from what the request gives, and from nothing else. Pure: no clock, no network, no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deployments.clinical.appraisal import Finding, Vital, findings_of
from deployments.clinical.medication import Medication, Note, notes_on
from deployments.clinical.scores import Risk, confidence_of, health_score, risk_of
from deployments.clinical.trends import (
    Anomaly,
    anomalies_of,
    halves,
    implausible_pairs,
    series_of,
    trends_of,
)
from deployments.clinical.vitals import Measurement, Sex, parameters, reference


@dataclass(frozen=True, slots=True)
class Case:
    """What was given. ``until``: the end of the period, or the newest value, or now."""

    patient_id: str
    name: str | None
    age: float | None
    sex: Sex
    measurements: Sequence[Measurement]
    medications: Sequence[Medication]
    since: datetime | None
    until: datetime
    with_vitals: bool = True
    with_medications: bool = True
    with_risk: bool = True
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Analysis:
    """All findings on a case. ``points``: values that were analysed; ``outside``: given ones outside the period."""

    case: Case
    vitals: Sequence[Vital]
    pairs: Sequence[Anomaly]
    notes: Sequence[Note]
    findings: Sequence[Finding]
    risk: Risk | None
    score: float | None
    confidence: float
    confidence_parts: Mapping[str, float]
    points: int
    outside: int

    @property
    def pressing(self) -> Sequence[Finding]:
        """What needs attention."""
        return [each for each in self.findings if each.priority in ("urgent", "high")]

    @property
    def unjudged(self) -> Sequence[Vital]:
        """Vital signs of which nothing can be said."""
        return [vital for vital in self.vitals if not vital.judged]


def analyse(case: Case) -> Analysis:
    """For a thread: scipy is imported on the first call, and Theil-Sen's slope takes its time."""
    inside = [m for m in case.measurements if m.at <= case.until and (case.since is None or m.at >= case.since)]
    series = series_of([*inside, *_body_mass(inside)]) if case.with_vitals else {}
    trends = trends_of(series) if series else {}
    vitals = []
    for name, each in series.items():
        usual = reference(name, case.age, case.sex)
        compared = halves(each) if case.compared else None
        vitals.append(Vital(each, trends[name], usual, anomalies_of(each, usual), compared, case.age is not None))
    pairs = implausible_pairs(series)
    notes = notes_on(case.medications, case.until.date()) if case.with_medications else []
    findings = findings_of(vitals, pairs, notes)
    confidence, parts = confidence_of(vitals, case.until)
    risk = risk_of(findings, vitals, left_out=not case.with_vitals) if case.with_risk else None
    points, outside = len(inside) if case.with_vitals else 0, len(case.measurements) - len(inside)
    return Analysis(
        case, vitals, pairs, notes, findings, risk, health_score(vitals), confidence, parts, points, outside
    )


def _body_mass(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The body mass index at each weight, with the newest height known by then; none where one was given."""
    if any(each.parameter == "bmi" for each in measurements):
        return []
    heights = sorted((each for each in measurements if each.parameter == "height"), key=lambda each: each.at)
    found = []
    for weight in (each for each in measurements if each.parameter == "weight"):
        known = [height for height in heights if height.at <= weight.at] or heights[:1]
        if known:
            index = weight.value / (known[-1].value / 100) ** 2
            low, high = parameters()["bmi"].possible
            if low <= index <= high:
                found.append(Measurement("bmi", round(index, 2), weight.at))
    return found
