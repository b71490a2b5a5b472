"""The envelope around every request, one plain ASGI layer: who asks, how much, how long, and what failure answers.

It is plain ASGI because it is on the way of every request, and because it must see a body before anything buffers it.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.errors import DeadlineExceeded
from serve_app.access_log import AccessLog
from serve_app.admission import BodyBudget
from serve_app.api.access import OPEN, admit
from serve_app.api.errors import cause_of, describe_defect, error_response, row_for
from serve_app.api.event_stream import event, is_event_stream
from serve_app.api.exchange import Exchange, apply_headers, open_exchange
from serve_app.auth import KeyRing
from serve_app.errors import BodyTooLarge, UnsupportedMedia
from serve_app.metrics import GatewayMetrics
from serve_app.settings import Settings

_log = logging.getLogger("ray.serve.muster")
CLIENT_LEFT = 499
JSON = frozenset({"application/json"})
TENSORS = JSON | {"application/octet-stream", ""}
"""Tensors may come as bytes behind the JSON; their clients name that type, or none."""
_NO_REFUSALS = frozenset({CLIENT_LEFT, 500})
"""The client's own leaving, and our own defects, which are refused by nobody."""


class Intake:
    """A ``receive`` that bounds the body and refuses what is not plain JSON, chunk by chunk."""

    __slots__ = ("_budget", "_headers", "_kinds", "_limit", "_receive", "size")

    def __init__(self, receive: Receive, path: str, headers: dict[str, str], limit: int, budget: BodyBudget) -> None:
        self._receive, self._headers, self._limit, self._budget = receive, headers, limit, budget
        self._kinds = TENSORS if path.startswith("/v2/models/") and path.endswith("/infer") else JSON
        self.size = 0
        declared = headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
            raise BodyTooLarge(limit)

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and (chunk := message.get("body")):
            self._take(len(chunk))
        return message

    def _take(self, size: int) -> None:
        if self.size == 0:
            check_media(self._headers, self._kinds)
        if self.size + size > self._limit:
            raise BodyTooLarge(self._limit)
        self._budget.take(size, self.size)
        self.size += size

    def close(self) -> None:
        """Give the held bytes back."""
        if self.size:
            self._budget.release(self.size)


class Reply:
    """A ``send`` that adds our headers and remembers how far the answer got. ``streams``: it is made of events."""

    __slots__ = ("_headers", "_send", "done", "status", "streams")

    def __init__(self, send: Send, request_id: str | None) -> None:
        self._send = send
        self.status = 0
        self.done = self.streams = False
        self._headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
        if request_id is not None:
            self._headers.append((b"x-request-id", request_id.encode()))

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.streams = is_event_stream(message)
            message["headers"] = [*message.get("headers", ()), *self._headers]
        else:
            self.done = not message.get("more_body")
        await self._send(message)


class Envelope:
    """The one middleware of the application."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        keys: KeyRing,
        metrics: GatewayMetrics,
        access_log: AccessLog,
        host_echoes_request_id: bool = False,
    ) -> None:
        self._app, self._settings, self._keys = app, settings, keys
        self._host_echoes_request_id = host_echoes_request_id
        self._metrics, self._access_log = metrics, access_log
        self._budget = BodyBudget(settings.max_inflight_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._exchange(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = open_exchange(scope, self._settings)
        echoed = self._host_echoes_request_id and exchange.request_id == exchange.headers.get("x-request-id")
        reply = Reply(send, None if echoed else exchange.request_id)
        release: Callable[[], None] | None = None
        try:
            identity = admit(scope["path"], scope["method"], exchange, self._keys, self._settings)
            exchange.tenant, exchange.key = identity.tenant, identity.key
            if scope["path"] not in OPEN:
                apply_headers(exchange, self._settings)
            intake = Intake(receive, scope["path"], exchange.headers, self._settings.max_body_bytes, self._budget)
            release = intake.close
            await self._within_deadline(exchange, scope, intake, reply)
        except Exception as error:  # noqa: BLE001 - the one place where every error becomes an answer
            await self._fail(error, scope, exchange, receive, reply)
        finally:
            if release:
                release()
            self._account(scope, exchange, reply.status if reply.done else CLIENT_LEFT)

    async def _within_deadline(self, exchange: Exchange, scope: Scope, receive: Receive, reply: Reply) -> None:
        try:
            async with asyncio.timeout(exchange.deadline - time.monotonic()) as limit:
                await self._app(scope, receive, reply)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded() from None

    async def _fail(self, error: Exception, scope: Scope, exchange: Exchange, receive: Receive, reply: Reply) -> None:
        response = error_response(error, scope["path"], exchange.request_id)
        row = row_for(cause_of(error))
        if row.status not in _NO_REFUSALS:
            self._metrics.refused(*exchange.asked, row.code)
        if response.status_code == 500:
            _log.error("request %s failed: %s", exchange.request_id, describe_defect(error))
        if not reply.status:
            await response(scope, receive, reply)
        elif not reply.streams:
            # Half an answer is out: only a broken connection tells the client that the rest will not come.
            raise ConnectionAbortedError("the answer broke off") from None
        elif row.status != CLIENT_LEFT:
            await reply({"type": "http.response.body", "body": event(bytes(response.body))})

    def _account(self, scope: Scope, exchange: Exchange, status: int) -> None:
        seconds = time.monotonic() - exchange.started
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.request(route, scope["method"], status, seconds)
        self._access_log.write(route, scope["method"], status, seconds, exchange)


def check_media(headers: dict[str, str], kinds: frozenset[str] = JSON) -> None:
    """Refuse a body that is compressed or not JSON. Raises ``UnsupportedMedia``."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMedia("Compressed bodies are not read; send the JSON as it is.")
    kind, _, parameters = headers.get("content-type", "").lower().partition(";")
    if kind.strip() not in kinds:
        raise UnsupportedMedia("Send JSON with the header Content-Type: application/json.")
    if "charset=" in parameters and "utf-8" not in parameters:
        raise UnsupportedMedia("JSON is read as UTF-8 only.")
