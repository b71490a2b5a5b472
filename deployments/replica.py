"""What runs in a model's replicas: load the engine of the model's task from the store, prove it, host it.

Plain classes; ``serve_app.app`` decorates and binds them. The forward pass has its own thread (see ``host``), so health
checks and cancellation always answer.
"""

import asyncio
from typing import Any

from deployments.batching import BatchPolicy
from deployments.engines.base import Engine
from deployments.engines.encoders import load_encoder
from deployments.hosted import HostedReplica
from deployments.memory import require_room
from deployments.settings import load_settings
from model_store.settings import load_settings as load_store_settings
from model_store.signing import require_signature
from model_store.store import ModelStore


def _load(key: str) -> tuple[Engine, str]:
    """The warm engine and its task."""
    wanted = load_store_settings()
    store = ModelStore(wanted.store_dir)
    stored = store.open(key)
    if wanted.signing_key is not None:
        require_signature(stored.folder, key, wanted.signing_key)
    require_room(stored)
    store.mark_used(key)
    engine = load_encoder(stored, load_settings())
    engine.warm()
    return engine, stored.task


def _input(task: str, text: str) -> Any:
    """What the engine of a task reads: a text, for zero-shot with a label."""
    return {"text": text, "labels": ["ok"]} if task == "zero-shot" else text


class ModelReplica(HostedReplica):
    """One replica of a text model. Fails to start, with the reason, when its files are not what the lock says."""

    async def __init__(self, key: str) -> None:  # type: ignore[misc]  # Serve awaits it
        engine, task = await asyncio.to_thread(_load, key)
        budget = load_settings().token_budget
        # Distinct texts, because equal ones are computed once.
        texts = [f"Text number {n} of a dozen tokens or so, for one full batch." for n in range(budget // 12)]
        full_batch = [_input(task, text) for text in texts]
        await self._serve(engine, BatchPolicy(budget=budget), _input(task, "ok"), full_batch)
