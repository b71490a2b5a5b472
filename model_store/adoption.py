"""Building a model in a staging folder: copy and check its files, convert it, write the manifest last."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_store import convert, labels, trust
from model_store.catalogue import ModelSpec
from model_store.errors import TamperedModel
from model_store.lock import Artefact, FileDigest, Manifest, digest_file
from model_store.sources import Source

Progress = Callable[[str], None]
Maker = Callable[[Path, Path, str, Progress], None]
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Workshop:
    """What makes a model's artefact: encoders and classifiers are exported, other kinds are loaded once and their
    answers recorded."""

    converter: Maker
    prover: Maker


def build(spec: ModelSpec, source: Source, staging: Path, workshop: Workshop, say: Progress) -> None:
    """Fill the staging folder.

    Raises ``SourceUnavailable``, ``TamperedModel``, ``UntrustedArtefact``, ``ConversionFailed``.
    """
    files: dict[str, FileDigest] = {}
    for name, sha256 in spec.files.items():
        say(f"{spec.key}: copying {name}")
        digest = copy_file(source, name, staging / "files" / name)
        if digest.sha256 != sha256:
            raise TamperedModel(spec.key, name, "its sha256 at the source is not what the catalogue says")
        files[f"files/{name}"] = digest
    trust.inspect(staging / "files", spec.family)
    if spec.labels:
        labels.require_count(staging / "files", len(spec.labels))
    artefact = _convert(spec, staging, workshop, say)
    if artefact:
        files |= seal(staging, artefact.folder)
    Manifest(key=spec.key, id=spec.id, revision=spec.revision, files=files, artefact=artefact).write(staging)


def matches(manifest: Manifest, spec: ModelSpec) -> bool:
    """Whether the stored model is the one the catalogue means; of an unpinned one, any pulled commit is."""
    return (
        manifest.id == spec.id
        and spec.revision in (manifest.revision, "unpinned")
        and (not spec.files or _locked(manifest) == spec.files)
    )


def pinned(spec: ModelSpec, manifest: Manifest) -> ModelSpec:
    """The catalogue entry with the commit and the digests of what is in the store."""
    return spec.model_copy(update={"revision": manifest.revision, "files": dict(_locked(manifest))})


def is_fresh(manifest: Manifest, files: Path, task: str) -> bool:
    """Whether the stored artefact is the one that would be made now for a model of this task."""
    if manifest.artefact is None:
        return task == "embedding" and not convert.is_convertible(files, task)
    return manifest.artefact.made_with == convert.made_with(_locked(manifest), task)


def _locked(manifest: Manifest) -> Mapping[str, str]:
    prefix = "files/"
    return {name[len(prefix) :]: entry.sha256 for name, entry in manifest.files.items() if name.startswith(prefix)}


def _convert(spec: ModelSpec, staging: Path, workshop: Workshop, say: Progress) -> Artefact | None:
    source = staging / "files"
    exported = convert.is_convertible(source, spec.task)
    if not exported and spec.task == "embedding":
        # It runs through sentence-transformers itself, which needs nothing made.
        return None
    made_with = convert.made_with(spec.files, spec.task)
    artefact_id = convert.artefact_id(made_with)
    artefact = Artefact(id=artefact_id, folder=f"artefacts/{artefact_id}", made_with=made_with)
    target = staging / artefact.folder
    target.mkdir(parents=True)

    def tell(message: str) -> None:
        say(f"{spec.key}: {message}")

    make = workshop.converter if exported else workshop.prover
    make(source, target, spec.task, tell)
    return artefact


def copy_file(source: Source, name: str, target: Path) -> FileDigest:
    """Copy one file, digesting the bytes that are written. Raises ``SourceUnavailable``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open(name) as reader, target.open("xb") as writer:
        while block := reader.read(_BLOCK):
            digest.update(block)
            writer.write(block)
            size += len(block)
        writer.flush()
        os.fsync(writer.fileno())
    target.chmod(0o444)
    return FileDigest(sha256=digest.hexdigest(), size=size)


def seal(staging: Path, folder: str) -> dict[str, FileDigest]:
    """Digest the files of an artefact, by their names below ``staging``, and make them read-only."""
    sealed = {}
    for path in sorted((staging / folder).iterdir()):
        digest = digest_file(path)
        if digest:
            path.chmod(0o444)
            sealed[path.relative_to(staging).as_posix()] = digest
    return sealed
