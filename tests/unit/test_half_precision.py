"""16 bits: poolings where the states are, the fp16 engine (here on the CPU), and the gate that it serves behind."""

from functools import cache

import numpy as np
import pytest
import tiny_classifiers
import tiny_models
import torch
from eight_bits import LABELS, own_store, quantized, sentences, write_pairs, write_texts
from encoder_checks import TEXTS, around_the_limit
from fake_cuda import FakeCuda
from hypothesis import given
from hypothesis import strategies as st
from tiny_classifiers import classifier, nli
from tiny_models import FAMILIES, MAX_TOKENS, case, settings

from deployments.engines.device import CPU, Device
from deployments.engines.encoders import load_encoder
from deployments.engines.packed_encoder import PackedEncoder
from deployments.engines.pooling import _POOLERS, Head, normalize
from deployments.engines.torch_pooling import pool
from deployments.errors import EngineFault, UnusableData
from deployments.half_precision import halve
from deployments.memory import _weight_bytes
from deployments.replica import _load
from model_store import gate
from model_store.catalogue import load_catalogue
from model_store.eight_bit import EightBit, precision_of, sixteen_bit_here
from model_store.errors import ConversionFailed, GateClosed
from model_store.lock import Manifest
from model_store.machine import Gpu, Machine
from model_store.plan import make_plan
from serve_app.planned import ENGINES, planned_topology, read_template, warnings
from serve_app.stored_gates import StoredGates

KEY = "tiny-halved"
CLOSE = 0.02
"""Of components of directions, and of logits relative to the largest: three decimal digits through two layers whose weights
are twenty times as wide as a trained model's."""


# -- poolings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _POOLERS)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 9))
def test_pooling_on_the_device_equals_pooling_in_numpy(mode, lengths, seed):
    hidden = np.random.default_rng(seed).normal(size=(sum(lengths), 16)).astype(np.float32)
    sizes = np.array(lengths)
    starts = np.cumsum(sizes) - sizes
    found = pool((mode,), *map(torch.from_numpy, (hidden, starts, sizes)))
    assert found.dtype == torch.float32
    assert np.abs(found.numpy() - Head((mode,), ())(hidden, starts, sizes)).max() <= 1e-5


def test_sums_of_16_bits_are_taken_in_32():
    """In 16 bits 2048 + 1 is 2048."""
    hidden = torch.ones((4096, 8), dtype=torch.float16)
    for mode, expected in (("mean", 1.0), ("mean_sqrt_len_tokens", 64.0), ("weightedmean", 1.0)):
        found = pool((mode,), hidden, torch.tensor([0]), torch.tensor([4096]))
        assert torch.allclose(found, torch.full((1, 8), expected), rtol=1e-5)


# -- the engine --------------------------------------------------------------------------------------------------------


def half(stored, device="cpu"):
    from dataclasses import replace

    loaded = PackedEncoder(replace(stored, precision="fp16"), settings(), device)
    loaded.load()
    return loaded


@cache
def both(kind, name):
    stored = {"embedding": case, "classification": classifier, "zero-shot": nli}[kind](name).stored
    exact = PackedEncoder(stored, settings())
    exact.load()
    return exact, half(stored)


def inputs(kind, texts):
    return [{"text": text, "labels": [*LABELS]} for text in texts] if kind == "zero-shot" else texts


MODELS = [
    *(("embedding", name) for name in FAMILIES),
    *(("classification", name) for name in tiny_classifiers.FAMILIES),
    ("zero-shot", "bert"),
    ("zero-shot", "bart"),
]


@pytest.mark.parametrize(("kind", "name"), MODELS)
def test_answers_in_16_bits_are_close_and_do_not_depend_on_the_batch(kind, name):
    exact, reduced = both(kind, name)
    texts = inputs(kind, [*TEXTS, *around_the_limit(MAX_TOKENS), *sentences(20)])
    found, wanted = reduced.encode(texts), exact.encode(texts)
    alone = np.concatenate([reduced.encode([text]) for text in texts])
    assert found.dtype == np.float32
    assert not np.array_equal(found, wanted)
    for other in (wanted, alone):
        scaled = (normalize(found), normalize(other)) if kind == "embedding" else (found, other)
        assert np.abs(scaled[0] - scaled[1]).max() <= CLOSE


def test_it_says_that_it_is_in_16_bits():
    assert both("embedding", "bert")[1].describe().backend == "torch-cpu-fp16"
    assert next(both("embedding", "bert")[1]._model.parameters()).dtype == torch.float16


def test_the_passes_of_a_call_come_back_together(monkeypatch):
    engine = half(case("bert").stored)
    engine.budget, fetched = 30, []
    fetch = engine._fetch
    monkeypatch.setattr(engine, "_fetch", lambda rows: fetched.append(len(rows)) or fetch(rows))
    texts = sentences(12)
    found = engine.encode(texts)
    assert fetched == [12]
    assert np.abs(found - both("embedding", "bert")[1].encode(texts)).max() <= CLOSE


def test_weights_in_16_bits_take_half_the_room():
    from dataclasses import replace

    stored, device = case("bert").stored, Device("cuda", 0.5)
    assert 2 * _weight_bytes(replace(stored, precision="fp16"), device) == _weight_bytes(stored, device)


# -- the gate ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    spec = tiny_models.spec_of(tiny_models.build("bert", tmp_path / "model"), KEY)
    return own_store(spec, tmp_path / "store")


def halved(store, folder, cuda=None, key=KEY, labels=()):
    """Judged by toy data, as if this CPU were a GPU; toys rank by chance, so whatever they lose is allowed."""
    task = store.open(key).task
    data = write_pairs(folder / "pairs.csv") if task == "embedding" else write_texts(folder / "texts.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deployments.accuracy.ALLOWED_POINTS", dict.fromkeys(gate.ALLOWED_POINTS, 100.0))
        return halve(store, key, data, settings(), lambda line: None, labels, cuda or FakeCuda(), "cpu")


def test_it_serves_in_16_bits_on_the_gpu_where_the_gate_passed(store, tmp_path):
    found = halved(store, tmp_path)
    assert found.passed
    assert (found.precision, found.processor, found.items) == ("fp16", "Fake GPU", 120)
    assert found.runtime.startswith("torch ")
    assert set(found.speed) == {"short_text", "mixed_texts"}
    assert store.gate(KEY, "fp16") == found
    exact, stored = store.open(KEY), store.open(KEY, "fp16", "Fake GPU")
    assert (stored.precision, stored.revision) == ("fp16", f"{exact.revision}+fp16")
    engine = PackedEncoder(stored, settings())
    engine.load()
    engine.warm()
    assert engine.facts.golden[1]["embedding"] != load_encoder(exact, settings()).facts.golden[1]["embedding"]
    assert store.verify(KEY).ok


def test_golden_answers_in_16_bits_that_moved_are_found(store, tmp_path):
    halved(store, tmp_path)
    engine = PackedEncoder(store.open(KEY, "fp16", "Fake GPU"), settings())
    engine.load()
    engine._model.encoder.layer[0].output.dense.weight.data *= 1.5
    with pytest.raises(EngineFault, match="golden embeddings"):
        engine.warm()


@pytest.mark.parametrize(
    ("gpu", "torch_now", "told"),
    [("Other GPU", None, "another GPU (Fake GPU)"), ("Fake GPU", "torch 99", "another torch (torch ")],
)
def test_another_gpu_or_torch_closes_it(store, tmp_path, monkeypatch, gpu, torch_now, told):
    halved(store, tmp_path)
    assert store.why_closed(KEY, "fp16", "Fake GPU") is None
    if torch_now:
        monkeypatch.setattr(gate, "torch_runtime", lambda: torch_now)
    why = store.why_closed(KEY, "fp16", gpu)
    assert told in why
    assert why.endswith(f"`muster models quantize {KEY} --precision fp16`")
    with pytest.raises(GateClosed, match="fewer bits"):
        store.open(KEY, "fp16", gpu)


def test_a_failed_gate_keeps_its_figures_alone(store, tmp_path):
    data = write_pairs(tmp_path / "pairs.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deployments.accuracy.ALLOWED_POINTS", dict.fromkeys(gate.ALLOWED_POINTS, -100.0))
        assert not halve(store, KEY, data, settings(), print, (), FakeCuda(), "cpu").passed
    made = store.path(KEY) / Manifest.read(store.path(KEY), KEY).fp16.folder
    assert [path.name for path in made.iterdir()] == ["gate.json"]
    with pytest.raises(GateClosed, match="gate failed"):
        store.open(KEY, "fp16", "Fake GPU")


def test_both_gates_live_side_by_side(store, tmp_path):
    halved(store, tmp_path)
    assert StoredGates(store)(KEY)["precision"] == "fp16"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deployments.accuracy.ALLOWED_POINTS", dict.fromkeys(gate.ALLOWED_POINTS, 100.0))
        quantized(store, KEY, tmp_path)
    assert {store.open(KEY, "int8").precision, store.open(KEY, "fp16", "Fake GPU").precision} == {"int8", "fp16"}
    assert StoredGates(store)(KEY, "onnxruntime-cpu-int8")["precision"] == "int8"
    assert StoredGates(store)(KEY, "torch-cuda-fp16")["precision"] == "fp16"
    halved(store, tmp_path)
    assert store.why_closed(KEY) is None
    assert store.verify(KEY).ok


@pytest.mark.parametrize(("task", "labels"), [("classification", ()), ("zero-shot", LABELS)])
def test_classifiers_are_judged_by_their_labels(tmp_path, task, labels):
    names = tiny_classifiers.NLI_LABELS if task == "zero-shot" else ("good", "bad", "odd")
    folder = tiny_classifiers.build("roberta", tmp_path / "model", names, tiny_classifiers.NLI_TOKENS)
    spec = tiny_classifiers.spec_for(folder, KEY, task)
    store = own_store(spec, tmp_path / "store")
    found = halved(store, tmp_path, labels=labels)
    assert (found.metric, found.before, found.mean_cosine) == ("label_agreement", 1.0, None)
    assert found.after > 0.9


@pytest.mark.parametrize(
    ("cuda", "told"),
    [
        (FakeCuda(trouble="torch finds no CUDA device"), "there is none here: torch finds no CUDA device"),
        (FakeCuda(name="Tesla T4", flash=False), "Tesla T4 has no attention in 16 bits"),
    ],
)
def test_without_such_a_gpu_there_is_nothing_to_judge(store, tmp_path, cuda, told):
    with pytest.raises(ConversionFailed, match=told):
        halved(store, tmp_path, cuda)
    assert store.gate(KEY, "fp16") is None


def test_data_and_models_that_cannot_be_judged(store, tmp_path):
    with pytest.raises(UnusableData, match="line 1: it has 1 columns"):
        halve(store, KEY, write_texts(tmp_path / "texts.txt"), settings(), print, (), FakeCuda(), "cpu")
    spec = tiny_models.spec_of(tiny_models.build("unknown-module", tmp_path / "unknown"), "tiny-unknown")
    unknown = own_store(spec, tmp_path / "other")
    with pytest.raises(ConversionFailed, match="no 16-bit backend"):
        halved(unknown, tmp_path, key="tiny-unknown")


def test_converting_again_closes_the_gate_and_says_so(store, tmp_path, monkeypatch):
    from model_store import convert

    halved(store, tmp_path)
    spec, told = store._known().models[0], []
    monkeypatch.setattr(convert, "RECIPE", "next")
    own_store(spec, tmp_path / "store").adopt(spec)
    assert Manifest.read(store.path(KEY), KEY).fp16 is None
    halved(store, tmp_path)
    monkeypatch.setattr(convert, "RECIPE", "after that")
    store.adopt(spec, told.append)
    assert f"{KEY}: its 16-bit gate goes; `muster models quantize {KEY} --precision fp16` runs it again" in told


def test_a_replica_without_a_gpu_refuses_16_bits():
    with pytest.raises(GateClosed, match="no 16-bit backend on CPU"):
        _load("any", CPU, "fp16")


def test_a_replica_asks_for_the_gate_of_its_gpu(store, tmp_path, monkeypatch):
    """Up to the engine, which needs the device."""
    halved(store, tmp_path)
    loaded = []

    class Warm:
        def warm(self):
            pass

    def load(stored, settings, device):
        loaded.append((stored.precision, device.kind))
        return Warm()

    monkeypatch.setenv("MUSTER_HOME", str(tmp_path))
    for name in ("deployments.replica.TorchCuda", "deployments.memory.TorchCuda"):
        monkeypatch.setattr(name, FakeCuda)
    monkeypatch.setattr("deployments.replica.load_encoder", load)
    _load(KEY, Device("cuda", 0.5), "fp16")
    assert loaded == [("fp16", "cuda")]
    monkeypatch.setattr("deployments.replica.TorchCuda", lambda: FakeCuda(name="Other GPU"))
    with pytest.raises(GateClosed, match="another GPU"):
        _load(KEY, Device("cuda", 0.5), "fp16")


# -- plans -------------------------------------------------------------------------------------------------------------

CATALOGUE = load_catalogue()
MINILM = "all-minilm-l6-v2"
TASKS = {spec.key: spec.task for spec in CATALOGUE.models}


@pytest.mark.parametrize(
    ("device", "request_", "state", "expected"),
    [
        ("gpu", "fp16", EightBit(None, 0.9), ("fp16", "")),
        ("gpu", "auto", EightBit(None, 1.5), ("fp16", "")),
        ("gpu", "auto", EightBit(None, 1.0), ("fp32", "16 bits were not measurably faster here (1.00 times fp32)")),
        ("gpu", "fp16", EightBit("gate failed"), ("fp32", "gate failed")),
        ("gpu", "fp16", None, ("fp32", f"gate not run: `muster models quantize {MINILM} --precision fp16`")),
        ("gpu", "int8", EightBit(None, 9.0), ("fp32", "no 8-bit backend on GPU")),
        ("cpu", "fp16", EightBit(None, 9.0), ("fp32", "no 16-bit backend on CPU")),
        ("gpu", "fp32", EightBit(None, 9.0), ("fp32", "")),
    ],
)
def test_what_a_model_runs_in(device, request_, state, expected):
    on_gpu = {MINILM: state} if state else {}
    assert precision_of(CATALOGUE.resolve(MINILM), device, request_, {}, on_gpu) == expected


def test_a_plan_serves_in_16_bits_on_a_gpu_what_passed_there():
    known = {MINILM: EightBit(None, 2.0)}
    machine = Machine(8, 32 * 1024, (Gpu("A10G", 23028),))
    plan = make_plan(machine, CATALOGUE, engines=ENGINES, precision="fp16", sixteen_bit=known)
    topology = planned_topology(plan, TASKS, read_template())
    args = {application["name"]: application.get("args") for application in topology["applications"]}
    placed = {placement.key: placement for placement in plan.placements}
    for key, placement in placed.items():
        assert placement.precision == ("fp16" if key == MINILM and placement.device == "gpu" else "fp32")
        assert (args.get(key, {}).get("precision", "fp32")) == placement.precision or key not in args
    told = warnings(plan)
    assert any("--precision fp16`" in line for line in told)
    # They run in 16 bits there anyway.
    assert not any(TASKS[line.partition(" ")[0]] == "generation" for line in told if " runs in fp32: " in line)


def test_what_is_known_here_is_what_the_store_holds(store, tmp_path):
    halved(store, tmp_path)
    known = sixteen_bit_here(store, "Fake GPU")[KEY]
    assert known.why_not is None
    assert known.slowest == min(store.gate(KEY, "fp16").speed.values())
    assert "another GPU" in sixteen_bit_here(store, "Other GPU")[KEY].why_not
