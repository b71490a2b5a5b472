"""The shapes of requests for generated text: OpenAI's documented fields, and summaries."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from deployments.errors import InvalidInput
from deployments.generation import GenerationRequest, Turn
from serve_app.api.messages import Messages
from serve_app.api.schemas import Body, Texts
from serve_app.api.unsupported import Generative, Off

MAX_STOPS, MAX_STOP_CHARS = 4, 256
MAX_NEW_TOKENS = 1_000_000
MAX_WORDS = 1000
COMPLETION_TOKENS = 16
"""OpenAI's own default for plain completions."""


def _stops(value: Any) -> Any:
    """A text or 1 to 4 texts, none of them empty: an empty one would end every answer at once."""
    stops = [value] if isinstance(value, str) else value
    if stops is None:
        return value
    if not isinstance(stops, list) or not 1 <= len(stops) <= MAX_STOPS:
        raise InvalidInput(f"stop must be a text or a list of 1 to {MAX_STOPS} texts.", "stop")
    for index, stop in enumerate(stops):
        if not isinstance(stop, str) or not 1 <= len(stop) <= MAX_STOP_CHARS or "\x00" in stop:
            param = "stop" if isinstance(value, str) else f"stop[{index}]"
            raise InvalidInput(f"A stop is a text of 1 to {MAX_STOP_CHARS} characters without NUL.", param)
    return value


_Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]
Stops = Annotated[
    _Stop | Annotated[list[_Stop], Field(min_length=1, max_length=MAX_STOPS)] | None, BeforeValidator(_stops)
]


class StreamOptions(Body):
    """Only together with ``stream``."""

    include_usage: bool | None = Field(None, description="One more chunk at the end, with the tokens of the whole.")
    include_obfuscation: Off | None = None


class TextFormat(Body):
    """The only form of answers."""

    type: Literal["text"]


class Sampling(Generative):
    """What ``/v1/chat/completions`` and ``/v1/completions`` have in common."""

    model: str = Field(examples=["chat"], description="A key, a Hugging Face id, or the role `chat`.")
    max_tokens: int | None = Field(None, ge=1, le=MAX_NEW_TOKENS, description="New tokens; as many as fit by default.")
    temperature: float | None = Field(None, ge=0, le=2, description="0: always the likeliest token. Default 1.")
    top_p: float | None = Field(None, gt=0, le=1, description="Only the likeliest tokens up to this probability.")
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1, description="The same seed draws the same tokens.")
    stop: Stops = Field(None, description=f"Up to {MAX_STOPS} texts that end the answer; they are no part of it.")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="Against tokens, the more often they came.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Against tokens that came at all.")
    stream: bool | None = Field(None, description="Server-sent events, the last of them `[DONE]`.")
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=1024, description="Accepted for OpenAI clients; not used, not stored.")
    truncate: Literal["error", "end", "start"] = Field(
        "error", description="What to do with a prompt that is longer than the model reads."
    )
    n: int | None = Field(None, ge=1, le=1)
    logit_bias: None = None
    store: Off | None = None
    metadata: None = None

    @model_validator(mode="after")
    def _streams(self) -> "Sampling":
        if self.stream_options is not None and not self.stream:
            raise InvalidInput("stream_options need stream: true.", "stream_options")
        return self

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def generation(self, prompt: str | tuple[Turn, ...], max_tokens: int | None) -> GenerationRequest:
        """What the engine is asked."""
        return GenerationRequest(
            prompt=prompt,
            max_tokens=max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
            seed=self.seed,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            truncate=self.truncate,
        )


class ChatRequest(Sampling):
    """``POST /v1/chat/completions``, as OpenAI documents it, and ``truncate``."""

    messages: Messages = Field(description="The chat so far, 1 to 2,048 messages of text.")
    max_completion_tokens: int | None = Field(
        None, ge=1, le=MAX_NEW_TOKENS, description="The newer name of `max_tokens`; send one of the two."
    )
    safety_identifier: str | None = Field(None, max_length=1024, description="As `user`.")
    prompt_cache_key: str | None = Field(None, max_length=1024, description="As `user`.")
    service_tier: Literal["auto", "default"] | None = None
    response_format: TextFormat | None = None
    logprobs: Off | None = None
    top_logprobs: None = None
    tools: None = None
    tool_choice: Literal["none"] | None = None
    parallel_tool_calls: None = None
    functions: None = None
    function_call: Literal["none"] | None = None
    modalities: list[Literal["text"]] | None = Field(None, min_length=1, max_length=1)
    audio: None = None
    prediction: None = None
    web_search_options: None = None
    reasoning_effort: None = None
    verbosity: None = None

    @model_validator(mode="after")
    def _one_limit(self) -> "ChatRequest":
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise InvalidInput("Send max_completion_tokens or max_tokens, not both.", "max_completion_tokens")
        return self

    @property
    def limit(self) -> int | None:
        """New tokens, by whichever name."""
        return self.max_completion_tokens or self.max_tokens


def _prompt(value: Any) -> Any:
    """One text, or a list with one text."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    if isinstance(value, list) and any(isinstance(item, int | list) for item in value):
        raise InvalidInput(
            "Arrays of tokens are not accepted, because token numbers differ from model to model; send the text itself.",
            "prompt",
        )
    if not isinstance(value, str):
        raise InvalidInput("prompt must be one text; send several prompts in several requests.", "prompt")
    return value


Prompt = Annotated[
    str,
    BeforeValidator(
        _prompt,
        json_schema_input_type=str | Annotated[list[str], Field(min_length=1, max_length=1)],
    ),
]


class CompletionRequest(Sampling):
    """``POST /v1/completions``, as OpenAI documents it, and ``truncate``."""

    prompt: Prompt = Field(description="The text to go on with.")
    max_tokens: int | None = Field(
        COMPLETION_TOKENS, ge=1, le=MAX_NEW_TOKENS, description="New tokens; null: as many as fit."
    )
    best_of: int | None = Field(None, ge=1, le=1)
    echo: Off | None = None
    logprobs: None = None
    suffix: None = None


class SummarizeRequest(Body):
    """``POST /v1/summarize``."""

    model: str = Field("summarize", description="A key, a Hugging Face id, or the role `summarize`.")
    input: Texts = Field(description="One text, or up to 2,048.")
    max_words: int = Field(120, ge=5, le=MAX_WORDS, description="A longer summary is cut after a sentence.")
    truncate: Literal["error", "end", "start"] = Field(
        "error", description="What to do with a text that is longer than the model reads."
    )


GENERATION_REQUESTS: Sequence[type[BaseModel]] = (ChatRequest, CompletionRequest, SummarizeRequest)
"""Bodies that routes read by themselves; their schemas are added to the OpenAPI document."""
