"""The skill models on disk: bundles, each a folder named by its version, and the alias file that says which one serves.

    <skills_dir>/champion                 {"version", "bundle_sha256"}
    <skills_dir>/<version>/bundle.json    what the models are, with the sha256 of every other file
    <skills_dir>/<version>/<skill>.ubj
    <skills_dir>/<version>/MODEL_CARD.md

A bundle appears by one rename and the alias changes by one rename: a reader sees the old state or the new one. Opening
hashes every file and inspects each model's structure, and hands on the very bytes that were checked.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from model_store.boosted_trees import UnsafeModel, inspect_model
from model_store.skill_records import AliasRecord, BundleRecord, NoSkillModels, Record, TamperedSkills

ALIAS, MANIFEST = "champion", "bundle.json"
MAX_FILE_BYTES = 64 * 1024 * 1024
R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class SkillBundle:
    """A checked bundle: the record, and each skill's model bytes."""

    record: BundleRecord
    models: Mapping[str, bytes]

    @property
    def version(self) -> str:
        return self.record.version


def open_champion(skills_dir: Path, *, schema_hash: str, num_feature: int) -> SkillBundle:
    """Open the bundle that serves. Raises ``NoSkillModels``, ``TamperedSkills`` (naming the file)."""
    if not (skills_dir / ALIAS).exists():
        raise NoSkillModels("skills")
    alias = _parse(AliasRecord, _read_plain(skills_dir, ALIAS, "skills"), "skills", ALIAS)
    key = f"skills {alias.version}"
    folder = skills_dir / alias.version
    if folder.is_symlink() or not folder.is_dir():
        raise TamperedSkills(key, alias.version, "the bundle's folder is missing")
    record = _parse(BundleRecord, _read_locked(folder, MANIFEST, alias.bundle_sha256, key), key, MANIFEST)
    if record.version != alias.version:
        raise TamperedSkills(key, MANIFEST, f"it describes version {record.version}")
    if record.schema_hash != schema_hash:
        raise TamperedSkills(key, MANIFEST, "it was trained on another feature schema")
    contents = {name: _read_locked(folder, name, digest, key) for name, digest in record.files.items()}
    return SkillBundle(record, {skill: _model(record, skill, contents, num_feature, key) for skill in record.skills})


def publish(skills_dir: Path, record: BundleRecord, files: Mapping[str, bytes]) -> Path:
    """Write a bundle by staging and one rename, and make it the champion. Returns its folder."""
    skills_dir.mkdir(parents=True, exist_ok=True)
    manifest = record.model_dump_json(indent=2).encode()
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=skills_dir))
    try:
        for name, content in {**files, MANIFEST: manifest}.items():
            _write(staging / name, content)
        folder = skills_dir / record.version
        staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    _sync(skills_dir)
    set_champion(skills_dir, record.version)
    return folder


def set_champion(skills_dir: Path, version: str) -> None:
    """Point the alias at a bundle that is in the store; readers see the old or the new one, nothing between."""
    manifest = _read_plain(skills_dir / Path(version).name, MANIFEST, f"skills {version}")
    alias = AliasRecord(version=version, bundle_sha256=hashlib.sha256(manifest).hexdigest())
    staged = skills_dir / f".{ALIAS}-{os.getpid()}"
    _write(staged, alias.model_dump_json().encode())
    staged.replace(skills_dir / ALIAS)
    _sync(skills_dir)


def _model(record: BundleRecord, skill: str, contents: Mapping[str, bytes], num_feature: int, key: str) -> bytes:
    file = record.skills[skill].file
    if file not in contents:
        raise TamperedSkills(key, MANIFEST, f"it has no sha256 of {file}")
    try:
        inspect_model(contents[file], num_feature)
    except UnsafeModel as error:
        raise TamperedSkills(key, file, str(error)) from error
    return contents[file]


def _read_locked(folder: Path, name: str, sha256: str, key: str) -> bytes:
    content = _read_plain(folder, name, key)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise TamperedSkills(key, name, "its sha256 is not the recorded one")
    return content


def _read_plain(folder: Path, name: str, key: str) -> bytes:
    """A regular file directly in ``folder``, no link, of bounded size."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise TamperedSkills(key, name, error.strerror or "it cannot be opened") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TamperedSkills(key, name, "it is not a plain file")
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise TamperedSkills(key, name, f"it is larger than {MAX_FILE_BYTES} bytes")
    return content


def _parse(kind: type[R], content: bytes, key: str, file: str) -> R:
    try:
        return kind.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError) as error:
        raise TamperedSkills(key, file, "it is not readable") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
