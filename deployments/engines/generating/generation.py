"""One generation inside a replica: what was asked, what is there so far, and the text that nobody has fetched yet."""

import time
from collections.abc import Sequence
from typing import Any

from deployments.engines.generating.prompts import Prompt
from deployments.engines.generating.sampling import Rules, Sampler
from deployments.engines.generating.text import TextStream
from deployments.generation import Delta, GenerationRequest
from model_store.errors import MusterError


class Generation:
    """Written by the compute thread, step by step; ``take`` and ``cancelled`` belong to the event loop.

    ``joined`` and ``passed`` are the batch's: when it got its row, and how often others went before it. ``begun_at`` and
    ``ended_at`` are monotonic instants: when its prompt was first computed, and when its last token was there.
    """

    def __init__(
        self, request: GenerationRequest, prompt: Prompt, rules: Rules, tokenizer: Any, start: int | None = None
    ) -> None:
        """``start``: the decoder's first token where the prompt goes to an encoder; ``tokenizer``: to decode with."""
        self.source: Sequence[int] = prompt.ids
        self.out: list[int] = []
        self.most = prompt.most
        self.cut = prompt.cut
        self.sampler = Sampler(request, rules, prompt.ids if start is None else [start], prompt.most)
        self.error: MusterError | None = None
        self.cancelled = False
        self.joined = self.passed = 0
        self.begun_at: float | None = None
        self.ended_at: float | None = None
        self._ends, self._forced = rules.ends, rules.forces_end
        self._text = TextStream(tokenizer, request.stop)
        self._waiting: list[str] = []
        self._finish: str | None = None

    @property
    def over(self) -> bool:
        """Whether no further token is wanted."""
        return self._finish is not None or self.error is not None or self.cancelled

    @property
    def fresh(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._waiting) or self._finish is not None or self.error is not None

    def begin(self) -> None:
        """It has a place in the batch; having lost one and come back changes nothing."""
        if self.begun_at is None:
            self.begun_at = time.monotonic()

    def add(self, token: int) -> None:
        """The next token, as sampled."""
        self.out.append(token)
        ended = token in self._ends
        if not ended:
            self._waiting.append(self._text.push(token))
        if ended or self._text.stopped or len(self.out) >= self.most:
            self._waiting.append(self._text.finish())
            # An end that was forced because there is no more room is none.
            natural = ended and (len(self.out) < self.most or not self._forced)
            self.ended_at = time.monotonic()
            self._finish = "stop" if natural or self._text.stopped else "length"

    def take(self, revision: str) -> Delta:
        """What is new since the last one. Raises what the generation failed of."""
        count, finish, waiting = len(self.out), self._finish, len(self._waiting)
        text = "".join(self._waiting[:waiting])
        del self._waiting[:waiting]
        if self.error is not None:
            raise self.error
        cut, self.cut = self.cut, None
        return Delta(text, len(self.source), count, finish, cut, revision)  # type: ignore[arg-type]
