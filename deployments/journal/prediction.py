"""What may come next: the trend with its interval, four risks, and when things go better. No diagnosis.

"No clear trend" is an answer. What is foretold is where most days would lie if nothing changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deployments.journal.crisis import crisis_mentions
from deployments.journal.days import daily
from deployments.journal.entries import Floats, Journal
from deployments.journal.finding import ALPHA
from deployments.journal.lexicon import LISTED, WordCounts
from deployments.journal.temporal import WEEKDAYS, group_tests
from deployments.journal.trend import Trend, fit
from deployments.label_sets import EMOTIONS
from deployments.multiple_tests import holm

FEWEST = 10
RISKS = ("crisis", *LISTED)
WORDS_WEIGHT, FEELING_WEIGHT = 0.7, 0.3
MANY_MENTIONS = 0.3
"""Share of entries with a mention that counts in full; of a crisis two mentions do."""
MODERATE, HIGH = 0.25, 0.5
WEEKS, FEWEST_WEEKS, MOST_WEEKS = 12, 5, 104
"""Whole weeks that make a prediction sure, that it needs, and that it looks at: a journal may span three centuries."""
Severity = Literal["low", "moderate", "high"]
_FEELINGS: Mapping[str, tuple[str, float, float]] = {
    "crisis": ("sadness", 0.1, 0.6),
    "depression": ("sadness", 0.1, 0.6),
    "anxiety": ("fear", 0.05, 0.4),
    "isolation_risk": ("social", 0.04, 0.0),
}
"""What is looked at beside the words: an emotion's mean, or the share of social words; where it counts 0 and where 1."""
_ADVICE = {
    "crisis": "Talk with somebody today: a person you trust, a doctor, or a crisis line; in danger the emergency number.",
    "depression": "Low days are mentioned: a doctor or a counsellor is a good person to tell.",
    "anxiety": "Worry is mentioned: note what set it off, and try slow breathing for five minutes.",
    "isolation_risk": "Being alone is mentioned: write to one person this week.",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """``horizon``: days ahead, 1 to 30."""

    horizon: int = 7
    risks: bool = True
    opportunities: bool = True


def predict(journal: Journal, counts: WordCounts, wanted: Wanted, now: datetime | None = None) -> dict[str, Any]:
    """The predictive analysis of the API."""
    mood, intervals = _mood(journal, wanted.horizon)
    risks = risk_factors(journal, counts) if wanted.risks else []
    windows = _opportunities(journal) if wanted.opportunities else []
    return {
        "predicted_mood_trends": mood,
        "risk_factors": risks,
        "opportunity_windows": windows,
        "behavioral_predictions": _behaviours(journal, counts),
        "confidence_intervals": intervals,
        "recommendation_priority": _priorities(mood, risks, windows),
        "prediction_horizon": wanted.horizon,
        "entries_analyzed": len(journal),
        "created_at": (now or datetime.now(UTC)).isoformat(),
        "note": "No diagnosis. Words and moods in entries are weak signs; only a person can judge them.",
    }


def _mood(journal: Journal, horizon: int) -> tuple[dict[str, Any] | None, dict[str, list[float]]]:
    """The trend and what it leads to; None where neither a model nor the writer said how the entries feel."""
    if journal.feeling is None:
        return None, {}
    name, values = journal.feeling
    days, means = daily(journal, values)
    trend = fit(days, means)
    level, interval = forecast(days, means, trend, horizon)
    intervals = {"mood_at_horizon": interval}
    if trend.lower is not None and trend.upper is not None:
        intervals["slope_per_day"] = [trend.lower, trend.upper]
    return {
        "measure": name,
        "sentiment_trend": trend.slope,
        "trend_direction": trend.direction,
        "trend": trend.to_json(),
        "forecast": {"days_ahead": horizon, "value": level, "interval": interval},
        "likely_emotions": _likely(journal),
        "confidence": min(len(journal) / 30, 1.0),
    }, intervals


def forecast(days: Floats, means: Floats, trend: Trend, horizon: int) -> tuple[float, list[float]]:
    """The value so many days after the last one, and where 95 % of days would lie, within -1 and 1.

    With a clear trend: the line goes on, and the interval takes the slope's ends; else the median of the latest third. Both
    are widened by the quantiles of what the days differed from it.
    """
    if trend.direction == "no_clear_trend" or trend.slope is None or trend.lower is None or trend.upper is None:
        recent = means[-max(5, len(means) // 3) :]
        level = lower = upper = float(np.median(recent))
        rest = means - np.median(means)
    else:
        ahead = days[-1] + horizon - np.median(days)
        level, lower, upper = (
            float(np.median(means) + slope * ahead) for slope in (trend.slope, trend.lower, trend.upper)
        )
        rest = means - (np.median(means) + trend.slope * (days - np.median(days)))
    down, up = np.quantile(rest, (0.025, 0.975))
    return float(np.clip(level, -1, 1)), [float(np.clip(lower + down, -1, 1)), float(np.clip(upper + up, -1, 1))]


def _likely(journal: Journal) -> list[dict[str, Any]]:
    """The three emotions with the largest mean in the newest third of the entries."""
    if journal.emotions is None:
        return []
    means = journal.emotions[-max(1, len(journal) // 3) :].mean(axis=0)
    return [{"emotion": EMOTIONS[i], "share": float(means[i])} for i in np.argsort(-means, kind="stable")[:3]]


def risk_factors(journal: Journal, counts: WordCounts) -> list[dict[str, Any]]:
    """Four scores, 0 to 1: 0.7 for mentions, 0.3 for the feeling beside them, mentions alone where that is not known.

    One mention of a crisis is always ``high``; without any mention a risk is ``low``, whatever the feelings.
    """
    found = {"crisis": crisis_mentions([entry.text for entry in journal.entries]), **counts.risks}
    return [_risk(journal, counts, risk, found[risk] > 0) for risk in RISKS]


def _risk(journal: Journal, counts: WordCounts, risk: str, mentioned: NDArray[np.bool_]) -> dict[str, Any]:
    mentions = int(mentioned.sum())
    words = min(1.0, mentions / 2 if risk == "crisis" else mentions / len(journal) / MANY_MENTIONS)
    column, zero, one = _FEELINGS[risk]
    feeling = _feeling(journal, counts, column, zero, one)
    score = words if feeling is None else WORDS_WEIGHT * words + FEELING_WEIGHT * feeling
    return {
        "type": risk,
        "mentions": mentions,
        "risk_score": score,
        "severity": _severity(risk, mentions, score),
        "parts": {"mentions": words, column: feeling},
        "entries": journal.ids(mentioned),
    }


def _feeling(journal: Journal, counts: WordCounts, column: str, zero: float, one: float) -> float | None:
    if column in counts.shares:
        mean = float(counts.shares[column].mean())
    elif journal.emotions is not None:
        mean = float(journal.emotions[:, EMOTIONS.index(column)].mean())
    else:
        return None
    return float(np.clip((mean - zero) / (one - zero), 0, 1))


def _severity(risk: str, mentions: int, score: float) -> Severity:
    if mentions and (risk == "crisis" or score >= HIGH):
        return "high"
    return "moderate" if mentions and score >= MODERATE else "low"


def _opportunities(journal: Journal) -> list[dict[str, Any]]:
    """Weekdays and times of day at which the writer feels better, of tests that hold after the correction."""
    tests = group_tests(journal)
    found = []
    for test, p in zip(tests, holm([test.p for test in tests]), strict=True):
        if p > ALPHA:
            continue
        data = test.tell().data
        for name in data["stands_out"]:
            group = data["groups"][name]
            if group["difference"] > 0:
                kind = "weekday" if name in WEEKDAYS else "time_of_day"
                found.append({kind: name, "p_of_the_pattern": p, **group})
    return found


def _behaviours(journal: Journal, counts: WordCounts) -> dict[str, dict[str, Any]]:
    """Entries a week, and two shares of words, over up to 104 whole weeks back from the newest entry; ``confidence``: weeks
    / 12."""
    ago = np.floor((journal.days[-1] - journal.days) / 7 + 1e-9).astype(int)  # 0: the newest week
    whole = min(int(ago[0]), MOST_WEEKS)
    if whole < FEWEST_WEEKS:
        return {}
    rows = ago < whole
    weeks = whole - 1 - ago[rows]  # 0: the oldest week that counts
    written = np.bincount(weeks, minlength=whole).astype(float)
    series = {"entries_a_week": written}
    for name in ("social", "reflection"):
        sums = np.bincount(weeks, counts.shares[name][rows], whole)
        series[f"share_of_{name}_words"] = np.where(written > 0, sums / np.maximum(written, 1), np.nan)
    return {name: _expected(values) for name, values in series.items() if np.isfinite(values).sum() >= FEWEST_WEEKS}


def _expected(values: Floats) -> dict[str, Any]:
    """Now, the median of the latest four weeks; next week the same, unless there is a clear trend."""
    known = np.flatnonzero(np.isfinite(values))
    weeks, values = known.astype(float), values[known]
    trend, current = fit(weeks, values), float(np.median(values[-4:]))
    predicted = current
    if trend.direction != "no_clear_trend":
        assert trend.slope is not None
        assert trend.intercept is not None
        predicted = max(0.0, float(trend.intercept + trend.slope * (weeks[-1] + 1)))
    confidence = min(len(weeks) / WEEKS, 1.0)
    return {"current": current, "predicted": predicted, "trend": trend.direction, "confidence": confidence}


def _priorities(
    mood: Mapping[str, Any] | None, risks: Sequence[Mapping[str, Any]], windows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The gravest first; each names what it follows from."""
    found = [
        (0 if risk["type"] == "crisis" else 1 if risk["severity"] == "high" else 2, _ADVICE[risk["type"]], risk["type"])
        for risk in risks
        if risk["severity"] != "low"
    ]
    if mood and mood["trend_direction"] == "falling":
        found.append((2, "The mood of the entries falls: look at what changed, and tell somebody.", "trend_direction"))
    for window in windows:
        when = window.get("weekday") or window.get("time_of_day")
        found.append((3, f"Put what matters to you on a good time: {when}.", "opportunity_windows"))
    found.sort(key=lambda each: each[0])
    return [
        {"priority": place, "recommendation": words, "because": because}
        for place, (_, words, because) in enumerate(found, 1)
    ]
