"""Whether a clinician may read a model's summary: it keeps to the facts and agrees with them.

Its words of movement must be those of the trends, its words of place those of the ranges, neither may be denied, and it may
not comfort where something needs attention or could not be judged. Rules over words, clause by clause; a clause without a
vital sign speaks of that of the clause before, and the first one of all. They rather withhold a sound summary than let a
wrong one through: the template has already said what matters.
"""

import re
from collections.abc import Mapping, Sequence

from deployments.chat.reply_check import Withheld, inspect
from deployments.clinical.appraisal import Vital
from deployments.clinical.facts import figures_of, plain
from deployments.clinical.report import Analysis

SHORTEST, LONGEST = 40, 1_500
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_NUMBER_WORDS = re.compile(
    r"\b(?:six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|"
    r"thousand|double|doubled|twice|half|percent)\b",
    re.IGNORECASE,
)
_NOT_OURS = re.compile(
    r"\b(?:diagnos\w*|prescri\w*|administer\w*|medicat\w*|drug\w*|dose\w*|dosage|tablet\w*|insulin|antibiotic\w*|therapy|"
    r"treat(?:ment|ed|ing)?s?|surgery|cancer\w*|tumou?r\w*|sepsis|infarct\w*|stroke|diabet\w*|hypertensi\w*|hypotensi\w*|"
    r"tachycard\w*|bradycard\w*|pneumonia|infection\w*|caused by|due to|because of|suffers?|disease\w*|syndrome\w*|"
    r"ignore|instruction\w*|prompt\w*|as an ai|language model|mr|mrs|ms|named|he|she|his|her|discharge\w*|"
    r"no (?:further )?follow)\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[<>{}\[\]`#*|\\]|https?:|www\.")
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
    r"no (?:clear |significant )?(?:trend|change|movement)s?": ("no_clear_trend", "insufficient_data"),
}
PLACES: Mapping[str, tuple[str, ...]] = {
    r"(?:above|over|exceed\w*)(?: \w+){0,3} ranges?": ("high", "critical_high"),
    r"(?:below|under)(?: \w+){0,3} ranges?": ("low", "critical_low"),
    r"(?:within|inside|in)(?: \w+){0,3} ranges?": ("normal",),
    r"(?<!risk is )(?<!risk level is )critical\w*(?! risk)": ("critical_low", "critical_high"),
}
COMFORT = re.compile(
    r"\b(?:stable|steady|unremarkable|normal\w*|healthy|fine|well|good|excellent|satisfactory|safe\w*|reassur\w*|"
    r"acceptable|improv\w*|no|not|none|nothing|neither|never|without|unconcern\w*|harmless|mild\w*|minor|routine|"
    r"on target|controlled)\b",
    re.IGNORECASE,
)
UNKNOWN = re.compile(
    r"\b(?:no clear trends?|no reference(?: range)?|(?:not|never) (?:be |been )?(?:clear|judged|known|assessed|given|"
    r"measured)|not enough (?:values|measurements|data))\b",
    re.IGNORECASE,
)
"""Denials that comfort nobody."""
_DENIED = re.compile(
    r"\b(?:no|not|none|nothing|neither|nor|never|without|hardly|barely|\w+n['\u2019]t)\b", re.IGNORECASE
)
_CLAUSE = re.compile(r"(?<!\d)[.;:!?,]|[.;:!?,](?!\d)|\b(?:while|whereas|but|although|though)\b", re.IGNORECASE)


def checked(text: str, analysis: Analysis) -> str:
    """A model's summary, if a clinician may read it. Raises ``Withheld``."""
    text = " ".join(text.split())
    if not SHORTEST <= len(text) <= LONGEST:
        raise Withheld("length")
    if _MARKUP.search(text) or not text.isprintable():
        raise Withheld("markup")
    if _NOT_OURS.search(text):
        raise Withheld("beyond_the_facts")
    known = figures_of(analysis)
    if _NUMBER_WORDS.search(text) or any(plain(found) not in known for found in _NUMBER.findall(text)):
        raise Withheld("unknown_figure")
    _check_against(text, analysis)
    inspect(text)
    return text


def _check_against(text: str, analysis: Analysis) -> None:
    """Raises ``Withheld``."""
    risky = analysis.risk is not None and analysis.risk.level != "low"
    if (risky or analysis.pressing or analysis.unjudged) and COMFORT.search(UNKNOWN.sub("", text)):
        raise Withheld("reassures")
    about: Sequence[Vital] = analysis.vitals
    for clause in _CLAUSE.split(text):
        about = _named(clause, analysis) or about
        _check(clause, about)


def _check(clause: str, about: Sequence[Vital]) -> None:
    plainly = UNKNOWN.sub("", clause)
    if _DENIED.search(plainly) and any(_has(words, plainly) for words in (*MOVES, *PLACES)):
        raise Withheld("denied")
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
