"""Requirement 2: texts a second, bare and served, interleaved in one run. Ratios, not absolute figures, are the claim."""

import asyncio
import statistics
from collections import defaultdict
from typing import Any

from benchmarks.bare import bare_engine, rate, reference, single_ms
from benchmarks.checks.verdict import Verdict
from benchmarks.load import embed_all
from benchmarks.texts import MIXED, SHORT, Texts

COUNTS = {SHORT: 2048, MIXED: 512}
"""Texts a measurement: about three seconds of work each on two cores."""


def measure(port: int, rounds: int, seed: int = 7) -> dict[str, list[float]]:
    """All figures of ``rounds`` interleaved rounds, by name; texts are distinct throughout."""
    supply, engine, model = Texts(seed), bare_engine(), reference()
    figures: dict[str, list[float]] = defaultdict(list)

    def encode(texts: list[str]) -> Any:
        return model.encode(texts, batch_size=32, show_progress_bar=False)

    for kind in (SHORT, MIXED):
        engine.encode(supply.make(kind, 64))
        encode(supply.make(kind, 64))
        asyncio.run(embed_all(port, supply.make(kind, 256), 64, 4))
    for _ in range(rounds):
        for kind, count in COUNTS.items():
            figures[f"bare {kind}"].append(rate(engine.encode, supply.make(kind, count)))
            figures[f"64 a request x 4 clients, {kind}"].append(_served(port, supply.make(kind, count), 64, 4))
            figures[f"sentence-transformers {kind}"].append(rate(encode, supply.make(kind, count // 4)))
        for clients, count in ((64, 1024), (16, 512)):
            figures[f"1 a request x {clients} clients, short"].append(_served(port, supply.short(count), 1, clients))
        load = asyncio.run(embed_all(port, supply.short(150), 1, 1))
        figures["1 a request x 1 client, p50 ms"].append(load.percentile(0.5) * 1e3)
        figures["bare one text, ms"].append(single_ms(engine.encode, supply.short(100)))
        figures["sentence-transformers one text, ms"].append(single_ms(encode, supply.short(50)))
    return figures


def _served(port: int, texts: list[str], per_request: int, clients: int) -> float:
    load = asyncio.run(embed_all(port, texts, per_request, clients))
    if load.failures:
        raise RuntimeError(f"{len(load.failures)} requests failed, first with status {load.failures[0].status}")
    return len(texts) / load.seconds


def floors(figures: dict[str, list[float]]) -> Verdict:
    """The issue's floors on the medians of the rounds' ratios."""
    verdict = Verdict("throughput against the bare engine and sentence-transformers")

    def ratio(above: str, below: str) -> float:
        return statistics.median(a / b for a, b in zip(figures[above], figures[below], strict=True))

    for kind in (SHORT, MIXED):
        verdict.at_least(
            f"bare / sentence-transformers, {kind}", ratio(f"bare {kind}", f"sentence-transformers {kind}"), 1.4
        )
    one = ratio("bare one text, ms", "sentence-transformers one text, ms")
    verdict.at_most("bare / sentence-transformers, time of one text", one, 0.3)
    for kind, floor in ((MIXED, 0.85), (SHORT, 0.75)):
        verdict.at_least(
            f"served 64x4 / bare, {kind}", ratio(f"64 a request x 4 clients, {kind}", f"bare {kind}"), floor
        )
    verdict.at_least("served 1x64 / bare, short", ratio("1 a request x 64 clients, short", "bare short"), 0.45)
    over = statistics.median(
        a - b for a, b in zip(figures["1 a request x 1 client, p50 ms"], figures["bare one text, ms"], strict=True)
    )
    verdict.at_most("served 1x1 p50 over bare, ms", over, 8.0)
    verdict.figures.update({name: round(statistics.median(values), 2) for name, values in figures.items()})
    return verdict
