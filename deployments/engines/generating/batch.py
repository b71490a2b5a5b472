"""Iteration-level batching: every step computes one portion of the waiting prompts and one token for all that run.

New generations join between two steps and finished ones leave, so nobody waits for somebody else's last token. A long
prompt is computed in pieces that alternate with the short prompts that came after it.

When the keys and values outgrow their budget, the generation that joined last gives its place up and goes back to the
front of the line; its tokens are kept and computed again as part of its prompt.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.engines.cuda import ran_out_of_memory
from deployments.engines.generating.generation import Generation
from deployments.engines.generating.network import Network, Prefill
from deployments.errors import EngineFault, OutOfMemory


@dataclass(frozen=True, slots=True)
class Bounds:
    """``rows``: generations that run at a time; ``portion``: prompt tokens of a step; ``tokens``: columns of all rows."""

    rows: int
    portion: int
    tokens: int


class Batch:
    """``add`` may be called from any thread, all else from the compute thread.

    ``steps``: those that made tokens for running generations; ``rows``: the generations of each, summed.
    """

    def __init__(self, network: Network, bounds: Bounds) -> None:
        self._network, self._bounds = network, bounds
        self._arrivals = threading.Lock()
        self._waiting: list[Generation] = []
        self._running: list[Generation] = []
        self._long: Prefill | None = None
        self._long_turn = False
        self._joined = 0
        self.steps = self.rows = 0

    def add(self, generation: Generation) -> None:
        with self._arrivals:
            self._waiting.append(generation)

    def waiting(self) -> int:
        return len(self._waiting)

    def __len__(self) -> int:
        """Generations that are not over or still hold a place."""
        return len(self._waiting) + len(self._running) + (self._long is not None)

    def step(self) -> None:
        """Drop who left, compute a portion of the prompts, compute a token for every row."""
        self._drop()
        self._prefill()
        self._decode()
        self._drop()

    def _drop(self) -> None:
        for index in range(len(self._running) - 1, -1, -1):
            if self._running[index].over:
                self._leave(index)
        if self._long and self._long.members[0].over:
            self._long = None
        with self._arrivals:
            self._waiting = [generation for generation in self._waiting if not generation.over]

    # -- prompts ---------------------------------------------------------------------------------------------------

    def _prefill(self) -> None:
        prefill = self._next_prefill()
        if prefill is None:
            return
        self._long = None if prefill is self._long else self._long
        try:
            logits = self._network.prefill(prefill, self._bounds.portion)
        except Exception as error:  # noqa: BLE001 - whatever it is, only these generations fail of it
            _fail(prefill.members, error)
            return
        if logits is None:
            self._long = prefill
        else:
            self._join(prefill, logits)

    def _join(self, prefill: Prefill, logits: Any) -> None:
        tokens = self._chosen(prefill.members, logits)
        for index, (generation, token) in enumerate(zip(prefill.members, tokens, strict=True)):
            if token is None:
                continue
            try:
                self._network.join(prefill, index)
            except Exception as error:  # noqa: BLE001 - the rows may be in any state now
                self._collapse([*prefill.members, *self._running], error)
                return
            self._joined += 1
            generation.joined = self._joined
            self._running.append(generation)
            generation.add(token)

    def _next_prefill(self) -> Prefill | None:
        """Short prompts, several at once; a long one every other time."""
        self._long_turn = not self._long_turn
        if self._long and self._long_turn:
            return self._long
        with self._arrivals:
            chosen = self._line()
            members = self._that_fit(chosen)
            self._waiting = [each for each in self._waiting if each not in members]
        for member in members:
            member.begin()
        return Prefill(members) if members else self._long

    def _line(self) -> list[Generation]:
        """Who may come next. A long prompt that found no room is passed by as many as there are rows, not by more."""
        short = [each for each in self._waiting if self._is_short(each)]
        long = next((each for each in self._waiting if not self._is_short(each)), None)
        if long is None or self._long:
            return short
        if self._long_turn or not short:
            return [long]
        long.passed += 1
        return [long] if long.passed > self._bounds.rows else short

    def _is_short(self, generation: Generation) -> bool:
        return len(generation.source) + len(generation.out) <= self._bounds.portion

    def _that_fit(self, line: Sequence[Generation]) -> list[Generation]:
        """The head of the line: one portion of padded prompts, and no more than there is room for."""
        taken, held = list[Generation](), len(self._running) + (self._long is not None)
        longest = len(self._long.members[0].source) if self._long else 0
        for generation in line:
            longest = max(longest, len(generation.source) + len(generation.out))
            rows = held + len(taken) + 1
            if rows > self._bounds.rows or (taken and (len(taken) + 1) * longest > self._bounds.portion):
                break
            if rows > 1 and rows * (max(longest, self._network.width) + 1) > self._bounds.tokens:
                break
            taken.append(generation)
        return taken

    # -- tokens ----------------------------------------------------------------------------------------------------

    def _decode(self) -> None:
        self._drop()
        while len(self._running) > 1 and len(self._running) * (self._network.width + 1) > self._bounds.tokens:
            self._put_back()
        if not self._running:
            return
        try:
            logits = self._network.decode([generation.out[-1] for generation in self._running])
            self.steps += 1
            self.rows += len(self._running)
            for generation, token in zip(self._running, self._chosen(self._running, logits), strict=True):
                if token is not None:
                    generation.add(token)
        except Exception as error:  # noqa: BLE001 - the rows may be in any state: all of them fail, the next ones serve
            self._collapse(self._running, error)

    def _chosen(self, generations: Sequence[Generation], logits: Any) -> list[int | None]:
        """The next token of each; None, with its error set, where the model computed no numbers."""
        finite, logits = logits.isfinite().all(dim=-1).tolist(), logits.cpu()
        likeliest = logits.argmax(dim=-1).tolist()
        tokens = list[int | None]()
        for index, generation in enumerate(generations):
            if not finite[index]:
                generation.error = EngineFault("The model computed a number that is not finite.")
                tokens.append(None)
            elif generation.sampler.plain:
                tokens.append(likeliest[index])
            else:
                tokens.append(generation.sampler.choose(logits[index], generation.out))
        return tokens

    def _put_back(self) -> None:
        """The one that joined last; rows change places, so the youngest is not always the last row."""
        index = max(range(len(self._running)), key=lambda i: self._running[i].joined)
        generation = self._running[index]
        self._leave(index)
        with self._arrivals:
            self._waiting.insert(0, generation)

    def _collapse(self, generations: Sequence[Generation], error: Exception) -> None:
        """All fail, and the batch begins anew."""
        _fail(generations, error)
        self._network.clear()
        self._running = []

    def _leave(self, index: int) -> None:
        self._network.leave(index)
        self._running[index] = self._running[-1]
        self._running.pop()


def _fail(generations: Sequence[Generation], error: Exception) -> None:
    """They end with the kind of error alone: its message may quote what was computed."""
    fault = EngineFault(f"The model failed with {type(error).__name__}.")
    for generation in generations:
        generation.error = OutOfMemory() if ran_out_of_memory(error) else fault
