"""``muster models rm``, ``gc`` and ``disk``: keeping the store tidy."""

from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.output import emit, say, table
from serve_app.cli.serving import JSON


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (rm, gc, disk):
        app.command()(command)


def rm(keys: Annotated[list[str], typer.Argument(help="Keys of models in the store.")]) -> None:
    """Delete models from the store. A replica that has loaded one goes on; it cannot start again."""
    from model_store.settings import load_settings
    from model_store.store import ModelStore

    store = ModelStore(load_settings().store_dir)
    for key in keys:
        store.remove(key)
        say(f"{key}: removed")


def gc() -> None:
    """Delete what belongs to no model: files of pulls that were begun and not finished."""
    from model_store.settings import load_settings
    from model_store.store import ModelStore

    say(f"{ModelStore(load_settings().store_dir).collect() / 1e6:.1f} MB freed")


def disk(json: JSON = False) -> None:
    """Where the store's bytes are, and how many the disk has left."""
    import shutil

    from model_store.settings import load_settings
    from model_store.store import ModelStore

    settings = load_settings()
    store = ModelStore(settings.store_dir)
    rows = [(key, _bytes(store.path(key))) for key in store.ls()]
    rows += [(f"unfinished: {folder.name}", _bytes(folder)) for folder in store.leftovers()]
    if settings.skills_dir.is_dir():
        rows.append(("skill models", _bytes(settings.skills_dir)))
    place = settings.store_dir if settings.store_dir.is_dir() else Path("/")
    rows.append(("free on this disk", shutil.disk_usage(place).free))
    if json:
        emit([{"what": what, "bytes": size} for what, size in rows])
    else:
        table(("what", "size"), [(what, f"{size / 1e6:.1f} MB") for what, size in rows])


def _bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
