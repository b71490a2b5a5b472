"""The accuracy gate: fewer bits serve only where they were measured to be nearly as good as fp32.

``gate.json`` lies with the 8-bit graph, or with the golden answers in 16 bits, under the manifest's digests; of a gate that
failed it is all that is kept. It holds for the exact graph that it was measured against, for the runtime, and for the kind
of processor, in 16 bits the GPU: any other asks for ``muster models quantize`` again.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from model_store import convert, processor
from model_store.errors import ConversionFailed
from model_store.lock import Manifest

Reduced = Literal["int8", "fp16"]
Metric = Literal["spearman", "label_agreement"]

GATE = "gate.json"
ALLOWED_POINTS: Mapping[Metric, float] = {"spearman": 0.5, "label_agreement": 1.0}
"""Hundredths of the metric that may be lost."""
RECIPE = "1"
"""Raise it when the quantisation changes, so that gates are run again."""
FASTER = 1.1
"""Ratio from which on fewer bits are measurably faster; runs on a busy machine differ by less."""
_WORDS = {"runtime": "runtime", "processor": "kind of processor", "gpu": "GPU", "torch": "torch"}
BITS: Mapping[Reduced, int] = {"int8": 8, "fp16": 16}


class Gate(BaseModel):
    """``before``, ``after``: the metric (0..1) in fp32 and in ``precision`` over ``items`` of the user's data.

    ``mean_cosine``: between the two embeddings of a text; None for classifiers. ``speed``: the judged engine's against the
    exact one's, for one short text and for 64 texts of mixed lengths. ``processor`` (in 16 bits the GPU), ``runtime``:
    where it was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Reduced = "int8"
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


def made_with(exact: Mapping[str, str], precision: Reduced = "int8", gpu: str = "") -> dict[str, str]:
    """All that fewer bits and their gate depend on, here and now; ``exact``: the same of the exact graph; ``gpu``: its
    name, for 16 bits."""
    runtime = {"runtime": convert.runtime(), "precision": precision}
    if precision == "fp16":
        return {**exact, **runtime, "gpu": gpu, "torch": torch_runtime()}
    return {**exact, **runtime, "processor": processor.kind(), "quantizer": RECIPE}


def torch_runtime() -> str:
    """Name and version of what computes in 16 bits; torch itself takes seconds to import."""
    return f"torch {version('torch')}"


def command(key: str, precision: Reduced = "int8") -> str:
    """What runs a gate."""
    return f"`muster models quantize {key}{'' if precision == 'int8' else f' --precision {precision}'}`"


def read_gate(manifest: Manifest, folder: Path, precision: Reduced = "int8") -> Gate | None:
    """The gate of a stored model, passed or not; None where none was run. Raises ``ConversionFailed``."""
    made = manifest.made(precision)
    return Gate.read(folder / made.folder) if made else None


def why_closed(manifest: Manifest, folder: Path, precision: Reduced = "int8", gpu: str = "") -> str | None:
    """Why a stored model may not serve in fewer bits on this machine, in 16 bits on this ``gpu``; None when it may.

    Raises ``ConversionFailed``.
    """
    gate, again = read_gate(manifest, folder, precision), command(manifest.key, precision)
    reduced = manifest.made(precision)
    if manifest.artefact is None:
        return f"there is no {BITS[precision]}-bit backend for such a model"
    if gate is None or reduced is None:
        return f"gate not run: {again}"
    if not gate.passed:
        return f"gate failed: drop {gate.drop_points:.2f} points, {gate.allowed_points:.2f} allowed"
    made, here = reduced.made_with, made_with(manifest.artefact.made_with, precision, gpu)
    changed = [name for name in here if made.get(name) != here[name]]
    if not changed:
        return None
    known = [f"another {_WORDS[name]} ({made[name]})" for name in changed if name in _WORDS]
    return f"gate run with {' and '.join(known) or 'another release'}: {again}"
