"""Dates and times in a request: ISO 8601, checked with a word on what is wrong, never with the pattern alone."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

TIME = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?$"
DAY = r"^\d{4}-\d\d-\d\d$"
_TIME, _DAY = re.compile(TIME[:-1] + r"\Z", re.ASCII), re.compile(DAY[:-1] + r"\Z", re.ASCII)
MOMENT_WORDS = "Write a real date and time as 2026-11-03T08:30:00+01:00; without an offset it is UTC"
EARLIEST, LATEST = 1900, 2200


def _moment(text: str) -> datetime:
    if not _TIME.match(text):
        raise PydanticCustomError("moment", MOMENT_WORDS)
    try:
        moment = datetime.fromisoformat(text.upper().replace(" ", "T"))
    except ValueError:
        raise PydanticCustomError("moment", MOMENT_WORDS) from None
    _check_year(moment)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date(text: str) -> date:
    try:
        day = date.fromisoformat(text) if _DAY.match(text) else None
    except ValueError:
        day = None
    if day is None:
        raise PydanticCustomError("day", "Write a real date as 2026-11-03")
    _check_year(day)
    return day


def _check_year(day: date) -> None:
    if not EARLIEST <= day.year <= LATEST:
        raise PydanticCustomError("year", f"The year must be {EARLIEST} to {LATEST}")


def _time(text: str) -> str:
    _moment(text)
    return text


def _day(text: str) -> str:
    _date(text)
    return text


def _end(text: str) -> str:
    first_of(text)
    return text


def moment_of(text: str) -> datetime:
    """The time of a checked text; UTC where it says no zone."""
    return _moment(text)


def first_of(text: str) -> datetime:
    """The time of a checked text, or the first of its day in UTC."""
    return datetime.combine(_date(text), time.min, UTC) if _DAY.match(text) else _moment(text)


def last_of(text: str) -> datetime:
    """The time of a checked text, or the last of its day in UTC."""
    return datetime.combine(_date(text), time.max, UTC) if _DAY.match(text) else _moment(text)


# The pattern is only shown: what does not fit it is answered in words, with an example.
Time = Annotated[
    str,
    Field(json_schema_extra={"pattern": TIME}, description="ISO 8601; UTC where no zone is given."),
    AfterValidator(_time),
]
Day = Annotated[str, Field(json_schema_extra={"pattern": DAY}, description="ISO 8601."), AfterValidator(_day)]
PeriodEnd = Annotated[
    str,
    Field(
        json_schema_extra={"anyOf": [{"pattern": TIME}, {"pattern": DAY}]},
        description="ISO 8601: a time (UTC where no zone is given), or a date, which is the whole day in UTC.",
    ),
    AfterValidator(_end),
]
