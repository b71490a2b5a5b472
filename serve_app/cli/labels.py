"""``muster classify`` and ``muster zero-shot``: labels for texts from the shell."""

from typing import Annotated, Any

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON, URL
from serve_app.cli.texts import FILE, TEXTS, TRUNCATE, ask_in_batches, read_texts


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(classify)
    app.command("zero-shot")(zero_shot)


def classify(
    texts: TEXTS = None,
    file: FILE = None,
    model: Annotated[str, typer.Option(help="Key, Hugging Face id or role.")] = "emotion",
    top_k: Annotated[int, typer.Option(help="So many labels a text.", min=1)] = 3,
    truncate: TRUNCATE = "error",
    json: JSON = False,
    url: URL = None,
) -> None:
    """Label texts by a classifier, or by the role emotion or sentiment."""
    from serve_app.cli.client import Client

    body = {"model": model, "top_k": top_k, "truncate": truncate}
    _show(ask_in_batches(Client(url), "/v1/classify", body, read_texts(texts, file)), json)


def zero_shot(
    texts: TEXTS = None,
    labels: Annotated[list[str] | None, typer.Option("--label", help="A label; repeat it for each.")] = None,
    file: FILE = None,
    model: Annotated[str, typer.Option(help="Key, Hugging Face id or role.")] = "zero-shot",
    multi_label: Annotated[bool, typer.Option("--multi-label", help="Judge each label by itself.")] = False,
    truncate: TRUNCATE = "error",
    json: JSON = False,
    url: URL = None,
) -> None:
    """Label texts with labels of your own."""
    from serve_app.cli.client import Client

    if not labels:
        raise typer.BadParameter("Name at least one --label.")
    body = {"model": model, "labels": labels, "multi_label": multi_label, "truncate": truncate}
    _show(ask_in_batches(Client(url), "/v1/zero-shot", body, read_texts(texts, file)), json)


def _show(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        emit(rows)
        return
    table(("text", "labels", "model"), [(row["index"], _line(row["labels"]), row["model"]) for row in rows])
    if any(row["fallback"] for row in rows):
        say("The role's first choice was not ready; another model stood in.")


def _line(labels: list[dict[str, Any]]) -> str:
    return ", ".join(f"{entry['label']} {entry['score']:.2f}" for entry in labels)
