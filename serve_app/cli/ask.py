"""``muster embed`` and ``muster infer``: ask a running Muster from the shell."""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON, URL
from serve_app.cli.texts import FILE, TEXTS, TRUNCATE, ask_in_batches, read_texts


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(embed)
    app.command()(infer)


def embed(
    texts: TEXTS = None,
    file: FILE = None,
    model: Annotated[str, typer.Option(help="Key, Hugging Face id or role.")] = "embedding",
    truncate: TRUNCATE = "error",
    json: JSON = False,
    url: URL = None,
) -> None:
    """Embed texts: one JSON array a line, or a table of the first numbers on a terminal."""
    from serve_app.cli.client import Client

    body = {"model": model, "truncate": truncate}
    rows = ask_in_batches(Client(url), "/v1/embeddings", body, read_texts(texts, file))
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


def _head(vector: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in vector[:4]) + " ..."
