"""What this process's control groups allow it (Linux, versions 1 and 2): the one reader of their files.

A group's limits hold for everything below it, so the tightest of a process's own group and those above it decides.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
_MEMORY = (
    # Limit, use, and the line of ``memory.stat`` with the page cache that the kernel gives back; version 2 and 1.
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes of RAM that the process may use; None without a limit. ``root`` is another one in tests."""
    limits = (_number(group / limit) for group in _groups("memory", root) for limit, _, _ in _MEMORY)
    return min((limit for limit in limits if limit is not None), default=None)


def memory_left(root: Path = ROOT) -> int | None:
    """Bytes that the process may still take, its groups' page cache counted as free; None without a limit."""
    left = []
    for group in _groups("memory", root):
        for limit_file, used_file, cache in _MEMORY:
            limit, used = _number(group / limit_file), _number(group / used_file)
            if limit is not None and used is not None:
                left.append(limit - used + _statistic(group / "memory.stat", cache))
    return min(left, default=None)


def core_quota(root: Path = ROOT) -> int | None:
    """Whole cores' worth of time that the process may use, at least 1; None without a limit."""
    quotas = []
    for group in _groups("cpu", root):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        # "max" in version 2 and -1 in version 1 are no limit.
        if quota.isdecimal() and period.isdecimal():
            quotas.append(max(1, int(quota) // int(period)))
    return min(quotas, default=None)


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of the groups that may limit this process, its own first."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, inner = line.split(":", 2)
        if number == "0":
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
        else:
            continue
        own = top / inner.strip("/")
        yield from (folder for folder in (own, *own.parents) if folder == top or top in folder.parents)


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text.isdecimal() else None


def _statistic(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
