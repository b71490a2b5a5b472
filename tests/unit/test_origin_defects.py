"""One test for each defect of the product's predecessor that concerns judgement: what it did, and that it is not done here.

Numbers are sections of the facts that Muster was built from: 1.3 normalization and fusion, 1.4 confidence, 1.5 endpoints and
reasoning. Features, training and records have tests of their own.
"""

import random
import time

import pytest
import tiktoken.model

from deployments.reasoning.facts import LADDER, Facts
from deployments.reasoning.ledger import Caps, MemoryLedger
from deployments.reasoning.prompt import messages
from deployments.reasoning.tokens import TABLES, TokenCounter, encoding_for, load_counter, safe_limit
from deployments.skills.assessment import Evidence, Prediction
from deployments.skills.confidence import calibrated_spread, extremity
from deployments.skills.evidence import top_evidence
from deployments.skills.features import FEATURES, INDEX, SKILLS, FeatureSet
from deployments.skills.fusion import NO_OBSERVATIONS, fuse, fuse_skill
from deployments.skills.normalization import ROLE_SHARES, RULES
from deployments.skills.reasoning import explain
from deployments.skills.weight_book import WeightBook, weights_of
from deployments.skills.weights import DEFAULT_WEIGHTS, Weights


def predicted(skill, estimate, half_width=0.1):
    return Prediction(skill, estimate, estimate, estimate, (0.0,) * 26, half_width, 0.9, "v1", synthetic=True)


def row_of(**values):
    return FeatureSet(tuple(values.get(feature.name) for feature in FEATURES))


def best_of(skill):
    """A row on which every rule of a skill is at its best."""
    row = {}
    for rules in RULES[skill].values():
        for rule in rules:
            feature = FEATURES[INDEX[rule.feature]]
            row[rule.feature] = feature.high if rule.direction == 1 else feature.low
    return row_of(**row)


# -- 1.3 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skill", SKILLS)
def test_1_3_the_printed_formula_tops_out_at_945_and_this_one_does_not(skill):
    assert fuse_skill(best_of(skill), predicted(skill, 1.0, 0.0), DEFAULT_WEIGHTS[skill]).score > 0.99


def test_1_3_configured_weights_were_never_read_by_the_scoring():
    weights = dict(DEFAULT_WEIGHTS) | {"empathy": Weights(0.0, 0.9, 0.0, 0.1)}
    row = row_of(empathy_markers=0.9, collaboration_indicators=0)
    usual = fuse(row, {"empathy": predicted("empathy", 0.1)})["empathy"].score
    configured = fuse(row, {"empathy": predicted("empathy", 0.1)}, weights)["empathy"].score
    assert configured > usual + 0.3


def test_1_3_weights_of_a_file_arrive_where_the_score_is_made():
    body = {"weights": {"empathy": Weights(0.7, 0.1, 0.1, 0.1).to_json()}}
    weights, weighed_by = weights_of(WeightBook.parse(body).option("default"))
    assert weights["empathy"] == Weights(0.7, 0.1, 0.1, 0.1)
    assert weighed_by.name == "default"


def test_1_3_the_hard_coded_table_differed_from_the_documented_one_and_summed_to_more_than_one():
    assert DEFAULT_WEIGHTS["problem_solving"] == Weights(0.5, 0.2, 0.2, 0.1)
    assert all(sum(weights.to_json().values()) == pytest.approx(1.0) for weights in DEFAULT_WEIGHTS.values())


@pytest.mark.parametrize("skill", SKILLS)
def test_1_3_evidence_without_a_weight_counted_one_and_outweighed_the_main_item(skill):
    row = FeatureSet(tuple((feature.low + feature.high) / 2 for feature in FEATURES))
    items = fuse_skill(row, predicted(skill, 0.5), DEFAULT_WEIGHTS[skill]).evidence
    assert all(0 < item.weight < 1 for item in items)
    for shares in ROLE_SHARES.values():
        assert list(shares) == sorted(shares, reverse=True)


@pytest.mark.parametrize("skill", SKILLS)
def test_1_3_some_skills_had_no_linguistic_or_no_behavioural_evidence(skill):
    found = fuse_skill(best_of(skill), predicted(skill, 0.5), DEFAULT_WEIGHTS[skill])
    assert found.sources_missing == ()
    assert len({item.source for item in found.evidence}) == 3


def test_1_3_retries_had_no_direction():
    few, many = row_of(retry_count=0), row_of(retry_count=5)
    for skill, better in (("problem_solving", few), ("resilience", many)):
        worse = many if better is few else few
        scores = [fuse_skill(row, predicted(skill, 0.5), DEFAULT_WEIGHTS[skill]).score for row in (better, worse)]
        assert scores[0] > scores[1]


def test_1_3_negative_sentiment_had_no_direction():
    calm, upset = (
        fuse_skill(row_of(negative_sentiment=v), predicted("resilience", 0.5), DEFAULT_WEIGHTS["resilience"])
        for v in (0.0, -0.4)
    )
    assert calm.score > upset.score


def test_1_3_evidence_was_counted_instead_of_normalised():
    """A share of words one deviation above the mean is worth .731, not count / 10."""
    (item,) = [
        item
        for item in fuse_skill(
            row_of(empathy_markers=0.23), predicted("empathy", 0.5), DEFAULT_WEIGHTS["empathy"]
        ).evidence
        if item.feature == "empathy_markers"
    ]
    assert item.score == pytest.approx(0.731059, abs=1e-6)


def test_1_3_evidence_had_fixed_confidences():
    few, many = (
        fuse_skill(row_of(empathy_markers=0.2, word_count=n), predicted("empathy", 0.5), DEFAULT_WEIGHTS["empathy"])
        for n in (10, 1000)
    )
    confidence = [next(i.confidence for i in f.evidence if i.feature == "empathy_markers") for f in (few, many)]
    assert confidence[0] < 0.2 < 0.9 < confidence[1]


def test_1_3_nothing_observed_is_the_model_alone_with_little_confidence_and_a_warning():
    alone = fuse_skill(FeatureSet((None,) * 25), predicted("empathy", 0.9), DEFAULT_WEIGHTS["empathy"])
    assert (alone.confidence, alone.warnings) == (0.3, (NO_OBSERVATIONS,))


# -- 1.4 ---------------------------------------------------------------------------------------------------------------


def test_1_4_half_of_the_confidence_never_counted_and_was_a_constant():
    """The spread is that of the calibrated interval, and it moves the confidence by half of its own change."""
    row, weights = best_of("empathy"), DEFAULT_WEIGHTS["empathy"]
    narrow, wide = (fuse_skill(row, predicted("empathy", 0.5, half), weights).confidence for half in (0.05, 0.35))
    assert narrow - wide == pytest.approx(0.5 * (calibrated_spread(0.05) - calibrated_spread(0.35)))


def test_1_4_the_extremity_part_was_inverted():
    assert extremity(0.5) == 1.0
    assert extremity(0.0) == extremity(1.0) == 0.5
    assert extremity(0.1) == pytest.approx(0.75)


# -- 1.5 ---------------------------------------------------------------------------------------------------------------


async def test_1_5_the_limiter_never_limited():
    """It refilled on every call without moving its timestamp: 600 of 600 calls passed in a minute at ten a second."""
    now = [1_000_000.0]
    ledger, passed = MemoryLedger(Caps(), lambda: now[0]), 0
    for _ in range(600):
        passed += (await ledger.permit(0)).refusal is None
        now[0] += 0.1
    assert passed == 50


async def test_1_5_the_hour_s_limit_did_not_hold_either():
    """3,001 of 3,000 calls passed its bucket for the hour."""
    now = [1_000_000.0]
    ledger, passed = MemoryLedger(Caps(), lambda: now[0]), 0
    for _ in range(3000):
        passed += (await ledger.permit(0)).refusal is None
        now[0] += 1.2
    assert passed <= 501, "500 in any hour; the first leaves the window as the last asks"


def test_1_5_truncation_sorted_by_a_field_that_items_do_not_have():
    """``strength`` does not exist: an AttributeError as soon as there was more evidence than the most."""
    items = [
        Evidence("linguistic_features", "linguistic", f"f{i}", "", 0.5, 1, 1, random.Random(i).random())
        for i in range(40)
    ]
    chosen = top_evidence(items)
    assert [item.rank for item in chosen] == sorted((item.rank for item in items), reverse=True)[:5]


def test_1_5_truncation_goes_from_all_to_ten_to_five_to_three():
    evidence = [{"observation": f"o{i}", "observed_level": 0.5} for i in range(40)]
    facts = Facts("empathy", {"score": 0.5}, evidence)
    assert [len(facts.told(most)["evidence"]) for most in LADDER] == [40, 10, 5, 3]
    assert [item["observation"] for item in facts.told(3)["evidence"]] == ["o0", "o1", "o2"]
    sizes = [TokenCounter(None).count(messages(facts.told(most), "f")) for most in LADDER]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-5-mini", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-6.1", "o200k_base"),
        ("org/some-model", "o200k_base"),
    ],
)
def test_1_5_gpt_4o_was_counted_with_the_table_of_gpt_4(model, encoding):
    assert encoding_for(model) == encoding


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "gpt-4", "gpt-3.5-turbo", "o3-mini"])
def test_1_5_the_table_is_the_one_that_tiktoken_itself_names(model):
    assert encoding_for(model) == tiktoken.model.encoding_name_for_model(model)


def test_1_5_counting_never_fetches_a_table(tmp_path, monkeypatch):
    """tiktoken would fetch it with no time limit; a table that is missing or wrong means an estimate."""
    monkeypatch.setattr("tiktoken.load.read_file", lambda path: pytest.fail(f"fetched {path}"))
    assert load_counter("gpt-4o", None).estimated
    assert load_counter("gpt-4o", tmp_path).estimated
    wrong = tmp_path / TABLES["o200k_base"][0]
    wrong.write_text("not the table")
    counter = load_counter("gpt-4o", tmp_path)
    assert counter.estimated
    assert wrong.exists(), "tiktoken deletes what it does not trust"
    assert counter.count([{"role": "user", "content": "x" * 35}]) == 2 + 10 + 4 + 2


def test_1_5_limits_of_models():
    known = ("gpt-4o-mini", "gpt-4-turbo", "gpt-4", "gpt-3.5-turbo", "else")
    assert [safe_limit(model) for model in known] == [120_000, 120_000, 6_000, 14_000, 100_000]


@pytest.mark.parametrize("skill", SKILLS)
def test_1_5_template_bands_are_those_of_the_score(skill):
    for estimate in (0.1, 0.4, 0.6, 0.9):
        fused = fuse_skill(FeatureSet((None,) * 25), predicted(skill, estimate), DEFAULT_WEIGHTS[skill])
        assert fused.band in explain(fused).text


async def test_1_5_a_refusal_of_the_limiter_is_no_exception():
    ledger = MemoryLedger(Caps(per_minute=1), time.time)
    await ledger.permit(0)
    refused = await ledger.permit(0)
    assert refused.refusal == "minute_limit"
    assert 59 < refused.wait_s <= 61
