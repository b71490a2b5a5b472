"""Limits of control groups, versions 1 and 2, read from folders that look like the kernel's."""

import pytest

from model_store import control_groups


@pytest.fixture
def root(tmp_path):
    """A machine whose process is in the group ``outer/inner``, in version 2 and in version 1's memory and cpu."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("5:cpu,cpuacct:/outer/inner\n4:memory:/outer/inner\n0::/outer/inner\n")
    return tmp_path


def group(root, path, **files):
    """Write a group's files; ``memory__max`` stands for ``memory.max``."""
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_groups_there_is_no_limit(tmp_path, root):
    for place in (root, tmp_path / "no-such-machine"):
        assert control_groups.memory_limit(place) is None
        assert control_groups.memory_left(place) is None
        assert control_groups.core_quota(place) is None


def test_the_tightest_group_above_decides(root):
    group(root, "outer/inner", memory__max="max", cpu__max="350000 100000")
    group(root, "outer", memory__max=3000, memory__current=1500, memory__stat="anon 1\ninactive_file 500")
    group(root, "outer", cpu__max="max 100000")
    assert control_groups.memory_limit(root) == 3000
    assert control_groups.memory_left(root) == 3000 - 1500 + 500
    assert control_groups.core_quota(root) == 3
    group(root, "", memory__max=2500, memory__current=2400, cpu__max="50000 100000")
    assert control_groups.memory_limit(root) == 2500
    assert control_groups.memory_left(root) == 100
    assert control_groups.core_quota(root) == 1


def test_version_1_is_read_too(root):
    unlimited = 9223372036854771712
    group(root, "memory/outer", memory__limit_in_bytes=unlimited, memory__usage_in_bytes=5000)
    group(root, "memory/outer/inner", memory__limit_in_bytes=8000, memory__usage_in_bytes=6000)
    group(root, "memory/outer/inner", memory__stat="inactive_file 1\ntotal_inactive_file 1000")
    group(root, "cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    assert control_groups.memory_limit(root) == 8000
    assert control_groups.memory_left(root) == 3000
    assert control_groups.core_quota(root) is None
    group(root, "cpu/outer", cpu__cfs_quota_us=250000, cpu__cfs_period_us=100000)
    assert control_groups.core_quota(root) == 2


def test_a_container_that_sees_its_group_at_the_top_is_limited(root):
    """The path in ``/proc`` may be the host's, of folders that the container does not see."""
    group(root, "memory", memory__limit_in_bytes=4096, memory__usage_in_bytes=96)
    assert control_groups.memory_limit(root) == 4096
    assert control_groups.memory_left(root) == 4000


def test_other_groups_do_not_count(root):
    group(root, "outer/sibling", memory__max=1)
    group(root, "pids/outer/inner", memory__max=1)
    assert control_groups.memory_limit(root) is None
