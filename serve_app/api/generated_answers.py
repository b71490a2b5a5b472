"""The shapes of generated text, for the OpenAPI document. Answers are written by hand, without passing these models."""

from typing import Literal

from pydantic import BaseModel

from serve_app.api.encoder_answers import Truncation, Usage


class GenerationUsage(Usage):
    """Tokens that were read and made."""

    completion_tokens: int


class ChatAnswerMessage(BaseModel):
    """The chat's next message."""

    role: Literal["assistant"]
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """The only choice. ``length``: cut off by the limit of tokens."""

    index: Literal[0]
    message: ChatAnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class TextChoice(BaseModel):
    """The only choice. ``length``: cut off by the limit of tokens."""

    index: Literal[0]
    text: str
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class _Completion(BaseModel):
    id: str
    created: int
    model: str
    system_fingerprint: str
    usage: GenerationUsage
    truncated: list[Truncation]


class ChatAnswer(_Completion):
    """A chat's next message. ``system_fingerprint``: the model's revision."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class CompletionAnswer(_Completion):
    """A text's continuation. ``system_fingerprint``: the model's revision."""

    object: Literal["text_completion"]
    choices: list[TextChoice]


class ChatDelta(BaseModel):
    """What is new; ``role`` in the first chunk."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChunkChoice(BaseModel):
    """The only choice. ``finish_reason``: in the last chunk."""

    index: Literal[0]
    delta: ChatDelta
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None


class TextChunkChoice(BaseModel):
    """The only choice. ``finish_reason``: in the last chunk."""

    index: Literal[0]
    text: str
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None


class _Chunk(BaseModel):
    id: str
    created: int
    model: str
    system_fingerprint: str
    usage: GenerationUsage | None = None
    truncated: list[Truncation] | None = None


class ChatChunk(_Chunk):
    """An event of a streamed chat. ``truncated``: in the first one; ``usage``: in one without choices at the end."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]


class CompletionChunk(_Chunk):
    """An event of a streamed completion. ``truncated`` and ``usage`` as in ``ChatChunk``."""

    object: Literal["text_completion"]
    choices: list[TextChunkChoice]


class Summary(BaseModel):
    """One text's summary."""

    index: int
    summary: str


class SummariesAnswer(BaseModel):
    """The summaries in the order of the texts, and who made them."""

    object: Literal["list"] = "list"
    data: list[Summary]
    model: str
    revision: str
    fallback: bool
    usage: GenerationUsage
    truncated: list[Truncation]


CHUNKS: tuple[type[BaseModel], ...] = (ChatChunk, CompletionChunk)
"""What events carry; their schemas are added to the OpenAPI document."""
