"""Child processes of the store: everything that loads a model file with a large library happens in one of its own.

The child gets no network where the kernel lets us take it away, no credentials, no hub, and limits on what it may use.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Timer

from model_store.errors import ConversionFailed

Progress = Callable[[str], None]
TIMEOUT_S = 1800.0
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "GLIBC_TUNABLES")
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
}


def run(module: str, arguments: Sequence[str], progress: Progress, timeout_s: float = TIMEOUT_S) -> None:
    """``python -m module arguments...``; its lines go to ``progress``. Raises ``ConversionFailed`` with its last words."""
    late = Event()
    command = [sys.executable, "-um", module, *arguments]
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command,
            cwd=Path(__file__).resolve().parent.parent,
            env={**kept, **_OFFLINE},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child,
    ):

        def stop() -> None:
            late.set()
            child.kill()

        watchdog = Timer(timeout_s, stop)
        watchdog.start()
        try:
            for line in child.stdout or ():
                progress(line.rstrip())
            status = child.wait()
        finally:
            watchdog.cancel()
            child.kill()
        if late.is_set():
            raise ConversionFailed(f"{module} did not end within {timeout_s:g} s")
        if status < 0:
            raise ConversionFailed(f"{module} was ended by {signal.Signals(-status).name}")
        if status != 0:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["no message"])[-1]
            raise ConversionFailed(f"{module} ended with status {status}: {last}")


def confine() -> None:
    """Called first in a child that reads what nobody checked.

    No core dumps; it dies with its parent, whose watchdog would be gone; no network where the kernel allows that.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        # An empty network name space has no way out. Some kernels forbid it; the weights-only loader still holds.
        with contextlib.suppress(OSError):
            libc = ctypes.CDLL(None, use_errno=True)
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _ = libc.unshare(_CLONE_NEWNET) and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
