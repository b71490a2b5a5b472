"""``muster plan`` as a command: what it writes, what it refuses and with which exit code; and how a machine is read."""

import json
import math
import os
import subprocess
import sys

import pytest
import yaml

from model_store.catalogue import load_catalogue
from model_store.embedding_record import read_record
from model_store.errors import PlanRefused
from model_store.footprint import HEAD_ROOM, SERVE_MB
from model_store.lock import Artefact, Manifest
from model_store.machine import Gpu, parse_gpus, read_gpus, read_machine
from serve_app.planned import write_topology

LISTING = """0, GPU-aaaa-1, NVIDIA A10G, 23028
1, GPU-bbbb-2, NVIDIA L4, 23034
2, GPU-cccc-3, NVIDIA GB10, [N/A]
No more devices
"""


@pytest.fixture
def plan(tmp_path):
    """The command in an empty folder, on a machine without GPUs unless told."""
    env = {**os.environ, "MUSTER_HOME": str(tmp_path / "home")}

    def run(*arguments):
        command = [sys.executable, "-m", "serve_app.cli.main", "plan", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)

    return run


def dimensions(key):
    return load_catalogue().resolve(key).dimensions


def test_json_and_table_say_the_same(plan):
    data = json.loads(plan("--json", "--gpus", "0").stdout)
    table = plan("--gpus", "0")
    assert data["machine"]["gpus"] == []
    assert data["choices"]
    for choice in data["choices"]:
        [line] = [line for line in table.stdout.splitlines() if line.startswith(choice["role"]) and " cpu " in line]
        assert choice["key"] in line
        assert line.endswith("served" if choice["ready"] else "no engine in this release")
    assert f"Tier {data['tier']}" in table.stderr


def test_writing_refuses_to_overwrite_another_topology(plan, tmp_path):
    written = tmp_path / "serve_config.yaml"
    basic = ("--gpus", "0", "--tier", "basic", "--only", "embedding", "--write")
    done = plan(*basic)
    assert done.returncode == 0, done.stderr
    assert "Not in the store yet: all-minilm-l6-v2" in done.stderr
    first = written.read_text()
    assert [each["name"] for each in yaml.safe_load(first)["applications"]] == [
        "all-minilm-l6-v2",
        "skills",
        "journal",
        "gateway",
    ]
    assert plan(*basic).returncode == 0, "the same again changes nothing"
    written.write_text("applications: []\n")
    refused = plan(*basic)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert written.read_text() == "applications: []\n"
    assert plan(*basic, "--force").returncode == 0
    assert written.read_text() == first


def test_another_embedding_dimension_is_refused_unless_forced(plan, tmp_path):
    store = tmp_path / "home" / "store"
    assert plan("--gpus", "0", "--only", "all-minilm-l6-v2", "--write", "a.yaml").returncode == 0
    assert read_record(store).dimensions == 384
    other = ("--gpus", "0", "--only", "all-mpnet-base-v2", "--write", "b.yaml")
    refused = plan(*other)
    assert refused.returncode == 1
    assert "all-minilm-l6-v2 (384 dimensions)" in refused.stderr
    assert "all-mpnet-base-v2 (768 dimensions)" in refused.stderr
    assert not (tmp_path / "b.yaml").exists()
    assert read_record(store).dimensions == 384
    forced = plan(*other, "--force")
    assert forced.returncode == 0
    assert "must be embedded again" in forced.stderr
    assert (read_record(store).model, read_record(store).dimensions) == ("all-mpnet-base-v2", 768)


def test_another_model_of_the_same_dimension_is_refused_too(plan):
    assert dimensions("e5-large-v2") == dimensions("multilingual-e5-large")
    gpu = ("--gpus", "24", "--write", "x.yaml", "--only")
    assert plan(*gpu, "e5-large-v2").returncode == 0
    assert "cannot be compared" in plan(*gpu, "multilingual-e5-large").stderr


def test_a_plan_without_embedding_leaves_the_record(plan, tmp_path):
    assert plan("--gpus", "0", "--only", "embedding", "--write", "a.yaml").returncode == 0
    before = read_record(tmp_path / "home" / "store")
    done = plan("--gpus", "0", "--only", "emotion", "--write", "b.yaml")
    assert done.returncode == 0
    assert read_record(tmp_path / "home" / "store") == before is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gpus", "many"), "sizes in GB"),
        (("--gpus", "-1"), "0 to 10000"),
        (("--gpus", "nan"), "0 to 10000"),
        (("--tier", "huge"), "huge"),
        (("--only", "no-such-model"), "no-such-model"),
        (("a.yaml",), "--write"),
        (("--write", "emotion"), ".yaml"),
    ],
)
def test_wrong_usage(plan, tmp_path, arguments, words):
    done = plan(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(PlanRefused, match="cannot be written"):
        write_topology(tmp_path / "missing" / "x.yaml", "text")


def test_a_broken_record_is_not_taken_for_none(tmp_path):
    assert read_record(tmp_path) is None
    (tmp_path / "embedding.json").write_text('{"model": "x"}')
    with pytest.raises(PlanRefused, match=r"embedding\.json"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["NVIDIA A10G", "NVIDIA L4"]),
        ("", []),
        ("1", ["NVIDIA L4"]),
        ("0,1", ["NVIDIA A10G", "NVIDIA L4"]),
        ("GPU-bbbb", ["NVIDIA L4"]),
        ("-1", []),
    ],
)
def test_the_listing_of_gpus(visible, names):
    gpus = parse_gpus(LISTING, visible)
    assert [gpu.name for gpu in gpus] == names
    assert all(isinstance(gpu, Gpu) and gpu.memory_mb > 23_000 for gpu in gpus)


@pytest.mark.parametrize(("script", "count"), [("echo '0, GPU-1, T4, 15360'", 1), ("exit 9", 0), (None, 0)])
def test_gpus_through_the_driver_tool_or_none(tmp_path, monkeypatch, script, count):
    if script:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(read_gpus()) == count


def test_a_hanging_driver_tool_is_no_gpu(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("model_store.machine.NVIDIA_SMI_TIMEOUT_S", 0.2)
    assert read_gpus() == ()


def test_limits_of_a_control_group_count(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    whole = read_machine(tmp_path, visible_gpus="")
    assert whole.cores == 16
    group = tmp_path / "sys/fs/cgroup/outer"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/outer\n")
    (group / "cpu.max").write_text("350000 100000\n")
    (group / "memory.max").write_text(f"{64 * 2**20}\n")
    limited = read_machine(tmp_path, visible_gpus="")
    assert (limited.cores, limited.memory_mb) == (3, 64)


def test_a_model_in_the_store_is_planned_with_what_it_took_on_this_machine(plan, tmp_path):
    """A figure that no estimate gives, written where a pull writes it."""
    arguments = ("--gpus", "0", "--only", "all-minilm-l6-v2", "--json")
    [before] = json.loads(plan(*arguments).stdout)["placements"]
    artefact = Artefact(id="a", folder="artefacts/a", made_with={})
    folder = tmp_path / "home/store/models/all-minilm-l6-v2"
    (folder / artefact.folder).mkdir(parents=True)
    Manifest(key="all-minilm-l6-v2", id="x/y", revision="0" * 40, files={}, artefact=artefact).write(folder)
    (folder / artefact.folder / "memory.json").write_text(json.dumps({"process_bytes": 1000 * 2**20}))
    [after] = json.loads(plan(*arguments).stdout)["placements"]
    assert (before["measured"], after["measured"]) == (True, True)
    assert after["memory_mb"] == math.ceil((1000 + SERVE_MB) * HEAD_ROOM) != before["memory_mb"]
    table = plan(*arguments[:-1]).stdout
    assert "1.40 GB  measured" in table
