"""The journal application: one replica computes analyses, one at a time, in a thread of its own. It asks no model and
stores nothing: what the models said comes with the question."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from deployments.errors import Cancelled, DeadlineExceeded, EngineFault, InvalidInput
from deployments.journal.analysis import PARTS, VERSION, Found, Question, analyse
from deployments.journal.entries import Entry, Journal
from deployments.label_sets import EMOTIONS
from deployments.wire import Call, Piece, PieceReply, Reply
from model_store.errors import MusterError

REMEMBERED = 4096
"""Requests that left, at most: one that is forgotten is computed for nobody."""


class JournalAnalysis:
    """Inputs are ``Question``, values are ``Found``; costs are entries."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._left: OrderedDict[str, None] = OrderedDict()
        self._waiting = 0
        self._rate = 0.0
        await asyncio.get_running_loop().run_in_executor(self._thread, self._warm)

    async def answer(self, call: Call) -> Reply:
        """The outcomes of every piece; questions fail apart from each other."""
        started = time.monotonic()
        pieces = [await self._piece(piece, started) for piece in call.pieces]
        backlog_s = self._waiting / self._rate if self._rate else 0.0
        return Reply(pieces, f"journal-{VERSION}", self._rate, backlog_s, "scipy")

    async def cancel(self, request_ids: Sequence[str]) -> None:
        """What has not begun is not computed any more."""
        self._left |= dict.fromkeys(request_ids)
        while len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    async def check_health(self) -> None:
        """Serve's health check: the thread answers, behind what it is computing."""
        await asyncio.get_running_loop().run_in_executor(self._thread, int)

    async def _piece(self, piece: Piece, started: float) -> PieceReply:
        values: list[Found | None] = []
        errors: dict[int, MusterError] = {}
        for index, question in enumerate(piece.inputs):
            try:
                values.append(await self._compute(question, piece, started + piece.remaining_s))
            except MusterError as error:
                values.append(None)
                errors[index] = error
        return PieceReply(values, [_entries(question) for question in piece.inputs], errors)

    async def _compute(self, question: Any, piece: Piece, deadline: float) -> Found:
        if not isinstance(question, Question):
            raise InvalidInput("This application answers questions about journals.")
        entries = len(question.journal)
        self._waiting += entries
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._run, question, piece.request_id, deadline
            )
        finally:
            self._waiting -= entries

    def _run(self, question: Question, request_id: str, deadline: float) -> Found:
        """In the thread."""
        if request_id in self._left:
            raise Cancelled
        started = time.monotonic()
        if started >= deadline:
            raise DeadlineExceeded
        try:
            found = analyse(question)
        except Exception as error:  # noqa: BLE001 - whatever broke, the caller gets an error of ours
            # By its type only: its text may be a writer's.
            raise EngineFault(f"The analysis failed: {type(error).__name__}.") from None
        rate = len(question.journal) / max(1e-6, time.monotonic() - started)
        self._rate = 0.8 * self._rate + 0.2 * rate if self._rate else rate
        return found

    def _warm(self) -> None:
        """Import what statistics need and use it once. One thread each: they would fight the models for the cores."""
        import sklearn.cluster  # noqa: F401
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
        analyse(Question(_example(), [*PARTS]))
        self._run(Question(_example(), [*PARTS]), "", time.monotonic() + 60)


def _entries(question: Any) -> int:
    return len(question.journal) if isinstance(question, Question) else 1


def _example(count: int = 60) -> Journal:
    """A journal with a good Monday and two themes, so that everything is computed."""
    random, first = np.random.default_rng(0), datetime(2026, 1, 1, 9, tzinfo=UTC)
    entries = [Entry(str(n), f"Day {n} was a day.", first + timedelta(days=n), float(n % 10)) for n in range(count)]
    bright = np.array([0.5 if entry.created_at.weekday() == 0 else -0.2 for entry in entries])
    embeddings = random.normal(size=(count, 16)) + 4 * (np.arange(count)[:, None] % 2)
    emotions = random.dirichlet(np.ones(len(EMOTIONS)), count)
    return Journal(tuple(entries), emotions, bright + 0.1 * random.normal(size=count), embeddings)
