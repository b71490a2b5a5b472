"""A case's analysis as the JSON of its report."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from deployments.clinical.appraisal import Finding, Vital, recommendations_of
from deployments.clinical.medication import Medication
from deployments.clinical.report import Analysis
from deployments.clinical.scores import Risk
from deployments.clinical.trends import LEAST_FOR_HALVES, Anomaly
from deployments.clinical.vitals import Reference, parameters

NOTICE = (
    "Decision support for professionals, computed from the data that were sent and from nothing else. It is no diagnosis, no "
    "prescription and no medical device; every value and range must be checked before anybody acts on it."
)
MOST_ANOMALIES = 50


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
