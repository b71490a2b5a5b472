"""The shapes of transcripts, game events and drift, for the OpenAPI document; what is allowed is checked elsewhere."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from deployments.skills.events import MAX_DATA_BYTES
from deployments.skills.linguistic.extract import MAX_CHARS, MAX_TEXTS
from serve_app.api.schemas import STUDENT_ID, STUDENT_ID_SCHEMA, Body

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"


class Transcripts(Body):
    """What a student said or wrote, in English. Read for its features and then forgotten."""

    texts: list[str] = Field(
        min_length=1, max_length=MAX_TEXTS, description=f"All texts together have up to {MAX_CHARS} characters."
    )


class EventBody(Body):
    """One game event."""

    event_id: UUID = Field(description="The same when the event is sent again.")
    student_id: str = Field(pattern=STUDENT_ID, json_schema_extra=STUDENT_ID_SCHEMA)
    session_id: str = Field(pattern=_NAME)
    mission_id: str | None = Field(None, pattern=_NAME)
    event_type: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", examples=["task_completed"])
    timestamp: datetime = Field(description="ISO 8601 with its zone.")
    data: dict[str, Any] | None = Field(
        None, description=f"Up to {MAX_DATA_BYTES} bytes. `task_...` events need `task_id`; see docs/features.md."
    )
    game_version: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")


class EventBatch(Body):
    """Events of any students, in any order."""

    events: list[EventBody] = Field(min_length=1, max_length=1000)


OBSERVED: tuple[type[BaseModel], ...] = (Transcripts, EventBody, EventBatch)
"""Bodies that routes read by themselves."""


class _Behavior(BaseModel):
    student_id: str
    behavioral: dict[str, float]
    completeness: float


class EventAnswered(_Behavior):
    """What became of the event, and the student's behavioural features after it."""

    event_id: str
    status: Literal["accepted", "duplicate", "expired"]


class StudentEvents(_Behavior):
    """One student's events of a batch, counted."""

    accepted: int
    duplicate: int
    expired: int


class BatchAnswered(BaseModel):
    """The batch, counted. ``expired``: older than events are kept."""

    received: int
    accepted: int
    duplicate: int
    expired: int
    students: list[StudentEvents]


class TranscriptsAnswered(BaseModel):
    """The features of the texts. ``completeness``: share of the 16. ``degraded``: why a configured parser was not used."""

    student_id: str
    linguistic: dict[str, float]
    missing: list[str]
    completeness: float
    path: Literal["full", "light"]
    degraded: str | None
    lexicon: str
    sentiment: str
    grammar: str | None
    extractor: str
    updated_at: datetime


class ColumnShift(BaseModel):
    """One feature, or one skill's estimates, against the training data."""

    shift: Literal["stable", "moderate", "major", "unknown"]
    alarm: bool
    rows: int
    missing: float | None
    missing_expected: float | None
    psi: float | None
    missing_psi: float | None
    ks: float | None
    ks_p: float | None


class DriftAnswer(BaseModel):
    """The newest inferences of this tenant against the training data of the model that answered last."""

    version: str | None
    rows: int
    judged: bool
    reason: str | None
    alarms: list[str]
    features: dict[str, ColumnShift]
    estimates: dict[str, ColumnShift]
