"""Evidence fusion against cases worked out by hand, and its promises on any input."""

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import InvalidInput
from deployments.skills.assessment import Evidence, Prediction, band_of
from deployments.skills.evidence import top_evidence
from deployments.skills.features import FEATURES, INDEX, SKILLS, FeatureSet
from deployments.skills.fusion import (
    DISAGREEMENT,
    NO_OBSERVATIONS,
    NO_WEIGHT,
    ONE_GROUP,
    fuse,
    fuse_skill,
    source_agreement,
)
from deployments.skills.normalization import RULES
from deployments.skills.weights import DEFAULT_WEIGHTS, Weights


def predicted(skill, estimate, half_width=0.1):
    return Prediction(skill, estimate, estimate, estimate, (0.0,) * 26, half_width, 0.9, "v1", synthetic=True)


def row_of(**values):
    return FeatureSet(tuple(values.get(feature.name) for feature in FEATURES))


# Each case was computed on paper. sigmoid(1) = .731059, sigmoid(3) = .952574, sigmoid(-1) = .268941.
#  confidence = .5 (1 - 2 x half_width) + .3 extremity + .2 (.5 + .5 x share of 25 features), then cap
CASES = {
    # ling .5, beh .6 x .5 + .4 x .25 = .4; (.5 x .6 + .25 x .5 + .15 x .4) / .9 = .538889
    # confidence .5 x .8 + .3 + .2 x .6 = .82; .538889 x (1 + .1 x .32) = .556133
    "typical empathy": (
        "empathy",
        0.6,
        {
            "empathy_markers": 0.15,
            "social_processes": 0.12,
            "positive_sentiment": 0.3,
            "collaboration_indicators": 5,
            "leadership_indicators": 2,
        },
        0.5561,
        0.82,
    ),
    # ling alone, one sd above: (.5 x .6 + .25 x .731059) / .75 = .643686; cap .60: x 1.01 = .650123
    "empathy without behaviour": (
        "empathy",
        0.6,
        {"empathy_markers": 0.23, "social_processes": 0.18, "positive_sentiment": 0.5},
        0.6501,
        0.60,
    ),
    # the same when the primary marker is missing as well: the others carry the source's whole weight
    "empathy without its primary marker": (
        "empathy",
        0.6,
        {"social_processes": 0.18, "positive_sentiment": 0.5},
        0.6501,
        0.60,
    ),
    # model alone: .6 x (1 + .1 x (.3 - .5)) = .588
    "empathy on the model alone": ("empathy", 0.6, {"time_efficiency": 1.0}, 0.588, 0.30),
    # ling at most: sigmoid(3); beh 1. (.5 + .2 x .952574 + .2) / .9 = .989461
    # confidence .5 x .8 + .3 x .5 + .2 x .62 = .674; x 1.0174 = 1.006677 -> 1. Undivided it would stop at .906
    "perfect problem solver": (
        "problem_solving",
        1.0,
        {
            "problem_solving_language": 0.9,
            "cognitive_processes": 0.9,
            "syntactic_complexity": 12,
            "task_completion_rate": 1,
            "time_efficiency": 3,
            "retry_count": 0,
        },
        1.0,
        0.674,
    ),
    # beh .5 x .5 + .3 x .5 + .2 x 0 = .4 with five retries; (.5 x .5 + .2 x .4) / .7 = .471429; x 1.01 = .476143
    "problem solver with retries": (
        "problem_solving",
        0.5,
        {"task_completion_rate": 0.5, "time_efficiency": 1.0, "retry_count": 5},
        0.4761,
        0.60,
    ),
    # beh .6 x .5 + .4 x .5 = .5: the same five retries are worth .5; (.5 x .5 + .25 x .5) / .75 = .5; x 1.01
    "resilient student with retries": ("resilience", 0.5, {"recovery_rate": 0.5, "retry_count": 5}, 0.505, 0.60),
    # ling one sd below on both (-.25 is more negative): .268941; (.25 + .15 x .268941) / .65 = .446679
    # x 1.01 = .451146
    "resilience with a negative tone": (
        "resilience",
        0.5,
        {"perseverance_indicators": 0.04, "negative_sentiment": -0.25},
        0.4511,
        0.60,
    ),
    # ling .6 x sigmoid(1) + .4 x sigmoid(-1) = .546212; beh .6 x .8 + .4 x .25 = .58
    # (.5 x .3 + .1 x .546212 + .3 x .58) / .9 = .420690; confidence .4 + .3 + .2 x .58 = .816; x 1.0316 = .433984
    "self-regulation": (
        "self_regulation",
        0.3,
        {"word_count": 225, "avg_sentence_length": 8, "distraction_resistance": 0.8, "focus_duration": 900},
        0.434,
        0.816,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_score_is_the_one_worked_out_by_hand(name):
    skill, estimate, values, score, confidence = CASES[name]
    fused = fuse(row_of(**values), {skill: predicted(skill, estimate)})[skill]
    assert fused.score == pytest.approx(score, abs=1e-4)
    assert fused.confidence == pytest.approx(confidence, abs=1e-4)
    assert fused.band == band_of(fused.score)


@pytest.mark.parametrize(
    ("score", "band"),
    [
        (0, "emerging"),
        (0.25, "emerging"),
        (0.26, "developing"),
        (0.5, "developing"),
        (0.51, "proficient"),
        (0.75, "proficient"),
        (0.76, "advanced"),
        (1, "advanced"),
    ],
)
def test_bands(score, band):
    assert band_of(score) == band


def test_a_zero_weight_everywhere_is_neutral_and_says_so():
    weights = Weights(0.0, 0.9, 0.0, 0.1)
    fused = fuse_skill(row_of(time_efficiency=1.0), predicted("empathy", 0.9), weights)
    assert (fused.score, fused.confidence, fused.evidence) == (0.5, 0.3, ())
    assert NO_WEIGHT in fused.warnings


def test_missing_sources_are_reported():
    alone = fuse(FeatureSet((None,) * 25), {"empathy": predicted("empathy", 0.5)})["empathy"]
    assert alone.sources_missing == ("linguistic_features", "behavioral_features")
    assert alone.warnings == (NO_OBSERVATIONS,)
    one = fuse(row_of(empathy_markers=0.2), {"empathy": predicted("empathy", 0.5)})["empathy"]
    assert one.sources_missing == ("behavioral_features",)
    assert one.warnings == (ONE_GROUP,)


def test_agreement_is_one_minus_twice_the_deviation():
    assert source_agreement([0.2, 0.4, 0.6]) == pytest.approx(1 - 2 * math.sqrt(0.08 / 3))
    assert source_agreement([0.4, 0.4, 0.4]) == pytest.approx(1.0)
    assert source_agreement([0.0, 1.0]) == 0.0
    assert source_agreement([0.7]) == 1.0


def test_sources_that_disagree_give_a_warning():
    row = row_of(empathy_markers=0.0, social_processes=0.0, positive_sentiment=-1.0, collaboration_indicators=10)
    assert DISAGREEMENT in fuse(row, {"empathy": predicted("empathy", 1.0)})["empathy"].warnings


def test_the_given_weights_are_the_ones_used():
    # The predecessor read its configurable weights nowhere.
    row = row_of(empathy_markers=0.9, collaboration_indicators=0)
    low = fuse(row, {"empathy": predicted("empathy", 0.5)}, {"empathy": Weights(0.1, 0.0, 0.9, 0.0)})["empathy"]
    high = fuse(row, {"empathy": predicted("empathy", 0.5)}, {"empathy": Weights(0.1, 0.9, 0.0, 0.0)})["empathy"]
    assert low.score < 0.1 < 0.9 < high.score


@pytest.mark.parametrize("skill", SKILLS)
def test_every_skill_has_evidence_of_both_groups(skill):
    # The predecessor had no linguistic evidence of self-regulation and no behavioural evidence of empathy.
    assert all(RULES[skill][source] for source in ("linguistic_features", "behavioral_features"))


@pytest.mark.parametrize("skill", SKILLS)
def test_a_secondary_item_never_outweighs_the_primary(skill):
    # The predecessor's items without a weight counted 1.0 and outweighed the main one.
    row = FeatureSet(tuple((feature.low + feature.high) / 2 for feature in FEATURES))
    fused = fuse_skill(row, predicted(skill, 0.5), DEFAULT_WEIGHTS[skill])
    for source, rules in RULES[skill].items():
        items = {item.feature: item for item in fused.evidence if item.source == source}
        ordered = [items[rule.feature] for rule in rules if rule.feature in items]
        assert ordered[0].feature == rules[0].feature
        for primary, secondary in itertools.pairwise(ordered):
            assert primary.weight > secondary.weight
            assert primary.rank > secondary.rank


def test_more_than_five_items_are_cut_by_rank_but_every_source_stays():
    # The predecessor sorted by a field that items do not have, and failed as soon as there were too many.
    items = [Evidence("linguistic_features", "linguistic", f"f{i}", "", 0.5, 1, 1, 0.2 - i / 100) for i in range(9)]
    weak = Evidence("behavioral_features", "behavioral", "b", "", 0.5, 0.1, 1, 0.01)
    chosen = top_evidence([*items, weak])
    assert [item.feature for item in chosen] == ["f0", "f1", "f2", "f3", "b"]


@pytest.mark.parametrize(
    "values", [(0.5, 0.2, 0.2, 0.2), (1.2, -0.2, 0, 0), (math.nan, 0.5, 0.4, 0.1), (True, 0, 0, 0), ("1", 0, 0, 0)]
)
def test_weights_that_do_not_fit_are_refused(values):
    with pytest.raises(InvalidInput):
        Weights(*values)


@pytest.mark.parametrize("body", [None, [], {"ml_inference": 1.0}, {**DEFAULT_WEIGHTS["empathy"].to_json(), "x": 0}])
def test_weights_are_read_from_exactly_four_numbers(body):
    with pytest.raises(InvalidInput):
        Weights.parse(body)
    assert Weights.parse(DEFAULT_WEIGHTS["empathy"].to_json()) == DEFAULT_WEIGHTS["empathy"]


def test_the_documentation_prints_the_tables_in_use():
    text = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()
    for skill, sources in RULES.items():
        w = DEFAULT_WEIGHTS[skill]
        numbers = (w.ml_inference, w.linguistic_features, w.behavioral_features, w.confidence_adjustment)
        assert f"| {skill} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |" in text
        for source, rules in sources.items():
            for rule in rules:
                linguistic = source == "linguistic_features"
                scale = f"mean {rule.a:g}, sd {rule.b:g}" if linguistic else f"{rule.a:g} to {rule.b:g}"
                way = "up" if rule.direction == 1 else "down"
                assert f"| {skill} | `{rule.feature}` | {scale} | {way} |" in text


rows = st.tuples(*(st.one_of(st.none(), st.floats(f.low, f.high)) for f in FEATURES)).map(FeatureSet)
skills = st.sampled_from(SKILLS)
units = st.floats(0, 1)
weights = st.tuples(*[st.integers(0, 20)] * 4).filter(any).map(lambda w: Weights(*(part / sum(w) for part in w)))


@given(rows, skills, units, st.floats(0, 0.6), weights)
def test_everything_stays_in_its_bounds(row, skill, estimate, half_width, weights):
    fused = fuse_skill(row, predicted(skill, estimate, half_width), weights)
    assert 0 <= fused.score <= 1
    assert 0.3 <= fused.confidence <= 0.95
    assert 0 <= fused.source_agreement <= 1
    assert 0 <= fused.interval.lower <= fused.score <= fused.interval.upper <= 1
    assert len(fused.evidence) <= 5
    for item in fused.evidence:
        for number in (item.score, item.confidence, item.relevance, item.weight):
            assert 0 <= number <= 1


@given(rows, skills, units, weights)
def test_every_source_in_use_is_in_the_evidence_and_weights_sum_to_one(row, skill, estimate, weights):
    fused = fuse_skill(row, predicted(skill, estimate), weights)
    used = {
        source
        for source in ("ml_inference", "linguistic_features", "behavioral_features")
        if source not in fused.sources_missing and getattr(weights, source) > 0
    }
    assert {item.source for item in fused.evidence} == used
    if 0 < len(fused.evidence) < 5:
        assert sum(item.weight for item in fused.evidence) == pytest.approx(1.0)
    ranks = [item.rank for item in fused.evidence]
    assert ranks == sorted(ranks, reverse=True)


@given(rows, skills, units, st.data())
def test_a_directed_feature_moves_the_score_only_its_way(row, skill, estimate, data):
    rule = data.draw(st.sampled_from([rule for rules in RULES[skill].values() for rule in rules]))
    index = INDEX[rule.feature]
    feature = FEATURES[index]
    low, high = sorted(data.draw(st.tuples(*[st.floats(feature.low, feature.high)] * 2)))
    scores = [
        fuse_skill(
            FeatureSet((*row.values[:index], value, *row.values[index + 1 :])),
            predicted(skill, estimate),
            DEFAULT_WEIGHTS[skill],
        ).score
        for value in (low, high)
    ]
    assert scores[0] <= scores[1] if rule.direction == 1 else scores[0] >= scores[1]


@given(rows, skills, units)
def test_a_missing_source_gives_its_weight_away_in_proportion(row, skill, estimate):
    without = FeatureSet(
        tuple(None if f.group == "behavioral" else v for f, v in zip(FEATURES, row.values, strict=True))
    )
    fused = fuse_skill(without, predicted(skill, estimate), DEFAULT_WEIGHTS[skill])
    given_weights = DEFAULT_WEIGHTS[skill]
    share = {item.source: 0.0 for item in fused.evidence}
    for item in fused.evidence:
        share[item.source] += item.weight
    if "linguistic_features" in share:
        expected = given_weights.ml_inference / given_weights.linguistic_features
        assert share["ml_inference"] / share["linguistic_features"] == pytest.approx(expected)
    else:
        assert share == {"ml_inference": pytest.approx(1.0)}
