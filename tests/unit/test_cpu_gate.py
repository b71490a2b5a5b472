"""The CPU gate, between real processes."""

import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from statistics import median
from threading import Thread

import pytest

from deployments.cpu_gate import CpuGate
from deployments.settings import DeploymentSettings, cores, load_settings


@contextmanager
def process(folder, body: str, slots: int = 1):
    """A child with ``gate``; its output lines are read with ``readline``."""
    code = "import time\nfrom pathlib import Path\nfrom deployments.cpu_gate import CpuGate\n"
    code += f"gate = CpuGate(Path({str(folder)!r}), {slots})\n" + textwrap.dedent(body)
    with subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


HOLD = """
    with gate:
        print("held")
        time.sleep(60)
"""


def test_a_second_process_waits_until_the_first_is_done(tmp_path):
    gate = CpuGate(tmp_path)
    with gate, process(tmp_path, "print('asks')\nwith gate:\n    print(time.monotonic())") as child:
        assert child.stdout.readline() == "asks\n"
        time.sleep(0.15)
        released = time.monotonic()
        gate.__exit__(None, None, None)
        assert float(child.stdout.readline()) >= released


def test_the_kernel_frees_the_slot_of_a_killed_process(tmp_path):
    gate = CpuGate(tmp_path)
    with process(tmp_path, HOLD) as child:
        assert child.stdout.readline() == "held\n"
        entered: list[float] = []

        def enter() -> None:
            with gate:
                entered.append(time.monotonic())

        waiter = Thread(target=enter)
        waiter.start()
        time.sleep(0.1)
        assert not entered
        child.send_signal(signal.SIGKILL)
        waiter.join(5)
    assert entered


def test_as_many_slots_as_asked_for(tmp_path):
    first, second, third = (CpuGate(tmp_path, 2) for _ in range(3))
    entered: list[float] = []

    def enter() -> None:
        with third:
            entered.append(time.monotonic())

    with first:
        with second:
            waiter = Thread(target=enter)
            waiter.start()
            time.sleep(0.05)
            assert not entered
        waiter.join(5)
        assert entered


def test_a_busy_process_does_not_starve_another(tmp_path):
    body = """
        print("starts")
        end, count = time.monotonic() + 1.0, 0
        while time.monotonic() < end:
            with gate:
                time.sleep(0.002)
                count += 1
        print(count)
    """
    with process(tmp_path, body) as one, process(tmp_path, body) as other:
        assert one.stdout.readline() == other.stdout.readline() == "starts\n"
        counts = sorted(int(child.stdout.readline()) for child in (one, other))
    assert counts[0] > 0.2 * sum(counts)


def test_an_error_inside_releases_the_slot_and_reentry_is_refused(tmp_path):
    gate = CpuGate(tmp_path)
    with pytest.raises(KeyError), gate:
        raise KeyError
    with gate, pytest.raises(RuntimeError, match="already held"):
        gate.__enter__()
    with gate:
        pass
    gate.close()


def test_an_uncontended_pass_costs_microseconds(tmp_path):
    gate = CpuGate(tmp_path)
    times = []
    for _ in range(200):
        started = time.perf_counter()
        with gate:
            pass
        times.append(time.perf_counter() - started)
    assert median(times) < 50e-6


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    with pytest.raises(PermissionError, match="MUSTER_GATE_DIR"):
        CpuGate(tmp_path)


def test_settings_decide_the_slots(monkeypatch, tmp_path):
    assert DeploymentSettings().threads == cores()
    assert DeploymentSettings().gate_slots == 1
    assert DeploymentSettings(threads=1).gate_slots == cores()
    assert DeploymentSettings(threads=10 * cores()).gate_slots == 1
    monkeypatch.setenv("MUSTER_THREADS", "3")
    monkeypatch.setenv("MUSTER_GATE_DIR", str(tmp_path))
    monkeypatch.setenv("MUSTER_REDIS_URL", "redis://:secret@host")
    settings = load_settings()
    assert (settings.threads, settings.gate_dir) == (3, tmp_path)
    assert "secret" not in repr(settings)
