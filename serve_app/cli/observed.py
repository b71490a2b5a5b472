"""``muster skills features`` and ``muster skills drift``: what skill models read, and whether it still looks the same."""

import io
import time
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON, URL


def features(
    raw: Annotated[Path, typer.Argument(help="JSONL: student_id, texts, events, ratings (docs/features.md).")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
) -> None:
    """Make the training table from transcripts and game events, exactly as the server computes features."""
    from deployments.skills.linguistic.grammar import load_grammar
    from deployments.skills.raw_data import read_raw, write_table
    from serve_app.errors import SettingsError
    from serve_app.settings import load_settings

    settings = load_settings()
    if settings.transcript_sentiment != "vader":
        raise SettingsError(
            "MUSTER_TRANSCRIPT_SENTIMENT is hosted, and this command has only VADER: the table would differ."
        )
    grammar = load_grammar(settings.spacy_model) if settings.spacy_model else None
    made = io.StringIO()
    rows = write_table(read_raw(raw), made, time.time(), settings.event_days, grammar)
    out.write_text(made.getvalue(), encoding="utf-8")
    light = "" if grammar else " Light path: MUSTER_SPACY_MODEL is not set, and five linguistic features are missing."
    say(f"{rows} students in {out}.{light}")


def drift(json: JSON = False, url: URL = None) -> None:
    """Compare the newest inferences with the data that the models were trained on."""
    from serve_app.cli.client import Client

    body = Client(url).get("/api/v1/metrics/drift")
    if json:
        emit(body)
        return
    if body["reason"]:
        say(body["reason"])
    figures = ("psi", "missing_psi", "missing", "missing_expected", "ks", "ks_p")
    columns = [*body["features"].items(), *body["estimates"].items()]
    table(
        ("name", "shift", "alarm", *figures),
        [
            (name, one["shift"], "ALARM" if one["alarm"] else "", *(_figure(one[figure]) for figure in figures))
            for name, one in columns
        ],
    )
    say(f"{body['rows']} inferences against {body['version']}: {len(body['alarms'])} alarms.")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(features)
    app.command()(drift)
