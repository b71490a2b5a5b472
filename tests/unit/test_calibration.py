"""Conformalized quantile regression against crepes, and its promise on held-out students, by skill and by grade band."""

import math

import numpy as np
import pytest
from crepes import ConformalRegressor
from hypothesis import given
from hypothesis import strategies as st
from trained_skills import engine

from deployments.engines.boosting import NUM_FEATURE
from deployments.skills.calibration import (
    Calibration,
    calibrate,
    conformal_quantile,
    grade_band,
    raw_bounds,
    scores,
)
from deployments.skills.features import SKILLS, with_derived
from deployments.skills.synthetic import generate

SHIFT = 3.0
"""crepes takes absolute residuals; conformal scores lie in -2..2, so a shift makes the one into the other."""


@pytest.mark.parametrize(("n", "level"), [(600, 0.9), (333, 0.9), (250, 0.8), (777, 0.95)])
@pytest.mark.parametrize("banded", [False, True])
def test_intervals_equal_those_of_crepes(n, level, banded):
    rng = np.random.default_rng(n)
    estimate, target = rng.random(n), rng.random(n)
    lower, upper = estimate - rng.random(n) * 0.3, estimate + rng.random(n) * 0.3
    bands = rng.choice(["3-5", "6-8", "9-12"], n).tolist() if banded else [""] * n
    ours = calibrate(lower, upper, target, bands, level, smallest_band=50)
    bins = np.array(bands) if banded else None
    reference = ConformalRegressor().fit(residuals=scores(lower, upper, target) + SHIFT, bins=bins)
    bounds = reference.predict_int(np.zeros(n), bins=bins, confidence=level)
    sizes = {band: bands.count(band) for band in set(bands)}
    # Where (n + 1)(1 - level) is whole, crepes' rounding of 1 - level takes the next score.
    clear = [abs((sizes[band] + 1) * (1 - level) - round((sizes[band] + 1) * (1 - level))) > 1e-9 for band in bands]
    assert any(clear)
    np.testing.assert_allclose(ours.offsets(bands)[clear], bounds[clear, 1] - SHIFT, atol=1e-9)
    assert set(ours.band_offsets) == (set(bands) if banded else set())


@given(st.integers(10, 400), st.sampled_from([0.8, 0.9, 0.95]), st.integers(0, 10**6))
def test_the_quantile_is_the_textbook_order_statistic(n, level, seed):
    values = np.random.default_rng(seed).exponential(size=n)
    rank = math.ceil((n + 1) * level)
    if rank > n:
        assert conformal_quantile(values, level) == math.inf
    else:
        assert (values <= conformal_quantile(values, level)).sum() == rank


def test_a_band_of_few_rows_has_no_offset_of_its_own_and_an_unknown_one_gets_the_widest():
    rng = np.random.default_rng(2)
    bands = ["3-5"] * 400 + ["6-8"] * 300 + ["K-2"] * 20
    spread = np.array([0.1] * 400 + [0.4] * 300 + [0.1] * 20)
    target = 0.5 + rng.normal(0, spread)
    half = np.full(720, 0.5)
    found = calibrate(half, half, target, bands, 0.9, smallest_band=200)
    assert set(found.band_offsets) == {"3-5", "6-8"}
    assert found.band_offsets["3-5"] < found.offset < found.band_offsets["6-8"]
    widest = found.band_offsets["6-8"]
    assert found.offsets(["", "K-2", "no such band", "3-5"]).tolist() == [widest] * 3 + [found.band_offsets["3-5"]]


def test_without_grades_there_is_one_offset():
    assert Calibration(0.9, 0.1).offsets(["", "3-5"]).tolist() == [0.1, 0.1]


def test_bounds_never_lie_on_the_wrong_side_of_the_estimate():
    estimate = np.array([0.5, 0.5])
    lower, upper = raw_bounds(estimate, np.array([0.1, -0.2]), np.array([0.3, -0.1]))
    assert lower.tolist() == [0.5, 0.3]
    assert upper.tolist() == [0.8, 0.5]


@pytest.mark.parametrize(
    ("grade", "band"),
    [
        (None, ""),
        (-1, ""),
        (0, "K-2"),
        (2, "K-2"),
        (3, "3-5"),
        (5, "3-5"),
        (8, "6-8"),
        (9, "9-12"),
        (12, "9-12"),
        (13, ""),
    ],
)
def test_grade_bands(grade, band):
    assert grade_band(grade) == band


# --- the promise -----------------------------------------------------------------------------------------------------

CALIBRATION_ROWS, TEST_ROWS = 4_000, 10_000
"""Of each grade band. Coverage then has a standard deviation of .56 points; the bounds are 2 away."""


@pytest.fixture(scope="module")
def students():
    """Calibration and test students, so many of every band, whom no training has seen."""
    made = generate(120_000, 20_261_126)
    bands = np.array([grade_band(grade) for grade in made.grade.tolist()])
    needed = CALIBRATION_ROWS + TEST_ROWS
    rows = {band: np.flatnonzero(bands == band)[:needed] for band in ("K-2", "3-5", "6-8")}
    assert all(len(found) == needed for found in rows.values())
    calibration = np.concatenate([found[:CALIBRATION_ROWS] for found in rows.values()])
    test = np.concatenate([found[CALIBRATION_ROWS:] for found in rows.values()])
    return made, bands, calibration, test


@pytest.mark.parametrize("skill", SKILLS)
def test_the_90_percent_interval_covers_in_every_grade_band(skill, students):
    made, bands, held, test = students
    models = engine().serving

    def bounds(rows):
        inputs = with_derived(made.base[rows], skill)
        assert inputs.shape[1] == NUM_FEATURE
        low, high = (model.inplace_predict(inputs).astype(np.float64) for model in models._bounds[skill])
        return raw_bounds(models.estimates(skill, made.base[rows]), low, high)

    target = made.targets[skill].astype(np.float64)
    calibration = calibrate(*bounds(held), target[held], bands[held].tolist(), 0.9)
    lower, upper = bounds(test)
    offsets = calibration.offsets(bands[test].tolist())
    covered = (target[test] >= lower - offsets) & (target[test] <= upper + offsets)
    assert 0.88 <= covered.mean() <= 0.92
    for band in ("K-2", "3-5", "6-8"):
        assert 0.88 <= covered[bands[test] == band].mean() <= 0.92, band
    # Who does not say the grade gets no less than what was promised, in any band.
    unknown = (target[test] >= lower - calibration.widest) & (target[test] <= upper + calibration.widest)
    for band in ("K-2", "3-5", "6-8"):
        assert 0.88 <= unknown[bands[test] == band].mean() <= 0.95, band
    # Students' intervals differ: the quantile models see who is hard to judge.
    assert np.std(upper - lower) > 0.03


@pytest.mark.parametrize("skill", SKILLS)
def test_less_observed_means_a_wider_interval_on_average(skill, students):
    made, _, _, test = students
    rows = test[:3000]
    models, missing = engine().serving, np.isnan(made.base[rows])
    low, high = (model.inplace_predict(with_derived(made.base[rows], skill)) for model in models._bounds[skill])
    lower, upper = raw_bounds(models.estimates(skill, made.base[rows]), low.astype(np.float64), high.astype(np.float64))
    width = upper - lower
    nothing = missing[:, :16].all(axis=1) | missing[:, 16:].all(axis=1)
    assert width[nothing].mean() > width[~nothing].mean()
