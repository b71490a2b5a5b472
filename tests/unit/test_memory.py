"""A model that does not fit is refused with the numbers before anything is loaded."""

import pickle
from types import SimpleNamespace

import pytest
from tiny_models import case

from deployments import memory
from deployments.errors import DoesNotFit


def test_a_model_that_fits_passes_and_one_that_does_not_is_refused_with_the_numbers(monkeypatch):
    stored = case("bert").stored
    memory.require_room(stored)
    monkeypatch.setattr(memory, "free_bytes", lambda: 64 * 2**20)
    with pytest.raises(DoesNotFit, match=r"needs 128 MiB to load and this machine has 64 MiB left"):
        memory.require_room(stored)


def test_the_need_grows_with_the_weights():
    stored = case("bert").stored
    graph = (stored.artefact_dir() / "encoder.onnx").stat().st_size
    assert memory.bytes_to_load(stored) == 2 * graph + 128 * 2**20


def test_a_control_group_with_less_than_the_machine_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=10_000))
    group = (str(tmp_path), "memory.max", "memory.current", "inactive_file")
    monkeypatch.setattr(memory, "_GROUPS", (group,))
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500\n")
    (tmp_path / "memory.current").write_text("1500\n")
    (tmp_path / "memory.max").write_text("3000\n")
    assert memory.free_bytes() == 2000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes() == 10_000


def test_the_error_survives_the_way_between_processes():
    assert str(pickle.loads(pickle.dumps(DoesNotFit("m", 2**21, 2**20)))).startswith("Model 'm' needs 2 MiB")
