"""Linux name spaces without root: a network of its own with only loopback in it, and a memory limit.

``python -m benchmarks.isolation COMMAND...`` runs a command where no other address exists at all.
"""

import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_CGROUPS = Path("/sys/fs/cgroup")


def only_loopback() -> None:
    """Move this process into a new network name space and bring its loopback up. Raises ``OSError`` where forbidden."""
    import ctypes

    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _CLONE_NEWNET if uid == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if libc.unshare(flags) != 0 and (uid != 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0):
        raise OSError(ctypes.get_errno(), "this kernel does not let us make a network name space")
    if not os.access("/proc/self/setgroups", os.W_OK) or os.getuid() != uid:
        _keep_identity(uid, gid)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _keep_identity(uid: int, gid: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def may_limit_memory() -> bool:
    """Whether this user may make a control group here."""
    folder = _CGROUPS if (_CGROUPS / "cgroup.controllers").exists() else _CGROUPS / "memory"
    return os.access(folder, os.W_OK)


def limit_memory(limit: int) -> Path:
    """Put this process and its children into a control group with ``limit`` bytes. Raises ``OSError`` where forbidden."""
    if (_CGROUPS / "cgroup.controllers").exists():
        group, name = _CGROUPS / f"muster-{os.getpid()}", "memory.max"
    else:
        group, name = _CGROUPS / "memory" / f"muster-{os.getpid()}", "memory.limit_in_bytes"
    group.mkdir()
    (group / name).write_text(str(limit))
    (group / "cgroup.procs").write_text(str(os.getpid()))
    return group


if __name__ == "__main__":
    only_loopback()
    os.execvp(sys.argv[1], sys.argv[1:])
