"""Server-sent events: an answer that is sent while it is made, and dropped when the client leaves."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from serve_app.api.calls import while_connected

MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
T = TypeVar("T")
Piece = TypeVar("Piece", contravariant=True)


class Writer(Protocol[Piece]):
    """Turns what a stream is made of into events."""

    def write(self, piece: Piece) -> bytes:
        """The events of one piece; empty when it tells the client nothing new."""

    def end(self) -> bytes:
        """The events after the last piece."""


@dataclass(frozen=True, slots=True)
class Begun(Generic[T]):
    """A stream whose first piece is there. ``rest`` is closed by who takes it."""

    first: T
    rest: AsyncGenerator[T, None]
    writer: Writer[T]
    headers: Mapping[str, str]


class EventStream(Response, Generic[T]):
    """``begin`` fails with an HTTP status of its own; what fails later ends the stream with an error event, which the
    envelope sends."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Begun[T]]]) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._begin = begin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        begun = await self._begin()
        async with aclosing(begun.rest) as rest:
            await send(_start(begun.headers))
            await send(_body(begun.writer.write(begun.first)))
            async for piece in rest:
                if events := begun.writer.write(piece):
                    await send(_body(events))
        await send(_body(begun.writer.end() + DONE, more=False))


def event(data: bytes) -> bytes:
    """One event; ``data`` is JSON and so has no line breaks."""
    return b"data: " + data + b"\n\n"


def is_event_stream(start: Message) -> bool:
    """Whether the answer that starts with this message is made of events."""
    return any(name == b"content-type" and value.startswith(MEDIA_TYPE.encode()) for name, value in start["headers"])


def _start(headers: Mapping[str, str]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(_encoded(headers))}


def _encoded(headers: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    yield b"content-type", f"{MEDIA_TYPE}; charset=utf-8".encode()
    # Reverse proxies of the nginx kind hold answers back to fill their buffers, unless told not to.
    yield b"x-accel-buffering", b"no"
    for name, value in headers.items():
        yield name.lower().encode(), value.encode()


def _body(events: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": events, "more_body": more}
