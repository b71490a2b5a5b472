"""``python -m benchmarks.peers``: a running Muster against infinity-emb, a plain FastAPI server and transformers' pipeline.

The peers run in environments of their own, which are made from ``peer-requirements`` at the first run (minutes). A
JSON report on stdout, tables for people on stderr; the exit code is 0 when every requirement holds.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peer_classifiers, peer_embeddings
from benchmarks.bare import as_in_replicas, scratch_home
from benchmarks.checks.verdict import Verdict
from benchmarks.page import requirements, section, speed_table
from benchmarks.peer_environments import REQUIREMENTS, default_folder, read_pins
from benchmarks.server import Server

EMBEDDINGS, CLASSIFIERS = "embeddings", "classifiers"
TITLES = {
    EMBEDDINGS: "Against other servers, texts a second",
    CLASSIFIERS: "Classifiers through HTTP against transformers' pipeline, texts a second",
}
HOW = {
    EMBEDDINGS: """All servers are up with all-MiniLM-L6-v2 from the same files and get the same texts from the same load
generator (the plain server every fourth of them); while one is measured the processes of the others are stopped.
Muster is there twice: in fp32, and as `muster plan --precision auto` sets it up on this machine, which takes 8 bits where
the accuracy gate passed; the floors are the planned one's, and the fp32 ratios stand beside them. infinity-emb
runs with its default engine on a CPU (torch with BetterTransformer) and with its ONNX engine.""",
    CLASSIFIERS: """Random weights, mixed lengths. Muster gets 64 texts a request from 4 clients; the pipeline
(batch_size=32, all scores) gets lists of 128 texts in the order in which they come, and sorted by length, in process
and on as many threads; while one side computes the processes of the other are stopped.""",
}
ROUNDS = 3
TOLD = frozenset(
    {"infinity_emb", "torch", "transformers", "sentence-transformers", "optimum", "onnxruntime", "fastapi"}
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Texts a second by series, a figure for each round, and what is required of them."""

    kind: str
    figures: dict[str, list[float]]
    verdict: Verdict


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved rounds")
    parser.add_argument("--only", choices=TITLES)
    add_arguments(parser)
    given = parser.parse_args()
    as_in_replicas()
    before = os.getloadavg()[0]
    found = measure(given.rounds, given.only, given.environments)
    print("\n".join(pages(found)), file=sys.stderr)
    print(json.dumps(report(found, before), indent=2))
    sys.exit(0 if all(comparison.verdict.ok for comparison in found) else 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The option that `make bench` has too."""
    parser.add_argument("--environments", type=Path, default=default_folder(), help="folder of the peers' environments")


def measure(rounds: int = ROUNDS, only: str | None = None, environments: Path | None = None) -> list[Comparison]:
    """Both comparisons, or one of them, with one Muster in a data folder of its own."""
    found = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(scratch_home())
        if only != EMBEDDINGS:
            peer_classifiers.prepare()
        server = stack.enter_context(Server())
        if only != CLASSIFIERS:
            measured = peer_embeddings.measure(server, rounds, environments or default_folder())
            found.append(Comparison(EMBEDDINGS, *measured))
        if only != EMBEDDINGS:
            found.append(Comparison(CLASSIFIERS, *peer_classifiers.measure(server, rounds)))
    return found


def pages(comparisons: Sequence[Comparison]) -> list[str]:
    """Sections of a page of results."""
    return [
        page
        for comparison in comparisons
        for page in (
            speed_table(TITLES[comparison.kind], comparison.figures, HOW[comparison.kind]),
            requirements(comparison.verdict),
            section(f"All ratios: {comparison.kind}", comparison.verdict.figures),
        )
    ]


def report(comparisons: Sequence[Comparison], load_before: float) -> dict[str, object]:
    """What is printed: the figures of every round, the verdicts, and what else the machine and the peers were.
    ``load_before``: the load average at the start, which says whether somebody else was at work."""
    return {
        "load_average_before": round(load_before, 2),
        "versions": {name: _versions(name) for name in ("infinity", "fastapi")},
        **{each.kind: {"texts_per_s": each.figures, **each.verdict.to_json()} for each in comparisons},
    }


def _versions(name: str) -> dict[str, str]:
    pins = read_pins(REQUIREMENTS / f"{name}.txt")
    return {package: pinned for package, pinned in pins.items() if package in TOLD}


if __name__ == "__main__":
    main()
