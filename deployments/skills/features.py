"""The feature schema and the only code that turns a student's features into model input, in training and in serving.

Vector order, float32, NaN where a value is missing: 16 linguistic, 9 behavioural, 1 derived product per skill. Missing
stays missing: XGBoost learns a default branch for NaN, while a zero would claim that something was observed.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deployments.errors import InvalidInput

Skill = Literal["empathy", "problem_solving", "self_regulation", "resilience"]
Group = Literal["linguistic", "behavioral"]
SKILLS: tuple[Skill, ...] = ("empathy", "problem_solving", "self_regulation", "resilience")


@dataclass(frozen=True, slots=True)
class Feature:
    """One observed feature. A value must lie in ``low..high``; above ``cap`` it is legal and read as ``cap``."""

    name: str
    group: Group
    unit: str
    low: float
    high: float
    description: str
    cap: float | None = None


_LINGUISTIC: tuple[tuple[str, str, float, float, str], ...] = (
    ("empathy_markers", "share of words", 0, 1, "words about how other people feel"),
    ("problem_solving_language", "share of words", 0, 1, "words about solving problems"),
    ("perseverance_indicators", "share of words", 0, 1, "words about keeping going"),
    ("social_processes", "share of words", 0, 1, "words about people and relationships"),
    ("cognitive_processes", "share of words", 0, 1, "words about thinking and reasons"),
    ("positive_sentiment", "sentiment", -1, 1, "positive tone"),
    ("negative_sentiment", "sentiment, 0 is none", -1, 0, "negative tone"),
    ("avg_sentence_length", "words", 0, 200, "average sentence length"),
    ("syntactic_complexity", "levels of the sentence tree", 0, 50, "how layered the sentences are"),
    ("word_count", "words", 0, 100_000, "words said or written"),
    ("unique_word_count", "words", 0, 100_000, "different words used"),
    ("readability_score", "Flesch Reading Ease", -100, 121.22, "how easy the text is to read"),
    ("noun_count", "words", 0, 100_000, "nouns used"),
    ("verb_count", "words", 0, 100_000, "verbs used"),
    ("adj_count", "words", 0, 100_000, "adjectives used"),
    ("adv_count", "words", 0, 100_000, "adverbs used"),
)
_BEHAVIORAL: tuple[tuple[str, str, float, float, str, float | None], ...] = (
    ("task_completion_rate", "share of tasks", 0, 1, "tasks completed", None),
    ("time_efficiency", "expected time / time taken", 0, 10, "pace compared with the expected time", None),
    ("retry_count", "retries", 0, 10_000, "tasks tried again", 20),
    ("recovery_rate", "share of retries", 0, 1, "retries that succeeded", None),
    ("distraction_resistance", "share of events", 0, 1, "activity without distraction", None),
    ("focus_duration", "seconds", 0, 86_400, "average stretch of focused work", 3600),
    ("collaboration_indicators", "actions", 0, 100_000, "actions done together with others", None),
    ("leadership_indicators", "actions", 0, 100_000, "actions that guide a group", None),
    ("event_count", "events", 0, 1_000_000, "recorded activities", None),
)
FEATURES: tuple[Feature, ...] = tuple(
    Feature(name, "linguistic", unit, float(low), float(high), text) for name, unit, low, high, text in _LINGUISTIC
) + tuple(
    Feature(name, "behavioral", unit, float(low), float(high), text, cap)
    for name, unit, low, high, text, cap in _BEHAVIORAL
)
INDEX: Mapping[str, int] = {feature.name: i for i, feature in enumerate(FEATURES)}
DERIVED: Mapping[Skill, tuple[str, str, str]] = {
    "empathy": ("empathy_social_interaction", "empathy_markers", "social_processes"),
    "problem_solving": ("problem_solving_cognitive", "problem_solving_language", "cognitive_processes"),
    "self_regulation": ("self_regulation_focus", "distraction_resistance", "focus_duration"),
    "resilience": ("resilience_recovery", "retry_count", "recovery_rate"),
}
"""Feature 25 of each skill: its name and the two features it is the product of."""

_CAPS = np.array([math.inf if f.cap is None else f.cap for f in FEATURES], dtype=np.float32)


def vector_names(skill: Skill) -> tuple[str, ...]:
    """The 26 names in model order."""
    return (*INDEX, DERIVED[skill][0])


def _schema_hash() -> str:
    """sha256 of the canonical JSON of everything a trained model depends on; wording may change freely."""
    observed = [[f.name, f.group, f.unit, f.low, f.high, f.cap] for f in FEATURES]
    canonical = json.dumps({"observed": observed, "derived": DERIVED, "missing": "nan"}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


SCHEMA_HASH = _schema_hash()


def with_derived(base: NDArray[np.float32], skill: Skill) -> NDArray[np.float32]:
    """``(n, 25)`` observed features in, ``(n, 26)`` model input of one skill out; caps are applied here."""
    capped = np.minimum(base, _CAPS)
    _, left, right = DERIVED[skill]
    return np.column_stack((capped, capped[:, INDEX[left]] * capped[:, INDEX[right]]))


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """What was observed of one student: 25 values in model order, None where nothing was observed.

    ``grade``: 0 (kindergarten) to 12, None where unknown. No model sees it: it chooses the interval's calibration.
    """

    values: tuple[float | None, ...]
    grade: int | None = None

    def __post_init__(self) -> None:
        if len(self.values) != len(FEATURES):
            raise ValueError(f"A feature set has {len(FEATURES)} values, not {len(self.values)}.")

    @classmethod
    def parse(cls, body: Any, param: str = "features") -> "FeatureSet":
        """Read ``{"linguistic": {...}, "behavioral": {...}, "grade": 4}``, all of it optional.

        Raises ``InvalidInput`` with the field.
        """
        groups: dict[str, Mapping[str, Any]] = {"linguistic": {}, "behavioral": {}}
        grade = None
        for name, group in _mapping(body, param).items():
            if name == "grade":
                grade = _grade(group, f"{param}.grade")
                continue
            if name not in groups:
                raise InvalidInput(f"{param} has the groups linguistic and behavioral only.", f"{param}.{name[:40]}")
            groups[name] = {} if group is None else _mapping(group, f"{param}.{name}")
        for name, group in groups.items():
            _refuse_unknown(name, group, param)
        return cls(tuple(_value(f, groups[f.group].get(f.name), param) for f in FEATURES), grade)

    def get(self, name: str) -> float | None:
        """One feature's value with its cap applied, or None."""
        i = INDEX[name]
        value, cap = self.values[i], FEATURES[i].cap
        return value if value is None or cap is None else min(value, cap)

    @property
    def completeness(self) -> float:
        """Share of the 25 features that were observed, 0..1."""
        return 1.0 - self.values.count(None) / len(self.values)

    def to_json(self) -> dict[str, Any]:
        """The observed values by group and name, and the grade where known; what ``parse`` reads."""
        body: dict[str, Any] = {"linguistic": {}, "behavioral": {}}
        for feature, value in zip(FEATURES, self.values, strict=True):
            if value is not None:
                body[feature.group][feature.name] = value
        if self.grade is not None:
            body["grade"] = self.grade
        return body

    def vector(self, skill: Skill) -> NDArray[np.float32]:
        """The ``(26,)`` model input of one skill."""
        row: NDArray[np.float32] = matrix([self], skill)[0]
        return row


def base_matrix(rows: Sequence[FeatureSet]) -> NDArray[np.float32]:
    """The observed features of ``n`` students, ``(n, 25)``, NaN where missing."""
    return np.array([row.values for row in rows], dtype=np.float32).reshape(len(rows), len(FEATURES))


def matrix(rows: Sequence[FeatureSet], skill: Skill) -> NDArray[np.float32]:
    """The model input of one skill for ``n`` students, ``(n, 26)``."""
    return with_derived(base_matrix(rows), skill)


def _grade(value: Any, field: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 12):
        raise InvalidInput(f"{field} must be a grade from 0 (kindergarten) to 12, or left out when unknown.", field)
    return value


def _mapping(body: Any, param: str) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    raise InvalidInput(f"{param} must be an object of names and values.", param)


def _refuse_unknown(name: str, group: Mapping[str, Any], param: str) -> None:
    known = [f.name for f in FEATURES if f.group == name]
    for unknown in group:
        if unknown not in known:
            raise InvalidInput(
                f"{param}.{name} has no such feature; use one of: {', '.join(known)}.", f"{param}.{name}.{unknown[:40]}"
            )


def _value(feature: Feature, value: Any, param: str) -> float | None:
    """A finite number in range, or None for missing; anything else raises ``InvalidInput``."""
    if value is None:
        return None
    field = f"{param}.{feature.group}.{feature.name}"
    allowed = f"a number from {feature.low:g} to {feature.high:g} ({feature.unit}), or leave it out when unknown"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{field} must be {allowed}.", field)
    if not feature.low <= value <= feature.high:
        raise InvalidInput(f"{field} is out of range; give {allowed}.", field)
    return float(value)
