"""The second level of the result cache: Redis, shared by the gateways and kept over their restarts.

Bounded by construction: a tenant has ``slots`` places, an item's place follows from its key, and a new item takes the
place of whoever was there. Every value says whose it is, and expires.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from deployments.cache import Kept
from deployments.errors import StateUnavailable

LARGEST_BYTES = 16_384
_DIGEST_BYTES = 32


class Slots(Protocol):
    """The part of ``State`` that keeps bytes for a while."""

    async def cached(self, tenant: str, slots: Sequence[int]) -> Sequence[bytes | None]: ...
    async def keep(self, tenant: str, values: Mapping[int, bytes], ttl_s: int) -> None: ...


class SharedCache:
    """``worth_s``: seconds of compute from which an item is looked for in Redis. A look costs half a millisecond of the
    gateway's time, which cheap items do not repay."""

    def __init__(self, store: Slots, slots: int, ttl_s: int, worth_s: float = 0.01) -> None:
        self._store, self._slots, self._ttl_s, self.worth_s = store, slots, ttl_s, worth_s
        self._writes: set[asyncio.Task[None]] = set()

    async def get(self, tenant: str, keys: Sequence[bytes]) -> dict[bytes, Kept]:
        """What there is; a Redis that does not answer has nothing."""
        if not self._slots or not keys:
            return {}
        try:
            values = await self._store.cached(tenant, [self._slot(key) for key in keys])
        except StateUnavailable:
            return {}
        found = {key: _unpacked(key, value) for key, value in zip(keys, values, strict=True)}
        return {key: kept for key, kept in found.items() if kept is not None}

    def put(self, tenant: str, items: Mapping[bytes, Kept]) -> None:
        """Written in the background; nobody waits."""
        packed = {self._slot(key): key + kept.packed() for key, kept in items.items()} if self._slots else {}
        small = {slot: value for slot, value in packed.items() if len(value) <= LARGEST_BYTES}
        if small:
            task = asyncio.get_running_loop().create_task(self._write(tenant, small))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def settle(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._writes)

    async def _write(self, tenant: str, values: Mapping[int, bytes]) -> None:
        try:
            await self._store.keep(tenant, values, self._ttl_s)
        except StateUnavailable:
            return

    def _slot(self, key: bytes) -> int:
        return int.from_bytes(key[:8], "big") % self._slots


def _unpacked(key: bytes, value: Any) -> Kept | None:
    """The item, unless somebody else's lies in its place."""
    if not isinstance(value, bytes) or value[:_DIGEST_BYTES] != key:
        return None
    try:
        return Kept.unpacked(value[_DIGEST_BYTES:])
    except ValueError:
        return None
