"""The torch engine, padding-free where the family allows it, equals sentence-transformers and the CPU engine."""

from functools import cache

import numpy as np
import pytest
from encoder_checks import TEXTS, around_the_limit, assert_equal, assert_texts_equal, embed, expected
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import FAMILIES, MAX_TOKENS, WORDS, case
from tiny_models import settings as tiny_settings

from deployments.engines.encoders import load_encoder
from deployments.engines.packed_encoder import PackedEncoder


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
    small._budget = 30
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
