"""Tokenising: the ids are sentence-transformers' own, cuts are reported, and nothing is quadratic."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import FAMILIES, MAX_TOKENS, WORDS, case

from deployments.engines.base import Prepared
from deployments.engines.tokens import MAX_WINDOWS, EncoderFacts, TokenReader
from deployments.errors import ContextLengthExceeded, InvalidInput

TYPED = ["[SEP]", "[CLS] a [PAD]", "a</s>", "<s> <pad> </s> <mask> <unk>", "[MASK] [UNK]"]


def reader(name: str) -> TokenReader:
    stored = case(name).stored
    return TokenReader(stored.artefact_dir(), EncoderFacts.read(stored.artefact_dir()), stored.key)


def ids(name: str, text: str, truncate: str = "end") -> list[int]:
    (item,) = reader(name).prepare([text], truncate)
    assert isinstance(item, Prepared), item
    assert item.cost == sum(map(len, item.payload))
    return np.concatenate(item.payload).tolist()


def reference_ids(name: str, text: str) -> list[int]:
    return case(name).reference.tokenizer(text, truncation=True)["input_ids"]


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=80) | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_ids_equal_the_reference(name, text):
    assert ids(name, text) == reference_ids(name, text)


@pytest.mark.parametrize("text", TYPED)
@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "mpnet", "minilm"])
def test_typed_special_tokens_equal_the_reference_that_splits_them(name, text):
    assert ids(name, text) == reference_ids(name, text)


@pytest.mark.parametrize("text", TYPED)
@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
def test_typed_special_tokens_never_become_special(name, text):
    tokenizer = case(name).reference.tokenizer
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    assert not special & set(ids(name, text)[1:-1])


@pytest.mark.parametrize("name", [*FAMILIES, "minilm"])
def test_long_texts_are_tokenised_in_pieces_with_the_same_ids(name):
    text = " ".join(np.random.default_rng(0).choice([*WORDS, "é漢", "a  b", "\u200b", "\nline"], 12_000))
    expected = case(name).reference.tokenizer(text, truncation=False, verbose=False)["input_ids"]
    (item,) = reader(name).prepare([text], "start")
    assert item.report == {"tokens": len(expected), "kept": item.cost}
    assert item.payload[0].tolist() == [expected[0], *expected[-item.cost + 1 :]]


@pytest.mark.parametrize("length", [MAX_TOKENS - 1, MAX_TOKENS, MAX_TOKENS + 1])
def test_the_limit_is_exact(length):
    text = "a " * (length - 2)
    (item,) = reader("bert").prepare([text], "error")
    if length <= MAX_TOKENS:
        assert item.cost == length
        assert item.report is None
    else:
        assert isinstance(item, ContextLengthExceeded)
        assert str(item) == f"The text has {length} tokens; tiny-bert reads at most {MAX_TOKENS}."


def test_ends_are_cut_and_reported():
    text = " ".join(["duty"] * 20 + ["engine"] * 20)
    duty, engine = (ids("bert", word)[1] for word in ("duty", "engine"))
    end, start = (reader("bert").prepare([text], truncate)[0] for truncate in ("end", "start"))
    assert end.report == start.report == {"tokens": 42, "kept": MAX_TOKENS}
    assert end.payload[0].tolist()[1:-1] == [duty] * 20 + [engine] * 2
    assert start.payload[0].tolist()[1:-1] == [duty] * 2 + [engine] * 20


def test_windows_cover_the_text_and_are_bounded():
    room = MAX_TOKENS - 2
    (item,) = reader("bert").prepare(["a " * (2 * room + 3)], "window")
    assert [len(window) for window in item.payload] == [MAX_TOKENS, MAX_TOKENS, 5]
    assert item.report is None
    fits, beyond = reader("bert").prepare(["a " * (room * MAX_WINDOWS), "a " * (room * MAX_WINDOWS + 1)], "window")
    assert len(fits.payload) == MAX_WINDOWS
    assert isinstance(beyond, ContextLengthExceeded)
    assert f"at most {room * MAX_WINDOWS + 2}" in str(beyond)


def test_equal_ids_have_equal_keys():
    first, same, other = reader("bert").prepare(["Duty", "duty ", "model"])
    assert first.key == same.key != other.key
    whole, cut = reader("bert").prepare(["a " * 22, "a " * 30], "end")
    assert whole.key == cut.key
    windows = reader("bert").prepare(["a " * 30], "window")[0]
    assert windows.key != cut.key


@pytest.mark.parametrize("bad", [None, 7, b"bytes", ["a"], "half \ud800 pair"])
def test_a_bad_input_fails_alone_and_is_not_repeated_in_the_message(bad):
    outcomes = reader("bert").prepare(["duty", bad, "model"])
    assert [type(outcome) for outcome in outcomes] == [Prepared, InvalidInput, Prepared]
    assert "half" not in str(outcomes[1])


def test_an_unknown_truncation_is_refused():
    (error,) = reader("bert").prepare(["a"], "middle")
    assert isinstance(error, InvalidInput)
    assert error.param == "truncate"


def test_no_text_in_messages():
    (error,) = reader("bert").prepare(["secretword " * 300])
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "text", ["word " * 1_000_000, "x" * 5_000_000, "é" * 2_500_000, "漢" * 500_000, " " * 5_000_000]
)
def test_five_megabytes_take_seconds_at_most(text):
    started = time.perf_counter()
    reader("minilm").prepare([text], "error")
    assert time.perf_counter() - started < 10
