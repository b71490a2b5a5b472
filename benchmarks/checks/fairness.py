"""Requirement 4: bulk work must not hold up interactive clients, and must itself finish."""

import asyncio
import time

from benchmarks.checks.verdict import Verdict
from benchmarks.load import Connection, Load, Outcome, closed_loop, embed_body
from benchmarks.texts import Texts

INTERACTIVE_CLIENTS = 16
BULK_REQUESTS, BULK_TEXTS = 5, 2_000


def measure(port: int, seconds: float = 10.0, bulk_texts: int = BULK_TEXTS) -> Verdict:
    """16 interactive clients alone for ``seconds``, then again while five bulk requests run."""
    verdict = Verdict("interactive latency beside bulk work")
    supply = Texts(11)
    alone = asyncio.run(_interactive(port, supply, seconds))
    together, bulk = asyncio.run(_together(port, supply, bulk_texts))
    verdict.figures |= {
        "interactive alone, requests/s": round(len(alone.outcomes) / alone.seconds, 1),
        "interactive alone p99, ms": round(alone.percentile(0.99) * 1e3, 1),
        "interactive beside bulk, requests/s": round(len(together.outcomes) / together.seconds, 1),
        "interactive beside bulk p99, ms": round(together.percentile(0.99) * 1e3, 1),
        "bulk seconds": round(max(outcome.seconds for outcome in bulk), 1),
    }
    verdict.at_most("p99 beside bulk / alone", together.percentile(0.99) / alone.percentile(0.99), 5)
    verdict.require("every interactive request answered", not alone.failures and not together.failures)
    verdict.require("every bulk request answered", all(outcome.status == 200 for outcome in bulk))
    return verdict


async def _interactive(port: int, supply: Texts, seconds: float, stop: asyncio.Event | None = None) -> Load:
    until = time.perf_counter() + seconds

    async def ask(connection: Connection, client: int) -> Outcome | None:
        if time.perf_counter() > until or (stop is not None and stop.is_set()):
            return None
        return await connection.ask("POST", "/v1/embeddings", embed_body(supply.short(1)[0]))

    return await closed_loop(port, INTERACTIVE_CLIENTS, ask)


async def _together(port: int, supply: Texts, bulk_texts: int) -> tuple[Load, list[Outcome]]:
    done = asyncio.Event()
    bodies = [embed_body(supply.short(bulk_texts)) for _ in range(BULK_REQUESTS)]
    interactive = asyncio.create_task(_interactive(port, supply, 300.0, done))
    connections = [Connection("127.0.0.1", port) for _ in bodies]
    bulk = await asyncio.gather(
        *(c.ask("POST", "/v1/embeddings", body) for c, body in zip(connections, bodies, strict=True))
    )
    done.set()
    for connection in connections:
        connection.close()
    return await interactive, list(bulk)
