"""``muster skills``: the XGBoost models of the skill graph."""

from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON

app = typer.Typer(help="Skill models.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keeps ``train`` a subcommand while it is the only one."""


@app.command()
def train(
    rows: Annotated[int, typer.Option(help="Synthetic students to generate.", min=1_200, max=200_000)] = 4000,
    seed: Annotated[int, typer.Option(help="Seed of the generator and the training.")] = 42,
    out: Annotated[Path | None, typer.Option(help="Folder of skill models [default: the store's].")] = None,
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Do nothing when there are current models.")] = False,
    json: JSON = False,
) -> None:
    """Train the four skill models on synthetic data and make them the champion."""
    from deployments.settings import load_settings
    from deployments.skills.train import train_skills
    from model_store.settings import load_settings as load_store_settings
    from model_store.skills import has_current_champion

    folder = out or load_store_settings().skills_dir
    if if_missing and has_current_champion(folder):
        return
    report = train_skills(folder, rows=rows, seed=seed, threads=load_settings().threads, progress=say)
    if json:
        emit({"version": report.version, "path": str(report.path), "metrics": report.metrics})
        return
    names = ("mae", "r2", "pearson", "coverage")
    table(
        ("skill", *names),
        [(skill, *(f"{metrics[name]:.3f}" for name in names)) for skill, metrics in report.metrics.items()],
    )
    say(f"{report.version} serves from now on (synthetic data: not for decisions about people).")
