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
from collections.abc import Sequence
from contextlib import suppress
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
    answers = _answers(bundle, timeout_s)
    for skill in bundle.models:
        record = bundle.record.skills[skill]
        predicted, explained = answers.get(skill, ((), ()))
        _require_equal(bundle.key, record.file, record.canary.margins, predicted)
        _require_equal(bundle.key, record.file, record.canary.margins, explained)


def _answers(bundle: SkillBundle, timeout_s: float) -> dict[str, Any]:
    """By skill: outputs, and sums of the SHAP values."""
    skills, lines = bundle.record.skills, list[str]()
    with TemporaryDirectory(prefix="muster-canary-") as scratch:
        for skill, content in bundle.models.items():
            (Path(scratch) / f"{skill}.ubj").write_bytes(content)
        rows = {skill: skills[skill].canary.rows for skill in bundle.models}
        (Path(scratch) / _ROWS).write_text(json.dumps(rows), encoding="utf-8")
        try:
            child.run("model_store.canary", [scratch], lines.append, timeout_s)
        except ConversionFailed as error:
            # The child names each skill before it opens the file.
            begun = [line for line in lines if line in skills]
            if not begun:
                raise
            reason = f"its canary predictions failed: {error}"
            raise TamperedSkills(bundle.key, skills[begun[-1]].file, reason) from error
    # XGBoost may print warnings of its own.
    return {skill: found for line in lines if line.startswith("{") for skill, found in json.loads(line).items()}


def _require_equal(key: str, file: str, expected: Sequence[float], found: Sequence[float]) -> None:
    if len(found) != len(expected):
        raise TamperedSkills(key, file, "its canary predictions are missing")
    moved = float(np.abs(np.subtract(found, expected)).max())
    if not moved <= TOLERANCE:
        raise TamperedSkills(key, file, f"a canary prediction moved by {moved:.2g}")


def _predict(folder: Path) -> None:
    """In the child: for each skill a line with its name, then one with its answers."""
    import xgboost

    for skill, rows in json.loads((folder / _ROWS).read_bytes()).items():
        print(skill)
        booster: Any = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray((folder / f"{skill}.ubj").read_bytes()))
        inputs = np.array(rows, dtype=np.float32)
        matrix = xgboost.DMatrix(inputs, feature_names=booster.feature_names, nthread=1)
        predicted = booster.predict(matrix)
        explained = booster.predict(matrix, pred_contribs=True).sum(axis=1, dtype=np.float64)
        print(json.dumps({skill: [predicted.tolist(), explained.tolist()]}))


if __name__ == "__main__":
    child.confine()
    try:
        _predict(Path(sys.argv[1]))
    except ValueError as error:
        # XGBoost's messages carry a native stack with this machine's paths.
        sys.exit(type(error).__name__)
