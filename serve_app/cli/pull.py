"""``muster models pull``, ``repair``, ``outdated`` and ``add``: what asks the hub, and what decides what is asked."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON

if TYPE_CHECKING:
    from model_store.catalogue import Catalogue, ModelSpec
    from model_store.hub import Hub
    from model_store.pull import Pull, Puller
    from model_store.store import ModelStore


class Fleet(StrEnum):
    """``starter``: the models that come with the packages; ``full``: every model that `muster plan` deploys here."""

    starter = "starter"
    full = "full"


Keys = Annotated[list[str] | None, typer.Argument(help="Catalogue keys, hub ids or roles.")]
Mirror = Annotated[str | None, typer.Option("--mirror", help="Another address that speaks the hub's protocol.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (pull, repair, outdated, add):
        app.command()(command)


def pull(
    keys: Keys = None,
    fleet: Annotated[Fleet | None, typer.Option(help="A set of models instead of keys.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and stop.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Take the newest commit of models that are unpinned.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no hub: succeed only with what is here.")] = False,
    mirror: Mirror = None,
    from_dir: Annotated[
        Path | None,
        typer.Option("--from-dir", help="A folder with a folder per model, named key or org--name.", file_okay=False),
    ] = None,
    json: JSON = False,
) -> None:
    """Fetch models once: sizes first, only the needed files, every digest checked, proved, then renamed into place."""
    catalogue, store = _open()
    specs = _wanted(catalogue, keys or (), fleet)
    local = [spec for spec in specs if not _is_hubs(spec)]
    remote = [spec for spec in specs if _is_hubs(spec)]
    if not dry_run:
        for spec in local:
            store.adopt(spec, progress=say)
    if from_dir is not None or offline:
        for spec in remote:
            _without_hub(store, spec, from_dir)
        return
    puller = _puller(store, mirror)
    pulls = [puller.plan(spec, update=update) for spec in remote]
    _show(pulls, json)
    if dry_run or not any(not pull.stored for pull in pulls):
        return
    puller.require_room(pulls)
    with _bars(pulls) as watcher:
        for one in pulls:
            puller.pull(one, watcher)


def repair(keys: Keys = None, mirror: Mirror = None) -> None:
    """Fetch again what is damaged, and only that."""
    from model_store.errors import ModelNotPulled
    from model_store.pull import silent

    catalogue, store = _open()
    for key in [catalogue.host_of(catalogue.resolve(name)).key for name in keys] if keys else store.ls():
        spec = catalogue.resolve(key)
        try:
            found = store.verify(key)
        except ModelNotPulled:
            found = None
        if found is not None and found.ok:
            say(f"{key}: nothing to repair")
        elif _is_hubs(spec):
            puller = _puller(store, mirror)
            puller.repair(spec, silent())
            say(f"{key}: repaired")
        else:
            store.remove(key)
            store.adopt(spec, progress=say)


def outdated(mirror: Mirror = None, json: JSON = False) -> None:
    """Compare the commits in the store with what the hub has now; changes nothing."""
    catalogue, store = _open()
    hub, rows = _hub(mirror), []
    for key in store.ls():
        spec = catalogue.resolve(key)
        if _is_hubs(spec):
            newest = hub.snapshot(spec.source.hub, spec.source.revision).commit  # type: ignore[union-attr]
            rows.append({"key": key, "stored": store.revision(key), "newest": newest})
    if json:
        emit([row | {"outdated": row["stored"] != row["newest"]} for row in rows])
    else:
        cells = [
            (
                row["key"],
                str(row["stored"])[:12],
                str(row["newest"])[:12],
                "no" if row["stored"] == row["newest"] else "yes",
            )
            for row in rows
        ]
        table(("model", "stored", "newest", "outdated"), cells)


def add(
    model: Annotated[str, typer.Argument(help="org/name on the hub.")],
    task: Annotated[str, typer.Option("--task", help="embedding, classification, zero-shot, generation or seq2seq.")],
    family: Annotated[str, typer.Option("--family", help="model_type in its config.json, roberta for example.")],
    key: Annotated[str | None, typer.Option("--key", help="Its name here; by default the name's last part.")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="A role it may play; repeatable.")] = None,
    dimensions: Annotated[int | None, typer.Option("--dimensions", help="Of an embedding model.")] = None,
    parameters: Annotated[int, typer.Option("--parameters", help="Weights, for the plan.")] = 110_000_000,
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Longest text it reads.")] = 512,
    licence: Annotated[str, typer.Option("--licence", help="SPDX name.")] = "unknown",
) -> None:
    """Add a model of the hub to this installation's catalogue; `muster models pull` then fetches it."""
    from model_store.catalogue import add_model
    from model_store.settings import load_settings

    entry: dict[str, Any] = {
        "key": key or model.rpartition("/")[2].lower(),
        "id": model,
        "task": task,
        "family": family,
        "roles": list(role or ()),
        "source": {"hub": model},
        "revision": "unpinned",
        "licence": licence,
        "parameters": parameters,
        "download_mb": max(1, parameters * 4 // 10**6),
        "limits": {"max_tokens": max_tokens},
        **({"dimensions": dimensions} if dimensions else {}),
    }
    spec = add_model(load_settings().home / "catalogue.yaml", entry)
    say(f"{spec.key} is in the catalogue; `muster models pull {spec.key}` fetches it.")


def _open() -> "tuple[Catalogue, ModelStore]":
    from model_store.catalogue import load_catalogue
    from model_store.settings import load_settings
    from model_store.store import ModelStore

    catalogue = load_catalogue()
    return catalogue, ModelStore(load_settings().store_dir, catalogue)


def _wanted(catalogue: "Catalogue", names: Sequence[str], fleet: Fleet | None) -> "list[ModelSpec]":
    if bool(names) == (fleet is not None):
        raise typer.BadParameter("Name models, or choose a fleet.")
    if fleet is None:
        return [catalogue.host_of(catalogue.resolve(name)) for name in names]
    if fleet is Fleet.starter:
        return [spec for spec in catalogue.models if not _is_hubs(spec) and not spec.head_of]
    return _planned(catalogue)


def _planned(catalogue: "Catalogue") -> "list[ModelSpec]":
    """The models that the plan of this machine deploys; says which of its choices are left out and why."""
    from serve_app.cli.plan import NO_ENGINE, plan_here

    plan = plan_here(catalogue)
    deployed = {placement.key for placement in plan.deployed}
    left_out = [(choice.key, choice.role, NO_ENGINE) for choice in plan.choices if choice.host not in deployed]
    left_out += [(refusal.key, refusal.role, refusal.why) for refusal in plan.refusals if refusal.key not in deployed]
    for key, role, why in left_out:
        say(f"Left out: {key} ({role or 'no role'}): {why}")
    return [catalogue.resolve(key) for key in sorted(deployed)]


def _is_hubs(spec: "ModelSpec") -> bool:
    from model_store.catalogue import HubSource

    return isinstance(spec.source, HubSource)


def _without_hub(store: "ModelStore", spec: "ModelSpec", from_dir: Path | None) -> None:
    """Take a model from a folder, or be content with the one in the store. Raises the store's errors."""
    from model_store.folder import install_folder

    if from_dir is None:
        store.verify(spec.key).require()
        say(f"{spec.key}: in the store, every byte as locked")
    else:
        install_folder(store, spec, from_dir, say)


def _hub(mirror: str | None) -> "Hub":
    # `muster env` switches the hub off for everything that serves; a pull is what may use it.
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)
    from model_store.hub import Hub

    return Hub(endpoint=mirror, token=os.environ.get("HF_TOKEN"))


def _puller(store: "ModelStore", mirror: str | None) -> "Puller":
    from model_store.pull import Puller

    return Puller(store, _hub(mirror))


def _show(pulls: "Sequence[Pull]", json: bool) -> None:
    """What a pull will do, before it does it."""
    if json:
        emit(
            [
                {"key": one.spec.key, "revision": one.snapshot.commit, "stored": one.stored}
                | {"files": len(one.files), "bytes": one.total, "missing_bytes": one.missing}
                for one in pulls
            ]
        )
        return
    rows = [
        (
            one.spec.key,
            one.snapshot.commit[:12],
            len(one.files),
            _mb(one.total),
            "in the store" if one.stored else _mb(one.missing),
        )
        for one in pulls
    ]
    table(("model", "revision", "files", "size", "to fetch"), rows)


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


@contextmanager
def _bars(pulls: "Sequence[Pull]") -> Iterator["_Bars"]:
    """One bar over all bytes; the hub's library adds one a file while it downloads."""
    from tqdm import tqdm

    with tqdm(total=sum(one.missing for one in pulls), unit="B", unit_scale=True, desc="all files") as bar:
        yield _Bars(bar)


class _Bars:
    def __init__(self, bar: Any) -> None:
        self._bar, self._lock = bar, threading.Lock()

    def file_done(self, key: str, name: str, size: int) -> None:
        with self._lock:
            self._bar.update(size)

    def step(self, message: str) -> None:
        self._bar.write(message)
