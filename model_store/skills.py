"""The skill models on disk: bundles, each a folder named by its version. Which one serves: ``skill_aliases``.

    <skills_dir>/champion                       the aliases
    <skills_dir>/history.jsonl                  every change of them
    <skills_dir>/<version>/bundle.json          what the models are, with the sha256 of every other file
    <skills_dir>/<version>/<skill>.ubj          the estimate
    <skills_dir>/<version>/<skill>.lower.ubj    and .upper.ubj, the bounds of its interval
    <skills_dir>/<version>/MODEL_CARD.md

A bundle appears by one rename and the alias changes by one rename: a reader sees the old state or the new one. Nothing
is published, promoted or opened unproved: every file is hashed, each model's structure inspected, and its canary rows
predicted in a child process (``canary``); opening hands on the very bytes that were checked.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from model_store.boosted_trees import BOUND, ESTIMATE, UnsafeModel, inspect_model
from model_store.canary import require_proof
from model_store.skill_aliases import ALIAS, parse_record, read_alias, read_plain, sync, write_alias, write_durably
from model_store.skill_records import (
    FORMAT_VERSION,
    AliasRecord,
    AliasTarget,
    BundleRecord,
    NoSkillModels,
    SkillBundle,
    TamperedSkills,
)

MANIFEST = "bundle.json"
_OTHER_SHA256 = "its sha256 is not the recorded one"


def open_champion(skills_dir: Path, *, schema_hash: str, num_feature: int) -> SkillBundle:
    """Open the bundle that serves here. Raises ``NoSkillModels``, ``TamperedSkills`` (naming the file)."""
    return open_bundle(skills_dir, read_alias(skills_dir), schema_hash=schema_hash, num_feature=num_feature)


def open_bundle(skills_dir: Path, target: AliasTarget, *, schema_hash: str, num_feature: int) -> SkillBundle:
    """Open and prove the bundle that an alias points at. Raises ``TamperedSkills`` (naming the file)."""
    bundle = _read_bundle(skills_dir / target.version, target.version, target.bundle_sha256)
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


def read_record(skills_dir: Path, version: str) -> tuple[BundleRecord, AliasTarget]:
    """What a bundle says of itself, and what an alias of it would be; its models are not looked at.

    Raises ``TamperedSkills``.
    """
    key, folder = f"skills {version}", skills_dir / Path(version).name
    if Path(version).name != version or folder.is_symlink() or not folder.is_dir():
        raise TamperedSkills(key, version, "there is no such bundle here")
    manifest = read_plain(folder, MANIFEST, key)
    record = parse_record(BundleRecord, manifest, key, MANIFEST)
    return record, AliasTarget(version=version, bundle_sha256=hashlib.sha256(manifest).hexdigest())


def versions(skills_dir: Path) -> list[str]:
    """The bundles here, the oldest first by name; nothing is checked."""
    found = skills_dir.glob(f"*/{MANIFEST}") if skills_dir.is_dir() else ()
    return sorted(manifest.parent.name for manifest in found if not manifest.parent.name.startswith("."))


def publish(skills_dir: Path, record: BundleRecord, files: Mapping[str, bytes]) -> Path:
    """Write a bundle and prove it. Returns its folder. Raises ``TamperedSkills``."""
    skills_dir.mkdir(parents=True, exist_ok=True)
    manifest = record.model_dump_json(indent=2).encode()
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=skills_dir))
    try:
        for name, content in {**files, MANIFEST: manifest}.items():
            write_durably(staging / name, content)
        require_proof(skills_dir, _read_bundle(staging, record.version))
        folder = skills_dir / record.version
        staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    sync(skills_dir)
    return folder


def prove(skills_dir: Path, version: str) -> tuple[BundleRecord, AliasTarget]:
    """Hash, inspect and predict a bundle that is in the store. Raises ``TamperedSkills``."""
    bundle = _read_bundle(skills_dir / Path(version).name, version)
    require_proof(skills_dir, bundle)
    return bundle.record, AliasTarget(version=version, bundle_sha256=bundle.sha256)


def set_champion(skills_dir: Path, version: str) -> None:
    """Point the alias file at a bundle that is in the store and proved; readers see the old or the new one.

    Raises ``TamperedSkills``. Of a fleet's alias, gate and history: ``deployments.skills.registry``.
    """
    _, target = prove(skills_dir, version)
    try:
        held = read_alias(skills_dir)
    except (NoSkillModels, TamperedSkills):
        held = AliasRecord(**target.model_dump())
    write_alias(skills_dir, held.model_copy(update={**target.model_dump(), "generation": held.generation + 1}))


def _read_bundle(folder: Path, version: str, sha256: str | None = None) -> SkillBundle:
    """Every file hashed, every model inspected. ``sha256``: what the manifest must have. Raises ``TamperedSkills``."""
    key = f"skills {version}"
    if folder.is_symlink() or not folder.is_dir():
        raise TamperedSkills(key, version, "the bundle's folder is missing")
    manifest = read_plain(folder, MANIFEST, key)
    digest = hashlib.sha256(manifest).hexdigest()
    if sha256 not in (None, digest):
        raise TamperedSkills(key, MANIFEST, _OTHER_SHA256)
    record = parse_record(BundleRecord, manifest, key, MANIFEST)
    if record.version != version:
        raise TamperedSkills(key, MANIFEST, f"it describes version {record.version}")
    contents = {name: _read_locked(folder, name, locked, key) for name, locked in record.files.items()}
    models, bounds = dict[str, bytes](), dict[str, tuple[bytes, bytes]]()
    for skill, one in record.skills.items():
        width = one.canary.width
        models[skill] = _model(one.file, width, ESTIMATE, contents, key)
        lower, upper = (_model(bound.file, width, BOUND, contents, key) for bound in (one.lower, one.upper))
        bounds[skill] = (lower, upper)
    return SkillBundle(record, digest, models, bounds)


def _model(file: str, width: int, objective: str, contents: Mapping[str, bytes], key: str) -> bytes:
    """The content of a model file whose structure is sound."""
    if file not in contents:
        raise TamperedSkills(key, MANIFEST, f"it has no sha256 of {file}")
    try:
        inspect_model(contents[file], width, objective)
    except UnsafeModel as error:
        raise TamperedSkills(key, file, str(error)) from error
    return contents[file]


def _read_locked(folder: Path, name: str, sha256: str, key: str) -> bytes:
    content = read_plain(folder, name, key)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise TamperedSkills(key, name, _OTHER_SHA256)
    return content
