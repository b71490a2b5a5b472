"""What a generation is asked with and what comes back of it: small frozen objects that travel through Serve handles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deployments.timing import Steps, Timing

STOPS_MAX = 4
"""Stop strings a request may name, as OpenAI's API has it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One text to continue, a chat to answer, or a text to summarise; the model's task says which.

    ``max_tokens``: None for as many as fit. ``temperature`` 0 is greedy. ``stop``: up to ``STOPS_MAX``, never part of
    the text. ``seed``: the same text again, whatever else the replica generates. ``min_tokens``: before the end token.
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
    """New text of a generation (``""`` is possible) and the token counts so far.

    ``finish`` is set in the last one. ``cut``: ``{"tokens", "kept"}`` in the first one when the prompt was cut.
    ``timing``: in the first and in the last. ``steps``: in the last, what the replica has done since it last told.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Literal["stop", "length"] | None = None
    cut: Mapping[str, int] | None = None
    revision: str = ""
    timing: Timing | None = None
    steps: Steps | None = None
