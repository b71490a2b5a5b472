"""The accuracy gate: an 8-bit graph serves only where it was measured to be nearly as good as the exact one.

``gate.json`` lies with the 8-bit graph, under the manifest's digests; of a gate that failed it is all that is kept. It
holds for the exact graph that it was measured against, for the runtime, and for the kind of processor: any other asks for
``muster models quantize`` again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from model_store import convert, processor
from model_store.errors import ConversionFailed
from model_store.lock import Manifest

Precision = Literal["fp32", "int8"]
Metric = Literal["spearman", "label_agreement"]

GATE = "gate.json"
ALLOWED_POINTS: Mapping[Metric, float] = {"spearman": 0.5, "label_agreement": 1.0}
"""Hundredths of the metric that may be lost."""
RECIPE = "1"
"""Raise it when the quantisation changes, so that gates are run again."""
FASTER = 1.1
"""Ratio from which on 8 bits are measurably faster; runs on a busy machine differ by less."""
_WORDS = {"runtime": "runtime", "processor": "kind of processor"}


class Gate(BaseModel):
    """``before``, ``after``: the metric (0..1) of the exact and of the 8-bit graph over ``items`` of the user's data.

    ``mean_cosine``: between the two embeddings of a text; None for classifiers. ``speed``: the 8-bit engine's against the
    exact one's, for one short text and for 64 texts of mixed lengths. ``processor``, ``runtime``: where it was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Literal["int8"] = "int8"
    metric: Metric
    items: int
    before: float
    after: float
    drop_points: float
    allowed_points: float
    passed: bool
    mean_cosine: float | None
    speed: dict[str, float]
    processor: str
    runtime: str
    data_sha256: str
    measured_on: str

    def write(self, folder: Path) -> None:
        (folder / GATE).write_text(json.dumps(self.model_dump(), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Gate":
        """Raises ``ConversionFailed``."""
        try:
            return cls.model_validate_json((folder / GATE).read_bytes())
        except (OSError, ValidationError) as error:
            raise ConversionFailed(f"{folder / GATE} cannot be read as the record of an accuracy gate.") from error


def made_with(exact: Mapping[str, str]) -> dict[str, str]:
    """All that an 8-bit graph and its gate depend on, here and now; ``exact``: the same of the exact graph."""
    here = {"runtime": convert.runtime(), "processor": processor.kind()}
    return {**exact, **here, "precision": "int8", "quantizer": RECIPE}


def read_gate(manifest: Manifest, folder: Path) -> Gate | None:
    """The gate of a stored model, passed or not; None where none was run. Raises ``ConversionFailed``."""
    return Gate.read(folder / manifest.int8.folder) if manifest.int8 else None


def why_closed(manifest: Manifest, folder: Path) -> str | None:
    """Why a stored model may not serve in 8 bits on this machine; None when it may. Raises ``ConversionFailed``."""
    gate, again = read_gate(manifest, folder), f"`muster models quantize {manifest.key}`"
    if manifest.artefact is None:
        return "there is no 8-bit backend for such a model"
    if gate is None or manifest.int8 is None:
        return f"gate not run: {again}"
    if not gate.passed:
        return f"gate failed: drop {gate.drop_points:.2f} points, {gate.allowed_points:.2f} allowed"
    made, here = manifest.int8.made_with, made_with(manifest.artefact.made_with)
    changed = [name for name in here if made.get(name) != here[name]]
    if not changed:
        return None
    known = [f"another {_WORDS[name]} ({made[name]})" for name in changed if name in _WORDS]
    return f"gate run with {' and '.join(known) or 'another release'}: {again}"
