"""Texts from the command line, a file or stdin, and their way to a Muster in batches."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from serve_app.cli.client import Client

BATCH = 256
"""Texts a request: well under the API's limit, and progress can be shown."""
TEXTS = Annotated[list[str] | None, typer.Argument(help="Texts; with none, one text a line from stdin.")]
FILE = Annotated[Path | None, typer.Option("--file", help="One text a line.", exists=True, dir_okay=False)]
TRUNCATE = Annotated[str, typer.Option(help="What to do with overlong texts: error, end, start, window.")]


def read_texts(texts: Sequence[str] | None, file: Path | None) -> list[str]:
    """The texts given, in order of preference: arguments, file, stdin."""
    if texts:
        return list(texts)
    if file is not None:
        return file.read_text().splitlines()
    if sys.stdin.isatty():
        raise typer.BadParameter("Give texts, --file, or pipe one text a line.")
    return sys.stdin.read().splitlines()


def ask_in_batches(client: "Client", path: str, body: dict[str, Any], texts: Sequence[str]) -> list[dict[str, Any]]:
    """``data`` of every answer, each row with its text's index and who answered; a progress bar on a terminal."""
    rows: list[dict[str, Any]] = []
    with typer.progressbar(length=len(texts), file=sys.stderr, hidden=len(texts) <= BATCH) as bar:
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            answer = client.post(path, {**body, "input": part})
            who = {name: answer[name] for name in ("model", "fallback")}
            rows.extend({**row, "index": start + row["index"], **who} for row in answer["data"])
            bar.update(len(part))
    return rows
