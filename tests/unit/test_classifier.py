"""Classifiers of every family equal transformers' pipeline on both backends."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from encoder_checks import TEXTS, around_the_limit
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_classifiers import FAMILIES, ODD_LABELS, classifier, probabilities
from tiny_models import MAX_TOKENS, WORDS
from tiny_models import settings as tiny_settings

from deployments.engines.encoders import load_encoder
from deployments.engines.onnx_encoder import OnnxEncoder
from deployments.engines.packed_encoder import PackedEncoder
from deployments.errors import ContextLengthExceeded, EngineFault

TOLERANCE = 1e-5
BACKENDS = (OnnxEncoder, PackedEncoder)
# A typed </s> is plain text to us in every family; XLM-R's own vocabulary turns it into the token.
COMPARABLE = {name: [text for text in TEXTS if name != "xlm-roberta" or "<" not in text] for name in FAMILIES}


@cache
def engine(family: str, backend: type, problem: str | None = None, labels: tuple[str, ...] = ODD_LABELS):
    loaded = backend(classifier(family, labels, problem).stored, tiny_settings())
    loaded.load()
    return loaded


def assert_equal(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_equals_the_pipeline_batched_and_alone(family, backend):
    texts = [*COMPARABLE[family], *around_the_limit(MAX_TOKENS)]
    wanted = probabilities(classifier(family), texts)
    assert wanted.std(axis=0).max() > 0.03, "the toy answers the same to every text"
    found = engine(family, backend)
    assert_equal(found.encode(texts), wanted)
    assert_equal(found.encode(texts[::-1]), wanted[::-1])
    assert_equal(np.concatenate([found.encode([text]) for text in texts]), wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=10, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), min_size=1, max_size=20))
def test_random_batches_equal_the_pipeline(family, backend, texts):
    assert_equal(engine(family, backend).encode(texts), probabilities(classifier(family), texts))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("labels", "problem", "meaning"),
    [
        (ODD_LABELS, "multi_label_classification", "multi"),
        (ODD_LABELS, "single_label_classification", "single"),
        (("score",), "regression", "regression"),
        (("length", "depth"), "regression", "regression"),
        (("toxic",), None, "multi"),
    ],
)
def test_every_kind_of_problem_equals_the_pipeline(labels, problem, meaning, backend):
    texts = ["duty", "the engine of a model", "", "inspect " * 12]
    wanted = probabilities(classifier("roberta", labels, problem), texts)
    found = engine("roberta", backend, problem, labels)
    assert_equal(found.encode(texts), wanted)
    assert found.describe().details["problem"] == meaning
    found.warm()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_windows_are_the_weighted_mean_of_their_probabilities(family, backend):
    room, words = MAX_TOKENS - 2, ["a", "e", "o"]
    # Pieces of a letter a token, so that the windows' texts are known.
    parts = [" ".join([words[0]] * room), " ".join([words[1]] * room), " ".join([words[2]] * 5)]
    found = engine(family, backend)
    (item,) = found.prepare([" ".join(parts)], {"truncate": "window"})
    costs = [len(window) for window in item.payload]
    assert len(costs) >= 3
    alone = np.stack([found.run([replace(item, payload=(window,))])[0] for window in item.payload])
    together = found.run([item, *found.prepare(["a duty"], {})])
    wanted = np.array(costs) @ alone / sum(costs)
    assert_equal(together[0], wanted)
    assert together[0].sum() == pytest.approx(1, abs=1e-5)


def test_the_first_window_equals_the_pipeline():
    text = "engine " * 60
    (item,) = engine("bert", OnnxEncoder).prepare([text], {"truncate": "window"})
    (found,) = engine("bert", OnnxEncoder).run([replace(item, payload=item.payload[:1])])
    assert_equal(found[None], probabilities(classifier("bert"), [text]))


def test_too_long_a_text_is_an_error_unless_told_otherwise():
    good, bad = engine("bert", OnnxEncoder).prepare(["a", "a " * 50], {})
    assert good.cost == 3
    assert isinstance(bad, ContextLengthExceeded)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_warming_up_finds_a_moved_logit(family, backend):
    loaded = backend(classifier(family).stored, tiny_settings())
    loaded.load()
    loaded.warm()
    golden = [{**entry, "logits": [entry["logits"][0] + 0.01, *entry["logits"][1:]]} for entry in loaded.facts.golden]
    loaded.task.facts = replace(loaded.facts, golden=golden)
    with pytest.raises(EngineFault, match=r"golden logits of tiny-.* moved by"):
        loaded.warm()


def test_warming_up_looks_at_texts_together_and_alone():
    loaded = OnnxEncoder(classifier("bert").stored, tiny_settings())
    loaded.load()
    rows, seen = loaded._rows, []
    loaded._rows = lambda windows: [seen.append(len(windows)), rows(windows)][1]
    loaded.warm()
    assert seen == [2, 1, 1]


def test_it_describes_itself_with_the_models_own_labels():
    described = engine("bert", OnnxEncoder).describe()
    assert described.details == {"labels": list(ODD_LABELS), "problem": "single", "family": "bert"}
    assert described.limits == {"max_tokens": MAX_TOKENS}
    assert described.backend == "onnxruntime-cpu"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_store_keeps_the_graph_the_labels_and_golden_logits(family):
    stored = classifier(family).stored
    assert stored.task == "classification"
    facts = json.loads((stored.artefact_dir() / "encoder.json").read_text())
    assert facts["labels"] == list(ODD_LABELS)
    assert [len(golden["logits"]) for golden in facts["golden"]] == [len(ODD_LABELS)] * 2
    assert 0 <= facts["max_abs_diff"] < 1e-3


def test_the_plans_device_decides_the_backend():
    assert isinstance(load_encoder(classifier("bert").stored, tiny_settings()), OnnxEncoder)


@pytest.mark.parametrize("family", ["distilbert", "bart"])
def test_it_imports_neither_torch_nor_transformers(family):
    stored = classifier(family).stored
    code = f"""
import sys
from pathlib import Path
from deployments.engines.encoders import load_encoder
from deployments.settings import DeploymentSettings
from model_store.store import ModelStore
engine = load_encoder(ModelStore(Path({str(stored.folder.parent.parent)!r})).open({stored.key!r}), DeploymentSettings())
engine.warm()
engine.encode(["a text"])
print(sorted({{"torch", "transformers", "sentence_transformers", "ray"}} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
