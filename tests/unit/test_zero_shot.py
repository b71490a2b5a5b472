"""Zero-shot classification by NLI models of every family equals transformers' pipeline on both backends."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_classifiers import FAMILIES, NLI_LABELS, NLI_TOKENS, entailed, nli
from tiny_models import WORDS
from tiny_models import settings as tiny_settings

from deployments.engines.onnx_encoder import OnnxEncoder
from deployments.engines.packed_encoder import PackedEncoder
from deployments.errors import ContextLengthExceeded, EngineFault, InvalidInput
from deployments.replica import _input

BACKENDS = (OnnxEncoder, PackedEncoder)
LABELS = ["a model", "naive duty", "an engine of tokens", "{}", "a"]


def item(text: str = "the duty of a token", labels=LABELS, template: str = "it is {}.", multi: bool = False) -> dict:
    return {"text": text, "labels": list(labels), "hypothesis_template": template, "multi_label": multi}


@cache
def engine(family: str, backend: type = OnnxEncoder, labels: tuple[str, ...] = NLI_LABELS):
    loaded = backend(nli(family, labels).stored, tiny_settings())
    loaded.load()
    return loaded


def run(found, items: list[dict], truncate: str = "end") -> list[np.ndarray]:
    return list(found.run(found.prepare(items, {"truncate": truncate})))


def assert_equal(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == np.float32
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_equals_the_pipeline_batched_and_alone(family, backend):
    texts = ["the duty of a token", "a", "muster an engine, a model and a window!", "lower " * 5]
    items = [
        item(text, LABELS[:count], multi=multi) for text in texts for count in (1, 2, 5) for multi in (True, False)
    ]
    wanted = [entailed(nli(family), each) for each in items]
    found = engine(family, backend)
    assert_equal(run(found, items), wanted)
    assert_equal(run(found, items[::-1]), wanted[::-1])
    assert_equal([run(found, [each])[0] for each in items], wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join), min_size=1, max_size=6),
    labels=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True),
    multi=st.booleans(),
)
def test_random_items_equal_the_pipeline_cut_as_it_cuts(family, backend, texts, labels, multi):
    items = [item(text, labels, multi=multi) for text in texts]
    assert_equal(run(engine(family, backend), items), [entailed(nli(family), each) for each in items])


@pytest.mark.parametrize(
    "labels", [("entailment", "not_entailment"), ("ENTAIL", "b", "c"), ("x", "y", "z"), NLI_LABELS]
)
def test_the_models_own_numbers_decide_what_entailment_is(labels):
    for multi in (True, False):
        (found,) = run(engine("roberta", labels=labels), [item(multi=multi)])
        assert_equal([found], [entailed(nli("roberta", labels), item(multi=multi))])


def test_the_text_is_cut_for_each_label_and_never_the_label():
    long = item("engine " * 60, ["a", "an engine of many tokens and windows"])
    (prepared,) = engine("roberta").prepare([long], {"truncate": "end"})
    assert [len(window) for window in prepared.payload.windows] == [NLI_TOKENS] * 2
    assert prepared.cost == 2 * NLI_TOKENS
    assert prepared.report["kept"] == NLI_TOKENS
    # RoBERTa's toy has a token a byte, five special ones around a pair, one token for " a" and for "an".
    hypothesis = len("it is an engine of many tokens and windows.") - 2 * len("n") - 1
    assert prepared.report["tokens"] == pytest.approx(60 * len("engine ") + hypothesis + 4, abs=3)


def test_the_beginning_is_cut_when_asked():
    long = "lower " * 60 + "engine of duty"
    (found,) = run(engine("bert"), [item(long, ["a"])], "start")
    (prepared,) = engine("bert").prepare([item(long, ["a"])], {"truncate": "start"})
    window = prepared.payload.windows[0].tolist()
    (whole,) = engine("bert").prepare([item("engine of duty", ["a"])], {})
    # All but [CLS] of the short text's pair ends the cut one.
    assert window[-len(whole.payload.windows[0]) + 1 :] == whole.payload.windows[0].tolist()[1:]
    assert len(window) == NLI_TOKENS
    assert 0 <= found[0] <= 1


@pytest.mark.parametrize("family", ["bert", "bart"])
@pytest.mark.parametrize("multi", [True, False])
def test_windows_are_the_weighted_mean_of_their_scores(family, multi):
    labels, found = ["duty", "a naive token"], engine(family)
    (prepared,) = found.prepare([item("engine " * 90, labels, multi=multi)], {"truncate": "window"})
    pairs = prepared.payload
    assert len(pairs.weights) >= 2
    assert len(pairs.windows) == 2 * len(pairs.weights)
    assert prepared.report is None
    alone = [
        found.run([replace(prepared, payload=replace(pairs, windows=pairs.windows[2 * n : 2 * n + 2], weights=(1,)))])[
            0
        ]
        for n in range(len(pairs.weights))
    ]
    together = found.run([*found.prepare([item(multi=True)], {}), prepared, *found.prepare([item()], {})])
    assert_equal([together[1]], [np.array(pairs.weights) @ np.stack(alone) / sum(pairs.weights)])


def test_too_long_a_text_is_an_error_unless_told_otherwise():
    longest = NLI_TOKENS - 5 - len("it is.")
    fits, too_long = engine("bert").prepare([item("a " * n, ["a"]) for n in (longest + 1, 80)], {})
    assert not isinstance(fits, Exception)
    assert isinstance(too_long, ContextLengthExceeded)
    assert f"reads at most {NLI_TOKENS}" in str(too_long)


def test_around_the_limit_the_model_reads_every_token():
    found, sizes = engine("bert"), []
    for words in range(40, 70):
        (prepared,) = found.prepare([item("a " * words, ["a", "duty of"])], {})
        sizes.append(None if isinstance(prepared, Exception) else max(map(len, prepared.payload.windows)))
    assert sizes[sizes.index(None) - 1] == NLI_TOKENS
    assert all(size is None for size in sizes[sizes.index(None) :])


def test_a_label_without_room_is_an_error():
    for labels in (["a " * 100], ["a", "x" * 100_000]):
        for truncate in ("error", "end", "window"):
            (refused,) = engine("roberta").prepare([item("a", labels)], {"truncate": truncate})
            assert isinstance(refused, InvalidInput)
            assert refused.param == "labels"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ("a text", None),
        ({"labels": ["a"]}, None),
        ({"text": 7, "labels": ["a"]}, None),
        ({"text": "\ud800", "labels": ["a"]}, None),
        ({"text": "a", "labels": []}, "labels"),
        ({"text": "a", "labels": ["a", 7]}, "labels"),
        ({"text": "a", "labels": ["a", "\ud800"]}, "labels"),
        ({"text": "a", "labels": ["a"], "hypothesis_template": "no place"}, "hypothesis_template"),
        ({"text": "a", "labels": ["a"], "hypothesis_template": "{} or {}"}, "hypothesis_template"),
    ],
)
def test_a_bad_item_fails_alone(wrong, param):
    good, bad = engine("bert").prepare([item(), wrong], {})
    assert not isinstance(good, Exception)
    assert isinstance(bad, InvalidInput)
    assert bad.param == param


def test_an_unknown_truncation_is_refused():
    (refused,) = engine("bert").prepare([item()], {"truncate": "middle"})
    assert refused.param == "truncate"


def test_a_template_is_no_program():
    odd = item(labels=["a"], template="{0.__class__} {} {:>9}")
    (prepared,) = engine("roberta").prepare([odd], {})
    assert prepared.cost == len("the duty of a token") + len("{0.__class__} a {:>9}") + 4 - 2


def test_only_equal_questions_have_equal_keys():
    questions = [item(), item(multi=True), item(template="is it {}?"), item(labels=LABELS[:2]), item("a")]
    keys = {prepared.key for prepared in engine("bert").prepare([*questions, item()], {})}
    assert len(keys) == len(questions)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_warming_up_finds_a_moved_logit(family, backend):
    loaded = backend(nli(family).stored, tiny_settings())
    loaded.load()
    loaded.warm()
    golden = [{**entry, "hypothesis": "This is about a window."} for entry in loaded.facts.golden]
    loaded.task.facts = replace(loaded.facts, golden=golden)
    with pytest.raises(EngineFault, match=r"golden logits of tiny-.* moved by"):
        loaded.warm()


def test_a_number_that_is_not_finite_is_an_engine_fault():
    broken = OnnxEncoder(nli("bert").stored, tiny_settings())
    broken.load()
    broken._rows = lambda windows: np.full((len(windows), 3), np.nan, dtype=np.float32)
    with pytest.raises(EngineFault, match="not finite"):
        broken.encode([item()])


def test_nothing_in_nothing_out():
    assert engine("bert").run([]) == []


def test_replicas_probe_and_calibrate_it_with_a_label():
    (found,) = run(engine("bert"), [_input("zero-shot", "ok")])
    assert found.shape == (1,)
    assert _input("classification", "ok") == "ok"
