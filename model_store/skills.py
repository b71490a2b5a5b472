"""The skill models on disk: bundles, each a folder named by its version, and the alias file that says which one serves.

    <skills_dir>/champion                 {"version", "bundle_sha256"}
    <skills_dir>/<version>/bundle.json    what the models are, with the sha256 of every other file
    <skills_dir>/<version>/<skill>.ubj
    <skills_dir>/<version>/MODEL_CARD.md

A bundle appears by one rename and the alias changes by one rename: a reader sees the old state or the new one. Nothing
is published, promoted or opened unproved: every file is hashed, each model's structure inspected, and its canary rows
predicted in a child process (``canary``); opening hands on the very bytes that were checked.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from model_store.boosted_trees import UnsafeModel, inspect_model
from model_store.canary import require_proof
from model_store.skill_records import (
    FORMAT_VERSION,
    AliasRecord,
    BundleRecord,
    NoSkillModels,
    Record,
    SkillBundle,
    TamperedSkills,
)

ALIAS, MANIFEST = "champion", "bundle.json"
MAX_FILE_BYTES = 64 * 1024 * 1024
_OTHER_SHA256 = "its sha256 is not the recorded one"
R = TypeVar("R", bound=Record)


def open_champion(skills_dir: Path, *, schema_hash: str, num_feature: int) -> SkillBundle:
    """Open the bundle that serves. Raises ``NoSkillModels``, ``TamperedSkills`` (naming the file)."""
    if not (skills_dir / ALIAS).exists():
        raise NoSkillModels("skills")
    alias = _parse(AliasRecord, _read_plain(skills_dir, ALIAS, "skills"), "skills", ALIAS)
    bundle = _read_bundle(skills_dir / alias.version, alias.version, alias.bundle_sha256)
    if bundle.record.schema_hash != schema_hash:
        raise TamperedSkills(bundle.key, MANIFEST, "it was trained on another feature schema")
    if any(one.canary.width != num_feature for one in bundle.record.skills.values()):
        raise TamperedSkills(bundle.key, MANIFEST, f"its canary rows do not have {num_feature} features")
    require_proof(skills_dir, bundle)
    return bundle


def has_current_champion(skills_dir: Path) -> bool:
    """Whether a bundle serves and has this release's format. Nothing is checked: what is damaged counts as there."""
    try:
        version = Path(json.loads((skills_dir / ALIAS).read_bytes())["version"]).name
        manifest = json.loads((skills_dir / version / MANIFEST).read_bytes())
        return bool(manifest.get("format_version", 1) >= FORMAT_VERSION)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return (skills_dir / ALIAS).exists()


def publish(skills_dir: Path, record: BundleRecord, files: Mapping[str, bytes]) -> Path:
    """Write a bundle, prove it, and make it the champion. Returns its folder. Raises ``TamperedSkills``."""
    skills_dir.mkdir(parents=True, exist_ok=True)
    manifest = record.model_dump_json(indent=2).encode()
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=skills_dir))
    try:
        for name, content in {**files, MANIFEST: manifest}.items():
            _write(staging / name, content)
        require_proof(skills_dir, _read_bundle(staging, record.version))
        folder = skills_dir / record.version
        staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    _sync(skills_dir)
    set_champion(skills_dir, record.version)
    return folder


def set_champion(skills_dir: Path, version: str) -> None:
    """Point the alias at a bundle that is in the store and proved; readers see the old or the new one.

    Raises ``TamperedSkills``.
    """
    bundle = _read_bundle(skills_dir / Path(version).name, version)
    require_proof(skills_dir, bundle)
    alias = AliasRecord(version=version, bundle_sha256=bundle.sha256)
    staged = skills_dir / f".{ALIAS}-{os.getpid()}"
    _write(staged, alias.model_dump_json().encode())
    staged.replace(skills_dir / ALIAS)
    _sync(skills_dir)


def _read_bundle(folder: Path, version: str, sha256: str | None = None) -> SkillBundle:
    """Every file hashed, every model inspected. ``sha256``: what the manifest must have. Raises ``TamperedSkills``."""
    key = f"skills {version}"
    if folder.is_symlink() or not folder.is_dir():
        raise TamperedSkills(key, version, "the bundle's folder is missing")
    manifest = _read_plain(folder, MANIFEST, key)
    digest = hashlib.sha256(manifest).hexdigest()
    if sha256 not in (None, digest):
        raise TamperedSkills(key, MANIFEST, _OTHER_SHA256)
    record = _parse(BundleRecord, manifest, key, MANIFEST)
    if record.version != version:
        raise TamperedSkills(key, MANIFEST, f"it describes version {record.version}")
    contents = {name: _read_locked(folder, name, locked, key) for name, locked in record.files.items()}
    return SkillBundle(record, digest, {skill: _model(record, skill, contents, key) for skill in record.skills})


def _model(record: BundleRecord, skill: str, contents: Mapping[str, bytes], key: str) -> bytes:
    one = record.skills[skill]
    if one.file not in contents:
        raise TamperedSkills(key, MANIFEST, f"it has no sha256 of {one.file}")
    try:
        inspect_model(contents[one.file], one.canary.width)
    except UnsafeModel as error:
        raise TamperedSkills(key, one.file, str(error)) from error
    return contents[one.file]


def _read_locked(folder: Path, name: str, sha256: str, key: str) -> bytes:
    content = _read_plain(folder, name, key)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise TamperedSkills(key, name, _OTHER_SHA256)
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
