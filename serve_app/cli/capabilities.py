"""``muster capabilities`` and ``muster ping``: what a running Muster can do, and whether it does."""

import time
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import typer

from serve_app.cli.output import FAILED, Refused, emit, table
from serve_app.cli.serving import JSON, URL

TEXT = "hello"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(capabilities)
    app.command()(ping)


def capabilities(json: JSON = False, url: URL = None) -> None:
    """Show what a running Muster can do now, here and remotely."""
    from serve_app.cli.client import Client

    found = Client(url).get("/v1/capabilities")
    if json:
        emit(found)
        return
    table(("what", "model", "state", "reason"), _states(found))
    print()
    roles = found["roles"].items()
    table(
        ("role", "state", "here", "remote"),
        [(name, role["state"], " ".join(role["local"]), " ".join(role["remote"])) for name, role in roles],
    )


def _states(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """One row for each model here, the skill graph, each model there, and what else there is."""
    here = [(task, row) for task, models in found["tasks"].items() for row in models]
    skills, there = found["skills"], found["remote"]["models"]
    return [
        *((task, row["model"], row["state"], row["reason"] or "") for task, row in here),
        ("skills", "skills", skills["state"], skills["reason"] or ""),
        *(
            (name, " ".join(flow["writers"]), "ready" if flow["available"] else "unavailable", flow["reason"] or "")
            for name, flow in found["flows"].items()
        ),
        *((f"remote {row['task']}", row["model"], row["breaker"], row["reason"] or "") for row in there),
        ("reasoning", found["reasoning"]["provider"], "ready", ""),
        ("store", "redis", found["store"]["state"], ""),
    ]


def ping(
    json: JSON = False,
    url: URL = None,
    remote: Annotated[bool, typer.Option(help="Ask the remote provider too; it may cost money.")] = True,
) -> None:
    """Ask every deployed model, and the remote provider where there is one, for a tiny answer."""
    from serve_app.cli.client import Client

    client = Client(url)
    rows = [_timed("gateway", "local", lambda: client.get("/health"))]
    found = client.get(f"/v1/capabilities?probe={'true' if remote else 'false'}")
    for task, models in found["tasks"].items():
        rows += [_timed(row["model"], "local", _request(client, task, row["model"])) for row in models]
    rows += [_timed(skill, "local", _skill(client, skill)) for skill in found["skills"]["skill_types"]]
    if remote:
        rows += [_remote(row) for row in found["remote"]["models"]]
    if json:
        emit(rows)
    else:
        columns = ("what", "where", "answers", "ms", "problem")
        table(columns, [tuple(_cell(row[column]) for column in columns) for row in rows])
    if not all(row["answers"] for row in rows):
        raise typer.Exit(FAILED)


def _request(client: Any, task: str, key: str) -> Callable[[], Any]:
    """A tiny request of this task."""
    body: dict[str, Any] = {"model": key, "input": TEXT}
    if task == "embedding":
        return lambda: client.post("/v1/embeddings", body)
    if task == "classification":
        return lambda: client.post("/v1/classify", body)
    if task == "zero-shot":
        return lambda: client.post("/v1/zero-shot", {**body, "labels": ["greeting", "question"]})
    return lambda: client.post("/v1/chat/completions", _one_token(key))


def _one_token(key: str) -> dict[str, Any]:
    return {"model": key, "messages": [{"role": "user", "content": TEXT}], "max_tokens": 1}


def _skill(client: Any, skill: str) -> Callable[[], Any]:
    """One row with one feature, as a tensor: that leaves no record of an assessment."""
    row = [0.5, *[None] * 24]
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP32", "data": row}
    return lambda: client.post(f"/v2/models/{quote(skill)}/infer", {"inputs": [tensor]})


def _timed(what: str, where: str, ask: Callable[[], Any]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        answer = ask()
    except Refused as error:
        return {"what": what, "where": where, "answers": False, "ms": None, "problem": str(error)}
    taken = round((time.monotonic() - started) * 1000, 1)
    if isinstance(answer, dict) and answer.get("fallback") is True:
        problem = "it was not answered here but by a fallback"
        return {"what": what, "where": where, "answers": False, "ms": taken, "problem": problem}
    return {"what": what, "where": where, "answers": True, "ms": taken, "problem": None}


def _remote(row: dict[str, Any]) -> dict[str, Any]:
    told = {"answers": row["answers"], "ms": row.get("milliseconds"), "problem": row.get("problem")}
    return {"what": row["model"], "where": "remote", **told}


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return ("no", "yes")[value] if isinstance(value, bool) else value
