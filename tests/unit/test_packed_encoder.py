"""The torch engine, padding-free where the family allows it, equals sentence-transformers and the CPU engine."""

from functools import cache

import numpy as np
import pytest
import torch
from encoder_checks import TEXTS, around_the_limit, assert_equal, assert_texts_equal, embed, expected
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import FAMILIES, MAX_TOKENS, WORDS, case
from tiny_models import settings as tiny_settings

from deployments.batching import BatchPolicy
from deployments.engines.encoders import load_encoder
from deployments.engines.packed_encoder import PackedEncoder
from deployments.errors import OutOfMemory
from deployments.host import EngineHost
from deployments.wire import Call, Piece


@cache
def engine(name: str) -> PackedEncoder:
    loaded = PackedEncoder(case(name).stored, tiny_settings())
    loaded.load()
    return loaded


# A typed </s> is plain text to us in every family; XLM-R's own vocabulary turns it into the token.
COMPARABLE = {name: [text for text in TEXTS if name != "xlm-roberta" or "<" not in text] for name in FAMILIES}


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
def test_it_equals_sentence_transformers(name):
    limit = engine(name).describe().limits["max_tokens"]
    texts = [*COMPARABLE.get(name, TEXTS), *around_the_limit(limit)]
    assert_texts_equal(engine(name), case(name).reference, texts)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=12, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), min_size=1, max_size=20))
def test_random_batches_equal_sentence_transformers(name, texts):
    assert_equal(embed(engine(name), texts), expected(case(name).reference, texts))


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
def test_both_engines_give_one_answer(name):
    cpu = load_encoder(case(name).stored, tiny_settings())
    texts = [*TEXTS, *around_the_limit(MAX_TOKENS)]
    assert_equal(engine(name).encode(texts), cpu.encode(texts))
    engine(name).warm()


def test_a_small_budget_cuts_passes_and_changes_nothing():
    small = PackedEncoder(case("bert").stored, tiny_settings())
    small.load()
    small.budget = 30
    texts = [" ".join(WORDS[:count]) for count in range(12)]
    assert_equal(small.encode(texts), engine("bert").encode(texts))


def test_no_token_is_padding():
    packed = engine("distilbert")
    seen = []
    original = packed._model.forward

    def spy(*args, **kwargs):
        seen.append(tuple(kwargs["input_ids"].shape))
        return original(*args, **kwargs)

    packed._model.forward = spy
    try:
        packed.encode(["duty", "duty model", "a an the", "a"])
    finally:
        packed._model.forward = original
    assert seen == [(1, 3 + 4 + 5 + 3)]


def test_windows_join():
    (item,) = engine("bert").prepare(["duty " * 60], {"truncate": "window"})
    (found,) = engine("bert").run([item])
    assert len(item.payload) == 3
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_it_says_where_it_runs():
    assert engine("bert").describe().backend == "torch-cpu"


async def test_a_pass_without_gpu_memory_fails_its_items_alone_and_the_replica_serves_on():
    """torch's own error out of the model's forward pass, as a capped allocator raises it."""
    tight = PackedEncoder(case("bert").stored, tiny_settings())
    tight.load()
    original = tight._model.forward

    def forward(*args, **kwargs):
        if kwargs["input_ids"].shape[1] > 12:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return original(*args, **kwargs)

    tight._model.forward = forward
    host = EngineHost(tight, BatchPolicy(budget=1000, padded=False), "a")
    texts = ["duty", " ".join(WORDS), "muster model", "a an the of"]
    reply = await host.answer(Call("interactive", [Piece("r", texts, {}, 30.0)]))
    await host.check()
    await host.close()
    [piece] = reply.pieces
    assert {index: type(error) for index, error in piece.errors.items()} == {1: OutOfMemory}
    assert "2.00 GiB" not in str(piece.errors[1])
    kept = [0, 2, 3]
    assert_equal(np.stack([piece.values[i] for i in kept]), engine("bert").encode([texts[i] for i in kept]))
