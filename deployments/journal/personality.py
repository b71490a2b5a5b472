"""How somebody writes, set out along five dimensions. A description of the writing, not a personality test.

Each dimension is a weighted mean of indicators; an indicator is a mean over the entries, brought to 0..1 between two fixed
ends. Ends and weights stand in ``DIMENSIONS``: they are conventions, not norms of any population.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from deployments.journal.entries import Floats, Journal
from deployments.journal.lexicon import WordCounts
from deployments.label_sets import EMOTIONS

FEWEST = 10
RESAMPLES = 200
HIGH, LOW = 0.6, 0.4
STYLES = ("formal", "casual", "emotional", "analytical")


@dataclass(frozen=True, slots=True)
class Indicator:
    """``column`` of the entries; its mean counts 0 at ``zero`` and 1 at ``one``, which may be the smaller one."""

    column: str
    zero: float
    one: float
    weight: float = 1.0

    def score(self, mean: Any) -> Any:
        return np.clip((mean - self.zero) / (self.one - self.zero), 0.0, 1.0)


DIMENSIONS: Mapping[str, Sequence[Indicator]] = {
    "extraversion": (Indicator("social", 0.0, 0.08, 2), Indicator("joy", 0.05, 0.6), Indicator("alone", 0.03, 0.0)),
    "neuroticism": (
        Indicator("distress", 0.05, 0.7, 2),
        Indicator("polarity", 0.5, -0.5),
        Indicator("swing", 0.1, 0.9),
    ),
    "openness": (
        Indicator("exploration", 0.0, 0.05, 2),
        Indicator("reflection", 0.0, 0.06),
        Indicator("spread", 0.2, 0.8),
    ),
    "conscientiousness": (Indicator("order", 0.0, 0.05, 2), Indicator("growth", 0.0, 0.03), Indicator("steady", 0, 1)),
    "agreeableness": (
        Indicator("kindness", 0.0, 0.05, 2),
        Indicator("hostility", 0.4, 0.0),
        Indicator("social", 0.0, 0.08),
    ),
}
PATTERNS: Mapping[str, Indicator] = {
    "routine_oriented": Indicator("steady", 0, 1),
    "spontaneous": Indicator("spontaneous", 0.0, 0.01),
    "reflective": Indicator("reflection", 0.0, 0.06),
    "action_oriented": Indicator("action", 0.0, 0.06),
    "social_seeking": Indicator("social", 0.0, 0.08),
    "independence": Indicator("alone", 0.0, 0.03),
    "growth_minded": Indicator("growth", 0.0, 0.03),
    "risk_taking": Indicator("risk", 0.0, 0.01),
}
_STRENGTHS = {
    "extraversion": "Writes much about others and with joy.",
    "neuroticism": "Writes calmly, even about hard days.",
    "openness": "Writes about new things and asks why.",
    "conscientiousness": "Writes of plans and of what was finished.",
    "agreeableness": "Writes warmly of others.",
}
_GROWTH = {
    "extraversion": "Other people are seldom in the entries: one meeting a week could be worth a line.",
    "neuroticism": "Distress is often in the entries: note after each what helped a little.",
    "openness": "The entries keep to a few things: write once a week of something new.",
    "conscientiousness": "Plans are seldom in the entries: end one with the next small step.",
    "agreeableness": "Thanks are seldom in the entries: name one thing that somebody did for you.",
}


def columns(journal: Journal, counts: WordCounts) -> dict[str, Floats]:
    """One value an entry for each indicator; those of models that did not answer are left out."""
    found = {**counts.shares, "steady": _steady(journal)}
    if journal.emotions is not None:
        emotions = {name: journal.emotions[:, index] for index, name in enumerate(EMOTIONS)}
        found["joy"] = emotions["joy"]
        found["distress"] = emotions["fear"] + emotions["sadness"] + emotions["anger"]
        found["hostility"] = emotions["anger"] + emotions["disgust"]
        found["emotional"] = 1 - emotions["neutral"]
    if journal.polarity is not None:
        found["polarity"] = journal.polarity
        found["swing"] = np.abs(journal.polarity - np.median(journal.polarity))
    if journal.embeddings is not None:
        found["spread"] = _spread(journal.embeddings)
    return found


def profile(
    journal: Journal, counts: WordCounts, *, detailed: bool = True, now: datetime | None = None
) -> dict[str, Any]:
    """The profile of the API. Dimensions without any indicator that is known are left out."""
    known = columns(journal, counts)
    dimensions, intervals = {}, {}
    for name, indicators in DIMENSIONS.items():
        there = [indicator for indicator in indicators if indicator.column in known]
        if there:
            dimensions[name], intervals[name] = _dimension(there, known)
    strengths, areas = _sides(intervals)
    body: dict[str, Any] = {
        "dimensions": dimensions,
        "intervals": intervals,
        "behavioral_patterns": {
            name: float(indicator.score(known[indicator.column].mean())) for name, indicator in PATTERNS.items()
        },
        "communication_style": _style(known, counts)[0],
        "style_scores": _style(known, counts)[1],
        "emotional_profile": _emotional(journal),
        "strengths": strengths,
        "growth_areas": areas,
        "confidence_score": _confidence(len(journal), dimensions),
        "entries_analyzed": len(journal),
        "last_updated": (now or datetime.now(UTC)).isoformat(),
        "note": "A description of how these entries are written. It is no personality test and no diagnosis.",
    }
    if detailed:
        body["traits"] = {name: _traits(indicators, known) for name, indicators in DIMENSIONS.items()}
    return body


def _dimension(indicators: Sequence[Indicator], known: Mapping[str, Floats]) -> tuple[float, list[float]]:
    """The score, and its 95 % percentile bootstrap interval over entries."""
    from scipy.stats import bootstrap

    weights = np.array([indicator.weight for indicator in indicators])

    def score(*rows: Floats, axis: int = -1) -> Any:
        scores = [indicator.score(row.mean(axis=axis)) for indicator, row in zip(indicators, rows, strict=True)]
        return np.average(scores, axis=0, weights=weights)

    rows = [known[indicator.column] for indicator in indicators]
    value = float(score(*rows))
    if all(np.ptp(row) == 0 for row in rows):
        return value, [value, value]
    found = bootstrap(
        rows, score, paired=True, vectorized=True, n_resamples=RESAMPLES, method="percentile", rng=0
    ).confidence_interval
    return value, [float(found.low), float(found.high)]


def _traits(indicators: Sequence[Indicator], known: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """What a dimension was made of."""
    return [
        {
            "indicator": each.column,
            "mean": float(known[each.column].mean()) if each.column in known else None,
            "zero_at": each.zero,
            "one_at": each.one,
            "weight": each.weight,
            "score": float(each.score(known[each.column].mean())) if each.column in known else None,
        }
        for each in indicators
    ]


def _sides(intervals: Mapping[str, Sequence[float]]) -> tuple[list[str], list[str]]:
    """Only dimensions whose whole interval is above 0.6 or below 0.4; of neuroticism the other way round."""
    strengths, areas = [], []
    for name, (lower, upper) in intervals.items():
        high, low = lower > HIGH, upper < LOW
        if name == "neuroticism":
            high, low = low, high
        if high:
            strengths.append(_STRENGTHS[name])
        if low:
            areas.append(_GROWTH[name])
    return strengths, areas


def _style(known: Mapping[str, Floats], counts: WordCounts) -> tuple[str, dict[str, float]]:
    """The highest of four scores; ties go to the first."""
    formal = Indicator("", 0.1, 0.3).score(counts.long_words.mean()) + Indicator("", 0, 0.01).score(
        known["formal"].mean()
    )
    casual = Indicator("", 0, 0.02).score(known["informal"].mean()) + Indicator("", 0, 0.06).score(
        counts.contractions.mean()
    )
    emotional = Indicator("", 0.2, 0.9).score(known["emotional"].mean()) if "emotional" in known else 0.0
    emotional += Indicator("", 0, 0.5).score(counts.exclamations.mean())
    analytical = 2 * Indicator("", 0, 0.06).score(known["reflection"].mean())
    scores = dict(zip(STYLES, (float(x) / 2 for x in (formal, casual, emotional, analytical)), strict=True))
    return max(STYLES, key=lambda style: scores[style]), scores


def _emotional(journal: Journal) -> dict[str, float] | None:
    """Mean share of each emotion, percent."""
    if journal.emotions is None:
        return None
    means = journal.emotions.mean(axis=0)
    return {name: float(100 * means[index] / means.sum()) for index, name in enumerate(EMOTIONS)}


def _confidence(entries: int, dimensions: Mapping[str, float]) -> float:
    clear = float(np.mean([abs(2 * (value - 0.5)) for value in dimensions.values()])) if dimensions else 0.0
    return 0.7 * min(entries / 50, 1.0) + 0.3 * clear


def _steady(journal: Journal) -> Floats:
    """How near an entry's hour is to the usual one: 1 at the circular mean of the hours, 0 twelve hours away."""
    from scipy.stats import circmean

    usual = float(circmean(journal.hours, high=24, low=0))
    away = np.abs(journal.hours - usual)
    near: Floats = 1 - np.minimum(away, 24 - away) / 12
    return near


def _spread(embeddings: Floats) -> Floats:
    """Cosine distance of each entry from the mean of all."""
    centre = embeddings.mean(axis=0)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(centre)
    distances: Floats = 1 - embeddings @ centre / np.maximum(lengths, 1e-12)
    return distances
