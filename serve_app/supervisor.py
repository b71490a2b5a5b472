"""What ``muster up`` does: prepare the store, start Redis, Ray and Serve, watch them, and stop them in reverse order.

Everything it starts dies with it: Ray's processes share its fate, Redis and the preparing children ask the kernel for a
signal when their parent goes, and what HAProxy leaves is swept here and at the next start.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from types import FrameType
from typing import Any

from deployments.waiting import lacking
from model_store.catalogue import load_catalogue
from model_store.errors import MusterError
from model_store.settings import StoreSettings
from serve_app.environment import ensure_ray_token, export, find_haproxy, runtime_dir, serving_environment
from serve_app.errors import SettingsError
from serve_app.instance import only_one, write_state
from serve_app.processes import die_with_parent
from serve_app.redis_server import RedisServer, find_redis
from serve_app.role_plan import role_plan_of, settle_embedding
from serve_app.settings import Settings

Tell = Callable[[str], None]
READY_TIMEOUT_S = 300
WATCH_S, CLUSTER_EVERY, SILENCE_S = 0.5, 10, 60.0
"""Redis is looked at every ``WATCH_S`` seconds, Serve every ``CLUSTER_EVERY`` of those looks."""


class PreparationFailed(MusterError):
    """A child that prepares the store failed; ``code`` is its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)
        self.message, self.code = message, code

    def __str__(self) -> str:
        return self.message


class Interrupted(Exception):
    """A signal asked to stop while something was waited for."""


class Supervisor:
    """One running Muster on this machine, for one data folder."""

    def __init__(self, store: StoreSettings, settings: Settings, topology: Path, tell: Tell) -> None:
        self._store, self._settings, self._topology_file, self._tell = store, settings, topology, tell
        self._run = runtime_dir(store.home)
        self._stop = threading.Event()
        self._redis: RedisServer | None = None
        self._child: subprocess.Popen[str] | None = None
        self._gateway_failure = ""
        self.dashboard = 0

    @property
    def url(self) -> str:
        return f"http://{self._settings.host}:{self._settings.port}"

    def run(self, announce: Callable[[], None]) -> None:
        """Start, call ``announce`` when the applications answer, stay until a signal comes, stop.

        Raises ``SettingsError`` when the port is taken, the topology is wrong, or the gateway cannot start,
        ``EmbeddingChanged`` when data was made with another embedding model, and ``PreparationFailed`` when the store
        cannot be filled.
        """
        from serve_app.cluster import Cluster, haproxy_ports, load_topology, require_port, usual_port

        with only_one(self._run) as lock, self._signals(), self._quiet():
            require_port(self._settings.host, self._settings.port)
            bind = {"MUSTER_BIND": self._settings.host}
            export({**serving_environment(self._store.home), **haproxy_ports(), **bind})
            ensure_ray_token()
            topology = load_topology(self._topology_file, self._settings.host, self._settings.port)
            settle_embedding(role_plan_of(topology), load_catalogue(), self._store.store_dir)
            cluster = Cluster(self._run, self._store.logs_dir)
            cluster.sweep()
            self.dashboard = usual_port(8265)
            write_state(lock, pid=os.getpid(), port=self._settings.port, dashboard=self.dashboard)
            try:
                self._prepare()
                self._start_redis()
                self._start_cluster(cluster, topology)
                announce()
                self._watch(cluster)
            except Interrupted:
                pass
            finally:
                self._shut_down(cluster)

    # -- starting --------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Adopt the starter models and train the skill models when they are missing; nothing else is ever repeated."""
        self._run_child("models", "adopt", "--starter")
        self._run_child("skills", "train", "--if-missing")

    def _run_child(self, *arguments: str) -> None:
        # A child of its own: torch and xgboost must not stay in this process's memory for as long as it serves.
        self._child = child = subprocess.Popen(
            [sys.executable, "-m", "serve_app.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        last = ""
        for line in child.stdout or ():
            last = line.strip() or last
            self._tell(line.strip())
        code = child.wait()
        self._child = None
        if self._stop.is_set():
            raise Interrupted
        if code != 0:
            raise PreparationFailed(last.removeprefix("muster: ") or f"muster {' '.join(arguments)} failed.", code)

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
        self._tell("Starting Ray" + ("" if find_haproxy() else " (no HAProxy for this platform: Serve's own proxy)"))
        try:
            cluster.start(topology, self.dashboard, self._settings.num_gpus)
        except Exception as error:
            raise SettingsError(
                f"Ray Serve did not start: {_last_line(str(error))}; see {self._store.logs_dir}"
            ) from error
        # Ray has put its own handler for SIGTERM in place of ours.
        self._catch()
        self._tell("Ray is up; starting the applications")
        wanted = {application["name"] for application in topology["applications"]}
        settled: set[str] = set()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while wanted - settled or not self._answers():
            self._pause(0.25)
            # The controller may be too busy to answer at first; only the deadline decides.
            with contextlib.suppress(Exception):
                for name, status in cluster.states().items():
                    self._settle(name, status, settled)
            if time.monotonic() > deadline or self._gateway_failure:
                reason = self._gateway_failure or f"{', '.join(sorted(wanted - settled))} did not start in time"
                raise SettingsError(f"{reason}; see {self._store.logs_dir}.")

    def _settle(self, name: str, status: Any, settled: set[str]) -> None:
        """Tell of an application that is up, that failed or that has no room. The rest is up without it."""
        state = str(status.status.value)
        reason = next((d.message for d in status.deployments.values() if d.message), status.message)
        waits = lacking(reason) if state == "DEPLOYING" else None
        if name in settled or not (waits or state in ("RUNNING", "DEPLOY_FAILED")):
            return
        settled.add(name)
        if state == "RUNNING":
            self._tell(f"{name}: ready")
            return
        failure = f"{name}: {waits}" if waits else f"{name} could not start: {_last_line(reason)}"
        self._tell(failure)
        if name == "gateway":
            self._gateway_failure = failure

    def _answers(self) -> bool:
        host = "127.0.0.1" if self._settings.host == "0.0.0.0" else self._settings.host  # noqa: S104 - compared, not bound
        try:
            with urllib.request.urlopen(f"http://{host}:{self._settings.port}/health", timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError, HTTPException):
            return False

    # -- watching and stopping -------------------------------------------------------------------------------------

    def _watch(self, cluster: Any) -> None:
        """Until a signal comes: keep Redis alive, and give up when Serve has gone for good."""
        silent_since: float | None = None
        looks = 0
        while True:
            self._pause(WATCH_S)
            self._keep_redis()
            looks += 1
            if looks % CLUSTER_EVERY:
                continue
            silent_since = None if cluster.answers() else silent_since or time.monotonic()
            if silent_since is not None and time.monotonic() - silent_since > SILENCE_S:
                raise SettingsError(f"Ray Serve has stopped answering; see {self._store.logs_dir}.")

    def _keep_redis(self) -> None:
        if self._redis is None:
            return
        try:
            if self._redis.revive():
                self._tell("Redis had died and was started again")
        except SettingsError as error:
            # Everything that needs no stored data goes on; the next look tries again.
            self._tell(str(error))

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Interrupted

    def _shut_down(self, cluster: Any) -> None:
        cluster.stop(self._tell)
        if self._redis is not None:
            self._redis.stop()
        self._tell("Stopped")

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Ray prints notices of its own to stdout, some alarming and meant for its developers: they go to a log."""
        self._store.logs_dir.mkdir(parents=True, exist_ok=True)
        with (self._store.logs_dir / "up.out").open("w", buffering=1) as log, contextlib.redirect_stdout(log):
            yield

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
        return {number: signal.signal(number, self._asked_to_stop) for number in caught}

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
        if self._child is not None:
            self._child.terminate()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
