"""Shares of a GPU that Ray only counts (``MUSTER_NUM_GPUS=1``): what fits is placed and answers, the rest waits visibly."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmarks.server import Server
from benchmarks.topology import deploy_topology
from model_store import convert
from model_store.catalogue import load_catalogue
from model_store.folder import install_folder
from model_store.store import ModelStore
from tests.e2e.test_fleet import _embed, _get, topology_with
from tests.e2e.test_operations import KEY, serve
from tests.toy_models import toy_for

SECOND, THIRD = "multilingual-e5-large", "all-mpnet-base-v2"
BACKEND = "torch-cuda" if torch.cuda.is_available() else "onnxruntime-cpu"


@pytest.fixture(scope="module")
def fleet(server: Server, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The running Muster with two toy models more in its store; its topology is put back at the end."""
    store = ModelStore(home / "store", converter=convert.in_this_process)
    for key in (SECOND, THIRD):
        if key not in store.ls():
            spec, place = load_catalogue().resolve(key), tmp_path_factory.mktemp("toys")
            toy_for(spec, place / key)
            install_folder(store, spec, place, lambda message: None)
    yield server
    deploy_topology(server, topology_with(server))
    server.wait_for(
        lambda states: set(states) == {KEY, "skills", "journal", "gateway"} and states[KEY]["state"] == "ready"
    )


def test_shares_up_to_one_gpu_are_placed_and_the_next_replica_waits_and_says_why(fleet: Server, home: Path) -> None:
    # The third one after the others: of replicas that start together any one may be the one that waits.
    deploy_topology(fleet, _shared(fleet, {KEY: 0.4, SECOND: 0.6}))
    fleet.wait_for(lambda states: SECOND in states and all(each["state"] == "ready" for each in states.values()))
    deploy_topology(fleet, _shared(fleet, {KEY: 0.4, SECOND: 0.6, THIRD: 0.4}))
    fleet.wait_for(lambda states: bool((states.get(THIRD) or {}).get("reason")))
    # Each gateway asks once a second; the other one may not know yet.
    time.sleep(1.5)
    waiting = _get(fleet, f"/v1/models/{THIRD}")
    assert waiting["state"] == "loading"
    assert waiting["reason"].startswith("it waits for room: a replica needs")
    assert "0.4 GPU (0 left)" in waiting["reason"]
    assert waiting["backend"] is None
    for key in (KEY, SECOND):
        assert len(_embed(fleet, key, ["a text"])["data"]) == 1
        assert _get(fleet, f"/v1/models/{key}")["backend"] == BACKEND
    _check_serve_status(fleet)
    if BACKEND == "onnxruntime-cpu":
        logged = _replica_logs(fleet)
        assert logged.count(f"{KEY} has 0.4 of a GPU and computes on the CPU all the same") == 1
        assert logged.count(f"{SECOND} has 0.6 of a GPU and computes on the CPU all the same") == 1


def test_a_share_that_becomes_free_goes_to_the_one_that_waits(fleet: Server) -> None:
    topology = _shared(fleet, {SECOND: 0.6, THIRD: 0.4})
    deploy_topology(fleet, topology)
    fleet.wait_for(lambda states: all(state["state"] == "ready" for state in states.values()) and THIRD in states)
    assert len(_embed(fleet, THIRD, ["a text"])["data"]) == 1


def _check_serve_status(server: Server) -> None:
    """Serve's own view of the same: one replica starting, and the resources in its message."""
    applications = yaml.safe_load(serve(server, "status"))["applications"]
    assert [applications[key]["status"] for key in (KEY, SECOND)] == ["RUNNING", "RUNNING"]
    deployment = applications[THIRD]["deployments"][THIRD]
    assert applications[THIRD]["status"] == "DEPLOYING"
    assert deployment["replica_states"] == {"STARTING": 1}
    assert '"GPU": 0.4' in deployment["message"]


def _shared(server: Server, shares: dict[str, float]) -> dict[str, Any]:
    """The checked-in topology with models on shares of a GPU, one replica each; ``KEY`` on the CPU unless named."""
    topology = topology_with(server, *(key for key in shares if key != KEY))
    for application in topology["applications"]:
        name, deployment = application["name"], application["deployments"][0]
        if name in shares:
            one = {"min_replicas": 1, "initial_replicas": 1, "max_replicas": 1}
            application["deployments"] = [
                {
                    **deployment,
                    "autoscaling_config": {**deployment["autoscaling_config"], **one},
                    "ray_actor_options": {"num_cpus": 0.1, "num_gpus": shares[name]},
                }
            ]
    return topology


def _replica_logs(server: Server) -> str:
    return "".join(file.read_text() for file in (server.runtime / "ray").glob("session_2*/logs/serve/replica_*.log"))
