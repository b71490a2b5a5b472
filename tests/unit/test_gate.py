"""The accuracy gate: who may serve in 8 bits, who may not and why, and what a plan makes of it."""

import json
import shutil
from dataclasses import replace

import pytest
import tiny_models
from eight_bits import own_store, quantized, write_pairs, write_texts
from tiny_models import settings

from deployments.engines.device import Device
from deployments.engines.encoders import load_encoder
from deployments.errors import EngineFault, UnusableData
from deployments.quantization import quantize
from deployments.replica import _load
from deployments.trial import Job, in_this_process
from model_store import convert, gate, processor
from model_store.catalogue import load_catalogue
from model_store.eight_bit import EightBit, eight_bit_here, precision_of
from model_store.errors import ConversionFailed, GateClosed, TamperedModel
from model_store.footprint import HEAD_ROOM, SERVE_MB
from model_store.gate import Gate
from model_store.lock import Manifest
from model_store.machine import Gpu, Machine
from model_store.plan import make_plan
from serve_app.planned import ENGINES, planned_topology, read_template, warnings
from serve_app.stored_gates import StoredGates

KEY = "tiny-gated"
FIGURES = Gate(
    metric="spearman",
    items=1500,
    before=0.86716,
    after=0.86698,
    drop_points=0.018,
    allowed_points=0.5,
    passed=True,
    mean_cosine=0.9988,
    speed={"short_text": 3.3, "mixed_texts": 2.2},
    processor="some processor",
    runtime="onnxruntime 0",
    data_sha256="0" * 64,
    measured_on="2026-11-21",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A toy model whose 8-bit graph passed, measured by its own trial."""
    folder = tmp_path_factory.mktemp("gated")
    spec = tiny_models.spec_of(tiny_models.build("bert", folder / "model"), KEY)
    store = own_store(spec, folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deployments.accuracy.ALLOWED_POINTS", dict.fromkeys(gate.ALLOWED_POINTS, 100.0))
        assert quantized(store, KEY, folder).passed
    return spec, store.root


@pytest.fixture
def store(made, tmp_path):
    """A copy, to be spoilt."""
    spec, root = made
    shutil.copytree(root, tmp_path / "store")
    return own_store(spec, tmp_path / "store")


def manifest_of(store):
    return Manifest.read(store.path(KEY), KEY)


def rejudged(**changes):
    """A trial that comes to other figures; the graph is a stand-in."""

    def trial(job: Job, say) -> None:
        from pathlib import Path

        (Path(job.target) / "encoder.onnx").write_bytes(b"graph")
        FIGURES.model_copy(update=changes).write(Path(job.target))

    return trial


def test_it_serves_in_8_bits_where_the_gate_passed(store):
    exact, eight = store.open(KEY), store.open(KEY, "int8")
    assert store.why_closed(KEY) is None
    assert eight.artefact_dir() != exact.artefact_dir()
    assert (eight.task, eight.revision) == ("embedding", f"{exact.revision}+int8")
    load_encoder(eight, settings()).warm()
    assert store.verify(KEY).ok
    found = store.gate(KEY)
    assert (found.metric, found.items, found.runtime) == ("spearman", 120, convert.runtime())
    assert found.drop_points == pytest.approx(100 * (found.before - found.after), abs=2e-3)
    assert set(found.speed) == {"short_text", "mixed_texts"}
    assert StoredGates(store)(KEY) == found.model_dump()
    assert StoredGates(store)("no-such-model") is None


def test_without_a_gate_it_refuses_and_names_the_command(tmp_path):
    spec = tiny_models.spec_of(tiny_models.build("bert", tmp_path / "model"), KEY)
    store = own_store(spec, tmp_path / "store")
    assert store.open(KEY).precision == "fp32"
    assert store.gate(KEY) is None
    with pytest.raises(GateClosed, match=rf"gate not run: `muster models quantize {KEY}`"):
        store.open(KEY, "int8")


def test_a_failed_gate_keeps_its_figures_and_no_graph(store, tmp_path):
    earlier = manifest_of(store).int8.folder
    found = quantized(store, KEY, tmp_path, rejudged(passed=False, drop_points=0.9))
    assert not found.passed
    now = manifest_of(store).int8.folder
    assert now == earlier, "the same graph of the same model on the same machine"
    assert store.verify(KEY).ok
    assert store.gate(KEY).drop_points == 0.9
    with pytest.raises(GateClosed, match=r"gate failed: drop 0.90 points, 0.50 allowed"):
        store.open(KEY, "int8")
    load_encoder(store.open(KEY), settings()).warm()


def test_a_real_trial_that_fails_leaves_the_gate_alone(store, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deployments.accuracy.ALLOWED_POINTS", dict.fromkeys(gate.ALLOWED_POINTS, -100.0))
        assert not quantized(store, KEY, tmp_path).passed
    made = store.path(KEY) / manifest_of(store).int8.folder
    assert [path.name for path in made.iterdir()] == ["gate.json"]


@pytest.mark.parametrize(
    ("target", "value", "told"),
    [
        ("model_store.convert.runtime", "onnxruntime 99", "gate run with another runtime (onnxruntime "),
        ("model_store.processor.kind", "x86_64 abacus", "gate run with another kind of processor ("),
    ],
)
def test_another_runtime_or_processor_closes_it(store, monkeypatch, target, value, told):
    monkeypatch.setattr(target, lambda: value)
    why = store.why_closed(KEY)
    assert why.startswith(told)
    assert why.endswith(f"`muster models quantize {KEY}`")
    with pytest.raises(GateClosed, match="another"):
        store.open(KEY, "int8")


def test_another_way_to_quantize_closes_it(store, monkeypatch):
    monkeypatch.setattr(gate, "RECIPE", "another")
    assert store.why_closed(KEY).startswith("gate run with another release: ")


def test_converting_again_takes_the_graph_with_it(made, tmp_path, monkeypatch):
    spec, root = made
    shutil.copytree(root, tmp_path / "store")
    monkeypatch.setattr(convert, "RECIPE", "next")
    store, told = own_store(spec, tmp_path / "store"), []
    assert manifest_of(store).int8 is None
    assert store.why_closed(KEY).startswith("gate not run")
    quantized(store, KEY, tmp_path, rejudged())
    assert manifest_of(store).int8 is not None
    monkeypatch.setattr(convert, "RECIPE", "after that")
    store.adopt(spec, told.append)
    assert manifest_of(store).int8 is None
    assert f"{KEY}: its 8-bit graph goes; `muster models quantize {KEY}` makes it again" in told


@pytest.mark.parametrize("name", ["encoder.onnx", "gate.json", "encoder.json"])
def test_a_changed_byte_is_found(store, name):
    path = store.path(KEY) / manifest_of(store).int8.folder / name
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(TamperedModel, match=name):
        store.open(KEY, "int8")


def test_a_moved_golden_answer_is_found(store):
    eight = load_encoder(store.open(KEY, "int8"), settings())
    golden = [{**each, "embedding": each["embedding"][::-1]} for each in eight.facts.golden]
    eight.task.facts = replace(eight.facts, golden=golden)
    with pytest.raises(EngineFault, match="golden embeddings"):
        eight.warm()


def test_a_model_that_changed_meanwhile_takes_no_graph(store, tmp_path):
    made_with = {**manifest_of(store).int8.made_with, "files": "others"}
    FIGURES.write(tmp_path)
    with pytest.raises(ConversionFailed, match="changed meanwhile"):
        store.attach(KEY, tmp_path, made_with)
    assert store.verify(KEY).ok


def test_a_signature_does_not_outlive_what_it_signed(store, tmp_path):
    (store.path(KEY) / "manifest.sig").write_bytes(b"signature")
    quantized(store, KEY, tmp_path, rejudged())
    assert not (store.path(KEY) / "manifest.sig").exists()
    assert store.verify(KEY).ok


def test_data_of_the_wrong_kind_costs_nothing(store, tmp_path):
    texts = write_texts(tmp_path / "texts.txt")
    with pytest.raises(UnusableData, match=r"line 1: it has 1 columns"):
        quantize(store, KEY, texts, settings(), print, trial=None)


def test_a_model_without_a_graph_has_no_8_bit_backend(tmp_path):
    spec = tiny_models.spec_of(tiny_models.build("unknown-module", tmp_path / "model"), KEY)
    store = own_store(spec, tmp_path / "store")
    with pytest.raises(ConversionFailed, match="no 8-bit backend"):
        quantize(store, KEY, write_pairs(tmp_path / "pairs.csv"), settings(), print)


def test_the_child_process_makes_what_this_one_makes(store, tmp_path):
    from deployments.trial import in_child_process

    pairs, lines = write_pairs(tmp_path / "pairs.csv"), []
    here = quantize(store, KEY, pairs, settings(), lines.append, trial=in_this_process)
    there = quantize(store, KEY, pairs, settings(), lines.append, trial=in_child_process)
    assert (here.before, here.after, here.passed) == (there.before, there.after, there.passed)
    if there.passed:
        assert store.process_bytes(KEY, "int8") > 2**20
    assert "measuring accuracy" in lines


def test_a_replica_on_a_gpu_refuses_8_bits():
    with pytest.raises(GateClosed, match="no 8-bit backend on GPU"):
        _load("any", Device("cuda", 0.5), "int8")


def test_kinds_of_processors(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A B C\nflags\t\t: fpu avx2 avx512_vnni sse\n\nflags : later\n")
    assert processor.name(cpuinfo) == "A B C"
    assert processor.kind(cpuinfo).split()[1:] == ["avx2", "avx512_vnni"]
    assert processor.kind(tmp_path / "missing").split()[1:] == []
    assert processor.name(tmp_path / "missing")


# -- plans -------------------------------------------------------------------------------------------------------------

CATALOGUE = load_catalogue()
TASKS = {spec.key: spec.task for spec in CATALOGUE.models}
MINILM = "all-minilm-l6-v2"
KNOWN = {
    MINILM: EightBit(None, slowest=1.6, replica_bytes=300 * 2**20),
    "emotion-english-distilroberta-base": EightBit("gate failed: drop 1.30 points, 1.00 allowed", slowest=2.0),
}
LAPTOP = Machine(4, 16 * 1024)
WITH_GPU = Machine(8, 32 * 1024, (Gpu("A10G", 23028),))


def plan_of(machine, request, known=KNOWN):
    plan = make_plan(machine, CATALOGUE, engines=ENGINES, precision=request, eight_bit=known)
    return plan, {placement.key: placement for placement in plan.placements}


def test_a_plan_is_in_fp32_unless_asked():
    plan, placed = plan_of(LAPTOP, "fp32")
    assert {placement.precision for placement in placed.values()} == {"fp32"}
    assert warnings(plan) == []
    topology = planned_topology(plan, TASKS, read_template())
    assert all("precision" not in application.get("args", {}) for application in topology["applications"])


def test_on_request_it_takes_8_bits_where_the_gate_passed_and_says_why_not_elsewhere():
    plan, placed = plan_of(LAPTOP, "int8")
    assert placed[MINILM].precision == "int8"
    assert placed[MINILM].memory_mb == 300 * HEAD_ROOM
    assert placed[MINILM].measured
    told = warnings(plan)
    assert not any(line.startswith(MINILM) for line in told)
    assert "emotion-english-distilroberta-base runs in fp32: gate failed: drop 1.30 points, 1.00 allowed." in told
    for key, placement in placed.items():
        if key != MINILM:
            assert placement.precision == "fp32"
            assert any(line.startswith(f"{key} runs in fp32: ") for line in told)
    topology = planned_topology(plan, TASKS, read_template())
    args = {application["name"]: application.get("args") for application in topology["applications"]}
    assert args[MINILM] == {"model": MINILM, "precision": "int8"}
    assert args["emotion-english-distilroberta-base"] == {"model": "emotion-english-distilroberta-base"}


def test_a_gpu_has_no_8_bit_backend():
    _, placed = plan_of(WITH_GPU, "int8", dict.fromkeys(TASKS, EightBit(None, slowest=9.0)))
    on_gpu = [placement for placement in placed.values() if placement.device == "gpu"]
    assert on_gpu
    assert {placement.why_fp32 for placement in on_gpu} == {"no 8-bit backend on GPU"}


@pytest.mark.parametrize(("slowest", "precision"), [(1.6, "int8"), (1.1, "int8"), (1.09, "fp32"), (0.8, "fp32")])
def test_auto_wants_it_faster_too(slowest, precision):
    known = {MINILM: EightBit(None, slowest=slowest)}
    found, why = precision_of(CATALOGUE.resolve(MINILM), "cpu", "auto", known)
    assert found == precision
    assert ("not measurably faster here" in why) == (precision == "fp32")
    assert precision_of(CATALOGUE.resolve(MINILM), "cpu", "int8", known) == ("int8", "")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("dialogpt-small", "no 8-bit backend for generation"),
        ("all-mpnet-base-v2", "gate not run: `muster models quantize all-mpnet-base-v2`"),
    ],
)
def test_why_a_model_stays_in_fp32(key, why):
    assert precision_of(CATALOGUE.resolve(key), "cpu", "int8", {}) == ("fp32", why)


def test_what_is_known_here_is_what_the_store_holds(store, tmp_path):
    known = eight_bit_here(store)[KEY]
    assert known.why_not is None
    assert known.slowest == min(store.gate(KEY).speed.values())
    assert known.replica_bytes is None, "made without measuring memory"
    memory = tmp_path / "made"
    shutil.copytree(store.path(KEY) / manifest_of(store).int8.folder, memory)
    (memory / "memory.json").write_text(json.dumps({"process_bytes": 2**20}))
    store.attach(KEY, memory, manifest_of(store).int8.made_with)
    assert eight_bit_here(store)[KEY].replica_bytes == (SERVE_MB + 1) * 2**20
    spoilt = store.path(KEY) / manifest_of(store).int8.folder / "gate.json"
    spoilt.chmod(0o644)
    spoilt.write_text("{}")
    assert "cannot be read as the record" in eight_bit_here(store)[KEY].why_not
    assert StoredGates(store)(KEY) is None
