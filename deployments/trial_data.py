"""The user's data that a model is judged by: rated pairs of texts for embeddings, plain texts for classifiers.

Muster ships none. Rated pairs are the form of STS-B: CSV in UTF-8 without a heading, three columns, first text, second text
and a number that is higher the more alike the two are. Plain texts: UTF-8, one a line. Blank lines do not count.
"""

import csv
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.errors import UnusableData

FEWEST = 100
"""Pairs or texts; over fewer the difference of two models is chance."""
_COLUMNS = ("first text", "second text", "score")


@dataclass(frozen=True, slots=True)
class RatedPairs:
    """``scores[i]`` says how much ``first[i]`` and ``second[i]`` are alike."""

    first: Sequence[str]
    second: Sequence[str]
    scores: Sequence[float]

    @property
    def texts(self) -> list[str]:
        return [*self.first, *self.second]


def read_pairs(path: Path) -> RatedPairs:
    """Raises ``UnusableData`` with line and column."""
    rows = list(_rows(path))
    _require_enough(path, len(rows), "pairs")
    scores = [score for _, _, score in rows]
    if len(set(scores)) == 1:
        raise UnusableData(f"{path}, column 3 (score): all scores are equal; nothing can be ranked by them.")
    return RatedPairs([first for first, _, _ in rows], [second for _, second, _ in rows], scores)


def read_texts(path: Path) -> list[str]:
    """Raises ``UnusableData`` with the line."""
    texts = [line.strip() for line in _lines(path)]
    found = [text for text in texts if text]
    _require_enough(path, len(found), "texts")
    return found


def digest(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_enough(path: Path, count: int, what: str) -> None:
    if count < FEWEST:
        raise UnusableData(f"{path} has {count} {what}; at least {FEWEST} are needed to tell a loss from chance.")


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeError:
                    raise UnusableData(f"{path}, line {number}: it is not UTF-8.") from None
    except OSError as error:
        raise UnusableData(f"{path} cannot be read: {error.strerror}.") from error


def _rows(path: Path) -> Iterator[tuple[str, str, float]]:
    reader = csv.reader(_lines(path), strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UnusableData(f"{path}, line {reader.line_num}: it is not CSV ({error}).") from error
        if row is None:
            return
        if row:
            yield _row(row, f"{path}, line {reader.line_num}")


def _row(row: Sequence[str], place: str) -> tuple[str, str, float]:
    if len(row) != len(_COLUMNS):
        raise UnusableData(f"{place}: it has {len(row)} columns instead of {len(_COLUMNS)} ({', '.join(_COLUMNS)}).")
    for number, text in enumerate(row, start=1):
        if not text.strip():
            raise UnusableData(f"{place}, column {number} ({_COLUMNS[number - 1]}): it is empty.")
    try:
        score = float(row[2])
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise UnusableData(f"{place}, column 3 (score): it is not a number.")
    return row[0], row[1], score
