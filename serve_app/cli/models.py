"""``muster models``: what the store holds, and whether it is what the lock says."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve_app.cli import keep, prove, pull, quantize
from serve_app.cli.output import DAMAGED, emit, say, table
from serve_app.cli.serving import JSON

if TYPE_CHECKING:
    from model_store.verify import Verification

app = typer.Typer(help="Models in the store.", no_args_is_help=True, rich_markup_mode=None)
pull.register(app)
keep.register(app)
prove.register(app)
quantize.register(app)
Keys = Annotated[list[str] | None, typer.Argument(help="Catalogue keys; all in the store when none is given.")]


@app.command()
def ls(json: JSON = False) -> None:
    """List the catalogue and what of it is in the store."""
    from model_store.catalogue import load_catalogue
    from model_store.settings import load_settings
    from model_store.store import ModelStore

    store = ModelStore(load_settings().store_dir)
    stored = {key: store.path(key) for key in store.ls()}
    rows: list[dict[str, Any]] = [
        {
            "key": spec.key,
            "id": spec.id,
            "task": spec.task,
            "roles": spec.roles,
            "revision": store.revision(spec.key) or spec.revision,
            "state": "shipped" if spec.head_of else "stored" if spec.key in stored else "not_pulled",
            "licence": spec.licence,
            "bytes": _bytes(stored.get(spec.key)),
            "expected_mb": spec.download_mb,
            "last_used": store.last_used(spec.key),
        }
        for spec in load_catalogue().models
    ]
    if json:
        emit(rows)
    else:
        headings = ("model", "task", "roles", "state", "revision", "size", "last used")
        table(headings, [_cells(row) for row in rows])


@app.command()
def verify(
    keys: Keys = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Public key (PEM): demand its signature too.", dir_okay=False)
    ] = None,
    json: JSON = False,
) -> None:
    """Compare every file, in the store or shipped, with its locked sha256; exit code 4 when one differs."""
    from model_store.catalogue import load_catalogue
    from model_store.light_heads import verify_head
    from model_store.settings import load_settings
    from model_store.store import ModelStore

    store = ModelStore(load_settings().store_dir)
    heads = {spec.key: spec for spec in load_catalogue().models if spec.head_of}
    names = keys or [*store.ls(), *heads]
    results = [verify_head(heads[key]) if key in heads else store.verify(key) for key in names]
    if json:
        emit([asdict(result) | {"ok": result.ok} for result in results])
    else:
        table(
            ("model", "files", "state"),
            [(r.key, r.checked, "ok" if r.ok else _problems(r)) for r in results],
        )
    if not all(result.ok for result in results):
        raise typer.Exit(DAMAGED)
    if key is not None:
        from model_store.signing import require_signature

        # Heads lie where Muster's code lies, and whoever trusts that needs no signature of them.
        for result in (result for result in results if result.key not in heads):
            require_signature(store.path(result.key), result.key, key)


@app.command()
def sign(
    key: Annotated[Path, typer.Option("--key", help="Private Ed25519 key (PEM).", dir_okay=False)], keys: Keys = None
) -> None:
    """Sign what the store holds, after verifying it; with MUSTER_SIGNING_KEY set, replicas refuse what is not signed."""
    from model_store.settings import load_settings
    from model_store.signing import sign as sign_manifest
    from model_store.store import ModelStore

    store = ModelStore(load_settings().store_dir)
    for name in keys or store.ls():
        store.verify(name).require()
        sign_manifest(store.path(name), key)
        say(f"{name}: signed")


@app.command()
def adopt(
    keys: Keys = None,
    starter: Annotated[
        bool, typer.Option("--starter", help="All models that came with the installed packages.")
    ] = False,
) -> None:
    """Take models from installed packages into the store: checked, locked, exported for this CPU."""
    from model_store.catalogue import PackageSource, load_catalogue
    from model_store.settings import load_settings
    from model_store.store import ModelStore

    catalogue, store = load_catalogue(), ModelStore(load_settings().store_dir)
    packaged = [spec for spec in catalogue.models if isinstance(spec.source, PackageSource)]
    specs = packaged if starter else [catalogue.host_of(catalogue.resolve(key)) for key in keys or ()]
    if not specs:
        raise typer.BadParameter("Name a model, or use --starter.")
    for spec in specs:
        store.adopt(spec, progress=say)


def _bytes(folder: Path | None) -> int | None:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder else None


def _problems(result: "Verification") -> str:
    kinds = (("changed", result.mismatches), ("missing", result.missing), ("not in the lock", result.extra))
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds if names)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    roles = ",".join(row["roles"]) or "-"
    return row["key"], row["task"], roles, row["state"], row["revision"][:12], _size(row), _when(row["last_used"])


def _size(row: dict[str, Any]) -> str:
    return f"~{row['expected_mb']} MB" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f} MB"


def _when(moment: float | None) -> str:
    return "-" if moment is None else datetime.fromtimestamp(moment).astimezone().isoformat(" ", "minutes")
