"""Cached texts: how long the gateway takes for one, and that equal texts at the same time are computed once.

Server time is what the access log says: from the request's first byte in the gateway to the answer's last one given to the
socket. HAProxy before it and the client behind it are not in it; what a client sees stands beside it.
"""

import asyncio
import json
import secrets
import statistics
import time
from pathlib import Path

from benchmarks import metrics_page
from benchmarks.checks.verdict import Verdict
from benchmarks.load import Connection, Outcome, closed_loop, embed_body
from benchmarks.texts import Texts

APPLICATION = "all-minilm-l6-v2"
PUBLISHED_S, LOGGED_S = 3.0, 1.0
"""Gateways tell each other their counts every two seconds, and write the access log five times a second."""
PASSES, COMPUTED = "muster_batch_items_count", "muster_batch_items_sum"


def one_text(port: int, home: Path, requests: int = 2000) -> Verdict:
    """One client asks for one kept text again and again."""
    verdict = Verdict("a cached text")
    mark = f"kept-{secrets.token_hex(4)}"
    found = asyncio.run(_kept_text(port, requests, mark))
    time.sleep(LOGGED_S)
    server = _logged_ms(home / "logs" / "access.log", mark)
    hits = [number for number, outcome in enumerate(found) if outcome.headers.get("x-cache-hits") == "1"]
    verdict.require("every request answered", all(outcome.status == 200 for outcome in found))
    # Every ten seconds a gateway asks the model for its revision, with a text that it computes anew.
    verdict.require(f"99 of 100 were kept ({len(hits)} of {requests})", len(hits) >= 0.99 * requests)
    verdict.require("the access log has every request", len(server) == requests)
    ours = sorted(server[number] for number in hits if number in server)
    seen = sorted(found[number].seconds * 1e3 for number in hits)
    verdict.figures["server p50, ms"] = round(statistics.median(ours), 2)
    verdict.at_most("server p99, ms", ours[int(0.99 * len(ours))], 3.0)
    verdict.figures |= {
        "client p50, ms": round(statistics.median(seen), 2),
        "client p99, ms": round(seen[int(0.99 * len(seen))], 2),
    }
    return verdict


async def _kept_text(port: int, requests: int, mark: str) -> list[Outcome]:
    body, found = embed_body(Texts(101).short(1)[0]), list[Outcome]()
    warm = Connection("127.0.0.1", port)
    for _ in range(40):
        await warm.ask("POST", "/v1/embeddings", body)
    warm.close()

    async def ask(connection: Connection, client: int) -> Outcome | None:
        if len(found) == requests:
            return None
        found.append(await connection.ask("POST", "/v1/embeddings", body, {"X-Request-Id": f"{mark}-{len(found)}"}))
        return found[-1]

    await closed_loop(port, 1, ask)
    return found


def _logged_ms(log: Path, mark: str) -> dict[int, float]:
    """Milliseconds by the number of the request."""
    with log.open() as file:
        lines = [json.loads(line) for line in file if mark in line]
    return {int(line["request_id"].rsplit("-", 1)[1]): line["ms"] for line in lines}


def equal_texts(port: int, count: int = 1000) -> Verdict:
    """So many requests of one new text at once, then one request with another one so many times."""
    verdict = Verdict(f"{count} equal texts at once cost one forward pass")
    verdict.require("what replicas compute is counted", PASSES in metrics_page.read(port))
    supply = Texts(secrets.randbits(32))
    many, one = [embed_body(supply.short(1)[0])] * count, [embed_body(supply.short(1) * count)]
    for what, bodies in ((f"{count} requests", many), (f"one request with {count}", one)):
        time.sleep(PUBLISHED_S)
        before = metrics_page.read(port)
        started = time.perf_counter()
        found = asyncio.run(_at_once(port, bodies))
        verdict.figures[f"{what}, s"] = round(time.perf_counter() - started, 2)
        time.sleep(PUBLISHED_S)
        after = metrics_page.read(port)
        verdict.require(f"{what}: all answered", all(outcome.status == 200 for outcome in found))
        verdict.require(f"{what}: all alike", len({outcome.body.split(b'"request_id"')[0] for outcome in found}) == 1)
        for name, counted in (("passes", PASSES), ("texts computed", COMPUTED)):
            spent = after.total(counted, application=APPLICATION) - before.total(counted, application=APPLICATION)
            verdict.require_at_most(f"{what}: {name}", spent, 1)
            verdict.require(f"{what}: {name} were counted", spent > 0)
    return verdict


async def _at_once(port: int, bodies: list[bytes]) -> list[Outcome]:
    connections = [Connection("127.0.0.1", port, keep_body=True) for _ in bodies]
    asked = [each.ask("POST", "/v1/embeddings", body) for each, body in zip(connections, bodies, strict=True)]
    found = await asyncio.gather(*asked)
    for connection in connections:
        connection.close()
    return list(found)
