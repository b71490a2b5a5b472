"""What runs in a model's replicas: load the engine from the store, prove it, host it behind the batcher.

Plain classes; ``serve_app.app`` decorates and binds them. The forward pass has its own thread (see ``host``), so health
checks and cancellation always answer.
"""

import asyncio
import logging
from collections.abc import Sequence

from deployments.autoscaling import BACKLOG_METRIC
from deployments.batching import BatchPolicy
from deployments.engines.base import Engine
from deployments.engines.encoders import load_encoder
from deployments.host import EngineHost
from deployments.settings import load_settings
from deployments.wire import Call, Reply
from model_store.settings import load_settings as load_store_settings
from model_store.store import ModelStore

logger = logging.getLogger("ray.serve.muster")


def _load(key: str) -> Engine:
    stored = ModelStore(load_store_settings().store_dir).open(key)
    engine = load_encoder(stored, load_settings())
    engine.warm()
    return engine


class ModelReplica:
    """One encoder replica. Fails to start, with the reason, when its files are not what the lock says."""

    async def __init__(self, key: str) -> None:  # type: ignore[misc]  # Serve awaits it
        engine = await asyncio.to_thread(_load, key)
        budget = load_settings().token_budget
        self._host = EngineHost(engine, BatchPolicy(budget=budget), probe="ok")
        # Distinct texts, because equal ones are computed once.
        await self._host.calibrate(
            [f"Text number {n} of a dozen tokens or so, for one full batch." for n in range(budget // 12)]
        )
        logger.info("Model %s serves revision %s.", key, engine.describe().revision)

    async def answer(self, call: Call) -> Reply:
        return await self._host.answer(call)

    async def cancel(self, request_ids: Sequence[str]) -> None:
        self._host.cancel(request_ids)

    async def check_health(self) -> None:
        await self._host.check()

    def record_autoscaling_stats(self) -> dict[str, float]:
        return {BACKLOG_METRIC: self._host.backlog_s()}
