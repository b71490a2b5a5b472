"""Hostile artefacts come from every side while a fleet serves: all are refused, and no client notices."""

import copy
import hashlib
import json
import os
import pickle
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.checks.assessment import student_bodies
from benchmarks.server import Server
from benchmarks.topology import deploy_topology
from deployments.skills.features import SCHEMA_HASH
from model_store import canary, convert
from model_store.catalogue import load_catalogue
from model_store.errors import ConversionFailed, HubUnavailable, SourceUnavailable, UntrustedArtefact
from model_store.folder import install_folder
from model_store.hub import Hub
from model_store.pull import Puller, silent
from model_store.skill_records import SkillBundle, TamperedSkills
from model_store.skills import open_champion, publish, set_champion
from model_store.store import ModelStore
from tests.e2e.clients import Clients
from tests.e2e.test_fleet import topology_with
from tests.e2e.test_operations import KEY, muster, none_restarted, pids, serve
from tests.fake_hub import FakeHub, Repo
from tests.hostile_trees import TAMPERED, moved_leaf, relock, tampered
from tests.hub.hostile import HOSTILE, good
from tests.toy_models import toy_for

BERT = "bert-multilingual-sentiment"
STORED = ("all-mpnet-base-v2", "e5-large-v2")
FROM_A_HUB = (
    *("pickle 4 as weights", "zip bomb as json", "header length 2**63", "header of 100 MB", "overlap", "data missing"),
    *("auto_map", "nested auto_map", "tokenizer auto_map", "class as a path", "module imports", "index outside"),
)


class Comparing(Clients):
    """They ask for embeddings and assessments and compare every answer with the first one."""

    def __init__(self, server: Server) -> None:
        texts = ["a day", "a longer text about a day at school", ""]
        student = {"features": student_bodies(1, seed=77)[0]}
        questions = {"/v1/embeddings": {"model": KEY, "input": texts}, "/api/v1/infer/hostile-1": student}
        super().__init__(server, questions, pause_s=0.1)
        self._first: dict[str, Any] = {}

    def judge(self, path: str, answer: Any) -> None:
        if not _same(self._first.setdefault(path, answer), answer):
            raise AssertionError("another answer")

    def wait_for_more(self) -> None:
        """Until every question was answered three times more."""
        before, deadline = Counter(self.answers), time.monotonic() + 60
        while any(self.answers[path] < before[path] + 3 for path in self.answers):
            assert time.monotonic() < deadline, "nobody answers any more"
            time.sleep(0.05)


def _same(one: Any, other: Any, name: str = "") -> bool:
    """Equal but for times; numbers to 1e-6."""
    if "time" in name:
        return True
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key], key) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return abs(one - other) <= 1e-6 if isinstance(one, float) else bool(one == other)


@pytest.fixture(scope="module")
def clients(server: Server) -> Iterator[Comparing]:
    """Running clients of the starter fleet, which is there again afterwards."""
    _deploy(server, topology_with(server))
    with Comparing(server) as running:
        running.wait_for_more()
        yield running
    _deploy(server, topology_with(server))


@pytest.fixture(autouse=True)
def _nobody_notices(server: Server, clients: Comparing) -> Iterator[None]:
    before = {name: pids(server, name) for name in (KEY, "skills", "journal", "gateway")}
    answered = clients.answers.total()
    yield
    clients.wait_for_more()
    print(f"{clients.answers.total() - answered} requests answered meanwhile")
    assert clients.failures == []
    assert none_restarted(server, before)


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running


@pytest.fixture
def champion(home: Path) -> SkillBundle:
    return open_champion(home / "store" / "skills", schema_hash=SCHEMA_HASH, num_feature=26)


def _deploy(server: Server, topology: dict[str, Any]) -> None:
    """Deploy and wait until exactly these applications are ready."""
    deploy_topology(server, topology)
    names = {application["name"] for application in topology["applications"]}
    server.wait_for(lambda states: set(states) == names and all(state["state"] == "ready" for state in states.values()))


def _never(*_: object) -> None:
    raise AssertionError("a hostile model was loaded")


# --- into the store of the running fleet ------------------------------------------------------------------------------


def test_hostile_folders(home: Path, tmp_path: Path) -> None:
    store, spec = ModelStore(home / "store", converter=_never, prover=_never), load_catalogue().resolve(BERT)
    refused, left_behind = [], []
    for number, (name, change) in enumerate(HOSTILE.items()):
        place = tmp_path / str(number)
        change(good(place / BERT))
        try:
            install_folder(store, spec, place, lambda message: None)
        except (UntrustedArtefact, SourceUnavailable):
            refused.append(name)
        except AssertionError:
            # Nothing fetches a file of such a name: the rest is a good model.
            left_behind.append(name)
    print(f"{len(refused)} hostile folders were refused")
    assert len(refused) >= 110
    assert {"python", "hidden file", "no suffix", "escape sequence"} <= set(left_behind)
    assert BERT not in store.ls()


def test_a_hostile_folder_by_the_command_line(home: Path, tmp_path: Path) -> None:
    HOSTILE["auto_map"](good(tmp_path / BERT))
    done = muster("models", "pull", BERT, "--from-dir", str(tmp_path), home=home)
    assert done.returncode == 4
    assert "config.json" in done.stderr


@pytest.mark.parametrize("name", FROM_A_HUB)
def test_hostile_repositories(name: str, home: Path, hub: FakeHub, tmp_path: Path) -> None:
    folder = good(tmp_path / "repo")
    HOSTILE[name](folder)
    with pytest.raises(UntrustedArtefact):
        _pull(home, hub, folder)


def _pull(home: Path, hub: FakeHub, folder: Path, change: Callable[[Repo], None] = lambda repo: None) -> None:
    spec = load_catalogue().resolve(BERT)
    hub.add(spec.id, folder)
    change(hub.repos[spec.id])
    store = ModelStore(home / "store", converter=_never, prover=_never)
    puller = Puller(store, Hub(hub.endpoint, pace=0.001))
    try:
        puller.pull(puller.plan(spec), silent())
    finally:
        assert BERT not in store.ls()
        store.collect()


@pytest.mark.parametrize("lie", ["longer than listed", "shorter than listed", "other bytes"])
def test_a_hub_that_lies_about_its_files(lie: str, home: Path, hub: FakeHub, tmp_path: Path) -> None:
    folder = good(tmp_path / "repo")
    weights = (folder / "model.safetensors").read_bytes()
    lies = {
        "longer than listed": weights + bytes(30 << 20),
        "shorter than listed": weights[:-1],
        "other bytes": weights[:-1] + b"\1",
    }

    def change(repo: Repo) -> None:
        hub.blobs[hashlib.sha256(weights).hexdigest()] = lies[lie]

    with pytest.raises(HubUnavailable):
        _pull(home, hub, folder, change)


def test_a_hub_whose_commit_is_a_path(home: Path, hub: FakeHub, tmp_path: Path) -> None:
    def change(repo: Repo) -> None:
        repo.commits["main"] = replace(repo.commits[repo.main], id="/../../../../outside")
        repo.main = "main"

    with pytest.raises(SourceUnavailable):
        _pull(home, hub, good(tmp_path / "repo"), change)


class Exploit:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


def test_pickled_weights_that_run_a_command(home: Path, hub: FakeHub, tmp_path: Path) -> None:
    folder = good(tmp_path / "repo")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Exploit(tmp_path / "pwned")))
    with pytest.raises(ConversionFailed):
        _pull(home, hub, folder)
    assert not (tmp_path / "pwned").exists()


# --- skill models -----------------------------------------------------------------------------------------------------


def test_tampered_trees_are_not_registered(home: Path, champion: SkillBundle) -> None:
    folder = home / "store" / "skills"
    before = sorted(path.name for path in folder.iterdir())
    for change in (*TAMPERED.values(), moved_leaf):
        with pytest.raises(TamperedSkills, match=r"empathy\.ubj"):
            publish(folder, *_changed(folder, champion, tampered(champion.models["empathy"], change)))
    print(f"{len(TAMPERED) + 1} tampered bundles were refused")
    assert sorted(path.name for path in folder.iterdir()) == before


def _changed(folder: Path, champion: SkillBundle, model: bytes) -> tuple[Any, dict[str, bytes]]:
    """A bundle with another empathy model and hashes that fit."""
    files = {name: (folder / champion.version / name).read_bytes() for name in champion.record.files}
    digests = {**champion.record.files, "empathy.ubj": hashlib.sha256(model).hexdigest()}
    record = champion.record.model_copy(update={"version": "hostile", "files": digests})
    return record, files | {"empathy.ubj": model}


def test_trees_that_crash_xgboost_crash_a_child(champion: SkillBundle) -> None:
    """As if the inspection had let them through."""
    model = tampered(champion.models["resilience"], TAMPERED["feature index out of range"])
    killer = replace(champion, models={"resilience": model})
    with pytest.raises(TamperedSkills, match=r"resilience\.ubj: .* was ended by SIG"):
        canary.predict_in_child_process(killer)


def test_a_tampered_champion_stops_new_replicas_and_no_running_one(
    server: Server, home: Path, champion: SkillBundle, tmp_path: Path
) -> None:
    """Leaves that say something else, under hashes that fit: only the canary rows, in a new replica's child, can tell."""
    folder = home / "store" / "skills"
    kept = shutil.copytree(folder / champion.version, tmp_path / "kept")
    model = folder / champion.version / "self_regulation.ubj"
    model.write_bytes(tampered(model.read_bytes(), moved_leaf))
    relock(folder, folder / champion.version)
    running = pids(server, "skills")
    try:
        deploy_topology(server, _two_inference_replicas(server))
        _wait_for_message(server, "self_regulation.ubj: a canary prediction moved by")
        assert running <= pids(server, "skills")
    finally:
        shutil.copytree(kept, folder / champion.version, dirs_exist_ok=True)
        set_champion(folder, champion.version)
        _deploy(server, topology_with(server))
    deadline = time.monotonic() + 120
    while pids(server, "skills") != running and time.monotonic() < deadline:
        time.sleep(0.5)


def _two_inference_replicas(server: Server) -> dict[str, Any]:
    topology = copy.deepcopy(topology_with(server))
    skills = next(application for application in topology["applications"] if application["name"] == "skills")
    inference = next(one for one in skills["deployments"] if one["name"] == "inference")
    inference["autoscaling_config"] = {**inference["autoscaling_config"], "min_replicas": 2, "initial_replicas": 2}
    return topology


def _wait_for_message(server: Server, wanted: str) -> None:
    """Until Serve tells why the second replica of ``inference`` does not start."""
    deadline, told = time.monotonic() + 120, ""
    while time.monotonic() < deadline:
        told = yaml.safe_load(serve(server, "status"))["applications"]["skills"]["deployments"]["inference"]["message"]
        if wanted in told:
            return
        time.sleep(1)
    raise AssertionError(f"Serve said: {told}")


# --- what is in the store already -------------------------------------------------------------------------------------


def test_models_tampered_in_the_store_do_not_deploy(server: Server, home: Path, hub: FakeHub, tmp_path: Path) -> None:
    store = ModelStore(home / "store", converter=convert.in_this_process)
    for key in STORED:
        _stored_anew(store, hub, key, tmp_path)
    flipped, linked = (store.path(key) / "files" for key in STORED)
    _flip(flipped / "model.safetensors")
    (linked / "config.json").replace(tmp_path / "config.json")
    (linked / "config.json").symlink_to(tmp_path / "config.json")
    deploy_topology(server, topology_with(server, *STORED))
    server.wait_for(lambda states: all(states.get(key, {}).get("state") == "failed" for key in STORED))
    # Each gateway asks once a second; the other one may not know yet.
    time.sleep(1.5)
    for key, file in zip(STORED, ("model.safetensors", "config.json"), strict=True):
        with urllib.request.urlopen(f"{server.url}/v1/models/{key}", timeout=30) as answer:
            assert f"files/{file}" in answer.read().decode()
    _deploy(server, topology_with(server))
    for key in STORED:
        store.remove(key)


def _stored_anew(store: ModelStore, hub: FakeHub, key: str, tmp_path: Path) -> None:
    if key in store.ls():
        store.remove(key)
    spec = load_catalogue().resolve(key)
    hub.add(spec.id, toy_for(spec, tmp_path / key))
    puller = Puller(store, Hub(hub.endpoint))
    puller.pull(puller.plan(spec), silent())


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


def test_a_hostile_champion_alias(home: Path, champion: SkillBundle, tmp_path: Path) -> None:
    # A copy: running replicas put a damaged alias file right within a second.
    folder = shutil.copytree(home / "store" / "skills", tmp_path / "skills")
    for version in ("../skills", "/etc", "hostile", ".hidden"):
        (folder / "champion").write_text(json.dumps({"version": version, "bundle_sha256": "0" * 64}))
        with pytest.raises(TamperedSkills):
            open_champion(folder, schema_hash=SCHEMA_HASH, num_feature=26)
