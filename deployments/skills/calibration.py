"""Conformalized quantile regression: each student's own interval, made to cover. Plain numpy; the fit is one sort.

Two small models per skill predict the 5 % and the 95 % quantile of the rating minus the estimate (learned from
out-of-fold estimates, which are as wrong as those of new students). They make the interval wide where ratings scatter:
short transcripts, missing groups, the middle of the scale. Quantile models alone promise nothing; the conformal offset Q
does (Romano, Patterson, Candes 2019): on calibration rows that nothing has seen, with E = max(lower - y, y - upper), Q is
the ceil((n + 1) level)-th smallest E, and [lower - Q, upper + Q] covers new rows like these with probability ``level``.

Mondrian: where grades are given, each grade band with enough calibration rows has a Q of its own, so that coverage holds
within the band. A student whose grade is not given gets the largest Q of all: never less than what was promised.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
QUANTILES = (0.05, 0.95)
"""What the bound models are trained for."""
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Nominal levels of the reliability plot."""
SMALLEST_BAND = 200
"""Calibration rows below which a band has no offset of its own: coverage would vary by more than 2 points (1 sd)."""
BANDS: tuple[tuple[int, str], ...] = ((2, "K-2"), (5, "3-5"), (8, "6-8"), (12, "9-12"))
UNKNOWN_BAND = ""
HALF_CREDIBLE = {"word_count": 50.0, "event_count": 20.0}
"""The amount n of words or events at which n / (n + k), the credibility of a rate observed over it, is one half."""
HIGHEST_GRADE = BANDS[-1][0]


def grade_band(grade: int | None) -> str:
    """The band of a grade (0 is kindergarten, up to 12); the empty band when there is none."""
    if grade is None or not 0 <= grade <= HIGHEST_GRADE:
        return UNKNOWN_BAND
    return next(band for highest, band in BANDS if grade <= highest)


@dataclass(frozen=True, slots=True)
class Calibration:
    """One skill's conformal offsets, in score units. ``reliability``: the offset of other levels, over all bands."""

    level: float
    offset: float
    band_offsets: Mapping[str, float] = field(default_factory=dict)
    reliability: Mapping[str, float] = field(default_factory=dict)

    @property
    def widest(self) -> float:
        """The offset for a student whose band is unknown, or had too few calibration rows: it holds in every band."""
        return max(self.offset, *self.band_offsets.values()) if self.band_offsets else self.offset

    def offsets(self, bands: Sequence[str]) -> Column:
        """The offset of each row, ``(n,)``, by its grade band."""
        widest = self.widest
        return np.array([self.band_offsets.get(band, widest) for band in bands], dtype=np.float64)


def raw_bounds(estimate: Column, low: Column, high: Column) -> tuple[Column, Column]:
    """The bounds before calibration: estimate plus what the bound models say, never on the wrong side of it."""
    return estimate + np.minimum(low, 0.0), estimate + np.maximum(high, 0.0)


def scores(lower: Column, upper: Column, target: Column) -> Column:
    """How far each rating lies outside its raw interval; negative inside."""
    result: Column = np.maximum(lower - target, target - upper)
    return result


def conformal_quantile(values: Column, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n values (split conformal); infinite when n is too small for the level."""
    rank = math.ceil((len(values) + 1) * level)
    return math.inf if rank > len(values) else float(np.sort(values)[rank - 1])


def calibrate(
    lower: Column, upper: Column, target: Column, bands: Sequence[str], level: float, smallest_band: int = SMALLEST_BAND
) -> Calibration:
    """Calibrate on rows that no model has seen; ``(n,)`` each, bands ``""`` where the grade is unknown."""
    found = scores(lower, upper, target)
    names = np.array(bands)
    own = {band: found[names == band] for band in dict.fromkeys(bands) if band != UNKNOWN_BAND}
    return Calibration(
        level=level,
        # An offset beyond the scale covers everything; JSON has no infinity.
        offset=min(2.0, conformal_quantile(found, level)),
        band_offsets={
            band: min(2.0, conformal_quantile(held, level))
            for band, held in sorted(own.items())
            if len(held) >= smallest_band
        },
        reliability={f"{nominal:g}": min(2.0, conformal_quantile(found, nominal)) for nominal in LEVELS},
    )
