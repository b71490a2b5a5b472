"""One Muster per data folder: a lock file that says who holds it."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from serve_app.environment import runtime_path
from serve_app.errors import SettingsError

FILE = "up.json"


@contextlib.contextmanager
def only_one(run: Path) -> Iterator[TextIO]:
    """Hold the lock of a runtime folder. Raises ``SettingsError`` when another Muster does."""
    file = run / FILE
    with file.open("a+") as lock:
        if not _locked(lock, file):
            running = _read(file)
            raise SettingsError(
                f"Muster already runs with this data folder (process {running.get('pid')}, "
                f"port {running.get('port')}). Stop it with `muster down`, or set MUSTER_HOME to another folder."
            )
        try:
            yield lock
        finally:
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                run.rmdir()


def write_state(lock: TextIO, **state: int) -> None:
    """Say who holds the lock: ``pid``, ``port``, ``dashboard``."""
    lock.seek(0)
    lock.truncate()
    lock.write(json.dumps(state))
    lock.flush()


def read_state(home: Path) -> dict[str, int]:
    """``pid``, ``port`` and ``dashboard`` of the Muster that runs for a data folder; empty when none does.

    The lock decides, not the process id: ids are used again.
    """
    file = runtime_path(home) / FILE
    try:
        with file.open() as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(file)
    except OSError:
        pass
    return {}


def _locked(lock: TextIO, file: Path) -> bool:
    """Take the lock; False when somebody has it, or has just removed the file that we opened."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(lock.fileno()).st_ino == file.stat().st_ino
    except OSError:
        return False


def _read(file: Path) -> dict[str, int]:
    try:
        state: dict[str, int] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return state
