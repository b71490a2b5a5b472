"""Which device a replica computes on, by the share that it was given and by what is really there."""

import logging
from types import SimpleNamespace

import pytest
import torch
from fake_cuda import FakeCuda
from tiny_models import case, root
from tiny_models import settings as tiny_settings

from deployments import replica
from deployments.batching import BatchPolicy
from deployments.engines.cuda import TorchCuda, ran_out_of_memory
from deployments.engines.device import CPU, Device, choose_device
from deployments.engines.encoders import load_encoder
from deployments.engines.packed_encoder import PackedEncoder, pass_tokens
from deployments.errors import DoesNotFit


class Unasked:
    """A CUDA that must not be touched: torch alone takes seconds to import."""

    def __getattr__(self, name):
        raise AssertionError(name)


def test_without_a_share_nothing_is_asked_of_cuda():
    assert choose_device("m", 0.0, Unasked()) == CPU


@pytest.mark.parametrize(("share", "kept"), [(0.4, 0.4), (1.0, 1.0), (2.0, 1.0)])
def test_a_share_of_a_device_that_is_there_is_used(share, kept, caplog):
    assert choose_device("m", share, FakeCuda()) == Device("cuda", kept)
    assert caplog.records == []


def test_a_share_of_nothing_is_served_from_the_cpu_with_one_warning(caplog):
    with caplog.at_level(logging.INFO, "ray.serve.muster"):
        assert choose_device("m", 0.4, FakeCuda(trouble="torch finds no CUDA device")) == CPU
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == "m has 0.4 of a GPU and computes on the CPU all the same: torch finds no CUDA device."


def test_the_device_decides_about_the_engine(monkeypatch):
    stored, moved = case("bert").stored, []
    assert load_encoder(stored, tiny_settings(), CPU).describe().backend == "onnxruntime-cpu"
    # Only the move to the device needs one.
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: moved.append(device) or module)
    engine = load_encoder(stored, tiny_settings(), Device("cuda", 0.5))
    assert engine.describe().backend == "torch-cuda"
    assert moved == ["cuda"]


def test_torch_says_what_is_missing():
    if torch.cuda.is_available():
        assert TorchCuda().problem() is None
    elif torch.version.cuda is None:
        assert "built without CUDA" in TorchCuda().problem()
    else:
        assert "no CUDA device" in TorchCuda().problem()


@pytest.fixture
def cuda(monkeypatch):
    """A GPU of 8 GiB behind everything that a replica asks, and the store of the tests."""
    fake = FakeCuda()
    monkeypatch.setenv("MUSTER_HOME", str(root()))
    monkeypatch.setattr("deployments.memory.TorchCuda", lambda: fake)
    return fake


def test_a_replica_takes_hold_of_its_share_before_it_loads(cuda, monkeypatch):
    key, loads = case("minilm").stored.key, []

    def load(stored, settings, device):
        loads.append((stored.key, device, list(cuda.caps)))
        return SimpleNamespace(warm=lambda: None)

    monkeypatch.setattr(replica, "load_encoder", load)
    replica._load(key, Device("cuda", 0.5), "fp32")
    assert loads == [(key, Device("cuda", 0.5), [0.5 - 512 / 8192])]
    with pytest.raises(DoesNotFit, match="its share of the GPU"):
        replica._load(key, Device("cuda", 0.05), "fp32")
    assert len(loads) == 1


def test_a_batch_is_as_large_as_a_pass_of_the_device(monkeypatch):
    monkeypatch.setenv("MUSTER_TOKEN_BUDGET", "300")
    engine = PackedEncoder.__new__(PackedEncoder)
    engine.budget = 29_000
    assert replica._policy(CPU, engine) == BatchPolicy(budget=300, padded=True)
    assert replica._policy(Device("cuda", 0.5), engine) == BatchPolicy(budget=29_000, padded=False)
    assert replica._policy(Device("cuda", 0.5), SimpleNamespace()) == BatchPolicy(budget=16_384, padded=False)


@pytest.mark.parametrize(
    ("kind", "width", "tokens"),
    [("cpu", 384, 2_048), ("cuda", 384, 65_536), ("cuda", 768, 29_127), ("cuda", 1024, 16_384), ("cuda", 4096, 16_384)],
)
def test_a_pass_is_as_much_work_for_a_narrow_model_as_for_a_wide_one(kind, width, tokens):
    assert pass_tokens(kind, width) == tokens


@pytest.mark.parametrize(
    ("error", "expected"),
    [(torch.OutOfMemoryError("CUDA out of memory."), True), (MemoryError(), True), (RuntimeError("other"), False)],
)
def test_running_out_of_memory_is_told_from_other_faults(error, expected):
    assert ran_out_of_memory(error) is expected
