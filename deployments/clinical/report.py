"""A patient's report from what the request gives, and from nothing else. Pure: no clock, no network, no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from deployments.clinical.appraisal import Finding, Vital, findings_of, recommendations_of
from deployments.clinical.medication import Medication, Note, notes_on
from deployments.clinical.scores import Risk, confidence_of, health_score, risk_of
from deployments.clinical.trends import (
    LEAST_FOR_HALVES,
    Anomaly,
    anomalies_of,
    halves,
    implausible_pairs,
    series_of,
    trends_of,
)
from deployments.clinical.vitals import Measurement, Reference, Sex, parameters, reference

NOTICE = (
    "Decision support for professionals, computed from the data that were sent and from nothing else. It is no diagnosis, no "
    "prescription and no medical device; every value and range must be checked before anybody acts on it."
)
MOST_ANOMALIES = 50


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


def body(analysis: Analysis, report_id: str, made: datetime, words: Mapping[str, str]) -> dict[str, Any]:
    """The report as JSON. ``words``: ``executive_summary``, ``vitals``, ``medications``, ``source`` and, where a language
    model wrote, ``model``."""
    case = analysis.case
    mass = next((vital.series.current for vital in analysis.vitals if vital.name == "bmi"), None)
    return {
        "report_id": report_id,
        "notice": NOTICE,
        "patient": {
            "id": case.patient_id,
            "name": case.name,
            "age": case.age,
            "sex": case.sex,
            "bmi": mass,
            "risk_level": analysis.risk.level if analysis.risk else None,
        },
        "report_date": made,
        "analysis_date_range": {"from": case.since or _first(analysis), "to": case.until},
        "generated_by": words["source"],
        "executive_summary": words["executive_summary"],
        "overall_health_score": analysis.score,
        "findings": [_finding(each) for each in analysis.findings],
        "sections": {
            "vitals_analysis": _vitals(analysis, words["vitals"]) if case.with_vitals else None,
            "medication_review": _medications(analysis, words["medications"]) if case.with_medications else None,
            "risk_assessment": _risk(analysis.risk) if analysis.risk else None,
            "recommendations": recommendations_of(analysis.findings),
        },
        "metadata": {
            "confidence": analysis.confidence,
            "confidence_parts": analysis.confidence_parts,
            "data_points_analyzed": analysis.points,
            "data_points_outside_range": analysis.outside,
            "vital_signs_not_judged": [vital.name for vital in analysis.unjudged],
            "model": words.get("model"),
            "analysis_timestamp": made,
        },
    }


def _first(analysis: Analysis) -> datetime | None:
    return min((vital.series.times[0] for vital in analysis.vitals), default=None)


def _finding(each: Finding) -> dict[str, Any]:
    return {
        "id": each.id,
        "kind": each.kind,
        "about": each.about,
        "text": each.text,
        "priority": each.priority,
        "category": each.category,
    }


def _vitals(analysis: Analysis, narrative: str) -> dict[str, Any]:
    every = [each for vital in analysis.vitals for each in vital.anomalies]
    every = sorted([*every, *analysis.pairs], key=lambda each: each.at, reverse=True)
    return {
        "trends": [_vital(vital, analysis.case.compared) for vital in analysis.vitals],
        "anomalies_detected": [_anomaly(each) for each in every[:MOST_ANOMALIES]],
        "anomalies_total": len(every),
        "narrative": narrative,
    }


def _vital(vital: Vital, compared: bool) -> dict[str, Any]:
    series, trend, usual = vital.series, vital.trend, vital.reference
    return {
        "parameter": vital.name,
        "label": parameters()[vital.name].label,
        "unit": parameters()[vital.name].unit,
        "current": series.current,
        "average": round(series.average, 4),
        "minimum": min(series.values),
        "maximum": max(series.values),
        "oldest": {"value": series.values[0], "at": series.times[0]},
        "newest": {"value": series.values[-1], "at": series.times[-1]},
        "measurements": len(series.values),
        "trend": trend.direction,
        "slope_per_day": None if trend.slope is None else round(trend.slope, 6),
        "slope_interval": None if trend.interval is None else [round(each, 6) for each in trend.interval],
        "p_value": None if trend.p_value is None else round(trend.p_value, 6),
        "adverse": vital.adverse,
        "status": vital.status,
        "reference": None if usual is None else _reference(usual),
        "comparison": vital.halves,
        "comparison_reason": f"Fewer than {LEAST_FOR_HALVES} values." if compared and vital.halves is None else None,
    }


def _reference(usual: Reference) -> dict[str, Any]:
    ends = {"low": usual.low, "high": usual.high, "critical_low": usual.critical_low}
    return {**ends, "critical_high": usual.critical_high, "source": usual.source, "note": usual.note}


def _anomaly(each: Anomaly) -> dict[str, Any]:
    unit = parameters()[each.parameter].unit
    facts = {"parameter": each.parameter, "value": each.value, "unit": unit, "at": each.at}
    return {**facts, "kind": each.kind, "status": each.status}


def _medications(analysis: Analysis, narrative: str) -> dict[str, Any]:
    day = analysis.case.until.date()
    return {
        "medications": [_medication(each, day) for each in analysis.case.medications],
        "notes": [
            {"kind": note.kind, "text": note.text, "medications": list(note.medications)} for note in analysis.notes
        ],
        "narrative": narrative,
    }


def _medication(each: Medication, day: date) -> dict[str, Any]:
    return {
        "name": each.name,
        "dose": each.dose,
        "frequency": each.frequency,
        "started": each.started,
        "stopped": each.stopped,
        "adherence": each.adherence,
        "active": each.active_on(day),
    }


def _risk(risk: Risk) -> dict[str, Any]:
    factors = [{"finding": finding, "text": text, "points": points} for finding, text, points in risk.factors]
    return {"risk_level": risk.level, "risk_score": risk.score, "reason": risk.reason, "factors": factors}
