"""A model that does not fit is refused with the numbers before anything is loaded; on a GPU its share is enforced."""

import pickle
from types import SimpleNamespace

import pytest
from fake_cuda import FakeCuda
from tiny_models import case

from deployments import memory
from deployments.engines.device import Device
from deployments.errors import DoesNotFit

MIB = 2**20
HALF = Device("cuda", 0.5)


def minilm():
    return case("minilm").stored


def weights_of(stored):
    """Bytes of the weights, read with the library itself."""
    from safetensors import safe_open

    with safe_open(stored.files / "model.safetensors", "np") as file:
        return 4 * sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118 - no mapping


def test_a_model_that_fits_passes_and_one_that_does_not_is_refused_with_the_numbers(monkeypatch):
    stored = case("bert").stored
    memory.require_room(stored)
    monkeypatch.setattr(memory, "free_bytes", lambda: 64 * MIB)
    with pytest.raises(DoesNotFit, match=r"needs 128 MiB to load and this machine has 64 MiB left"):
        memory.require_room(stored)


def test_the_need_grows_with_the_weights():
    stored = case("bert").stored
    graph = (stored.artefact_dir() / "encoder.onnx").stat().st_size
    assert memory.bytes_to_load(stored) == 2 * graph + 128 * MIB
    assert memory.bytes_to_load(stored, HALF) == 2 * weights_of(stored) + 128 * MIB


@pytest.mark.parametrize(("left", "expected"), [(None, 10_000), (2000, 2000), (20_000, 10_000)])
def test_a_control_group_with_less_than_the_machine_decides(left, expected, monkeypatch):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=10_000))
    monkeypatch.setattr(memory.control_groups, "memory_left", lambda: left)
    assert memory.free_bytes() == expected


def test_the_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(DoesNotFit("m", 2**21, 2**20, "the GPU")))
    assert str(error).startswith("Model 'm' needs 2 MiB to load and the GPU has 1 MiB left")


def test_the_allocator_is_capped_at_the_share_without_the_context():
    cuda = FakeCuda(total=8192 * MIB)
    memory.require_room(minilm(), HALF, cuda)
    assert cuda.caps == [pytest.approx((0.5 * 8192 - 512) / 8192)]


def test_capped_shares_and_their_contexts_fit_side_by_side():
    total, shares, taken = 8192 * MIB, (0.4, 0.35, 0.25), 0
    for share in shares:
        cuda = FakeCuda(total=total)
        memory.require_room(minilm(), Device("cuda", share), cuda)
        taken += cuda.caps[0] * total + memory.CONTEXT
    assert taken <= total


def test_a_model_beyond_its_share_is_refused_with_the_numbers_and_caps_nothing():
    cuda = FakeCuda(total=8192 * MIB)
    needed = (weights_of(minilm()) + 128 * MIB) / MIB
    words = rf"needs {needed:.0f} MiB to load and its share of the GPU \(0\.08 of 8192 MiB\) has 143 MiB left"
    with pytest.raises(DoesNotFit, match=words):
        memory.require_room(minilm(), Device("cuda", 0.08), cuda)
    with pytest.raises(DoesNotFit, match=r"\(0\.01 of 8192 MiB\) has 0 MiB left"):
        memory.require_room(minilm(), Device("cuda", 0.01), cuda)
    assert cuda.caps == []


def test_a_gpu_that_others_have_filled_refuses_too():
    cuda = FakeCuda(free=100 * MIB)
    with pytest.raises(DoesNotFit, match=r"and the GPU has 100 MiB left"):
        memory.require_room(minilm(), HALF, cuda)
    assert cuda.caps == []


def test_a_gpu_does_not_replace_the_machines_own_memory(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 64 * MIB)
    with pytest.raises(DoesNotFit, match="this machine has 64 MiB left"):
        memory.require_room(minilm(), HALF, FakeCuda())
