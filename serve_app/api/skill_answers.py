"""The shapes of students and their assessments, for the OpenAPI document; no answer passes these models."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class StoredFeatures(BaseModel):
    """What is held on a student. ``completeness``: share of the 25 features that are known. ``sources``: how the groups
    that were computed here were computed."""

    student_id: str
    linguistic: dict[str, float]
    behavioral: dict[str, float]
    grade: int | None = None
    completeness: float
    updated_at: datetime
    sources: dict[str, dict[str, Any]] | None = None


class Erased(BaseModel):
    """What was erased."""

    student_id: str
    features: bool
    inference_records: int


class Interval(BaseModel):
    """Where the true score lies with probability ``level``."""

    lower: float
    upper: float
    level: float


class Evidence(BaseModel):
    """One of the five observations that count most."""

    model_config = ConfigDict(extra="allow")

    source: Literal["ml_inference", "linguistic_features", "behavioral_features"]
    evidence_type: str
    feature: str
    content: str
    score: float
    confidence: float
    relevance: float
    weight: float


class Reasoning(BaseModel):
    """The assessment in words, and who wrote it. ``reason``: why the template did although a language model is configured;
    ``cached``: written before for the same facts; ``estimated``: tokens or cost are not the provider's own figures."""

    model_config = ConfigDict(extra="allow")

    text: str
    strengths: list[str]
    growth_suggestions: list[str]
    source: Literal["llm", "template"]
    model: str | None
    tokens: int
    cost_usd: float
    reason: str | None = None
    cached: bool = False
    estimated: bool = False


class Skill(BaseModel):
    """One skill of one student. ``model_estimate``: of the model alone, before fusion; None when it took no part.
    ``feature_importance``: exact SHAP values by feature. ``sources_missing``: sources that took no part, why in
    ``missing_reasons``; ``model_version`` is ``none`` when the model is among them. ``weights``: the set that was used, and
    the revision of all sets."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    skill_type: str
    score: float = Field(ge=0, le=1)
    model_estimate: float | None = None
    band: Literal["emerging", "developing", "proficient", "advanced"]
    confidence: float = Field(ge=0, le=1)
    confidence_parts: dict[str, float]
    interval: Interval
    evidence: list[Evidence]
    feature_importance: dict[str, float]
    model_version: str
    inference_time_ms: float
    reasoning: Reasoning
    synthetic_model: bool


class Assessment(BaseModel):
    """All skills of one student."""

    model_config = ConfigDict(protected_namespaces=())

    student_id: str
    skills: list[Skill]
    total_inference_time_ms: float
    timestamp: datetime
    model_versions: dict[str, str]


class BatchResult(BaseModel):
    """One student of a batch."""

    student_id: str | None
    status: Literal["success", "error"]
    skills: list[Skill] | None = None
    error_message: str | None = None
    error_code: str | None = None
    total_inference_time_ms: float | None = None


class BatchAnswer(BaseModel):
    """A batch: a student who cannot be assessed does not fail the others."""

    model_config = ConfigDict(protected_namespaces=())

    total_students: int
    successful: int
    failed: int
    total_time_ms: float
    results: list[BatchResult]
    model_versions: dict[str, str]
    timestamp: datetime


class InferenceRecord(BaseModel):
    """One inference, newest first in lists."""

    student_id: str | None
    skill_type: str | None = None
    inference_time_ms: float
    success: bool
    error_message: str | None = None
    timestamp: datetime


class InferenceSummary(BaseModel):
    """Totals over the kept records; times are over the successes. ``source`` is ``memory`` while Redis is away."""

    total_inferences: int
    successful_inferences: int
    failed_inferences: int
    avg_inference_time_ms: float
    min_inference_time_ms: float
    max_inference_time_ms: float
    p95_inference_time_ms: float
    success_rate: float
    source: Literal["redis", "memory"]
