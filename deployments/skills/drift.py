"""Whether what the skill models are given, and what they say, still looks like the data they were made with.

The reference is a part of the bundle: of each observed feature 10 quantile bins with their shares, the share of missing
values and a sample; of each skill the bins of its estimates on held-out rows. Served rows are compared with it:

- PSI, the population stability index: sum of (p - q) ln(p / q) over bins, shares no smaller than ``EPSILON``. Below .1 is
  stable, from .25 major. Missing values have a PSI of their own, over two bins.
- The two-sample Kolmogorov-Smirnov test of a feature's values, p-values corrected over the features by Holm's method.

A PSI of few rows is noise: without drift it is about (bins - 1)(1/n + 1/m), and divided by (1/n + 1/m) it has roughly a
chi-squared distribution. So nothing is judged below ``MIN_ROWS`` rows, and an alarm needs both, size (PSI of .1) and
significance (``ALPHA`` after correction). With thousands of rows significance alone would cry over trifles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deployments.multiple_tests import holm
from deployments.served import ServedRow
from deployments.skills.features import FEATURES, SKILLS
from model_store.skill_records import BinsRecord, DriftRecord

BINS, SAMPLE, MIN_ROWS = 10, 400, 200
EPSILON = 1e-4
MODERATE, MAJOR = 0.10, 0.25
ALPHA = 0.01
Shift = Literal["stable", "moderate", "major", "unknown"]
Column = NDArray[np.float32]
"""The models read float32, and so do the bins: a value that many rows share must not fall on both sides of an edge."""


def reference_bins(values: NDArray[np.floating[Any]]) -> BinsRecord:
    """The quantile bins of a column that may have NaN. Values that many rows share make fewer, unequal bins."""
    observed = values[~np.isnan(values)]
    found = np.quantile(observed, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf") if len(observed) else ()
    edges = tuple(sorted({_short(edge) for edge in found}))
    return BinsRecord(
        edges=edges,
        shares=tuple(map(float, _shares(observed, edges))),
        missing=float(np.isnan(values).mean()),
        rows=len(values),
    )


def reference(base: NDArray[np.float32], seed: int) -> DriftRecord:
    """The reference of ``(n, 25)`` training rows: bins, and the values of ``SAMPLE`` rows for the KS test."""
    rows = np.random.default_rng([seed, 2]).choice(len(base), min(SAMPLE, len(base)), replace=False)
    columns = {feature.name: base[:, i] for i, feature in enumerate(FEATURES)}
    return DriftRecord(
        features={name: reference_bins(column) for name, column in columns.items()},
        samples={
            name: tuple(sorted(_short(value) for value in column[rows] if not np.isnan(value)))
            for name, column in columns.items()
        },
    )


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One feature or skill. ``ks`` and ``ks_p`` (Holm-corrected): features only. None where nothing can be said."""

    shift: Shift
    alarm: bool
    rows: int
    missing: float | None
    missing_expected: float | None
    psi: float | None
    missing_psi: float | None
    ks: float | None = None
    ks_p: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """The comparison of ``rows`` served rows with the reference of ``version``."""

    version: str
    rows: int
    judged: bool
    features: Mapping[str, ColumnDrift]
    estimates: Mapping[str, ColumnDrift]

    @property
    def alarms(self) -> list[str]:
        """The names that drifted."""
        return [name for part in (self.features, self.estimates) for name, one in part.items() if one.alarm]


def compare(rows: Sequence[ServedRow], record: DriftRecord, estimates: Mapping[str, BinsRecord], version: str) -> Drift:
    """Compare served rows with a bundle's reference. Rows of any version count for the features, because students do
    not change with a model; of the estimates only those of ``version``."""
    given = _matrix([row.features for row in rows], len(FEATURES))
    said = _matrix([row.estimates for row in rows if row.version == version], len(SKILLS))
    tested = {f.name: _ks(given[:, i], record.samples.get(f.name, ())) for i, f in enumerate(FEATURES)}
    told = {name: found[1] for name, found in tested.items() if found is not None}
    corrected = dict(zip(told, holm([*told.values()]), strict=True))
    features = {}
    for i, feature in enumerate(FEATURES):
        found, p = tested[feature.name], corrected.get(feature.name)
        ks = found[0] if found is not None else None
        features[feature.name] = _column(given[:, i], record.features[feature.name], len(FEATURES), ks, p)
    return Drift(
        version,
        len(rows),
        len(rows) >= MIN_ROWS,
        features,
        {
            skill: _column(said[:, i], estimates[skill], len(SKILLS))
            for i, skill in enumerate(SKILLS)
            if skill in estimates
        },
    )


def psi(served: ArrayLike, expected: ArrayLike) -> float:
    """The population stability index of two lists of shares."""
    p, q = (np.maximum(np.asarray(shares, np.float64), EPSILON) for shares in (served, expected))
    return float(((p - q) * np.log(p / q)).sum())


def _column(
    values: Column, record: BinsRecord, tests: int, ks: float | None = None, ks_p: float | None = None
) -> ColumnDrift:
    """``tests``: how many columns are judged at once."""
    observed = values[~np.isnan(values)]
    missing = float(np.isnan(values).mean()) if len(values) else None
    if len(values) < MIN_ROWS:
        return ColumnDrift("unknown", False, len(values), missing, record.missing, None, None, ks, ks_p)
    missing_psi = psi([missing or 0.0, 1 - (missing or 0.0)], [record.missing, 1 - record.missing])
    moved = _significant(missing_psi, 2, len(values), record.rows, tests)
    alarm = missing_psi >= MODERATE and moved
    size = missing_psi if moved else 0.0
    index = None
    if len(observed) >= MIN_ROWS and record.edges:
        index = psi(_shares(observed, record.edges), record.shares)
        there = round(record.rows * (1 - record.missing))
        surely = _significant(index, len(record.shares), len(observed), there, tests)
        # Bins see what moves within a feature's range, the KS test needs no bins: both must agree, where both can.
        if surely and (ks_p is None or ks_p < ALPHA):
            alarm, size = alarm or index >= MODERATE, max(size, index)
    shift: Shift = "major" if size >= MAJOR else "moderate" if size >= MODERATE else "stable"
    return ColumnDrift(shift, alarm, len(values), missing, record.missing, index, missing_psi, ks, ks_p)


def _significant(index: float, bins: int, served: int, expected: int, tests: int) -> bool:
    """Whether a PSI is larger than chance makes it, at ``ALPHA`` over ``tests`` columns (Bonferroni)."""
    from scipy.stats import chi2

    if bins < 2 or not served or not expected:
        return False
    return bool(chi2.sf(index / (1 / served + 1 / expected), bins - 1) < ALPHA / tests)


def _ks(values: Column, sample: Sequence[float]) -> tuple[float, float] | None:
    """Statistic and p-value; None below ``MIN_ROWS`` observed values."""
    from scipy.stats import ks_2samp

    observed = values[~np.isnan(values)]
    if len(observed) < MIN_ROWS or not sample:
        return None
    found = ks_2samp(observed, np.asarray(sample, np.float32), method="asymp")
    return float(found.statistic), float(found.pvalue)


def _shares(observed: Column, edges: Sequence[float]) -> NDArray[np.float64]:
    places = np.searchsorted(np.asarray(edges, np.float32), observed.astype(np.float32), side="right")
    counts: NDArray[np.float64] = np.bincount(places, minlength=len(edges) + 1) / max(1, len(observed))
    return counts


def _matrix(rows: Sequence[Sequence[float | None]], width: int) -> Column:
    return np.array(rows, dtype=np.float32).reshape(len(rows), width)


def _short(value: float) -> float:
    """The shortest decimal that reads as the same float32."""
    return float(str(np.float32(value)))
