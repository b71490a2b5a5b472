"""The file of a light head: it comes with Muster, so it is compared with the catalogue where it lies."""

import hashlib

from model_store.catalogue import ModelSpec
from model_store.errors import SourceUnavailable, TamperedModel
from model_store.sources import source_of
from model_store.verify import Verification


def head_address(key: str, revision: str) -> str:
    """How a call names the head it wants. With the revision, so that a kept answer of another is never taken for it."""
    return f"{key}@{revision}"


def read_head(spec: ModelSpec) -> bytes:
    """The head's safetensors file. Raises ``TamperedModel``, ``SourceUnavailable``."""
    ((name, sha256),) = spec.files.items()
    with source_of(spec).open(name) as reader:
        content = reader.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise TamperedModel(spec.key, name, "its sha256 is not what the catalogue says; install Muster again")
    return content


def verify_head(spec: ModelSpec) -> Verification:
    """The same as the finding that ``muster models verify`` shows."""
    names = tuple(spec.files)
    try:
        read_head(spec)
    except TamperedModel:
        return Verification(spec.key, 1, mismatches=names)
    except SourceUnavailable:
        return Verification(spec.key, 1, missing=names)
    return Verification(spec.key, 1)
