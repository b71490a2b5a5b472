"""Rated students as arrays, and who trains, calibrates and tests: split by student, so that no one is on two sides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.skills.calibration import grade_band
from deployments.skills.features import FEATURES, SKILLS, Skill
from deployments.skills.synthetic import GENERATOR_VERSION, generate
from model_store.digests import sha256_of

Rows = NDArray[np.int64]
SHARES = (0.70, 0.15, 0.15)
FEWEST = {"train": 800, "calibration": 100, "test": 100}
NO_GRADE = -1
_LINGUISTIC = np.array([feature.group == "linguistic" for feature in FEATURES])


@dataclass(frozen=True, slots=True)
class TrainingData:
    """``base``: ``(n, 25)`` float32, NaN where missing. ``targets``: ``(n,)`` float32 by skill, NaN where not rated.

    ``students``: a number per row, equal for rows of one student. ``grades``: -1 where unknown. ``groups``: further
    columns by which errors are told apart, never inputs of a model. ``source``: what a bundle says of its data.
    """

    base: NDArray[np.float32]
    targets: Mapping[Skill, NDArray[np.float32]]
    students: Rows
    grades: Rows
    groups: Mapping[str, NDArray[np.str_]]
    source: Mapping[str, Any]
    synthetic: bool

    def __len__(self) -> int:
        return len(self.base)

    @property
    def bands(self) -> NDArray[np.str_]:
        """The grade band of each row, empty where unknown."""
        return np.array([grade_band(grade) for grade in self.grades.tolist()], dtype=np.str_)

    def rated(self, rows: Rows, skill: Skill) -> Rows:
        """Those of the rows that have a rating of the skill."""
        return rows[~np.isnan(self.targets[skill][rows])]

    def groupings(self) -> dict[str, NDArray[np.str_]]:
        """Every way to tell rows apart: by grade band, by what was observed, by the data's own group columns."""
        return {"grade_band": self.bands, "observed": _observed(self.base), **self.groups}


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers by use, in random order, all rows of a student on one side."""

    train: Rows
    calibration: Rows
    test: Rows

    def sizes(self) -> dict[str, int]:
        return {"train": len(self.train), "calibration": len(self.calibration), "test": len(self.test)}


def synthetic_data(rows: int, seed: int) -> TrainingData:
    """The documented synthetic students."""
    made = generate(rows, seed)
    level = np.array(["developing", "medium", "high"], dtype=np.str_)[made.level]
    source = {
        "generator": "deployments.skills.synthetic",
        "generator_version": GENERATOR_VERSION,
        "students": rows,
        "seed": seed,
        "sha256": digest(made.base, made.targets),
    }
    return TrainingData(made.base, made.targets, np.arange(rows), made.grade, {"level": level}, source, synthetic=True)


def digest(base: NDArray[np.float32], targets: Mapping[Skill, NDArray[np.float32]]) -> str:
    """sha256 of the numbers: the same data, whatever file they came in."""
    return sha256_of([base.tobytes(), *(targets[skill].tobytes() for skill in SKILLS)])


def split_by_student(data: TrainingData, seed: int) -> Split:
    """70 / 15 / 15 % of the students."""
    order = np.random.default_rng([seed, 1]).permutation(int(data.students.max()) + 1)
    first, second = round(SHARES[0] * len(order)), round((SHARES[0] + SHARES[1]) * len(order))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    places = place[data.students]
    # Stable, so that one row a student keeps the random order of the students.
    rows = np.argsort(places, kind="stable")
    cuts = np.searchsorted(places[rows], (first, second))
    train, calibration, test = np.split(rows, cuts)
    return Split(train, calibration, test)


def folds_by_student(students: Rows, folds: int) -> Rows:
    """The fold of each row, ``(n,)``: all rows of a student are in one. Students are taken in the order they appear."""
    _, first, inverse = np.unique(students, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    result: Rows = rank[inverse] % folds
    return result


def _observed(base: NDArray[np.float32]) -> NDArray[np.str_]:
    missing = np.isnan(base)
    nothing_said, nothing_done = missing[:, _LINGUISTIC].all(axis=1), missing[:, ~_LINGUISTIC].all(axis=1)
    return np.where(nothing_said, "no transcript", np.where(nothing_done, "no telemetry", "both")).astype(np.str_)
