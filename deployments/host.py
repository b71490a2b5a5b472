"""What hosts an engine inside a replica: its threads, its batcher, its answers. Plain asyncio, no Ray.

Tokenising and computing have a thread each, so that the event loop always answers health checks and cancellation.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from deployments.batching import Batcher, BatchPolicy, blame
from deployments.call import Lane
from deployments.engines.base import Engine, Prepared
from deployments.errors import Cancelled, EngineFault
from deployments.meter import Observer, served, unobserved
from deployments.timing import Timing
from deployments.wire import BatchRun, Call, Piece, PieceReply, Reply
from model_store.errors import MusterError

PROBE_DEADLINE_S = 20.0
UNTOLD = 4096
"""Batches that no reply has told yet, at most: where every caller leaves, nobody hears of the oldest."""


class EngineHost:
    """One loaded engine behind one batcher. Construct it inside a running event loop."""

    def __init__(
        self,
        engine: Engine,
        policy: BatchPolicy,
        probe: Any,
        observe: Observer = unobserved,
    ) -> None:
        """``probe``: an input that health checks predict. ``observe``: told what is done for clients."""
        self._engine = engine
        self._probe = probe
        self._tokenizer = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self.batcher = Batcher(self._run, policy, observe=self._computed)
        self._observe = observe
        self._padding = 0
        self._untold: deque[BatchRun] = deque(maxlen=UNTOLD)
        self._about = engine.describe()
        self._waiting: dict[str, tuple[float, float]] = {}
        self._reading: Counter[str] = Counter()
        self._left: set[str] = set()

    async def answer(self, call: Call) -> Reply:
        """Run every piece of a call; pieces fail apart from each other."""
        self._waiting[call.sender] = (time.monotonic(), call.waiting_s)
        pieces, about = await self._answer(call), self._about
        if pieces:
            self._observe(served(call.lane, pieces))
        rate, backlog_s = self.batcher.rate, self.batcher.backlog_s()
        batches = tuple(self._untold)
        self._untold.clear()
        return Reply(pieces, about.revision, rate, backlog_s, about.backend, about.details, batches)

    def cancel(self, request_ids: Sequence[str]) -> None:
        for request_id in request_ids:
            self.batcher.cancel(request_id)
            if request_id in self._reading:
                self._left.add(request_id)

    def describe_again(self) -> None:
        """Ask the engine anew what it is: another version serves."""
        self._about = self._engine.describe()

    def backlog_s(self) -> float:
        """Predicted seconds of work: queued and running here, plus what the dispatchers said waits for this model."""
        fresh = time.monotonic() - 3.0
        self._waiting = {sender: seen for sender, seen in self._waiting.items() if seen[0] > fresh}
        return self.batcher.backlog_s() + sum(waiting for _, waiting in self._waiting.values())

    async def check(self) -> None:
        """A real prediction through the real path; raises when the batcher is dead or the engine fails."""
        if not self.batcher.alive():
            raise RuntimeError("The batcher's loop has died.")
        # Not bounded: a full queue is no reason for a restart.
        probe = Piece("health", [self._probe], {}, PROBE_DEADLINE_S)
        (reply,) = await self._answer(Call("interactive", [probe]), bounded=False)
        for error in reply.errors.values():
            raise error

    async def calibrate(self, inputs: Sequence[Any]) -> None:
        """Run one full batch twice, so that the rate is known before the first request is admitted by it."""
        for _ in range(2):
            await self._answer(Call("bulk", [Piece("calibration", inputs, {}, 60.0)]), bounded=False)

    async def close(self) -> None:
        await self.batcher.close()
        self._tokenizer.shutdown(wait=False, cancel_futures=True)
        self._compute.shutdown(wait=False, cancel_futures=True)

    async def _run(self, items: Sequence[Prepared]) -> Sequence[Any]:
        before = _padding(self._engine)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._compute, self._engine.run, items)
        finally:
            self._padding = _padding(self._engine) - before

    def _computed(self, batch: BatchRun) -> None:
        """The batcher's word on the batch that ``_run`` has just ended."""
        batch = replace(batch, padding=self._padding)
        self._untold.append(batch)
        self._observe(batch)

    async def _answer(self, call: Call, *, bounded: bool = True) -> list[PieceReply]:
        """Read all pieces at once, because a hop to the tokeniser's thread costs more than reading a short text."""
        started = time.monotonic()
        pieces = call.pieces
        self._reading.update(piece.request_id for piece in pieces)
        try:
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._tokenizer, self._read_all, pieces)
            left = [piece.request_id in self._left for piece in pieces]
        finally:
            self._forget(pieces)
        tokenize_ms = (time.monotonic() - started) * 1e3
        return await asyncio.gather(
            *(
                self._compute_piece(piece, items, call.lane, started, tokenize_ms, bounded)
                if not gone
                else _gone(piece)
                for piece, items, gone in zip(pieces, prepared, left, strict=True)
            )
        )

    async def _compute_piece(
        self,
        piece: Piece,
        prepared: Sequence[Prepared | MusterError],
        lane: Lane,
        started: float,
        tokenize_ms: float,
        bounded: bool,
    ) -> PieceReply:
        try:
            items = [item for item in prepared if isinstance(item, Prepared)]
            deadline = started + piece.remaining_s
            group = await self.batcher.submit(
                items, lane, deadline, piece.request_id, age_s=piece.age_s, bounded=bounded, owner=piece.owner
            )
        except MusterError as error:
            return _refused(len(piece.inputs), error)
        outcomes = iter(group.outcomes)
        values = [_finished(item, next(outcomes)) if isinstance(item, Prepared) else item for item in prepared]
        errors = {index: value for index, value in enumerate(values) if isinstance(value, MusterError)}
        for index in errors:
            values[index] = None
        return PieceReply(
            values=_stack(values),
            costs=[item.cost if isinstance(item, Prepared) else 0 for item in prepared],
            errors=errors,
            cut={i: item.report for i, item in enumerate(prepared) if isinstance(item, Prepared) and item.report},
            timing=Timing(group.queue_ms, tokenize_ms, group.compute_ms),
        )

    def _forget(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self._reading[piece.request_id] -= 1
            if not self._reading[piece.request_id]:
                del self._reading[piece.request_id]
                self._left.discard(piece.request_id)

    def _read_all(self, pieces: Sequence[Piece]) -> list[list[Prepared | MusterError]]:
        """Items or errors of every piece; pieces with equal options go to the engine together."""
        if any(piece.options != pieces[0].options for piece in pieces):
            return [self._read(piece.inputs, dict(piece.options)) for piece in pieces]
        inputs = [item for piece in pieces for item in piece.inputs]
        items = iter(self._read(inputs, dict(pieces[0].options) if pieces else {}))
        return [list(islice(items, len(piece.inputs))) for piece in pieces]

    def _read(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | MusterError]:
        """Prepare; when that breaks down, each input alone, so that only the one that cannot be read fails."""
        try:
            prepared = self._engine.prepare(inputs, options)
            if len(prepared) != len(inputs):
                raise EngineFault(f"The engine read {len(prepared)} items out of {len(inputs)} inputs.")
            return [item if isinstance(item, Prepared) else blame(item) for item in prepared]
        except BaseException as error:  # noqa: BLE001 - a panic in a native tokeniser is no ``Exception``
            if len(inputs) == 1:
                return [blame(error)]
        return [outcome for item in inputs for outcome in self._read([item], options)]


def _padding(engine: Engine) -> int:
    """What the engine has padded in all; 0 for one that does not pad, or cannot tell."""
    return int(getattr(engine, "padding", 0))


async def _gone(piece: Piece) -> PieceReply:
    """The reply to a piece whose client left while it was read; nobody looks at it."""
    return _refused(len(piece.inputs), Cancelled())


def _refused(count: int, error: MusterError) -> PieceReply:
    return PieceReply([None] * count, [0] * count, dict.fromkeys(range(count), error))


def _finished(item: Prepared, outcome: Any) -> Any:
    """The item's own answer, or its error."""
    if item.finish is None or isinstance(outcome, MusterError):
        return outcome
    try:
        return item.finish(outcome)
    except Exception as error:  # noqa: BLE001 - what a head raises belongs to its item, not to the call
        return blame(error)


def _stack(values: list[Any]) -> Sequence[Any]:
    """One array instead of many: it crosses the process boundary as one buffer."""
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if arrays and len(arrays) == len(values) and len({(array.shape, array.dtype) for array in arrays}) == 1:
        return np.stack(arrays)  # type: ignore[return-value]
    return values
