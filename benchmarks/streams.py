"""Streamed chats over a raw connection: read to the end, or dropped in the middle as a client that dies would drop it."""

import asyncio
import random
import time
from dataclasses import dataclass, field

import orjson

from benchmarks.load import Outcome

EVENT, DONE = b"data: ", b"data: [DONE]"


@dataclass(slots=True)
class Streamed(Outcome):
    """``tokens``: of a whole answer; ``first_s``: until the first text; ``events``: how many came."""

    tokens: int = 0
    first_s: float = 0.0
    events: int = 0
    whole: bool = field(default=False)


def chat_body(model: str, prompt: str, tokens: int, *, stream: bool = True) -> bytes:
    """A greedy chat of at most that many new tokens."""
    asked = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0}
    return orjson.dumps(asked | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {}))


async def stream(port: int, body: bytes, leave_after: int | None = None, *, rudely: bool = False) -> Streamed:
    """One streamed chat. ``leave_after``: events after which the client goes, by a reset where ``rudely``."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nX-Deadline-Ms: 300000\r\n"
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    found = Streamed(0, 0.0)
    try:
        found.status = int((await reader.readline()).split(b" ")[1])
        await reader.readuntil(b"\r\n\r\n")
        while found.status == 200 and not found.whole and found.events != leave_after:
            _note(found, await reader.readline(), time.perf_counter() - started)
    except (OSError, asyncio.IncompleteReadError, IndexError):
        found.status = 0
    found.seconds = time.perf_counter() - started
    if rudely:
        writer.transport.abort()
    writer.close()
    return found


def _note(found: Streamed, line: bytes, seconds: float) -> None:
    """A line of the body; frames of the transfer and empty lines tell nothing."""
    if not line:
        raise ConnectionResetError("the stream broke off")
    if not line.startswith(EVENT):
        return
    if line.startswith(DONE):
        found.whole = True
        return
    found.events += 1
    chunk = orjson.loads(line[len(EVENT) :])
    if "error" in chunk:
        found.status = 0
        return
    if not found.first_s and any(choice["delta"].get("content") for choice in chunk["choices"]):
        found.first_s = seconds
    found.tokens = (chunk.get("usage") or {}).get("completion_tokens", found.tokens)


async def drop_many(port: int, bodies: list[bytes], at_a_time: int, seed: int = 0) -> list[Streamed]:
    """Begin every chat and leave each after one to five events, half of them by a reset of the connection."""
    chance, left = random.Random(seed), list(reversed(bodies))
    found: list[Streamed] = []

    async def client() -> None:
        while left:
            events, rudely = chance.randint(1, 5), chance.random() < 0.5
            found.append(await stream(port, left.pop(), events, rudely=rudely))

    await asyncio.gather(*(client() for _ in range(at_a_time)))
    return found


async def read_all(port: int, bodies: list[bytes], at_a_time: int) -> list[Streamed]:
    """Every chat to its end, ``at_a_time`` of them at a time."""
    left, found = list(reversed(bodies)), list[Streamed]()

    async def client() -> None:
        while left:
            found.append(await stream(port, left.pop()))

    await asyncio.gather(*(client() for _ in range(at_a_time)))
    return found
