"""The one connection to Redis, with three policies and a circuit breaker for each.

redis-py's defaults wait a minute on a Redis that does not answer (11 attempts of 5 s). Here nothing is retried, every
operation has one time limit over all of it, and while Redis is away an operation costs nothing but an exception.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from deployments.errors import StateUnavailable

T = TypeVar("T")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 2.0
CONNECTIONS = 32
"""Of one process, at most; who finds none free waits inside its own time."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long an operation may take, and after how many timeouts in a row Redis counts as away."""

    name: str
    timeout_s: float
    tolerated: int


CACHE = Policy("cache", 0.05, 3)
"""Cache and counters. Several timeouts are tolerated: a busy event loop alone can be 50 ms late."""
KEPT = Policy("kept", 1.0, 3)
"""What is dear to compute again: a hundred inferences are worth a second."""
RECORDS = Policy("records", 1.0, 1)
"""Stored data: worth waiting for, and worth an honest error."""


class Breaker:
    """Refuses at once while the other side is known to be away; lets one operation try again after a pause."""

    def __init__(self, tolerated: int) -> None:
        self._tolerated = tolerated
        self._failures = 0
        self._pause = _FIRST_PAUSE_S
        self._closed_until = 0.0

    def pass_or_raise(self) -> None:
        """Let an operation through, or raise ``StateUnavailable``."""
        now = time.monotonic()
        if now < self._closed_until:
            raise StateUnavailable(retry_after_s=self._closed_until - now)
        if self._failures >= self._tolerated:
            # This one is the trial; the others wait for its result.
            self._closed_until = now + self._pause

    def succeeded(self) -> None:
        """The other side answered."""
        self._failures, self._pause, self._closed_until = 0, _FIRST_PAUSE_S, 0.0

    def failed(self, *, surely: bool) -> None:
        """The other side did not answer; ``surely`` when the connection itself failed."""
        self._failures = max(self._failures + 1, self._tolerated if surely else 0)
        if self._failures >= self._tolerated:
            self._closed_until = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)


class RedisLink:
    """Runs operations on Redis; every failure is ``StateUnavailable``."""

    def __init__(self, url: str, on_error: Callable[[str], None], connections: int = CONNECTIONS) -> None:
        self._on_error = on_error
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=RECORDS.timeout_s,
            socket_connect_timeout=RECORDS.timeout_s,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            protocol=2,
        )
        self._redis = Redis(connection_pool=pool)
        self._breakers = {policy.name: Breaker(policy.tolerated) for policy in (CACHE, KEPT, RECORDS)}

    async def run(self, policy: Policy, operation: Callable[[Redis], Awaitable[T]], within_s: float | None = None) -> T:
        """Run one operation (a command or a pipeline) inside the policy's time and inside ``within_s``."""
        breaker = self._breakers[policy.name]
        breaker.pass_or_raise()
        limit = policy.timeout_s if within_s is None else min(policy.timeout_s, within_s)
        try:
            async with asyncio.timeout(limit):
                result = await operation(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            # A limit that the caller's deadline has cut says nothing about Redis.
            if limit == policy.timeout_s or not isinstance(error, TimeoutError):
                # By its type only: its text may hold a key or a value.
                self._on_error(type(error).__name__)
                # An error that Redis itself answers costs nothing and may concern one key only.
                if not isinstance(error, ResponseError):
                    breaker.failed(surely=isinstance(error, RedisConnectionError | OSError))
            raise StateUnavailable() from None
        breaker.succeeded()
        return result

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.aclose()
