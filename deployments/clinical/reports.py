"""Reports in Redis for a while: written behind the answer, read by an id that nobody can guess, within their tenant.

A write that Redis did not answer may still be done later, here or by Redis itself. So erasing leaves a mark for a while, and
nothing is written where there is one.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import WatchError

from deployments.call import CallContext
from deployments.errors import StateUnavailable
from deployments.state import State

ID = re.compile(r"ANALYSIS-\d{4}-[0-9A-F]{24}")
TRIES, PAUSE_S = 5, 1.0
LAST_PAUSE_S = 0.3
"""Between tries while the process ends."""
MARK_S = 600
"""Longer than all tries of one report."""
_log = logging.getLogger("ray.serve.muster")


def new_id(now: datetime) -> str:
    """``ANALYSIS-<year>-`` and 96 random bits."""
    return f"ANALYSIS-{now:%Y}-{secrets.token_hex(12).upper()}"


@dataclass(slots=True)
class Saving:
    """A report on its way into Redis. ``tried``: set when the first try has ended, well or not; ``task`` ends with the
    last one."""

    value: bytes
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    failed: bool = False
    task: asyncio.Task[None] | None = None

    async def first_try(self, seconds: float) -> bool:
        """Whether the first try has failed by then."""
        try:
            async with asyncio.timeout(seconds):
                await self.tried.wait()
        except TimeoutError:
            return False
        return self.failed


class Reports:
    """``ttl_s``: a report's life. Owns the tasks that store reports until ``close``."""

    def __init__(self, state: State, ttl_s: int) -> None:
        self._state, self._ttl_s = state, ttl_s
        self._saving: dict[tuple[str, str], Saving] = {}
        self._closing = asyncio.Event()

    def save(self, tenant: str, report_id: str, report: Mapping[str, Any]) -> Saving:
        """Begin to store a report; nobody has to wait. Until it is stored this process gives it from memory."""
        key = (tenant, report_id)
        saving = self._saving[key] = Saving(orjson.dumps(report))
        saving.task = asyncio.create_task(self._store(tenant, report_id, saving))
        saving.task.add_done_callback(lambda done: self._saving.pop(key, None))
        return saving

    async def find(self, context: CallContext, report_id: str) -> dict[str, Any] | None:
        """A report of the tenant's; None when there is none (any more). Raises ``StateUnavailable``."""
        if not ID.fullmatch(report_id):
            return None
        key, mark = _keys(context.tenant, report_id)
        if held := self._saving.get((context.tenant, report_id)):
            return None if await self._marked(context, mark) else dict(orjson.loads(held.value))
        value = await self._state.run(lambda redis: redis.get(key), context.remaining())
        if value is None:
            return None
        try:
            return dict(orjson.loads(value))
        except (orjson.JSONDecodeError, TypeError, ValueError):
            raise StateUnavailable("A stored record is damaged.", 60.0) from None

    async def _marked(self, context: CallContext, mark: str) -> bool:
        """Whether a report that is still being stored was erased at another gateway, as far as Redis can be asked."""
        try:
            return bool(await self._state.run(lambda redis: redis.exists(mark), context.remaining()))
        except StateUnavailable:
            return False

    async def erase(self, context: CallContext, report_id: str) -> bool:
        """Whether there was one. It does not come back, also where some gateway is still storing it. Raises
        ``StateUnavailable``: then nothing is erased."""
        if not ID.fullmatch(report_id):
            return False
        key, mark = _keys(context.tenant, report_id)

        async def remove(redis: Redis) -> int:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.set(mark, b"", ex=MARK_S)
                pipe.delete(key)
                erased: int = (await pipe.execute())[1]
            return erased

        erased = bool(await self._state.run(remove, context.remaining()))
        held = self._saving.pop((context.tenant, report_id), None)
        if held and held.task:
            held.task.cancel()
        return erased or held is not None

    async def close(self, timeout_s: float) -> None:
        """Wait for reports that are being stored, at most so long; the others are lost, and the log says how many."""
        self._closing.set()
        tasks = {saving.task for saving in self._saving.values() if saving.task}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
            _log.error("%d report(s) could not be stored before the process ended.", len(late))

    async def _store(self, tenant: str, report_id: str, saving: Saving) -> None:
        key, mark = _keys(tenant, report_id)

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                await pipe.watch(mark)
                if await pipe.exists(mark):
                    return
                pipe.multi()
                pipe.set(key, saving.value, ex=self._ttl_s)
                try:
                    await pipe.execute()
                except WatchError:
                    return

        attempt = 0
        # While the process ends tries go on until ``close`` has no more time.
        while attempt < TRIES or self._closing.is_set():
            if attempt:
                await self._pause(PAUSE_S * 2 ** (attempt - 1))
            attempt += 1
            try:
                await self._state.run(write)
                return
            except StateUnavailable:
                saving.failed = True
            finally:
                saving.tried.set()
        _log.error("A report could not be stored: Redis did not answer.")

    async def _pause(self, seconds: float) -> None:
        """Wait, but not long once the process ends."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
                await asyncio.sleep(LAST_PAUSE_S)
        except TimeoutError:
            return


def _keys(tenant: str, report_id: str) -> tuple[str, str]:
    """The report's key and that of the mark that it was erased."""
    return State.key(tenant, "report", report_id), State.key(tenant, "report-erased", report_id)
