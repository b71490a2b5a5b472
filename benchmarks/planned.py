"""A Muster as `muster plan --precision auto` sets it up on this machine, by the commands that a user types: 8 bits where
the accuracy gate passed and they are faster, else fp32."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bare import KEY
from benchmarks.eight_bit import judge
from benchmarks.server import Server
from serve_app.cli.output import FAILED


@dataclass(frozen=True, slots=True)
class Planned:
    """A running server, the precision that the plan chose for the embedding model, and the gate's figures."""

    server: Server
    precision: str
    gate: dict[str, Any]
    judge: str


@contextlib.contextmanager
def planned() -> Iterator[Planned]:
    """Pull, quantize, plan and start, in a data folder of its own."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as home:
        # A CPU gate of its own: a replica that is stopped in the middle of a pass must not hold up another server's.
        folder = {"MUSTER_HOME": home, "MUSTER_GATE_DIR": str(Path(home) / "gate")}
        topology = Path(home) / "planned.yaml"
        pairs, name = judge(Path(home))
        _muster(folder, "models", "pull", KEY)
        gate = json.loads(_muster(folder, "models", "quantize", KEY, "--sts", str(pairs), "--json", ok=(0, FAILED)))
        _muster(folder, "plan", "--precision", "auto", "--only", "embedding", "--write", str(topology))
        with Server(environment=folder, config=topology) as server:
            yield Planned(server, _precision(topology), gate, name)


def _precision(topology: Path) -> str:
    applications = yaml.safe_load(topology.read_text())["applications"]
    (arguments,) = (each["args"] for each in applications if each["name"] == KEY)
    return str(arguments.get("precision", "fp32"))


def _muster(environment: dict[str, str], *words: str, ok: tuple[int, ...] = (0,)) -> str:
    """What the command printed. ``ok``: exit codes; ``FAILED`` says that the gate did not pass."""
    command = [sys.executable, "-m", "serve_app.cli.main", *words]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode not in ok:
        raise RuntimeError(f"muster {' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return done.stdout
