"""A Muster of its own for a measurement: started as a user starts it, stopped with Ctrl-C, watched from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from model_store.settings import load_settings
from serve_app.environment import runtime_path

START_TIMEOUT_S = 600


class Server:
    """``muster up`` in a child process; ``milestones`` are the seconds after the start at which things answered."""

    def __init__(
        self, port: int | None = None, environment: dict[str, str] | None = None, config: Path | None = None
    ) -> None:
        """``config``: the topology, when not the checked-in one."""
        self.port = port or free_port()
        self._environment = {**os.environ, **(environment or {})}
        self._topology = ["--config", str(config)] if config else []
        self.lines: list[str] = []
        self.milestones: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serve_app.cli.main", "up", "--port", str(self.port), *self._topology],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
        )
        self._up = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()
        while not self._up.wait(0.1):
            if "embeddings" not in self.milestones and embeds(self.port):
                self.milestones["embeddings"] = time.monotonic() - self._started
            if self._process.poll() is not None or time.monotonic() - self._started > START_TIMEOUT_S:
                self.stop()
                raise RuntimeError("Muster did not start:\n" + "\n".join(self.lines))
        return self

    def _follow(self) -> None:
        for line in self._process.stderr or ():
            self.lines.append(line.rstrip())
            if "Muster is up." in line:
                self.milestones["everything"] = time.monotonic() - self._started
                self.milestones.setdefault("embeddings", self.milestones["everything"])
                self._up.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> float:
        """Ctrl-C, then wait; seconds it took."""
        started = time.monotonic()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(90)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return time.monotonic() - started

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[psutil.Process]:
        """``muster up`` and everything it started."""
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True), *self.strays()]

    def strays(self) -> list[psutil.Process]:
        """Processes that use our runtime folder without being our children any more (HAProxy after a reload)."""
        run = str(self.runtime)
        children = {process.pid for process in psutil.Process(self._process.pid).children(recursive=True)}
        known = {*children, self._process.pid}
        return [
            process
            for process in psutil.process_iter(["pid", "cmdline"])
            if run in " ".join(process.info["cmdline"] or ()) and process.pid not in known
        ]

    @property
    def home(self) -> Path:
        """Its data folder."""
        home = self._environment.get("MUSTER_HOME")
        return Path(home) if home else load_settings().home

    @property
    def runtime(self) -> Path:
        """The folder of its sockets and of Ray's session."""
        return runtime_path(self.home)

    @property
    def dashboard(self) -> str:
        """Address for ``serve --address``, as the start printed it."""
        return next(line.split()[1] for line in self.lines if line.strip().startswith("Dashboard"))

    @property
    def ray_address(self) -> str:
        """Where drivers join its Ray, as its raylet was told."""
        words = (str(word) for process in self.processes() for word in process.cmdline())
        return next(word.partition("=")[2] for word in words if word.startswith("--gcs-address="))

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 120) -> None:
        """Wait until the states of the applications in ``/health/detailed`` are as wanted. Raises ``TimeoutError``."""
        states: dict[str, Any] = {}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/health/detailed", timeout=10) as answer:
                    states = json.load(answer)["components"]["applications"]
            except (urllib.error.URLError, OSError):
                states = {}
            if states and wanted(states):
                return
            time.sleep(0.5)
        found = {name: (state["state"], state["replicas"], state.get("reason")) for name, state in states.items()}
        raise TimeoutError(f"the applications did not reach the wanted state: {found}")

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The replica processes of one deployment."""
        mark = f"ServeReplica:{deployment}"
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            try:
                if mark in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def redis(self) -> psutil.Process | None:
        return next((p for p in psutil.Process(self._process.pid).children() if "redis-server" in p.name()), None)

    def pss_bytes(self) -> int:
        """Proportional set size of all processes: shared pages are counted once."""
        return sum(_smaps(process.pid, "Pss:") or 0 for process in self.processes())


def private_bytes(processes: Iterable[psutil.Process]) -> int:
    """Memory that no other process shares, of all these together: what would be free if they ended."""
    return sum(_smaps(process.pid, "Private_Clean:", "Private_Dirty:") or 0 for process in processes)


def _smaps(pid: int, *names: str) -> int | None:
    """The sum of these entries of the kernel's summary, bytes; None for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(names))


def embeds(port: int) -> bool:
    """Whether an embedding is answered there."""
    body = b'{"model": "embedding", "input": "ready?"}'
    url = f"http://127.0.0.1:{port}/v1/embeddings"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
