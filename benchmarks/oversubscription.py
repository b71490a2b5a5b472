"""``python -m benchmarks.oversubscription``: three encoder replicas on two cores, behind the node's CPU gate and without it.

The engines as replicas run them, each in a process of its own with two compute threads, without a server around them.
Without the gate means: each with a gate of its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.bare import KEY, as_in_replicas, scratch_home, stored_model
from benchmarks.checks.verdict import Verdict
from benchmarks.texts import Texts
from deployments.settings import load_settings
from model_store.catalogue import load_catalogue
from model_store.settings import load_settings as load_store_settings
from model_store.store import ModelStore

REPLICAS, CORES, THREADS = 3, 2, 2
BULK, SINGLE = "bulk", "single"
SECONDS = {BULK: 4.0, SINGLE: 3.0}
FLOOR = 0.9
WAYS = ("one alone", "three with the gate", "three without it")


def main() -> None:
    """Measure and print; or, as a child, be one replica."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.oversubscription", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replica", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    as_in_replicas()
    if options.replica:
        serve(options.replica)
        return
    with scratch_home():
        for name, value in measure(options.rounds).figures.items():
            print(f"{name}: {value}")


def measure(rounds: int = 3) -> Verdict:
    """Texts a second of one and of three, the medians of the rounds' ratios, and milliseconds of single texts."""
    ModelStore(load_store_settings().store_dir).adopt(load_catalogue().resolve(KEY))
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        shared = [Path(folder) / "gate"] * REPLICAS
        apart = [Path(folder) / f"gate-{number}" for number in range(REPLICAS)]
        with Replicas(shared) as gated, Replicas(apart) as ungated:
            rates = [[sum(found) for found in _turns(gated, ungated, BULK)] for _ in range(rounds)]
            ones = [[list(chain(*found)) for found in _turns(gated, ungated, SINGLE)] for _ in range(rounds)]
    return _told(rates, ones)


def _told(rates: Sequence[Sequence[float]], ones: Sequence[Sequence[list[float]]]) -> Verdict:
    """``rates`` and ``ones``: a row for each round, a column for each of ``WAYS``."""
    verdict = Verdict(f"{REPLICAS} encoder replicas on {CORES} cores")
    for way, found in zip(WAYS, zip(*rates, strict=True), strict=True):
        verdict.figures[f"{way}, texts/s together"] = round(statistics.median(found), 1)
    alone, gated, ungated = ([row[way] / row[0] for row in rates] for way in range(len(WAYS)))
    assert set(alone) == {1.0}
    verdict.at_least("three with the gate / one alone", statistics.median(gated), FLOOR)
    verdict.figures["three without it / one alone"] = round(statistics.median(ungated), 3)
    for way, column in zip(WAYS, zip(*ones, strict=True), strict=True):
        verdict.figures[f"{way}, single texts p50 and p99, ms"] = _quantiles(sorted(chain(*column)))
    return verdict


def _turns(gated: "Replicas", ungated: "Replicas", work: str) -> list[list[Any]]:
    return [gated.run(work, 1), gated.run(work), ungated.run(work)]


def _quantiles(milliseconds: Sequence[float]) -> list[float]:
    return [round(milliseconds[int(share * (len(milliseconds) - 1))], 1) for share in (0.5, 0.99)]


class Replicas:
    """Processes with an engine each; ``gates``: the folder of each one's CPU gate."""

    def __init__(self, gates: Sequence[Path]) -> None:
        self._gates = gates
        self._seed = 0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.oversubscription", "--replica"]
        self._processes = [
            subprocess.Popen([*command, str(gate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for gate in self._gates
        ]
        for process in self._processes:
            _answer(process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.communicate()

    def run(self, work: str, count: int = REPLICAS) -> list[Any]:
        """What ``count`` of them found, doing the same at the same time on texts of their own."""
        for process in self._processes[:count]:
            self._seed += 1
            assert process.stdin is not None
            process.stdin.write(json.dumps([work, self._seed]) + "\n")
            process.stdin.flush()
        return [_answer(process) for process in self._processes[:count]]


def _answer(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("A replica of the measurement has died.")
    return json.loads(line)


def serve(gate: Path) -> None:
    """One replica: for each line ``[work, seed]`` a line with texts a second, or with the milliseconds of each text."""
    from deployments.engines.encoders import load_encoder

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    settings = load_settings().model_copy(update={"gate_dir": gate, "threads": THREADS})
    engine: Any = load_encoder(stored_model(), settings)
    engine.warm()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        work, seed = json.loads(line)
        supply = Texts(seed)
        found = _bulk(engine, supply) if work == BULK else _singles(engine, supply)
        print(json.dumps(found), flush=True)


def _bulk(engine: Any, supply: Texts) -> float:
    texts, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS[BULK]:
        engine.encode(supply.mixed(32))
        texts += 32
    return texts / (time.perf_counter() - started)


def _singles(engine: Any, supply: Texts) -> list[float]:
    times, started = list[float](), time.perf_counter()
    while (now := time.perf_counter()) - started < SECONDS[SINGLE]:
        engine.encode(supply.short(1))
        times.append((time.perf_counter() - now) * 1e3)
    return times


if __name__ == "__main__":
    main()
