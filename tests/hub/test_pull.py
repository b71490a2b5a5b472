"""Pulling with the real huggingface_hub from a hub over real HTTP: complete or not at all, however the hub behaves."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from deployments.engines.encoders import load_encoder
from deployments.settings import DeploymentSettings
from model_store import convert, prove
from model_store.catalogue import Catalogue, HubSource, ModelSpec, load_catalogue
from model_store.errors import (
    ConversionFailed,
    DiskFull,
    GatedModel,
    HubUnavailable,
    SourceUnavailable,
    UntrustedArtefact,
)
from model_store.folder import install_folder
from model_store.hub import ATTEMPTS, Hub
from model_store.lock import digest_file
from model_store.pull import Puller, silent
from model_store.store import ModelStore
from tests.fake_hub import GOOD_TOKEN, FakeHub
from tests.toy_models import toy_for

HUB_MODELS = [spec for spec in load_catalogue().models if isinstance(spec.source, HubSource)]
PICKLED = ("emotion-english-distilroberta-base", "dialogpt-medium", "bart-large")


def spec_of(key: str) -> ModelSpec:
    return load_catalogue().resolve(key)


@pytest.fixture
def hub():
    with FakeHub() as running:
        yield running


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """Toy repositories by key, built once."""
    root, made = tmp_path_factory.mktemp("toys"), {}

    def get(key: str, pickled: bool = False) -> Path:
        name = f"{key}-{pickled}"
        if name not in made:
            made[name] = toy_for(spec_of(key), root / name, pickled=pickled)
        return made[name]

    return get


def quick(files: Path, target: Path, *rest) -> None:
    """Stands in for the export and the proof where a test is about fetching."""
    (target / "golden.json").write_text("{}")


def store_at(folder: Path, *, proved: bool = False) -> ModelStore:
    if not proved:
        return ModelStore(folder, load_catalogue(), quick, quick)

    def prover(files: Path, target: Path, task: str, progress) -> None:
        prove.record(files, target, task)

    return ModelStore(folder, load_catalogue(), convert.in_this_process, prover)


def pull(store: ModelStore, hub: FakeHub, key: str, **options) -> Path:
    puller = Puller(store, Hub(hub.endpoint, pace=options.pop("pace", 0.02), seed=1, **options))
    return puller.pull(puller.plan(spec_of(key)), silent())


@pytest.fixture
def store(tmp_path):
    return store_at(tmp_path / "store")


@pytest.mark.parametrize("spec", HUB_MODELS, ids=lambda spec: spec.key)
def test_every_kind_of_model_in_the_catalogue_is_pulled_proved_and_locked(spec, hub, toys, tmp_path):
    commit = hub.add(spec.id, toys(spec.key, pickled=spec.key in PICKLED))
    store = store_at(tmp_path / "store", proved=True)
    pull(store, hub, spec.key)
    stored = store.open(spec.key)
    assert stored.revision == commit
    names = {path.name for path in stored.files.rglob("*")}
    assert any(name.startswith("model") and name.endswith(".safetensors") for name in names)
    assert not names & {"pytorch_model.bin", "tf_model.h5", "model.onnx", ".gitattributes", "flax_model.msgpack"}
    assert stored.task == spec.task
    if spec.task in convert.EXPORTED_TASKS:
        engine = load_encoder(stored, DeploymentSettings(threads=1, gate_dir=tmp_path / "gate"))
        engine.warm()
        if spec.task == "classification":
            assert engine.describe().details["labels"] == list(spec.labels)
    else:
        prove.check(stored.files, stored.folder / stored.artefact.folder, spec.task)


def test_a_proof_notices_other_weights(hub, toys, tmp_path):
    hub.add(spec_of("dialogpt-small").id, toys("dialogpt-small"))
    store = store_at(tmp_path / "store", proved=True)
    pull(store, hub, "dialogpt-small")
    stored = store.open("dialogpt-small")
    golden = stored.folder / stored.artefact.folder / "golden.json"
    facts = json.loads(golden.read_text())
    facts["outputs"][0][0] += 0.5
    (tmp_path / "golden.json").write_text(json.dumps(facts))
    with pytest.raises(ConversionFailed, match="moved by"):
        prove.check(stored.files, tmp_path, "generation")


def test_the_golden_outputs_are_checked_on_request(hub, toys, tmp_path):
    store = store_at(tmp_path / "store", proved=True)
    keys = ("dialogpt-small", "distilbert-sst-2", "all-mpnet-base-v2")
    for key in keys:
        hub.add(spec_of(key).id, toys(key))
        pull(store, hub, key)
    calls, command = hub.total, [sys.executable, "-m", "serve_app.cli.main", "models", "prove", "--json"]
    environment = {**os.environ, "MUSTER_HOME": str(tmp_path), "HF_ENDPOINT": hub.endpoint}
    proved = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert proved.returncode == 0, proved.stderr
    assert {row["key"]: row["ok"] for row in json.loads(proved.stdout)} == dict.fromkeys(keys, True)
    move_golden(store.path("dialogpt-small"), "golden.json", lambda facts: facts["outputs"][0])
    move_golden(store.path("distilbert-sst-2"), "encoder.json", lambda facts: facts["golden"][0]["logits"])
    proved = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert proved.returncode == 4
    reasons = {row["key"]: row["reason"] for row in json.loads(proved.stdout)}
    assert "A golden answer moved by" in reasons.pop("dialogpt-small")
    assert "distilbert-sst-2 moved by" in reasons.pop("distilbert-sst-2")
    assert reasons == {"all-mpnet-base-v2": None}
    assert hub.total == calls


def move_golden(folder: Path, name: str, numbers: Callable[[dict], list[float]]) -> None:
    """Change what is recorded, and the manifest with it, so that only the answers can tell."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (golden,) = folder.rglob(name)
    facts = json.loads(golden.read_text())
    numbers(facts)[0] += 0.5
    for path in (golden, folder / "manifest.json"):
        path.chmod(0o644)
    golden.write_text(json.dumps(facts))
    manifest["files"][golden.relative_to(folder).as_posix()] = digest_file(golden).model_dump()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_pickled_weights_and_the_proof_run_in_child_processes(hub, toys, tmp_path):
    key = "dialogpt-small"
    hub.add(spec_of(key).id, toys(key, pickled=True))
    store = ModelStore(tmp_path / "store", load_catalogue())
    pull(store, hub, key)
    stored = store.open(key)
    prove.check_in_child_process(stored.files, stored.folder / stored.artefact.folder, "generation")
    # Of another process than this one: torch alone takes more.
    assert store.process_bytes(key) > 100 * 2**20


def test_a_classifier_is_converted_in_a_child_process(hub, toys, tmp_path):
    key, messages = "distilbert-sst-2", []
    hub.add(spec_of(key).id, toys(key))
    store = ModelStore(tmp_path / "store", load_catalogue())
    puller = Puller(store, Hub(hub.endpoint))
    watcher = SimpleNamespace(step=messages.append, file_done=lambda *file: None)
    puller.pull(puller.plan(spec_of(key)), watcher)
    assert f"{key}: checking the graph against torch" in messages
    assert (store.open(key).artefact_dir() / "encoder.onnx").is_file()


def test_another_number_of_labels_than_the_catalogues_is_refused(hub, toys, tmp_path):
    key = "distilbert-sst-2"
    toy = shutil.copytree(toys(key), tmp_path / "toy")
    config = json.loads((toy / "config.json").read_text())
    config["id2label"] = {"0": "NEGATIVE", "1": "NEUTRAL", "2": "POSITIVE"}
    (toy / "config.json").write_text(json.dumps(config))
    hub.add(spec_of(key).id, toy)
    store = store_at(tmp_path / "store")
    with pytest.raises(UntrustedArtefact, match="it has 3 labels where the catalogue has 2"):
        pull(store, hub, key)
    assert store.ls() == []


def test_the_plan_names_sizes_and_fetches_nothing(store, hub, toys):
    hub.add(spec_of("distilbert-sst-2").id, toys("distilbert-sst-2"))
    plan = Puller(store, Hub(hub.endpoint)).plan(spec_of("distilbert-sst-2"))
    assert plan.total == plan.missing == sum((toys("distilbert-sst-2") / f.name).stat().st_size for f in plan.files)
    assert store.ls() == []
    assert set(hub.calls) == {"GET api"}


def test_a_full_disk_is_told_before_a_byte_is_fetched(store, hub, toys, monkeypatch):
    hub.add(spec_of("distilbert-sst-2").id, toys("distilbert-sst-2"))
    puller = Puller(store, Hub(hub.endpoint))
    plan = puller.plan(spec_of("distilbert-sst-2"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(DiskFull, match=r"has 0\.0 GiB free, the pull needs 0\.\d GiB"):
        puller.require_room([plan])


def test_gated_repositories_name_the_page_and_a_token_opens_them(store, hub, toys):
    spec = spec_of("mistral-7b-instruct")
    hub.add(spec.id, toys(spec.key), gated=True)
    with pytest.raises(GatedModel, match=r"accept its licence at https://huggingface\.co/mistralai/Mistral-7B"):
        pull(store, hub, spec.key)
    pull(store, hub, spec.key, token=GOOD_TOKEN)
    assert store.ls() == [spec.key]


def test_what_the_hub_has_not_got_is_said_after_one_call(store, hub):
    with pytest.raises(SourceUnavailable, match="no repository distilbert/"):
        pull(store, hub, "distilbert-sst-2")
    assert hub.total == 1


def test_a_second_pull_fetches_nothing_and_a_moved_branch_changes_nothing(store, hub, toys, tmp_path):
    key = "distilbert-sst-2"
    commit = hub.add(spec_of(key).id, toys(key))
    pull(store, hub, key)
    newer = shutil.copytree(toys(key), tmp_path / "newer")
    (newer / "README.md").write_text("changed overnight")
    moved = hub.update(spec_of(key).id, newer)
    before = hub.calls["GET cdn"] + hub.calls["GET resolve"]
    pull(store, hub, key)
    assert store.open(key).revision == commit
    assert hub.calls["GET cdn"] + hub.calls["GET resolve"] == before
    puller = Puller(store, Hub(hub.endpoint))
    puller.pull(puller.plan(spec_of(key), update=True), silent())
    assert store.open(key).revision == moved


def test_a_broken_pull_goes_on_where_it_stopped(store, hub, toys):
    key = "distilbert-sst-2"
    hub.add(spec_of(key).id, toys(key))
    puller = Puller(store, Hub(hub.endpoint), workers=1)
    plan = puller.plan(spec_of(key))
    largest = max(plan.files, key=lambda file: file.size)
    target = plan.folder / "files" / largest.name
    target.parent.mkdir(parents=True)
    shutil.copyfile(toys(key) / largest.name, target)
    assert puller.plan(spec_of(key)).missing == plan.total - largest.size
    pull(store, hub, key)
    assert hub.calls["GET cdn"] == 0


def test_a_storm_ends_with_the_right_files_and_bounded_calls(hub, toys, tmp_path, monkeypatch):
    """429 to nine calls of ten, bodies cut anywhere, one file in five corrupted."""
    sleep = time.sleep
    # The library's own retries wait at least a second each.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: sleep(seconds / 100))
    keys = ("distilbert-sst-2", "all-mpnet-base-v2", "dialogpt-small", "flan-t5-large")
    for key in keys:
        hub.add(spec_of(key).id, toys(key))
    hub.storm(rate_limited=0.9, cut=0.3, corrupt=0.2, seed=11)
    store, files = store_at(tmp_path / "store"), 0
    for key in keys:
        puller = Puller(store, Hub(hub.endpoint, pace=0.01, seed=3))
        plan = puller.plan(spec_of(key))
        puller.pull(plan, silent())
        files += len(plan.files)
        for file in plan.files:
            assert (store.open(key).files / file.name).read_bytes() == (toys(key) / file.name).read_bytes()
    print(f"{hub.total} calls for {files} files")
    assert hub.statuses[429] > hub.total / 2
    assert hub.total < 120 * files


def test_a_corrupted_file_never_reaches_the_store(store, hub, toys):
    key = "distilbert-sst-2"
    hub.add(spec_of(key).id, toys(key))
    hub.storm(corrupt=1.0)
    with pytest.raises(HubUnavailable, match=f"in {ATTEMPTS} attempts"):
        pull(store, hub, key)
    assert store.ls() == []
    hub.calm()
    pull(store, hub, key)
    assert store.verify(key).ok


def test_a_body_longer_than_listed_is_cut_off(store, hub, toys):
    key = "distilbert-sst-2"
    hub.add(spec_of(key).id, toys(key))
    content = (toys(key) / "model.safetensors").read_bytes()
    hub.blobs[hashlib.sha256(content).hexdigest()] = content + bytes(30 << 20)
    with pytest.raises(HubUnavailable):
        pull(store, hub, key)
    (folder,) = store.leftovers()
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 10 << 20
    assert store.ls() == []


@pytest.mark.parametrize("commit", ["/../../../../outside", "../" * 13 + "x", "A" * 40, ""])
def test_a_commit_that_is_none_is_refused(commit, store, hub, toys, tmp_path):
    key = "distilbert-sst-2"
    made = hub.add(spec_of(key).id, toys(key))
    repo = hub.repos[spec_of(key).id]
    repo.commits["main"] = replace(repo.commits[made], id=commit)
    repo.main = "main"
    with pytest.raises(SourceUnavailable, match=r"a commit of .* that is none"):
        pull(store, hub, key)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["store"])


def test_repair_fetches_only_what_is_damaged(store, hub, toys):
    key = "distilbert-sst-2"
    hub.add(spec_of(key).id, toys(key))
    pull(store, hub, key)
    damaged = store.path(key) / "files" / "config.json"
    damaged.chmod(0o644)
    damaged.write_text("{}")
    assert not store.verify(key).ok
    before = hub.calls["GET resolve"], hub.calls["GET cdn"]
    Puller(store, Hub(hub.endpoint)).repair(spec_of(key), silent())
    assert store.verify(key).ok
    assert (hub.calls["GET resolve"] - before[0], hub.calls["GET cdn"] - before[1]) == (1, 0)


def test_a_folder_stands_in_for_the_hub(store, toys, tmp_path):
    key = "distilbert-sst-2"
    shutil.copytree(toys(key), tmp_path / "models" / spec_of(key).id.replace("/", "--"))
    install_folder(store, spec_of(key), tmp_path / "models", lambda message: None)
    assert len(store.open(key).revision) == 40
    with pytest.raises(SourceUnavailable, match="has no folder"):
        install_folder(store, spec_of("phi-2"), tmp_path / "models", lambda message: None)


@pytest.mark.timeout(60)
def test_a_fifo_in_a_folder_is_refused_and_not_waited_for(store, toys, tmp_path):
    key = "distilbert-sst-2"
    folder = shutil.copytree(toys(key), tmp_path / "models" / key)
    os.mkfifo(folder / "merges.txt")
    with pytest.raises(SourceUnavailable, match=r"merges\.txt is not a plain file"):
        install_folder(store, spec_of(key), tmp_path / "models", lambda message: None)


def test_a_kill_between_the_two_renames_leaves_the_old_model(store, hub, toys):
    key = "distilbert-sst-2"
    hub.add(spec_of(key).id, toys(key))
    pull(store, hub, key)
    folder = store.path(key)
    folder.rename(folder.with_name(f".replaced-{key}"))
    assert store.verify(key).ok
    store.collect()
    assert store.path(key) == folder
    assert store.verify(key).ok


KILLS = int(os.environ.get("MUSTER_TEST_KILLS", "6"))
_PULLING = """
import sys
from pathlib import Path
from model_store.catalogue import load_catalogue
from model_store.hub import Hub
from model_store.pull import Puller, silent
from tests.hub.test_pull import spec_of, store_at
store = store_at(Path(sys.argv[1]))
puller = Puller(store, Hub(sys.argv[2], pace=0.05), workers=2)
puller.pull(puller.plan(spec_of("distilbert-sst-2"), update=True), silent())
"""


def test_kills_at_random_moments_leave_a_clean_store(hub, toys, tmp_path):
    """MUSTER_TEST_KILLS=50 is the long form. Every second pull replaces an older commit."""
    key, random_ = "distilbert-sst-2", random.Random(5)
    source = shutil.copytree(toys(key), tmp_path / "source")
    hub.add(spec_of(key).id, source)
    root = tmp_path / "store"
    command = [sys.executable, "-c", _PULLING, str(root), hub.endpoint]
    started = time.monotonic()
    subprocess.run(command, check=True)
    undisturbed, killed = time.monotonic() - started, 0
    for turn in range(KILLS):
        (source / "README.md").write_text(f"turn {turn // 2}")
        hub.update(spec_of(key).id, source)
        child, begun = subprocess.Popen(command), time.monotonic()
        try:
            # The first half of the time goes into importing.
            child.wait(undisturbed * random_.uniform(0.4, 1.0))
            # The machine was busier when the time was taken.
            undisturbed = time.monotonic() - begun
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        store = store_at(root)
        assert all(store.verify(stored).ok for stored in store.ls())
    assert killed
    puller = Puller(store, Hub(hub.endpoint))
    puller.pull(puller.plan(spec_of(key), update=True), silent())
    assert (store.open(key).files / "README.md").read_bytes() == (source / "README.md").read_bytes()
    store.collect()
    assert store.leftovers() == []


def test_the_users_own_catalogue_extends_ours(tmp_path):
    from model_store.catalogue import add_model
    from model_store.errors import CatalogueError

    entry = {
        "key": "mine", "id": "me/mine", "task": "classification", "family": "bert", "source": {"hub": "me/mine"},
        "revision": "unpinned", "licence": "MIT", "parameters": 1000, "download_mb": 1, "limits": {"max_tokens": 64},
    }  # fmt: skip
    add_model(tmp_path / "catalogue.yaml", entry)
    assert load_catalogue(extra=tmp_path / "catalogue.yaml").resolve("me/mine").key == "mine"
    with pytest.raises(CatalogueError, match="more than one model is called"):
        add_model(tmp_path / "catalogue.yaml", entry)
    assert isinstance(load_catalogue(extra=tmp_path / "catalogue.yaml"), Catalogue)
