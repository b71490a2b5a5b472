"""What every replica that hosts an engine offers to dispatchers and to Serve. Plain class, no Ray."""

import logging
from collections.abc import Sequence
from typing import Any

from deployments.autoscaling import BACKLOG_METRIC
from deployments.batching import BatchPolicy
from deployments.engines.base import Engine
from deployments.host import EngineHost
from deployments.telemetry import replica_observer
from deployments.wire import Call, Reply

logger = logging.getLogger("ray.serve.muster")


class HostedReplica:
    """Base of the deployments with an engine; ``__init__`` of a subclass loads one and awaits ``_serve``."""

    _host: EngineHost

    async def _serve(self, engine: Engine, policy: BatchPolicy, probe: Any, full_batch: Sequence[Any]) -> None:
        """Host a loaded, warm engine. ``probe``: an input that health checks predict; ``full_batch`` sets the rate."""
        about = engine.describe()
        self._host = EngineHost(engine, policy, probe, replica_observer(about.model))
        await self._host.calibrate(full_batch)
        logger.info("%s serves revision %s on %s.", about.model, about.revision, about.backend)

    async def answer(self, call: Call) -> Reply:
        """The outcomes of every piece of a call."""
        return await self._host.answer(call)

    async def cancel(self, request_ids: Sequence[str]) -> None:
        """Drop what nobody waits for any more."""
        self._host.cancel(request_ids)

    async def check_health(self) -> None:
        """Serve's health check: a real prediction. Raises what is wrong; Serve then replaces the replica."""
        await self._host.check()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve's autoscaling metrics: predicted seconds of waiting work."""
        return {BACKLOG_METRIC: self._host.backlog_s()}
