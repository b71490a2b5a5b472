"""Processes that must not outlive us, and those of an earlier run that did."""

import contextlib
import ctypes
import os
import signal

import psutil

_PR_SET_PDEATHSIG = 1
OURS = ("haproxy", "redis-server", "raylet", "gcs_server", "python", "muster", "ray::", "ray-dashboard")
"""Beginnings of the names of what we start; an editor on one of our logs is not among them."""


def die_with_parent() -> None:
    """Ask the kernel (Linux) for SIGTERM when the parent goes; for ``preexec_fn``."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def orphans(*marks: str) -> list[psutil.Process]:
    """Processes of this user, of the kinds that we start, whose command line names one of our paths."""
    family = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter(["pid", "name", "cmdline", "uids"]):
        facts = process.info
        line = " ".join(facts["cmdline"] or ())
        mine = facts["pid"] not in family and facts["uids"] is not None and facts["uids"].real == os.getuid()
        if mine and (facts["name"] or "").startswith(OURS) and any(mark in line for mark in marks):
            found.append(process)
    return found


def end(processes: list[psutil.Process]) -> None:
    """SIGTERM, and SIGKILL for what is still there after three seconds."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=3)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=3)
