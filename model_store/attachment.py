"""Putting an 8-bit graph, or the record of a gate that failed, beside a model that is in the store."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from model_store.adoption import seal
from model_store.convert import artefact_id
from model_store.errors import ConversionFailed
from model_store.lock import Artefact, Manifest


def attach(manifest: Manifest, folder: Path, made: Path, made_with: Mapping[str, str], staging: Path) -> None:
    """Fill ``staging`` with the model in ``folder`` and, in place of its earlier 8-bit artefact, the files in ``made``.

    Raises ``ConversionFailed`` when ``made`` belongs to another exact graph than the stored one.
    """
    exact = manifest.artefact
    if exact is None or any(made_with.get(name) != value for name, value in exact.made_with.items()):
        raise ConversionFailed(f"Model {manifest.key!r} changed meanwhile; quantise it again.")
    earlier = f"{manifest.int8.folder}/" if manifest.int8 else "\0"
    kept = {name: digest for name, digest in manifest.files.items() if not name.startswith(earlier)}
    for name in kept:
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        _link(folder / name, staging / name)
    new_id = artefact_id(made_with)
    int8 = Artefact(id=new_id, folder=f"artefacts/{new_id}", made_with=dict(made_with))
    shutil.copytree(made, staging / int8.folder)
    files = kept | seal(staging, int8.folder)
    manifest.model_copy(update={"files": files, "int8": int8}).write(staging)


def _link(source: Path, target: Path) -> None:
    """The same bytes under another name, or a copy where the file system has no such thing."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o444)
