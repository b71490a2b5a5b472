"""The companion's reply as server-sent events of its own form: ``token``, then ``done`` or ``error``."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.chat.help_lines import HelpLines
from deployments.chat.reply_check import Withheld
from deployments.chat.template import DISCLAIMER
from deployments.errors import DeadlineExceeded
from serve_app.api.calls import while_connected
from serve_app.api.chat_flow import Companion
from serve_app.api.chat_known import Asked, Known, Wrote
from serve_app.api.errors import DEFECT, cause_of, describe_defect, error_body, row_for
from serve_app.api.event_stream import MEDIA_TYPE, event
from serve_app.api.exchange import exchange_of

LAST_WORDS_S = 0.1
"""Of the request's time: kept for the event that tells of its end."""
_TOKEN = re.compile(r"\s*\S+|\s+\Z")
_log = logging.getLogger("ray.serve.muster")
# Reverse proxies of the nginx kind hold answers back to fill their buffers, unless told not to.
_HEADERS = ((b"content-type", f"{MEDIA_TYPE}; charset=utf-8".encode()), (b"x-accel-buffering", b"no"))


class ChatStream(Response):
    """Everything after the request was read is told in events. When the client leaves, all of it stops and nothing is
    kept."""

    def __init__(self, companion: Companion, request: Request, asked: Asked, help_lines: HelpLines) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._companion, self._request, self._asked, self._help_lines = companion, request, asked, help_lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        exchange = exchange_of(self._request)
        try:
            async with asyncio.timeout(exchange.deadline - LAST_WORDS_S - time.monotonic()):
                async with aclosing(self._events()) as events:
                    async for data in events:
                        await send(_body(data))
        except TimeoutError:
            await send(_body(_failure(DeadlineExceeded(), exchange.request_id)))
        except Withheld as withheld:
            await send(_body(_withheld(withheld, exchange.request_id)))
        except Exception as error:  # noqa: BLE001 - whatever breaks now is told in an event of this stream's form
            error = _known(error, exchange.request_id)
            await send(_body(_failure(error, exchange.request_id)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncGenerator[Mapping[str, Any], None]:
        known, wrote = await self._companion.know(self._request, self._asked), Wrote()
        said: list[str] = []
        async with aclosing(self._companion.words(self._request, known, wrote)) as pieces:
            async for piece in pieces:
                said.append(piece)
                for token in _TOKEN.findall(piece):
                    yield {"type": "token", "content": token}
        wrote.texts = ["".join(said)]
        await self._companion.remember(self._request, known, wrote)
        yield self._done(known, wrote)

    def _done(self, known: Known, wrote: Wrote) -> dict[str, Any]:
        return {
            "type": "done",
            "conversation_id": self._asked.conversation,
            "source": wrote.source,
            "model": wrote.model,
            "revision": wrote.revision,
            "fallback": wrote.fallback,
            "reason": wrote.reason if wrote.source == "template" else None,
            "crisis": {"outcome": known.crisis.outcome, "level": known.level},
            "help_resources": self._help_lines.of(self._asked.country) if known.needs_help_lines else None,
            "partial": known.parts.failed,
            "disclaimer": DISCLAIMER,
        }


def _known(error: Exception, request_id: str) -> Exception:
    """The error itself; a defect of ours is logged by its place."""
    cause = cause_of(error)
    if row_for(cause) is DEFECT:
        _log.error("request %s failed: %s", request_id, describe_defect(error))
    return cause if isinstance(cause, Exception) else error


def _failure(error: Exception, request_id: str) -> dict[str, Any]:
    told = error_body(error, row_for(error), request_id)["error"]
    return {"type": "error", "content": told["message"], "code": told["code"], "request_id": request_id}


def _withheld(withheld: Withheld, request_id: str) -> dict[str, Any]:
    words = "The rest of the reply was withheld: it broke a rule of what may be shown."
    return {"type": "error", "content": words, "code": f"withheld_{withheld.reason}", "request_id": request_id}


def _body(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "http.response.body", "body": event(orjson.dumps(data)), "more_body": True}
