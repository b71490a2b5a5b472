"""``muster embed`` and ``muster infer``: ask a running Muster from the shell."""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON, URL

BATCH = 256
"""Texts a request: well under the API's limit, and progress can be shown."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(embed)
    app.command()(infer)


def embed(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; with none, one text a line from stdin.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="One text a line.", exists=True, dir_okay=False)] = None,
    model: Annotated[str, typer.Option(help="Key, Hugging Face id or role.")] = "embedding",
    truncate: Annotated[str, typer.Option(help="What to do with overlong texts: error, end, start, window.")] = "error",
    json: JSON = False,
    url: URL = None,
) -> None:
    """Embed texts: one JSON array a line, or a table of the first numbers on a terminal."""
    from serve_app.cli.client import Client

    client, items = Client(url), list(_texts(texts, file))
    rows: list[dict[str, Any]] = []
    for start in range(0, len(items), BATCH):
        part = items[start : start + BATCH]
        answer = client.post("/v1/embeddings", {"model": model, "input": part, "truncate": truncate})
        rows.extend({**row, "index": start + row["index"], "model": answer["model"]} for row in answer["data"])
        if len(items) > BATCH:
            say(f"{min(start + BATCH, len(items))} of {len(items)} texts")
    if json:
        emit([{"index": row["index"], "model": row["model"], "embedding": row["embedding"]} for row in rows])
    elif sys.stdout.isatty():
        shown = [(row["index"], row["model"], len(row["embedding"]), _head(row["embedding"])) for row in rows]
        table(("text", "model", "dimensions", "embedding"), shown)
    else:
        for row in rows:
            print(jsonlib.dumps(row["embedding"]))


def infer(
    student: Annotated[str, typer.Argument(help="Student id.")],
    skill: Annotated[str | None, typer.Option(help="One skill only.")] = None,
    features: Annotated[
        Path | None, typer.Option("--features", help="JSON file of features, instead of stored ones.", exists=True)
    ] = None,
    json: JSON = False,
    url: URL = None,
) -> None:
    """Assess a student's skills from stored or given features."""
    from serve_app.cli.client import Client

    body = {"features": _read_json(features)} if features else {}
    path = "/api/v1/infer/" + "/".join(quote(part, safe="") for part in (student, skill) if part)
    answer = Client(url).post(path, body)
    if json:
        emit(answer)
        return
    skills = [answer] if skill else answer["skills"]
    table(
        ("skill", "score", "interval", "band", "confidence", "model"),
        [
            (
                s["skill_type"],
                f"{s['score']:.2f}",
                f"{s['interval']['lower']:.2f}-{s['interval']['upper']:.2f}",
                s["band"],
                f"{s['confidence']:.2f}",
                s["model_version"],
            )
            for s in skills
        ],
    )
    for s in skills:
        print(f"\n{s['skill_type']}: {s['reasoning']['text']}")
    if any(s["synthetic_model"] for s in skills):
        say("\nThese models were trained on synthetic data: not for decisions about people.")


def _read_json(file: Path) -> Any:
    try:
        return jsonlib.loads(file.read_text())
    except ValueError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}") from None


def _texts(texts: list[str] | None, file: Path | None) -> list[str]:
    if texts:
        return texts
    if file is not None:
        return file.read_text().splitlines()
    if sys.stdin.isatty():
        raise typer.BadParameter("Give texts, --file, or pipe one text a line.")
    return sys.stdin.read().splitlines()


def _head(vector: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in vector[:4]) + " ..."
