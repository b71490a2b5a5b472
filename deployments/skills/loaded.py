"""One bundle in memory: XGBoost's boosters, the calibration, and what they say of rows. Immutable once made."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import EngineFault
from deployments.skills.assessment import Prediction
from deployments.skills.calibration import Calibration, Column, grade_band, raw_bounds
from deployments.skills.features import SKILLS, FeatureSet, Skill, base_matrix, vector_names, with_derived
from model_store.skill_records import BundleRecord, SkillBundle

GOLDEN_TOLERANCE = 1e-5


class LoadedBundle:
    """The models of one version. Any number of threads may predict with it at the same time."""

    def __init__(self, bundle: SkillBundle) -> None:
        self.record: BundleRecord = bundle.record
        self.sha256 = bundle.sha256
        self.skills: tuple[Skill, ...] = tuple(skill for skill in SKILLS if skill in bundle.models)
        self._boosters: dict[Skill, Any] = {skill: _booster(bundle.models[skill]) for skill in self.skills}
        self._bounds = {skill: tuple(_booster(model) for model in bundle.bounds[skill]) for skill in self.skills}
        self._calibrations = {
            skill: Calibration(**bundle.record.skills[skill].calibration.model_dump()) for skill in self.skills
        }

    @property
    def version(self) -> str:
        return self.record.version

    def warm(self) -> None:
        """Predict the golden row. Raises ``EngineFault`` when an output or its SHAP sum moved."""
        golden = self.record.golden
        rows = [FeatureSet(golden.features)]
        for skill in self.skills:
            (prediction,) = self.predict(skill, base_matrix(rows), rows)
            explained = prediction.baseline + sum(prediction.shap)
            for value in (prediction.margin, explained):
                if not abs(value - golden.margins[skill]) <= GOLDEN_TOLERANCE:
                    raise EngineFault(
                        f"The {skill} model's golden output moved by {value - golden.margins[skill]:.2g}."
                    )

    def estimates(self, skill: Skill, base: NDArray[np.float32]) -> Column:
        """Estimates alone, ``(n,)`` in 0..1, without their explanation: a twentieth of the time."""
        found: Column = self._boosters[skill].inplace_predict(with_derived(base, skill)).astype(np.float64)
        return found.clip(0.0, 1.0)

    def predict(self, skill: Skill, base: NDArray[np.float32], rows: Sequence[FeatureSet]) -> list[Prediction]:
        """One skill for ``(n, 25)`` observed features: a single TreeSHAP call, whose rows sum to the margins."""
        import xgboost

        started = time.perf_counter()
        inputs = with_derived(base, skill)
        matrix = xgboost.DMatrix(inputs, feature_names=list(vector_names(skill)), nthread=1)
        contributions = self._boosters[skill].predict(matrix, pred_contribs=True).astype(np.float64)
        margin = contributions.sum(axis=1)
        estimate = margin.clip(0.0, 1.0)
        low, high = (model.inplace_predict(inputs).astype(np.float64) for model in self._bounds[skill])
        if contributions.shape[1] != matrix.num_col() + 1 or not np.isfinite(margin + low + high).all():
            raise EngineFault(f"The {skill} model gave an answer that is not a number.")
        calibration = self._calibrations[skill]
        lower, upper = raw_bounds(estimate, low, high)
        offsets = calibration.offsets([grade_band(row.grade) for row in rows])
        # A negative offset may turn a narrow interval round; it then has no width, in its middle.
        half_width = np.maximum(0.0, (upper - lower) / 2 + offsets)
        shift = (upper + lower) / 2 - estimate
        each_ms = (time.perf_counter() - started) * 1000.0 / len(base)
        version, synthetic, level = self.record.version, self.record.synthetic_model, calibration.level
        columns = (estimate, margin, contributions, half_width, shift)
        return [
            Prediction(
                skill, estimate_, margin_, row[-1], tuple(row[:-1]), half, level, version, synthetic, each_ms, shift_
            )
            for estimate_, margin_, row, half, shift_ in zip(*(column.tolist() for column in columns), strict=True)
        ]


def _booster(model: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model))
    return booster
