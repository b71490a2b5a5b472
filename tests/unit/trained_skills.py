"""One bundle trained with the default settings, made once per test process and shared by the skill tests."""

import atexit
import math
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from deployments.engines.boosting import BoostingEngine
from deployments.skills.features import FeatureSet
from deployments.skills.synthetic import SyntheticData, generate
from deployments.skills.train import TrainingReport, train_skills
from model_store.skills import set_champion

PROGRESS: list[str] = []


@cache
def report() -> TrainingReport:
    folder = Path(tempfile.mkdtemp(prefix="muster-skills-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = train_skills(folder, threads=2, progress=PROGRESS.append)
    set_champion(folder, made.version)
    return made


def skills_dir() -> Path:
    return report().path.parent


@cache
def engine() -> BoostingEngine:
    loaded = BoostingEngine(skills_dir(), threads=2)
    loaded.load()
    return loaded


@cache
def fresh_students(rows: int = 3000, seed: int = 987) -> tuple[SyntheticData, list[FeatureSet]]:
    """Students that no training has seen."""
    data = generate(rows, seed)
    return data, [feature_set(row) for row in data.base]


def feature_set(row: np.ndarray) -> FeatureSet:
    return FeatureSet(tuple(None if math.isnan(value) else float(value) for value in row))
