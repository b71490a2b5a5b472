"""Whether a series rises or falls: Kendall's test against time, Theil and Sen's slope with its interval.

Entries of one day say much the same: the series has one value a day, their mean. Days in a row are taken as independent;
docs/journal.md says what happens where they are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from deployments.journal.days import alike, daily
from deployments.journal.entries import Floats, Journal
from deployments.journal.finding import ALPHA, Effect, Finding, Kind, Tested
from deployments.label_sets import EMOTIONS

Direction = Literal["rising", "falling", "no_clear_trend"]
FEWEST_DAYS = 5
EMOTIONS_WATCHED = ("anger", "fear", "joy", "sadness")


@dataclass(frozen=True, slots=True)
class Trend:
    """``slope``, ``lower`` and ``upper`` per day (95 %), ``tau`` and ``p`` of Kendall's test; None for too few days."""

    days: int
    slope: float | None = None
    lower: float | None = None
    upper: float | None = None
    intercept: float | None = None
    tau: float | None = None
    p: float = 1.0

    @property
    def direction(self) -> Direction:
        """Clear only where the test says so and the interval of the slope leaves out 0."""
        if self.slope is None or self.lower is None or self.upper is None or self.p > ALPHA:
            return "no_clear_trend"
        if self.lower <= 0 <= self.upper:
            return "no_clear_trend"
        return "rising" if self.slope > 0 else "falling"

    def to_json(self) -> dict[str, Any]:
        return {
            "direction": self.direction,
            "slope_per_day": self.slope,
            "interval": None if self.slope is None else [self.lower, self.upper],
            "tau": self.tau,
            "p_value": self.p,
            "days": self.days,
        }


def fit(days: Floats, values: Floats) -> Trend:
    """The trend of daily values; one of unknown slope for fewer than five days or values that are all alike."""
    from scipy.stats import kendalltau, theilslopes

    if len(days) < FEWEST_DAYS or alike(values):
        return Trend(len(days))
    tested = kendalltau(days, values)
    found = theilslopes(values, days, 0.95, method="separate")
    slope, lower, upper = float(found.slope), float(found.low_slope), float(found.high_slope)
    return Trend(len(days), slope, lower, upper, float(found.intercept), float(tested.statistic), float(tested.pvalue))


def trend_tests(journal: Journal) -> list[Tested]:
    """The feeling's trend, and that of four emotions."""
    tests = []
    if journal.feeling:
        tests.append(_tested(journal, "mood_trend", *journal.feeling))
    if journal.emotions is not None:
        for emotion in EMOTIONS_WATCHED:
            column = journal.emotions[:, EMOTIONS.index(emotion)]
            tests.append(_tested(journal, "emotion_trend", emotion, column))
    return [test for test in tests if test is not None]


def _tested(journal: Journal, kind: Kind, name: str, values: Floats) -> Tested | None:
    days, means = daily(journal, values)
    trend = fit(days, means)
    if trend.tau is None:
        return None
    # Where most pairs of days are equal Kendall's test may hold and the slope still be 0: no trend that could be told.
    p = trend.p if trend.direction != "no_clear_trend" else 1.0
    return Tested(kind, "Kendall's tau against time, daily means", p, lambda: _tell(journal, name, values, trend))


def _tell(journal: Journal, name: str, values: Floats, trend: Trend) -> Finding:
    assert trend.slope is not None
    assert trend.tau is not None
    rises = trend.direction == "rising"
    span = float(journal.dates.max() - journal.dates.min())
    known = np.flatnonzero(np.isfinite(values))
    data: Mapping[str, Any] = {
        "measure": name,
        **trend.to_json(),
        "change_over_span": trend.slope * span,
        "span_days": span,
        "means": {"first_half": float(values[known[: len(known) // 2]].mean()),
                  "second_half": float(values[known[len(known) // 2 :]].mean())},
    }  # fmt: skip
    return Finding(
        f"{name.capitalize()} is {'rising' if rises else 'falling'}",
        f"The {name} of the entries {'rises' if rises else 'falls'} by {abs(trend.slope):.4f} a day, "
        f"{abs(trend.slope) * span:.2f} over {span:.0f} days.",
        Effect("slope_per_day", trend.slope, trend.lower, trend.upper),
        journal.ids(known),
        data,
        _advice(name, rises),
    )


def _advice(name: str, rises: bool) -> tuple[str, ...]:
    better = rises == (name in ("sentiment", "mood", "joy"))
    if better:
        return ("Look back at the latest entries and note what helped; do more of it.",)
    return ("Compare an entry from the start with one from the end: what changed, and who could help?",)
