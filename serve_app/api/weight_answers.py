"""The shapes of fusion weights, for the OpenAPI document; no answer passes these models."""

from typing import Any, Literal

from pydantic import BaseModel


class WeightsAnswer(BaseModel):
    """``store``: where a change is written; ``problem``: why these may not be the newest weights."""

    revision: int
    store: Literal["redis", "file", "memory"]
    problem: str | None


class FusionWeights(WeightsAnswer):
    """All weights in force by skill; ``sets``: the others by name; ``experiment``: name, and shares by set."""

    version: str
    description: str
    weights: dict[str, dict[str, float]]
    sets: dict[str, dict[str, dict[str, dict[str, float]]]]
    experiment: dict[str, Any] | None


class SkillWeights(WeightsAnswer):
    """One skill's weights, in ``weights`` and each by itself."""

    skill_type: str
    set: str
    weights: dict[str, float]
    ml_inference: float
    linguistic_features: float
    behavioral_features: float
    confidence_adjustment: float
    version: str


class Reloaded(WeightsAnswer):
    """The weights file is in force."""

    message: str
    version: str
    description: str


class WeightHistory(BaseModel):
    """Changes of weights, newest first."""

    changes: list[dict[str, Any]]
    store: Literal["redis", "file", "memory"]
    problem: str | None
