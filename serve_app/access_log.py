"""The access log: one JSON line a request, written by its own thread, never with content.

A line has the route's template, not the path, because a path holds student ids. The thread wakes five times a second
and writes what has come together: a thread woken for every line would fight the event loop for the interpreter.
"""

import os
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import orjson

from serve_app.api.exchange import Exchange

_CAPACITY = 50_000
_FLUSH_EVERY_S = 0.2
MAX_BYTES = 64 * 2**20
"""From this size on the file becomes ``<name>.1``, in place of the one before."""


class AccessLog:
    """A log of its own; not in the logging tree, so that no other set-up can send its lines elsewhere."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lines: deque[dict[str, Any]] = deque(maxlen=_CAPACITY)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the writing thread."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._write_until_stopped, name="access-log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what waits and stop the thread."""
        if self._thread:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def write(self, route: str, method: str, status: int, seconds: float, exchange: Exchange) -> None:
        """Keep one line for the thread; when the disk is too slow the oldest lines go, not the requests."""
        self._lines.append(
            {
                "time": time.time(),
                "method": method,
                "route": route,
                "status": status,
                "ms": round(seconds * 1000, 2),
                "request_id": exchange.request_id,
                "tenant": exchange.tenant,
            }
        )

    def _write_until_stopped(self) -> None:
        stopped = False
        while not stopped:
            stopped = self._stop.wait(_FLUSH_EVERY_S)
            if self._lines:
                self._flush()

    def _flush(self) -> None:
        """One write for all lines, so that several processes can share the file."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        data = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        try:
            if self._path is None:
                sys.stderr.write(data.decode())
            else:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab", buffering=0) as file:
                    file.write(data)
                    if file.tell() > MAX_BYTES:
                        self._turn_over(self._path, os.fstat(file.fileno()).st_ino)
        except (OSError, ValueError):
            # A full disk or a closed terminal must not end the thread; the lines are lost.
            return

    @staticmethod
    def _turn_over(path: Path, inode: int) -> None:
        """Move the full file away, unless another process that writes to it has just done so."""
        if path.stat().st_ino == inode:
            path.replace(path.with_name(f"{path.name}.1"))
