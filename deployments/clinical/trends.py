"""Series of measurements, oldest to newest whatever order they came in: trend, anomalies, earlier against later half.

Slopes are Theil-Sen's with their 95 % interval, significance is Kendall's tau against time (both stand one wild value), with
the effective sample size where values resemble the ones before (``likeness``), adjusted over all parameters of a report by
Benjamini and Hochberg. Outliers by the modified z-score with the median absolute deviation (Iglewicz and Hoaglin 1993: 3.5).
scipy throughout; it is imported where it is used, off the event loop.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from deployments.clinical.likeness import likeness, with_likeness
from deployments.clinical.vitals import Measurement, Reference, Status

Direction = Literal["increasing", "decreasing", "no_clear_trend", "insufficient_data"]
LEAST_FOR_TREND = 5
"""With four values in perfect order Kendall's p is still 0.08."""
LEAST_FOR_OUTLIERS = 6
LEAST_FOR_HALVES = 8
ALPHA, OUTLIER_Z = 0.05, 3.5
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Series:
    """One parameter's values, oldest first; times in days since the first."""

    parameter: str
    values: tuple[float, ...]
    times: tuple[datetime, ...]

    @property
    def days(self) -> list[float]:
        return [(time - self.times[0]).total_seconds() / DAY_S for time in self.times]

    @property
    def current(self) -> float:
        return self.values[-1]

    @property
    def average(self) -> float:
        return sum(self.values) / len(self.values)


@dataclass(frozen=True, slots=True)
class Trend:
    """``slope``: units a day; ``p_value``: adjusted over the report."""

    direction: Direction
    slope: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None

    @property
    def significant(self) -> bool:
        return self.direction in ("increasing", "decreasing")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A value that stands out. ``kind``: by the reference range (critical, out_of_range), or by the patient's own values."""

    parameter: str
    value: float
    at: datetime
    kind: Literal["critical", "out_of_range", "outlier", "implausible_pair"]
    status: Status


def series_of(measurements: Iterable[Measurement]) -> dict[str, Series]:
    """By parameter, sorted by time; values of the same time keep the order of their size, so that input order is nothing."""
    grouped: dict[str, list[Measurement]] = {}
    for each in measurements:
        grouped.setdefault(each.parameter, []).append(each)
    found = {}
    for name in sorted(grouped):
        ordered = sorted(grouped[name], key=lambda each: (each.at, each.value))
        found[name] = Series(name, tuple(each.value for each in ordered), tuple(each.at for each in ordered))
    return found


def trends_of(all_series: Mapping[str, Series]) -> dict[str, Trend]:
    """The trend of each parameter."""
    from scipy.stats import false_discovery_control

    raw = {name: _trend(series) for name, series in all_series.items()}
    tested = [name for name, trend in raw.items() if trend.p_value is not None]
    if not tested:
        return raw
    adjusted = false_discovery_control([raw[name].p_value for name in tested])
    for name, p_value in zip(tested, adjusted, strict=True):
        raw[name] = _judged(replace(raw[name], p_value=float(p_value)))
    return raw


def _trend(series: Series) -> Trend:
    from scipy.stats import kendalltau, theilslopes

    days = series.days
    if len(series.values) < LEAST_FOR_TREND or len(set(days)) < LEAST_FOR_TREND:
        return Trend("insufficient_data")
    slope = theilslopes(series.values, days, alpha=1 - ALPHA)
    p_value = float(kendalltau(days, series.values).pvalue)
    if p_value != p_value:
        # All values are the same: nothing moves, and tau is not defined.
        p_value = 1.0
    p_value = with_likeness(p_value, likeness(series.values, days, float(slope.slope)))
    return Trend("no_clear_trend", float(slope.slope), (float(slope.low_slope), float(slope.high_slope)), p_value)


def _judged(trend: Trend) -> Trend:
    """A direction only where the adjusted p and the interval agree on one."""
    if trend.p_value is None or trend.interval is None or trend.p_value >= ALPHA:
        return trend
    low, high = trend.interval
    if low > 0:
        return replace(trend, direction="increasing")
    return replace(trend, direction="decreasing") if high < 0 else trend


def anomalies_of(series: Series, reference: Reference | None) -> list[Anomaly]:
    """Values outside the range, and those far from the patient's own; newest first."""
    outlying = set(_outliers(series))
    found = []
    for index, (value, at) in enumerate(zip(series.values, series.times, strict=True)):
        status: Status = reference.status(value) if reference else "no_reference"
        if status.startswith("critical"):
            found.append(Anomaly(series.parameter, value, at, "critical", status))
        elif status in ("low", "high"):
            found.append(Anomaly(series.parameter, value, at, "out_of_range", status))
        elif index in outlying:
            found.append(Anomaly(series.parameter, value, at, "outlier", status))
    return found[::-1]


def _outliers(series: Series) -> Sequence[int]:
    import numpy as np
    from scipy.stats import median_abs_deviation

    if len(series.values) < LEAST_FOR_OUTLIERS:
        return ()
    values = np.asarray(series.values)
    spread = float(median_abs_deviation(values, scale="normal"))
    if spread == 0.0:
        return ()
    return [int(i) for i in np.flatnonzero(np.abs(values - np.median(values)) / spread > OUTLIER_Z)]


def implausible_pairs(all_series: Mapping[str, Series]) -> list[Anomaly]:
    """Diastolic pressures that are not below the systolic one of the same time."""
    systolic, diastolic = all_series.get("systolic_bp"), all_series.get("diastolic_bp")
    if systolic is None or diastolic is None:
        return []
    upper = dict(zip(systolic.times, systolic.values, strict=True))
    return [
        Anomaly("diastolic_bp", value, at, "implausible_pair", "no_reference")
        for value, at in zip(diastolic.values, diastolic.times, strict=True)
        if at in upper and value >= upper[at]
    ]


def halves(series: Series) -> dict[str, float] | None:
    """The earlier half against the later by Mann and Whitney's U; None with fewer than ``LEAST_FOR_HALVES`` values."""
    from scipy.stats import mannwhitneyu

    if len(series.values) < LEAST_FOR_HALVES:
        return None
    half = len(series.values) // 2
    earlier, later = series.values[:half], series.values[half:]
    return {
        "earlier_average": round(sum(earlier) / len(earlier), 4),
        "later_average": round(sum(later) / len(later), 4),
        "p_value": round(float(mannwhitneyu(earlier, later).pvalue), 6),
    }
