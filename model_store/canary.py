"""Canary predictions: XGBoost meets a bundle's files for the first time in a child process, which may die of them.

Each skill's record has rows of model input and the outputs on them, taken when the model was trained. The child loads
the files, predicts the rows and explains them; the parent compares. A bundle that passed leaves a note in the skills
folder, by its digest, XGBoost's version and the platform: a replica that starts later runs no child.

``python -m model_store.canary FOLDER`` is the child.
"""

import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from model_store import child
from model_store.errors import ConversionFailed
from model_store.skill_records import SkillBundle, TamperedSkills

TOLERANCE = 1e-5
"""Largest difference of an output, in score units, from the one recorded; both are sums of the same float32 leaves."""
TIMEOUT_S = 120.0
_ROWS = "rows.json"


def require_proof(skills_dir: Path, bundle: SkillBundle) -> None:
    """Predict the canary rows unless this was done before here. Raises ``TamperedSkills``, naming the file."""
    facts = {"bundle": bundle.sha256, "xgboost": version("xgboost"), "platform": platform.platform()}
    text = json.dumps(facts, sort_keys=True)
    note = skills_dir / f".proved-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    if note.is_file():
        return
    predict_in_child_process(bundle)
    # A folder that cannot be written to remembers nothing.
    with suppress(OSError):
        note.write_text(text, encoding="utf-8")


def predict_in_child_process(bundle: SkillBundle, timeout_s: float = TIMEOUT_S) -> None:
    """All skills in one child. Raises ``TamperedSkills`` when it crashes, hangs or predicts something else.

    Raises ``ConversionFailed`` when it could not even begin.
    """
    cases = _cases(bundle)
    answers = _answers(bundle.key, cases, timeout_s)
    for name, case in cases.items():
        predicted, explained = answers.get(name, ((), ()))
        _require_equal(bundle.key, case.file, case.margins, predicted)
        _require_equal(bundle.key, case.file, case.margins, explained)


@dataclass(frozen=True, slots=True)
class _Case:
    """One model file, the rows to predict, and what it must say."""

    content: bytes
    file: str
    rows: Sequence[Sequence[float | None]]
    margins: Sequence[float]


def _cases(bundle: SkillBundle) -> dict[str, _Case]:
    """By name (``empathy``, ``empathy.lower``, ``empathy.upper``)."""
    cases = dict[str, _Case]()
    for skill, content in bundle.models.items():
        one = bundle.record.skills[skill]
        cases[skill] = _Case(content, one.file, one.canary.rows, one.canary.margins)
        for side, bound, model in zip(("lower", "upper"), (one.lower, one.upper), bundle.bounds[skill], strict=True):
            cases[f"{skill}.{side}"] = _Case(model, bound.file, one.canary.rows, bound.margins)
    return cases


def _answers(key: str, cases: Mapping[str, _Case], timeout_s: float) -> dict[str, Any]:
    """By name: outputs, and sums of the SHAP values."""
    lines = list[str]()
    with TemporaryDirectory(prefix="muster-canary-") as scratch:
        for name, case in cases.items():
            (Path(scratch) / f"{name}.ubj").write_bytes(case.content)
        rows = {name: case.rows for name, case in cases.items()}
        (Path(scratch) / _ROWS).write_text(json.dumps(rows), encoding="utf-8")
        try:
            child.run("model_store.canary", [scratch], lines.append, timeout_s)
        except ConversionFailed as error:
            # The child names each model before it opens the file.
            begun = [line for line in lines if line in cases]
            if not begun:
                raise
            reason = f"its canary predictions failed: {error}"
            raise TamperedSkills(key, cases[begun[-1]].file, reason) from error
    # XGBoost may print warnings of its own.
    return {name: found for line in lines if line.startswith("{") for name, found in json.loads(line).items()}


def _require_equal(key: str, file: str, expected: Sequence[float], found: Sequence[float]) -> None:
    if len(found) != len(expected):
        raise TamperedSkills(key, file, "its canary predictions are missing")
    moved = float(np.abs(np.subtract(found, expected)).max())
    if not moved <= TOLERANCE:
        raise TamperedSkills(key, file, f"a canary prediction moved by {moved:.2g}")


def _predict(folder: Path) -> None:
    """In the child: for each model a line with its name, then one with its answers."""
    import xgboost

    for name, rows in json.loads((folder / _ROWS).read_bytes()).items():
        print(name)
        booster: Any = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray((folder / f"{name}.ubj").read_bytes()))
        inputs = np.array(rows, dtype=np.float32)
        matrix = xgboost.DMatrix(inputs, feature_names=booster.feature_names, nthread=1)
        predicted = booster.predict(matrix)
        explained = booster.predict(matrix, pred_contribs=True).sum(axis=1, dtype=np.float64)
        print(json.dumps({name: [predicted.tolist(), explained.tolist()]}))


if __name__ == "__main__":
    child.confine()
    try:
        _predict(Path(sys.argv[1]))
    except ValueError as error:
        # XGBoost's messages carry a native stack with this machine's paths.
        sys.exit(type(error).__name__)
