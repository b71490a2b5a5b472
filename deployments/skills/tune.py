"""Looks for better XGBoost settings with optuna (the extra ``muster[tune]``), on nested folds by student.

Only the training rows are used: what calibrates and tests stays unseen. The outer folds say what such a search is worth
(each searches on its own rows and is judged on the others); then one search over all training rows gives the settings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import DeploymentError
from deployments.skills.features import SCHEMA_HASH, SKILLS, Skill, with_derived
from deployments.skills.hyperparameters import PRESETS, Parameters, ParametersFile
from deployments.skills.train import fit, out_of_fold
from deployments.skills.training_data import TrainingData, folds_by_student, split_by_student

OUTER, INNER = 3, 3
INSTALL = "python -m pip install 'muster[tune]'"


class TunerMissing(DeploymentError):
    """optuna is not installed."""

    def __str__(self) -> str:
        return f"Tuning needs optuna, which is not installed. Run: {INSTALL}"


@dataclass(frozen=True, slots=True)
class _Rows:
    """The training rows of one skill: ``(n, 26)`` inputs, ``(n,)`` ratings and students."""

    skill: Skill
    inputs: NDArray[np.float32]
    target: NDArray[np.float32]
    students: NDArray[np.int64]

    def only(self, rows: NDArray[np.bool_]) -> "_Rows":
        return _Rows(self.skill, self.inputs[rows], self.target[rows], self.students[rows])


def tune(
    data: TrainingData, *, trials: int, seed: int, progress: Callable[[str], None] = lambda _: None
) -> ParametersFile:
    """Settings for every skill, and what they are worth. Raises ``TunerMissing``."""
    optuna = _optuna()
    train = split_by_student(data, seed).train
    chosen: dict[Skill, Parameters] = {}
    study: dict[str, Any] = {"optuna": optuna.__version__, "trials": trials, "seed": seed}
    study |= {"outer_folds": OUTER, "inner_folds": INNER, "data_sha256": data.source["sha256"], "skills": {}}
    for skill in SKILLS:
        rated = data.rated(train, skill)
        rows = _Rows(skill, with_derived(data.base[rated], skill), data.targets[skill][rated], data.students[rated])
        told = _nested(optuna, rows, trials, seed)
        chosen[skill], told["inner_mae"] = _search(optuna, rows, trials, seed)
        study["skills"][skill] = told
        progress(f"{skill}: nested MAE {told['nested_mae']:.4f}, with the usual settings {told['usual_mae']:.4f}")
    return ParametersFile(schema_hash=SCHEMA_HASH, skills=chosen, study=study)


def _nested(optuna: Any, rows: _Rows, trials: int, seed: int) -> dict[str, float]:
    """The error of searched settings on rows that the search has not seen, and of the usual settings on the same rows."""
    fold = folds_by_student(rows.students, OUTER)
    searched, usual = np.empty(len(fold)), np.empty(len(fold))
    for number in range(OUTER):
        inside, outside = rows.only(fold != number), rows.only(fold == number)
        found, _ = _search(optuna, inside, trials, seed + 1 + number)
        for parameters, errors in ((found, searched), (PRESETS["light"], usual)):
            booster = fit(rows.skill, inside.inputs, inside.target, parameters)
            errors[fold == number] = np.abs(booster.inplace_predict(outside.inputs) - outside.target)
    return {"nested_mae": round(float(searched.mean()), 5), "usual_mae": round(float(usual.mean()), 5)}


def _search(optuna: Any, rows: _Rows, trials: int, seed: int) -> tuple[Parameters, float]:
    """The best of so many settings by the out-of-fold error, the usual ones among them."""
    fold = folds_by_student(rows.students, INNER)

    def error(trial: Any) -> float:
        estimate = out_of_fold(rows.skill, rows.inputs, rows.target, fold, Parameters(**_suggested(trial)))
        return float(np.abs(estimate - rows.target).mean())

    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=seed))
    usual = PRESETS["light"].model_dump()
    study.enqueue_trial({name: usual[name] for name in _SPACE})
    study.optimize(error, n_trials=trials)
    return Parameters(**study.best_params), round(float(study.best_value), 5)


_SPACE: Mapping[str, tuple[float, float, bool]] = {
    "rounds": (60, 400, False),
    "max_depth": (2, 5, False),
    "eta": (0.02, 0.3, True),
    "subsample": (0.5, 1.0, False),
    "colsample_bytree": (0.5, 1.0, False),
    "min_child_weight": (1, 50, True),
    "reg_lambda": (0.1, 10, True),
}
"""Bounds, and whether the scale is logarithmic. Depth stays low: exact TreeSHAP is served with every answer."""


def _suggested(trial: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, (low, high, logarithmic) in _SPACE.items():
        if name in ("rounds", "max_depth"):
            found[name] = trial.suggest_int(name, int(low), int(high))
        else:
            found[name] = trial.suggest_float(name, low, high, log=logarithmic)
    return found


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise TunerMissing() from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
