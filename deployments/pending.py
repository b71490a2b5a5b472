"""A request on its way through the dispatcher, the slices it is cut into, and the line in which they wait."""

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.call import Answer, CallContext
from deployments.timing import Timing
from deployments.wire import Piece, PieceReply, Reply
from model_store.errors import MusterError


class PendingRequest:
    """Collects the outcomes of one request's inputs; ``done`` resolves when all are in, or fails as a whole."""

    def __init__(
        self, inputs: Sequence[Any], hints: Sequence[int], options: Mapping[str, Any], context: CallContext
    ) -> None:
        self.inputs, self.hints, self.options, self.context = inputs, hints, options, context
        # Request ids come from clients, who repeat them: a cancellation must not reach the retry of the same id, nor
        # a request of another gateway process.
        self.id = f"{context.request_id}#{secrets.token_hex(8)}"
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.allowed_s = context.remaining()
        self.settled = not inputs
        self.sent = False
        self._missing = len(inputs)
        self._values: list[Any] = [None] * len(inputs)
        self._costs = [0] * len(inputs)
        self._errors: dict[int, MusterError] = {}
        self._cut: dict[int, Mapping[str, int]] = {}
        self._revision = ""
        self._details: Mapping[str, Any] = {}
        self._timing = Timing()
        self._rate = 0.0

    @property
    def complete(self) -> bool:
        """Every input has its outcome: nothing of this request is left anywhere."""
        return self._missing == 0

    def whole(self) -> "Slice":
        """All inputs, in order of cost, so that slices cut off it are of like length."""
        indices = sorted(range(len(self.inputs)), key=self.hints.__getitem__)
        return Slice(self, indices, sum(self.hints))

    def deliver(self, indices: Sequence[int], piece: PieceReply, reply: Reply) -> None:
        """Take the outcomes of some inputs; ``reply`` is the whole call's."""
        if self.settled:
            return
        for position, index in enumerate(indices):
            self._values[index] = piece.values[position]
            self._costs[index] = piece.costs[position]
        for position, error in piece.errors.items():
            self._errors[indices[position]] = error
        for position, cut in piece.cut.items():
            self._cut[indices[position]] = cut
        self._revision, self._details, self._rate = reply.revision, reply.details, reply.rate
        self._timing = self._timing.longest(piece.timing)
        self._arrived(len(indices))

    def refuse(self, index: int, error: MusterError) -> None:
        """Settle one input with an error."""
        if not self.settled:
            self._errors[index] = error
            self._arrived(1)

    def fail(self, error: Exception) -> None:
        """Settle the whole request with an error."""
        if not self.settled:
            self.settled = True
            self.done.set_exception(error)

    def _arrived(self, count: int) -> None:
        self._missing -= count
        if self.complete:
            self.settled = True
            self.done.set_result(None)

    def answer(self) -> Answer:
        truncated = [{"index": index, **self._cut[index]} for index in sorted(self._cut)]
        return Answer(
            values=self._values,
            costs=self._costs,
            revision=self._revision,
            errors=self._errors,
            truncated=truncated,
            timing=self._timing,
            details=self._details,
            rate=self._rate,
        )


@dataclass(slots=True)
class Slice:
    """Some inputs of a request, waiting or in a call. ``alone``: must travel by itself; ``deaths``: seen so far."""

    request: PendingRequest
    indices: list[int]
    hint: int
    alone: bool = False
    deaths: int = 0

    def wire(self) -> Piece:
        """What travels."""
        request = self.request
        remaining = request.context.remaining()
        owner = "" if request.context.no_store else request.context.tenant
        return Piece(request.id, self.inputs(), request.options, remaining, request.allowed_s - remaining, owner)

    def inputs(self) -> list[Any]:
        return [self.request.inputs[index] for index in self.indices]

    def cut(self, room: float) -> tuple["Slice", "Slice | None"]:
        """The first inputs that fit into ``room`` (at least one), and the rest."""
        if self.hint <= room:
            return self, None
        hints = np.asarray([self.request.hints[index] for index in self.indices], dtype=np.int64)
        count = max(1, int(np.searchsorted(np.cumsum(hints), room, side="right")))
        if count >= len(self.indices):
            return self, None
        head_hint = int(hints[:count].sum())
        head = Slice(self.request, self.indices[:count], head_hint)
        return head, Slice(self.request, self.indices[count:], self.hint - head_hint)

    def singles(self) -> list["Slice"]:
        """One slice an input, after a death."""
        return [
            Slice(self.request, [index], self.request.hints[index], alone=True, deaths=self.deaths + 1)
            for index in self.indices
        ]


class Line:
    """Slices that wait to be sent, requests taking turns. Every operation costs its own slices only, not the line."""

    def __init__(self) -> None:
        self._turns: OrderedDict[PendingRequest, deque[Slice]] = OrderedDict()
        self.items = 0
        self.hint = 0

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, piece: Slice, *, first: bool = False) -> None:
        """Put a slice at the end, or back at the front."""
        waiting = self._turns.setdefault(piece.request, deque())
        if first:
            waiting.appendleft(piece)
            self._turns.move_to_end(piece.request, last=False)
        else:
            waiting.append(piece)
        self.items += len(piece.indices)
        self.hint += piece.hint

    def take(self) -> Slice:
        """The first request's next slice; what else it has goes to the end, so that others come in between."""
        request, waiting = next(iter(self._turns.items()))
        piece = waiting.popleft()
        if waiting:
            self._turns.move_to_end(request)
        else:
            del self._turns[request]
        self.items -= len(piece.indices)
        self.hint -= piece.hint
        return piece

    def leave(self, request: PendingRequest) -> None:
        """Drop what a request has in the line."""
        for piece in self._turns.pop(request, ()):
            self.items -= len(piece.indices)
            self.hint -= piece.hint
