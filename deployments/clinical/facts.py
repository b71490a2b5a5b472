"""What a language model is told of a case: parameters of our own table, figures, states, counts.

No name or id of the patient and no name of a medication reaches it, because nothing that a client wrote is among the facts.
"""

from collections.abc import Mapping
from typing import Any

from deployments.clinical.appraisal import Vital
from deployments.clinical.report import Analysis
from deployments.clinical.vitals import parameters


def facts_of(analysis: Analysis) -> dict[str, Any]:
    """What a language model is told."""
    return {
        "health_score": analysis.score,
        "risk_level": analysis.risk.level if analysis.risk else None,
        "risk_score": analysis.risk.score if analysis.risk else None,
        "vital_signs": [_fact(vital) for vital in analysis.vitals],
        "medications_active": sum(each.active_on(analysis.case.until.date()) for each in analysis.case.medications),
        "medication_notes": sorted({note.kind for note in analysis.notes}),
    }


def figures_of(analysis: Analysis) -> set[str]:
    """Every figure among the facts, as it may be written (``plain``)."""
    return _figures(facts_of(analysis))


def plain(figure: str) -> str:
    """A figure without a trailing zero, with a point for a comma."""
    figure = figure.replace(",", ".")
    return figure.rstrip("0").rstrip(".") if "." in figure else figure


def _fact(vital: Vital) -> dict[str, Any]:
    known, usual = parameters()[vital.name], vital.reference
    return {
        "vital_sign": known.label,
        "unit": known.unit,
        "newest": vital.series.current,
        "average": round(vital.series.average, 1),
        "measurements": len(vital.series.values),
        "status": vital.status,
        "trend": vital.trend.direction,
        "change_per_day": None if vital.trend.slope is None else round(vital.trend.slope, 2),
        "reference": None if usual is None else [usual.low, usual.high],
        "values_outside": sum(each.kind != "outlier" for each in vital.anomalies),
    }


def _figures(facts: Any) -> set[str]:
    if isinstance(facts, Mapping):
        return {form for value in facts.values() for form in _figures(value)}
    if isinstance(facts, list):
        return {form for value in facts for form in _figures(value)}
    if isinstance(facts, bool) or not isinstance(facts, int | float):
        return set()
    return {plain(f"{abs(facts):.{digits}f}") for digits in (0, 1, 2)} | {plain(f"{abs(facts):g}")}
