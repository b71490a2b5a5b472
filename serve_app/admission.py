"""Admission by size: how many bytes of request bodies one gateway process holds at a time.

Queues of work are bounded by the dispatchers, in predicted seconds. What they cannot see are bodies that are still
arriving: without a bound, a few hundred clients with 16 MiB each would take all memory before a queue is full.
"""

import time

from deployments.errors import Overloaded

_SMOOTHING = 0.2
_MAX_RETRY_AFTER_S = 60.0


class BodyBudget:
    """Bytes in flight against a limit. A single body always fits: its own limit is checked elsewhere."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._rate = 0.0
        self._since = time.monotonic()
        self._freed = 0

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def take(self, size: int, already: int) -> None:
        """Hold ``size`` more bytes for a request that has ``already``. Raises ``Overloaded`` when they do not fit."""
        over = self._held + size - self._limit
        if over > 0 and self._held > already:
            raise Overloaded(self._retry_after(over), "Too many bytes are in flight; try again later.")
        self._held += size

    def release(self, size: int) -> None:
        """Give bytes back, and learn how fast they come free."""
        self._held -= size
        self._freed += size
        elapsed = time.monotonic() - self._since
        if elapsed >= 1.0:
            self._rate += _SMOOTHING * (self._freed / elapsed - self._rate)
            self._since, self._freed = time.monotonic(), 0

    def _retry_after(self, over: int) -> float:
        """Seconds until ``over`` bytes have come free at the recent rate."""
        rate = max(self._rate, self._freed / max(time.monotonic() - self._since, 0.1), 1.0)
        return min(max(over / rate, 1.0), _MAX_RETRY_AFTER_S)
