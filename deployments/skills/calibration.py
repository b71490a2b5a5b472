"""Normalised split conformal intervals: numpy at serving, the fit at training.

A row's expected error is a non-negative linear function of how little was observed (missing groups, few words, few
events) and of how undecided the estimate is; it is fitted on out-of-fold residuals. The interval's half width is that
expected error times one quantile, which makes the interval cover the raters' score with the stated probability on data
like the calibration data. Non-negative coefficients promise that observing less never narrows an interval.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.skills.features import FEATURES, INDEX

SPREAD_FLOOR = 0.01
HALF_CREDIBLE = {"word_count": 50.0, "event_count": 20.0}
"""The amount n of words or events at which n / (n + k), the credibility of a rate observed over it, is one half."""
COVARIATES = (
    "constant",
    "missing_linguistic",
    "missing_behavioral",
    "few_words",
    "few_events",
    "undecided",
)
_LINGUISTIC = np.array([feature.group == "linguistic" for feature in FEATURES])


@dataclass(frozen=True, slots=True)
class Calibration:
    """One skill's calibration numbers. ``coefficients`` follow ``COVARIATES``; ``quantile`` is in expected errors."""

    level: float
    quantile: float
    coefficients: tuple[float, ...]

    def half_width(self, base: NDArray[np.float32], estimate: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half the interval's width for each row: ``(n, 25)`` observed features and ``(n,)`` estimates in 0..1."""
        return self.quantile * spread(base, estimate, np.array(self.coefficients))


def covariates(base: NDArray[np.float32], estimate: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, 6)``, each column 0..1 and larger where an estimate deserves less trust; see ``COVARIATES``."""
    missing = np.isnan(base)
    few = [half / (half + np.nan_to_num(base[:, INDEX[name]])) for name, half in HALF_CREDIBLE.items()]
    return np.column_stack(
        (
            np.ones(len(base)),
            missing[:, _LINGUISTIC].mean(axis=1),
            missing[:, ~_LINGUISTIC].mean(axis=1),
            *few,
            4 * estimate * (1 - estimate),
        )
    ).astype(np.float64)


def spread(
    base: NDArray[np.float32], estimate: NDArray[np.float64], coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The expected absolute error of each row, ``(n,)``, score units."""
    # Not a matrix product: BLAS may add in another order for one row than for many, and a batch must equal its rows.
    expected: NDArray[np.float64] = (covariates(base, estimate) * coefficients).sum(axis=1)
    return np.maximum(SPREAD_FLOOR, expected)


def fit_coefficients(
    base: NDArray[np.float32], estimate: NDArray[np.float64], target: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Non-negative least squares of the absolute residuals of out-of-fold estimates."""
    from scipy.optimize import nnls

    found: NDArray[np.float64] = nnls(covariates(base, estimate), np.abs(target - estimate))[0]
    return found


def conformal_quantile(scores: NDArray[np.float64], level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n scores (split conformal); infinite when n is too small for the level."""
    rank = math.ceil((len(scores) + 1) * level)
    return math.inf if rank > len(scores) else float(np.sort(scores)[rank - 1])


def calibrate(
    base: NDArray[np.float32],
    estimate: NDArray[np.float64],
    target: NDArray[np.float32],
    coefficients: NDArray[np.float64],
    level: float,
) -> Calibration:
    """Calibrate on rows that neither the model nor the coefficients have seen."""
    scores = np.abs(target - estimate) / spread(base, estimate, coefficients)
    return Calibration(level, conformal_quantile(scores, level), tuple(coefficients.tolist()))
