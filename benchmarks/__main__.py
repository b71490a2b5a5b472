"""``make bench``: measure everything side by side in one run and write ``benchmarks/RESULTS.md``."""

import argparse
import asyncio
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import eight_bit, generation, oversubscription, peers, store
from benchmarks.bare import as_in_replicas, scratch_home
from benchmarks.checks import assessment, cache, fairness, footprint, journal, speed, streams
from benchmarks.load import Connection, Outcome, closed_loop, embed_body
from benchmarks.page import median, requirements, section, speed_table
from benchmarks.server import Server
from benchmarks.texts import Texts
from deployments.settings import cores, load_settings

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("ray", "onnxruntime", "torch", "transformers", "sentence-transformers", "xgboost")


def main() -> None:
    """Start Muster, measure, write the page."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds of the speed table")
    parser.add_argument(
        "--peers", action="store_true", help="other servers too; their environments take minutes to make"
    )
    peers.add_arguments(parser)
    given = parser.parse_args()
    as_in_replicas()
    with scratch_home():
        page = measure(given.rounds)
    RESULTS.write_text("\n".join(page))
    if given.peers:
        page += peers.pages(peers.measure(environments=given.environments))
        RESULTS.write_text("\n".join(page))
    print(RESULTS.read_text())


def measure(rounds: int) -> list[str]:
    """The page's sections. The first start fills the store; the second is the one that is timed."""
    with Server():
        pass
    with Server() as server:
        start = footprint.start(server)
        figures = speed.measure(server.port, rounds)
        throughput = speed.floors(figures)
        overhead = asyncio.run(path_overhead(server.port))
        students = assessment.measure(server.port, rounds=300, batches=30)
        fair = fairness.measure(server.port, seconds=15)
        kept = cache.one_text(server.port, server.home)
        insights = journal.measure(server.port, server.home)
        memory = footprint.memory(server)
        written = streams.measure(server, drops=200)
        stop = footprint.stop(server)
    crowded, whole_texts = oversubscription.measure(rounds), generation.measure()
    eight_bits = eight_bit.measure(rounds)
    return [
        _head(rounds),
        speed_table("Texts a second", figures),
        requirements(throughput, "Ratios (median of the rounds' ratios)"),
        section("Overhead of the whole path, without the model", overhead),
        section("Skill assessment (four skills, evidence, exact SHAP, template reasoning)", students.figures),
        section("16 interactive clients beside five bulk requests of 2,000 texts", fair.figures),
        section("A cached text, one client", kept.figures),
        section("Comprehensive analysis of a journal of 107 entries, some of 1,000 words", insights.figures),
        section("Three encoder replicas of two threads on two cores, bare engines", crowded.figures),
        section("Generation: a GPT-2 of DialoGPT-small's size with random weights, in one process", whole_texts),
        section("The same over HTTP with a small one, and 200 clients that leave in the middle", written.figures),
        section("8 bits against fp32, bare engines taking turns", eight_bits),
        section("Verifying the store, warm in the page cache", store.measure()),
        section("Start, memory, stop", {**start.figures, **memory.figures, "stop, s": stop.figures["seconds"]}),
    ]


async def path_overhead(port: int, requests: int = 300) -> dict[str, float]:
    """Milliseconds that HAProxy, gateway, dispatcher and handle add: the answer's time minus what the model reports."""
    supply, bodies = Texts(41), list[bytes]()
    health = await _one_client(port, "GET", "/health", [b""] * requests)
    bodies = [embed_body(text) for text in supply.short(requests)]
    embedding = await _one_client(port, "POST", "/v1/embeddings", bodies)
    inside = [sum(_reported(outcome)) for outcome in embedding]
    outside = [outcome.seconds * 1e3 - model for outcome, model in zip(embedding, inside, strict=True)]
    return {
        "GET /health (HAProxy and gateway only), p50 ms": median([outcome.seconds * 1e3 for outcome in health]),
        "embedding of one short text, p50 ms": median([outcome.seconds * 1e3 for outcome in embedding]),
        "of that queueing, tokenising and computing, p50 ms": median(inside),
        "of that everything else, p50 ms": median(outside),
    }


async def _one_client(port: int, method: str, path: str, bodies: list[bytes]) -> list[Outcome]:
    left = list(reversed(bodies))

    async def ask(connection: Connection, client: int) -> Outcome | None:
        return await connection.ask(method, path, left.pop()) if left else None

    return (await closed_loop(port, 1, ask)).outcomes


def _reported(outcome: Outcome) -> list[float]:
    return [float(outcome.headers[f"x-{part}-ms"]) for part in ("queue", "tokenize", "compute")]


def _head(rounds: int) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    now = datetime.now(UTC).date().isoformat()
    return f"""# Results

Written by `make bench` on {now}: {processor()}, {cores()} cores, {memory_gib()} GiB, no GPU
([RESULTS-GPU.md](RESULTS-GPU.md) has figures of one); Python
{platform.python_version()}, {packages};
{load_settings().threads} compute threads, token budget {load_settings().token_budget}.

Everything below was measured in one run; the load generator (`benchmarks/load.py`, raw asyncio) shares the cores with
the server. Compare figures inside this page only: machines drift. {rounds} interleaved rounds, distinct texts, no result
cache. short: {12} tokens; mixed: log-normal, median 40, mean 59, at most 256 tokens.
"""


def processor() -> str:
    """The processor's name as the kernel gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def memory_gib() -> int:
    import psutil

    total: int = psutil.virtual_memory().total
    return round(total / 2**30)


if __name__ == "__main__":
    main()
