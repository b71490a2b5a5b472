"""The aliases of the skill models on this node: a small file, replaced by one rename, and the history of its changes.

``champion`` is the file; the bundle it names serves. ``history.jsonl`` has one line for each change and each refusal:
when, who, what, from which version to which, why.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from pydantic import ValidationError

from model_store.skill_records import AliasRecord, NoSkillModels, Record, TamperedSkills

ALIAS, HISTORY = "champion", "history.jsonl"
MAX_FILE_BYTES = 64 * 1024 * 1024
LOCK_S = 60
R = TypeVar("R", bound=Record)


@contextmanager
def alone(skills_dir: Path) -> Iterator[None]:
    """Nobody else on this node changes the aliases meanwhile."""
    skills_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(skills_dir / ".aliases.lock", timeout=LOCK_S):
        yield


def read_alias(skills_dir: Path) -> AliasRecord:
    """The aliases. Raises ``NoSkillModels``, ``TamperedSkills``."""
    if not (skills_dir / ALIAS).exists():
        raise NoSkillModels("skills")
    return parse_record(AliasRecord, read_plain(skills_dir, ALIAS, "skills"), "skills", ALIAS)


def write_alias(skills_dir: Path, alias: AliasRecord) -> None:
    """Replace the aliases; a reader sees the old ones or the new ones."""
    staged = skills_dir / f".{ALIAS}-{os.getpid()}"
    write_durably(staged, alias.model_dump_json().encode())
    staged.replace(skills_dir / ALIAS)
    sync(skills_dir)


def note(skills_dir: Path, entry: Mapping[str, Any]) -> None:
    """Add a line to the history, with the time."""
    line = json.dumps({"at": datetime.now(UTC).isoformat(), **entry}, ensure_ascii=False)
    with (skills_dir / HISTORY).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def history(skills_dir: Path) -> list[dict[str, Any]]:
    """What was noted, the oldest first; a line that cannot be read is left out."""
    entries = []
    if (skills_dir / HISTORY).is_file():
        for line in (skills_dir / HISTORY).read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entries.append(dict(json.loads(line)))
            except (ValueError, TypeError):
                continue
    return entries


def read_plain(folder: Path, name: str, key: str) -> bytes:
    """A regular file directly in ``folder``, no link, of bounded size. Raises ``TamperedSkills``."""
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


def parse_record(kind: type[R], content: bytes, key: str, file: str) -> R:
    """A record from its file. Raises ``TamperedSkills``."""
    try:
        return kind.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError) as error:
        raise TamperedSkills(key, file, "it is not readable") from error


def write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Make renames in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
