"""Starts and stops Ray and Serve for ``muster up``: one node, this machine, Muster's own short temporary folder."""

import contextlib
import logging
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from serve_app.environment import find_haproxy
from serve_app.errors import SettingsError
from serve_app.processes import end, orphans

OBJECT_STORE_BYTES = 128 * 2**20
"""Muster passes its data through gRPC, not through the object store; the default would reserve 30 % of memory."""


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def usual_port(port: int) -> int:
    """The port that people expect, or another free one when another Muster (or anything else) has it."""
    if port_is_free("127.0.0.1", port):
        return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def haproxy_ports() -> dict[str, str]:
    """Where HAProxy shows its statistics and metrics."""
    return {
        "RAY_SERVE_HAPROXY_STATS_PORT": str(usual_port(8404)),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(usual_port(9101)),
    }


def load_topology(path: Path, host: str, port: int) -> dict[str, Any]:
    """``serve_config.yaml`` with this machine's address in it. Raises ``SettingsError`` for an unknown key."""
    from serve_app.topology import check_topology

    config: dict[str, Any] = yaml.safe_load(path.read_text())
    check_topology(config)
    # Replicas listen on the same host as Serve does; behind HAProxy they stay on loopback and the guard binds ``host``.
    own = "127.0.0.1" if find_haproxy() else host
    config["http_options"] = {**config.get("http_options", {}), "host": own, "port": port}
    return config


class Cluster:
    """A local Ray with Serve on it. ``start`` and ``stop`` are each other's mirror."""

    def __init__(self, run: Path, logs: Path) -> None:
        self._ray_dir, self._haproxy_dir, self._logs = run / "ray", run / "h", logs
        self._redis_socket = run / "redis.sock"
        self._client: Any = None

    def start(self, topology: dict[str, Any], dashboard_port: int, num_gpus: int | None = None) -> None:
        """Start Ray and Serve and submit the topology; does not wait for the applications.

        ``num_gpus``: what Ray counts on, also where there is no such hardware; None: what it finds.
        """
        import ray
        from ray.serve._private import api as serve_api
        from ray.serve.schema import ServeDeploySchema

        ray.init(
            namespace="serve",
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            dashboard_port=dashboard_port,
            log_to_driver=False,
            logging_level="ERROR",
            num_gpus=num_gpus,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(self._ray_dir),
            # One machine: the loopback address also exists where there is no network.
            _node_ip_address="127.0.0.1",
        )
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        schema = ServeDeploySchema.model_validate(topology)
        # The two calls that `serve run config.yaml` makes; Serve has no public function for a config file.
        self._client = serve_api.serve_start(
            http_options=schema.http_options.model_dump(),
            # Without this the proxy and the controller would keep Serve's own logging, access log included.
            global_logging_config=schema.logging_config,
            proxy_location=schema.proxy_location,
            controller_options=schema.controller_options,
        )
        self._client.deploy_apps(schema, _blocking=False)

    def states(self) -> dict[str, Any]:
        """Serve's status of every application, by name."""
        from ray import serve

        return dict(serve.status().applications)

    def answers(self) -> bool:
        """Whether Serve is there and has applications."""
        try:
            return bool(self.states())
        except Exception:  # noqa: BLE001 - whatever keeps Serve from answering, it does not answer
            return False

    def stop(self, tell: Callable[[str], None]) -> None:
        """Stop Serve, Ray and whatever HAProxy they left; keep the logs, remove the temporary folder."""
        import ray
        from ray import serve

        if ray.is_initialized():
            tell("Stopping the applications")
            with contextlib.suppress(Exception):
                serve.shutdown()
            ray.shutdown()
        self.sweep()

    def sweep(self) -> None:
        """End processes of an earlier run that still use our folders, move its logs away, remove its files."""
        end(orphans(f"{self._ray_dir}/", f"{self._haproxy_dir}/", str(self._redis_socket)))
        self._keep_logs()
        for folder in (self._ray_dir, self._haproxy_dir):
            shutil.rmtree(folder, ignore_errors=True)

    def _keep_logs(self) -> None:
        for session in sorted(self._ray_dir.glob("session_2*")):
            target = self._logs / session.name
            if (session / "logs").is_dir() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(str(session / "logs"), target)
        kept = sorted(self._logs.glob("session_2*"))
        for old in kept[:-5]:
            shutil.rmtree(old, ignore_errors=True)


def wait_for_port(host: str, port: int, seconds: float) -> bool:
    """Whether the port became free in time; the kernel may hold it for a moment after a stop."""
    deadline = time.monotonic() + seconds
    while not port_is_free(host, port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def require_port(host: str, port: int) -> None:
    """Raises ``SettingsError`` with the way out when something listens there."""
    if not wait_for_port(host, port, 1.0):
        raise SettingsError(
            f"Port {port} on {host} is taken. Stop what listens there (`muster down` if it is Muster), "
            f"or choose another: make serve PORT={port + 1}"
        )
