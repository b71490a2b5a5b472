"""More versions of a bundle, made by copying one: under another name, with other files, or with other figures."""

import hashlib
import json
import shutil
from pathlib import Path


def another_version(folder: Path, of: str, version: str, files=None, **changes) -> Path:
    """A copy whose hashes fit. ``files``: contents that differ; ``changes``: of the record."""
    made = Path(shutil.copytree(folder / of, folder / version))
    for name, content in (files or {}).items():
        (made / name).write_bytes(content)
    record = json.loads((made / "bundle.json").read_text()) | {"version": version, **changes}
    record["files"] = {name: hashlib.sha256((made / name).read_bytes()).hexdigest() for name in record["files"]}
    (made / "bundle.json").write_text(json.dumps(record))
    return made


def worsened(folder: Path, of: str, version: str) -> Path:
    """A copy that says of itself that its empathy model is bad."""
    skills = json.loads((folder / of / "bundle.json").read_text())["skills"]
    skills["empathy"]["metrics"]["mae"] = 0.3
    return another_version(folder, of, version, skills=skills)
