"""The aliases of the fleet: in Redis where there is one, and as a file on every node. The higher generation is true.

A change is written where it is made to Redis first, which refuses it unless its generation is higher than the one held,
and then to the file; without Redis to the file alone. Every replica looks at both once a second, takes the record with the
higher generation (at equal ones Redis's), and, once it has loaded that bundle, writes it where it was behind. So a Redis
that lost its data, or that was not there when a promotion was made, is caught up, and so is a node's file.

Replicas also tell here how they are: a hash of one JSON value each, dropped when it is a minute old.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from deployments.errors import StateUnavailable
from deployments.redis_link import RECORDS, RedisLink
from model_store.skill_aliases import parse_record, read_alias, write_alias
from model_store.skill_records import AliasRecord, NoSkillModels, TamperedSkills

KEY, REPORTS = "muster:_shared:skill-aliases", "muster:_shared:skill-replicas"
FORGET_S, FRESH_S = 60.0, 10.0
_RAISE = """
local ok, held = pcall(cjson.decode, redis.call('GET', KEYS[1]) or '')
if ok and type(held) == 'table' and (tonumber(held.generation) or 0) >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class AliasStore:
    """Both copies. ``url``: None where there is no Redis."""

    def __init__(self, skills_dir: Path, url: str | None) -> None:
        self._skills_dir = skills_dir
        self._link = RedisLink(url, lambda kind: None) if url else None

    @property
    def shared(self) -> bool:
        """Whether there is a Redis."""
        return self._link is not None

    async def candidates(self) -> list[AliasRecord]:
        """What both copies say, the true one first; a Redis that does not answer, and what cannot be read, says nothing.

        Raises ``NoSkillModels`` when nothing is said, or ``TamperedSkills`` when the file is all there is and is damaged.
        """
        there = await self._from_redis()
        try:
            here: AliasRecord | None = read_alias(self._skills_dir)
        except (NoSkillModels, TamperedSkills):
            if there is None:
                raise
            here = None
        found = [alias for alias in (there, here) if alias is not None]
        return sorted(dict.fromkeys(found), key=lambda alias: -alias.generation)

    async def change(self, alias: AliasRecord) -> bool:
        """Make a new generation true: False when another one has come first. Raises ``StateUnavailable``."""
        if self._link is not None and not await self._raise(alias):
            return False
        write_alias(self._skills_dir, alias)
        return True

    async def catch_up(self, alias: AliasRecord) -> None:
        """Write a bundle's alias, loaded here, wherever an older one is held. Never raises for a Redis that is away."""
        try:
            behind = read_alias(self._skills_dir).generation < alias.generation
        except (NoSkillModels, TamperedSkills):
            behind = True
        if behind:
            write_alias(self._skills_dir, alias)
        if self._link is not None:
            try:
                await self._raise(alias)
            except StateUnavailable:
                return

    async def report(self, replica: str, state: Mapping[str, Any]) -> None:
        """Tell how a replica is; without Redis nobody is told."""
        if self._link is None:
            return
        value = orjson.dumps({**state, "at": time.time()})

        async def tell(redis: Redis) -> None:
            await redis.hset(REPORTS, replica, value)

        try:
            await self._link.run(RECORDS, tell)
        except StateUnavailable:
            return

    async def reports(self) -> list[dict[str, Any]]:
        """How the replicas are that have told it within ten seconds, by id. Raises ``StateUnavailable``."""
        if self._link is None:
            return []
        held: dict[bytes, bytes] = await self._link.run(RECORDS, lambda redis: redis.hgetall(REPORTS))
        told = {replica.decode(): orjson.loads(value) for replica, value in held.items()}
        now = time.time()
        if old := [replica for replica, state in told.items() if now - state["at"] > FORGET_S]:
            await self._link.run(RECORDS, lambda redis: redis.hdel(REPORTS, *old))
        fresh = {replica: state for replica, state in told.items() if now - state["at"] <= FRESH_S}
        return [{"replica": replica, **state} for replica, state in sorted(fresh.items())]

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()

    async def _from_redis(self) -> AliasRecord | None:
        if self._link is None:
            return None
        try:
            held: bytes | None = await self._link.run(RECORDS, lambda redis: redis.get(KEY))
            return None if held is None else parse_record(AliasRecord, held, "skills", "the alias in Redis")
        except (StateUnavailable, TamperedSkills):
            return None

    async def _raise(self, alias: AliasRecord) -> bool:
        """Whether Redis took it; it takes only a higher generation than its own."""
        assert self._link is not None
        value = alias.model_dump_json()
        taken = await self._link.run(RECORDS, lambda redis: redis.eval(_RAISE, 1, KEY, value, str(alias.generation)))
        return bool(taken)
