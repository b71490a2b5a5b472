"""A statistical test that was done, what it found, and the correction for having done many."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "weekday_pattern",
    "time_of_day_pattern",
    "mood_trend",
    "emotion_trend",
    "mood_variability",
    "writing_rhythm",
    "correlation",
    "theme",
]
ALPHA = 0.05
"""All tests of one analysis together find something in pure chance at most this often."""


@dataclass(frozen=True, slots=True)
class Effect:
    """How strong. ``lower``, ``upper``: a 95 % interval where the measure has one."""

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test found, in words and numbers. ``entries``: ids of the entries that it rests on."""

    title: str
    description: str
    effect: Effect
    entries: Sequence[str]
    data: Mapping[str, Any] = field(default_factory=dict)
    recommendations: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Tested:
    """``tell`` is only asked when the test holds after the correction: intervals cost more than tests."""

    kind: Kind
    test: str
    p: float
    tell: Callable[[], Finding]
