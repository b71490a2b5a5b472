"""The shapes of requests. They are strict: unknown fields and wrong types are refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SkipValidation, create_model, model_validator

from deployments.errors import InvalidInput
from deployments.skills.features import FEATURES, Group

MAX_INPUTS = 2048
MAX_STUDENTS = 100
MAX_LABELS, MAX_LABEL_CHARS = 64, 256
STUDENT_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
STUDENT_ID_SCHEMA: dict[str, Any] = {"pattern": STUDENT_ID, "not": {"const": "batch"}}
Encoding = Literal["float", "base64"]
Truncate = Literal["error", "end", "start", "window"]


class Body(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


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
    input_type: Literal["query", "passage"] | None = Field(
        None, description="For models that need a prefix; `query` when left out."
    )


class ClassifyRequest(Body):
    """``POST /v1/classify``."""

    model: str = Field(examples=["emotion"], description="A key, a Hugging Face id, or a role: `emotion`, `sentiment`.")
    input: Texts = Field(description="One text, or up to 2,048.")
    top_k: int | None = Field(None, ge=1, le=1000, description="So many labels a text; all of them when left out.")
    truncate: Truncate = Field("error", description="What to do with a text that is longer than the model reads.")


class ZeroShotRequest(Body):
    """``POST /v1/zero-shot``."""

    model: str = Field("zero-shot", description="A key, a Hugging Face id, or the role `zero-shot`.")
    input: Texts = Field(description="One text, or up to 2,048.")
    labels: list[str] = Field(
        min_length=1, max_length=MAX_LABELS, description=f"Different labels of up to {MAX_LABEL_CHARS} characters."
    )
    multi_label: bool = Field(False, description="Each label by itself, instead of scores that sum to 1.")
    hypothesis_template: str = Field(
        "This example is {}.", max_length=MAX_LABEL_CHARS, description="A sentence with `{}` in the label's place."
    )
    truncate: Truncate = Field("error", description="What to do with a text that is longer than the model reads.")

    @model_validator(mode="after")
    def _is_sound(self) -> "ZeroShotRequest":
        if self.hypothesis_template.count("{}") != 1 or "\x00" in self.hypothesis_template:
            raise InvalidInput("hypothesis_template must have {} in it, once.", "hypothesis_template")
        for index, label in enumerate(self.labels):
            if not label.strip() or len(label) > MAX_LABEL_CHARS or "\x00" in label:
                raise InvalidInput(
                    f"A label has 1 to {MAX_LABEL_CHARS} characters, not only blanks.", f"labels[{index}]"
                )
            if label in self.labels[:index]:
                raise InvalidInput("This label is there twice.", f"labels[{index}]")
        return self


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

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["linguistic"]}, {"required": ["behavioral"]}]},
    )

    linguistic: Linguistic | None = None  # type: ignore[valid-type]
    behavioral: Behavioral | None = None  # type: ignore[valid-type]
    grade: int | None = Field(
        None, ge=0, le=12, description="School grade, 0 is kindergarten: chooses the calibration of the interval."
    )


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


Weight = Annotated[float, Field(ge=0, le=1)]


class SkillWeightsBody(Body):
    """One skill's weights. They must sum to 1, within .01."""

    ml_inference: Weight
    linguistic_features: Weight
    behavioral_features: Weight
    confidence_adjustment: Weight


REQUESTS: tuple[type[BaseModel], ...] = (
    EmbeddingRequest,
    ClassifyRequest,
    ZeroShotRequest,
    Features,
    InferRequest,
    BatchRequest,
    SkillWeightsBody,
)
"""Bodies that routes read by themselves; their schemas are added to the OpenAPI document."""
