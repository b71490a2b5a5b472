"""Permits to call a language model: hard limits a minute and an hour, and budgets a day and a month, over all replicas.

One Lua script decides everything in one step by the Redis server's clock: a sliding-window log of at most 500 times, so that
no window of 60 s holds more than the minute's limit wherever it begins. (A bucket of 50 that fills up by 50 a minute lets 99
through in its first minute.) A permit is for one attempt. It sets aside what the attempt may cost at most; ``settle`` puts
the real cost in its place. A replica that dies in between has spent what was set aside, as far as the budget knows.

Redis away: no permit. ``MemoryLedger`` holds the same promises for one process alone.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from redis.asyncio import Redis

from deployments.errors import StateUnavailable
from deployments.reasoning.prices import NANO
from deployments.redis_link import RECORDS, RedisLink

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
ALERT_AT = 0.8
_LOG, _SPENT = "muster:_shared:reasoning:log", "muster:_shared:reasoning:spent"
_DAY_S, _MONTH_S = 3 * 86_400, 70 * 86_400
Refusal = Literal["minute_limit", "hour_limit", "daily_budget", "monthly_budget", "limiter_unavailable"]

_PERMIT = """
local now
if ARGV[1] == '' then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000000 + tonumber(t[2])
else
  now = tonumber(ARGV[1])
end
-- A clock that was put back must not open the window again.
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last[2] and tonumber(last[2]) > now then now = tonumber(last[2]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - 3600000000))
local minute_from = string.format('%.0f', now - 60000000)
local minute = redis.call('ZCOUNT', KEYS[1], minute_from, '+inf')
local hour = redis.call('ZCARD', KEYS[1])
local day, month = tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(redis.call('GET', KEYS[3]) or '0')
local per_minute, per_hour, reserve = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local day_cap, month_cap = tonumber(ARGV[6]), tonumber(ARGV[7])
local left = {per_minute - minute, per_hour - hour, string.format('%.0f', day), string.format('%.0f', month)}
local function refuse(why, from, count, limit, window)
  local wait = 0
  if window > 0 then
    local oldest = redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', count - limit, 1)
    if oldest[2] then wait = tonumber(oldest[2]) + window + 1 - now end
  end
  return {0, why, string.format('%.0f', wait), left[1], left[2], left[3], left[4]}
end
if ARGV[8] == 'look' then return {0, 'look', '0', left[1], left[2], left[3], left[4]} end
if hour >= per_hour then return refuse('hour_limit', '-inf', hour, per_hour, 3600000000) end
if minute >= per_minute then return refuse('minute_limit', minute_from, minute, per_minute, 60000000) end
if month_cap >= 0 and month + reserve > month_cap then return refuse('monthly_budget', '', 0, 0, 0) end
if day_cap >= 0 and day + reserve > day_cap then return refuse('daily_budget', '', 0, 0, 0) end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[2])
redis.call('PEXPIRE', KEYS[1], 3700000)
redis.call('INCRBY', KEYS[2], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[9])
redis.call('INCRBY', KEYS[3], ARGV[5])
redis.call('EXPIRE', KEYS[3], ARGV[10])
return {1, string.format('%.0f', now), '0', left[1] - 1, left[2] - 1, left[3], left[4]}
"""


@dataclass(frozen=True, slots=True)
class Caps:
    """The limits. Budgets in billionths of a dollar, None where there is none."""

    per_minute: int = 50
    per_hour: int = 500
    daily: int | None = None
    monthly: int | None = None

    @classmethod
    def of(cls, per_minute: int, per_hour: int, daily_usd: float | None, monthly_usd: float | None) -> "Caps":
        """The same with budgets in dollars."""
        daily, monthly = (None if usd is None else round(usd * NANO) for usd in (daily_usd, monthly_usd))
        return cls(per_minute, per_hour, daily, monthly)

    def alerts(self, usage: "Usage") -> list[str]:
        """The budgets of which 80 % are spent."""
        pairs = (("daily", self.daily, usage.day), ("monthly", self.monthly, usage.month))
        return [name for name, cap, spent in pairs if cap is not None and spent >= ALERT_AT * cap]


@dataclass(frozen=True, slots=True)
class Usage:
    """What is left of the limits, and what is spent (billionths of a dollar)."""

    minute_left: int
    hour_left: int
    day: int
    month: int


@dataclass(frozen=True, slots=True)
class Permit:
    """``refusal`` is None for a permit; ``wait_s``: until the limit lets the next one through. ``at_us``: when it was given.

    ``keys``: of the budgets that its cost counts in.
    """

    refusal: Refusal | None
    wait_s: float
    usage: Usage
    reserved: int = 0
    at_us: int = 0
    keys: tuple[str, str] = ("", "")


class Ledger(Protocol):
    """Gives permits and keeps what was spent."""

    async def permit(self, reserve: int) -> Permit:
        """A permit for one attempt that costs at most ``reserve``. Never raises for a store that is away: it refuses."""

    async def settle(self, permit: Permit, cost: int) -> None:
        """What the attempt has cost in truth. Never raises."""

    async def usage(self) -> Usage | None:
        """How things stand; None when nobody knows."""


def periods(now: datetime) -> tuple[str, str]:
    """The budgets' keys of a day and a month, UTC."""
    return f"{_SPENT}:{now:%Y-%m-%d}", f"{_SPENT}:{now:%Y-%m}"


class RedisLedger:
    """``clock``: seconds since 1970; None: the Redis server's."""

    def __init__(self, link: RedisLink, caps: Caps, clock: Callable[[], float] | None = None) -> None:
        self._link, self._caps, self._clock = link, caps, clock

    async def permit(self, reserve: int) -> Permit:
        keys = self._periods()
        try:
            answer = await self._run(keys, reserve, "take")
        except StateUnavailable:
            return Permit("limiter_unavailable", 0.0, Usage(0, 0, 0, 0))
        usage = _usage(answer)
        if answer[0]:
            return Permit(None, 0.0, usage, reserve, int(answer[1]), keys)
        return Permit(answer[1].decode(), int(answer[2]) / 1e6, usage)

    async def settle(self, permit: Permit, cost: int) -> None:
        change = cost - permit.reserved
        if not change or permit.refusal:
            return

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                for key, seconds in zip(permit.keys, (_DAY_S, _MONTH_S), strict=True):
                    pipe.incrby(key, change)
                    pipe.expire(key, seconds)
                await pipe.execute()

        try:
            await self._link.run(RECORDS, write)
        except StateUnavailable:
            return  # What was set aside stays spent: too much rather than too little.

    async def usage(self) -> Usage | None:
        try:
            return _usage(await self._run(self._periods(), 0, "look"))
        except StateUnavailable:
            return None

    async def _run(self, keys: tuple[str, str], reserve: int, what: str) -> Any:
        caps = self._caps
        now = "" if self._clock is None else f"{self._clock() * 1e6:.0f}"
        budgets = [-1 if cap is None else cap for cap in (caps.daily, caps.monthly)]
        values = [now, secrets.token_hex(8), caps.per_minute, caps.per_hour, reserve, *budgets, what, _DAY_S, _MONTH_S]
        return await self._link.run(RECORDS, lambda redis: redis.eval(_PERMIT, 3, _LOG, *keys, *values))

    def _periods(self) -> tuple[str, str]:
        now = time.time() if self._clock is None else self._clock()
        return periods(datetime.fromtimestamp(now, UTC))


class MemoryLedger:
    """The same for one process. Forgets everything with it."""

    def __init__(self, caps: Caps, clock: Callable[[], float] = time.time) -> None:
        self._caps, self._clock = caps, clock
        self._log: deque[int] = deque()
        self._spent: dict[str, int] = {}

    async def permit(self, reserve: int) -> Permit:
        now, usage, keys = self._now(), self._usage(), self._periods()
        refusal, wait_us = self._refusal(now, usage, reserve)
        if refusal:
            return Permit(refusal, wait_us / 1e6, usage)
        self._log.append(now)
        self._add(keys, reserve)
        return Permit(None, 0.0, usage, reserve, now, keys)

    async def settle(self, permit: Permit, cost: int) -> None:
        if not permit.refusal:
            self._add(permit.keys, cost - permit.reserved)

    async def usage(self) -> Usage | None:
        return self._usage()

    def _refusal(self, now: int, usage: Usage, reserve: int) -> tuple[Refusal | None, int]:
        caps = self._caps
        if usage.hour_left <= 0:
            return "hour_limit", self._log[-caps.per_hour] + HOUR_US + 1 - now
        if usage.minute_left <= 0:
            return "minute_limit", self._log[-caps.per_minute] + MINUTE_US + 1 - now
        if caps.monthly is not None and usage.month + reserve > caps.monthly:
            return "monthly_budget", 0
        if caps.daily is not None and usage.day + reserve > caps.daily:
            return "daily_budget", 0
        return None, 0

    def _usage(self) -> Usage:
        now, caps = self._now(), self._caps
        while self._log and self._log[0] < now - HOUR_US:
            self._log.popleft()
        minute = sum(1 for at in self._log if at >= now - MINUTE_US)
        day, month = (self._spent.get(key, 0) for key in self._periods())
        return Usage(caps.per_minute - minute, caps.per_hour - len(self._log), day, month)

    def _now(self) -> int:
        now = round(self._clock() * 1e6)
        return max(now, self._log[-1]) if self._log else now

    def _periods(self) -> tuple[str, str]:
        return periods(datetime.fromtimestamp(self._clock(), UTC))

    def _add(self, keys: tuple[str, str], amount: int) -> None:
        for key in keys:
            self._spent[key] = self._spent.get(key, 0) + amount
        current = self._periods()
        self._spent = {key: spent for key, spent in self._spent.items() if key in (*current, *keys)}


def _usage(answer: Any) -> Usage:
    minute, hour, day, month = (int(value) for value in answer[3:7])
    return Usage(minute, hour, day, month)
