"""What ``muster up`` does: prepare the store, start Redis, Ray and Serve, watch them, and stop them in reverse order.

Everything it starts dies with it: Ray's processes share its fate, Redis asks the kernel for a signal when its parent
goes, and what HAProxy leaves is swept here and at the next start.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from model_store.settings import StoreSettings
from serve_app.environment import ensure_ray_token, export, find_haproxy, runtime_dir, serving_environment
from serve_app.errors import SettingsError
from serve_app.redis_server import RedisServer, find_redis
from serve_app.settings import Settings

Tell = Callable[[str], None]
READY_TIMEOUT_S = 300
WATCH_S = 0.5


class Supervisor:
    """One running Muster on this machine, for one data folder."""

    def __init__(self, store: StoreSettings, settings: Settings, topology: Path, tell: Tell) -> None:
        self._store, self._settings, self._topology_file, self._tell = store, settings, topology, tell
        self._run = runtime_dir(store.home)
        self._stop = threading.Event()
        self._redis: RedisServer | None = None
        self.dashboard = 0

    def run(self, announce: Callable[[], None]) -> None:
        """Start, call ``announce`` when all applications answer, stay until a signal comes, stop.

        Raises ``SettingsError`` when the port is taken, the topology is wrong, or an application cannot start.
        """
        from serve_app.cluster import Cluster, haproxy_ports, load_topology, require_port

        # Ray prints notices of its own to stdout, some of them alarming and meant for its developers.
        quiet = contextlib.redirect_stdout(self._log("up.out"))
        with _only_one(self._run / "up.json", self._settings.port), self._signals(), quiet:
            require_port(self._settings.host, self._settings.port)
            export({**serving_environment(self._store.home), **haproxy_ports()})
            ensure_ray_token()
            topology = load_topology(self._topology_file, self._settings.host, self._settings.port)
            cluster = Cluster(self._run, self._store.logs_dir)
            cluster.sweep()
            try:
                self._prepare()
                self._start_redis()
                self._start_cluster(cluster, topology)
                announce()
                self._watch()
            except Interrupted:
                pass
            finally:
                self._shut_down(cluster)

    def _log(self, name: str) -> TextIO:
        self._store.logs_dir.mkdir(parents=True, exist_ok=True)
        return (self._store.logs_dir / name).open("w", buffering=1)

    # -- starting --------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Adopt the starter models and train the skill models when they are missing; nothing else is ever repeated."""
        self._child("models", "adopt", "--starter")
        self._child("skills", "train", "--if-missing")

    def _child(self, *arguments: str) -> None:
        # A child of its own: torch and xgboost must not stay in this process's memory for as long as it serves.
        process = subprocess.Popen(
            [sys.executable, "-m", "serve_app.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        last = ""
        try:
            for line in process.stdout or ():
                last = line.strip() or last
                self._tell(line.strip())
            if process.wait() != 0:
                raise SettingsError(last or f"muster {' '.join(arguments)} failed.")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()

    def _start_redis(self) -> None:
        if self._settings.redis_url is not None:
            self._tell("Redis: the one at MUSTER_REDIS_URL")
            return
        binary = find_redis()
        if binary is None:
            self._tell("Redis: no binary for this platform and none on the PATH; stored data is unavailable (503)")
            return
        self._redis = RedisServer(
            binary, self._run / "redis.sock", self._store.home / "redis", self._store.logs_dir / "redis.log"
        )
        self._redis.start()
        export({"MUSTER_REDIS_URL": self._redis.url})
        self._tell("Redis: embedded, on a Unix socket")

    def _start_cluster(self, cluster: Any, topology: dict[str, Any]) -> None:
        from serve_app.cluster import usual_port

        self._tell("Starting Ray" + ("" if find_haproxy() else " (no HAProxy for this platform: Serve's own proxy)"))
        self.dashboard = usual_port(8265)
        try:
            cluster.start(topology, self.dashboard)
        except Exception as error:
            raise SettingsError(
                f"Ray Serve did not start: {_last_line(str(error))}; see {self._store.logs_dir}"
            ) from error
        # Ray has put its own handler for SIGTERM in place of ours.
        self._catch()
        self._tell("Ray is up; starting the applications")
        wanted = {application["name"] for application in topology["applications"]}
        shown: dict[str, str] = {}
        deadline = time.monotonic() + READY_TIMEOUT_S
        while wanted - {name for name, state in shown.items() if state == "RUNNING"} or not self._answers():
            self._pause(0.25)
            for name, status in cluster.states().items():
                self._show(name, status, shown)
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"The applications did not start in {READY_TIMEOUT_S} s; see {self._store.logs_dir}."
                )

    def _show(self, name: str, status: Any, shown: dict[str, str]) -> None:
        state = str(status.status.value)
        if shown.get(name) == state:
            return
        shown[name] = state
        if state == "RUNNING":
            self._tell(f"{name}: ready")
        elif state == "DEPLOY_FAILED":
            reason = next((d.message for d in status.deployments.values() if d.message), status.message)
            raise SettingsError(f"{name} could not start: {_last_line(reason)}")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:  # noqa: S310 - our own address
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    @property
    def url(self) -> str:
        return f"http://{self._settings.host}:{self._settings.port}"

    # -- watching and stopping -------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            self._pause(WATCH_S)
            if self._redis is not None and self._redis.revive():
                self._tell("Redis had died and was started again")

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Interrupted

    def _shut_down(self, cluster: Any) -> None:
        cluster.stop(self._tell)
        if self._redis is not None:
            self._redis.stop()
        self._tell("Stopped")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """A signal sets the flag that every wait looks at; a second one changes nothing: stopping takes seconds."""
        before = self._catch()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _catch(self) -> dict[signal.Signals, Any]:
        caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        return {number: signal.signal(number, lambda *_: self._stop.set()) for number in caught}


class Interrupted(Exception):
    """A signal asked to stop while something was waited for."""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


@contextlib.contextmanager
def _only_one(file: Path, port: int) -> Iterator[None]:
    """Hold the lock that makes this the only Muster of its data folder, and say in it who holds it."""
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not file.exists():
                # The one before us was just leaving and took the file away.
                raise BlockingIOError
        except OSError:
            running = read_state(file)
            raise SettingsError(
                f"Muster already runs with this data folder (process {running.get('pid')}, port {running.get('port')}). "
                "Stop it with `muster down`, or set MUSTER_HOME to another folder."
            ) from None
        _write(lock, {"pid": os.getpid(), "port": port})
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                file.parent.rmdir()


def _write(lock: TextIO, state: dict[str, int]) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(json.dumps(state))
    lock.flush()


def read_state(file: Path) -> dict[str, int]:
    """``{"pid", "port"}`` of the Muster that runs for this data folder; empty when none does."""
    try:
        state: dict[str, int] = json.loads(file.read_text() or "{}")
        os.kill(state["pid"], 0)
    except (OSError, ValueError, KeyError):
        return {}
    return state
