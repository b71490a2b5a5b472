"""Days instead of entries: what is written on one day says much the same, so tests count it once."""

import numpy as np
from numpy.typing import NDArray

from deployments.journal.entries import Floats, Journal

FLAT = 1e-6
"""Smaller differences are rounding: a model's answers to one text differ so from batch to batch."""


def alike(values: Floats) -> bool:
    """Whether there is nothing to be found in values: none, or none that differ."""
    return not len(values) or float(np.ptp(values)) < FLAT


def means(of: NDArray[np.int64], values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The different numbers in ``of``, rising, and the mean of the values of each; values that are NaN are left out."""
    known = np.isfinite(values)
    found, place = np.unique(of[known], return_inverse=True)
    count = len(found)
    return found, np.bincount(place, values[known], count) / np.maximum(1, np.bincount(place, minlength=count))


def daily(journal: Journal, values: Floats) -> tuple[Floats, Floats]:
    """Days since the first entry's, and the mean of each day's values; values that are NaN are left out."""
    dates, found = means(journal.dates, values)
    return (dates - journal.dates.min()).astype(float), found
