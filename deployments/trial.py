"""Making and judging the 8-bit graph of a stored model, in a child process: ``python -m deployments.trial JOB``.

The child fixes the scales on a part of the user's texts, writes the graph, measures accuracy over all of the data and
speed against the exact engine, and leaves in the target folder either an artefact that serves (``encoder.onnx``,
``tokenizer.json``, ``encoder.json`` with golden answers of its own, ``gate.json``) or, when the gate failed,
``gate.json`` alone.
"""

import json
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from deployments.engines.onnx_encoder import OnnxEncoder
from deployments.judging import figures, inputs_of, judge, texts_of, with_own_golden
from deployments.settings import DeploymentSettings
from deployments.trial_speed import mixed_texts, short_text, speed_ratio
from model_store import child, convert, measure, processor
from model_store.errors import ConversionFailed
from model_store.gate import Gate
from model_store.lock import Artefact, Manifest
from model_store.stored_model import StoredModel

CALIBRATION_TEXTS, LONG_TEXTS, WORDS_OF_LONG = 256, 16, 600
"""Texts that fix the scales, and as many more of the length limit: positions that short texts never reach count too."""

TIMEOUT_S = 3 * 3600.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """``folder``: the stored model's; ``data``: rated pairs for embeddings, texts for classifiers; ``labels``: candidates
    for zero-shot; the rest as in the settings that replicas run with."""

    key: str
    folder: str
    target: str
    data: str
    labels: tuple[str, ...]
    threads: int
    token_budget: int
    spin_us: int
    gate_dir: str

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Job":
        fields = json.loads(text)
        return cls(**{**fields, "labels": tuple(fields["labels"])})


class _Listening(OnnxEncoder):
    """The exact engine; keeps what goes into its graph."""

    batches: list[tuple[Any, Any]]

    def _compute(self, ids: Any, mask: Any) -> Any:
        self.batches.append((ids, mask))
        return super()._compute(ids, mask)


def in_child_process(job: Job, say: Say) -> None:
    """Fill ``job.target``, and measure the memory of what passed. Raises ``ConversionFailed``."""
    child.run("deployments.trial", [job.text()], say, TIMEOUT_S)
    if Gate.read(Path(job.target)).passed:
        measure.in_child_process(Path(job.target), say)


def in_this_process(job: Job, say: Say) -> None:
    """Fill ``job.target``. Raises ``ConversionFailed``, ``UnusableData``."""
    manifest, target = Manifest.read(Path(job.folder), job.key), Path(job.target)
    stored = StoredModel(job.key, manifest.id, manifest.revision, Path(job.folder), manifest.artefact)
    settings = _settings(job)
    exact = OnnxEncoder(stored, settings)
    exact.load()
    texts = texts_of(stored, Path(job.data))
    say("fixing the scales")
    _write_graph(stored, settings, inputs_of(stored, _calibration(texts), job.labels), target)
    eight = with_own_golden(partial(OnnxEncoder, _in_target(stored, target), settings), target)
    say("measuring accuracy")
    accuracy = judge(stored, Path(job.data), job.labels, exact, eight)
    say("measuring speed")
    short = inputs_of(stored, short_text(texts), job.labels)
    mixed = inputs_of(stored, mixed_texts(texts), job.labels)
    speed = {
        "short_text": speed_ratio(exact.encode, eight.encode, short, passes=20),
        "mixed_texts": speed_ratio(exact.encode, eight.encode, mixed),
    }
    figures(accuracy, speed, Path(job.data), "int8", processor.name(), convert.runtime()).write(target)
    if not accuracy.passed:
        for name in ("encoder.onnx", "encoder.json", "tokenizer.json"):
            (target / name).unlink()


def _settings(job: Job) -> DeploymentSettings:
    gate_dir = Path(job.gate_dir)
    return DeploymentSettings(
        threads=job.threads, token_budget=job.token_budget, spin_us=job.spin_us, gate_dir=gate_dir
    )


def _in_target(stored: StoredModel, target: Path) -> StoredModel:
    """The model with the graph that is not in the store yet; joining an absolute path gives that path."""
    assert stored.artefact is not None
    made = Artefact(id="trial", folder=str(target.resolve()), made_with=stored.artefact.made_with)
    return replace(stored, artefact=made, precision="int8")


def _calibration(texts: Sequence[str]) -> list[str]:
    """Some texts from all over the data, and some of the length limit."""
    some = texts[:: math.ceil(len(texts) / CALIBRATION_TEXTS)]
    words = " ".join(texts).split()
    starts = range(0, len(words), max(1, len(words) // LONG_TEXTS))
    return [*some, *(" ".join((words[start:] + words)[:WORDS_OF_LONG]) for start in starts)]


def _write_graph(stored: StoredModel, settings: DeploymentSettings, inputs: Sequence[Any], target: Path) -> None:
    # onnx is only needed here; replicas do without it.
    from model_store.activations import reaches
    from model_store.quantize import quantize

    listening = _Listening(stored, settings)
    listening.load()
    listening.batches = []
    listening.encode(inputs)
    exact = stored.artefact_dir()
    if not quantize(
        exact / "encoder.onnx", target / "encoder.onnx", reaches(exact / "encoder.onnx", listening.batches)
    ):
        raise ConversionFailed(f"The graph of {stored.key!r} has nothing that 8 bits could compute.")
    for name in ("tokenizer.json", "encoder.json"):
        shutil.copyfile(exact / name, target / name)


if __name__ == "__main__":
    child.confine()
    in_this_process(Job.read(sys.argv[1]), lambda message: print(message, flush=True))
