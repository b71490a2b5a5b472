"""Requirement 5: replicas and Redis die under load; stateless requests do not notice."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import psutil

from benchmarks.checks.verdict import Verdict
from benchmarks.load import Connection, Load, Outcome, embed_body
from benchmarks.texts import Texts

RATE = 20
HEAL_TIMEOUT_S, WARM_S = 30, 12


def kill_replicas(
    port: int, replicas: Callable[[], list[psutil.Process]], kills: int, requests: int, wanted: int = 2
) -> Verdict:
    """Open-loop load of ``RATE`` requests/s for ``requests`` requests, with ``kills`` times SIGKILL of a replica.

    A kill waits until ``wanted`` replicas are up again, so that it never takes the last one.
    """
    verdict = Verdict(f"{kills} kills of a replica at {RATE} requests/s")
    load, killed = asyncio.run(_under_fire(port, replicas, kills, requests, wanted))
    verdict.figures |= {
        "requests": len(load.outcomes),
        "failed": len(load.failures),
        "kills": killed,
        "p50, ms": round(load.percentile(0.5) * 1e3, 1),
        "p99, ms": round(load.percentile(0.99) * 1e3, 1),
        "slowest, ms": round(load.percentile(1.0) * 1e3, 1),
    }
    if load.failures:
        verdict.figures["statuses of failures"] = sorted({outcome.status for outcome in load.failures})
    verdict.require(f"all {kills} kills happened", killed == kills)
    verdict.require("no request failed", not load.failures)
    return verdict


async def _under_fire(
    port: int, replicas: Callable[[], list[psutil.Process]], kills: int, requests: int, wanted: int
) -> tuple[Load, int]:
    load, supply = Load(), Texts(13)
    idle: list[Connection] = []

    async def one(body: bytes) -> None:
        connection = idle.pop() if idle else Connection("127.0.0.1", port)
        load.outcomes.append(await connection.ask("POST", "/v1/embeddings", body))
        idle.append(connection)

    shooter = asyncio.create_task(_shoot(replicas, kills, requests / RATE, wanted))
    started, tasks = time.perf_counter(), []
    for number in range(requests):
        await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(one(embed_body(supply.short(1)[0]))))
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - started
    killed = await shooter
    for connection in idle:
        connection.close()
    return load, killed


async def _shoot(replicas: Callable[[], list[psutil.Process]], kills: int, seconds: float, wanted: int) -> int:
    killed, pause = 0, seconds / (kills + 1)
    until = time.perf_counter() + seconds - 1
    while killed < kills and time.perf_counter() < until:
        await asyncio.sleep(min(pause, 25))
        alive = await asyncio.to_thread(replicas)
        # A replica that is still loading its model is not serving yet; leave both alone until they are warm.
        if len(alive) < wanted or not all(_is_warm(process) for process in alive):
            pause = 1.0
            continue
        os.kill(alive[killed % len(alive)].pid, signal.SIGKILL)
        killed, pause = killed + 1, (until - time.perf_counter()) / (kills - killed + 1)
    return killed


def _is_warm(process: psutil.Process) -> bool:
    try:
        return bool(time.time() - process.create_time() > WARM_S)
    except psutil.NoSuchProcess:
        return False


def kill_redis(port: int, redis: Callable[[], psutil.Process | None]) -> Verdict:
    """SIGKILL Redis: no 5xx on stateless routes, 503 with Retry-After on stored data, degraded, then healed."""
    verdict = Verdict("kill -9 of Redis")
    process = redis()
    if process is None:
        verdict.require("there is an embedded Redis", False)
        return verdict
    asyncio.run(_redis_story(port, process, verdict))
    return verdict


async def _redis_story(port: int, process: psutil.Process, verdict: Verdict) -> None:
    connection, supply = Connection("127.0.0.1", port, keep_body=True), Texts(17)
    features = b'{"linguistic": {"word_count": 100}}'
    stored = await connection.ask("PUT", "/api/v1/students/chaos/features", features)
    # Stopped first, so that the outage lasts long enough to look at; then killed, as promised.
    process.send_signal(signal.SIGSTOP)
    stateless = await _embed_some(connection, supply)
    record = await connection.ask("GET", "/api/v1/students/chaos/features")
    health = await connection.ask("GET", "/health/detailed")
    process.kill()
    killed = time.perf_counter()
    stateless += await _embed_some(connection, supply)
    healed = await _until(connection, killed)
    # The other gateway notices by itself too, a moment later.
    back = await connection.ask("GET", "/api/v1/students/chaos/features")
    while back.status == 503 and time.perf_counter() - killed < HEAL_TIMEOUT_S:
        await asyncio.sleep(0.25)
        back = await connection.ask("GET", "/api/v1/students/chaos/features")
    connection.close()
    verdict.figures |= {"healed after, s": healed, "status while away": record.status}
    verdict.require("features were stored before", stored.status == 200)
    verdict.require("stateless routes gave no 5xx", all(outcome.status == 200 for outcome in stateless))
    verdict.require("stored data gave 503 with Retry-After", record.status == 503 and "retry-after" in record.headers)
    verdict.require("/health/detailed said degraded", b'"degraded"' in health.body)
    verdict.require("it healed by itself", healed is not None)
    verdict.require("stored data survived", back.status == 200)


async def _embed_some(connection: Connection, supply: Texts) -> list[Outcome]:
    return [await connection.ask("POST", "/v1/embeddings", embed_body(supply.short(1)[0])) for _ in range(20)]


async def _until(connection: Connection, since: float) -> float | None:
    while time.perf_counter() - since < HEAL_TIMEOUT_S:
        health = await connection.ask("GET", "/health/detailed")
        if b'"status":"healthy"' in health.body.replace(b" ", b""):
            return round(time.perf_counter() - since, 1)
        await asyncio.sleep(0.25)
    return None
