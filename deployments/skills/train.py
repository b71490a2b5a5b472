"""Trains the four skill models on rated students and publishes them as one bundle.

Students are split 70 / 15 / 15 into training, calibration and test. Per skill: out-of-fold models on the training rows
(folds by student) give honest residuals, from which the interval's two bound models learn, and the cross-validated error;
one model on all training rows serves; the calibration rows set the conformal offsets; and every printed metric comes from
the test rows, which nothing else has seen.

Skills train side by side, each on one XGBoost thread: the models do not depend on the number of threads, and XGBoost's
own threads, which spin while they wait, made training eight times slower on a busy two-core machine.
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import InvalidInput, UnusableData
from deployments.skills.bundle import Trained, build_bundle, canary_base
from deployments.skills.calibration import QUANTILES, Calibration, Column, calibrate, raw_bounds
from deployments.skills.drift import reference, reference_bins
from deployments.skills.features import SKILLS, Skill, vector_names, with_derived
from deployments.skills.hyperparameters import BOUNDS, PRESETS, Parameters
from deployments.skills.measures import Judged, baseline, measure, measure_groups
from deployments.skills.normalization import monotone_constraints
from deployments.skills.training_data import (
    FEWEST,
    Split,
    TrainingData,
    folds_by_student,
    split_by_student,
    synthetic_data,
)
from model_store.skill_records import BoundRecord, CalibrationRecord, CanaryRecord, SkillRecord
from model_store.skills import publish

MIN_ROWS, MAX_ROWS = 1_200, 200_000
"""Fewer students leave fewer than 800 / 100 / 100 for training, calibration and test."""
LEVEL = 0.90
FOLDS = 5
CANARY_STUDENTS = 25


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training run made. ``metrics`` are test metrics by skill."""

    version: str
    path: Path
    metrics: Mapping[Skill, Mapping[str, float]]
    seconds: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """One skill's three boosters. ``estimate`` says 0..1; ``lower`` and ``upper`` say how far a rating may lie off it."""

    skill: Skill
    estimate: Any
    lower: Any
    upper: Any

    def estimates(self, base: NDArray[np.float32]) -> Column:
        """``(n,)`` estimates in 0..1 of ``(n, 25)`` observed features."""
        return _estimate(self.estimate, with_derived(base, self.skill))

    def raw_interval(self, base: NDArray[np.float32]) -> tuple[Column, Column]:
        """Both bounds before calibration."""
        inputs = with_derived(base, self.skill)
        low, high = (model.inplace_predict(inputs).astype(np.float64) for model in (self.lower, self.upper))
        return raw_bounds(_estimate(self.estimate, inputs), low, high)

    def judge(
        self, data: TrainingData, rows: NDArray[np.int64], calibration: Calibration, *, banded: bool = True
    ) -> Judged:
        """Estimates and calibrated intervals of rated rows; not ``banded``: as if no grade were known."""
        lower, upper = self.raw_interval(data.base[rows])
        offsets = calibration.offsets(data.bands[rows].tolist() if banded else [""] * len(rows))
        target = data.targets[self.skill][rows].astype(np.float64)
        return Judged(
            self.estimates(data.base[rows]), target, (lower - offsets).clip(0, 1), (upper + offsets).clip(0, 1)
        )


def train_skills(
    out_dir: Path,
    *,
    data: TrainingData | None = None,
    rows: int = 4000,
    seed: int = 42,
    threads: int,
    parameters: Mapping[Skill, Parameters] | None = None,
    parent: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> TrainingReport:
    """Train all skills, prove the bundle and publish it in ``out_dir``; nothing is promoted.

    ``data``: rated students; ``rows`` synthetic ones when it is None. ``threads``: how many skills train at once.
    ``parent``: the champion at this time. Raises ``InvalidInput``, ``UnusableData`` when there are too few rows.
    """
    started = time.perf_counter()
    if data is None:
        if not MIN_ROWS <= rows <= MAX_ROWS:
            raise InvalidInput(f"rows must be from {MIN_ROWS} to {MAX_ROWS}.", "rows")
        progress(f"making {rows} synthetic students")
        data = synthetic_data(rows, seed)
    split = split_by_student(data, seed)
    golden = data.base[split.test[:1]]
    chosen = {skill: PRESETS["light"] for skill in SKILLS} | dict(parameters or {})
    trained: dict[Skill, Trained] = {}
    with ThreadPoolExecutor(threads, "train-skills") as pool:
        made = pool.map(lambda skill: _train_one(skill, data, split, golden, chosen[skill]), SKILLS)
        for skill, one in zip(SKILLS, made, strict=True):
            trained[skill] = one
            metrics = one.record.metrics
            progress(f"{skill}: R2 {metrics['r2']:.3f}, MAE {metrics['mae']:.3f}, coverage {metrics['coverage']:.3f}")
    record, files = build_bundle(trained, data, split.sizes(), golden[0], seed, parent)
    record = record.model_copy(update={"drift": reference(data.base[split.train], seed)})
    path = publish(out_dir, record, files)
    seconds = time.perf_counter() - started
    progress(f"published skills {record.version} in {seconds:.1f} s")
    return TrainingReport(record.version, path, {skill: one.record.metrics for skill, one in trained.items()}, seconds)


def fit_skill(skill: Skill, data: TrainingData, train: NDArray[np.int64], chosen: Parameters) -> tuple[Fitted, Column]:
    """The three boosters, and the out-of-fold estimates of the training rows."""
    inputs, target = with_derived(data.base[train], skill), data.targets[skill][train]
    honest = out_of_fold(skill, inputs, target, folds_by_student(data.students[train], FOLDS), chosen)
    residual = (target - honest).astype(np.float32)
    lower, upper = (_fit_bound(skill, inputs, residual, alpha) for alpha in QUANTILES)
    return Fitted(skill, fit(skill, inputs, target, chosen), lower, upper), honest


def fit(skill: Skill, inputs: NDArray[np.float32], target: NDArray[np.float32], chosen: Parameters) -> Any:
    """One estimate model; monotone where the evidence table states a direction."""
    import xgboost

    matrix = xgboost.DMatrix(inputs, label=target, feature_names=list(vector_names(skill)), nthread=1)
    options = {**chosen.for_xgboost(), "monotone_constraints": monotone_constraints(skill), "nthread": 1}
    return xgboost.train(options, matrix, chosen.rounds)


def out_of_fold(
    skill: Skill,
    inputs: NDArray[np.float32],
    target: NDArray[np.float32],
    fold: NDArray[np.int64],
    chosen: Parameters,
) -> Column:
    """An estimate of every row by a model that saw neither it nor another row of its student."""
    estimate = np.empty(len(target), dtype=np.float64)
    for number in np.unique(fold):
        booster = fit(skill, inputs[fold != number], target[fold != number], chosen)
        estimate[fold == number] = _estimate(booster, inputs[fold == number])
    return estimate


def _train_one(
    skill: Skill, data: TrainingData, split: Split, golden: NDArray[np.float32], chosen: Parameters
) -> Trained:
    """Fit, calibrate and measure one skill's models."""
    train, held, test = (data.rated(rows, skill) for rows in (split.train, split.calibration, split.test))
    samples = {"train": len(train), "calibration": len(held), "test": len(test)}
    for use, count in samples.items():
        if count < FEWEST[use]:
            raise UnusableData(f"{skill}_score: {count} rated rows for {use}; at least {FEWEST[use]} are needed.")
    fitted, honest = fit_skill(skill, data, train, chosen)
    lower, upper = fitted.raw_interval(data.base[held])
    target = data.targets[skill].astype(np.float64)
    calibration = calibrate(lower, upper, target[held], data.bands[held].tolist(), LEVEL)
    judged = fitted.judge(data, test, calibration)
    canary = with_derived(canary_base(data.base[split.test[:CANARY_STUDENTS]]), skill)
    record = SkillRecord(
        file=f"{skill}.ubj",
        lower=_bound_record(fitted.lower, f"{skill}.lower.ubj", canary),
        upper=_bound_record(fitted.upper, f"{skill}.upper.ubj", canary),
        hyperparameters={**chosen.for_xgboost(), "rounds": chosen.rounds}
        | {"monotone_constraints": monotone_constraints(skill)},
        bound_hyperparameters={**BOUNDS.model_dump(), "quantiles": QUANTILES},
        metrics=measure(judged),
        baseline=baseline(float(target[train].mean()), judged.target),
        cross_validation=_folded(target[train], honest),
        groups=measure_groups(judged, {name: column[test] for name, column in data.groupings().items()}),
        samples=samples,
        calibration=CalibrationRecord(**asdict(calibration)),
        canary=CanaryRecord(
            rows=tuple(tuple(None if math.isnan(value) else value for value in row) for row in canary.tolist()),
            margins=tuple(fitted.estimate.inplace_predict(canary).tolist()),
        ),
        estimates=reference_bins(judged.estimate),
    )
    margin = float(fitted.estimate.inplace_predict(with_derived(golden, skill))[0])
    models = {
        record.file: bytes(fitted.estimate.save_raw("ubj")),
        record.lower.file: bytes(fitted.lower.save_raw("ubj")),
        record.upper.file: bytes(fitted.upper.save_raw("ubj")),
    }
    return Trained(models, record, margin)


def _bound_record(booster: Any, file: str, canary: NDArray[np.float32]) -> BoundRecord:
    return BoundRecord(file=file, margins=tuple(booster.inplace_predict(canary).tolist()))


def _fit_bound(skill: Skill, inputs: NDArray[np.float32], residual: NDArray[np.float32], alpha: float) -> Any:
    """One quantile of the residuals. Not monotone: XGBoost sets quantile leaves after the constraints were applied."""
    import xgboost

    matrix = xgboost.DMatrix(inputs, label=residual, feature_names=list(vector_names(skill)), nthread=1)
    quantile = {"objective": "reg:quantileerror", "quantile_alpha": alpha, "nthread": 1}
    return xgboost.train({**BOUNDS.for_xgboost(), **quantile}, matrix, BOUNDS.rounds)


def _estimate(booster: Any, inputs: NDArray[np.float32]) -> Column:
    estimate: Column = booster.inplace_predict(inputs).astype(np.float64).clip(0.0, 1.0)
    return estimate


def _folded(target: Column, honest: Column) -> dict[str, float]:
    """The out-of-fold error of the training rows."""
    error = honest - target
    return {
        "folds": float(FOLDS),
        "mae": round(float(np.abs(error).mean()), 4),
        "r2": round(1.0 - float((error**2).mean() / target.var()), 4),
    }
