"""Entries of journals in Redis (``journal.keys`` has the layout): records, so that no Redis means ``StateUnavailable``.

With an entry that goes or gets another text go the features of that text and all results.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis

from deployments.call import CallContext
from deployments.errors import InvalidInput, StateUnavailable
from deployments.journal.entries import Entry
from deployments.journal.keys import DIGEST_BYTES, Keys, digests
from deployments.redis_link import RECORDS
from deployments.state import State

_EPOCH_S = 24 * 3600
_PURGE = f"""
local gone, touched = {{}}, false
local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[1])
for i = 1, #old, 1000 do
  local ids = {{unpack(old, i, math.min(i + 999, #old))}}
  for _, text in ipairs(redis.call('HMGET', KEYS[4], unpack(ids))) do
    if text then gone[text] = true end
  end
  for _, key in ipairs({{KEYS[1], KEYS[4]}}) do redis.call('HDEL', key, unpack(ids)) end
  for _, key in ipairs({{KEYS[2], KEYS[3]}}) do redis.call('ZREM', key, unpack(ids)) end
  touched = true
end
local function forget()
  if touched then redis.call('DEL', KEYS[6]) end
  if next(gone) == nil then return end
  for _, field in ipairs(redis.call('HKEYS', KEYS[5])) do
    if gone[string.sub(field, 1, {DIGEST_BYTES})] then redis.call('HDEL', KEYS[5], field) end
  end
end
"""
"""Drops entries that came before ``ARGV[1]``; ``forget`` drops what was computed of texts that are gone."""
_PURGE_ALONE = _PURGE + "forget()"
_PUT = (
    _PURGE
    + """
local new, changed, write = 0, 0, {}
for i = 5, #ARGV, 4 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if not held then new = new + 1 elseif held ~= ARGV[i + 1] then changed = changed + 1 end
  if held ~= ARGV[i + 1] then write[#write + 1] = i end
end
local total = redis.call('HLEN', KEYS[1]) + new
if new > 0 and total > tonumber(ARGV[4]) then
  forget()
  return {-1, 0, total}
end
for _, i in ipairs(write) do
  local text = redis.call('HGET', KEYS[4], ARGV[i])
  if text then gone[text] = true end
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[2], ARGV[i + 2], ARGV[i])
  redis.call('ZADD', KEYS[3], ARGV[2], ARGV[i])
  redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 3])
end
for i = 5, #ARGV, 4 do gone[ARGV[i + 3]] = nil end
touched = touched or changed > 0
forget()
if #write > 0 then for i = 1, 4 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end end
return {new, changed, total}
"""
)
"""Stores entries, all or none: how many were new (-1: they would be too many) and how many changed, and the total."""


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

    async def put(self, context: CallContext, user: str, entries: Sequence[Entry]) -> dict[str, int]:
        """Store entries; one of a known id replaces it when it differs. Raises ``InvalidInput`` for a full journal."""
        keys, salt = Keys(context.tenant, user), await self._state.salt(context.tenant, RECORDS)
        texts = await digests(salt, [entry.text for entry in entries])
        given = list[str | bytes]()
        for entry, text in zip(entries, texts, strict=True):
            moment = repr(entry.created_at.timestamp())
            given += [entry.id, orjson.dumps(entry.to_json()), moment, text[:DIGEST_BYTES]]

        async def write(redis: Redis) -> list[int]:
            limits = (*self._limits(), self._retention_s, self._most)
            done: list[int] = await redis.eval(_PUT, 6, *_six(keys), *limits, *given)
            return done

        new, changed, total = await self._state.run(write, context.remaining())
        if new < 0:
            raise InvalidInput(
                f"A journal holds at most {self._most} entries; with these it would have {total}. Erase it, or keep "
                "older entries elsewhere.",
                "entries",
            )
        unchanged = len(entries) - new - changed
        return {"stored": new, "replaced": changed, "unchanged": unchanged, "total": total}

    async def newest(self, context: CallContext, user: str, most: int, skip: int = 0) -> Held:
        """Entries from newest to oldest, by when they were written. Raises ``StateUnavailable``."""
        keys = Keys(context.tenant, user)

        async def read(redis: Redis) -> tuple[int, list[bytes | None], bytes | None]:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.eval(_PURGE_ALONE, 6, *_six(keys), self._limits()[0])
                pipe.zrevrange(keys.order, skip, skip + most - 1)
                ids = (await pipe.execute())[1]
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
        keys = Keys(context.tenant, user)

        async def drop(redis: Redis) -> list[int]:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.hlen(keys.entries)
                pipe.hlen(keys.features)
                pipe.hlen(keys.results)
                pipe.set(keys.epoch, secrets.token_hex(8), ex=_EPOCH_S)
                pipe.delete(*_six(keys))
                found: list[int] = await pipe.execute()
            return found[:3]

        counts = await self._state.run(drop, context.remaining())
        return dict(zip(("entries", "features", "results"), map(int, counts), strict=True))

    def _limits(self) -> tuple[str, str]:
        """Before which moment nothing is held any more, and now."""
        now = time.time()
        return repr(now - self._retention_s), repr(now)


def _six(keys: Keys) -> tuple[str, ...]:
    """All keys of a writer but the epoch's, in the order of the scripts."""
    return keys.entries, keys.order, keys.stored, keys.texts, keys.features, keys.results


def _entry(row: bytes) -> Entry:
    """A stored entry. Raises ``StateUnavailable`` when it is none: the client did nothing wrong."""
    try:
        return Entry.from_json(orjson.loads(row))
    except (orjson.JSONDecodeError, KeyError, ValueError, TypeError):
        raise StateUnavailable("A stored record is damaged.", 60.0) from None
