"""Taking a model from a folder instead of the hub: for machines that no network reaches."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from model_store.adoption import copy_file
from model_store.catalogue import ModelSpec
from model_store.errors import SourceUnavailable
from model_store.lock import FileDigest
from model_store.selection import needed
from model_store.sources import LocalFolder
from model_store.store import ModelStore


def install_folder(store: ModelStore, spec: ModelSpec, place: Path, say: Callable[[str], None]) -> None:
    """Copy, check, build and install. ``place`` has a folder named by the key or ``org--name``, or is the model's own.

    The revision is the catalogue's, or for an unpinned model one that is made of the files' digests. Raises the store's
    errors.
    """
    folder = _find(spec, place)
    names = needed(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    source = LocalFolder(folder)
    with store.changing():
        fetched = store.pull_folder(spec.key, "folder")
        shutil.rmtree(fetched, ignore_errors=True)
        digests = {name: copy_file(source, name, fetched / "files" / name) for name in names}
        revision = spec.revision if spec.revision != "unpinned" else content_revision(digests)
        store.install_pulled(spec, revision, fetched, digests, say)


def content_revision(digests: Mapping[str, FileDigest]) -> str:
    """40 hex digits that change with any file; a hub's commit has the same form."""
    lines = "".join(f"{name}\0{digests[name].sha256}\n" for name in sorted(digests))
    return hashlib.sha1(lines.encode(), usedforsecurity=False).hexdigest()


def _find(spec: ModelSpec, place: Path) -> Path:
    for name in (spec.key, spec.id.replace("/", "--")):
        if (place / name).is_dir():
            return place / name
    if (place / "config.json").is_file():
        return place
    raise SourceUnavailable(
        f"{place} has no folder {spec.key} or {spec.id.replace('/', '--')}, nor a config.json itself."
    )
