"""What estimates and intervals are worth on rated rows: errors, correlations, coverage, all of it also by group."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.skills.calibration import Column
from deployments.skills.features import Skill

QUALITY: Mapping[Skill, tuple[float, float]] = {
    "empathy": (0.75, 0.10),
    "problem_solving": (0.78, 0.09),
    "self_regulation": (0.72, 0.11),
    "resilience": (0.76, 0.10),
}
"""The product's quality targets: R2 of at least, mean absolute error of at most."""
SMALLEST_GROUP = 30
"""Rows below which a group's figures would be chance, and might tell of a single student: they are not given."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Estimates beside ratings, ``(n,)`` each. ``lower`` and ``upper``: the calibrated interval in 0..1."""

    estimate: Column
    target: Column
    lower: Column
    upper: Column

    def only(self, rows: NDArray[np.bool_]) -> "Judged":
        return Judged(self.estimate[rows], self.target[rows], self.lower[rows], self.upper[rows])


def measure(judged: Judged) -> dict[str, float]:
    """Mean absolute and root mean squared error, bias (estimate minus rating), R2, correlations, coverage, width."""
    error = judged.estimate - judged.target
    spread = float(judged.target.var())
    figures = {
        "mae": np.abs(error).mean(),
        "rmse": np.sqrt((error**2).mean()),
        "bias": error.mean(),
        "r2": 1.0 - (error**2).mean() / spread if spread > 0 else 0.0,
        "pearson": _correlation(judged.estimate, judged.target),
        "spearman": _correlation(_ranks(judged.estimate), _ranks(judged.target)),
        "coverage": ((judged.target >= judged.lower) & (judged.target <= judged.upper)).mean(),
        "interval_width": (judged.upper - judged.lower).mean(),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def measure_groups(judged: Judged, groupings: Mapping[str, NDArray[np.str_]]) -> dict[str, dict[str, float]]:
    """Figures of every group of at least 30 rows, by ``column: value``; rows without a value are left out."""
    found: dict[str, dict[str, float]] = {}
    for name, column in groupings.items():
        for value in sorted(set(column.tolist()) - {""}):
            rows = column == value
            if rows.sum() >= SMALLEST_GROUP:
                figures = measure(judged.only(rows))
                kept = ("mae", "bias", "coverage", "interval_width")
                found[f"{name}: {value}"] = {"rows": float(rows.sum()), **{key: figures[key] for key in kept}}
    return found


def baseline(train_mean: float, target: Column) -> dict[str, float]:
    """What predicting the training rows' mean for everyone would reach."""
    error = train_mean - target
    return {
        "mae": round(float(np.abs(error).mean()), 4),
        "rmse": round(float(np.sqrt((error**2).mean())), 4),
        "r2": round(1.0 - float((error**2).mean() / target.var()), 4),
    }


def shortfalls(skill: Skill, metrics: Mapping[str, float]) -> list[str]:
    """The quality targets that are not met, in words."""
    r2, mae = QUALITY[skill]
    missed = []
    if metrics["r2"] < r2:
        missed.append(f"R2 {metrics['r2']:.3f} is below {r2:.2f}")
    if metrics["mae"] > mae:
        missed.append(f"MAE {metrics['mae']:.3f} is above {mae:.2f}")
    return missed


def _correlation(left: Column, right: Column) -> float:
    if len(left) < 2 or left.std() == 0 or right.std() == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])


def _ranks(values: Column) -> Column:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    result: Column = (last - (counts - 1) / 2)[inverse]
    return result
