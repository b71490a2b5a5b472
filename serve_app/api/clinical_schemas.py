"""Requests and answers of the clinical reports."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from deployments.clinical.vitals import Sex
from deployments.errors import InvalidInput
from serve_app.api.moments import Day, PeriodEnd, Time, first_of, last_of
from serve_app.api.schemas import STUDENT_ID, Body

MAX_VITALS, MAX_MEDICATIONS = 1000, 50
VitalName = Literal[
    "heart_rate",
    "respiratory_rate",
    "systolic_bp",
    "diastolic_bp",
    "temperature",
    "oxygen_saturation",
    "fasting_glucose",
    "glucose",
    "hemoglobin",
    "weight",
    "height",
    "bmi",
    "waist",
]


def _line(text: Any) -> Any:
    if isinstance(text, str) and any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("must be one line without control characters")
    return text


Line = Annotated[str, BeforeValidator(_line), Field(min_length=1, max_length=200)]
Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class PatientIn(Body):
    """Who it is about. Name and id are stored with the report and told to no model."""

    name: Line | None = None
    age: Annotated[float, Field(ge=0, lt=130, description="Years.")] | None = None
    sex: Sex = "unknown"


class DateRange(Body):
    """Both ends included, a date's whole day too."""

    model_config = ConfigDict(populate_by_name=True)

    since: PeriodEnd | None = Field(None, alias="from")
    to: PeriodEnd | None = None


class ReportOptions(Body):
    """What the report has."""

    include_vitals: bool = True
    include_medications: bool = True
    include_risk_assessment: bool = True
    include_comparative_analysis: bool = Field(False, description="The earlier half against the later.")


class VitalIn(Body):
    """One measurement; any order."""

    parameter: VitalName
    value: Number = Field(description="Impossible values are refused.")
    unit: Annotated[str, Field(max_length=10)] | None = Field(None, description="The parameter's own when left out.")
    at: Time


class MedicationIn(Body):
    """One entry of the list."""

    name: Line
    dose: Line | None = None
    frequency: Line | None = None
    started: Day | None = None
    stopped: Day | None = None
    adherence: Annotated[float, Field(ge=0, le=1, description="Share taken as agreed.")] | None = None


class ReportRequest(Body):
    """``POST /api/v1/ai-analysis/generate``."""

    patient_id: Annotated[str, Field(pattern=STUDENT_ID)]
    patient: PatientIn = PatientIn()
    date_range: DateRange = DateRange()
    options: ReportOptions = ReportOptions()
    vitals: list[VitalIn] = Field(default_factory=list, max_length=MAX_VITALS)
    medications: list[MedicationIn] = Field(default_factory=list, max_length=MAX_MEDICATIONS)

    @model_validator(mode="after")
    def _in_order(self) -> "ReportRequest":
        since, to = self.date_range.since, self.date_range.to
        if since and to and first_of(since) > last_of(to):
            raise InvalidInput("The period ends before it begins.", "date_range.to")
        for index, each in enumerate(self.medications):
            if each.started and each.stopped and each.stopped < each.started:
                raise InvalidInput("It was stopped before it was started.", f"medications[{index}].stopped")
        return self


CLINICAL_REQUESTS: tuple[type[BaseModel], ...] = (ReportRequest,)


class PatientOut(BaseModel):
    """``bmi``: the newest. ``risk_level``: None where it was not asked for, or where nothing could be judged."""

    id: str
    name: str | None
    age: float | None
    sex: Sex
    bmi: float | None
    risk_level: Literal["low", "moderate", "high", "critical"] | None


class FindingOut(BaseModel):
    """One thing to look at."""

    id: str
    kind: str
    about: str
    text: str
    priority: Literal["urgent", "high", "medium", "low"]
    category: Literal["vitals", "medication", "data"]


class ReportSections(BaseModel):
    """``vitals_analysis``: trends, anomalies_detected, narrative. ``medication_review``: medications, notes, narrative.
    ``risk_assessment``: risk_level, risk_score, factors, and ``reason`` where level and score are null because nothing could
    be judged. Each recommendation names its finding."""

    vitals_analysis: dict[str, Any] | None
    medication_review: dict[str, Any] | None
    risk_assessment: dict[str, Any] | None
    recommendations: list[dict[str, str]]


class ReportMetadata(BaseModel):
    """``confidence``: computed, docs/clinical.md has the formula. ``vital_signs_not_judged``: for want of a range or an age.
    ``model``: the provider's model that added to the summary; null where the template wrote all of it."""

    confidence: float
    confidence_parts: dict[str, float]
    data_points_analyzed: int
    data_points_outside_range: int
    vital_signs_not_judged: list[str]
    model: str | None
    analysis_timestamp: datetime


class ReportAnswer(BaseModel):
    """A report. ``partial``: the parts that did not work: narrative, storage. ``reason``: why the template wrote.
    ``stored``: false where its id cannot be fetched, because the request said ``Cache-Control: no-store`` or Redis did not
    answer."""

    report_id: str
    notice: str
    patient: PatientOut
    report_date: datetime
    analysis_date_range: dict[str, datetime | None]
    generated_by: Literal["template", "llm"]
    executive_summary: str
    overall_health_score: float | None
    findings: list[FindingOut]
    sections: ReportSections
    metadata: ReportMetadata
    partial: list[str]
    reason: str | None
    stored: bool
    not_stored_because: Literal["no_store", "unavailable"] | None


class ReportErased(BaseModel):
    """Whether there was a report."""

    report_id: str
    erased: bool
