"""What one student's assessment of one skill consists of, stage by stage, and its JSON form.

Frozen, hashable, built of floats, strings and tuples only: these objects cross process boundaries by the hundred.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deployments.skills.features import Skill, vector_names
from deployments.skills.normalization import Source
from deployments.skills.weights import UNNAMED, WeightSet

Band = Literal["emerging", "developing", "proficient", "advanced"]
EvidenceType = Literal["linguistic", "behavioral", "contextual"]
NO_MODEL = "none"
"""The model version of an assessment that no model took part in."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a skill model says of one student.

    ``margin`` is the model's raw output and equals ``baseline + sum(shap)``; ``estimate`` is it clipped to 0..1.
    ``shap`` has 26 exact TreeSHAP values in model order, in score units. ``half_width``: half of the conformal
    interval at ``level``, unclipped; ``shift``: how far the interval's middle lies above the estimate.
    """

    skill: Skill
    estimate: float
    margin: float
    baseline: float
    shap: tuple[float, ...]
    half_width: float
    level: float
    model_version: str
    synthetic: bool
    compute_ms: float = field(default=0.0, compare=False)
    """This row's share of the model call."""
    shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a score. ``weight`` is its share in the score; all weights of a skill sum to 1."""

    source: Source
    evidence_type: EvidenceType
    feature: str
    content: str
    score: float
    confidence: float
    relevance: float
    weight: float

    @property
    def rank(self) -> float:
        """What the evidence is ordered by: weight x relevance x confidence."""
        return self.weight * self.relevance * self.confidence


@dataclass(frozen=True, slots=True)
class ConfidenceParts:
    """The three parts of the confidence, each 0..1."""

    calibrated_spread: float
    extremity: float
    completeness: float


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the raters' score lies with probability ``level``; both bounds in 0..1."""

    lower: float
    upper: float
    level: float


@dataclass(frozen=True, slots=True)
class Fused:
    """A skill's score after evidence fusion. ``evidence`` is the top 5, best first.

    ``prediction`` is None where the model did not answer. ``missing_reasons``: why each of ``sources_missing`` is.
    ``weighed_by``: the weight set that was used.
    """

    skill: Skill
    score: float
    band: Band
    confidence: float
    parts: ConfidenceParts
    interval: Interval
    evidence: tuple[Evidence, ...]
    source_agreement: float
    sources_missing: tuple[Source, ...]
    warnings: tuple[str, ...]
    prediction: Prediction | None
    missing_reasons: tuple[tuple[Source, str], ...] = ()
    weighed_by: WeightSet = UNNAMED


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text for a teacher. ``tokens`` and ``cost_usd`` are what this answer cost, zero for a template or a kept text
    (``cached``). ``reason``: why the template was used although an LLM is configured."""

    text: str
    strengths: tuple[str, ...]
    growth_suggestions: tuple[str, ...]
    source: Literal["llm", "template"] = "template"
    model: str | None = None
    tokens: int = 0
    cost_usd: float = 0.0
    reason: str | None = None
    cached: bool = False
    estimated: bool = False
    """The tokens were counted here and not told by the provider, or no price of the model is known."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """One skill of one student, finished."""

    fused: Fused
    reasoning: Reasoning


def band_of(score: float) -> Band:
    """The band of a score: up to .25 emerging, up to .50 developing, up to .75 proficient, above it advanced."""
    if score <= 0.25:
        return "emerging"
    if score <= 0.50:
        return "developing"
    return "proficient" if score <= 0.75 else "advanced"


def to_json(assessment: Assessment) -> dict[str, Any]:
    """The API's skill object. Scores are rounded to 4 decimals, SHAP values to 6."""
    fused, reasoning = assessment.fused, assessment.reasoning
    prediction = fused.prediction
    return {
        "skill_type": fused.skill,
        "score": fused.score,
        "model_estimate": round(prediction.estimate, 6) if prediction else None,
        "band": fused.band,
        "confidence": fused.confidence,
        "confidence_parts": {
            "calibrated_spread": round(fused.parts.calibrated_spread, 4),
            "extremity": round(fused.parts.extremity, 4),
            "completeness": round(fused.parts.completeness, 4),
        },
        "interval": {
            "lower": round(fused.interval.lower, 4),
            "upper": round(fused.interval.upper, 4),
            "level": fused.interval.level,
        },
        "evidence": [_evidence_json(item) for item in fused.evidence],
        "feature_importance": feature_importance(prediction) if prediction else {},
        "model_version": prediction.model_version if prediction else NO_MODEL,
        "inference_time_ms": round(prediction.compute_ms, 3) if prediction else 0.0,
        "reasoning": reasoning_json(reasoning),
        "synthetic_model": prediction.synthetic if prediction else False,
        "source_agreement": round(fused.source_agreement, 4),
        "sources_missing": list(fused.sources_missing),
        "missing_reasons": dict(fused.missing_reasons),
        "warnings": list(fused.warnings),
        "weights": {"set": fused.weighed_by.name, "revision": fused.weighed_by.revision},
    }


def reasoning_json(reasoning: Reasoning) -> dict[str, Any]:
    """The skill object's ``reasoning``."""
    return {
        "text": reasoning.text,
        "strengths": list(reasoning.strengths),
        "growth_suggestions": list(reasoning.growth_suggestions),
        "source": reasoning.source,
        "model": reasoning.model,
        "tokens": reasoning.tokens,
        "cost_usd": reasoning.cost_usd,
        "reason": reasoning.reason,
        "cached": reasoning.cached,
        "estimated": reasoning.estimated,
    }


def feature_importance(prediction: Prediction) -> Mapping[str, float]:
    """SHAP value by feature name, in score units."""
    names = vector_names(prediction.skill)
    return {name: round(value, 6) for name, value in zip(names, prediction.shap, strict=True)}


def _evidence_json(item: Evidence) -> dict[str, Any]:
    return {
        "source": item.source,
        "evidence_type": item.evidence_type,
        "feature": item.feature,
        "content": item.content,
        "score": round(item.score, 4),
        "confidence": round(item.confidence, 4),
        "relevance": item.relevance,
        "weight": round(item.weight, 4),
    }
