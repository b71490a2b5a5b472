"""Transcripts and game events of students, from a JSONL file to the columns that skill models are trained on.

The way is the one of a request: the same parsing, the same extraction, the same aggregation (``docs/features.md`` has the
format). Messages name lines and fields, never a value: a line is a child's.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import orjson

from deployments.errors import InvalidInput, UnusableData
from deployments.skills.behavior import aggregate
from deployments.skills.events import parse_event, parse_time, unique
from deployments.skills.features import FEATURES, SKILLS, FeatureSet
from deployments.skills.linguistic.extract import extract_texts
from deployments.skills.linguistic.grammar import Grammar

TARGETS = tuple(f"{skill}_score" for skill in SKILLS)
GRADE, GROUP = "grade", "group_"
MAX_LINE_BYTES = 16 * 1024 * 1024
Row = dict[str, Any]


def read_raw(path: Path) -> Iterator[tuple[int, Row]]:
    """The lines' objects with their numbers. Raises ``UnusableData``."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if line.strip():
                    yield number, _object(number, line)
    except OSError as error:
        raise UnusableData(f"{path.name} cannot be read: {error.strerror}.") from error


def observed(row: Row, now: float, days: float, grammar: Grammar | None = None) -> FeatureSet:
    """The features of one line. ``now``: the clock when it has no ``as_of``. Raises ``InvalidInput`` with the field."""
    clock = parse_time(row["as_of"], "as_of") if row.get("as_of") is not None else now
    texts, bodies = _list(row, "texts"), _list(row, "events")
    if any(not isinstance(text, str) for text in texts):
        raise InvalidInput("texts must be texts.", "texts")
    linguistic = extract_texts(texts, grammar).features if texts else {}
    named = [_named(body, row["student_id"]) for body in bodies]
    events = [parse_event(body, clock, f"events[{i}]")[1] for i, body in enumerate(named)]
    behavioral = aggregate(unique(events).values(), clock, days)
    return FeatureSet.parse({"linguistic": linguistic, "behavioral": behavioral})


def write_table(
    rows: Iterable[tuple[int, Row]], out: TextIO, now: float, days: float, grammar: Grammar | None = None
) -> int:
    """Write the CSV that ``muster skills train`` reads; the number of its rows. Raises ``UnusableData``."""
    kept = [(row, _checked(number, row, now, days, grammar)) for number, row in rows]
    further = sorted({name for row, _ in kept for name in row if name == GRADE or name.startswith(GROUP)})
    columns = ("student_id", *further, *(feature.name for feature in FEATURES), *TARGETS)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row, features in kept:
        values = {f.name: value for f, value in zip(FEATURES, features.values, strict=True)}
        writer.writerow([_cell(values.get(name, row.get(name))) for name in columns])
    return len(kept)


def _checked(number: int, row: Row, now: float, days: float, grammar: Grammar | None) -> FeatureSet:
    try:
        _check_fields(row)
        return observed(row, now, days, grammar)
    except InvalidInput as error:
        raise UnusableData(f"line {number}, {error.param}: {error}") from None


def _check_fields(row: Row) -> None:
    student = row.get("student_id")
    if not isinstance(student, str) or not student:
        raise InvalidInput("This field is required.", "student_id")
    for name in row:
        known = name in ("student_id", "texts", "events", "as_of", GRADE, *TARGETS) or name.startswith(GROUP)
        if not known:
            raise InvalidInput("This field is not known here; remove it.", name[:40])


def _object(number: int, line: bytes) -> Row:
    if len(line) > MAX_LINE_BYTES:
        raise UnusableData(f"line {number} is longer than {MAX_LINE_BYTES} bytes.")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnusableData(f"line {number}, column {error.colno}: it is not JSON.") from None
    if not isinstance(row, dict):
        raise UnusableData(f"line {number}: it must be a JSON object.")
    return row


def _list(row: Row, name: str) -> Sequence[Any]:
    value = row.get(name) or []
    if not isinstance(value, list):
        raise InvalidInput("This field must be a list.", name)
    return value


def _named(body: Any, student: str) -> Any:
    """Events of a line need not repeat whose they are."""
    return {"student_id": student, **body} if isinstance(body, Mapping) else body


def _cell(value: Any) -> str:
    """A float's shortest decimal, so that reading it gives the same bits."""
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
