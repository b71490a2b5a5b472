"""107 journal entries of realistic length, some of 1,000 words: comprehensive analysis warm, and cold beside the bare engine.

Server time is what the access log says. Cold is compared with what the bare engine takes for the same texts, in windows, in
this process and in the same rounds; every round has new texts.
"""

import asyncio
import json
import secrets
import statistics
import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.bare import bare_engine
from benchmarks.checks.verdict import Verdict
from benchmarks.journals import Journals
from benchmarks.load import Connection, Outcome
from deployments.settings import load_settings

ENTRIES = 107
WARM_S, ABOVE_BARE_S = 0.2, 0.6
LOGGED_S = 1.0
WHOLE = "/api/v1/ai/comprehensive-analysis?user_id={}&timeframe=all_time"


def measure(port: int, home: Path, rounds: int = 5, warm: int = 100, count: int = ENTRIES) -> Verdict:
    """Cold and warm analyses of ``count`` entries, one new entry, and one that changed."""
    verdict = Verdict("comprehensive analysis of a journal")
    mark = f"journal-{secrets.token_hex(4)}"
    supply, encode = Journals(secrets.randbits(32)), _bare()
    above, colds, bares = list[float](), list[float](), list[float]()
    user, entries = "", list[dict[str, Any]]()
    for number in range(rounds):
        user, entries = f"{mark}-{number}", supply.entries(count)
        asyncio.run(_store(port, user, entries))
        cold, answer = asyncio.run(_ask(port, user, f"{mark}-cold-{number}"))
        bare = encode([entry["text"] for entry in entries])
        computed = answer["processing_metadata"]["computed"]
        verdict.require(f"round {number}: all computed", computed["embedding"] == count and not answer["partial"])
        colds, bares, above = [*colds, cold], [*bares, bare], [*above, cold - bare]
    words = sum(len(entry["text"].split()) for entry in entries)
    verdict.figures |= {"entries": count, "words": words, "bare engine, s": round(statistics.median(bares), 2)}
    verdict.figures["cold, s"] = round(statistics.median(colds), 2)
    verdict.at_most("cold above the bare engine, s", statistics.median(above), ABOVE_BARE_S)
    _warm(verdict, port, home, user, mark, warm)
    _changed(verdict, port, user, supply, mark)
    return verdict


def _warm(verdict: Verdict, port: int, home: Path, user: str, mark: str, count: int) -> None:
    found = asyncio.run(_ask_often(port, user, f"{mark}-warm", count))
    kept = [orjson.loads(outcome.body)["processing_metadata"]["cached"] for outcome in found]
    verdict.require("every warm answer was kept", all(len(parts) == 3 for parts in kept))
    bodies = {_lasting(outcome.body) for outcome in found}
    verdict.require("every warm answer is the same", len(bodies) == 1)
    time.sleep(LOGGED_S)
    server = _logged_s(home / "logs" / "access.log", f"{mark}-warm")
    verdict.require("the access log has every request", len(server) == count)
    verdict.figures["warm p50 of server time, s"] = round(statistics.median(server), 4)
    verdict.at_most("warm p99 of server time, s", sorted(server)[int(0.99 * len(server))], WARM_S)


def _changed(verdict: Verdict, port: int, user: str, supply: Journals, mark: str) -> None:
    """One entry more is one text for the models."""
    extra = {**supply.entries(1)[0], "id": "one-more", "created_at": "2027-03-01T12:00:00+00:00"}
    asyncio.run(_store(port, user, [extra]))
    seconds, answer = asyncio.run(_ask(port, user, f"{mark}-more"))
    computed = answer["processing_metadata"]["computed"]
    verdict.figures["one entry more, s"] = round(seconds, 2)
    verdict.require("one entry more costs one inference of each role", set(computed.values()) == {1})
    verdict.require("and another answer", not answer["processing_metadata"]["cached"])


def _bare() -> Any:
    """Seconds that the bare engine takes for texts, length-sorted under the replicas' token budget."""
    engine, budget = bare_engine(), load_settings().token_budget

    def encode(texts: list[str]) -> float:
        started = time.perf_counter()
        items = sorted(engine.prepare(texts, {"truncate": "window"}), key=lambda item: item.cost)
        batch = list[Any]()
        for item in items:
            if batch and item.cost * (len(batch) + 1) > budget:
                engine.run(batch)
                batch = []
            batch.append(item)
        engine.run(batch)
        return time.perf_counter() - started

    return encode


async def _store(port: int, user: str, entries: list[dict[str, Any]]) -> None:
    connection = Connection("127.0.0.1", port)
    body = orjson.dumps({"entries": entries})
    outcome = await connection.ask("POST", f"/api/v1/journal/{user}/entries", body)
    connection.close()
    if outcome.status != 200:
        raise RuntimeError(f"the entries were not stored: status {outcome.status}")


async def _ask(port: int, user: str, request_id: str) -> tuple[float, dict[str, Any]]:
    (outcome,) = await _ask_often(port, user, request_id, 1)
    answer: dict[str, Any] = orjson.loads(outcome.body)
    return outcome.seconds, answer


async def _ask_often(port: int, user: str, request_id: str, count: int) -> list[Outcome]:
    """One client, one request after the other."""
    connection, found = Connection("127.0.0.1", port, keep_body=True), list[Outcome]()
    for number in range(count):
        headers = {"X-Request-Id": f"{request_id}-{number}", "X-Deadline-Ms": "120000"}
        found.append(await connection.ask("GET", WHOLE.format(user), headers=headers))
        if found[-1].status != 200:
            raise RuntimeError(f"no analysis: status {found[-1].status} {found[-1].body[:300].decode()}")
    connection.close()
    return found


def _lasting(body: bytes) -> bytes:
    """An answer without what differs from call to call."""
    answer = orjson.loads(body)
    answer["analysis_summary"].pop("processing_time_seconds")
    answer.pop("processing_metadata")
    return orjson.dumps(answer)


def _logged_s(log: Path, mark: str) -> list[float]:
    with log.open() as file:
        return [json.loads(line)["ms"] / 1e3 for line in file if mark in line]
