"""Texts that were written before for the same facts, by the same model under the same prompt: in memory, then in Redis."""

from collections import OrderedDict

import orjson

from deployments.errors import StateUnavailable
from deployments.reasoning.answer_check import Words
from deployments.redis_link import CACHE, RedisLink

IN_MEMORY = 1_000


class KeptTexts:
    """Keys are digests of figures, with the tenant's name before them; a tenant's texts serve no other."""

    def __init__(self, link: RedisLink | None, ttl_s: int) -> None:
        self._link, self._ttl_s = link, ttl_s
        self._memory: OrderedDict[str, Words] = OrderedDict()

    async def get(self, tenant: str, digest: str) -> Words | None:
        """What was written; None when nothing was, or Redis is away."""
        key = self._key(tenant, digest)
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        if self._link is None or not self._ttl_s:
            return None
        try:
            value = await self._link.run(CACHE, lambda redis: redis.get(key))
        except StateUnavailable:
            return None
        words = _words(value) if value else None
        if words:
            self._remember(key, words)
        return words

    async def put(self, tenant: str, digest: str, words: Words) -> None:
        """Keep a text; never raises for a Redis that is away."""
        if not self._ttl_s:
            return
        key = self._key(tenant, digest)
        self._remember(key, words)
        value = orjson.dumps([words.text, words.strengths, words.growth_suggestions])
        if self._link is not None:
            try:
                await self._link.run(CACHE, lambda redis: redis.set(key, value, ex=self._ttl_s))
            except StateUnavailable:
                return

    def _remember(self, key: str, words: Words) -> None:
        self._memory[key] = words
        if len(self._memory) > IN_MEMORY:
            self._memory.popitem(last=False)

    @staticmethod
    def _key(tenant: str, digest: str) -> str:
        return f"muster:{tenant or '_nobody'}:reasoning:{digest}"


def _words(value: bytes) -> Words | None:
    try:
        text, strengths, suggestions = orjson.loads(value)
        return Words(str(text), tuple(map(str, strengths)), tuple(map(str, suggestions)))
    except (orjson.JSONDecodeError, ValueError, TypeError):
        return None
