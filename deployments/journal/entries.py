"""Journal entries, and a journal: entries from oldest to newest with what the models said of each. No I/O.

A moment keeps the offset that it was written with: weekday and hour are the writer's own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import InvalidInput

Floats = NDArray[np.float64]

MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?$"
_MOMENT = re.compile(MOMENT[:-1] + r"\Z", re.ASCII)
TIMEFRAMES: Mapping[str, int | None] = {
    "daily": 1,
    "weekly": 7,
    "monthly": 30,
    "quarterly": 91,
    "yearly": 365,
    "all_time": None,
}
"""Days back from the newest entry."""
SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """``mood``: what the writer gave, 0 (worst) to 10; None where there was none."""

    id: str
    text: str
    created_at: datetime
    mood: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "text": self.text, "created_at": self.created_at.isoformat(), "mood": self.mood}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Entry":
        """What ``to_json`` wrote. Raises ``KeyError``, ``ValueError`` or ``TypeError`` for anything else."""
        return cls(str(value["id"]), str(value["text"]), datetime.fromisoformat(value["created_at"]), value["mood"])


def parse_moment(value: Any, param: str) -> datetime:
    """An ISO 8601 date and time; UTC where it has no offset. Raises ``InvalidInput``."""
    problem = InvalidInput("Write date and time as 2026-03-01T18:30:00+01:00; without an offset it is UTC.", param)
    if not isinstance(value, str) or not _MOMENT.match(value):
        raise problem
    try:
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment.timestamp()
    except (ValueError, OverflowError):
        raise problem from None
    if not 1900 <= moment.year <= 2200:
        raise InvalidInput("The year must be 1900 to 2200.", param)
    return moment


def select(entries: Sequence[Entry], timeframe: str, most: int) -> list[Entry]:
    """The newest ``most`` entries of the timeframe, which ends with the newest entry; oldest first, ties by id."""
    ordered = sorted(entries, key=lambda entry: (entry.created_at.timestamp(), entry.id))
    days = TIMEFRAMES[timeframe]
    if days is not None and ordered:
        since = ordered[-1].created_at - timedelta(days=days)
        ordered = [entry for entry in ordered if entry.created_at > since]
    return ordered[-most:]


@dataclass(frozen=True)
class Journal:
    """Rows are entries, oldest first. ``emotions``: (n, 7), in the order of ``label_sets.EMOTIONS``; ``polarity``: (n,), -1
    to 1; ``embeddings``: (n, d). None where no model answered."""

    entries: tuple[Entry, ...]
    emotions: Floats | None = None
    polarity: Floats | None = None
    embeddings: Floats | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def days(self) -> Floats:
        """Days since the first entry."""
        moments = np.array([entry.created_at.timestamp() for entry in self.entries])
        days: Floats = (moments - moments[0]) / SECONDS_A_DAY
        return days

    @cached_property
    def dates(self) -> NDArray[np.int64]:
        """The writer's calendar day, counted from the year 1."""
        return np.array([entry.created_at.toordinal() for entry in self.entries])

    @cached_property
    def weekdays(self) -> NDArray[np.int64]:
        """0 is Monday."""
        return np.array([entry.created_at.weekday() for entry in self.entries])

    @cached_property
    def hours(self) -> Floats:
        return np.array([entry.created_at.hour + entry.created_at.minute / 60 for entry in self.entries])

    @cached_property
    def mood(self) -> Floats:
        """The writer's own figure on the scale of polarity, -1 to 1; NaN where there was none."""
        return np.array([np.nan if entry.mood is None else entry.mood / 5 - 1 for entry in self.entries])

    @property
    def feeling(self) -> tuple[str, Floats] | None:
        """What temporal patterns are looked for in: the model's polarity, or else the writer's mood (NaN where none)."""
        if self.polarity is not None:
            return "sentiment", self.polarity
        return ("mood", self.mood) if np.isfinite(self.mood).sum() >= 5 else None

    def ids(self, rows: Any) -> list[str]:
        """The ids of rows, given as indices or as a mask."""
        return [self.entries[row].id for row in np.arange(len(self))[rows]]
