"""Pulls a toy of every architecture, then serves and checks them all where no network but loopback exists.

``python -m benchmarks.isolation python -m tests.e2e.offline FOLDER`` prints a JSON report; the fake hub lives in the same
name space and counts who calls it.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.server import Server
from benchmarks.topology import deploy_topology
from deployments.wire import Call, Piece
from model_store import convert, prove
from model_store.catalogue import HubSource, ModelSpec, load_catalogue
from model_store.hub import Hub
from model_store.pull import Puller, silent
from model_store.store import ModelStore
from model_store.stored_model import StoredModel
from serve_app.environment import serving_environment
from serve_app.planned import ENGINES
from tests.e2e.test_fleet import topology_with
from tests.fake_hub import FakeHub
from tests.toy_models import toy_for

ARCHITECTURES = {
    (spec.task, spec.family): spec for spec in load_catalogue().models if isinstance(spec.source, HubSource)
}


def main(folder: Path) -> None:
    """Leaves everything below ``folder``."""
    with FakeHub() as hub:
        store = ModelStore(folder / "home" / "store", converter=convert.in_this_process, prover=_record)
        for spec in ARCHITECTURES.values():
            hub.add(spec.id, toy_for(spec, folder / "toys" / spec.key))
            puller = Puller(store, Hub(hub.endpoint))
            puller.pull(puller.plan(spec), silent())
        pulling = hub.total
        # Whoever asked a hub would ask this one.
        os.environ |= {"HF_ENDPOINT": hub.endpoint, "HF_HUB_ENDPOINT": hub.endpoint}
        served = [spec for spec in ARCHITECTURES.values() if spec.task in ENGINES]
        others = [spec for spec in ARCHITECTURES.values() if spec.task not in ENGINES]
        _deployed(served, folder / "home", store)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda spec: _in_child(store.open(spec.key), spec.task), others))
        report = {
            **{"pulling": pulling, "serving": hub.total - pulling, "alone": _alone()},
            **{"handles": [spec.key for spec in served], "children": [spec.key for spec in others]},
        }
    print(json.dumps(report))


def _record(files: Path, target: Path, task: str, progress: Any) -> None:
    prove.record(files, target, task)


def _in_child(stored: StoredModel, task: str) -> None:
    assert stored.artefact is not None
    prove.check_in_child_process(stored.files, stored.folder / stored.artefact.folder, task)


def _deployed(served: Sequence[ModelSpec], home: Path, store: ModelStore) -> None:
    """Deploy everything that has an engine and ask each through its own Serve handle."""
    os.environ |= serving_environment(home)
    import ray

    with Server() as server:
        deploy_topology(server, topology_with(server, *(spec.key for spec in served)))
        # A dozen replicas start together, beside another fleet and other tests.
        server.wait_for(
            lambda states: {state["state"] for state in states.values()} == {"ready"} and len(states) > 3, seconds=300
        )
        # By its address: "auto" takes any cluster whose processes it sees, also one outside this network name space.
        ray.init(server.ray_address, namespace="serve", log_to_driver=False, _temp_dir=str(server.runtime / "ray"))
        try:
            asyncio.run(_ask([store.open(spec.key) for spec in served]))
        finally:
            ray.shutdown()


async def _ask(models: Sequence[StoredModel]) -> None:
    """Warm-up has compared every kind's golden outputs; here they are compared once more on this side of the handle."""
    from ray import serve

    for stored in models:
        handle = await asyncio.to_thread(serve.get_app_handle, stored.key)
        await handle.options(method_name="check_health").remote()
        if stored.task not in ("embedding", "classification"):
            # Golden answers of the others are logits of pairs and greedy tokens, which a handle does not give.
            continue
        golden = json.loads((stored.artefact_dir() / "encoder.json").read_bytes())["golden"]
        call = Call("interactive", [Piece("golden", [entry["text"] for entry in golden], {"truncate": "end"}, 60.0)])
        (piece,) = (await handle.options(method_name="answer").remote(call)).pieces
        expected = [entry["embedding"] if "embedding" in entry else _softmax(entry["logits"]) for entry in golden]
        assert np.abs(np.array(piece.values) - expected).max() < 1e-5


def _softmax(logits: Sequence[float]) -> list[float]:
    powers = np.exp(np.array(logits) - max(logits))
    return [float(power) for power in powers / powers.sum()]


def _alone() -> bool:
    """No address but loopback can even be tried."""
    try:
        with socket.create_connection(("192.0.2.1", 443), timeout=5):
            return False
    except TimeoutError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
