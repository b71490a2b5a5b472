"""Keeps an engine at the aliases: polls them, loads and proves a new champion beside the old one, then switches.

A bundle that cannot be loaded here changes nothing: the one before serves on, the reason is told with every report, and
the load is tried again. A challenger shadows in a thread of its own while the replica is idle.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from deployments.engines.boosting import BoostingEngine, unwatched
from deployments.skills.alias_store import AliasStore
from deployments.skills.loaded import LoadedBundle
from deployments.skills.shadow import Shadow
from model_store.errors import MusterError
from model_store.skill_records import AliasRecord, AliasTarget

POLL_S, RETRY_S = 1.0, 10.0
logger = logging.getLogger("ray.serve.muster")


async def load_newest(engine: BoostingEngine, aliases: AliasStore) -> None:
    """Load the champion, at start: the newest alias whose bundle loads here. Raises why the newest one does not."""
    reason: MusterError | None = None
    for alias in await aliases.candidates():
        try:
            await asyncio.to_thread(engine.load, alias.champion)
            return
        except MusterError as error:
            logger.error("The champion %s was not taken: %s", alias.version, error)
            reason = reason or error
    assert reason is not None
    raise reason


class Follower:
    """One replica's. ``idle``: whether nobody waits for an answer; ``switched``: told when another version serves."""

    def __init__(
        self,
        engine: BoostingEngine,
        aliases: AliasStore,
        replica: str,
        *,
        idle: Callable[[], bool] = lambda: True,
        switched: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._aliases, self._replica = engine, aliases, replica
        self._idle, self._switched, self._clock = idle, switched, clock
        self._thread = ThreadPoolExecutor(1, "follow-skills")
        self._alias: AliasRecord | None = None
        self._troubles: dict[str, str] = {}
        self._refused: dict[str, float] = {}
        self._shadow: Shadow | None = None
        self.switches = self.failures = 0

    async def run(self) -> None:
        """Poll for as long as the replica lives."""
        while True:
            try:
                await self.step()
            except Exception:  # whatever it is, the replica serves on
                logger.exception("Looking at the aliases of the skill models failed.")
            await self._shadow_until(self._clock() + POLL_S)

    async def step(self) -> None:
        """Look once, change what is to be changed, and tell."""
        try:
            alias = (await self._aliases.candidates())[0]
            self._troubles.pop("aliases", None)
        except MusterError as error:
            self._troubles["aliases"] = str(error)
        else:
            await self._follow(alias)
        await self._aliases.report(self._replica, self.state())

    def state(self) -> dict[str, Any]:
        """What this replica serves, what it is to serve, and why it does not, as JSON."""
        return {
            "serving": self._engine.serving.version,
            "champion": self._alias.version if self._alias else self._engine.serving.version,
            "generation": self._alias.generation if self._alias else 0,
            "switches": self.switches,
            "failures": self.failures,
            "troubles": dict(self._troubles),
            "shadow": self._shadow.summary() if self._shadow else None,
        }

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _follow(self, alias: AliasRecord) -> None:
        self._alias = alias
        if alias.bundle_sha256 == self._engine.serving.sha256:
            self._troubles.pop("champion", None)
        elif loaded := await self._open("champion", alias.champion):
            self._engine.serve(loaded)
            self.switches += 1
            self._switched()
            logger.info("The skill models are now %s.", loaded.version)
        if alias.bundle_sha256 == self._engine.serving.sha256:
            await self._aliases.catch_up(alias)
        await self._challenge(alias.challenger)

    async def _challenge(self, target: AliasTarget | None) -> None:
        """Begin, change or end the shadowing."""
        champion = self._engine.serving
        if target is None or target.bundle_sha256 == champion.sha256:
            self._watch(None)
            self._troubles.pop("challenger", None)
        elif self._shadow is None or self._shadow.challenger.sha256 != target.bundle_sha256:
            self._watch(None)
            if loaded := await self._open("challenger", target):
                self._watch(Shadow(champion, loaded))
        elif self._shadow.champion is not champion:
            self._watch(Shadow(champion, self._shadow.challenger))

    def _watch(self, shadow: Shadow | None) -> None:
        self._shadow = shadow
        self._engine.watch = shadow.offer if shadow else unwatched

    async def _open(self, alias: str, target: AliasTarget) -> LoadedBundle | None:
        """The bundle, proved and warm, or None with the reason kept; one that was refused is tried again later."""
        if self._clock() < self._refused.get(target.bundle_sha256, 0.0):
            return None
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(self._thread, self._engine.open, target)
            await loop.run_in_executor(self._thread, loaded.warm)
        except MusterError as error:
            self.failures += 1
            self._troubles[alias] = str(error)
            now = self._clock()
            kept = {sha256: until for sha256, until in self._refused.items() if until > now}
            self._refused = kept | {target.bundle_sha256: now + RETRY_S}
            logger.error("The %s %s was not taken, %s serves on: %s", alias, target.version, self._serving(), error)
            return None
        self._troubles.pop(alias, None)
        return loaded

    def _serving(self) -> str:
        return self._engine.serving.version

    async def _shadow_until(self, end: float) -> None:
        """Compare what waits whenever nobody waits for an answer; then sleep."""
        loop = asyncio.get_running_loop()
        while (left := end - self._clock()) > 0:
            if self._shadow and self._shadow.waiting and self._idle():
                with suppress(RuntimeError):  # the replica is closing
                    await loop.run_in_executor(self._thread, self._shadow.compare)
                    continue
            await asyncio.sleep(min(left, 0.05 if self._shadow else left))
