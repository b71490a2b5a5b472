"""Whether a model's summary agrees with the data: its words of movement with the trends, its words of place with the ranges,
and no comfort where something needs attention or could not be judged.

Rules over words, clause by clause; a clause without a vital sign speaks of that of the clause before, the first one of all. They
rather withhold a sound summary than let a wrong one through: the template has already said what matters.
"""

import re
from collections.abc import Mapping, Sequence

from deployments.chat.reply_check import Withheld
from deployments.clinical.appraisal import Vital
from deployments.clinical.report import Analysis

NAMES: Mapping[str, tuple[str, ...]] = {
    r"heart rate|pulse": ("heart_rate",),
    r"respirat\w*|breathing": ("respiratory_rate",),
    r"systolic": ("systolic_bp",),
    r"diastolic": ("diastolic_bp",),
    r"(?<!systolic )(?<!diastolic )blood pressure": ("systolic_bp", "diastolic_bp"),
    r"temperature|fever": ("temperature",),
    r"saturation|oxygen|spo2": ("oxygen_saturation",),
    r"glucose|sugar": ("fasting_glucose", "glucose"),
    r"ha?emoglobin": ("hemoglobin",),
    r"body mass|bmi": ("bmi",),
    r"weight": ("weight",),
    r"height": ("height",),
    r"waist": ("waist",),
}
"""How a vital sign may be named; a word for several speaks of those that were measured."""
MOVES: Mapping[str, tuple[str, ...]] = {
    r"increas\w*|ris(?:e|es|en|ing)|rose|climb\w*|upwards?|going up|grow\w*": ("increasing",),
    r"decreas\w*|fall\w*|fell|declin\w*|drop\w*|downwards?|going down|reduc\w*|lowering": ("decreasing",),
    r"stable|steady|unchanged|constant|flat|unchanging": ("no_clear_trend",),
}
PLACES: Mapping[str, tuple[str, ...]] = {
    r"(?:above|over|exceed\w*)(?: \w+){0,3} ranges?": ("high", "critical_high"),
    r"(?:below|under)(?: \w+){0,3} ranges?": ("low", "critical_low"),
    r"(?:within|inside|in)(?: \w+){0,3} ranges?": ("normal",),
    r"(?<!risk is )(?<!risk level is )critical\w*(?! risk)": ("critical_low", "critical_high"),
}
COMFORT = re.compile(
    r"\b(?:stable|steady|unremarkable|normal\w*|healthy|fine|well|good|excellent|satisfactory|safe\w*|reassur\w*|acceptable|"
    r"improv\w*|no|not|none|nothing|neither|never|without|unconcern\w*|harmless|mild\w*|minor|routine|on target|controlled)\b",
    re.IGNORECASE,
)
UNKNOWN = re.compile(
    r"\b(?:no clear trends?|no reference(?: range)?|(?:not|never) (?:be |been )?(?:clear|judged|known|assessed|given|measured)|"
    r"not enough (?:values|measurements|data))\b",
    re.IGNORECASE,
)
"""Denials that comfort nobody."""
_CLAUSE = re.compile(r"(?<!\d)[.;:!?,]|[.;:!?,](?!\d)|\b(?:while|whereas|but|although|though)\b", re.IGNORECASE)


def check_against(text: str, analysis: Analysis) -> None:
    """Raises ``Withheld``."""
    risky = analysis.risk is not None and analysis.risk.level != "low"
    if (risky or analysis.pressing or analysis.unjudged) and COMFORT.search(UNKNOWN.sub("", text)):
        raise Withheld("reassures")
    about: Sequence[Vital] = analysis.vitals
    for clause in _CLAUSE.split(text):
        about = _named(clause, analysis) or about
        _check(clause, about)


def _check(clause: str, about: Sequence[Vital]) -> None:
    for words, directions in MOVES.items():
        if _has(words, clause) and any(vital.trend.direction not in directions for vital in about):
            raise Withheld("contradicts_a_trend")
    for words, states in PLACES.items():
        if _has(words, clause) and any(vital.status not in states for vital in about):
            raise Withheld("contradicts_a_range")


def _named(clause: str, analysis: Analysis) -> Sequence[Vital]:
    """The vital signs that a clause names. Raises ``Withheld`` for one that was not measured."""
    found: list[Vital] = []
    for words, names in NAMES.items():
        if _has(words, clause):
            measured = [vital for vital in analysis.vitals if vital.name in names]
            if not measured:
                raise Withheld("not_measured")
            found += measured
    return found


def _has(words: str, clause: str) -> bool:
    return re.search(rf"\b(?:{words})\b", clause, re.IGNORECASE) is not None
