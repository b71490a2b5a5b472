"""What is kept on a journal's writer in Redis. ``T`` the tenant, ``U`` the writer (``~inline``: of nobody)::

    muster:T:journal:U:entries    hash: entry id -> {"id", "text", "created_at", "mood"}
    muster:T:journal:U:order      sorted set of entry ids by when they were written
    muster:T:journal:U:stored     the same by when they came here: retention counts from then
    muster:T:journal:U:features   hash: HMAC of text, model and revision -> what the model said, as arrays of numbers
    muster:T:journal:U:results    hash: part and HMAC of all that it was computed from -> {"until", "value"}
    muster:T:journal:U:epoch      changes when the writer is erased, so that nothing computed before is kept after

Entries are records: no Redis means ``StateUnavailable``. Features and results are a cache, bounded, gone with the writer.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import WatchError

from deployments.call import CallContext
from deployments.errors import InvalidInput, StateUnavailable
from deployments.journal.entries import Entry
from deployments.redis_link import CACHE
from deployments.state import State

INLINE = "~inline"
"""No writer's id: it may not begin so."""
INLINE_S = 24 * 3600
MOST_FEATURES, MOST_RESULTS = 20_000, 200
"""Fields of one hash; a hash with more is emptied, and fills again."""
_PURGED_AT_ONCE = 1000
_EPOCH_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Held:
    """Entries, newest first, how many there are in all, and the writer's epoch."""

    entries: Sequence[Entry]
    total: int
    epoch: bytes


class JournalStore:
    """``retention_s``: seconds that an entry is held; ``most``: entries of one writer."""

    def __init__(self, state: State, retention_s: int, most: int) -> None:
        self._state, self._retention_s, self._most = state, retention_s, most

    # -- entries ---------------------------------------------------------------------------------------------------

    async def put(self, context: CallContext, user: str, entries: Sequence[Entry]) -> dict[str, int]:
        """Store entries; one of a known id replaces it when it differs. Raises ``InvalidInput`` for a full journal."""
        keys, values = _Keys(context.tenant, user), {entry.id: orjson.dumps(entry.to_json()) for entry in entries}

        async def write(redis: Redis) -> dict[str, int]:
            await self._purge(redis, keys)
            held = await redis.hmget(keys.entries, [*values])
            there = dict(zip(values, held, strict=True))
            new = [entry.id for entry in entries if there[entry.id] is None]
            changed = [name for name, value in there.items() if value is not None and value != values[name]]
            total = int(await redis.hlen(keys.entries)) + len(new)
            if total > self._most:
                raise InvalidInput(
                    f"A journal holds at most {self._most} entries; with these it would have {total}. Erase it, or keep "
                    "older entries elsewhere.",
                    "entries",
                )
            if new or changed:
                await self._write(redis, keys, [entry for entry in entries if entry.id in {*new, *changed}], values)
            return {"stored": len(new), "replaced": len(changed), "unchanged": len(values) - len(new) - len(changed),
                    "total": total}  # fmt: skip

        done: dict[str, int] = await self._state.run(write, context.remaining())
        return done

    async def _write(self, redis: Redis, keys: "_Keys", entries: Sequence[Entry], values: Mapping[str, bytes]) -> None:
        now = time.time()
        async with redis.pipeline(transaction=True) as pipe:
            pipe.hset(keys.entries, mapping={entry.id: values[entry.id] for entry in entries})
            pipe.zadd(keys.order, {entry.id: entry.created_at.timestamp() for entry in entries})
            pipe.zadd(keys.stored, {entry.id: now for entry in entries})
            for key in (keys.entries, keys.order, keys.stored):
                pipe.expire(key, self._retention_s)
            await pipe.execute()

    async def _purge(self, redis: Redis, keys: "_Keys") -> None:
        """Drop what has been here for longer than entries are kept."""
        limit = time.time() - self._retention_s
        while old := await redis.zrangebyscore(keys.stored, "-inf", limit, start=0, num=_PURGED_AT_ONCE):
            async with redis.pipeline(transaction=True) as pipe:
                pipe.hdel(keys.entries, *old)
                pipe.zrem(keys.order, *old)
                pipe.zrem(keys.stored, *old)
                await pipe.execute()

    async def newest(self, context: CallContext, user: str, most: int, skip: int = 0) -> Held:
        """Entries from newest to oldest, by when they were written. Raises ``StateUnavailable``."""
        keys = _Keys(context.tenant, user)

        async def read(redis: Redis) -> tuple[int, list[bytes | None], bytes | None]:
            await self._purge(redis, keys)
            ids = await redis.zrevrange(keys.order, skip, skip + most - 1)
            async with redis.pipeline(transaction=True) as pipe:
                pipe.zcard(keys.order)
                pipe.get(keys.epoch)
                if ids:
                    pipe.hmget(keys.entries, ids)
                total, epoch, *rows = await pipe.execute()
            return total, rows[0] if rows else [], epoch

        total, rows, epoch = await self._state.run(read, context.remaining())
        return Held([_entry(row) for row in rows if row is not None], total, epoch or b"")

    async def erase(self, context: CallContext, user: str) -> dict[str, int]:
        """Erase everything held on a writer: how many entries, features and results there were."""
        keys = _Keys(context.tenant, user)

        async def drop(redis: Redis) -> list[int]:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.hlen(keys.entries)
                pipe.hlen(keys.features)
                pipe.hlen(keys.results)
                pipe.set(keys.epoch, secrets.token_hex(8), ex=_EPOCH_S)
                pipe.delete(keys.entries, keys.order, keys.stored, keys.features, keys.results)
                found: list[int] = await pipe.execute()
            return found[:3]

        counts = await self._state.run(drop, context.remaining())
        return dict(zip(("entries", "features", "results"), map(int, counts), strict=True))

    # -- what was computed -----------------------------------------------------------------------------------------

    async def features(self, tenant: str, owner: str, fields: Sequence[bytes]) -> Sequence[bytes | None]:
        """What is kept under these fields; nothing while Redis is away."""
        key = _Keys(tenant, owner).features
        try:
            found: Sequence[bytes | None] = await self._state.run(lambda redis: redis.hmget(key, fields), policy=CACHE)
        except StateUnavailable:
            return [None] * len(fields)
        return found

    async def keep_features(self, tenant: str, owner: str, epoch: bytes, values: Mapping[bytes, bytes]) -> None:
        """Keep what models said, unless the writer was erased meanwhile; never raises."""
        key = _Keys(tenant, owner).features
        await self._keep(tenant, owner, epoch, key, values, MOST_FEATURES)

    async def results(self, tenant: str, owner: str, fields: Sequence[str]) -> dict[str, Any]:
        """Kept results that are not too old, by field; none while Redis is away."""
        key = _Keys(tenant, owner).results
        try:
            rows = await self._state.run(lambda redis: redis.hmget(key, fields), policy=CACHE)
        except StateUnavailable:
            return {}
        found = {field: orjson.loads(row) for field, row in zip(fields, rows, strict=True) if row is not None}
        return {field: row["value"] for field, row in found.items() if row["until"] > time.time()}

    async def keep_results(self, tenant: str, owner: str, epoch: bytes, values: Mapping[str, tuple[Any, int]]) -> None:
        """Keep results with the seconds that they hold, unless the writer was erased meanwhile; never raises."""
        now = time.time()
        rows = {
            field.encode(): orjson.dumps({"until": now + seconds, "value": value})
            for field, (value, seconds) in values.items()
        }
        await self._keep(tenant, owner, epoch, _Keys(tenant, owner).results, rows, MOST_RESULTS)

    async def _keep(
        self, tenant: str, owner: str, epoch: bytes, key: str, values: Mapping[bytes, bytes], most: int
    ) -> None:
        guard = _Keys(tenant, owner).epoch

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                await pipe.watch(guard)
                if (await pipe.get(guard) or b"") != epoch:
                    return
                full = int(await pipe.hlen(key)) + len(values) > most
                pipe.multi()
                if full:
                    pipe.delete(key)
                pipe.hset(key, mapping=dict(values))
                pipe.expire(key, INLINE_S if owner == INLINE else self._retention_s)
                try:
                    await pipe.execute()
                except WatchError:
                    return

        if values:
            try:
                await self._state.run(write, policy=CACHE)
            except StateUnavailable:
                return


class _Keys:
    """The keys of one writer."""

    def __init__(self, tenant: str, user: str) -> None:
        parts = ("entries", "order", "stored", "features", "results", "epoch")
        names = [f"muster:{tenant}:journal:{user}:{part}" for part in parts]
        self.entries, self.order, self.stored, self.features, self.results, self.epoch = names


def _entry(row: bytes) -> Entry:
    """A stored entry. Raises ``StateUnavailable`` when it is none: the client did nothing wrong."""
    try:
        return Entry.from_json(orjson.loads(row))
    except (orjson.JSONDecodeError, KeyError, ValueError, TypeError):
        raise StateUnavailable("A stored record is damaged.", 60.0) from None
