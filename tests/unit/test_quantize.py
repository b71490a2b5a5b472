"""8-bit graphs: close to the exact ones, within bounds that arithmetic sets, and the same whatever shares their batch."""

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_classifiers
import tiny_models
from eight_bits import LABELS, own_store, quantized, sentences
from onnx import helper, numpy_helper

from deployments.engines.encoders import load_encoder
from deployments.engines.pooling import normalize
from model_store import gate
from model_store.activations import reaches
from model_store.multiplications import multiplications
from model_store.quantize import quantize

EMBEDDING = [f"embedding {family}" for family in tiny_models.FAMILIES]
CLASSIFYING = [f"classification {family}" for family in tiny_classifiers.FAMILIES]
MODELS = [*EMBEDDING, *CLASSIFYING, "zero-shot bert", "zero-shot bart"]


def spec_of(name):
    task, family = name.split()
    key = f"tiny-{task}-{family}"
    folder = tiny_models.root() / "to-quantize" / key
    folder.parent.mkdir(exist_ok=True)
    if task == "embedding":
        return tiny_models.spec_of(tiny_models.build(family, folder), key)
    labels = tiny_classifiers.NLI_LABELS if task == "zero-shot" else ("good", "bad", "odd")
    limit = tiny_classifiers.NLI_TOKENS if task == "zero-shot" else tiny_models.MAX_TOKENS
    return tiny_classifiers.spec_for(tiny_classifiers.build(family, folder, labels, limit), key, task)


@cache
def engines(name):
    """A toy model's exact and 8-bit engines; toys are judged by chance, so whatever they lose is allowed here."""
    spec = spec_of(name)
    folder = tiny_models.root() / "quantized" / spec.key
    folder.mkdir(parents=True)
    store = own_store(spec, folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deployments.accuracy.ALLOWED_POINTS", dict.fromkeys(gate.ALLOWED_POINTS, 100.0))
        assert quantized(store, spec.key, folder).passed
    exact, eight = (
        load_encoder(store.open(spec.key, precision), tiny_models.settings()) for precision in ("fp32", "int8")
    )
    return exact, eight


def inputs(name, texts):
    return [{"text": text, "labels": [*LABELS]} for text in texts] if name.startswith("zero-shot") else texts


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_close_to_the_exact_ones(name):
    exact, eight = (engine.encode(inputs(name, sentences(60, seed=7))) for engine in engines(name))
    assert not np.array_equal(exact, eight)
    if name in EMBEDDING:
        assert (normalize(exact) * normalize(eight)).sum(axis=1).min() > 0.98
    else:
        # Weights drawn at random make every label nearly as likely as another.
        assert np.abs(exact - eight).mean() < 0.03


@pytest.mark.parametrize("name", MODELS)
def test_an_answer_does_not_depend_on_the_texts_beside_it(name):
    _, eight = engines(name)
    texts = inputs(name, [*sentences(20, seed=3), "", "a " * 200])
    together = eight.encode(texts)
    assert np.abs(together - eight.encode(texts[::-1])[::-1]).max() < 1e-5
    assert np.abs(together - np.concatenate([eight.encode([text]) for text in texts])).max() < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_its_golden_answers_are_its_own(name):
    exact, eight = engines(name)
    eight.warm()
    key = "embedding" if name in EMBEDDING else "logits"
    assert eight.facts.golden[1][key] != exact.facts.golden[1][key]
    assert eight.facts.golden[1]["text"] == exact.facts.golden[1]["text"]


@pytest.mark.parametrize("name", MODELS)
def test_what_runs_for_every_token_is_in_8_bits_and_the_rest_is_not(name):
    exact, eight = (onnx.load(engine.stored.artefact_dir() / "encoder.onnx").graph for engine in engines(name))
    left = [each.node.name for each in multiplications(eight)]
    assert len(left) < len(multiplications(exact))
    if name in EMBEDDING:
        assert left == []
        assert {node.op_type for node in eight.node} & {"Gemm", "MatMul", "Attention"} <= {"MatMul"}
    else:
        # A classifier's answer is read off one row: its head and the last layer's dense parts.
        assert left
        assert not any(node.op_type == "Attention" for node in eight.node)


def test_it_says_that_it_is_in_8_bits():
    exact, eight = (engine.describe() for engine in engines("embedding bert"))
    assert (exact.backend, eight.backend) == ("onnxruntime-cpu", "onnxruntime-cpu-int8")
    assert eight.revision == f"{exact.revision}+int8", "whatever is kept by revision is kept apart"
    assert (eight.model, eight.limits, eight.details) == (exact.model, exact.limits, exact.details)


def graph_of(path, weights):
    """Normalisation -> multiplication -> activation -> multiplication, over (texts, length) ids; no torch in it."""
    width, inner = weights["up"].shape
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("LayerNormalization", ["embedded", "gain", "shift"], ["normed"], axis=-1),
        helper.make_node("Reshape", ["normed", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "up", "up_bias"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["active"]),
        helper.make_node("Gemm", ["active", "down", "down_bias"], ["output"]),
    ]
    tensors = {**weights, "flat": np.array([-1, width])}
    ids, mask = (helper.make_tensor_value_info(name, 7, ["b", "n"]) for name in ("input_ids", "attention_mask"))
    graph = helper.make_graph(
        nodes,
        "toy",
        [ids, mask],
        [helper.make_empty_tensor_value_info("output")],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    assert inner == weights["down"].shape[0]


def test_the_error_of_every_multiplication_stays_within_its_steps(tmp_path):
    """The reference is numpy on the exact weights; the bound follows from half a step of both operands."""
    random = np.random.default_rng(0)
    width, inner = 16, 32
    weights = {
        "table": random.normal(size=(50, width)),
        # One channel reaches much further than the others, as in real models.
        "gain": np.array([12.0, *np.ones(width - 1)]),
        "shift": random.normal(size=width) / 10,
        "up": random.normal(size=(width, inner)) / 4,
        "up_bias": random.normal(size=inner),
        "down": random.normal(size=(inner, width)) / 6,
        "down_bias": random.normal(size=width),
    }
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    source, target = tmp_path / "exact.onnx", tmp_path / "eight.onnx"
    graph_of(source, weights)
    batches = [(random.integers(0, 50, (4, 9)), np.ones((4, 9), dtype=np.int64)) for _ in range(20)]
    found = reaches(source, batches)
    assert sorted(found) == ["active", "rows"]
    assert quantize(source, target, found) == 2
    names = ["rows", "wide", "active", "output"]
    model = onnx.load(target)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names[:-1])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    ids, mask = batches[0]
    rows, wide, active, output = session.run(names, {"input_ids": ids, "attention_mask": mask})
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

    smoothing = tensors["rows/smoothing"]
    smooth = weights["up"] / smoothing[:, None]
    bound = _bound(rows * smoothing, tensors["rows/scale"] / 2, smooth, tensors["wide/weights_scale"] / 2)
    assert (np.abs(wide - (rows @ weights["up"] + weights["up_bias"])) <= bound).all()
    floor = max(-found["active"].low.min(), 1e-5)
    steps = np.maximum(active.max(axis=1, keepdims=True), floor) / 127 / 2
    bound = _bound(active, steps, weights["down"], tensors["output/weights_scale"] / 2)
    difference = np.abs(output - (active @ weights["down"] + weights["down_bias"]))
    assert (difference <= bound).all()
    assert difference.max() > bound.max() / 100, "the bound is one that could be missed"


def _bound(values, value_steps, weights, weight_steps):
    """|xw - (x+d)(w+e)| <= |d||w| + |x||e| + |d||e|, summed over the width; and rounding of float32."""
    ours = np.broadcast_to(value_steps, values.shape)
    theirs = np.broadcast_to(weight_steps, weights.shape)
    exact = ours @ np.abs(weights) + np.abs(values) @ theirs + ours @ theirs
    return exact * 1.001 + 1e-4


def test_padding_does_not_widen_the_scales(tmp_path):
    weights = {
        "table": np.eye(8, dtype=np.float32),
        "gain": np.ones(8, dtype=np.float32),
        "shift": np.zeros(8, dtype=np.float32),
        "up": np.eye(8, dtype=np.float32),
        "up_bias": np.zeros(8, dtype=np.float32),
        "down": np.eye(8, dtype=np.float32),
        "down_bias": np.zeros(8, dtype=np.float32),
    }
    graph_of(tmp_path / "exact.onnx", weights)
    ids, mask = np.array([[1, 2, 0, 0], [2, 1, 2, 1]]), np.array([[1, 1, 0, 0], [1, 1, 1, 1]])
    found = reaches(tmp_path / "exact.onnx", [(ids, mask)])
    # Token 0 alone would make channel 0 high.
    assert found["rows"].high[0] < 0 < found["rows"].high[1]
