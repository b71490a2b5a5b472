"""What operators do: deploy, scale, kill, stop."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import yaml

from benchmarks.checks import chaos, footprint
from benchmarks.load import embed_all
from benchmarks.server import Server, free_port
from benchmarks.texts import Texts
from benchmarks.topology import deploy, wait_for_replicas
from tests.e2e.test_api import holds

KEY = "all-minilm-l6-v2"
CONFIG = Path("serve_config.yaml")
"""The checked-in topology; pytest runs in the project's folder."""


def serve(server: Server, *arguments: str) -> str:
    """The ``serve`` CLI in a shell without Muster's environment: Ray's token is found all the same."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MUSTER_"))}
    command = [str(Path(sys.executable).with_name("serve")), *arguments, "--address", server.dashboard]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=plain).stdout


def test_serve_status_lists_one_application_a_model_one_for_the_graph_and_the_gateway(server: Server) -> None:
    applications = yaml.safe_load(serve(server, "status"))["applications"]
    assert {name: app["status"] for name, app in applications.items()} == {
        KEY: "RUNNING",
        "skills": "RUNNING",
        "journal": "RUNNING",
        "gateway": "RUNNING",
    }
    assert set(applications["skills"]["deployments"]) == {"inference", "fusion", "reasoning"}


def test_deploying_another_replica_count_touches_only_that_application(server: Server) -> None:
    deploy(server, {KEY: 1})
    server.wait_for(lambda states: states[KEY]["replicas"] == 1)
    before = {name: pids(server, name) for name in (KEY, "skills", "journal", "gateway")}
    deploy(server, {KEY: 2})
    assert len(pids(server, KEY) - before[KEY]) == 1
    assert pids(server, "skills") == before["skills"]
    assert pids(server, "gateway") == before["gateway"]


def test_kills_of_replicas_lose_no_request(server: Server) -> None:
    deploy(server, {KEY: 2})
    holds(chaos.kill_replicas(server.port, lambda: server.replicas(KEY), kills=3, requests=1200))


def test_redis_dies_and_comes_back(server: Server) -> None:
    holds(chaos.kill_redis(server.port, server.redis))


def test_load_scales_a_model_from_one_replica_to_two_and_back(server: Server) -> None:
    deploy(server, {KEY: 1})
    server.wait_for(lambda states: states[KEY]["replicas"] == 1)
    deploy_quick_autoscaling(server)
    stop = threading.Event()
    load = threading.Thread(target=bulk_load, args=(server.port, stop))
    load.start()
    try:
        server.wait_for(lambda states: states[KEY]["replicas"] == 2)
    finally:
        stop.set()
        load.join()
    server.wait_for(lambda states: states[KEY]["replicas"] == 1)
    deploy(server, {})


def deploy_quick_autoscaling(server: Server) -> None:
    """The checked-in topology with delays that a test can wait for."""
    topology = yaml.safe_load(CONFIG.read_text())
    topology["http_options"]["port"] = server.port
    scaling = topology["applications"][0]["deployments"][0]["autoscaling_config"]
    topology["applications"][0]["deployments"][0]["autoscaling_config"] = {
        **scaling,
        "upscale_delay_s": 1,
        "downscale_delay_s": 5,
    }
    file = server.runtime / "quick.yaml"
    file.write_text(yaml.safe_dump(topology))
    serve(server, "deploy", str(file))
    wait_for_replicas(server, {})


def bulk_load(port: int, stop: threading.Event) -> None:
    import asyncio

    supply = Texts(31)
    deadline = time.monotonic() + 120
    while not stop.is_set() and time.monotonic() < deadline:
        asyncio.run(embed_all(port, supply.mixed(1200), 300, 4))


def none_restarted(server: Server, before: dict[str, set[int]]) -> bool:
    """Whether every application has processes, and only those of before: autoscaling may have taken one away."""
    now = {name: pids(server, name) for name in before}
    return all(now[name] and now[name] <= before[name] for name in before)


def pids(server: Server, application: str) -> set[int]:
    return {process.pid for process in server.replicas(application)}


def test_a_second_instance_is_refused_with_the_way_out(server: Server, home: Path) -> None:
    done = muster("up", home=home)
    assert done.returncode == 2
    assert "already runs with this data folder" in done.stderr


def test_a_taken_port_and_a_tampered_file_are_named(server: Server, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "store", tmp_path / "store")
    taken = muster("up", "--port", str(server.port), home=tmp_path)
    assert taken.returncode == 2
    assert f"Port {server.port}" in taken.stderr
    weights = tmp_path / "store/models" / KEY / "files/model.safetensors"
    weights.chmod(0o600)
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    refused = muster("models", "verify", home=tmp_path)
    assert refused.returncode == 4
    assert "model.safetensors" in refused.stdout
    started = muster("up", "--port", str(free_port()), home=tmp_path)
    assert started.returncode != 0
    assert "model.safetensors" in started.stderr


def test_start_stop_and_memory(home: Path, tmp_path: Path) -> None:
    """A second start from a filled store, then Ctrl-C: nothing is left, no process, no port, no temporary folder."""
    shutil.copytree(home / "store", tmp_path / "store")
    with Server(environment={"MUSTER_HOME": str(tmp_path)}) as second:
        holds(footprint.memory(second))
        holds(footprint.stop(second))
    assert any((tmp_path / "logs").glob("session_*/gcs_server.out"))
    assert [
        p for p in psutil.process_iter() if "haproxy" in p.name() and str(second.runtime) in " ".join(p.cmdline())
    ] == []


def muster(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("muster")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MUSTER_HOME": str(home)})
