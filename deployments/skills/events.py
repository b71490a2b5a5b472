"""Game events as they are read and kept, for requests and for training files alike.

An event is known by its ``event_id`` (a UUID) and belongs to one student. Of ``data`` only the fields that features are
made of are kept: ``task_id``, ``expected_seconds``, ``seconds``. The vocabulary is in ``docs/features.md``; other types are
activity and nothing more.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from deployments.errors import InvalidInput

TASK_STARTED, TASK_COMPLETED, TASK_FAILED, TASK_RETRIED = (
    "task_started",
    "task_completed",
    "task_failed",
    "task_retried",
)
TASK_TYPES = frozenset({TASK_STARTED, TASK_COMPLETED, TASK_FAILED, TASK_RETRIED})
DISTRACTIONS = frozenset({"context_switch", "pause", "distraction"})
COLLABORATION = frozenset({"help_peer", "share_resource", "team_decision"})
LEADERSHIP = frozenset({"delegate_task", "lead_discussion", "make_decision"})
VOCABULARY = TASK_TYPES | DISTRACTIONS | COLLABORATION | LEADERSHIP
MAX_DATA_BYTES = 10 * 1024
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
LONGEST_S = 86_400.0
AHEAD_S = 300.0
"""How far a game's clock may be ahead of ours."""
_FIELDS = ("event_id", "student_id", "session_id", "mission_id", "event_type", "timestamp", "data", "game_version")
_OPTIONAL = frozenset({"mission_id", "data", "game_version"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``at``: seconds since 1970. ``expected_s`` and ``taken_s``: of a task's own time, where given."""

    event_id: str
    at: float
    kind: str
    session: str
    mission: str | None = None
    task: str | None = None
    expected_s: float | None = None
    taken_s: float | None = None

    def packed(self) -> bytes:
        """What is stored, a JSON array."""
        fields = (
            self.event_id,
            self.at,
            self.kind,
            self.session,
            self.mission,
            self.task,
            self.expected_s,
            self.taken_s,
        )
        return orjson.dumps(fields)


def unpacked(stored: bytes) -> list[Event]:
    """Events from packed ones with commas between. Raises ``ValueError`` or ``TypeError`` when one is damaged."""
    return [Event(*fields) for fields in orjson.loads(b"[" + stored + b"]")]


def parse_event(body: Any, now: float, param: str = "") -> tuple[str, Event]:
    """The student and the event. Raises ``InvalidInput`` naming the field; ``now`` is the clock, seconds since 1970."""
    at = f"{param}." if param else ""
    if not isinstance(body, Mapping):
        raise InvalidInput("An event must be a JSON object.", param or "body")
    for name in body:
        if name not in _FIELDS:
            raise InvalidInput("This field is not known here; remove it.", f"{at}{str(name)[:40]}")
    for name in _FIELDS:
        if name not in _OPTIONAL and body.get(name) is None:
            raise InvalidInput("This field is required.", f"{at}{name}")
    kind = _matching(body["event_type"], _TYPE, f"{at}event_type", "1 to 64 lower-case letters, digits and underscores")
    _matching(body.get("game_version"), _VERSION, f"{at}game_version", "1 to 64 letters, digits and . _ + -")
    data = _data(body.get("data"), f"{at}data")
    event = Event(
        _uuid(body["event_id"], f"{at}event_id"),
        _timestamp(body["timestamp"], now, f"{at}timestamp"),
        kind,
        _name(body["session_id"], f"{at}session_id"),
        _name(body["mission_id"], f"{at}mission_id") if body.get("mission_id") is not None else None,
        _task(kind, data, f"{at}data.task_id"),
        _seconds(data, "expected_seconds", at) if kind in TASK_TYPES else None,
        _seconds(data, "seconds", at) if kind in TASK_TYPES else None,
    )
    return _name(body["student_id"], f"{at}student_id"), event


def _uuid(value: Any, param: str) -> str:
    try:
        if isinstance(value, str) and len(value) <= 36:
            return str(UUID(value))
    except ValueError:
        pass
    raise InvalidInput("event_id must be a UUID; keep it when an event is sent again.", param)


def _name(value: Any, param: str) -> str:
    return _matching(value, _NAME, param, "1 to 128 letters, digits and . _ : -, beginning with a letter or digit")


def _matching(value: Any, pattern: re.Pattern[str], param: str, allowed: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not pattern.match(value):
        raise InvalidInput(f"This field must have {allowed}.", param)
    return value


def parse_time(value: Any, param: str) -> float:
    """Seconds since 1970 of an ISO 8601 time with its zone. Raises ``InvalidInput``."""
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
        if when is not None and when.tzinfo is not None:
            return when.timestamp()
    except (ValueError, OverflowError):
        pass
    raise InvalidInput("This must be an ISO 8601 time with its zone, for example 2026-03-01T09:30:00Z.", param)


def _timestamp(value: Any, now: float, param: str) -> float:
    at = parse_time(value, param)
    if not EARLIEST <= at <= now + AHEAD_S:
        raise InvalidInput("timestamp must lie between the year 2000 and now; set the game's clock.", param)
    return at


def _data(value: Any, param: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput("data must be an object.", param)
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise InvalidInput("data is nested too deeply, or holds what JSON cannot.", param) from None
    if size > MAX_DATA_BYTES:
        raise InvalidInput(f"data is larger than {MAX_DATA_BYTES} bytes of JSON; send less.", param)
    return value


def _task(kind: str, data: Mapping[str, Any], param: str) -> str | None:
    if kind not in TASK_TYPES:
        return None
    if data.get("task_id") is None:
        raise InvalidInput(f"A {kind} event needs data.task_id.", param)
    return _name(data["task_id"], param)


def _seconds(data: Mapping[str, Any], name: str, at: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value <= LONGEST_S):
        raise InvalidInput(f"{name} must be a number of seconds above 0 and up to {LONGEST_S:.0f}.", f"{at}data.{name}")
    return float(value) if math.isfinite(value) else None


def parse_events(bodies: Sequence[Any], now: float, param: str = "events") -> list[tuple[str, Event]]:
    """Students and events, in order. Raises ``InvalidInput``."""
    return [parse_event(body, now, f"{param}[{index}]") for index, body in enumerate(bodies)]


def unique(events: Iterable[Event]) -> dict[str, Event]:
    """Events by id; of several with one id the first counts."""
    found: dict[str, Event] = {}
    for event in events:
        found.setdefault(event.event_id, event)
    return found
