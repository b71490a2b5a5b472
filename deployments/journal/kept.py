"""What was computed of a journal and is kept in Redis (``journal.keys`` has the layout): a cache, bounded, gone with its
writer. Losing it costs inferences, so it is given more patience than a cache of single answers."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis

from deployments.errors import StateUnavailable
from deployments.journal.keys import Keys, buckets
from deployments.redis_link import KEPT
from deployments.state import State

MOST_FEATURES, MOST_RESULTS = 20_000, 200
"""Fields of one hash; a hash with more is emptied, and fills again."""
RESULTS_S = 24 * 3600
_AT_ONCE = 64
"""Fields of one operation: each has the whole patience, and a busy event loop reads what has come in between."""
_KEEP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if redis.call('HLEN', KEYS[2]) + (#ARGV - 4) / 2 > tonumber(ARGV[2]) then redis.call('DEL', KEYS[2]) end
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call(ARGV[3], KEYS[2], ARGV[4])
return 1
"""
"""Keeps fields unless the writer was erased since the epoch; empties a full hash; says how long it stays."""


class JournalKept:
    """Features and results. ``retention_s``: seconds that a writer's features stay after the last that came."""

    def __init__(self, state: State, retention_s: int) -> None:
        self._state, self._retention_s = state, retention_s

    async def features(
        self, tenant: str, owner: str, fields: Sequence[bytes], within_s: float | None = None
    ) -> list[bytes | None]:
        """What is kept under these fields; nothing while Redis is away."""
        return await self._read(Keys(tenant, owner).features, owner, fields, within_s)

    async def keep_features(
        self, tenant: str, owner: str, epoch: bytes, values: Mapping[bytes, bytes], within_s: float | None = None
    ) -> None:
        """Keep what models said, unless the writer was erased meanwhile; never raises."""
        bounds = (MOST_FEATURES, self._retention_s, within_s)
        await self._keep(tenant, owner, epoch, Keys(tenant, owner).features, values, *bounds)

    async def results(
        self, tenant: str, owner: str, fields: Sequence[str], within_s: float | None = None
    ) -> dict[str, Any]:
        """Kept results that are not too old, by field; none while Redis is away."""
        rows = await self._read(Keys(tenant, owner).results, owner, [field.encode() for field in fields], within_s)
        found = {field: _result(row) for field, row in zip(fields, rows, strict=True)}
        return {field: value for field, value in found.items() if value is not None}

    async def keep_results(
        self,
        tenant: str,
        owner: str,
        epoch: bytes,
        values: Mapping[str, tuple[Any, int]],
        within_s: float | None = None,
    ) -> None:
        """Keep results with the seconds that they hold, unless the writer was erased meanwhile; never raises."""
        now = time.time()
        rows = {
            field.encode(): orjson.dumps({"until": now + seconds, "value": value})
            for field, (value, seconds) in values.items()
        }
        bounds = (MOST_RESULTS, RESULTS_S, within_s)
        await self._keep(tenant, owner, epoch, Keys(tenant, owner).results, rows, *bounds)

    async def _read(
        self, key: str, owner: str, fields: Sequence[bytes], within_s: float | None = None
    ) -> list[bytes | None]:
        """The values of fields, from the newest hash that has them."""
        found: list[bytes | None] = [None] * len(fields)
        until = None if within_s is None else time.monotonic() + within_s
        for name, _ in buckets(key, owner):
            lacking = [index for index, value in enumerate(found) if value is None]
            for start in range(0, len(lacking), _AT_ONCE):
                some = lacking[start : start + _AT_ONCE]
                try:
                    values = await self._one(name, [fields[index] for index in some], until)
                except StateUnavailable:
                    continue  # the next ones may be in time; while Redis is away trying costs nothing
                for index, value in zip(some, values, strict=True):
                    found[index] = value
        return found

    async def _one(self, name: str, fields: Sequence[bytes], until: float | None) -> Sequence[bytes | None]:
        found: Sequence[bytes | None] = await self._state.run(
            lambda redis: redis.hmget(name, fields), _left(until), KEPT
        )
        return found

    async def _keep(
        self,
        tenant: str,
        owner: str,
        epoch: bytes,
        key: str,
        values: Mapping[bytes, bytes],
        most: int,
        seconds: int,
        within_s: float | None = None,
    ) -> None:
        name, ends = buckets(key, owner)[0]
        expires = ("EXPIRE", seconds) if ends is None else ("EXPIREAT", ends)
        rows, until = [*values.items()], None if within_s is None else time.monotonic() + within_s
        for start in range(0, len(rows), _AT_ONCE):
            given = [part for row in rows[start : start + _AT_ONCE] for part in row]

            async def write(redis: Redis, given: Sequence[bytes] = given) -> None:
                await redis.eval(_KEEP, 2, Keys(tenant, owner).epoch, name, epoch, most, *expires, *given)

            try:
                await self._state.run(write, _left(until), KEPT)
            except StateUnavailable:
                continue


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())


def _result(row: bytes | None) -> Any:
    """A kept result that still holds; None for any other, and for what is none."""
    try:
        found = orjson.loads(row) if row is not None else None
        return found["value"] if found and found["until"] > time.time() and isinstance(found["value"], dict) else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
