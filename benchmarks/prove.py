"""``make prove``: the acceptance checks in full. A JSON verdict on stdout, a summary for people on stderr.

It runs on a copy of the model store in a folder of its own. ``--short`` has fewer rounds and kills, as the end-to-end
tests have (which leave speed out). ``--isolated`` repeats the checks of the API where no
network but loopback exists. The exit code is 0 when every requirement holds.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import oversubscription
from benchmarks.bare import as_in_replicas, scratch_home
from benchmarks.checks import (
    assessment,
    cache,
    chaos,
    counters,
    fairness,
    footprint,
    fuzz,
    hostile,
    journal,
    memory,
    quality,
    serve_cli,
    speed,
    streams,
)
from benchmarks.checks.verdict import Verdict
from benchmarks.isolation import limit_memory, may_limit_memory, only_loopback
from benchmarks.server import Server
from benchmarks.topology import deploy

MEMORY_LIMIT = 4 * 2**30
STSB = next((path for path in (Path("../shared/data/stsb-en-dev.csv"),) if path.exists()), None)
CHECKS = (
    *(
        "quality",
        "speed",
        "assessment",
        "fairness",
        "chaos",
        "hostile",
        "counters",
        "cache",
        "memory",
        "streams",
        "journal",
    ),
    *("oversubscription", "footprint", "serve_cli"),
)


def main() -> None:
    """Run the chosen checks and exit with their verdict."""
    arguments = _arguments()
    as_in_replicas()
    if arguments.isolated:
        only_loopback()
    if arguments.memory_limit:
        limit_memory(MEMORY_LIMIT)
    verdicts = []
    with scratch_home():
        for verdict in run(arguments.only, short=arguments.short, stsb=arguments.stsb):
            verdicts.append(verdict)
            _tell(verdict)
    report: dict[str, Any] = {"ok": all(v.ok for v in verdicts), "checks": {v.name: v.to_json() for v in verdicts}}
    if not arguments.only and not arguments.isolated:
        report["isolated"] = _isolated(arguments.short)
        report["ok"] = report["ok"] and report["isolated"]["ok"]
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["ok"] else 1)


def run(only: list[str], *, short: bool, stsb: Path | None) -> Iterator[Verdict]:
    """The verdicts one by one. The first start fills the store; the second is the one that is timed."""
    wanted = only or list(CHECKS)
    with Server():
        pass
    with Server() as server:
        yield footprint.start(server)
        for name in wanted:
            for check in _checks(name, server, short, stsb):
                yield check()
        yield footprint.memory(server)
        yield footprint.stop(server)
    if "serve_cli" in wanted:
        yield serve_cli.measure(throughput=False)
        yield serve_cli.measure(throughput=True)


def _checks(name: str, server: Server, short: bool, stsb: Path | None) -> list[Callable[[], Verdict]]:
    port = server.port
    plans: dict[str, list[Callable[[], Verdict]]] = {
        "quality": [lambda: quality.sdk_equals_reference(port)],
        "speed": [lambda: speed.floors(speed.measure(port, 2 if short else 7))],
        "assessment": [lambda: assessment.measure(port, *((20, 4) if short else (200, 20)))],
        "fairness": [lambda: fairness.measure(port, *((5.0, 400) if short else (15.0, 2000)))],
        "chaos": [lambda: _kills(server, short), lambda: chaos.kill_redis(port, server.redis)],
        "hostile": [lambda: hostile.measure(port), lambda: fuzz.measure(server.url, 10 if short else 50)],
        "counters": [lambda: counters.measure(port)],
        "cache": [
            lambda: cache.one_text(port, server.home, 300 if short else 2000),
            lambda: cache.equal_texts(port, 200 if short else 1000),
        ],
        "memory": [
            lambda: memory.embeddings(server, 500 if short else 10_000),
            lambda: memory.classification(server, 500 if short else 10_000),
        ],
        "streams": [lambda: streams.measure(server, *((60, 16, 10) if short else ()))],
        "journal": [lambda: journal.measure(port, server.home, *((2, 20) if short else ()))],
        "oversubscription": [lambda: oversubscription.measure(1 if short else 5)],
        "footprint": [],
        "serve_cli": [],
    }
    if stsb is not None:
        plans["quality"].append(lambda: quality.stsb(port, stsb))
    return plans[name]


def _kills(server: Server, short: bool) -> Verdict:
    """Two replicas of the embedding model, by the topology file and ``serve deploy``, as an operator would do it."""
    key = "all-minilm-l6-v2"
    deploy(server, {key: 2})
    kills, requests = (3, 1200) if short else (10, 6000)
    verdict = chaos.kill_replicas(server.port, lambda: server.replicas(key), kills, requests)
    deploy(server, {})
    return verdict


def _isolated(short: bool) -> dict[str, Any]:
    """The checks of the API once more, where only loopback exists and memory is limited to 4 GiB."""
    only = [f"--only={name}" for name in ("quality", "assessment", "fairness", "chaos", "hostile", "counters")]
    limit = ["--memory-limit"] if may_limit_memory() else []
    command = [sys.executable, "-m", "benchmarks.prove", "--isolated", *limit, *only]
    done = subprocess.run([*command, *(["--short"] if short else [])], capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"ok": False, "reason": done.stderr.strip().splitlines()[-1:]}
    return {"memory limited to 4 GiB": bool(limit), **report}


def _tell(verdict: Verdict) -> None:
    figures = ", ".join(f"{name}: {value}" for name, value in verdict.figures.items())
    print(f"{'ok  ' if verdict.ok else 'FAIL'} {verdict.name}  [{figures}]", file=sys.stderr)
    for what in verdict.failed():
        print(f"       not held: {what}", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("--only", action="append", choices=CHECKS, default=[], help="one check; may be repeated")
    parser.add_argument("--short", action="store_true", help="the form that the test suite runs")
    parser.add_argument("--isolated", action="store_true", help="only loopback exists for all processes")
    parser.add_argument("--memory-limit", action="store_true", help="all processes together get 4 GiB")
    parser.add_argument(
        "--stsb", type=Path, default=STSB, help="CSV of the STS-B development set: sentence, sentence, score"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
