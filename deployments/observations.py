"""What was observed of students: their game events, and the features made of events and transcripts.

A batch of events is stored by one transaction, all of it or nothing; an event id that is there already changes nothing,
whoever brings it, and whenever. Features are merged one group at a time and only onto the value that was read, so that
neither group, nor a newer event, is lost to a slower writer. A batch that is sent again after a fault makes up for what
the fault prevented.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

import orjson
from redis.asyncio import Redis
from redis.exceptions import WatchError

from deployments.call import CallContext
from deployments.errors import InvalidInput, StateUnavailable
from deployments.skills.behavior import DAY_S, MAX_EVENTS, aggregate
from deployments.skills.events import Event, unique, unpacked
from deployments.skills.features import FeatureSet, Group
from deployments.state import EVENT_KEYS, State

AGGREGATOR_VERSION = "1"
"""Raised with every change of how a behavioural feature is computed."""
_ATTEMPTS, _PAUSE_S = 12, 0.004
_AT_ONCE = 8
_ADD = """
local fresh = {}
for i = 4, #ARGV, 3 do
  local is_new = redis.call('ZADD', KEYS[2], 'NX', ARGV[i + 1], ARGV[i])
  if is_new == 1 then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
  fresh[#fresh + 1] = is_new
end
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1])
local over = redis.call('ZCARD', KEYS[2]) - #gone - tonumber(ARGV[2])
if over > 0 then gone = redis.call('ZRANGE', KEYS[2], 0, #gone + over - 1) end
for i = 1, #gone, 1000 do
  local some = {unpack(gone, i, math.min(i + 999, #gone))}
  redis.call('ZREM', KEYS[2], unpack(some))
  redis.call('HDEL', KEYS[1], unpack(some))
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return fresh
"""
"""Stores what is new of one student's events, drops what is too old or too much; 1 for each that was new, else 0."""
_READ = "return table.concat(redis.call('HVALS', KEYS[1]), ',')"
"""All of a student's events in one reply: thousands of replies take longer to read than to compute with."""
Held = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a student's events, by their ids: kept, there before, or older than anything that is kept."""

    accepted: Sequence[Event]
    duplicates: Sequence[Event]
    expired: Sequence[Event]


class Observations:
    """Stored events and the features made of them. ``days``: how long events are kept."""

    def __init__(self, state: State, days: int) -> None:
        self._state, self.days = state, days
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def add(self, context: CallContext, events: Sequence[tuple[str, Event]], now: float) -> dict[str, Stored]:
        """Store students' events, all or none. Raises ``StateUnavailable``."""
        oldest = now - self.days * DAY_S
        asked: dict[str, list[Event]] = {}
        for student, event in events:
            asked.setdefault(student, []).append(event)
        recent = {student: unique(event for event in found if event.at >= oldest) for student, found in asked.items()}
        writes = {student: [*found.values()] for student, found in recent.items() if found}

        async def store(redis: Redis) -> list[list[int]]:
            async with redis.pipeline(transaction=True) as pipe:
                for student, found in writes.items():
                    parts = [part for e in found for part in (e.event_id, repr(e.at), e.packed())]
                    limits = (repr(oldest), MAX_EVENTS, int(self.days * DAY_S))
                    pipe.eval(_ADD, 2, *self._keys(context.tenant, student), *limits, *parts)
                fresh: list[list[int]] = await pipe.execute()
            return fresh

        told = await self._state.run(store, context.remaining()) if writes else []
        fresh = dict(zip(writes, told, strict=True))
        return {
            student: _sorted_out(found, recent[student], fresh.get(student, ())) for student, found in asked.items()
        }

    async def refresh(self, context: CallContext, students: Sequence[str], now: float) -> dict[str, Held | None]:
        """Make the behavioural features of these students anew; what is held on each afterwards."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(student: str) -> Held | None:
            async with gate:
                return await self._refresh(context, student, now)

        return dict(zip(students, await asyncio.gather(*map(one, students)), strict=True))

    async def merge(
        self, context: CallContext, student: str, group: Group, values: Mapping[str, float], source: Mapping[str, Any]
    ) -> Held:
        """Replace one group of a student's features and leave the other; what is held afterwards."""

        async def change(pipe: Any, held: bytes | None) -> Held:
            return _merged(held, group, values, source)

        held: Held | None = await self._changed(context, student, change)
        assert held is not None
        return held

    async def _refresh(self, context: CallContext, student: str, now: float) -> Held | None:
        events = self._keys(context.tenant, student)[0]

        async def change(pipe: Any, held: bytes | None) -> Held | None:
            values = await asyncio.to_thread(self._aggregated, await pipe.eval(_READ, 1, events), now)
            source = {"aggregator": AGGREGATOR_VERSION, "days": self.days}
            return _merged(held, "behavioral", values, source) if values else None if held is None else _loaded(held)

        return await self._changed(context, student, change)

    def _aggregated(self, stored: bytes, now: float) -> dict[str, float]:
        try:
            return aggregate(unpacked(stored), now, self.days)
        except (ValueError, TypeError):
            raise StateUnavailable("A stored record is damaged.", 60.0) from None

    async def _changed(
        self, context: CallContext, student: str, change: Callable[[Any, bytes | None], Awaitable[Held | None]]
    ) -> Held | None:
        """Write what ``change`` makes of the features, unless they changed, or the student was erased, since they were
        read: then try again. Events need no watch: whoever adds some writes the features after that."""
        key, erased = (self._state.key(context.tenant, name, student) for name in ("features", "erased"))

        async def attempt(redis: Redis) -> Held | None:
            for number in range(_ATTEMPTS):
                async with redis.pipeline(transaction=True) as pipe:
                    await pipe.watch(key, erased)
                    value = await change(pipe, await pipe.get(key))
                    if value is None:
                        return None
                    pipe.multi()
                    pipe.set(key, orjson.dumps(value))
                    try:
                        await pipe.execute()
                        return value
                    except WatchError:
                        await asyncio.sleep(random.uniform(0, _PAUSE_S * number))  # noqa: S311 - no secret
            raise StateUnavailable("Too many writers change this student at once.", 1.0)

        # One at a time of this process, so that only other processes are in the way.
        async with self._turns.setdefault(key, asyncio.Lock()):
            found: Held | None = await self._state.run(attempt, context.remaining())
        return found

    def _keys(self, tenant: str, student: str) -> tuple[str, str]:
        events, times = (self._state.key(tenant, name, student) for name in EVENT_KEYS)
        return events, times


def _sorted_out(asked: Sequence[Event], recent: Mapping[str, Event], fresh: Sequence[int]) -> Stored:
    """``fresh``: for each of ``recent`` whether it was new."""
    accepted = [event for event, is_new in zip(recent.values(), fresh, strict=True) if is_new]
    new = {id(event) for event in accepted}
    known = [event for event in asked if event.event_id in recent and id(event) not in new]
    return Stored(accepted, known, [event for event in asked if event.event_id not in recent])


def _loaded(stored: bytes) -> Held:
    """A stored value; one that is not ours must not be built upon."""
    try:
        held = orjson.loads(stored)
        FeatureSet.parse({group: held[group] for group in ("linguistic", "behavioral")})
    except (orjson.JSONDecodeError, LookupError, TypeError, InvalidInput):
        raise StateUnavailable("A stored record is damaged.", 60.0) from None
    found: Held = held
    return found


def _merged(stored: bytes | None, group: Group, values: Mapping[str, float], source: Mapping[str, Any]) -> Held:
    held = {"linguistic": {}, "behavioral": {}, **(_loaded(stored) if stored is not None else {})}
    sources = {**held.get("sources", {}), group: dict(source)}
    return {**held, group: dict(values), "sources": sources, "updated_at": datetime.now(UTC).isoformat()}
