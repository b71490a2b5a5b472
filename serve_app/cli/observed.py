"""``muster skills features`` and ``muster skills drift``: what skill models read, and whether it still looks the same."""

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
    with out.open("w", encoding="utf-8", newline="") as file:
        rows = write_table(read_raw(raw), file, time.time(), settings.event_days, grammar)
    say(
        f"{rows} students in {out}{'' if grammar else ' (light path: set MUSTER_SPACY_MODEL for all 16 linguistic features)'}."
    )


def drift(json: JSON = False, url: URL = None) -> None:
    """Compare the newest inferences with the data that the models were trained on."""
    from serve_app.cli.client import Client

    body = Client(url).get("/api/v1/metrics/drift")
    if json:
        emit(body)
        return
    if body["reason"]:
        say(body["reason"])
    columns = ("psi", "missing_psi", "missing", "missing_expected", "ks", "ks_p")
    table(
        ("name", "shift", "alarm", *columns),
        [
            (
                name,
                one["shift"],
                "ALARM" if one["alarm"] else "",
                *("-" if one[c] is None else f"{one[c]:.3f}" for c in columns),
            )
            for part in ("features", "estimates")
            for name, one in body[part].items()
        ],
    )
    say(f"{body['rows']} inferences against {body['version']}: {len(body['alarms'])} alarms.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(features)
    app.command()(drift)
