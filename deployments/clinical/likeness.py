"""Values that resemble the ones before them tell less than independent ones: their effective number (Yue and Wang 2004)."""

from collections.abc import Sequence

LEAST_FOR_LIKENESS = 15
"""In fewer values a real bend looks like likeness, and a perfect rise would not be told."""
MOST_LIKENESS = 0.8
"""With it fifteen values in perfect order are still a trend; more did not lower the rate of false ones."""


def likeness(values: Sequence[float], days: Sequence[float], slope: float) -> float:
    """How much a value's rank about the line resembles that of the value before it: the correlation at lag one, less its bias
    in short series (Kendall 1954), 0 to 0.8. The time between two values is not looked at."""
    import numpy as np
    from scipy.stats import rankdata

    if len(values) < LEAST_FOR_LIKENESS:
        return 0.0
    apart = rankdata(np.round(np.asarray(values) - slope * np.asarray(days), 9))
    apart -= apart.mean()
    spread = float(apart @ apart)
    if spread == 0.0:
        return 0.0
    found = float(apart[1:] @ apart[:-1]) / spread
    return min(max(found + (1 + 4 * found) / len(apart), 0.0), MOST_LIKENESS)


def with_likeness(p_value: float, likeness: float) -> float:
    """The two-sided p value of as many values as there would be if each told something new: n x (1 - r) / (1 + r)."""
    from scipy.stats import norm

    if likeness == 0.0:
        return p_value
    return float(2 * norm.sf(norm.isf(p_value / 2) * ((1 - likeness) / (1 + likeness)) ** 0.5))
