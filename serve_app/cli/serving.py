"""``muster up``, ``down``, ``status``, ``env``, ``check`` and ``new-key``."""

import os
import shlex
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.output import Unreachable, emit, flatten, say, table


class Scope(StrEnum):
    """What a key may be used for."""

    infer = "infer"
    metrics = "metrics"
    admin = "admin"


JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
URL = Annotated[str | None, typer.Option("--url", help="Address of a running Muster.")]
CONFIG = Annotated[Path, typer.Option("--config", help="The topology.", exists=True, dir_okay=False)]
DEFAULT_CONFIG = Path("serve_config.yaml")
STOP_TIMEOUT_S = 60


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (up, down, status):
        app.command()(command)
    app.command("env")(environment)
    app.command("check")(check)
    app.command("new-key")(new_key)


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [default: 8000].", min=1, max=65_535)] = None,
    num_gpus: Annotated[
        int | None, typer.Option(help="GPUs that Ray counts on, real or logical [default: those it finds].", min=0)
    ] = None,
    config: CONFIG = DEFAULT_CONFIG,
) -> None:
    """Prepare the store, start Redis, Ray and Serve, and stay until Ctrl-C."""
    from model_store.settings import load_settings as load_store_settings
    from serve_app.settings import load_settings
    from serve_app.supervisor import Supervisor

    started = time.monotonic()
    given = {"host": host, "port": port, "num_gpus": num_gpus}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    store = load_store_settings()
    supervisor = Supervisor(store, settings, config, lambda text: say(f"[{time.monotonic() - started:5.1f} s] {text}"))
    supervisor.run(lambda: _announce(supervisor.url, supervisor.dashboard, store.home))


def _announce(url: str, dashboard: int, home: Path) -> None:
    say(f"""
Muster is up.

  API        {url}    (docs at {url}/docs, metrics at {url}/metrics)
  Dashboard  http://127.0.0.1:{dashboard}    (Ray; needs the token in ~/.ray/auth_token)
  Data       {home}

Try it:

  curl -s {url}/v1/embeddings -H 'Content-Type: application/json' \\
    -d '{{"model": "embedding", "input": "Hello, Muster"}}'
  curl -s {url}/v1/classify -H 'Content-Type: application/json' \\
    -d '{{"model": "emotion", "input": "I did not expect that!", "top_k": 2}}'
  curl -s -X PUT {url}/api/v1/students/ada/features -H 'Content-Type: application/json' \\
    -d '{{"linguistic": {{"empathy_markers": 0.2, "word_count": 180}}, "behavioral": {{"focus_duration": 1500}}}}'
  curl -s -X POST {url}/api/v1/infer/ada

Ctrl-C stops it.""")


def down() -> None:
    """Stop the Muster of this data folder and whatever an earlier one left."""
    from model_store.settings import load_settings as load_store_settings
    from serve_app.cluster import Cluster
    from serve_app.environment import runtime_path
    from serve_app.instance import read_state

    store = load_store_settings()
    running = read_state(store.home)
    if running:
        os.kill(running["pid"], signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while read_state(store.home):
            if time.monotonic() > deadline:
                raise Unreachable(f"Process {running['pid']} did not stop in {STOP_TIMEOUT_S} s; end it by hand.")
            time.sleep(0.2)
    Cluster(runtime_path(store.home), store.logs_dir).sweep()
    say("Stopped." if running else "Nothing was running for this data folder.")


def status(json: JSON = False, url: URL = None) -> None:
    """Health of every part of a running Muster."""
    from serve_app.cli.client import Client

    client = Client(url)
    health = client.get("/health/detailed")
    if json:
        emit(health)
    else:
        table(("what", "state"), [("address", client.url), *flatten(health)])
    if health.get("status") == "unhealthy":
        raise typer.Exit(1)


def environment() -> None:
    """Print what to export before `serve run` or `serve deploy`: eval "$(muster env)"."""
    from model_store.settings import load_settings as load_store_settings
    from serve_app.environment import ensure_ray_token, runtime_path, serving_environment
    from serve_app.instance import read_state

    home = load_store_settings().home
    ensure_ray_token()
    # A folder of its own: the HAProxy of `serve run` is not the one of `muster up`.
    variables = serving_environment(home, folder="s")
    if running := read_state(home):
        variables["RAY_DASHBOARD_ADDRESS"] = f"http://127.0.0.1:{running['dashboard']}"
    socket = runtime_path(home) / "redis.sock"
    if socket.exists():
        variables["MUSTER_REDIS_URL"] = f"unix://{socket}"
    for name, value in sorted(variables.items()):
        print(f"export {name}={shlex.quote(value)}")


def check(config: CONFIG = DEFAULT_CONFIG) -> None:
    """Check the topology: unknown keys, builders' arguments, deployment names."""
    import yaml

    from serve_app.topology import check_applications, check_topology

    topology = yaml.safe_load(config.read_text())
    check_topology(topology)
    check_applications(topology)
    say(f"{config}: {len(topology['applications'])} applications, no unknown key.")


def new_key(
    tenant: Annotated[str, typer.Argument(help="Whose key it is; keys of one tenant share their data.")],
    file: Annotated[Path, typer.Option("--file", help="The keys file (MUSTER_KEYS_FILE); made when missing.")],
    scope: Annotated[list[Scope] | None, typer.Option("--scope", help="May be repeated [default: infer].")] = None,
) -> None:
    """Add an API key to the keys file and print it, once."""
    from serve_app.auth import append_key, create_key

    key, stored = create_key(tenant, tuple(each.value for each in scope) if scope else ("infer",))
    append_key(file, stored)
    print(key)
