"""``muster skills``: train, judge and choose the models of the skill graph."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON
from serve_app.cli.skill_access import (
    champion_of,
    folder_of,
    loaded,
    local_champion,
    rated,
    registry_of,
    reports_of,
    run,
)

if TYPE_CHECKING:
    from deployments.skills.registry import Change
    from deployments.skills.train import TrainingReport

app = typer.Typer(help="Skill models.", no_args_is_help=True, rich_markup_mode=None)
FOLDER = Annotated[Path | None, typer.Option("--out", help="Folder of skill models [default: the store's].")]
STORE = Annotated[Path | None, typer.Option("--models", help="Folder of skill models [default: the store's].")]
DATA = Annotated[Path | None, typer.Option("--data", help="CSV file of rated students (docs/training-data.md).")]
ROWS = Annotated[int, typer.Option(help="Synthetic students to generate.", min=1_200, max=200_000)]
SEED = Annotated[int, typer.Option(help="Seed of the generator, the split and the training.")]
REASON = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]
VERSION = Annotated[str | None, typer.Argument(help="A version of `muster skills ls` [default: the champion].")]


@app.command()
def train(
    data: DATA = None,
    rows: ROWS = 4000,
    seed: SEED = 42,
    params: Annotated[Path | None, typer.Option("--params", help="Settings that `muster skills tune` wrote.")] = None,
    preset: Annotated[
        Literal["light", "published"] | None,
        typer.Option(help="Ready-made settings [default: published with --data, light without]."),
    ] = None,
    out: FOLDER = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make them the champion, if they pass the gate.")] = False,
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Do nothing when there are current models.")] = False,
    json: JSON = False,
) -> None:
    """Train the four skill models, on rated students or on synthetic ones.

    They serve once they are promoted; where there is no champion yet, at once.
    """
    from deployments.settings import load_settings
    from deployments.skills.features import SKILLS
    from deployments.skills.hyperparameters import PRESETS, read_parameters
    from deployments.skills.train import train_skills
    from model_store.skills import has_current_champion, set_champion

    folder = folder_of(out)
    if if_missing and has_current_champion(folder):
        return
    usual = PRESETS[preset or ("published" if data else "light")]
    chosen = {skill: usual for skill in SKILLS} | dict(read_parameters(params) if params else {})
    registry = registry_of(folder)
    held = run(registry.held())
    report = train_skills(
        folder,
        data=rated(data),
        rows=rows,
        seed=seed,
        threads=load_settings().threads,
        parameters=chosen,
        parent=held.version if held else None,
        progress=say,
    )
    if if_missing:
        # At a start, before there is a Redis: this node's file alone. What the fleet has promoted stays true.
        set_champion(folder, report.version)
    elif promote or held is None or (held.version == local_champion(folder) and not has_current_champion(folder)):
        run(registry.promote(report.version, reason="trained"))
        promote = True
    _tell_training(report, serves=promote or if_missing, synthetic=data is None, json=json)


@app.command()
def evaluate(
    version: Annotated[str | None, typer.Option(help="Which models [default: the champion].")] = None,
    data: DATA = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report, as JSON, Markdown and SVG.")] = None,
    models: STORE = None,
    json: JSON = False,
) -> None:
    """Judge a version: errors, intervals and groups, on its own test rows or on another file."""
    from deployments.skills.evaluate import evaluate as judge
    from deployments.skills.evaluation_report import write_report

    evaluation = judge(loaded(folder_of(models), version), rated(data))
    if out:
        for path in write_report(evaluation, out):
            say(f"wrote {path}")
    if json:
        emit(evaluation.to_json())
        return
    names = ("mae", "r2", "pearson", "spearman", "coverage", "interval_width")
    table(
        ("skill", "rows", *names, "mean predictor", "target"),
        [
            (
                skill,
                one.rows,
                *(f"{one.metrics[name]:.3f}" for name in names),
                f"{one.baseline['mae']:.3f}",
                "; ".join(one.missed) or "met",
            )
            for skill, one in evaluation.skills.items()
        ],
    )


@app.command()
def tune(
    out: Annotated[Path, typer.Option("--out", help="File to write the settings to, for `train --params`.")],
    data: DATA = None,
    rows: ROWS = 4000,
    seed: SEED = 42,
    trials: Annotated[int, typer.Option(help="Settings to try in each search.", min=2, max=1000)] = 25,
) -> None:
    """Search better XGBoost settings on nested folds (needs the extra `muster[tune]`)."""
    from deployments.skills.training_data import synthetic_data
    from deployments.skills.tune import tune as search

    found = search(rated(data) or synthetic_data(rows, seed), trials=trials, seed=seed, progress=say)
    out.write_text(found.model_dump_json(indent=2), encoding="utf-8")
    say(f"wrote {out}; use it with `muster skills train --params {out}`")


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="A version of `muster skills ls`.")],
    challenger: Annotated[
        bool, typer.Option("--challenger", help="Let it shadow the champion instead: it answers nobody.")
    ] = False,
    data: DATA = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever the metrics say; needs --reason.")] = False,
    reason: REASON = "",
    models: STORE = None,
    json: JSON = False,
) -> None:
    """Prove a version and make it the champion; running replicas change over within a second or two."""
    folder = folder_of(models)
    registry = registry_of(folder)
    if challenger:
        _tell_change(run(registry.challenge(version, reason=reason)), json)
        return
    measured = None
    if (ratings := rated(data)) and (held := run(registry.held())):
        from deployments.skills.evaluate import evaluate as judge
        from deployments.skills.evaluate import metrics_of

        before, after = (metrics_of(judge(loaded(folder, each), ratings)) for each in (held.version, version))
        measured = (before, after)
    _tell_change(run(registry.promote(version, force=force, reason=reason, measured=measured)), json)


@app.command()
def rollback(
    challenger: Annotated[bool, typer.Option("--challenger", help="End the shadowing instead.")] = False,
    reason: REASON = "",
    models: STORE = None,
    json: JSON = False,
) -> None:
    """Make the champion before this one the champion again."""
    registry = registry_of(folder_of(models))
    change = registry.challenge(None, reason=reason) if challenger else registry.roll_back(reason=reason)
    _tell_change(run(change), json)


@app.command()
def ls(
    history: Annotated[bool, typer.Option("--history", help="Who changed the aliases, when and why, instead.")] = False,
    models: STORE = None,
    json: JSON = False,
) -> None:
    """List the versions here, which one serves and which one shadows it, and what the replicas say."""
    from serve_app.cli.skill_listing import history_rows, replica_rows, shadow_rows, version_rows

    folder = folder_of(models)
    if history:
        entries = history_rows(folder)
        emit(entries) if json else table(
            ("at", "by", "action", "outcome", "from", "to", "why"), [[*row.values()] for row in entries]
        )
        return
    registry = registry_of(folder)
    rows = version_rows(folder, run(registry.held()))
    reports = reports_of(registry)
    replicas, shadow = replica_rows(reports), shadow_rows(reports)
    if json:
        emit({"versions": rows, "replicas": replicas, "shadow": shadow})
        return
    table(("version", "alias", "made", "data", "rows", "mean MAE", "parent"), [[*row.values()] for row in rows])
    for heading, held in (("replica", replicas), ("skill", shadow)):
        if held:
            print()
            table((heading, *list(held[0])[1:]), [[*row.values()] for row in held])


@app.command()
def card(version: VERSION = None, models: STORE = None) -> None:
    """Print a version's model card, and how its shadowing goes where it is the challenger."""
    from deployments.skills.bundle import CARD
    from model_store.skills import prove
    from serve_app.cli.skill_listing import shadow_text

    folder = folder_of(models)
    registry = registry_of(folder)
    record, _ = prove(folder, version or champion_of(registry))
    print((folder / record.version / CARD).read_text(encoding="utf-8"))
    print(shadow_text(record.version, reports_of(registry)), end="")


def _tell_training(report: "TrainingReport", *, serves: bool, synthetic: bool, json: bool) -> None:
    if json:
        emit({"version": report.version, "path": str(report.path), "metrics": report.metrics, "champion": serves})
        return
    names = ("mae", "r2", "pearson", "coverage")
    table(
        ("skill", *names),
        [(skill, *(f"{metrics[name]:.3f}" for name in names)) for skill, metrics in report.metrics.items()],
    )
    about = " (synthetic data: not for decisions about people)" if synthetic else ""
    if serves:
        say(f"{report.version} serves from now on{about}.")
    else:
        say(f"{report.version} waits{about}; `muster skills promote {report.version}` makes it the champion.")


def _tell_change(change: "Change", json: bool) -> None:
    from dataclasses import asdict

    if json:
        emit(asdict(change))
    else:
        say(f"{change.action}: {change.before or 'nothing'} -> {change.after or 'nothing'} ({change.generation})")
