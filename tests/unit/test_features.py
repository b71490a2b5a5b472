"""The feature schema, its validation, and that training and serving see the same numbers."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trained_skills import feature_set

from deployments.errors import InvalidInput
from deployments.skills.features import (
    DERIVED,
    FEATURES,
    INDEX,
    SCHEMA_HASH,
    SKILLS,
    FeatureSet,
    base_matrix,
    matrix,
    vector_names,
    with_derived,
)
from deployments.skills.synthetic import generate

LINGUISTIC = [
    "empathy_markers",
    "problem_solving_language",
    "perseverance_indicators",
    "social_processes",
    "cognitive_processes",
    "positive_sentiment",
    "negative_sentiment",
    "avg_sentence_length",
    "syntactic_complexity",
    "word_count",
    "unique_word_count",
    "readability_score",
    "noun_count",
    "verb_count",
    "adj_count",
    "adv_count",
]
BEHAVIORAL = [
    "task_completion_rate",
    "time_efficiency",
    "retry_count",
    "recovery_rate",
    "distraction_resistance",
    "focus_duration",
    "collaboration_indicators",
    "leadership_indicators",
    "event_count",
]
DERIVED_NAMES = {
    "empathy": "empathy_social_interaction",
    "problem_solving": "problem_solving_cognitive",
    "self_regulation": "self_regulation_focus",
    "resilience": "resilience_recovery",
}

in_range = st.tuples(*(st.one_of(st.none(), st.floats(f.low, f.high)) for f in FEATURES)).map(FeatureSet)


@pytest.mark.parametrize("skill", SKILLS)
def test_the_26_names_stand_in_model_order(skill):
    assert vector_names(skill) == (*LINGUISTIC, *BEHAVIORAL, DERIVED_NAMES[skill])


def test_the_schema_hash_changes_only_on_purpose():
    # A new hash means that every trained model refuses to load: change it together with retraining.
    assert SCHEMA_HASH == "aea29c2c4827bc1dcb6275e174d52d8bca87a684715b55696ff6c405aec686e1"


def test_every_feature_has_both_bounds_and_words():
    for feature in FEATURES:
        assert math.isfinite(feature.low)
        assert math.isfinite(feature.high)
        assert feature.low < feature.high
        assert feature.unit
        assert feature.description


def test_missing_stays_missing():
    row = FeatureSet.parse({"linguistic": {"empathy_markers": 0.2, "word_count": 150, "noun_count": None}})
    vector = row.vector("empathy")
    assert vector.dtype == np.float32
    assert vector.shape == (26,)
    assert np.flatnonzero(~np.isnan(vector)).tolist() == [INDEX["empathy_markers"], INDEX["word_count"]]
    assert row.completeness == pytest.approx(2 / 25)
    assert FeatureSet.parse({}).completeness == 0.0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"linguistic": {"words": 3}}, "features.linguistic.words"),
        ({"linguistic": {"event_count": 3}}, "features.linguistic.event_count"),
        ({"linguistic": {"word_count": "12"}}, "features.linguistic.word_count"),
        ({"linguistic": {"word_count": True}}, "features.linguistic.word_count"),
        ({"linguistic": {"word_count": [1]}}, "features.linguistic.word_count"),
        ({"linguistic": {"word_count": -1}}, "features.linguistic.word_count"),
        ({"linguistic": {"word_count": 10**400}}, "features.linguistic.word_count"),
        ({"linguistic": {"negative_sentiment": 0.2}}, "features.linguistic.negative_sentiment"),
        ({"linguistic": {"empathy_markers": 12}}, "features.linguistic.empathy_markers"),
        ({"behavioral": {"recovery_rate": math.nan}}, "features.behavioral.recovery_rate"),
        ({"behavioral": {"retry_count": math.inf}}, "features.behavioral.retry_count"),
        ({"behavioral": {"retry_count": -math.inf}}, "features.behavioral.retry_count"),
        ({"behavioral": 3}, "features.behavioral"),
        ({"derived": {}}, "features.derived"),
        ([1, 2], "features"),
        ("text", "features"),
    ],
)
def test_wrong_values_are_refused_with_the_field(body, param):
    with pytest.raises(InvalidInput) as caught:
        FeatureSet.parse(body)
    assert caught.value.param == param


def test_a_refusal_says_the_range_and_the_fix():
    with pytest.raises(InvalidInput, match=r"from 0 to 1 \(share of tasks\), or leave it out when unknown"):
        FeatureSet.parse({"behavioral": {"task_completion_rate": 1.5}})


def test_a_refusal_repeats_no_value_of_the_client():
    with pytest.raises(InvalidInput) as caught:
        FeatureSet.parse({"linguistic": {"word_count": "secret words"}})
    assert "secret" not in str(caught.value)


def test_counts_above_their_cap_are_read_as_the_cap():
    row = FeatureSet.parse({"behavioral": {"retry_count": 50, "recovery_rate": 0.5, "focus_duration": 7200}})
    vector = row.vector("resilience")
    assert vector[INDEX["retry_count"]] == 20
    assert vector[INDEX["focus_duration"]] == 3600
    assert vector[25] == 10.0
    assert row.get("retry_count") == 20
    assert row.to_json()["behavioral"]["retry_count"] == 50


def test_a_feature_set_has_25_values():
    with pytest.raises(ValueError, match="25"):
        FeatureSet((1.0,))


@given(in_range)
def test_what_is_written_is_read_again(row):
    assert FeatureSet.parse(row.to_json()) == row


@given(in_range)
def test_the_derived_feature_is_the_product(row):
    for skill in SKILLS:
        vector = row.vector(skill)
        _, left, right = DERIVED[skill]
        np.testing.assert_array_equal(vector[25], vector[INDEX[left]] * vector[INDEX[right]])


@given(st.lists(in_range, max_size=5))
def test_the_matrix_is_the_vectors(rows):
    for skill in SKILLS:
        built = matrix(rows, skill)
        assert built.shape == (len(rows), 26)
        assert built.dtype == np.float32
        for line, row in zip(built, rows, strict=True):
            np.testing.assert_array_equal(line, row.vector(skill))


@pytest.mark.parametrize("skill", SKILLS)
def test_training_and_serving_build_the_same_vectors(skill):
    # The predecessor computed the derived feature, and the features themselves, differently in training and serving.
    data = generate(400, seed=5)
    served = [FeatureSet.parse(feature_set(row).to_json()) for row in data.base]
    np.testing.assert_array_equal(base_matrix(served), data.base)
    np.testing.assert_array_equal(matrix(served, skill), with_derived(data.base, skill))


def test_the_documentation_prints_the_schema_in_use():
    text = (Path(__file__).parents[2] / "docs" / "training-data.md").read_text()
    for i, feature in enumerate(FEATURES):
        allowed = f"{feature.low:g} to {feature.high:.10g}"
        cap = "" if feature.cap is None else f"{feature.cap:g}"
        assert f"| {i} | `{feature.name}` | {feature.group} | {feature.unit} | {allowed} | {cap} |" in text
