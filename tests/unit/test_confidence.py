"""The three parts, the caps and the interval; the calibration itself is tested in ``test_calibration``."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trained_skills import engine, fresh_students, report

from deployments.skills.assessment import ConfidenceParts, Prediction
from deployments.skills.calibration import conformal_quantile
from deployments.skills.confidence import calibrated_spread, combine, extremity, interval_around, parts_of
from deployments.skills.features import FeatureSet


def predicted(estimate, half_width):
    return Prediction("empathy", estimate, estimate, estimate, (0.0,) * 26, half_width, 0.9, "v1", synthetic=True)


@pytest.mark.parametrize(("half_width", "part"), [(0.0, 1.0), (0.1, 0.8), (0.5, 0.0), (2.0, 0.0)])
def test_a_wider_interval_is_less_confidence(half_width, part):
    assert calibrated_spread(half_width) == pytest.approx(part)


@pytest.mark.parametrize(
    ("estimate", "part"), [(0.5, 1.0), (0.2, 1.0), (0.1, 0.75), (0.0, 0.5), (1.0, 0.5), (0.96, 0.6)]
)
def test_the_ends_of_the_scale_are_less_certain(estimate, part):
    # The predecessor turned this part round, so that extreme scores counted as the surest.
    assert extremity(estimate) == pytest.approx(part)


def test_completeness_counts_what_is_present_not_what_is_nonzero():
    # The predecessor filled zeros in and then counted what was not zero.
    zeros = FeatureSet((0.0,) * 25)
    assert parts_of(zeros, predicted(0.5, 0.1)).completeness == 1.0
    assert parts_of(FeatureSet((None,) * 25), predicted(0.5, 0.1)).completeness == 0.5


def test_the_parts_are_weighted_and_clipped():
    assert combine(ConfidenceParts(0.6, 1.0, 0.9), groups=2) == pytest.approx(0.5 * 0.6 + 0.3 + 0.2 * 0.9)
    assert combine(ConfidenceParts(1.0, 1.0, 1.0), groups=2) == 0.95
    assert combine(ConfidenceParts(0.0, 0.0, 0.0), groups=2) == 0.30
    assert combine(ConfidenceParts(1.0, 1.0, 1.0), groups=1) == 0.60
    assert combine(ConfidenceParts(1.0, 1.0, 1.0), groups=0) == 0.30


def test_the_interval_is_stretched_to_hold_the_score():
    inside = interval_around(predicted(0.5, 0.2), 0.6)
    assert (inside.lower, inside.upper, inside.level) == (pytest.approx(0.3), pytest.approx(0.7), 0.9)
    assert interval_around(predicted(0.5, 0.1), 0.7).upper == 0.7
    assert interval_around(predicted(0.95, 0.2), 0.9).upper == 1.0


def test_an_interval_may_lie_more_on_one_side_of_the_estimate():
    skewed = replace(predicted(0.5, 0.2), shift=-0.1)
    found = interval_around(skewed, 0.5)
    assert (found.lower, found.upper) == (pytest.approx(0.2), pytest.approx(0.6))


@given(st.integers(10, 400), st.sampled_from([0.8, 0.9, 0.95]), st.integers(0, 10**6))
def test_the_quantile_is_the_textbook_order_statistic(n, level, seed):
    scores = np.random.default_rng(seed).exponential(size=n)
    rank = math.ceil((n + 1) * level)
    if rank > n:
        assert conformal_quantile(scores, level) == math.inf
    else:
        quantile = conformal_quantile(scores, level)
        assert (scores <= quantile).sum() == rank


def test_confidence_follows_the_error():
    # The predecessor's first part, the variance over one model's trees, was a constant that did not follow the error.
    data, rows = fresh_students()
    predictions = engine().run(engine().prepare(rows, {}))
    for skill in report().metrics:
        half_width = np.array([found[skill].half_width for found in predictions])
        error = np.abs(np.array([found[skill].estimate for found in predictions]) - data.targets[skill])
        assert np.std(half_width) > 0.02
        assert np.corrcoef(half_width, error)[0, 1] > 0.15
