"""Fusion weights: how much each source counts for a skill, and how strongly confidence moves the score."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deployments.errors import InvalidInput
from deployments.skills.features import Skill

SUM_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Weights:
    """Four numbers 0..1 that sum to 1 (within .01). Raises ``InvalidInput`` when they do not."""

    ml_inference: float
    linguistic_features: float
    behavioral_features: float
    confidence_adjustment: float

    def __post_init__(self) -> None:
        values = asdict(self)
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
                raise InvalidInput(f"{name} must be a number from 0 to 1.", name)
        total = math.fsum(values.values())
        if abs(total - 1.0) > SUM_TOLERANCE:
            raise InvalidInput(f"The four weights must sum to 1; they sum to {total:.4g}.", "weights")

    @classmethod
    def parse(cls, body: Any) -> "Weights":
        """Read an object with exactly the four names. Raises ``InvalidInput`` naming the field."""
        names = ("ml_inference", "linguistic_features", "behavioral_features", "confidence_adjustment")
        if not isinstance(body, Mapping) or set(body) != set(names):
            raise InvalidInput(f"weights must have exactly these four numbers: {', '.join(names)}.", "weights")
        return cls(**{name: body[name] for name in names})

    def to_json(self) -> dict[str, float]:
        """The four numbers by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Which weights were used: the set's name and the revision of all sets, which rises with every change."""

    name: str = "default"
    revision: int = 0


UNNAMED = WeightSet()
DEFAULT_WEIGHTS: Mapping[Skill, Weights] = {
    "empathy": Weights(0.50, 0.25, 0.15, 0.10),
    "problem_solving": Weights(0.50, 0.20, 0.20, 0.10),
    "self_regulation": Weights(0.50, 0.10, 0.30, 0.10),
    "resilience": Weights(0.50, 0.15, 0.25, 0.10),
}
