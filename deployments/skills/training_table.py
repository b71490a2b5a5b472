"""Reads rated students from a CSV file and says, line by line and column by column, what is wrong with it.

``docs/training-data.md`` describes the format for those who make such files. Messages name lines and columns and what
would be right; they never repeat a value, because a row is a child's.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deployments.errors import UnusableData
from deployments.skills.calibration import HIGHEST_GRADE
from deployments.skills.features import DERIVED, FEATURES, SKILLS
from deployments.skills.training_data import NO_GRADE, TrainingData, digest

SHOWN = 20
"""Problems that are told at once."""
MAX_ROWS = 200_000
MAX_GROUP_VALUES, MAX_GROUP_CHARS = 20, 40
STUDENT, GRADE, GROUP = "student_id", "grade", "group_"
TARGETS = tuple(f"{skill}_score" for skill in SKILLS)
REQUIRED = (STUDENT, *(feature.name for feature in FEATURES), *TARGETS)
RECOMPUTED = tuple(name for name, _, _ in DERIVED.values())
_RANGES = {f.name: (f.low, f.high, f.unit) for f in FEATURES} | {name: (0.0, 1.0, "mean rating") for name in TARGETS}


@dataclass
class _Problems:
    """What is wrong, the first ``SHOWN`` of it in words."""

    file: str
    found: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, column: str, what: str) -> None:
        self.count += 1
        if len(self.found) < SHOWN:
            self.found.append(f"line {line}, column {column[:40]}: {what}")

    def raise_any(self) -> None:
        if self.count:
            more = f"\n  and {self.count - len(self.found)} more" if self.count > len(self.found) else ""
            problems = "problem" if self.count == 1 else "problems"
            raise UnusableData(f"{self.file} has {self.count} {problems}:\n  " + "\n  ".join(self.found) + more)


@dataclass
class _Columns:
    """The values read so far, by column."""

    students: list[str] = field(default_factory=list)
    numbers: list[list[float]] = field(default_factory=list)
    grades: list[int] = field(default_factory=list)
    groups: list[list[str]] = field(default_factory=list)


def read_table(path: Path) -> TrainingData:
    """The rated students of a CSV file. Raises ``UnusableData`` with every problem, up to ``SHOWN`` of them in words."""
    problems = _Problems(path.name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(header, problems)
            group_names = [name for name in header if name.startswith(GROUP)]
            columns = _Columns()
            for line, row in _rows(reader, len(header), problems):
                _read_row(line, dict(zip(header, row, strict=True)), group_names, columns, problems)
    except OSError as error:
        raise UnusableData(f"{path.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UnusableData(f"{path.name} is not UTF-8; save it as CSV with UTF-8 encoding.") from error
    except csv.Error as error:
        raise UnusableData(f"{path.name} is not CSV after line {reader.line_num}: {error}.") from error
    _check_groups(group_names, columns, problems)
    problems.raise_any()
    if not columns.students:
        raise UnusableData(f"{path.name} has no rows below its heading.")
    return _assembled(columns, group_names)


def _check_header(header: Sequence[str], problems: _Problems) -> None:
    """The first line must name every required column once; without it nothing below can be read."""
    for name in REQUIRED:
        if name not in header:
            problems.add(1, name, "this column is missing (an unknown value is an empty cell, not a missing column)")
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            problems.add(1, name, "this column is there twice")
        if name not in (*REQUIRED, *RECOMPUTED, GRADE) and not name.startswith(GROUP):
            problems.add(1, name or "(empty)", f"no such column; groups of students are columns named {GROUP}...")
    problems.raise_any()


def _rows(reader: Iterator[list[str]], width: int, problems: _Problems) -> Iterator[tuple[int, list[str]]]:
    """The rows with as many cells as the header, with their line; empty lines are left out."""
    for row in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        if not any(cell.strip() for cell in row):
            continue
        if line > MAX_ROWS + 1:
            raise UnusableData(f"{problems.file} has more than {MAX_ROWS} rows.")
        if len(row) != width:
            problems.add(line, "all", f"it has {len(row)} cells, and the heading has {width}")
            continue
        yield line, [cell.strip() for cell in row]


def _read_row(line: int, row: dict[str, str], groups: Sequence[str], columns: _Columns, problems: _Problems) -> None:
    if not row[STUDENT]:
        problems.add(line, STUDENT, "it is empty; rows of one student must share an id, so that they stay together")
    columns.students.append(row[STUDENT])
    columns.numbers.append([_number(line, name, row[name], problems) for name in _RANGES])
    columns.grades.append(_grade(line, row.get(GRADE, ""), problems))
    columns.groups.append([row[name] for name in groups])


def _number(line: int, name: str, cell: str, problems: _Problems) -> float:
    """A number in its range, NaN for an empty cell."""
    if not cell:
        return math.nan
    low, high, unit = _RANGES[name]
    allowed = f"a number from {low:g} to {high:g} ({unit}), or an empty cell when unknown"
    try:
        value = float(cell)
    except ValueError:
        hint = "; write decimals with a point" if "," in cell else ""
        problems.add(line, name, f"it is no number; give {allowed}{hint}")
        return math.nan
    if not low <= value <= high:
        problems.add(line, name, f"it is out of range; give {allowed}")
        return math.nan
    return value


def _grade(line: int, cell: str, problems: _Problems) -> int:
    if not cell:
        return NO_GRADE
    if cell.upper() == "K":
        return 0
    if not (cell.isascii() and cell.isdigit()) or int(cell) > HIGHEST_GRADE:
        problems.add(line, GRADE, f"give a grade from 0 (kindergarten, or K) to {HIGHEST_GRADE}, or an empty cell")
        return NO_GRADE
    return int(cell)


def _check_groups(names: Sequence[str], columns: _Columns, problems: _Problems) -> None:
    for index, name in enumerate(names):
        values = {row[index] for row in columns.groups} - {""}
        if len(values) > MAX_GROUP_VALUES or any(len(value) > MAX_GROUP_CHARS for value in values):
            problems.add(
                1, name, f"a group column has up to {MAX_GROUP_VALUES} values of up to {MAX_GROUP_CHARS} characters"
            )


def _assembled(columns: _Columns, group_names: Sequence[str]) -> TrainingData:
    numbers = np.array(columns.numbers, dtype=np.float32)
    base = numbers[:, : len(FEATURES)]
    targets = {skill: numbers[:, len(FEATURES) + i] for i, skill in enumerate(SKILLS)}
    # By first appearance: the order of lines, not of ids, decides the split.
    code = {student: number for number, student in enumerate(dict.fromkeys(columns.students))}
    held = np.array(columns.groups, dtype=np.str_).reshape(len(base), len(group_names))
    source = {"file": "csv", "students": len(code), "records": len(base), "sha256": digest(base, targets)}
    return TrainingData(
        base=base,
        targets=targets,
        students=np.array([code[student] for student in columns.students], dtype=np.int64),
        grades=np.array(columns.grades, dtype=np.int64),
        groups={name.removeprefix(GROUP): held[:, i] for i, name in enumerate(group_names)},
        source=source,
        synthetic=False,
    )
