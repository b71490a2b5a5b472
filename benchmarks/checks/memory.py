"""Thousands of distinct texts stream through: what the processes on their way grow by.

Counted is private memory, of the gateways and of the model's replicas. The result cache is a share that the operator sets
(``MUSTER_CACHE_BYTES``), and known: what it keeps of these texts is taken off.
"""

import asyncio
from collections.abc import Callable

import orjson

from benchmarks.checks.verdict import Verdict
from benchmarks.load import Connection, Load, Outcome, closed_loop, embed_body
from benchmarks.server import Server, private_bytes
from benchmarks.texts import Texts
from deployments.cache import OVERHEAD_BYTES

APPLICATION, MIB = "all-minilm-l6-v2", 2**20
CLIENTS, A_REQUEST = 8, 16
GROWTH_MIB = 24
"""What the second half of the texts may add in all processes together, the cache's share taken off."""
VECTOR_BYTES, LABELS_BYTES = 384 * 4, 7 * 4


def embeddings(server: Server, texts: int = 10_000) -> Verdict:
    """Distinct texts of mixed lengths through ``/v1/embeddings``."""
    return _stream(server, "embeddings", "/v1/embeddings", embed_body, texts, VECTOR_BYTES)


def classification(server: Server, texts: int = 10_000) -> Verdict:
    """The same through the emotion head."""
    return _stream(server, "classification", "/v1/classify", _classify_body, texts, LABELS_BYTES)


def _classify_body(texts: list[str]) -> bytes:
    return orjson.dumps({"model": "emotion", "input": texts})


def _stream(
    server: Server, name: str, path: str, body: Callable[[list[str]], bytes], count: int, kept_bytes: int
) -> Verdict:
    verdict = Verdict(f"memory while {count} distinct texts stream through, {name}")
    texts = Texts(len(path)).mixed(count)
    groups = {"gateways": "gateway", "replicas": APPLICATION}
    processes = {what: server.replicas(deployment) for what, deployment in groups.items()}
    held = [{what: private_bytes(members) / MIB for what, members in processes.items()}]
    loads = []
    for half in (texts[: count // 2], texts[count // 2 :]):
        loads.append(asyncio.run(_send(server.port, path, body, half)))
        held.append({what: private_bytes(members) / MIB for what, members in processes.items()})
    verdict.require("every request answered", not any(load.failures for load in loads))
    verdict.figures["texts/s"] = round(count / sum(load.seconds for load in loads), 1)
    for what in groups:
        verdict.figures[f"{what}, MiB before, at half, after"] = [round(each[what], 1) for each in held]
    kept = (count - count // 2) * (kept_bytes + OVERHEAD_BYTES) / MIB
    verdict.figures["of the second half in the result cache, MiB"] = round(kept, 1)
    grown = sum(held[2].values()) - sum(held[1].values()) - kept
    verdict.require_at_most("growth in the second half, MiB", grown, GROWTH_MIB)
    alive = {process.pid for deployment in groups.values() for process in server.replicas(deployment)}
    # Autoscaling may have added one; none may have gone.
    asked = {process.pid for members in processes.values() for process in members}
    verdict.require("no process was replaced", asked <= alive)
    return verdict


async def _send(port: int, path: str, body: Callable[[list[str]], bytes], texts: list[str]) -> Load:
    bodies = [body(texts[start : start + A_REQUEST]) for start in range(0, len(texts), A_REQUEST)]

    async def ask(connection: Connection, client: int) -> Outcome | None:
        return await connection.ask("POST", path, bodies.pop()) if bodies else None

    return await closed_loop(port, CLIENTS, ask)
