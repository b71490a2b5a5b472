"""Makes a bundle of trained models: the record, the model files and the model card."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from deployments.skills.features import FEATURES, SCHEMA_HASH, SKILLS, Skill, vector_names
from deployments.skills.model_card import model_card
from deployments.skills.training_data import TrainingData
from model_store.digests import sha256_of
from model_store.skill_records import BundleRecord, GoldenRecord, SkillRecord

CARD = "MODEL_CARD.md"


@dataclass(frozen=True, slots=True)
class Trained:
    """One skill's finished models by file. ``golden``: the estimate's raw output on the bundle's golden row."""

    models: Mapping[str, bytes]
    record: SkillRecord
    golden: float


def canary_base(students: NDArray[np.float32]) -> NDArray[np.float32]:
    """Observed features for canary rows, ``(n + 7, 25)``: the given students, extremes, and whole groups missing."""
    low, high = (np.array([getattr(feature, side) for feature in FEATURES], np.float32) for side in ("low", "high"))
    linguistic = np.array([feature.group == "linguistic" for feature in FEATURES])
    # Beyond the schema, and still finite in the product of two features.
    huge = np.full(len(FEATURES), 1e15, np.float32)
    edges = [
        low,
        high,
        huge,
        -huge,
        np.where(linguistic, np.nan, high),
        np.where(linguistic, low, np.nan),
        low * np.nan,
    ]
    return np.vstack([students, *edges]).astype(np.float32)


def build_bundle(
    trained: Mapping[Skill, Trained],
    data: TrainingData,
    rows: Mapping[str, int],
    golden: NDArray[np.float32],
    seed: int,
    parent: str | None = None,
) -> tuple[BundleRecord, dict[str, bytes]]:
    """The record and the files. ``rows``: size of each split; ``golden``: the ``(25,)`` row of ``Trained.golden``."""
    created = datetime.now(UTC)
    models = {name: content for one in trained.values() for name, content in one.models.items()}
    record = BundleRecord(
        version=f"{created:%Y%m%dT%H%M%S.%fZ}-{sha256_of(models.values())[:8]}",
        parent=parent,
        schema_hash=SCHEMA_HASH,
        feature_count=len(vector_names(SKILLS[0])),
        synthetic_model=data.synthetic,
        created_at=created.isoformat(),
        libraries=_libraries(),
        training_data={**data.source, "rows": dict(rows), "split_seed": seed},
        skills={skill: one.record for skill, one in trained.items()},
        golden=GoldenRecord(
            features=tuple(None if np.isnan(value) else float(value) for value in golden),
            margins={skill: one.golden for skill, one in trained.items()},
        ),
        files={name: sha256_of([content]) for name, content in models.items()},
    )
    files = {**models, CARD: model_card(record).encode()}
    return record.model_copy(update={"files": {name: sha256_of([content]) for name, content in files.items()}}), files


def _libraries() -> dict[str, str]:
    import xgboost

    return {"python": platform.python_version(), "numpy": np.__version__, "xgboost": xgboost.__version__}
