"""One POST to the inference provider, with patience inside the request's deadline and a meaning for every status."""

import asyncio
import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import aiohttp
import orjson

CONNECT_S, READ_S = 3.0, 10.0
MARGIN_S = 0.1
"""Kept of the request's deadline, so that a slow provider is known as such before the request itself is over."""
RETRIES = 2
BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 2.0
LARGEST_ANSWER = 64 * 1024 * 1024
MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a status says. ``rest_s``: how long there is no point in asking again; ``everywhere``: for any model."""

    outcome: str
    reason: str
    rest_s: float | None = None
    everywhere: bool = False
    waits: bool = False
    blames: bool = True


class ProviderFailed(Exception):
    """The provider did not answer, and why."""

    def __init__(self, meaning: Meaning) -> None:
        super().__init__(meaning.outcome)
        self.meaning = meaning


MEANINGS = {
    401: Meaning("unauthorised", "it does not accept the token", 10 * MINUTE, everywhere=True),
    402: Meaning("no_credits", "the account's credits are used up", HOUR, everywhere=True),
    403: Meaning("forbidden", "the token may not use this model, or the model is gated", 10 * MINUTE),
    404: Meaning("not_served", "it does not serve this model", HOUR),
    410: Meaning("not_served", "it does not serve this model any more", HOUR),
    429: Meaning("rate_limited", "it asks for fewer requests", waits=True, blames=False),
    503: Meaning("loading", "the model is loading there", waits=True, blames=False),
}
REFUSED = Meaning("refused", "it refuses this request", blames=False)
BROKEN = Meaning("server_error", "it fails", waits=True)
SLOW = Meaning("timeout", "it does not answer in time", waits=True)
UNREACHABLE = Meaning("unreachable", "it cannot be reached", waits=True)
UNREADABLE = Meaning("bad_answer", "its answer cannot be read")


def meaning_of(status: int) -> Meaning:
    """What a status other than 200 says."""
    if status in MEANINGS:
        return MEANINGS[status]
    return REFUSED if 400 <= status < 500 else BROKEN


class Provider:
    """The provider's HTTP side. ``jitter(a, b)``: a random number between, as ``random.uniform``."""

    def __init__(self, url: str, token: str | None, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._url, self._jitter = url.rstrip("/"), jitter
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, path: str, body: Any, deadline: float) -> Any:
        """The answer's JSON. ``deadline``: monotonic. Raises ``ProviderFailed``."""
        payload = orjson.dumps(body)
        for attempt in range(RETRIES + 1):
            remaining = deadline - MARGIN_S - time.monotonic()
            if remaining <= 0:
                raise ProviderFailed(SLOW)
            try:
                return await self._once(path, payload, remaining)
            except _Failure as failure:
                await self._wait_or_raise(failure, attempt, deadline)
        raise AssertionError("the last attempt raises")

    async def _wait_or_raise(self, failure: "_Failure", attempt: int, deadline: float) -> None:
        """Wait before the next attempt; where there is none, or no time for it, raise ``ProviderFailed``."""
        # Full jitter: clients that failed together do not come back together.
        backoff = self._jitter(0.0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2**attempt))
        wait = backoff if failure.told_s is None else failure.told_s
        meaning = failure.meaning
        if not meaning.waits or attempt == RETRIES or time.monotonic() + wait >= deadline - MARGIN_S:
            raise ProviderFailed(meaning) from None
        await asyncio.sleep(wait)

    async def _once(self, path: str, payload: bytes, remaining: float) -> Any:
        """One attempt. Raises ``_Failure``."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        try:
            # aiohttp rounds long total timeouts up to whole seconds.
            async with (
                asyncio.timeout(remaining),
                self._session.post(
                    # No redirects: the token goes to the configured host only.
                    f"{self._url}{path}",
                    data=payload,
                    headers=self._headers,
                    timeout=timeout,
                    allow_redirects=False,
                ) as response,
            ):
                return await _read(response)
        except TimeoutError:
            raise _Failure(SLOW) from None
        except aiohttp.ClientError:
            raise _Failure(UNREACHABLE) from None


class _Failure(Exception):
    """One attempt failed. ``told_s``: the wait that the provider asks for."""

    def __init__(self, meaning: Meaning, told_s: float | None = None) -> None:
        super().__init__(meaning.outcome)
        self.meaning, self.told_s = meaning, told_s


async def _read(response: aiohttp.ClientResponse) -> Any:
    """A 200's JSON. Raises ``_Failure``. What the body says is never repeated: it may be a client's text."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise _Failure(UNREADABLE)
    if response.status != 200:
        _fail(response, bytes(body))
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _Failure(UNREADABLE) from None


def _fail(response: aiohttp.ClientResponse, body: bytes) -> NoReturn:
    meaning = meaning_of(response.status)
    raise _Failure(meaning, _told(response.headers.get("Retry-After"), body) if meaning.waits else None)


def _told(retry_after: str | None, body: bytes) -> float | None:
    """Seconds to wait: ``Retry-After`` (seconds or a date), else the body's ``estimated_time``."""
    if retry_after is not None:
        try:
            return _bounded(float(retry_after) if retry_after.isdigit() else _until(retry_after))
        except ValueError:
            return None
    try:
        return _bounded(float(orjson.loads(body)["estimated_time"]))
    except (ValueError, TypeError, KeyError):
        return None


def _until(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp() - time.time()


def _bounded(seconds: float) -> float:
    return max(0.0, min(seconds, HOUR))
