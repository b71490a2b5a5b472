"""One request as the HTTP layer sees it: its id, who asks, how long it may take, and what its headers say.

Header values are bytes from a stranger: read as Latin-1, which decodes every byte, and judged by their grammar.
"""

import itertools
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, cast

from starlette.requests import Request
from starlette.types import Scope

from deployments.call import INTERACTIVE_MAX_ITEMS, CallContext, Lane
from deployments.errors import InvalidInput
from serve_app.settings import Settings

SCOPE_KEY = "muster.exchange"
_PROCESS, _NUMBERS = secrets.token_hex(6), itertools.count()
_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_READ = frozenset(
    b"authorization host origin content-type content-length content-encoding cache-control "
    b"x-request-id x-deadline-ms x-lane".split()
)
_STEERING = frozenset(
    b"x-request-timeout-seconds x-request-disconnect-disabled serve-multiplexed-model-id x-session-id".split()
)


@dataclass(slots=True)
class Exchange:
    """What is known of a request before its body is read. ``deadline`` is this process's monotonic clock.

    ``key``: the id of the key that came with it. ``asked``: the application that was asked last, and the lane; empty until
    then.
    """

    request_id: str
    started: float
    deadline: float
    lane: Lane | None = None
    tenant: str = ""
    key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    asked: tuple[str, Lane | Literal[""]] = ("", "")

    def context(self, items: int) -> CallContext:
        """The context of a model call with so many items; many items are bulk whatever the client says."""
        lane: Lane = "bulk" if items > INTERACTIVE_MAX_ITEMS else self.lane or "interactive"
        no_store = "no-store" in self.headers.get("cache-control", "").lower()
        return CallContext(self.request_id, self.tenant, lane, self.deadline, no_store)


def exchange_of(request: Request) -> Exchange:
    """The exchange that the envelope has put into the request."""
    return cast(Exchange, request.scope[SCOPE_KEY])


def open_exchange(scope: Scope, settings: Settings) -> Exchange:
    """Read the headers and drop those that steer Serve. Never raises: what is wrong is said by ``apply_headers``."""
    read, kept = _sort(scope["headers"])
    if len(kept) != len(scope["headers"]):
        scope["headers"] = kept
    asked = read.get("x-request-id", "")
    request_id = asked if _TOKEN.fullmatch(asked) else f"req_{_PROCESS}{next(_NUMBERS):08x}"
    now = time.monotonic()
    exchange = Exchange(request_id, now, now + settings.default_deadline_ms / 1000, headers=read)
    scope[SCOPE_KEY] = exchange
    return exchange


def apply_headers(exchange: Exchange, settings: Settings) -> None:
    """Take the deadline and the lane from the headers. Raises ``InvalidInput`` naming the header."""
    deadline, lane = exchange.headers.get("x-deadline-ms"), exchange.headers.get("x-lane")
    if deadline is not None:
        exchange.deadline = exchange.started + _milliseconds(deadline, settings.max_deadline_ms) / 1000
    if lane is not None:
        if lane not in ("interactive", "bulk"):
            raise InvalidInput("X-Lane must be interactive or bulk.", "X-Lane")
        exchange.lane = cast(Lane, lane)


def _milliseconds(value: str, highest: int) -> int:
    if value.isascii() and value.isdigit() and len(value) <= 7 and 1 <= int(value) <= highest:
        return int(value)
    raise InvalidInput(f"X-Deadline-Ms must be a whole number from 1 to {highest}.", "X-Deadline-Ms")


def _sort(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], list[tuple[bytes, bytes]]]:
    """The headers read here, and those that may go on. Repeated ones are joined, so that they fail their grammar.

    Names with an underscore go as well: Serve takes ``_`` and ``-`` for the same thing.
    """
    read: dict[str, str] = {}
    kept = []
    for name, value in headers:
        if name in _STEERING or b"_" in name:
            continue
        kept.append((name, value))
        if name in _READ:
            key, text = name.decode(), value.decode("latin-1")
            read[key] = f"{read[key]}, {text}" if key in read else text
    return read, kept
