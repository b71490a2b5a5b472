"""``muster models prove``: the golden check that replicas make at warm-up, on request and for every kind of model."""

from typing import TYPE_CHECKING, Annotated

import typer

from model_store.errors import MusterError
from serve_app.cli.output import DAMAGED, emit, say, table
from serve_app.cli.serving import JSON

if TYPE_CHECKING:
    from model_store.store import ModelStore
    from model_store.stored_model import StoredModel


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(prove)


def prove(
    keys: Annotated[
        list[str] | None, typer.Argument(help="Catalogue keys; all in the store when none is given.")
    ] = None,
    json: JSON = False,
) -> None:
    """Load models and compare their golden outputs with those of the pull; exit code 4 when one moved."""
    from model_store.settings import load_settings
    from model_store.store import ModelStore

    store, rows = ModelStore(load_settings().store_dir), list[dict[str, str | None]]()
    for key in keys or store.ls():
        store.path(key)
        say(f"{key}: loading")
        rows.append({"key": key, "revision": store.revision(key), "reason": _reason(store, key)})
    if json:
        emit([row | {"ok": row["reason"] is None} for row in rows])
    else:
        table(("model", "revision", "state"), [(r["key"], str(r["revision"])[:12], r["reason"] or "ok") for r in rows])
    if any(row["reason"] for row in rows):
        raise typer.Exit(DAMAGED)


def _reason(store: "ModelStore", key: str) -> str | None:
    """Why a model does not answer as it did; None when it does."""
    try:
        _check(store.open(key))
        if store.why_closed(key) is None:
            _check(store.open(key, "int8"))
    except MusterError as error:
        return str(error)
    return None


def _check(stored: "StoredModel") -> None:
    """Raises ``EngineFault``, ``ConversionFailed``."""
    from deployments.engines.encoders import load_encoder
    from deployments.engines.generator import TASKS
    from deployments.settings import load_settings
    from model_store.prove import check_in_child_process

    if stored.task in TASKS and stored.artefact is not None:
        check_in_child_process(stored.files, stored.folder / stored.artefact.folder, stored.task)
    else:
        load_encoder(stored, load_settings()).warm()
