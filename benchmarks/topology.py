"""Topologies for a running Muster: the checked-in one, changed for a measurement and sent as an operator would send it."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from benchmarks.server import Server
from serve_app.environment import ensure_ray_token

CHECKED_IN = Path("serve_config.yaml")


def checked_in(server: Server) -> dict[str, Any]:
    """The checked-in topology, on the server's port."""
    topology: dict[str, Any] = yaml.safe_load(CHECKED_IN.read_text())
    topology["http_options"]["port"] = server.port
    return topology


def deploy(server: Server, replicas: dict[str, int]) -> None:
    """Run ``serve deploy`` with the checked-in topology, some applications at another minimum of replicas."""
    topology = checked_in(server)
    for application in topology["applications"]:
        if application["name"] in replicas:
            scaling = application["deployments"][0]["autoscaling_config"]
            count = replicas[application["name"]]
            application["deployments"][0]["autoscaling_config"] = {
                **scaling,
                "min_replicas": count,
                "initial_replicas": count,
                "max_replicas": count,
            }
    deploy_topology(server, topology)
    wait_for_replicas(server, replicas)


def deploy_topology(server: Server, topology: dict[str, Any]) -> None:
    """What ``serve deploy`` sends, without the seconds in which that command imports Ray; returns when it was accepted."""
    request = urllib.request.Request(
        f"{server.dashboard}/api/serve/applications/",
        json.dumps(topology).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {ensure_ray_token().read_text().strip()}"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=60):
        pass


def wait_for_replicas(server: Server, replicas: dict[str, int]) -> None:
    """Wait until every application has at least the replicas that were asked for and is healthy."""
    server.wait_for(
        lambda states: all(
            state["state"] == "ready" and state["replicas"] >= replicas.get(name, 1) for name, state in states.items()
        )
    )
