"""The topology file under Ray's own commands, in a plain shell and in one with ``muster env``; no ``muster up``."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import yaml

from benchmarks.checks.verdict import Verdict
from benchmarks.server import embeds, free_port
from model_store.settings import load_settings
from serve_app.environment import serving_environment

BIN = Path(sys.executable).parent
START_S, COMMAND_S, STOP_S = 180.0, 60.0, 60.0


def measure(*, throughput: bool) -> Verdict:
    """``serve run``, ``status``, ``deploy``, ``shutdown``, Ctrl-C, with or without the environment of throughput mode."""
    verdict = Verdict(f"serve run, status, deploy, shutdown {'with muster env' if throughput else 'in a plain shell'}")
    environment = _shell(throughput)
    with tempfile.TemporaryDirectory() as folder:
        port, topology = free_port(), Path(folder) / "serve_config.yaml"
        topology.write_text(_on_port(port))
        run = subprocess.Popen(
            [BIN / "serve", "run", topology],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        family: list[psutil.Process] = []
        try:
            started = time.monotonic()
            verdict.require("serve run answers embeddings", _wait(lambda: embeds(port), START_S))
            verdict.figures["answers after, s"] = round(time.monotonic() - started, 1)
            verdict.require("all applications run", _wait(lambda: _running(environment) == 3, START_S))
            deployed = _serve(environment, "deploy", str(topology))
            verdict.require("serve deploy succeeds", deployed is not None)
            verdict.require("and changes nothing", _wait(lambda: _running(environment) == 3 and embeds(port), 30))
            family = psutil.Process(run.pid).children(recursive=True)
            verdict.require("serve shutdown succeeds", _serve(environment, "shutdown", "-y") is not None)
            verdict.require("no application is left", _wait(lambda: _running(environment) == 0, STOP_S))
        finally:
            run.send_signal(signal.SIGINT)
            _, alive = psutil.wait_procs([psutil.Process(run.pid), *family], timeout=STOP_S)
            for process in alive:
                process.kill()
        verdict.require(f"Ctrl-C ends every process ({len(alive)} left)", not alive)
    return verdict


def _shell(throughput: bool) -> dict[str, str]:
    """What a user's shell has: the data folder and nothing else of Ray's or Muster's, unless ``muster env`` was read."""
    home = load_settings().home
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MUSTER_"))}
    return {**plain, "MUSTER_HOME": str(home), **(serving_environment(home) if throughput else {})}


def _on_port(port: int) -> str:
    topology = yaml.safe_load(Path("serve_config.yaml").read_text())
    topology["http_options"]["port"] = port
    return str(yaml.safe_dump(topology))


def _serve(environment: dict[str, str], *arguments: str) -> str | None:
    """A ``serve`` command's output; None when it failed."""
    done = subprocess.run(
        [BIN / "serve", *arguments], env=environment, capture_output=True, text=True, timeout=COMMAND_S
    )
    return done.stdout if done.returncode == 0 else None


def _running(environment: dict[str, str]) -> int | None:
    status = _serve(environment, "status")
    applications = yaml.safe_load(status or "{}").get("applications")
    return None if applications is None else sum(state["status"] == "RUNNING" for state in applications.values())


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
