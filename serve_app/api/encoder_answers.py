"""The shapes of vectors and labels, for the OpenAPI document; no answer passes these models."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


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
