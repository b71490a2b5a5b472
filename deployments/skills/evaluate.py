"""What a bundle is worth: figures, coverage at several levels, and the confidence's parts against the true error.

On the rows of the bundle's own data that nothing has seen, or on another file of rated students, all of it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import UnusableData
from deployments.skills.calibration import Calibration, Column, grade_band, scores
from deployments.skills.confidence import parts_of
from deployments.skills.features import FeatureSet, Skill, base_matrix
from deployments.skills.loaded import LoadedBundle
from deployments.skills.measures import QUALITY, Judged, baseline, measure, measure_groups, shortfalls
from deployments.skills.training_data import NO_GRADE, TrainingData, split_by_student, synthetic_data
from model_store.skill_records import BundleRecord

BINS = 10
FEWEST = 100
AT_A_TIME = 4_096


@dataclass(frozen=True, slots=True)
class SkillReport:
    """One skill on one set of rows. ``reliability``: covered share by nominal level; ``parts``: by part of the confidence,
    the mean part and the mean absolute error of tenths of the rows, from the least confident to the most."""

    rows: int
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    target: Mapping[str, float]
    missed: list[str]
    groups: Mapping[str, Mapping[str, float]]
    reliability: Mapping[str, float]
    parts: Mapping[str, list[tuple[float, float]]]
    unknown_grade_coverage: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A version on a set of rows."""

    version: str
    synthetic_model: bool
    data: Mapping[str, Any]
    made_at: str
    skills: Mapping[Skill, SkillReport] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def held_out(record: BundleRecord, data: TrainingData | None) -> tuple[TrainingData, NDArray[np.int64], str]:
    """The rows to judge a bundle by, and what they are. Raises ``UnusableData`` when its data are not at hand.

    Of the data that it was trained on only the test rows, which it has not seen; of other data all rows.
    """
    made_of = record.training_data
    if data is None:
        if not record.synthetic_model:
            raise UnusableData("This version was trained on a file; give that file, or a newer one, with --data.")
        data = synthetic_data(int(made_of["students"]), int(made_of["seed"]))
    if data.source["sha256"] == made_of["sha256"]:
        return data, split_by_student(data, int(made_of["split_seed"])).test, "test rows of its own training data"
    return data, np.arange(len(data)), "other data than it was trained on"


def evaluate(models: LoadedBundle, data: TrainingData | None = None) -> Evaluation:
    """Judge every skill. Raises ``UnusableData`` when a skill has fewer than 100 rated rows."""
    data, rows, kind = held_out(models.record, data)
    skills: dict[Skill, SkillReport] = {}
    for skill in models.skills:
        rated = data.rated(rows, skill)
        if len(rated) < FEWEST:
            raise UnusableData(f"{skill}_score: {len(rated)} rated rows; at least {FEWEST} are needed to judge by.")
        skills[skill] = _judge(models, skill, data, rated)
    facts = {"rows": kind, "sha256": data.source["sha256"], "synthetic": data.synthetic}
    made_at = datetime.now(UTC).isoformat()
    return Evaluation(models.version, models.record.synthetic_model, facts, made_at, skills)


def metrics_of(evaluation: Evaluation) -> dict[str, Mapping[str, float]]:
    """The figures by skill."""
    return {skill: report.metrics for skill, report in evaluation.skills.items()}


def _judge(models: LoadedBundle, skill: Skill, data: TrainingData, rows: NDArray[np.int64]) -> SkillReport:
    record = models.record.skills[skill]
    students = _feature_sets(data, rows)
    target = data.targets[skill][rows].astype(np.float64)
    predictions = [
        prediction
        for start in range(0, len(students), AT_A_TIME)
        for prediction in models.predict(
            skill, base_matrix(students[start : start + AT_A_TIME]), students[start : start + AT_A_TIME]
        )
    ]
    estimate, middle, half = (
        np.array(values)
        for values in zip(*((p.estimate, p.estimate + p.shift, p.half_width) for p in predictions), strict=True)
    )
    judged = Judged(estimate, target, (middle - half).clip(0, 1), (middle + half).clip(0, 1))
    calibration = Calibration(**record.calibration.model_dump())
    outside = _outside(calibration, students, target, middle, half)
    error = np.abs(estimate - target)
    parts = [asdict(parts_of(student, found)) for student, found in zip(students, predictions, strict=True)]
    metrics = measure(judged)
    r2, mae = QUALITY[skill]
    return SkillReport(
        rows=len(rows),
        metrics=metrics,
        # The mean of these rows: the best that one number for everyone could do.
        baseline=baseline(float(target.mean()), target),
        target={"r2": r2, "mae": mae},
        missed=shortfalls(skill, metrics),
        groups=measure_groups(judged, {name: column[rows] for name, column in data.groupings().items()}),
        reliability={level: _share(outside <= offset) for level, offset in calibration.reliability.items()},
        parts={name: _binned(np.array([part[name] for part in parts]), error) for name in parts[0]},
        unknown_grade_coverage=_share(outside <= calibration.widest),
    )


def _outside(
    calibration: Calibration, students: list[FeatureSet], target: Column, middle: Column, half: Column
) -> Column:
    """How far each rating lies outside its interval before calibration."""
    offsets = calibration.offsets([grade_band(student.grade) for student in students])
    return scores(middle - (half - offsets), middle + (half - offsets), target)


def _feature_sets(data: TrainingData, rows: NDArray[np.int64]) -> list[FeatureSet]:
    return [
        FeatureSet(
            tuple(None if value != value else value for value in values), None if grade == NO_GRADE else int(grade)
        )
        for values, grade in zip(data.base[rows].astype(np.float64).tolist(), data.grades[rows].tolist(), strict=True)
    ]


def _binned(part: Column, error: Column) -> list[tuple[float, float]]:
    """Mean part and mean error of tenths of the rows, in the part's order; equal values may lie in several tenths."""
    order = np.argsort(part, kind="stable")
    return [
        (round(float(part[rows].mean()), 4), round(float(error[rows].mean()), 4))
        for rows in np.array_split(order, BINS)
        if len(rows)
    ]


def _share(holds: NDArray[np.bool_]) -> float:
    return round(float(holds.mean()), 4)
