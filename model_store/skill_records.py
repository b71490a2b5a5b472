"""What a bundle of skill models says about itself, as checked records, and the two ways it can refuse to serve."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_store.errors import ModelNotPulled, TamperedModel

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A plain name: it cannot leave its folder."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SkillName = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,31}$")]


class NoSkillModels(ModelNotPulled):
    """No bundle has been trained or chosen yet."""

    def __str__(self) -> str:
        return "There are no skill models yet. Run `muster skills train`."


class TamperedSkills(TamperedModel):
    """A file of a bundle is not what the bundle or the alias says; the bundle must not serve."""

    def __str__(self) -> str:
        return f"{self.key} refuses to serve: {self.file}: {self.reason}. Run `muster skills train` to replace it."


class Record(BaseModel):
    """Base: unknown fields and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+:-]{0,63}$")]
"""Of a group of students or a level, as reports print it."""
Offset = Annotated[float, Field(ge=-2, le=2)]
Figures = dict[str, float]


class CalibrationRecord(Record):
    """A skill's interval calibration; the meaning of the numbers is ``deployments.skills.calibration``'s."""

    level: float = Field(gt=0, lt=1)
    offset: Offset
    band_offsets: dict[Name, Offset] = Field(default_factory=dict, max_length=16)
    reliability: dict[Name, Offset] = Field(default_factory=dict, max_length=32)


class CanaryRecord(Record):
    """Rows of one model's input, null where missing, and its raw output on each, taken when it was trained."""

    rows: tuple[tuple[float | None, ...], ...] = Field(min_length=1, max_length=256)
    margins: tuple[float, ...]

    @property
    def width(self) -> int:
        """Features in a row."""
        return len(self.rows[0])

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.margins) != len(self.rows) or any(len(row) != self.width for row in self.rows):
            raise ValueError("the canary rows do not fit each other")
        return self


class BinsRecord(Record):
    """A column of reference data in bins: inner ``edges``, the share of observed values in each, the share missing."""

    edges: tuple[float, ...] = Field(max_length=64)
    shares: tuple[float, ...] = Field(max_length=65)
    missing: float = Field(ge=0, le=1)
    rows: int = Field(ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.shares) != len(self.edges) + 1 or list(self.edges) != sorted(self.edges):
            raise ValueError("the bins do not fit each other")
        return self


class DriftRecord(Record):
    """What the training data looked like, by feature; the meaning of the numbers is ``deployments.skills.drift``'s."""

    features: dict[str, BinsRecord]
    samples: dict[str, Annotated[tuple[float, ...], Field(max_length=10_000)]]


class BoundRecord(Record):
    """A model of one bound of the interval: its file, and its raw output on the skill's canary rows."""

    file: FileName
    margins: tuple[float, ...]


class SkillRecord(Record):
    """One skill's models: their files, how they were made, what they are worth, and what proves them.

    ``metrics``: on the test rows; ``groups``: the same by group of students; ``baseline``: of the mean predictor;
    ``cross_validation``: over the folds of the training rows; ``samples``: rated rows by split.
    """

    file: FileName
    lower: BoundRecord
    upper: BoundRecord
    hyperparameters: dict[str, Any]
    bound_hyperparameters: dict[str, Any]
    metrics: Figures
    baseline: Figures = Field(default_factory=dict)
    cross_validation: Figures = Field(default_factory=dict)
    groups: dict[Name, Figures] = Field(default_factory=dict, max_length=256)
    samples: dict[str, int] = Field(default_factory=dict)
    calibration: CalibrationRecord
    canary: CanaryRecord
    estimates: BinsRecord | None = None
    """The model's estimates on held-out rows."""

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if any(len(bound.margins) != len(self.canary.rows) for bound in (self.lower, self.upper)):
            raise ValueError("the canary rows do not fit the bounds")
        return self


class GoldenRecord(Record):
    """One row and every skill's raw output on it, taken when the bundle was made."""

    features: tuple[float | None, ...] = Field(max_length=256)
    margins: dict[str, float]


FORMAT_VERSION = 3


class BundleRecord(Record):
    """``bundle.json``."""

    format_version: int = Field(default=FORMAT_VERSION, ge=FORMAT_VERSION, le=FORMAT_VERSION)
    version: FileName
    parent: FileName | None = None
    """The champion when this bundle was made."""
    schema_hash: Sha256
    feature_count: int = Field(ge=1, le=256)
    synthetic_model: bool
    created_at: str
    libraries: dict[str, str]
    training_data: dict[str, Any]
    skills: dict[SkillName, SkillRecord] = Field(min_length=1, max_length=64)
    golden: GoldenRecord
    files: dict[FileName, Sha256]
    """sha256 of every other file of the bundle."""
    drift: DriftRecord | None = None


@dataclass(frozen=True, slots=True)
class SkillBundle:
    """A checked bundle: the record, the sha256 of its ``bundle.json``, and by skill the bytes of the models: of the
    estimate, and of the interval's two bounds (lower, upper)."""

    record: BundleRecord
    sha256: str
    models: Mapping[str, bytes]
    bounds: Mapping[str, tuple[bytes, bytes]]

    @property
    def version(self) -> str:
        return self.record.version

    @property
    def key(self) -> str:
        """What errors call it."""
        return f"skills {self.record.version}"


class AliasTarget(Record):
    """A bundle that an alias points at: its version and the sha256 of its ``bundle.json``."""

    version: FileName
    bundle_sha256: Sha256


class AliasRecord(AliasTarget):
    """The aliases: which bundle serves, which one shadows it, and which ones served before, the last one last.

    ``generation`` grows by one with every change: of two records the one with the higher generation is true.
    """

    generation: int = Field(default=0, ge=0)
    challenger: AliasTarget | None = None
    past: tuple[AliasTarget, ...] = Field(default=(), max_length=20)

    @property
    def champion(self) -> AliasTarget:
        return AliasTarget(version=self.version, bundle_sha256=self.bundle_sha256)
