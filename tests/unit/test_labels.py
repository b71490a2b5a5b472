"""Canonical labels and labels by likeness."""

import numpy as np
import pytest

from deployments.label_sets import EMOTIONS, ForeignLabels, canonical, polarity
from deployments.label_similarity import DESCRIPTIONS, label_vectors, scores, similarities
from model_store.catalogue import load_catalogue


@pytest.mark.parametrize("role", ["emotion", "sentiment"])
def test_every_model_of_the_catalogue_with_the_role_can_play_it(role):
    for spec in load_catalogue().models:
        if role in spec.roles:
            uniform = np.full((1, len(spec.labels)), 1 / len(spec.labels), dtype=np.float32)
            assert canonical(role, spec.labels, uniform).sum() == pytest.approx(1)


def test_fine_emotions_are_added_up():
    found = canonical("emotion", ["Gratitude", "annoyance", "love", "neutral"], np.float32([[0.4, 0.3, 0.2, 0.1]]))
    assert dict(zip(EMOTIONS, found[0], strict=True)) == {
        **dict.fromkeys(EMOTIONS, 0),
        "joy": pytest.approx(0.6),
        "anger": pytest.approx(0.3),
        "neutral": pytest.approx(0.1),
    }


@pytest.mark.parametrize(
    ("labels", "given", "expected"),
    [
        (["NEGATIVE", "POSITIVE"], [0.2, 0.8], 0.6),
        (["negative", "neutral", "positive"], [0.5, 0.25, 0.25], -0.25),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], [0, 0, 0, 1, 0], 0.5),
        (["1 star", "2 stars"], [0.5, 0.5], 0),
    ],
)
def test_polarity(labels, given, expected):
    assert polarity(labels, np.float32([given]))[0] == pytest.approx(expected, abs=1e-6)


def test_foreign_labels_are_refused():
    with pytest.raises(ForeignLabels):
        canonical("sentiment", ["LABEL_0", "LABEL_1"], np.float32([[0.5, 0.5]]))


def test_the_nearest_description_wins():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((5, 8)).astype(np.float32)
    labels = label_vectors([["a", "b"], ["c"], ["d", "e"]], vectors)
    assert labels.shape == (3, 8)
    assert np.linalg.norm(labels, axis=1) == pytest.approx(1)
    found = scores(similarities(vectors[2:3] * 7, labels))
    assert (found.argmax(), float(found.sum())) == (1, pytest.approx(1))
    loose = scores(np.float32([[-0.5, 0.5]]), multi_label=True)
    assert loose.tolist() == [[0, 0.5]]


def test_every_role_is_described_in_the_order_of_its_labels():
    for role, labels in (("emotion", EMOTIONS), ("sentiment", ("negative", "neutral", "positive"))):
        assert tuple(DESCRIPTIONS[role]) == labels
