"""The three parts, the caps, the interval, and the conformal calibration against an independent implementation."""

import math

import numpy as np
import pytest
from crepes import ConformalRegressor
from hypothesis import given
from hypothesis import strategies as st
from trained_skills import engine, fresh_students, report

from deployments.skills.assessment import ConfidenceParts, Prediction
from deployments.skills.calibration import (
    COVARIATES,
    Calibration,
    calibrate,
    conformal_quantile,
    covariates,
    fit_coefficients,
    spread,
)
from deployments.skills.confidence import calibrated_spread, combine, extremity, interval_around, parts_of
from deployments.skills.features import FEATURES, FeatureSet


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


@given(st.integers(10, 400), st.sampled_from([0.8, 0.9, 0.95]), st.integers(0, 10**6))
def test_the_quantile_is_the_textbook_order_statistic(n, level, seed):
    scores = np.random.default_rng(seed).exponential(size=n)
    rank = math.ceil((n + 1) * level)
    if rank > n:
        assert conformal_quantile(scores, level) == math.inf
    else:
        quantile = conformal_quantile(scores, level)
        assert (scores <= quantile).sum() == rank


@pytest.mark.parametrize(("n", "level"), [(600, 0.9), (333, 0.9), (250, 0.8), (777, 0.95)])
def test_intervals_equal_those_of_crepes(n, level):
    rng = np.random.default_rng(n)
    base = fresh_students()[0].base[:n]
    estimate, target = rng.random(n), rng.random(n).astype(np.float32)
    coefficients = rng.random(len(COVARIATES)) * 0.1
    ours = calibrate(base, estimate, target, coefficients, level)
    sigmas = spread(base, estimate, coefficients)
    reference = ConformalRegressor().fit(residuals=target - estimate, sigmas=sigmas)
    bounds = reference.predict_int(estimate, sigmas=sigmas, confidence=level)
    np.testing.assert_allclose(ours.half_width(base, estimate), (bounds[:, 1] - bounds[:, 0]) / 2, rtol=1e-9)


def test_the_expected_error_fit_finds_what_made_the_errors():
    rng = np.random.default_rng(1)
    # So many that the fit's own scatter is well below the tolerance.
    base = fresh_students(20_000)[0].base
    estimate = rng.random(len(base))
    true = np.array([0.05, 0.1, 0.0, 0.2, 0.0, 0.1])
    errors = rng.exponential(covariates(base, estimate) @ true)
    found = fit_coefficients(base, estimate, (estimate + errors).astype(np.float32))
    assert (found >= 0).all()
    np.testing.assert_allclose(covariates(base, estimate) @ found, covariates(base, estimate) @ true, rtol=0.25)


coefficients = st.tuples(*[st.floats(0, 0.5)] * len(COVARIATES))
rows = st.tuples(*(st.one_of(st.none(), st.floats(f.low, f.high)) for f in FEATURES))


@given(rows, coefficients, st.floats(0, 1), st.data())
def test_observing_less_never_narrows_the_interval(values, coefficients, estimate, data):
    hidden = data.draw(st.sets(st.integers(0, 24)))
    less = tuple(None if i in hidden else value for i, value in enumerate(values))
    base = np.array([values, less], dtype=np.float32)
    wide = Calibration(0.9, 2.0, coefficients).half_width(base, np.array([estimate, estimate]))
    assert wide[1] >= wide[0]


def test_confidence_follows_the_error():
    # The predecessor's first part, the variance over one model's trees, was a constant that did not follow the error.
    data, rows = fresh_students()
    predictions = engine().run(engine().prepare(rows, {}))
    for skill in report().metrics:
        half_width = np.array([found[skill].half_width for found in predictions])
        error = np.abs(np.array([found[skill].estimate for found in predictions]) - data.targets[skill])
        assert np.std(half_width) > 0.02
        assert np.corrcoef(half_width, error)[0, 1] > 0.15
