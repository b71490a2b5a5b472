"""Reports in Redis for a while: written behind the answer, read by an id that nobody can guess, within their tenant."""

import asyncio
import logging
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson

from deployments.call import CallContext
from deployments.errors import StateUnavailable
from deployments.state import State

ID = re.compile(r"ANALYSIS-\d{4}-[0-9A-F]{24}")
TRIES, PAUSE_S = 5, 1.0
_log = logging.getLogger("ray.serve.muster")


def new_id(now: datetime) -> str:
    """``ANALYSIS-<year>-`` and 96 random bits."""
    return f"ANALYSIS-{now:%Y}-{secrets.token_hex(12).upper()}"


class Reports:
    """``ttl_s``: a report's life."""

    def __init__(self, state: State, ttl_s: int) -> None:
        self._state, self._ttl_s = state, ttl_s
        self._saving: dict[tuple[str, str], tuple[asyncio.Task[None], Mapping[str, Any]]] = {}

    def save(self, tenant: str, report_id: str, report: Mapping[str, Any]) -> asyncio.Task[None]:
        """Begin to store a report; nobody has to wait. Until it is stored this process gives it from memory."""
        key = (tenant, report_id)
        task = asyncio.create_task(self._store(tenant, report_id, orjson.dumps(report)))
        self._saving[key] = (task, report)
        task.add_done_callback(lambda done: self._saving.pop(key, None))
        return task

    async def find(self, context: CallContext, report_id: str) -> dict[str, Any] | None:
        """A report of the tenant's; None when there is none (any more). Raises ``StateUnavailable``."""
        if not ID.fullmatch(report_id):
            return None
        if (context.tenant, report_id) in self._saving:
            return dict(orjson.loads(orjson.dumps(self._saving[context.tenant, report_id][1])))
        key = State.key(context.tenant, "report", report_id)
        value = await self._state.run(lambda redis: redis.get(key), context.remaining())
        if value is None:
            return None
        try:
            return dict(orjson.loads(value))
        except (orjson.JSONDecodeError, TypeError, ValueError):
            raise StateUnavailable("A stored record is damaged.", 60.0) from None

    async def erase(self, context: CallContext, report_id: str) -> bool:
        """Whether there was one."""
        if not ID.fullmatch(report_id):
            return False
        if held := self._saving.get((context.tenant, report_id)):
            with suppress(StateUnavailable):
                await asyncio.shield(held[0])
        key = State.key(context.tenant, "report", report_id)
        erased: int = await self._state.run(lambda redis: redis.delete(key), context.remaining())
        return bool(erased)

    async def _store(self, tenant: str, report_id: str, value: bytes) -> None:
        key = State.key(tenant, "report", report_id)
        for attempt in range(TRIES):
            try:
                await self._state.run(lambda redis: redis.set(key, value, ex=self._ttl_s))
                return
            except StateUnavailable:
                if attempt + 1 < TRIES:
                    await asyncio.sleep(PAUSE_S * 2**attempt)
        _log.error("A report could not be stored: Redis did not answer.")
