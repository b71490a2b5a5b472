"""Full-size classifiers through HTTP against transformers' pipeline on the same files, texts and threads.

The weights are drawn at random: they compute as long as trained ones. Muster is asked 64 texts a request by 4 clients;
the pipeline is called in this process with the list as it comes, and with the list sorted by length, which its users
may do themselves. While one side computes the other is at rest.
"""

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from benchmarks.bare import KEY, rate
from benchmarks.checks.verdict import Verdict
from benchmarks.classifiers import THREADS, made
from benchmarks.load import Load, post_all
from benchmarks.peer_servers import at_rest
from benchmarks.server import Server
from benchmarks.texts import Texts
from benchmarks.topology import deploy_topology
from model_store.catalogue import add_model, load_catalogue
from model_store.settings import load_settings
from model_store.store import ModelStore
from serve_app.planned import ENGINES, read_template

MODELS = ("distilroberta", "bert-base")
PER_REQUEST, CLIENTS, BATCH_SIZE = 64, 4, 32
SERVED, PIPELINE = 256, 128
"""Texts a measurement; both are drawn to the same distribution of lengths."""
FLOOR, LARGEST_DIFFERENCE = 1.4, 1e-4


def measure(server: Server, rounds: int, seed: int = 61) -> tuple[dict[str, list[float]], Verdict]:
    """Texts a second by name, and the floor for each model. ``prepare`` must have run before the server started."""
    figures: dict[str, list[float]] = defaultdict(list)
    verdict = Verdict("classifiers through HTTP against transformers' pipeline")
    _deploy(server)
    store = ModelStore(load_settings().store_dir, load_catalogue())
    for name in MODELS:
        pipeline, supply = _Pipeline(store, name), Texts(seed)
        difference = _difference(server, pipeline, supply)
        verdict.require_at_most(f"{name}, largest difference of a score", difference, LARGEST_DIFFERENCE)
        for turn in range(rounds + 1):
            found = _round(server, pipeline, supply)
            # The first round warms up.
            for what, speed in found.items() if turn else ():
                figures[f"{name}, {what}"].append(speed)
        verdict.at_least(f"{name}, Muster / pipeline", _ratio(figures, name, "pipeline"), FLOOR)
        ordered = "pipeline, sorted by length"
        verdict.figures[f"{name}, Muster / {ordered}"] = round(_ratio(figures, name, ordered), 3)
    return figures, verdict


def _ratio(figures: dict[str, list[float]], name: str, other: str) -> float:
    """The median of the rounds' ratios."""
    pairs = zip(figures[f"{name}, Muster"], figures[f"{name}, {other}"], strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


class _Pipeline:
    """``pipeline("text-classification", batch_size=32)`` with all scores."""

    def __init__(self, store: ModelStore, name: str) -> None:
        import torch
        import transformers

        torch.set_num_threads(THREADS)
        self.name, files = name, str(store.open(name).files)
        self._ask: Any = transformers.pipeline("text-classification", model=files, device="cpu", top_k=None)

    def __call__(self, texts: list[str]) -> Any:
        return self._ask(texts, batch_size=BATCH_SIZE)

    def by_length(self, texts: list[str]) -> Any:
        return self(sorted(texts, key=len))


def _round(server: Server, pipeline: _Pipeline, supply: Texts) -> dict[str, float]:
    served, listed, sorted_ = supply.mixed(SERVED), supply.mixed(PIPELINE), supply.mixed(PIPELINE)
    load = _classify(server, pipeline.name, served)
    with at_rest(server.processes()):
        plain = rate(pipeline, listed)
    with at_rest(server.processes()):
        ordered = rate(pipeline.by_length, sorted_)
    return {"Muster": len(served) / load.seconds, "pipeline": plain, "pipeline, sorted by length": ordered}


def _classify(server: Server, name: str, texts: Sequence[str], keep: bool = False) -> Load:
    bodies = [
        orjson.dumps({"model": name, "input": texts[start : start + PER_REQUEST]})
        for start in range(0, len(texts), PER_REQUEST)
    ]
    load = asyncio.run(
        post_all(server.port, "/v1/classify", bodies, CLIENTS, {"X-Deadline-Ms": "120000"}, keep_bodies=keep)
    )
    if load.failures:
        raise RuntimeError(f"{len(load.failures)} requests failed, first with status {load.failures[0].status}")
    return load


def _difference(server: Server, pipeline: _Pipeline, supply: Texts) -> float:
    """The largest difference between two scores of one label; both sides must name the same labels."""
    texts = supply.mixed(PER_REQUEST)
    answer = orjson.loads(_classify(server, pipeline.name, texts, keep=True).outcomes[0].body)
    with at_rest(server.processes()):
        expected = pipeline(texts)
    difference = 0.0
    for row, scores in zip(answer["data"], expected, strict=True):
        ours = {entry["label"]: entry["score"] for entry in row["labels"]}
        difference = max(difference, *(abs(ours[entry["label"]] - entry["score"]) for entry in scores))
    return difference


def prepare() -> None:
    """Make the models and take them into the store and the user's catalogue, which gateways read when they start."""
    home = load_settings().home
    ModelStore(home / "store").adopt(load_catalogue().resolve(KEY))
    for name in MODELS:
        spec = made(name, home / "made")
        add_model(home / "catalogue.yaml", spec.model_dump(mode="json"))
        ModelStore(home / "store", load_catalogue()).adopt(spec)


def _deploy(server: Server) -> None:
    """Deploy the models beside the starter's."""
    topology, catalogue = read_template(), load_catalogue()
    topology["http_options"]["port"] = server.port
    pattern = next(application for application in topology["applications"] if application["name"] == KEY)
    for name in MODELS:
        topology["applications"].append(_application(pattern, name, ENGINES[catalogue.resolve(name).task]))
    deploy_topology(server, topology)
    server.wait_for(lambda states: all(states.get(name, {}).get("state") == "ready" for name in MODELS), 240)


def _application(pattern: dict[str, Any], name: str, import_path: str) -> dict[str, Any]:
    """Like the starter's, with one replica: a second would load while the first is measured."""
    deployment = pattern["deployments"][0]
    one = {**deployment["autoscaling_config"], "max_replicas": 1}
    own = {"name": name, "args": {"model": name}, "import_path": import_path}
    return {**pattern, **own, "deployments": [{**deployment, "name": name, "autoscaling_config": one}]}
