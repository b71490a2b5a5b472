"""The shapes of the journal's requests."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployments.errors import InvalidInput
from deployments.journal.entries import MOMENT
from serve_app.api.schemas import STUDENT_ID, Body

USER_ID, USER_ID_WORDS = STUDENT_ID, "1 to 128 letters, digits and . _ : - and starts with a letter or digit"
MAX_ENTRIES, MAX_ENTRY_CHARS = 1000, 100_000
MOST_ANALYSED = 500
Timeframe = Literal["daily", "weekly", "monthly", "quarterly", "yearly", "all_time"]
UserId = Annotated[str, Field(pattern=USER_ID)]
_EITHER: dict[str, Any] = {"anyOf": [{"required": ["user_id"]}, {"required": ["entries"]}]}


class JournalEntry(Body):
    """One entry. Its weekday and time of day are those of the offset that it is sent with."""

    id: str = Field(pattern=STUDENT_ID, description="The same id again replaces the entry.")
    text: str = Field(min_length=1, max_length=MAX_ENTRY_CHARS)
    created_at: str = Field(
        # Only shown: ``parse_moment`` answers what does not fit in words.
        json_schema_extra={"pattern": MOMENT},
        examples=["2026-03-01T18:30:00+01:00"],
        description="ISO 8601; UTC without an offset.",
    )
    mood: float | None = Field(None, ge=0, le=10, description="The writer's own figure, 0 (worst) to 10.")


Entries = Annotated[list[JournalEntry], Field(min_length=1, max_length=MAX_ENTRIES)]


class EntriesRequest(Body):
    """``POST /api/v1/journal/{user_id}/entries``."""

    entries: Entries


class _JournalQuestion(Body):
    """Stored entries of a user, or entries that come with the request and are not stored."""

    model_config = ConfigDict(json_schema_extra=_EITHER)

    user_id: UserId | None = Field(None, description="Whose stored entries; with `entries` it only labels the answer.")
    entries: Entries | None = Field(None, description="Instead of stored ones. Nothing of them is stored.")
    timeframe: Timeframe = Field("all_time", description="Counted back from the newest entry.")
    max_entries: int = Field(200, ge=10, le=MOST_ANALYSED, description="The newest so many.")

    @model_validator(mode="after")
    def _someone(self) -> "_JournalQuestion":
        if self.user_id is None and self.entries is None:
            raise InvalidInput("Send user_id for stored entries, or entries.", "user_id")
        return self


class ComprehensiveRequest(_JournalQuestion):
    """``POST /api/v1/ai/advanced/analysis/comprehensive``."""

    include_predictions: bool = True
    include_personality: bool = True


class PersonalityRequest(_JournalQuestion):
    """``POST /api/v1/ai/advanced/personality-profile``."""

    include_detailed_traits: bool = True
    min_entries_required: int = Field(10, ge=5, le=MOST_ANALYSED)


class PredictiveRequest(_JournalQuestion):
    """``POST /api/v1/ai/advanced/predictive-analysis``."""

    prediction_horizon: int = Field(7, ge=1, le=30, description="Days.")
    include_risk_assessment: bool = True
    include_opportunities: bool = True


JOURNAL_REQUESTS: tuple[type[BaseModel], ...] = (
    EntriesRequest,
    ComprehensiveRequest,
    PersonalityRequest,
    PredictiveRequest,
)
Question = ComprehensiveRequest | PersonalityRequest | PredictiveRequest


class Answer(BaseModel):
    """Base of the journal's answers."""

    model_config = ConfigDict(extra="allow")


class StoredEntries(Answer):
    """What a call stored. ``total``: entries of this user now."""

    user_id: str
    stored: int
    replaced: int
    unchanged: int
    total: int


class EntriesPage(Answer):
    """Newest first. ``next_offset``: where the next page begins, null after the last one."""

    user_id: str
    entries: list[dict[str, Any]]
    total: int
    next_offset: int | None


class ErasedJournal(Answer):
    """What was erased."""

    user_id: str
    entries: int
    features: int
    results: int


class Partial(BaseModel):
    """A part that could not be had, and the error code that says why."""

    part: str
    reason: str


class Insight(Answer):
    """One finding with its evidence. ``significance``: the corrected p value; ``confidence``: 1 less that."""

    insight_type: str
    title: str
    description: str
    confidence: float
    significance: float
    timeframe: str
    supporting_data: dict[str, Any]
    evidence: dict[str, Any]
    recommendations: list[str]
    metadata: dict[str, Any]
    created_at: str


class PersonalityAnswer(Answer):
    """How the entries are written. No personality test."""

    user_id: str | None
    dimensions: dict[str, float]
    intervals: dict[str, list[float]]
    behavioral_patterns: dict[str, float]
    communication_style: str
    emotional_profile: dict[str, float] | None
    strengths: list[str]
    growth_areas: list[str]
    confidence_score: float
    last_updated: str
    partial: list[Partial]
    processing_metadata: dict[str, Any]


class PredictiveAnswer(Answer):
    """What may come next. No diagnosis."""

    user_id: str | None
    predicted_mood_trends: dict[str, Any] | None
    risk_factors: list[dict[str, Any]]
    opportunity_windows: list[dict[str, Any]]
    behavioral_predictions: dict[str, dict[str, Any]]
    confidence_intervals: dict[str, list[float]]
    recommendation_priority: list[dict[str, Any]]
    created_at: str
    partial: list[Partial]
    processing_metadata: dict[str, Any]


class ComprehensiveAnswer(Answer):
    """Insights that hold after the correction for all tests; the two other analyses where there are enough entries."""

    user_id: str | None
    analysis_summary: dict[str, Any]
    temporal_insights: list[Insight]
    themes: dict[str, Any] | None
    personality_profile: dict[str, Any] | None
    predictive_analysis: dict[str, Any] | None
    partial: list[Partial]
    processing_metadata: dict[str, Any]
