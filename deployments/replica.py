"""What runs in a model's replicas: load the engine of the model's task from the store, prove it, host it.

Plain classes; ``serve_app.app`` decorates and binds them. The forward pass has its own thread (see ``host``), so health
checks and cancellation always answer.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from deployments.autoscaling import BACKLOG_METRIC
from deployments.batching import BatchPolicy
from deployments.call import Lane
from deployments.engines.base import Engine
from deployments.engines.cuda import TorchCuda
from deployments.engines.device import Device, choose_device
from deployments.engines.encoders import load_encoder
from deployments.engines.generator import TASKS, Generator
from deployments.engines.packed_encoder import GPU_TOKENS, PackedEncoder
from deployments.errors import InvalidInput, ModelNotReady
from deployments.generation import Delta, GenerationRequest
from deployments.generator_host import GeneratorHost
from deployments.hosted import HostedReplica
from deployments.memory import require_room
from deployments.settings import load_settings
from deployments.telemetry import replica_observer
from deployments.wire import Call, PieceReply, Reply
from model_store.errors import GateClosed
from model_store.lock import Precision
from model_store.settings import load_settings as load_store_settings
from model_store.signing import require_signature
from model_store.store import ModelStore
from model_store.stored_model import StoredModel

logger = logging.getLogger("ray.serve.muster")


def _gpu_share() -> float:
    """GPUs that Serve gave this replica (``num_gpus``)."""
    import ray

    return float(ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0))


def _policy(device: Device, engine: Engine) -> BatchPolicy:
    """Batches as large as one forward pass: what a GPU computes at a time, a CPU would take seconds for."""
    if device.kind == "cuda":
        budget = engine.budget if isinstance(engine, PackedEncoder) else GPU_TOKENS
        return BatchPolicy(budget=budget, padded=False)
    return BatchPolicy(budget=load_settings().token_budget)


def _open(key: str, device: Device, precision: Precision = "fp32") -> StoredModel:
    """The model's files, checked and marked as used; there is room for it."""
    if precision == "int8" and device.kind == "cuda":
        raise GateClosed(key, "no 8-bit backend on GPU; serve it there with precision: fp16 or fp32")
    if precision == "fp16" and device.kind == "cpu":
        raise GateClosed(key, "no 16-bit backend on CPU; serve it there with precision: int8 or fp32")
    wanted = load_store_settings()
    store = ModelStore(wanted.store_dir)
    stored = store.open(key, precision, TorchCuda().name() if precision == "fp16" else "")
    if wanted.signing_key is not None:
        require_signature(stored.folder, key, wanted.signing_key)
    require_room(stored, device)
    store.mark_used(key)
    return stored


def _load(key: str, device: Device, precision: Precision) -> tuple[Engine, str]:
    """The warm engine and its task."""
    stored = _open(key, device, precision)
    engine = load_encoder(stored, load_settings(), device)
    engine.warm()
    return engine, stored.task


def _load_generator(key: str, device: Device) -> Generator:
    """The warm generator. Raises ``ModelNotReady`` for a model of another task."""
    stored = _open(key, device)
    if stored.task not in TASKS:
        raise ModelNotReady(key, f"it is a model for {stored.task} and writes no text")
    generator = Generator(stored, load_settings(), device)
    generator.load()
    generator.warm()
    return generator


def _input(task: str, text: str) -> Any:
    """What the engine of a task reads: a text, for zero-shot with a label."""
    return {"text": text, "labels": ["ok"]} if task == "zero-shot" else text


class ModelReplica(HostedReplica):
    """One replica of a text model. Fails to start, with the reason, when its files are not what the lock says, or when it
    is to serve in fewer bits and its accuracy gate did not pass on such a machine."""

    async def __init__(self, key: str, precision: Precision = "fp32") -> None:  # type: ignore[misc]  # Serve awaits it
        device = await asyncio.to_thread(choose_device, key, _gpu_share())
        engine, task = await asyncio.to_thread(_load, key, device, precision)
        policy = _policy(device, engine)
        # Distinct texts, because equal ones are computed once.
        texts = [f"Text number {n} of a dozen tokens or so, for one full batch." for n in range(policy.budget // 12)]
        await self._serve(engine, policy, _input(task, "ok"), [_input(task, text) for text in texts])


class GeneratorReplica:
    """One replica of a model that writes. Fails to start as ``ModelReplica`` does."""

    async def __init__(self, key: str) -> None:  # type: ignore[misc]  # Serve awaits it
        device = await asyncio.to_thread(choose_device, key, _gpu_share())
        generator = await asyncio.to_thread(_load_generator, key, device)
        self._host = GeneratorHost(generator, observe=replica_observer(key))
        self._about = generator.describe()
        await self._host.check()
        logger.info("%s serves revision %s on %s.", key, self._about.revision, self._about.backend)

    async def generate(
        self, request: GenerationRequest, remaining_s: float, request_id: str, lane: Lane
    ) -> AsyncGenerator[Delta, None]:
        """Stream one generation; a caller who cancels ends it."""
        async with aclosing(self._host.generate(request, remaining_s, lane)) as deltas:
            async for delta in deltas:
                yield delta

    async def answer(self, call: Call) -> Reply:
        """Says what it computes with; a model that writes answers no other calls."""
        refusal = InvalidInput("This model writes text; ask it with a prompt.", "model")
        pieces = [
            PieceReply(
                [None] * len(piece.inputs), [0] * len(piece.inputs), dict.fromkeys(range(len(piece.inputs)), refusal)
            )
            for piece in call.pieces
        ]
        return Reply(pieces, self._about.revision, 0.0, self._host.backlog_s(), self._about.backend)

    async def cancel(self, request_ids: Sequence[str]) -> None:
        """Nothing to do: whoever closes a stream has told this replica."""

    async def check_health(self) -> None:
        """Serve's health check: one real token. Raises what is wrong; Serve then replaces the replica."""
        await self._host.check()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve's autoscaling metrics: predicted seconds until who waits is done."""
        return {BACKLOG_METRIC: self._host.backlog_s()}
