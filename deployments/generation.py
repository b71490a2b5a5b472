"""What a generation is asked for and what comes back, delta by delta: plain data that pickles well."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """``prompt``: plain text, or a chat. ``max_tokens``: None for as many as fit. ``temperature``: 0 is greedy.

    ``stop``: up to four texts that end the answer and are never part of it.
    """

    prompt: str | tuple[Turn, ...]
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    min_tokens: int = 0
    truncate: Literal["error", "end", "start"] = "error"


@dataclass(frozen=True, slots=True)
class Delta:
    """New text (may be empty) and the tokens so far. ``finish``: set in the last one.

    ``cut``: {"tokens", "kept"} in the first one when the prompt was cut.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Literal["stop", "length"] | None = None
    cut: Mapping[str, int] | None = None
    revision: str = ""
