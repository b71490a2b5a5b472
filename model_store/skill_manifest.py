"""What a bundle says of itself, read without its models: for reports, never for serving."""

import re
from pathlib import Path

from pydantic import ValidationError

from model_store.skill_records import BundleRecord

MANIFEST = "bundle.json"
MAX_BYTES = 64 * 1024 * 1024
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def read_manifest(skills_dir: Path, version: str) -> BundleRecord | None:
    """The record of a version; None when it is not there or cannot be read."""
    path = skills_dir / version / MANIFEST
    try:
        if not _VERSION.match(version) or path.is_symlink() or path.stat().st_size > MAX_BYTES:
            return None
        return BundleRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
