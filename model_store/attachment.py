"""Putting an 8-bit graph, the golden answers in 16 bits, or the record of a gate that failed, beside a stored model."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from model_store.adoption import seal
from model_store.convert import artefact_id
from model_store.errors import ConversionFailed
from model_store.gate import Reduced
from model_store.lock import Artefact, Manifest


def attach(
    manifest: Manifest, folder: Path, made: Path, made_with: Mapping[str, str], staging: Path, precision: Reduced
) -> None:
    """Fill ``staging`` with the model in ``folder`` and, in place of its earlier artefact of this precision, the files in
    ``made``.

    Raises ``ConversionFailed`` when ``made`` belongs to another exact graph than the stored one.
    """
    exact = manifest.artefact
    if exact is None or any(made_with.get(name) != value for name, value in exact.made_with.items()):
        raise ConversionFailed(f"Model {manifest.key!r} changed meanwhile; quantise it again.")
    before = manifest.made(precision)
    earlier = f"{before.folder}/" if before else "\0"
    kept = {name: digest for name, digest in manifest.files.items() if not name.startswith(earlier)}
    for name in kept:
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        _link(folder / name, staging / name)
    new_id = artefact_id(made_with)
    reduced = Artefact(id=new_id, folder=f"artefacts/{new_id}", made_with=dict(made_with))
    shutil.copytree(made, staging / reduced.folder)
    files = kept | seal(staging, reduced.folder)
    manifest.model_copy(update={"files": files, precision: reduced}).write(staging)


def _link(source: Path, target: Path) -> None:
    """The same bytes under another name, or a copy where the file system has no such thing."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o444)
