"""XGBoost settings of the skill models: two ready-made ones, and those that tuning writes to a file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.errors import UnusableData
from deployments.skills.features import SCHEMA_HASH, Skill

FIXED: Mapping[str, Any] = {"objective": "reg:squarederror", "tree_method": "hist", "seed": 42}
"""Squared error, so that estimates and SHAP values are in score units."""


class Parameters(BaseModel):
    """What may be chosen. ``rounds``: trees. Shallow trees make exact TreeSHAP cheap enough to serve with every answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rounds: int = Field(default=200, ge=10, le=2000)
    max_depth: int = Field(default=3, ge=1, le=8)
    eta: float = Field(default=0.08, gt=0, le=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    colsample_bytree: float = Field(default=0.8, gt=0, le=1)
    min_child_weight: float = Field(default=10, ge=0, le=1000)
    reg_lambda: float = Field(default=1, ge=0, le=1000)
    reg_alpha: float = Field(default=0, ge=0, le=1000)
    gamma: float = Field(default=0, ge=0, le=1000)

    def for_xgboost(self) -> dict[str, Any]:
        """The training options, but for the rounds."""
        return {**FIXED, **self.model_dump(exclude={"rounds"})}


Preset = Literal["light", "published"]
PRESETS: Mapping[Preset, Parameters] = {
    "light": Parameters(),
    "published": Parameters(rounds=100, max_depth=5, eta=0.1, min_child_weight=1),
}
"""``published``: the product's published settings. ``light``: as accurate on the synthetic data, a third of the time to
explain."""
BOUNDS = Parameters(rounds=60, max_depth=2, eta=0.1, min_child_weight=20)
"""Of the interval's bound models: only the scatter around the estimate is left for them to learn."""


class ParametersFile(BaseModel):
    """What ``muster skills tune`` writes. ``study``: how it was found, for people."""

    model_config = ConfigDict(extra="forbid")

    schema_hash: str
    skills: dict[Skill, Parameters]
    study: dict[str, Any] = Field(default_factory=dict)


def read_parameters(path: Path) -> Mapping[Skill, Parameters]:
    """The settings of a parameters file. Raises ``UnusableData``."""
    try:
        found = ParametersFile.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise UnusableData(f"{path.name} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UnusableData(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    except ValueError as error:
        raise UnusableData(f"{path.name} is not JSON.") from error
    if found.schema_hash != SCHEMA_HASH:
        raise UnusableData(f"{path.name} was tuned for another feature schema; run `muster skills tune` again.")
    return found.skills
