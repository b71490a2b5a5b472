"""Comparison of a stored model with its manifest."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from model_store.errors import TamperedModel
from model_store.lock import MANIFEST, SIGNATURE, Manifest, digest_file


@dataclass(frozen=True, slots=True)
class Verification:
    """What a comparison found: number of files read, and the names (relative to the model's folder) that are wrong."""

    key: str
    checked: int
    mismatches: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not (self.mismatches or self.missing or self.extra)

    def require(self) -> None:
        """Raise ``TamperedModel`` for the first wrong file."""
        reasons = (
            (self.mismatches, "its content is not what the lock says"),
            (self.missing, "it is missing, or is not a plain file"),
            (self.extra, "it is not in the lock"),
        )
        for names, reason in reasons:
            for name in names:
                raise TamperedModel(self.key, name, reason)


def verify_folder(folder: Path, manifest: Manifest) -> Verification:
    """Read every file of a stored model and compare; an unknown file is as wrong as a changed one."""
    mismatches, missing = [], []
    # hashlib lets go of the interpreter while it digests, so threads read and digest side by side.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = list(pool.map(lambda name: digest_file(folder / name), manifest.files))
    for (name, expected), found in zip(manifest.files.items(), digests, strict=True):
        if found is None:
            missing.append(name)
        elif found != expected:
            mismatches.append(name)
    known = {*manifest.files, MANIFEST, SIGNATURE}
    extra = sorted(name for name in _names(folder) if name not in known)
    return Verification(manifest.key, len(manifest.files), tuple(mismatches), tuple(missing), tuple(extra))


def _names(folder: Path) -> Iterator[str]:
    """Every entry below a folder that is not a real directory."""
    for parent, directories, files in os.walk(folder):
        links = [name for name in directories if (Path(parent) / name).is_symlink()]
        for name in (*files, *links):
            yield (Path(parent) / name).relative_to(folder).as_posix()
