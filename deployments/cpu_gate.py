"""The node's CPU gate: as many forward passes at a time as the node has cores for, over all processes.

A slot is a lock file that a process holds with ``flock`` during one forward pass; the kernel releases it when the
process dies. A second lock file, the turnstile, is the queue: who waits for a slot keeps it, so that a process that
computes batch after batch cannot overtake the others.
"""

import fcntl
import os
import stat
import time
from pathlib import Path
from types import TracebackType

POLL_S = 0.0005
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class CpuGate:
    """``with gate: compute()``. One instance belongs to one thread; it is not reentrant."""

    def __init__(self, folder: Path, slots: int = 1) -> None:
        _make_private(folder)
        self._turnstile = os.open(folder / "turnstile", _FLAGS, 0o600)
        self._slots = [os.open(folder / f"slot-{number}", _FLAGS, 0o600) for number in range(slots)]
        self._held: int | None = None

    def __enter__(self) -> "CpuGate":
        if self._held is not None:
            raise RuntimeError("The CPU gate is already held by this thread.")
        fcntl.flock(self._turnstile, fcntl.LOCK_EX)
        try:
            self._held = self._take_slot()
        finally:
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is not None:
            fcntl.flock(held, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock files; releases a held slot."""
        for descriptor in (self._turnstile, *self._slots):
            os.close(descriptor)
        self._slots, self._turnstile, self._held = [], -1, None

    def _take_slot(self) -> int:
        if len(self._slots) == 1:
            fcntl.flock(self._slots[0], fcntl.LOCK_EX)
            return self._slots[0]
        while True:
            for slot in self._slots:
                try:
                    fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                return slot
            # flock cannot wait for several files; only the head of the queue polls.
            time.sleep(POLL_S)


def _make_private(folder: Path) -> None:
    """Create the folder; refuse one that another user could have put there to hold us up."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"The CPU gate's folder {folder} belongs to another user; set MUSTER_GATE_DIR.")
