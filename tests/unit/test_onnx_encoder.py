"""The CPU engine equals sentence-transformers, and needs neither torch nor transformers."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from encoder_checks import TEXTS, around_the_limit, assert_equal, assert_texts_equal, embed, expected
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import FAMILIES, MAX_TOKENS, WORDS, case
from tiny_models import settings as tiny_settings

from deployments.engines.encoders import load_encoder
from deployments.engines.grouping import packed_batches, padded_batches
from deployments.engines.onnx_encoder import OnnxEncoder
from deployments.engines.pooling import Head, UnknownModule, load_head, normalize
from deployments.engines.sentence_encoder import SentenceEncoder
from deployments.errors import ContextLengthExceeded, EngineFault, InvalidInput


@cache
def engine(name: str) -> OnnxEncoder:
    loaded = load_encoder(case(name).stored, tiny_settings())
    assert isinstance(loaded, OnnxEncoder)
    return loaded


# A typed </s> is plain text to us in every family; XLM-R's own vocabulary turns it into the token.
COMPARABLE = {name: [text for text in TEXTS if name != "xlm-roberta" or "<" not in text] for name in FAMILIES}


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
def test_it_equals_sentence_transformers(name):
    assert_texts_equal(engine(name), case(name).reference, COMPARABLE.get(name, TEXTS))


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
def test_it_equals_sentence_transformers_around_the_limit(name):
    limit = engine(name).describe().limits["max_tokens"]
    assert limit == case(name).reference.max_seq_length
    texts = around_the_limit(limit)
    costs = [item.cost for item in engine(name).prepare(texts, {"truncate": "end"})]
    assert max(costs) == limit
    assert_texts_equal(engine(name), case(name).reference, texts)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=12, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), min_size=1, max_size=20))
def test_random_batches_equal_sentence_transformers(name, texts):
    assert_equal(embed(engine(name), texts), expected(case(name).reference, texts))


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
def test_the_golden_texts_hold(name):
    engine(name).warm()


def test_a_moved_golden_text_is_an_engine_fault():
    moved = OnnxEncoder(case("bert").stored, tiny_settings())
    moved.load()
    golden = [{"text": "other text", "embedding": moved.facts.golden[1]["embedding"]}]
    moved.task.facts = replace(moved.facts, golden=golden)
    with pytest.raises(EngineFault, match="golden embeddings of tiny-bert moved"):
        moved.warm()


def test_a_number_that_is_not_finite_is_an_engine_fault():
    broken = OnnxEncoder(case("bert").stored, tiny_settings())
    broken.load()
    broken.head = lambda hidden, starts, lengths: np.full((len(starts), 32), np.nan, dtype=np.float32)
    with pytest.raises(EngineFault, match="not finite"):
        broken.encode(["a"])


def test_windows_are_the_weighted_mean_of_their_embeddings():
    room = MAX_TOKENS - 2
    parts = ["duty " * room, "engine " * room, "model " * 5]
    separate = embed(engine("bert"), parts)
    (item,) = engine("bert").prepare(["".join(parts)], {"truncate": "window"})
    (found,) = engine("bert").run([item])
    weights = np.array([MAX_TOKENS, MAX_TOKENS, 7], dtype=np.float32)
    assert np.abs(found - normalize((weights @ separate)[None])[0]).max() < 1e-5
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_windows_and_short_texts_share_a_batch():
    texts = ["duty", "a " * 100, "model"]
    items = engine("roberta").prepare(texts, {"truncate": "window"})
    together = engine("roberta").run(items)
    for item, found in zip(items, together, strict=True):
        assert np.allclose(found, engine("roberta").run([item])[0], atol=1e-4, rtol=1e-4)


def test_too_long_a_text_is_an_error_unless_told_otherwise():
    good, bad = engine("bert").prepare(["a", "a " * 50], {})
    assert good.cost == 3
    assert isinstance(bad, ContextLengthExceeded)
    with pytest.raises(ContextLengthExceeded):
        engine("bert").encode(["a " * 50], truncate="error")


def test_nothing_in_nothing_out():
    assert engine("bert").encode([]).shape == (0, 32)
    assert engine("bert").run([]) == []


def test_it_describes_itself():
    description = engine("minilm").describe()
    assert (description.model, description.backend) == ("all-minilm-l6-v2", "onnxruntime-cpu")
    assert description.limits == {"max_tokens": 256}
    assert description.details == {"dimensions": 384, "family": "bert"}
    assert len(description.revision) == 40


def test_it_imports_neither_torch_nor_transformers():
    stored = case("minilm").stored
    code = f"""
import sys
from pathlib import Path
from deployments.engines.encoders import load_encoder
from deployments.settings import DeploymentSettings
from model_store.store import ModelStore
early = {{"torch", "transformers", "onnxruntime", "ray"}} & set(sys.modules)
engine = load_encoder(ModelStore(Path({str(stored.folder.parent.parent)!r})).open({stored.key!r}), DeploymentSettings())
engine.warm()
engine.encode(["a text"])
late = {{"torch", "transformers", "sentence_transformers", "ray"}} & set(sys.modules)
print(sorted(early), sorted(late))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[] []"


# -- a model with a module that only sentence-transformers knows ------------------------------------------------------


def test_an_unknown_module_runs_through_sentence_transformers():
    stored, reference = case("unknown-module").stored, case("unknown-module").reference
    with pytest.raises(UnknownModule, match="LayerNorm"):
        load_head(stored.files)
    fallback = load_encoder(stored, tiny_settings())
    assert isinstance(fallback, SentenceEncoder)
    fallback.warm()
    assert_texts_equal(fallback, reference, [*TEXTS, *around_the_limit(MAX_TOKENS)])
    assert fallback.describe().limits == {"max_tokens": MAX_TOKENS}
    assert fallback.describe().backend == "sentence-transformers-cpu"


def test_the_fallback_reports_what_it_cuts():
    fallback = load_encoder(case("unknown-module").stored, tiny_settings())
    good, long, number, half = fallback.prepare(["a", "a " * 50, 7, "\ud800"], {})
    assert (good.cost, good.report) == (3, None)
    assert isinstance(long, ContextLengthExceeded)
    assert isinstance(number, InvalidInput)
    assert isinstance(half, InvalidInput)
    (cut,) = fallback.prepare(["a " * 50], {"truncate": "end"})
    assert (cut.cost, cut.report) == (MAX_TOKENS, {"tokens": 52, "kept": MAX_TOKENS})
    (refused,) = fallback.prepare(["a"], {"truncate": "window"})
    assert refused.param == "truncate"


# -- modules.json ------------------------------------------------------------------------------------------------------


def write_modules(folder, *modules) -> None:
    entries = [{"type": kind, "path": f"{number}_module"} for number, (kind, _) in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(entries))
    for number, (_, config) in enumerate(modules):
        (folder / f"{number}_module").mkdir()
        (folder / f"{number}_module/config.json").write_text(json.dumps(config))


BODY = ("sentence_transformers.models.Transformer", {})
MEAN = ("sentence_transformers.models.Pooling", {"pooling_mode_mean_tokens": True})
NORMALIZE = ("sentence_transformers.models.Normalize", {})


@pytest.mark.parametrize(
    "modules",
    [
        (BODY,),
        (BODY, NORMALIZE),
        (BODY, MEAN, ("somebody.elses.Module", {})),
        (
            BODY,
            MEAN,
            ("sentence_transformers.models.Dense", {"activation_function": "torch.nn.modules.activation.SELU"}),
        ),
        (BODY, MEAN, ("sentence_transformers.models.Normalize", {"module_input_name": "token_embeddings"})),
        (BODY, ("sentence_transformers.models.Pooling", {"pooling_mode": "mean", "include_prompt": False})),
        (BODY, ("sentence_transformers.models.Pooling", {"pooling_mode": "attention"})),
    ],
)
def test_what_is_not_known_is_not_guessed(tmp_path, modules):
    write_modules(tmp_path, *modules)
    with pytest.raises(UnknownModule):
        load_head(tmp_path)


def test_known_modules_make_a_head(tmp_path):
    write_modules(tmp_path, BODY, MEAN, NORMALIZE)
    head = load_head(tmp_path)
    assert head.normalizes
    hidden = np.array([[3, 0], [9, 0], [7, 7], [0, 2]], dtype=np.float32)
    found = head(hidden, np.array([0, 3]), np.array([2, 1]))
    assert found.tolist() == [[1, 0], [0, 1]]


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    mode=st.sampled_from(["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]),
    padded=st.booleans(),
)
def test_pooling_equals_sentence_transformers(lengths, mode, padded):
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling

    width = max(lengths)
    hidden = np.random.default_rng(sum(lengths)).normal(size=(len(lengths), width, 4)).astype(np.float32)
    mask = np.arange(width) < np.array(lengths)[:, None]
    features = {"token_embeddings": torch.from_numpy(hidden), "attention_mask": torch.from_numpy(mask.astype(np.int64))}
    wanted = Pooling(4, mode)(features)["sentence_embedding"].numpy()
    flat = hidden.reshape(-1, 4) if padded else hidden[mask]
    starts = np.arange(len(lengths)) * width if padded else np.cumsum(lengths) - lengths
    found = Head((mode,), ())(flat, starts, np.array(lengths))
    assert np.abs(found - wanted).max() < 1e-5


# -- grouping ----------------------------------------------------------------------------------------------------------

LENGTHS = st.lists(st.integers(1, 300), max_size=60)


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, budget=st.integers(1, 1024))
def test_batches_hold_every_text_once_within_the_budget(lengths, budget):
    for cut, size in ((padded_batches, lambda batch: lengths[batch[0]] * len(batch)), (packed_batches, None)):
        batches = cut(lengths, budget)
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        for batch in batches:
            of_batch = [lengths[index] for index in batch]
            assert of_batch == sorted(of_batch, reverse=True)
            cost = size(batch) if size else sum(of_batch)
            assert len(batch) == 1 or cost <= budget


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_padded_batches_cost_no_more_than_any_other_cut(lengths):
    def cost(batches: list[list[int]]) -> int:
        return sum(max(batch) * len(batch) + 24 for batch in batches)

    ordered = sorted(lengths, reverse=True)
    cheapest = float("inf")
    for cuts in range(2 ** (len(ordered) - 1)):
        batches = [[ordered[0]]]
        for position, length in enumerate(ordered[1:]):
            if cuts >> position & 1:
                batches.append([])
            batches[-1].append(length)
        if all(len(batch) == 1 or max(batch) * len(batch) <= 100 for batch in batches):
            cheapest = min(cheapest, cost(batches))
    found = [[lengths[index] for index in batch] for batch in padded_batches(lengths, 100, overhead=24)]
    assert cost(found) == cheapest
