"""The shapes of generated text, for the OpenAPI document. Answers are written by hand, without passing these models."""

from typing import Literal

from pydantic import BaseModel

from serve_app.api.answers import Truncation, Usage


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
