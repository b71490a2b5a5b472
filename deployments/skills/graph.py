"""The skill graph's three deployments: inference -> evidence fusion -> reasoning, bound in this order.

The application's ingress is ``Reasoning``; each stage hands a whole call to the stage below and adds its part to what
comes back. Plain classes; ``serve_app.app`` binds them, and the handle of the stage below is all they know of Serve.
What the stages compute is in ``boosting``, ``fusion`` and ``reasoning``.
"""

import abc
import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deployments.batching import BatchPolicy, blame
from deployments.cpu_gate import CpuGate
from deployments.engines.boosting import BoostingEngine
from deployments.hosted import HostedReplica
from deployments.settings import load_settings
from deployments.skills.alias_store import AliasStore
from deployments.skills.assessment import Assessment, to_json
from deployments.skills.features import FEATURES, FeatureSet
from deployments.skills.following import Follower, load_newest
from deployments.skills.fusion import fuse
from deployments.skills.reasoning import explain
from deployments.wire import Call, PieceReply, Reply
from model_store.settings import load_settings as load_store_settings

NOTHING_OBSERVED = FeatureSet((None,) * len(FEATURES))
"""A valid student row: what health checks and calibration predict."""
ROWS_PER_BATCH = 128
"""Rows are cheap beside the call that brings them; this bounds how long one batch keeps an interactive row waiting."""


class Inference(HostedReplica):
    """The skill models behind a batcher: values are ``{skill: Prediction}``, one per student row.

    Which models serve is the aliases' word and not the deployment's: a later deployment does not undo a promotion.
    """

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        settings, skills_dir = load_settings(), load_store_settings().skills_dir
        gate = CpuGate(settings.gate_dir, settings.gate_slots)
        engine = BoostingEngine(skills_dir, settings.threads, gate)
        aliases = AliasStore(skills_dir, settings.redis_url.get_secret_value() if settings.redis_url else None)
        await load_newest(engine, aliases)
        await asyncio.to_thread(engine.warm)
        policy = BatchPolicy(budget=ROWS_PER_BATCH, padded=False, max_queued_cost=20_000)
        await self._serve(engine, policy, NOTHING_OBSERVED, [NOTHING_OBSERVED] * ROWS_PER_BATCH)
        self._follower = Follower(
            engine,
            aliases,
            secrets.token_hex(4),
            idle=lambda: self._host.backlog_s() == 0.0,
            switched=self._host.describe_again,
        )
        self._following = asyncio.create_task(self._follower.run())


class _Stage(abc.ABC):
    """A deployment that adds its part to what the stage below answers."""

    def __init__(self, below: Any) -> None:
        self._below = below
        self._ask = below.options(method_name="answer", request_serialization="pickle", response_serialization="pickle")

    async def answer(self, call: Call) -> Reply:
        reply: Reply = await self._ask.remote(call)
        return await asyncio.to_thread(self._add, call, reply)

    async def cancel(self, request_ids: Sequence[str]) -> None:
        # Best effort, like every cancellation: the deadline ends what it does not reach.
        with contextlib.suppress(Exception):
            await self._below.broadcast("cancel", list(request_ids)).results_async(timeout_s=5)

    def _add(self, call: Call, reply: Reply) -> Reply:
        return replace(reply, pieces=[self._piece(p.inputs, a) for p, a in zip(call.pieces, reply.pieces, strict=True)])

    def _piece(self, rows: Sequence[Any], answer: PieceReply) -> PieceReply:
        values: list[Any] = []
        errors = dict(answer.errors)
        for index, (row, value) in enumerate(zip(rows, answer.values, strict=True)):
            try:
                values.append(None if value is None else self._one(row, value))
            except Exception as error:  # noqa: BLE001 - one student's defect must not fail the others of the call
                values.append(None)
                errors[index] = blame(error)
        return replace(answer, values=values, errors=errors)

    @abc.abstractmethod
    def _one(self, row: Any, value: Any) -> Any:
        """This stage's value for one row, from the value of the stage below."""


class Fusion(_Stage):
    """Evidence fusion: values are ``{skill: Fused}``."""

    def _one(self, row: Any, value: Any) -> Any:
        return fuse(row, value)


class Reasoning(_Stage):
    """Reasoning, and the form that clients see: values are ``{skill: skill object}``."""

    def _one(self, row: Any, value: Any) -> Any:
        return {skill: to_json(Assessment(fused, explain(fused))) for skill, fused in value.items()}
