"""The manifest: what was put into the store, file by file. It is the local lock and is written last."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Literal, assert_never

from pydantic import BaseModel, ConfigDict, ValidationError

from model_store.errors import TamperedModel

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
Precision = Literal["fp32", "int8", "fp16"]
"""What a model computes in; all but fp32 only behind an accuracy gate."""


class FileDigest(BaseModel):
    """``sha256`` in hex, ``size`` in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int


class Artefact(BaseModel):
    """Something made from the model's files. ``id`` digests ``made_with``; ``folder`` is relative to the model's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    folder: str
    made_with: dict[str, str]


class Manifest(BaseModel):
    """``files``: every file of the model and its artefacts, relative to the model's folder in the store.

    ``artefact``: what serves; ``int8``: the 8-bit graph with its accuracy gate, or only a gate that failed; ``fp16``: the
    same of 16 bits on a GPU, golden answers in place of a graph.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    key: str
    id: str
    revision: str
    files: dict[str, FileDigest]
    artefact: Artefact | None = None
    int8: Artefact | None = None
    fp16: Artefact | None = None

    def made(self, precision: Precision) -> Artefact | None:
        """What serves in a precision; of a gate that failed its record alone."""
        match precision:
            case "fp32":
                return self.artefact
            case "int8":
                return self.int8
            case "fp16":
                return self.fp16
            case _:
                assert_never(precision)

    def write(self, folder: Path) -> None:
        path = folder / MANIFEST
        with path.open("x", encoding="utf-8") as handle:
            handle.write(json.dumps(self.model_dump(), indent=1, sort_keys=True))
            handle.flush()
            os.fsync(handle.fileno())
        path.chmod(0o444)

    @classmethod
    def read(cls, folder: Path, key: str) -> "Manifest":
        """Raises ``TamperedModel`` when it is unreadable or speaks of another model."""
        try:
            manifest = cls.model_validate_json((folder / MANIFEST).read_bytes())
        except (OSError, ValidationError) as error:
            raise TamperedModel(key, MANIFEST, "it cannot be read as a manifest") from error
        if manifest.key != key:
            raise TamperedModel(key, MANIFEST, f"it is the manifest of {manifest.key!r}")
        return manifest


def digest_file(path: Path) -> FileDigest | None:
    """sha256 and size of a plain file; None when it is missing or anything else, a symbolic link for example."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb", buffering=0) as handle:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        digest = hashlib.file_digest(handle, "sha256")
        return FileDigest(sha256=digest.hexdigest(), size=os.fstat(descriptor).st_size)
