"""The skill graph's three deployments: inference -> evidence fusion -> reasoning, bound in this order.

The application's ingress is ``Reasoning``; each stage hands a whole call to the stage below and adds its part to what
comes back. Plain classes; ``serve_app.app`` binds them, and the handle of the stage below is all they know of Serve.
What the stages compute is in ``boosting``, ``fusion`` and ``reasoning``; ``stages`` has the two upper ones.
"""

import asyncio
import secrets

from deployments.batching import BatchPolicy
from deployments.cpu_gate import CpuGate
from deployments.engines.boosting import BoostingEngine
from deployments.hosted import HostedReplica
from deployments.settings import load_settings
from deployments.skills.alias_store import AliasStore
from deployments.skills.features import FEATURES, FeatureSet
from deployments.skills.following import Follower, load_newest
from deployments.skills.stages import Fusion, Reasoning
from model_store.settings import load_settings as load_store_settings

__all__ = ["Fusion", "Inference", "Reasoning"]

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
