"""How an observed value becomes a score 0..1: one rule per skill and feature, each with an explicit direction.

Linguistic: z = (x - mean) / std, clamped to -3..3, then the logistic function. Behavioural: (x - low) / (high - low),
clipped to 0..1. Direction -1 turns the scale round (z becomes -z, x becomes 1 - x). The constants are the product's
published table; ``docs/evidence.md`` prints it. Training reads the same directions for its monotone constraints.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deployments.skills.features import DERIVED, INDEX, Skill, vector_names

Source = Literal["ml_inference", "linguistic_features", "behavioral_features"]
SOURCES: tuple[Source, ...] = ("ml_inference", "linguistic_features", "behavioral_features")
ROLE_SHARES: Mapping[int, tuple[float, ...]] = {1: (1.0,), 2: (0.6, 0.4), 3: (0.5, 0.3, 0.2)}
"""Shares within one source by number of rules, primary first: a secondary item can never outweigh the primary."""
ROLE_RELEVANCE: tuple[float, ...] = (1.0, 0.9, 0.8)


@dataclass(frozen=True, slots=True)
class Rule:
    """One feature as evidence of one skill. ``a, b`` are mean and std (linguistic) or low and high (behavioural)."""

    feature: str
    source: Source
    direction: Literal[1, -1]
    a: float
    b: float

    def score(self, value: float) -> float:
        """The normalised score of an observed value, 0..1; 0.5 is typical for a linguistic feature."""
        if self.source == "linguistic_features":
            z = min(3.0, max(-3.0, (value - self.a) / self.b))
            return 1.0 / (1.0 + math.exp(-self.direction * z))
        share = min(1.0, max(0.0, (value - self.a) / (self.b - self.a)))
        return share if self.direction == 1 else 1.0 - share


def _linguistic(*rows: tuple[str, Literal[1, -1], float, float]) -> tuple[Rule, ...]:
    return tuple(Rule(name, "linguistic_features", direction, mean, std) for name, direction, mean, std in rows)


def _behavioral(*rows: tuple[str, Literal[1, -1], float, float]) -> tuple[Rule, ...]:
    return tuple(Rule(name, "behavioral_features", direction, low, high) for name, direction, low, high in rows)


RULES: Mapping[Skill, Mapping[Source, tuple[Rule, ...]]] = {
    "empathy": {
        "linguistic_features": _linguistic(
            ("empathy_markers", 1, 0.15, 0.08), ("social_processes", 1, 0.12, 0.06), ("positive_sentiment", 1, 0.3, 0.2)
        ),
        "behavioral_features": _behavioral(("collaboration_indicators", 1, 0, 10), ("leadership_indicators", 1, 0, 8)),
    },
    "problem_solving": {
        "linguistic_features": _linguistic(
            ("problem_solving_language", 1, 0.10, 0.05),
            ("cognitive_processes", 1, 0.08, 0.04),
            ("syntactic_complexity", 1, 3.5, 1.2),
        ),
        # Many retries on one kind of task speak of a strategy that is still being looked for.
        "behavioral_features": _behavioral(
            ("task_completion_rate", 1, 0, 1), ("time_efficiency", 1, 0, 2), ("retry_count", -1, 0, 5)
        ),
    },
    "self_regulation": {
        "linguistic_features": _linguistic(("word_count", 1, 150, 75), ("avg_sentence_length", 1, 12.0, 4.0)),
        "behavioral_features": _behavioral(("distraction_resistance", 1, 0, 1), ("focus_duration", 1, 0, 3600)),
    },
    "resilience": {
        # negative_sentiment is -1..0, so a higher value is less negative: direction +1.
        "linguistic_features": _linguistic(
            ("perseverance_indicators", 1, 0.08, 0.04), ("negative_sentiment", 1, -0.1, 0.15)
        ),
        # Trying again is what resilience looks like, unlike in problem solving.
        "behavioral_features": _behavioral(("recovery_rate", 1, 0, 1), ("retry_count", 1, 0, 10)),
    },
}
UNCONSTRAINED = frozenset({"word_count", "avg_sentence_length", "syntactic_complexity"})
"""Style rather than skill: the table scores them, but no model is forced to follow them upwards."""


def monotone_constraints(skill: Skill) -> tuple[int, ...]:
    """26 constraints (-1, 0, 1) in model order: the directed features, and the derived product where both parts rise.

    Without the product's own constraint the model could still fall when one of its parts rises.
    """
    signs = {
        rule.feature: rule.direction
        for rules in RULES[skill].values()
        for rule in rules
        if rule.feature not in UNCONSTRAINED
    }
    derived, left, right = DERIVED[skill]
    if signs.get(left) == signs.get(right) == 1:
        signs[derived] = 1
    names = vector_names(skill)
    assert len(names) == len(INDEX) + 1
    return tuple(signs.get(name, 0) for name in names)
