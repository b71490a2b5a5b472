"""The skill models as the Open Inference Protocol sees them: rows of features in, scores out. No student is known."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from starlette.requests import Request

from deployments.call import Answer
from deployments.errors import InvalidInput, ModelNotReady
from deployments.skills.assessment import NO_MODEL
from deployments.skills.features import DERIVED, FEATURES, FeatureSet, Skill, vector_names, with_derived
from deployments.skills.sources import SILENT
from serve_app.api.calls import call_model, first_error
from serve_app.api.labelling import Floats
from serve_app.api.recording import failures_recorded, record_results
from serve_app.api.services import Services
from serve_app.api.subjects import Subject, tell
from serve_app.api.tensor_models import Parameters, TensorModel
from serve_app.api.tensor_request import Asked
from serve_app.api.tensors import Output, TensorSpec
from serve_app.api.weighing import APPLICATION, weighing_options

OBSERVED = len(FEATURES)
INPUT = TensorSpec("features", "FP32", (-1, OBSERVED + 1), also=((-1, OBSERVED),))
OUTPUTS = tuple(TensorSpec(name, "FP32", (-1, 1)) for name in ("score", "lower", "upper", "confidence"))
DERIVED_TOLERANCE = 1e-4
RECORDED = 1000
"""Rows of one request that get a record."""
_LOW, _HIGH = (np.array([getattr(f, side) for f in FEATURES]) for side in ("low", "high"))


class SkillModel(TensorModel):
    """One skill. The last of the 26 columns is computed here; what a client sends there must agree with it."""

    parameters = Parameters
    inputs = (INPUT,)
    outputs = OUTPUTS
    application = APPLICATION

    def __init__(self, services: Services, skill: Skill) -> None:
        self._services, self.key, self._skill = services, skill, skill

    async def infer(self, request: Request, asked: Asked, parameters: Any) -> tuple[Sequence[Output], Answer]:
        rows = feature_rows(asked.numbers(INPUT), self._skill)
        options = weighing_options(self._services, [self._skill])
        subjects = [Subject(None, row) for row in rows[:RECORDED]]
        started = time.monotonic()
        async with failures_recorded(self._services, request, subjects, self._skill):
            answer = await call_model(self._services, request, APPLICATION, rows, options)
            if error := first_error(answer, "features[{}]"):
                raise error
        elapsed = round((time.monotonic() - started) * 1000, 3)
        results = [tell(*told, elapsed) for told in zip(subjects, answer.values, strict=False)]
        await record_results(self._services, request, subjects, results, self._skill)
        skills = [value[self._skill] for value in answer.values]
        if any(skill["model_version"] == NO_MODEL for skill in skills):
            # Whoever asks by this protocol asks the model itself.
            raise ModelNotReady(self.key, SILENT)
        columns = [[_number(skill, spec.name)] for spec in OUTPUTS for skill in skills]
        values = np.array(columns, dtype=np.float32).reshape(len(OUTPUTS), len(skills), 1)
        return [Output(spec, (len(skills), 1), values[i]) for i, spec in enumerate(OUTPUTS)], answer

    def describe(self) -> dict[str, str]:
        return {"task": "skill", "features": ",".join(vector_names(self._skill)), "missing": "NaN"}


def feature_rows(given: Floats, skill: Skill) -> list[FeatureSet]:
    """``(n, 25)`` or ``(n, 26)`` numbers, NaN where nothing was observed, as feature sets. Raises ``InvalidInput``."""
    base = given[:, :OBSERVED]
    _check_ranges(base)
    if given.shape[1] > OBSERVED:
        _check_derived(base, given[:, OBSERVED], skill)
    if (nothing := np.isnan(base).all(axis=1)).any():
        raise InvalidInput("Give at least one feature.", f"features[{int(nothing.argmax())}]")
    # A bound may be a little larger as float32 than it is.
    bounded = np.clip(base.astype(np.float64), _LOW, _HIGH)
    return [FeatureSet(tuple(None if value != value else value for value in row)) for row in bounded.tolist()]


def _check_ranges(base: Floats) -> None:
    wrong = (base < _LOW.astype(np.float32)) | (base > _HIGH.astype(np.float32))
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        feature = FEATURES[column]
        allowed = f"from {feature.low:g} to {feature.high:g} ({feature.unit}), or NaN when unknown"
        raise InvalidInput(f"{feature.name} is out of range; give a number {allowed}.", f"features[{row}][{column}]")


def _check_derived(base: Floats, last: Floats, skill: Skill) -> None:
    """Refuse a last column that is neither NaN nor what the model will be given."""
    computed = with_derived(base, skill)[:, OBSERVED]
    wrong = ~np.isnan(last) & ~np.isclose(last, computed, rtol=DERIVED_TOLERANCE, atol=1e-6)
    if wrong.any():
        name, left, right = DERIVED[skill]
        message = f"{name} is {left} times {right}; send NaN there, or {OBSERVED} columns, and it is computed."
        raise InvalidInput(message, f"features[{int(wrong.argmax())}][{OBSERVED}]")


def _number(skill: dict[str, Any], name: str) -> float:
    return float(skill["interval"][name] if name in ("lower", "upper") else skill[name])
