"""The shapes of answers, for the OpenAPI document. Answers are written by hand, without passing these models."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.gate import Gate


class ErrorDetail(BaseModel):
    """What went wrong. ``param`` is the path of the field, where there is one."""

    message: str
    type: str
    code: str
    param: str | None = None
    request_id: str


class ErrorBody(BaseModel):
    """Every error's body."""

    error: ErrorDetail


class PlainError(BaseModel):
    """An error's body on ``/v2``."""

    error: str


class Usage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    """One text's vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Truncation(BaseModel):
    """What was dropped from one text."""

    model_config = ConfigDict(extra="allow")

    index: int
    tokens: int
    kept: int


class EmbeddingAnswer(BaseModel):
    """The vectors in the order of the texts, and who made them."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    revision: str
    fallback: bool
    usage: Usage
    truncated: list[Truncation]


class LabelScore(BaseModel):
    """One label and how likely it is, 0 to 1; the raw value of a regression."""

    label: str
    score: float


class TextLabels(BaseModel):
    """One text's labels, the likeliest first. ``polarity``: -1 to 1, of the role `sentiment` only."""

    index: int
    labels: list[LabelScore]
    polarity: float | None = None


class LabelsAnswer(BaseModel):
    """The labels in the order of the texts, and who found them."""

    object: Literal["list"] = "list"
    data: list[TextLabels]
    model: str
    revision: str
    fallback: bool
    usage: Usage
    truncated: list[Truncation]


class ModelCard(BaseModel):
    """One model of the catalogue and its state. ``roles``: what it can play; ``plays``: what it is the first choice for."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    hf_id: str
    task: str
    revision: str
    licence: str
    state: Literal["ready", "loading", "not_pulled", "failed"]
    reason: str | None = None
    backend: str | None = None
    limits: dict[str, int]
    dimensions: int | None
    roles: list[str]
    plays: list[str]
    accuracy_gate: Gate | None = None


class ModelList(BaseModel):
    """Every model of the catalogue."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


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


class Health(BaseModel):
    """The process is up."""

    status: Literal["healthy"]


class Readiness(BaseModel):
    """Whether the main job answers. ``waiting_for``: names of applications."""

    status: Literal["ready", "loading"]
    waiting_for: list[str]


class HealthReport(BaseModel):
    """Every component with its status and why."""

    status: Literal["healthy", "degraded", "unhealthy"]
    missing: list[str]
    components: dict[str, Any]
    version: str
    python_version: str
    timestamp: datetime


class ServerLive(BaseModel):
    """The process is up."""

    live: bool


class ServerReady(BaseModel):
    """The main job answers."""

    ready: bool


class ServerMetadata(BaseModel):
    """Who serves, and which extensions of the Open Inference Protocol."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor's name, type and shape; -1 is any number."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's tensors. ``parameters``: text that says what the protocol has no place for."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str]


class ModelReady(BaseModel):
    """The model answers."""

    name: str
    ready: bool


class OutputTensor(TensorMetadata):
    """A tensor, flat, row by row. ``data`` is missing where the bytes follow the JSON."""

    parameters: dict[str, int] | None = None
    data: list[float] | list[str] | None = None


class InferenceAnswer(BaseModel):
    """The tensors and who made them: ``parameters`` has ``revision``, ``fallback``, and what was ``truncated``."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, bool | float | str]
    outputs: list[OutputTensor]


class LocalModel(BaseModel):
    """A deployed model and whether it answers."""

    model: str
    state: Literal["ready", "loading", "not_pulled", "failed"]
    reason: str | None


class RoleCapability(BaseModel):
    """Who would answer for a role now: models that are ready here, and those the remote provider may be asked for."""

    state: Literal["ready", "unavailable"]
    local: list[str]
    remote: list[str]


class SkillCapability(BaseModel):
    """The skill graph."""

    skill_types: list[str]
    state: Literal["ready", "loading", "not_pulled", "failed"]
    reason: str | None


class FlowCapability(BaseModel):
    """A flow. ``available``: whether it answers; ``stores``: whether entries, conversations or reports are kept;
    ``writers``: who may write its words, in this order; ``reason``: what it lacks."""

    available: bool
    stores: bool
    writers: list[Literal["model", "llm", "template"]]
    reason: str | None


class RemoteCapability(BaseModel):
    """One remote model. ``answers``, and its ``milliseconds`` or ``problem``: only when it was asked."""

    model: str
    task: str
    breaker: Literal["closed", "open", "half_open"]
    reason: str | None
    retry_after_s: float
    answers: bool | None = None
    problem: str | None = None
    milliseconds: float | None = None


class RemoteCapabilities(BaseModel):
    """The remote provider."""

    configured: bool
    models: list[RemoteCapability]


class ReasoningCapability(BaseModel):
    """Who writes the assessments' words. ``key``: what came of checking it; ``breaker``, ``limits``, ``budget``: of the
    language model, null while there is none; ``reason``: what is wrong."""

    provider: Literal["template", "llm"]
    mode: Literal["off", "optional", "required"] | None = None
    model: str | None = None
    key: str | None = None
    breaker: Literal["closed", "open", "half_open"] | None = None
    limits: dict[str, int] | None = None
    budget: dict[str, Any] | None = None
    reason: str | None = None


class StoreCapability(BaseModel):
    """Redis, which holds what is stored."""

    state: Literal["ready", "unavailable", "not_configured"]


class Capabilities(BaseModel):
    """What this deployment can do now. ``tasks``: deployed models by task."""

    tasks: dict[str, list[LocalModel]]
    roles: dict[str, RoleCapability]
    skills: SkillCapability
    flows: dict[Literal["journal", "chat", "clinical"], FlowCapability]
    remote: RemoteCapabilities
    reasoning: ReasoningCapability
    store: StoreCapability
