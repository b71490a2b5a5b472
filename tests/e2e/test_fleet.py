"""Models join a running fleet: pulled from a hub, deployed beside the others, and failing without harming them."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
import yaml
from sentence_transformers import SentenceTransformer

from benchmarks.server import Server
from benchmarks.topology import deploy_topology
from deployments.engines.encoders import load_encoder
from deployments.quantization import quantize
from deployments.settings import load_settings
from deployments.trial import in_this_process
from model_store import convert
from model_store.catalogue import load_catalogue
from model_store.hub import Hub
from model_store.pull import Puller, silent
from model_store.store import ModelStore
from serve_app.planned import ENGINES
from tests.e2e.test_operations import CONFIG, KEY, none_restarted, pids
from tests.fake_hub import FakeHub
from tests.toy_models import toy_for

GOOD, DAMAGED = "all-mpnet-base-v2", "e5-large-v2"
CLASSIFIER, NLI = "emotion-english-distilroberta-base", "bart-large-mnli"


@pytest.fixture(scope="module")
def hub(server: Server, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """A hub with toy repositories, all pulled into the running Muster's store."""
    # Converted here, where torch is loaded already; that children convert is another test's matter.
    store = ModelStore(home / "store", converter=convert.in_this_process)
    with FakeHub() as running:
        for key in (GOOD, DAMAGED, CLASSIFIER, NLI):
            spec = load_catalogue().resolve(key)
            running.add(spec.id, toy_for(spec, tmp_path_factory.mktemp("toys") / key))
            puller = Puller(store, Hub(running.endpoint))
            puller.pull(puller.plan(spec), silent())
        yield running
    deploy_topology(server, topology_with(server))
    server.wait_for(lambda states: set(states) == {KEY, "skills", "journal", "gateway"})


def test_a_pulled_model_joins_and_restarts_nothing_else(server: Server, home: Path, hub: FakeHub) -> None:
    deploy_topology(server, topology_with(server))
    server.wait_for(lambda states: all(state["state"] == "ready" for state in states.values()))
    before, calls = {name: pids(server, name) for name in (KEY, "skills", "journal", "gateway")}, hub.total
    deploy_topology(server, topology_with(server, GOOD))
    server.wait_for(lambda states: states.get(GOOD, {}).get("state") == "ready")
    texts = ["a day", "a longer text of a day", ""]
    served = np.array([row["embedding"] for row in _embed(server, GOOD, texts)["data"]])
    reference = SentenceTransformer(str(ModelStore(home / "store").open(GOOD).files), device="cpu")
    assert np.abs(served - reference.encode(texts)).max() < 1e-5
    assert none_restarted(server, before)
    assert hub.total == calls


def test_pulled_classifiers_join_and_answer_as_the_pipelines_do(server: Server, home: Path, hub: FakeHub) -> None:
    deploy_topology(server, topology_with(server, CLASSIFIER, NLI))
    server.wait_for(lambda states: all(states.get(key, {}).get("state") == "ready" for key in (CLASSIFIER, NLI)))
    texts = ["a day", "a longer text of the day", "the end"]
    answer = _ask(server, "/v1/classify", {"model": CLASSIFIER, "input": texts})
    reference = _pipeline("text-classification", home, CLASSIFIER)
    assert (answer["model"], answer["fallback"]) == (CLASSIFIER, False)
    for row, expected in zip(answer["data"], reference(texts, top_k=None), strict=True):
        _assert_scores(row["labels"], {entry["label"]: entry["score"] for entry in expected})
    labels, reference = ["a day", "the night"], _pipeline("zero-shot-classification", home, NLI)
    for multi in (False, True):
        answer = _ask(server, "/v1/zero-shot", {"model": NLI, "input": texts, "labels": labels, "multi_label": multi})
        for row, expected in zip(answer["data"], reference(texts, labels, multi_label=multi), strict=True):
            _assert_scores(row["labels"], dict(zip(expected["labels"], expected["scores"], strict=True)))
    for key in (CLASSIFIER, NLI):
        assert not any("torch" in mapped for mapped in _mapped(server, key)), "a CPU replica has loaded torch"
    deploy_topology(server, topology_with(server))
    server.wait_for(lambda states: set(states) == {KEY, "skills", "journal", "gateway"})


def test_a_damaged_model_fails_with_its_reason_and_the_others_serve_on(
    server: Server, home: Path, hub: FakeHub
) -> None:
    weights = home / "store" / "models" / DAMAGED / "files" / "model.safetensors"
    os.chmod(weights, 0o644)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    before = {name: pids(server, name) for name in (KEY, "skills", "journal", "gateway")}
    deploy_topology(server, topology_with(server, GOOD, DAMAGED))
    server.wait_for(lambda states: states.get(DAMAGED, {}).get("state") == "failed")
    # Each gateway asks once a second; the other one may not know yet.
    time.sleep(1.5)
    card = _get(server, f"/v1/models/{DAMAGED}")
    assert card["state"] == "failed"
    assert "model.safetensors" in json.dumps(card)
    with pytest.raises(urllib.error.HTTPError) as refused:
        _embed(server, DAMAGED, ["a text"])
    assert refused.value.code == 503
    assert len(_embed(server, KEY, ["a text"])["data"]) == 1
    assert none_restarted(server, before)


def test_8_bits_serve_only_behind_their_gate(server: Server, home: Path, hub: FakeHub) -> None:
    deploy_topology(server, topology_with(server))
    server.wait_for(lambda states: GOOD not in states)
    topology = topology_with(server, GOOD)
    topology["applications"][-1]["args"]["precision"] = "int8"
    deploy_topology(server, topology)
    server.wait_for(lambda states: states.get(GOOD, {}).get("state") == "failed")
    time.sleep(1.5)
    card = _get(server, f"/v1/models/{GOOD}")
    assert f"gate not run: `muster models quantize {GOOD}`" in card["reason"]
    assert card["accuracy_gate"] is None
    assert len(_embed(server, KEY, ["a text"])["data"]) == 1

    store = ModelStore(home / "store")
    with pytest.MonkeyPatch.context() as patch:
        # The toy's weights were drawn at random; what it loses says nothing.
        patch.setattr("deployments.accuracy.ALLOWED_POINTS", {"spearman": 100.0})
        pairs = home / "pairs.csv"
        pairs.write_text("\n".join(f"{'day ' * (n % 9 + 1)},{'night ' * (n % 7 + 1)},{n % 5}" for n in range(100)))
        figures = quantize(store, GOOD, pairs, load_settings(), lambda line: None, trial=in_this_process)
    deploy_topology(server, topology_with(server))
    server.wait_for(lambda states: GOOD not in states)
    deploy_topology(server, topology)
    server.wait_for(lambda states: states.get(GOOD, {}).get("state") == "ready")
    texts = ["a night", "a longer text of a night", "no day"]
    answer = _embed(server, GOOD, texts)
    engine = load_encoder(store.open(GOOD, "int8"), load_settings())
    assert np.abs(np.array([row["embedding"] for row in answer["data"]]) - engine.encode(texts)).max() < 1e-5
    assert answer["revision"].endswith("+int8")
    card = _get(server, f"/v1/models/{GOOD}")
    assert card["backend"] == "onnxruntime-cpu-int8"
    assert card["accuracy_gate"] == figures.model_dump()


def test_a_change_of_roles_restarts_nothing(server: Server, hub: FakeHub) -> None:
    deploy_topology(server, topology_with(server))
    server.wait_for(lambda states: set(states) == {KEY, "skills", "journal", "gateway"})
    asked = {"model": "emotion", "input": "Wow, I did not see that coming!"}
    labels = _ask(server, "/v1/classify", asked)
    exact = _ask(server, "/v1/classify", asked | {"model": "minilm-emotion"})
    for head in (labels, exact):
        found = head["data"][0]["labels"][0]["label"]
        assert (head["model"], head["fallback"], found) == ("minilm-emotion", False, "surprise")
    assert labels["revision"].startswith(f"{_get(server, f'/v1/models/{KEY}')['revision']}+")
    row = _ask(server, "/v1/classify", {"model": "sentiment", "input": "I love this, thank you"})["data"][0]
    assert row["polarity"] > 0.5
    assert _get(server, "/v1/models/minilm-sentiment")["state"] == "ready"
    before = {name: pids(server, name) for name in (KEY, "skills", "journal", "gateway")}
    topology = topology_with(server)
    (gateway,) = (each for each in topology["applications"] if each["name"] == "gateway")
    gateway["deployments"][0]["user_config"]["roles"]["emotion"] = KEY
    deploy_topology(server, topology)
    deadline = time.monotonic() + 60
    # Both gateways: the answers alternate.
    while not all(_get(server, f"/v1/models/{KEY}")["plays"] == ["embedding", "emotion"] for _ in range(8)):
        assert time.monotonic() < deadline, "the roles did not change"
        time.sleep(0.2)
    labels = _ask(server, "/v1/classify", {"model": "emotion", "input": "a text"})
    assert (labels["model"], labels["fallback"]) == (KEY, False)
    assert none_restarted(server, before)


def _pipeline(task: str, home: Path, key: str) -> Any:
    return transformers.pipeline(task, model=str(ModelStore(home / "store").open(key).files), device="cpu")


def _assert_scores(found: list[dict[str, Any]], expected: dict[str, float]) -> None:
    assert {entry["label"] for entry in found} == set(expected)
    assert [entry["score"] for entry in found] == sorted((entry["score"] for entry in found), reverse=True)
    assert all(abs(entry["score"] - expected[entry["label"]]) < 1e-5 for entry in found)


def _mapped(server: Server, key: str) -> list[str]:
    """Files that the model's replicas have in memory."""
    return [mapped.path for process in server.replicas(key) for mapped in process.memory_maps()]


def topology_with(server: Server, *keys: str) -> dict[str, Any]:
    """The checked-in topology with more model applications, each like the starter's."""
    topology: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    topology["http_options"]["port"] = server.port
    pattern = next(application for application in topology["applications"] if application["name"] == KEY)
    for key in keys:
        deployment = {**pattern["deployments"][0], "name": key}
        own = {"name": key, "args": {"model": key}, "import_path": ENGINES[load_catalogue().resolve(key).task]}
        topology["applications"].append({**pattern, **own, "deployments": [deployment]})
    return topology


def _embed(server: Server, model: str, texts: list[str]) -> dict[str, Any]:
    return _ask(server, "/v1/embeddings", {"model": model, "input": texts})


def _ask(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


def _get(server: Server, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}{path}", timeout=30) as answer:
        return dict(json.load(answer))
