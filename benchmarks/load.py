"""The load generator: keep-alive HTTP/1.1 over raw asyncio streams, closed loop, one connection a client.

It does as little as possible per request, because it shares the machine's cores with the server that it measures.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

Body = Callable[[], bytes | None]


@dataclass(slots=True)
class Outcome:
    """One request: status, seconds, headers (lower case), body (kept only when asked for)."""

    status: int
    seconds: float
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Load:
    """What a run saw. ``seconds`` is the wall time from the first request to the last answer."""

    seconds: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status != 200]

    def percentile(self, share: float) -> float:
        """Seconds that ``share`` (0..1) of the requests stayed under."""
        ordered = sorted(outcome.seconds for outcome in self.outcomes)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Connection:
    """One keep-alive connection; reconnects when the server closed it."""

    def __init__(self, host: str, port: int, keep_body: bool = False) -> None:
        self._host, self._port, self._keep = host, port, keep_body
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Outcome:
        """Send one request; a broken connection counts as status 0."""
        started = time.perf_counter()
        fields = {"Host": f"{self._host}:{self._port}", "Content-Type": "application/json", **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"{method} {path} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        try:
            # As every HTTP client does: an idle connection that the server has closed meanwhile is not used again.
            if self._reader is None or self._writer is None or self._writer.is_closing() or self._reader.at_eof():
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=2**22)
            # Latin-1, so that a test can put any byte into a header.
            self._writer.write(head.encode("latin-1") + body)
            status, headers, answer = await self._answer()
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.close()
            return Outcome(0, time.perf_counter() - started)
        return Outcome(status, time.perf_counter() - started, answer if self._keep else b"", headers)

    async def _answer(self) -> tuple[int, dict[str, str], bytes]:
        assert self._reader is not None
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split(" ", 2)[1]), headers, body

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


async def closed_loop(
    port: int,
    clients: int,
    ask: Callable[[Connection, int], Awaitable[Outcome | None]],
    keep_bodies: bool = False,
) -> Load:
    """Run ``clients`` clients, each asking again as soon as it is answered, until ``ask`` returns None."""
    load = Load()

    async def client(number: int) -> None:
        connection = Connection("127.0.0.1", port, keep_bodies)
        while (outcome := await ask(connection, number)) is not None:
            load.outcomes.append(outcome)
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def embed_all(port: int, texts: list[str], per_request: int, clients: int, deadline_ms: int = 120_000) -> Load:
    """Embed every text once through ``/v1/embeddings`` (base64, as the OpenAI SDK asks)."""
    bodies = [
        embed_body(texts[start : start + per_request] if per_request > 1 else texts[start])
        for start in range(0, len(texts), per_request)
    ]
    return await post_all(port, "/v1/embeddings", bodies, clients, {"X-Deadline-Ms": str(deadline_ms)})


async def post_all(
    port: int,
    path: str,
    bodies: Sequence[bytes],
    clients: int,
    headers: Mapping[str, str] | None = None,
    keep_bodies: bool = False,
) -> Load:
    """Post every body once, in order; each client takes the next."""
    left = list(reversed(bodies))

    async def ask(connection: Connection, number: int) -> Outcome | None:
        return await connection.ask("POST", path, left.pop(), headers) if left else None

    return await closed_loop(port, clients, ask, keep_bodies)


def embed_body(texts: str | list[str], encoding: str = "base64") -> bytes:
    return orjson.dumps({"model": "embedding", "input": texts, "encoding_format": encoding})
