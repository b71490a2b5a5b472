"""What is kept between requests: students' features, inference records, salts, and counters shared by the gateways.

Redis is the only store. Every key starts with its tenant; values are JSON, but for kept answers. Layout (``T`` the tenant)::

    muster:T:features:<student>   {"linguistic": {...}, "behavioral": {...}, "updated_at": "...", "sources": {...}}
    muster:T:events:<student>     hash of game events by id (``observations``)
    muster:T:event-times:<student>  the ids, sorted by time
    muster:T:served               list of model inputs and outputs, no ids, the last 10,000 (``served``)
    muster:T:served-count         how many there ever were
    muster:T:inferences           sorted set of inference records by time, the last 10,000
    muster:T:erased:<student>     when the student was erased; keeps records that waited out a fault from coming back
    muster:T:salt                 32 random bytes, hex, for HMACs of texts
    muster:T:chat:<user>:<id>     the last turns of a conversation (``chat/history.py``); muster:T:chats:<user> its index
    muster:T:chat-epoch...        changes at an erasure, so that a reply in progress is not kept after it
    muster:T:report:<id>          a clinical report (``clinical/reports.py``); muster:T:report-erased:<id> that it was erased
    muster:T:cache:<slot>         a kept answer: its key (32 bytes), then arrays and numbers (``cache.Kept.packed``)
    muster:T:journal:...          journals (``journal.keys`` has their layout)
    muster:_shared:doc:<name>     one JSON document of the whole deployment (fusion weights)
    muster:_shared:<name>         hash of one JSON value for each gateway process (``_`` begins no tenant's name)

Features are records: no Redis means ``StateUnavailable``, never a false "not found". Inference records are counters:
while Redis is away the last 1,000 wait in memory, are shown from there, and are stored when it is back.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from redis.asyncio import Redis
from redis.exceptions import WatchError

from deployments.call import CallContext
from deployments.errors import StateUnavailable
from deployments.redis_link import CACHE, CONNECTIONS, RECORDS, Policy, RedisLink

KEPT_RECORDS = 10_000
KEPT_IN_MEMORY = 1_000
EVENT_KEYS = ("events", "event-times")
_TOMBSTONE_S = 24 * 3600
Source = Literal["redis", "memory"]


class State:
    """The stored state. With no URL everything that needs a record raises ``StateUnavailable``."""

    def __init__(
        self,
        url: str | None,
        on_error: Callable[[str], None] = lambda kind: None,
        connections: int = CONNECTIONS,
    ) -> None:
        self._link = RedisLink(url, on_error, connections) if url else None
        self._waiting: dict[str, deque[dict[str, Any]]] = {}
        self._salts: dict[str, bytes] = {}

    @property
    def configured(self) -> bool:
        """Whether there is a Redis at all."""
        return self._link is not None

    @property
    def link(self) -> RedisLink | None:
        """The connection, for what has scripts of its own."""
        return self._link

    async def ping(self) -> None:
        """Raise ``StateUnavailable`` unless Redis answers."""
        await self._run(RECORDS, lambda redis: redis.ping())

    async def put_features(self, context: CallContext, student: str, features: Mapping[str, Any]) -> dict[str, Any]:
        """Replace what is held on a student; the stored value with its time is returned."""
        value = {**features, "updated_at": datetime.now(UTC).isoformat()}
        key, data = _key(context.tenant, "features", student), orjson.dumps(value)
        await self._run(RECORDS, lambda redis: redis.set(key, data), context.remaining())
        return value

    async def get_features(self, context: CallContext, students: Sequence[str]) -> list[dict[str, Any] | None]:
        """What is held on each student; None for those of whom nothing is held."""
        keys = [_key(context.tenant, "features", student) for student in students]
        values = await self._run(RECORDS, lambda redis: redis.mget(keys), context.remaining())
        return [None if value is None else _loads(value) for value in values]

    async def erase_student(self, context: CallContext, student: str) -> tuple[bool, int]:
        """Erase everything held on a student: whether there were features, and how many inference records."""

        async def erase(redis: Redis) -> tuple[bool, int]:
            records = _key(context.tenant, "inferences")
            found = [member async for member, _ in redis.zscan_iter(records, f'*"student_id":"{student}"*', 2000)]
            async with redis.pipeline(transaction=True) as pipe:
                pipe.set(_key(context.tenant, "erased", student), repr(time.time()), ex=_TOMBSTONE_S)
                pipe.delete(_key(context.tenant, "features", student))
                pipe.delete(*(_key(context.tenant, name, student) for name in EVENT_KEYS))
                if found:
                    pipe.zrem(records, *found)
                results = await pipe.execute()
            # Events leave features behind them, so that what had only events had nothing.
            return bool(results[1] or results[2]), int(results[3]) if found else 0

        erased: tuple[bool, int] = await self._run(RECORDS, erase, context.remaining())
        waiting = self._waiting.get(context.tenant, ())
        left = deque((record for record in waiting if record["student_id"] != student), KEPT_IN_MEMORY)
        self._waiting[context.tenant] = left
        return erased[0], erased[1] + len(waiting) - len(left)

    async def record(self, tenant: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep inference records; never raises."""
        now = time.time()
        late = self._waiting.pop(tenant, deque())
        fresh = [{**record, "at": now, "nonce": secrets.token_hex(4)} for record in records]
        stored = False
        try:
            batch = [*await self._without_erased(tenant, late), *fresh]
            await self._run(CACHE, lambda redis: _append(redis, tenant, batch))
            stored = True
        except StateUnavailable:
            pass
        finally:
            if not stored:
                newer = self._waiting.get(tenant, ())
                self._waiting[tenant] = deque((*late, *newer, *fresh), KEPT_IN_MEMORY)

    async def _without_erased(self, tenant: str, batch: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Records that waited in memory, less those of students who were erased meanwhile."""
        batch = list(batch)
        students = sorted({record["student_id"] for record in batch if record["student_id"]})
        if not students:
            return batch
        keys = [_key(tenant, "erased", student) for student in students]
        times = await self._run(CACHE, lambda redis: redis.mget(keys))
        erased = {student: float(at) for student, at in zip(students, times, strict=True) if at is not None}
        return [record for record in batch if record["at"] > erased.get(record["student_id"], 0.0)]

    async def records(self, context: CallContext, limit: int) -> tuple[list[dict[str, Any]], Source]:
        """The newest inference records, and whether they come from memory alone because Redis is away."""
        key = _key(context.tenant, "inferences")
        if self._waiting.get(context.tenant):
            await self.record(context.tenant, ())
        waiting = [dict(record) for record in reversed(self._waiting.get(context.tenant, ()))]
        try:
            found = await self._run(RECORDS, lambda redis: redis.zrevrange(key, 0, limit - 1), context.remaining())
        except StateUnavailable:
            return waiting[:limit], "memory"
        # An append that was late may have been done all the same: then its records are in both.
        both = {record.get("nonce"): record for record in (*waiting, *(_loads(value) for value in found))}
        return sorted(both.values(), key=lambda record: float(record.get("at", 0.0)), reverse=True)[:limit], "redis"

    async def salt(self, tenant: str, policy: Policy = CACHE) -> bytes:
        """The tenant's salt for HMACs of texts. Raises ``StateUnavailable``: a cache then misses."""
        if tenant not in self._salts:
            key, fresh = _key(tenant, "salt"), secrets.token_hex(32)
            await self._run(policy, lambda redis: redis.set(key, fresh, nx=True))
            self._salts[tenant] = bytes.fromhex((await self._run(policy, lambda redis: redis.get(key))).decode())
        return self._salts[tenant]

    async def cached(self, tenant: str, slots: Sequence[int]) -> Sequence[bytes | None]:
        """What lies in these slots of the tenant's result cache. Raises ``StateUnavailable``."""
        keys = [_key(tenant, "cache", str(slot)) for slot in slots]
        found: Sequence[bytes | None] = await self._run(CACHE, lambda redis: redis.mget(keys))
        return found

    async def keep(self, tenant: str, values: Mapping[int, bytes], ttl_s: int) -> None:
        """Put values into slots of the tenant's result cache. Raises ``StateUnavailable``."""

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                for slot, value in values.items():
                    pipe.set(_key(tenant, "cache", str(slot)), value, ex=ttl_s)
                await pipe.execute()

        await self._run(CACHE, write)

    async def share(self, name: str, process: str, value: bytes) -> dict[str, bytes]:
        """Publish this process's value and read everybody's, in one round trip."""

        async def exchange(redis: Redis) -> dict[bytes, bytes]:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.hset(_key("_shared", name), process, value)
                pipe.hgetall(_key("_shared", name))
                found: dict[bytes, bytes] = (await pipe.execute())[1]
            return found

        return {field.decode(): held for field, held in (await self._run(RECORDS, exchange)).items()}

    async def fold(self, name: str, into: str, stale: Sequence[str], merge: Callable[[list[bytes]], bytes]) -> None:
        """Replace shared values by one merged value, atomically; another process doing the same first is fine."""

        async def replace(redis: Redis) -> None:
            key = _key("_shared", name)
            async with redis.pipeline(transaction=True) as pipe:
                await pipe.watch(key)
                held = await pipe.hmget(key, [into, *stale])
                pipe.multi()
                pipe.hset(key, into, merge([value for value in held if value is not None]))
                pipe.hdel(key, *stale)
                try:
                    await pipe.execute()
                except WatchError:
                    return

        await self._run(RECORDS, replace)

    async def document(self, name: str) -> bytes | None:
        """A document of the whole deployment; None when there is none. Raises ``StateUnavailable``."""
        key = _key("_shared", "doc", name)
        value: bytes | None = await self._run(RECORDS, lambda redis: redis.get(key))
        return value

    async def replace_document(self, name: str, seen: bytes | None, value: bytes) -> bool:
        """Replace a document unless it is no longer the one that was ``seen``; whether it was replaced."""
        key = _key("_shared", "doc", name)

        async def swap(redis: Redis) -> bool:
            async with redis.pipeline(transaction=True) as pipe:
                await pipe.watch(key)
                if await pipe.get(key) != seen:
                    return False
                pipe.multi()
                pipe.set(key, value)
                try:
                    await pipe.execute()
                except WatchError:
                    return False
            return True

        swapped: bool = await self._run(RECORDS, swap)
        return swapped

    async def run(
        self, operation: Callable[[Redis], Any], within_s: float | None = None, policy: Policy = RECORDS
    ) -> Any:
        """Run an operation of another module that keeps things here. Raises ``StateUnavailable``."""
        return await self._run(policy, operation, within_s)

    @staticmethod
    def key(tenant: str, *parts: str) -> str:
        """The key of such a module's things."""
        return _key(tenant, *parts)

    async def close(self) -> None:
        """Close the connections."""
        if self._link:
            await self._link.close()

    async def _run(self, policy: Policy, operation: Callable[[Redis], Any], within_s: float | None = None) -> Any:
        if self._link is None:
            raise StateUnavailable("This needs stored data, and no Redis is configured (MUSTER_REDIS_URL).", 60.0)
        return await self._link.run(policy, operation, within_s)


def _key(tenant: str, *parts: str) -> str:
    return ":".join(("muster", tenant, *parts))


def _loads(value: bytes) -> dict[str, Any]:
    """A stored value; one that is not ours must not be served as if it were."""
    try:
        loaded = orjson.loads(value)
    except orjson.JSONDecodeError:
        loaded = None
    if not isinstance(loaded, dict):
        raise StateUnavailable("A stored record is damaged.", 60.0)
    return loaded


async def _append(redis: Redis, tenant: str, batch: Sequence[Mapping[str, Any]]) -> None:
    """Add records to the tenant's sorted set and cut it to its length."""
    key = _key(tenant, "inferences")
    async with redis.pipeline(transaction=True) as pipe:
        pipe.zadd(key, {orjson.dumps(record): record["at"] for record in batch})
        pipe.zremrangebyrank(key, 0, -KEPT_RECORDS - 1)
        await pipe.execute()
