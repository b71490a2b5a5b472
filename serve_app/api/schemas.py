"""The wire shapes, request and answer. Requests are strict: unknown fields and wrong types are refused."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SkipValidation, create_model, model_validator

from deployments.errors import InvalidInput
from deployments.skills.features import FEATURES, Group

MAX_INPUTS = 2048
MAX_STUDENTS = 100
STUDENT_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
STUDENT_ID_SCHEMA: dict[str, Any] = {"pattern": STUDENT_ID, "not": {"const": "batch"}}
Encoding = Literal["float", "base64"]
Truncate = Literal["error", "end", "start", "window"]


class Body(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


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


def _texts(value: Any) -> Any:
    """A text or 1 to 2,048 texts; says which one is wrong, which a union's own errors do not."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InvalidInput("input must be a text or a list of texts.", "input")
    if not 1 <= len(value) <= MAX_INPUTS:
        raise InvalidInput(f"input must have 1 to {MAX_INPUTS} texts; it has {len(value)}.", "input")
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise InvalidInput(_wrong_text(text), f"input[{index}]")
    return value


def _wrong_text(value: Any) -> str:
    if isinstance(value, int | list) and not isinstance(value, bool):
        return (
            "Arrays of tokens are not accepted, because token numbers differ from model to model; send the text itself."
        )
    return "Every item of input must be a text."


Texts = Annotated[
    str | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)],
    BeforeValidator(_texts),
]


class EmbeddingRequest(Body):
    """``POST /v1/embeddings``, as OpenAI documents it, with three fields more."""

    model: str = Field(examples=["embedding"], description="A key, a Hugging Face id, or the role `embedding`.")
    input: Texts = Field(description="One text, or up to 2,048.")
    encoding_format: Encoding = Field("float", description="`base64`: little-endian float32 bytes.")
    dimensions: int | None = Field(None, ge=1, le=65_536, description="Only where the model allows it.")
    user: str | None = Field(None, max_length=1024, description="Accepted for OpenAI clients; not used, not stored.")
    truncate: Truncate = Field("error", description="What to do with a text that is longer than the model reads.")
    input_type: Literal["query", "passage"] | None = Field(None, description="For models that need a prefix.")


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


class ModelCard(BaseModel):
    """One model of the catalogue and its state."""

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
    limits: dict[str, int]
    dimensions: int | None
    roles: list[str]
    accuracy_gate: Any = None


class ModelList(BaseModel):
    """Every model of the catalogue."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class _Group(Body):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1})


def _group_model(group: Group, name: str) -> type[Body]:
    fields: dict[str, Any] = {
        f.name: (float | None, Field(None, ge=f.low, le=f.high, description=f"{f.description} ({f.unit})"))
        for f in FEATURES
        if f.group == group
    }
    return create_model(name, __base__=_Group, **fields)


Linguistic = _group_model("linguistic", "LinguisticFeatures")
Behavioral = _group_model("behavioral", "BehavioralFeatures")


class Features(Body):
    """A student's features. What is left out stays unknown. Validated by the feature schema itself."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    linguistic: Linguistic | None = None  # type: ignore[valid-type]
    behavioral: Behavioral | None = None  # type: ignore[valid-type]


class StoredFeatures(BaseModel):
    """What is held on a student. ``completeness``: share of the 25 features that are known."""

    student_id: str
    linguistic: dict[str, float]
    behavioral: dict[str, float]
    completeness: float
    updated_at: datetime


class Erased(BaseModel):
    """What was erased."""

    student_id: str
    features: bool
    inference_records: int


class InferRequest(Body):
    """Features to use instead of the stored ones; nothing of them is stored."""

    features: SkipValidation[Features | None] = None


class FeatureRow(Body):
    """One student's features in a batch; the id only labels the answer."""

    student_id: str | None = Field(None, pattern=STUDENT_ID)
    features: SkipValidation[Features]


class BatchRequest(Body):
    """Either stored students by id, or rows of features."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["student_ids"]}, {"required": ["rows"]}]},
    )

    student_ids: list[Annotated[str, Field(json_schema_extra=STUDENT_ID_SCHEMA)]] = Field(
        default_factory=list, min_length=1, max_length=MAX_STUDENTS
    )
    rows: list[FeatureRow] = Field(default_factory=list, min_length=1, max_length=MAX_STUDENTS)

    @model_validator(mode="after")
    def _one_of_two(self) -> "BatchRequest":
        if bool(self.student_ids) == bool(self.rows):
            raise InvalidInput("Send either student_ids or rows.", "student_ids")
        return self


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
    """The assessment in words, and who wrote it."""

    model_config = ConfigDict(extra="allow")

    text: str
    strengths: list[str]
    growth_suggestions: list[str]
    source: Literal["llm", "template"]
    model: str | None
    tokens: int
    cost_usd: float


class Skill(BaseModel):
    """One skill of one student. ``feature_importance``: exact SHAP values by feature."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    skill_type: str
    score: float = Field(ge=0, le=1)
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


REQUESTS: tuple[type[BaseModel], ...] = (EmbeddingRequest, Features, InferRequest, BatchRequest)
"""Bodies that routes read by themselves; their schemas are added to the OpenAPI document."""
