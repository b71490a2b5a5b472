"""Requirement 3: skill assessments with evidence, SHAP and reasoning: latency of one, throughput of a batch of 100."""

import asyncio
import random
from typing import Any

import orjson

from benchmarks.checks.verdict import Verdict
from benchmarks.load import Connection, Load, Outcome, closed_loop
from deployments.skills.synthetic import generate


def student_bodies(count: int, seed: int) -> list[dict[str, Any]]:
    """Features of ``count`` students, as a client would send them."""
    from deployments.skills.features import FeatureSet

    data = generate(max(count, 50), seed)
    return [FeatureSet(tuple(None if v != v else float(v) for v in row)).to_json() for row in data.base[:count]]


def measure(port: int, rounds: int = 60, batches: int = 12) -> Verdict:
    """One student at a time, stored features; then batches of 100 with inline features."""
    verdict = Verdict("skill assessment")
    rows = student_bodies(200, seed=5)
    asyncio.run(_store(port, rows[:100]))
    single = asyncio.run(_single(port, rounds))
    verdict.require("every single assessment answered", not single.failures)
    verdict.at_most("one student p50, ms", single.percentile(0.5) * 1e3, 40)
    verdict.figures["one student p99, ms"] = round(single.percentile(0.99) * 1e3, 1)
    batch = asyncio.run(_batches(port, batches))
    verdict.require("every batch answered", not batch.failures)
    verdict.at_least("students a second in batches of 100", 100 * batches / batch.seconds, 400)
    answered = orjson.loads(batch.outcomes[0].body)
    verdict.require("100 of 100 students succeeded", answered["successful"] == 100)
    return verdict


async def _store(port: int, rows: list[dict[str, Any]]) -> None:
    connection = Connection("127.0.0.1", port)
    for number, row in enumerate(rows):
        outcome = await connection.ask("PUT", f"/api/v1/students/bench-{number}/features", orjson.dumps(row))
        if outcome.status != 200:
            raise RuntimeError(f"features of student {number} were not stored: status {outcome.status}")
    connection.close()


async def _single(port: int, rounds: int) -> Load:
    left = list(range(rounds))

    async def ask(connection: Connection, client: int) -> Outcome | None:
        if not left:
            return None
        return await connection.ask("POST", f"/api/v1/infer/bench-{left.pop() % 100}", b"{}")

    return await closed_loop(port, 1, ask)


async def _batches(port: int, batches: int) -> Load:
    ids = [f"bench-{number}" for number in range(100)]
    left = list(range(batches))

    async def ask(connection: Connection, client: int) -> Outcome | None:
        if not left:
            return None
        left.pop()
        random.shuffle(ids)
        keep = Connection("127.0.0.1", port, keep_body=True)
        outcome = await keep.ask("POST", "/api/v1/infer/batch", orjson.dumps({"student_ids": ids}))
        keep.close()
        return outcome

    return await closed_loop(port, 1, ask)
