"""The two upper stages of the skill graph, evidence fusion and reasoning, each over the handle of the stage below it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from deployments.batching import blame
from deployments.breaker import Breaker
from deployments.errors import Cancelled, InvalidInput, ModelNotReady, Overloaded
from deployments.reasoning.stage import LanguageStage
from deployments.skills.assessment import Assessment, Fused, Prediction, to_json
from deployments.skills.features import SKILLS, Skill
from deployments.skills.fusion import fuse
from deployments.skills.reasoning import explain
from deployments.skills.sources import SILENT, Observed, observe
from deployments.skills.weight_book import weights_of
from deployments.wire import Call, Piece, PieceReply, Reply
from model_store.errors import MusterError

INFERENCE_SHARE = 0.8
"""Of the time that is left: what the model may take of it before the assessment goes on without."""
ATTEMPTS = 2
MARGIN_S = 0.2
FAIR_S = 2.0
"""Less time than this is a client's own hurry and no reason to think that the models are away."""
BREAKER_FAILURES, BREAKER_REST_S = 3, 5.0
CLIENTS_OWN = (InvalidInput, Cancelled, Overloaded)
"""Errors that the client must see: its own, and those that tell it to come back later."""
NO_REVISION = "none"
logger = logging.getLogger("ray.serve.muster")


class _Stage:
    """A deployment that adds its part to what the stage below answers."""

    def _connect(self, below: Any) -> None:
        self._below = below
        self._ask = below.options(method_name="answer", request_serialization="pickle", response_serialization="pickle")

    async def cancel(self, request_ids: Sequence[str]) -> None:
        # Best effort, like every cancellation: the deadline ends what it does not reach.
        with contextlib.suppress(Exception):
            await self._below.broadcast("cancel", list(request_ids)).results_async(timeout_s=5)


class Fusion(_Stage):
    """Evidence fusion: values are ``{skill: Fused}``. The model and the observations are gathered at the same time."""

    def __init__(self, below: Any, breaker: Breaker | None = None) -> None:
        self._connect(below)
        self._breaker = breaker or Breaker(BREAKER_FAILURES, BREAKER_REST_S)

    async def answer(self, call: Call) -> Reply:
        if not call.pieces:
            bare: Reply = await self._ask.remote(call)
            return bare
        reply, observed = await asyncio.gather(self._inferred(call), asyncio.to_thread(_observed, call))
        return await asyncio.to_thread(self._add, call, reply or _silence(call), observed)

    async def _inferred(self, call: Call) -> Reply | None:
        """The models' reply; None when they do not answer in their share of the time. Raises what clients must see."""
        shorter = [replace(piece, remaining_s=piece.remaining_s * INFERENCE_SHARE) for piece in call.pieces]
        patience = max(piece.remaining_s for piece in shorter)
        until = time.monotonic() + patience + MARGIN_S
        for attempt in range(ATTEMPTS):
            if not self._breaker.admit():
                return None
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                    reply: Reply = await self._ask.remote(replace(call, pieces=shorter))
            except TimeoutError:
                if patience >= FAIR_S:
                    self._breaker.fail("it does not answer in time")
                else:
                    self._breaker.leave()
                return None
            except Exception as error:  # noqa: BLE001 - of a dead replica too: whatever it is, the other sources remain
                cause = getattr(error, "cause", None) or error
                if isinstance(cause, CLIENTS_OWN):
                    self._breaker.leave()
                    raise cause from None
                if attempt + 1 < ATTEMPTS:
                    # One replica's death fails all its calls at once and says nothing of the others.
                    self._breaker.leave()
                    continue
                self._breaker.fail(type(cause).__name__)
                logger.warning("The skill models did not answer: %s.", type(cause).__name__)
            except BaseException:
                self._breaker.leave()
                raise
            else:
                self._breaker.succeed()
                return reply
        return None

    def _add(self, call: Call, reply: Reply, observed: Sequence[Sequence[Observed]]) -> Reply:
        pieces = [
            _fused_piece(piece, answer, seen)
            for piece, answer, seen in zip(call.pieces, reply.pieces, observed, strict=True)
        ]
        return replace(reply, pieces=pieces)


class Reasoning(_Stage):
    """Reasoning, and the form that clients see: values are ``{skill: skill object}``.

    The objects are finished, with the template's words, before any language model is asked; its words then take the
    template's place and nothing else, so that they cannot touch a score.
    """

    async def __init__(self, below: Any, language: LanguageStage | None = None) -> None:  # type: ignore[misc]
        self._connect(below)
        self._language = language or await LanguageStage.open()

    async def answer(self, call: Call) -> Reply:
        started = time.monotonic()
        reply: Reply = await self._ask.remote(call)
        if not call.pieces:
            return replace(reply, details={**reply.details, "reasoning": await self._language.describe()})
        told = await asyncio.to_thread(self._add, reply)
        await self._language.reword(call, reply, told, started)
        return replace(told, batches=(*told.batches, *self._language.untold()))

    async def cancel(self, request_ids: Sequence[str]) -> None:
        self._language.cancel(request_ids)
        await super().cancel(request_ids)

    async def __del__(self) -> None:
        # Serve awaits this when it stops the replica.
        if language := getattr(self, "_language", None):
            await language.close()

    def _add(self, reply: Reply) -> Reply:
        return replace(reply, pieces=[_told_piece(answer) for answer in reply.pieces])


def _observed(call: Call) -> list[list[Observed]]:
    """What is known of every row beside the model's word."""
    return [[observe(row, _skills(piece)) for row in piece.inputs] for piece in call.pieces]


def _skills(piece: Piece) -> tuple[Skill, ...]:
    asked = piece.options.get("skills", SKILLS)
    return tuple(skill for skill in SKILLS if skill in asked)


def _silence(call: Call) -> Reply:
    """The reply of a model that does not answer."""
    pieces = [_unanswered(len(piece.inputs)) for piece in call.pieces]
    return Reply(pieces, revision=NO_REVISION, rate=0.0, backlog_s=0.0)


def _unanswered(count: int) -> PieceReply:
    return PieceReply([None] * count, [0] * count, dict.fromkeys(range(count), ModelNotReady("skills", SILENT)))


def _fused_piece(piece: Piece, answer: PieceReply, seen: Sequence[Observed]) -> PieceReply:
    """One student's defect does not fail the others of the call; a model's failure does not fail the student."""
    weights, weighed_by = weights_of(piece.options.get("weights"))
    values: list[dict[Skill, Fused] | None] = []
    errors: dict[int, MusterError] = {}
    for index, (row, value, known) in enumerate(zip(piece.inputs, answer.values, seen, strict=True)):
        try:
            predictions = _predictions(value, answer.errors.get(index), known)
            values.append(fuse(row, predictions, weights, known, weighed_by))
        except Exception as error:  # noqa: BLE001
            values.append(None)
            errors[index] = blame(error)
    return replace(answer, values=values, errors=errors)


def _predictions(value: Any, error: MusterError | None, known: Observed) -> Mapping[Skill, Prediction | None]:
    """What the model says; None for each skill when it failed and something else is known. Raises the failure else."""
    if value is not None:
        return dict(value)
    failure = error or ModelNotReady("skills", SILENT)
    if isinstance(failure, CLIENTS_OWN) or not any(known.available(skill) for skill in known.of):
        raise failure
    return dict.fromkeys(known.of)


def _told_piece(answer: PieceReply) -> PieceReply:
    values: list[Any] = []
    errors = dict(answer.errors)
    for index, value in enumerate(answer.values):
        try:
            values.append(None if value is None else _told(value))
        except Exception as error:  # noqa: BLE001 - one student's defect must not fail the others of the call
            values.append(None)
            errors[index] = blame(error)
    return replace(answer, values=values, errors=errors)


def _told(fused: Mapping[Skill, Fused]) -> dict[Skill, dict[str, Any]]:
    return {skill: to_json(Assessment(each, explain(each))) for skill, each in fused.items()}
