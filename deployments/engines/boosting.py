"""The skill models as an engine: one XGBoost call per skill for a whole batch gives estimates and exact TreeSHAP.

Every call runs on one XGBoost thread and the skills run side by side in ``threads`` workers: XGBoost's own threads spin
while they wait, and on a busy two-core machine made one row cost 128 ms instead of 2.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.engines.base import Description, Prepared
from deployments.errors import EngineFault, InvalidInput, ModelNotReady
from deployments.skills.assessment import Prediction
from deployments.skills.calibration import Calibration
from deployments.skills.features import SCHEMA_HASH, SKILLS, FeatureSet, Skill, base_matrix, vector_names, with_derived
from model_store.skill_records import BundleRecord
from model_store.skills import open_champion

GOLDEN_TOLERANCE = 1e-5
NO_GATE: AbstractContextManager[object] = nullcontext()


@dataclass(frozen=True, slots=True)
class SkillRow:
    """One student to assess: what was observed, and which skills are asked for."""

    features: FeatureSet
    skills: tuple[Skill, ...] = SKILLS


class BoostingEngine:
    """The champion bundle of ``skills_dir``; implements ``Engine``.

    ``threads``: skills computed at the same time. ``gate``: a reusable context that is held while a batch computes.
    """

    def __init__(self, skills_dir: Path, threads: int, gate: AbstractContextManager[object] = NO_GATE) -> None:
        self._skills_dir, self._threads, self._gate = skills_dir, threads, gate
        self._record: BundleRecord | None = None
        self._boosters: dict[Skill, Any] = {}
        self._calibrations: dict[Skill, Calibration] = {}
        self._pool: ThreadPoolExecutor | None = None

    @property
    def record(self) -> BundleRecord:
        """The loaded bundle's record. Raises ``ModelNotReady`` before ``load``."""
        if self._record is None:
            raise ModelNotReady("skills")
        return self._record

    def load(self) -> None:
        """Open, check and load the champion bundle. Raises ``NoSkillModels``, ``TamperedModel``."""
        import xgboost

        bundle = open_champion(self._skills_dir, schema_hash=SCHEMA_HASH, num_feature=len(vector_names(SKILLS[0])))
        for skill in _known(bundle.models):
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(bundle.models[skill]))
            self._boosters[skill] = booster
            self._calibrations[skill] = Calibration(**bundle.record.skills[skill].calibration.model_dump())
        self._pool = ThreadPoolExecutor(self._threads, "skills")
        self._record = bundle.record

    def warm(self) -> None:
        """Predict the bundle's golden row. Raises ``EngineFault`` when an output or its SHAP sum moved."""
        golden = self.record.golden
        row = SkillRow(FeatureSet(golden.features), tuple(self._boosters))
        for skill, prediction in self.run([Prepared(row, 1)])[0].items():
            explained = prediction.baseline + sum(prediction.shap)
            for value in (prediction.margin, explained):
                if not abs(value - golden.margins[skill]) <= GOLDEN_TOLERANCE:
                    raise EngineFault(
                        f"The {skill} model's golden output moved by {value - golden.margins[skill]:.2g}."
                    )

    def prepare(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | Exception]:
        """One row of cost 1 per ``FeatureSet``, ``SkillRow`` or features object; ``options["skills"]`` picks skills."""
        try:
            skills = self._asked(options.get("skills", tuple(self._boosters)))
        except InvalidInput as error:
            return [error] * len(inputs)
        return [_prepared(item, skills, index) for index, item in enumerate(inputs)]

    def run(self, items: Sequence[Prepared]) -> list[dict[Skill, Prediction]]:
        """Predict every row's skills, in order. Raises ``EngineFault`` on an answer that is not a number."""
        rows: list[SkillRow] = [item.payload for item in items]
        wanted = {skill: [i for i, row in enumerate(rows) if skill in row.skills] for skill in self._boosters}
        base = base_matrix([row.features for row in rows])
        calls = [(skill, base[indices]) for skill, indices in wanted.items() if indices]
        results: list[dict[Skill, Prediction]] = [{} for _ in rows]
        if self._pool is None:
            raise ModelNotReady("skills")
        with self._gate:
            answers = list(self._pool.map(lambda call: self._predict(*call), calls))
        for (skill, _), found in zip(calls, answers, strict=True):
            for index, prediction in zip(wanted[skill], found, strict=True):
                results[index][skill] = prediction
        return results

    def describe(self) -> Description:
        """Version, limits and each skill's test metrics."""
        record = self.record
        return Description(
            model="skills",
            revision=record.version,
            backend="xgboost",
            limits={"features": len(vector_names(SKILLS[0]))},
            details={
                "skills": list(self._boosters),
                "synthetic_model": record.synthetic_model,
                "schema_hash": record.schema_hash,
                "metrics": {skill: dict(entry.metrics) for skill, entry in record.skills.items()},
            },
        )

    def _asked(self, skills: Iterable[str]) -> tuple[Skill, ...]:
        """The asked-for skills in the engine's order; an unknown one raises ``InvalidInput``."""
        asked = set(skills)
        if not asked <= set(self._boosters):
            raise InvalidInput(f"skills must be among: {', '.join(self._boosters)}.", "skills")
        return tuple(skill for skill in self._boosters if skill in asked)

    def _predict(self, skill: Skill, base: NDArray[np.float32]) -> list[Prediction]:
        """One skill for ``(n, 25)`` observed features: a single TreeSHAP call, whose rows sum to the margins."""
        import xgboost

        started = time.perf_counter()
        matrix = xgboost.DMatrix(with_derived(base, skill), feature_names=list(vector_names(skill)), nthread=1)
        contributions = self._boosters[skill].predict(matrix, pred_contribs=True).astype(np.float64)
        margin = contributions.sum(axis=1)
        if contributions.shape[1] != matrix.num_col() + 1 or not np.isfinite(margin).all():
            raise EngineFault(f"The {skill} model gave an answer that is not a number.")
        estimate = margin.clip(0.0, 1.0)
        half_width = self._calibrations[skill].half_width(base, estimate)
        each_ms = (time.perf_counter() - started) * 1000.0 / len(base)
        version, synthetic, level = self.record.version, self.record.synthetic_model, self._calibrations[skill].level
        return [
            Prediction(skill, estimate_, margin_, row[-1], tuple(row[:-1]), half, level, version, synthetic, each_ms)
            for estimate_, margin_, row, half in zip(
                estimate.tolist(), margin.tolist(), contributions.tolist(), half_width.tolist(), strict=True
            )
        ]


def _known(models: Mapping[str, bytes]) -> list[Skill]:
    return [skill for skill in SKILLS if skill in models]


def _prepared(item: Any, skills: tuple[Skill, ...], index: int) -> Prepared | Exception:
    """One input as a row; equal observations and skills have equal keys."""
    if isinstance(item, SkillRow):
        row = item
    else:
        try:
            features = item if isinstance(item, FeatureSet) else FeatureSet.parse(item, f"input[{index}]")
        except InvalidInput as error:
            return error
        row = SkillRow(features, skills)
    return Prepared(row, 1, key=repr((row.features.values, row.skills)).encode())
