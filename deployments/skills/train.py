"""Trains the four skill models on the synthetic data set and publishes them as one bundle.

Rows are split 70 / 15 / 15 into training, calibration and test. Per skill: five out-of-fold models on the training rows
give honest residuals for the expected-error fit, one model on all training rows serves, the calibration rows set the
interval's quantile, and every printed metric comes from the test rows, which nothing else has seen.

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

from deployments.errors import InvalidInput
from deployments.skills.bundle import Trained, build_bundle, canary_base
from deployments.skills.calibration import calibrate, fit_coefficients
from deployments.skills.drift import reference, reference_bins
from deployments.skills.features import SKILLS, Skill, vector_names, with_derived
from deployments.skills.normalization import monotone_constraints
from deployments.skills.synthetic import SyntheticData, generate
from model_store.skill_records import CalibrationRecord, CanaryRecord, SkillRecord
from model_store.skills import publish

MIN_ROWS, MAX_ROWS = 1_200, 200_000
"""Fewer rows leave fewer than 800 / 100 / 100 for training, calibration and test."""
LEVEL = 0.90
FOLDS = 5
CANARY_STUDENTS = 25
ROUNDS = 200
HYPERPARAMETERS: Mapping[str, Any] = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.08,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "min_child_weight": 10,
    "seed": 42,
}
"""Squared error, so that estimates and SHAP values are in score units; shallow trees, because exact SHAP is served."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training run made. ``metrics`` are test metrics by skill."""

    version: str
    path: Path
    metrics: Mapping[Skill, Mapping[str, float]]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Split:
    train: NDArray[np.int64]
    calibration: NDArray[np.int64]
    test: NDArray[np.int64]


def train_skills(
    out_dir: Path,
    *,
    rows: int = 4000,
    seed: int = 42,
    threads: int,
    progress: Callable[[str], None] = lambda _: None,
) -> TrainingReport:
    """Train all skills on ``rows`` synthetic students, prove the bundle, publish it in ``out_dir``, make it the champion.

    ``threads``: how many skills train at once. Raises ``InvalidInput`` when ``rows`` is out of range.
    """
    if not MIN_ROWS <= rows <= MAX_ROWS:
        raise InvalidInput(f"rows must be from {MIN_ROWS} to {MAX_ROWS}.", "rows")
    started = time.perf_counter()
    progress(f"making {rows} synthetic students")
    data = generate(rows, seed)
    split = _split(rows, seed)
    golden = data.base[split.test[:1]]
    trained: dict[Skill, Trained] = {}
    with ThreadPoolExecutor(threads, "train-skills") as pool:
        for skill, one in zip(
            SKILLS, pool.map(lambda skill: _train_one(skill, data, split, golden), SKILLS), strict=True
        ):
            trained[skill] = one
            metrics = one.record.metrics
            progress(f"{skill}: R2 {metrics['r2']:.3f}, MAE {metrics['mae']:.3f}, coverage {metrics['coverage']:.3f}")
    sizes = {"train": len(split.train), "calibration": len(split.calibration), "test": len(split.test)}
    record, files = build_bundle(trained, data, sizes, golden[0], seed)
    record = record.model_copy(update={"drift": reference(data.base[split.train], seed)})
    path = publish(out_dir, record, files)
    seconds = time.perf_counter() - started
    progress(f"published skills {record.version} in {seconds:.1f} s")
    return TrainingReport(record.version, path, {skill: one.record.metrics for skill, one in trained.items()}, seconds)


def _split(rows: int, seed: int) -> _Split:
    order = np.random.default_rng([seed, 1]).permutation(rows)
    train, calibration = round(0.70 * rows), round(0.85 * rows)
    return _Split(order[:train], order[train:calibration], order[calibration:])


def _train_one(skill: Skill, data: SyntheticData, split: _Split, golden: NDArray[np.float32]) -> Trained:
    """Fit, calibrate and measure one skill's model."""
    inputs, target = with_derived(data.base, skill), data.targets[skill]
    honest = _out_of_fold(skill, inputs[split.train], target[split.train])
    coefficients = fit_coefficients(data.base[split.train], honest, target[split.train])
    booster = _fit(skill, inputs[split.train], target[split.train])
    held = split.calibration
    calibration = calibrate(data.base[held], _estimate(booster, inputs[held]), target[held], coefficients, LEVEL)
    tested = _estimate(booster, inputs[split.test])
    metrics = _metrics(tested, target[split.test], calibration.half_width(data.base[split.test], tested))
    canary = with_derived(canary_base(data.base[split.test[:CANARY_STUDENTS]]), skill)
    record = SkillRecord(
        file=f"{skill}.ubj",
        hyperparameters={**HYPERPARAMETERS, "rounds": ROUNDS, "monotone_constraints": monotone_constraints(skill)},
        metrics=metrics,
        calibration=CalibrationRecord(**asdict(calibration)),
        canary=CanaryRecord(
            rows=tuple(tuple(None if math.isnan(value) else value for value in row) for row in canary.tolist()),
            margins=tuple(booster.inplace_predict(canary).tolist()),
        ),
        estimates=reference_bins(tested),
    )
    margin = float(booster.inplace_predict(with_derived(golden, skill))[0])
    return Trained(bytes(booster.save_raw("ubj")), record, margin)


def _fit(skill: Skill, inputs: NDArray[np.float32], target: NDArray[np.float32]) -> Any:
    import xgboost

    matrix = xgboost.DMatrix(inputs, label=target, feature_names=list(vector_names(skill)), nthread=1)
    options = {**HYPERPARAMETERS, "monotone_constraints": monotone_constraints(skill), "nthread": 1}
    return xgboost.train(options, matrix, ROUNDS)


def _estimate(booster: Any, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    estimate: NDArray[np.float64] = booster.inplace_predict(inputs).astype(np.float64).clip(0.0, 1.0)
    return estimate


def _out_of_fold(skill: Skill, inputs: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """An estimate of every training row by a model that did not see it. The rows are already in random order."""
    fold = np.arange(len(target)) % FOLDS
    estimate = np.empty(len(target), dtype=np.float64)
    for number in range(FOLDS):
        booster = _fit(skill, inputs[fold != number], target[fold != number])
        estimate[fold == number] = _estimate(booster, inputs[fold == number])
    return estimate


def _metrics(
    estimate: NDArray[np.float64], target: NDArray[np.float32], half_width: NDArray[np.float64]
) -> dict[str, float]:
    """Test metrics: mean absolute error, R2, Pearson correlation, interval coverage and mean width."""
    error = target - estimate
    values = {
        "mae": np.abs(error).mean(),
        "r2": 1.0 - (error**2).mean() / target.var(),
        "pearson": np.corrcoef(estimate, target)[0, 1],
        "coverage": (np.abs(error) <= half_width).mean(),
        "interval_width": (2.0 * half_width).mean(),
    }
    return {name: round(float(value), 4) for name, value in values.items()}
