"""What the skill models were given and what they said: numbers only, for the watch on drift.

One row for each inference: the model's version, 25 observed features in model order (null where missing) and four
estimates in the order of ``SKILLS``. No student, no time, nothing to find a person by. The last 10,000 of each tenant are
kept in Redis; while it is away the last 1,000 wait in memory.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis

from deployments.call import CallContext
from deployments.errors import StateUnavailable
from deployments.redis_link import CACHE
from deployments.state import KEPT_IN_MEMORY, KEPT_RECORDS, State

_NAME, _COUNT = "served", "served-count"
Numbers = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class ServedRow:
    """One inference."""

    version: str
    features: Numbers
    estimates: Numbers

    def packed(self) -> bytes:
        """What is stored."""
        return orjson.dumps([self.version, self.features, self.estimates])


class Served:
    """The rolling window of each tenant."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: dict[str, deque[bytes]] = {}

    async def record(self, tenant: str, rows: Sequence[ServedRow]) -> None:
        """Keep rows; never raises."""
        batch = [*self._waiting.pop(tenant, ()), *(row.packed() for row in rows)]
        if not batch:
            return
        stored = False
        try:
            await self._state.run(lambda redis: self._push(redis, tenant, batch), policy=CACHE)
            stored = True
        except StateUnavailable:
            pass
        finally:
            if not stored:
                self._waiting[tenant] = deque((*batch, *self._waiting.get(tenant, ())), KEPT_IN_MEMORY)

    async def count(self, context: CallContext) -> int:
        """How many rows were ever kept: another number means that the window has changed. Raises ``StateUnavailable``."""
        key = self._state.key(context.tenant, _COUNT)
        return int(await self._state.run(lambda redis: redis.get(key), context.remaining()) or 0)

    async def rows(self, context: CallContext) -> list[ServedRow]:
        """The window, newest first; from memory alone while Redis is away."""
        key = self._state.key(context.tenant, _NAME)
        waiting = list(reversed(self._waiting.get(context.tenant, ())))
        try:
            stored = await self._state.run(lambda redis: redis.lrange(key, 0, -1), context.remaining())
        except StateUnavailable:
            stored = []
        bodies = orjson.loads(b"[" + b",".join([*waiting, *stored][:KEPT_RECORDS]) + b"]")
        return [ServedRow(*body) for body in bodies]

    async def _push(self, redis: Redis, tenant: str, batch: Sequence[bytes]) -> None:
        key = self._state.key(tenant, _NAME)
        async with redis.pipeline(transaction=True) as pipe:
            pipe.lpush(key, *batch)
            pipe.ltrim(key, 0, KEPT_RECORDS - 1)
            pipe.incrby(self._state.key(tenant, _COUNT), len(batch))
            await pipe.execute()
