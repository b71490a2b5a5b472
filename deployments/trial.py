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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deployments.accuracy import Accuracy, label_agreement, rank_correlation
from deployments.engines.onnx_encoder import OnnxEncoder
from deployments.settings import DeploymentSettings
from deployments.trial_data import digest, read_pairs, read_texts
from deployments.trial_speed import mixed_texts, short_text, speed_ratio
from model_store import child, convert, measure, processor
from model_store.errors import ConversionFailed
from model_store.gate import ALLOWED_POINTS, Gate
from model_store.lock import Artefact, Manifest
from model_store.store import StoredModel

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
    exact = _loaded(OnnxEncoder(stored, settings))
    texts = _texts(stored, Path(job.data))
    say("fixing the scales")
    _write_graph(stored, settings, _inputs(stored, _calibration(texts), job.labels), target)
    eight = _with_own_golden(_in_target(stored, target), settings, target)
    say("measuring accuracy")
    accuracy = _judge(stored, Path(job.data), job.labels, exact, eight)
    say("measuring speed")
    short = _inputs(stored, short_text(texts), job.labels)
    mixed = _inputs(stored, mixed_texts(texts), job.labels)
    speed = {
        "short_text": speed_ratio(exact.encode, eight.encode, short, passes=20),
        "mixed_texts": speed_ratio(exact.encode, eight.encode, mixed),
    }
    _gate(accuracy, speed, Path(job.data)).write(target)
    if not accuracy.passed:
        for name in ("encoder.onnx", "encoder.json", "tokenizer.json"):
            (target / name).unlink()


def _settings(job: Job) -> DeploymentSettings:
    gate_dir = Path(job.gate_dir)
    return DeploymentSettings(
        threads=job.threads, token_budget=job.token_budget, spin_us=job.spin_us, gate_dir=gate_dir
    )


def _loaded(engine: OnnxEncoder) -> OnnxEncoder:
    engine.load()
    return engine


def _in_target(stored: StoredModel, target: Path) -> StoredModel:
    """The model with the graph that is not in the store yet; joining an absolute path gives that path."""
    assert stored.artefact is not None
    made = Artefact(id="trial", folder=str(target.resolve()), made_with=stored.artefact.made_with)
    return replace(stored, artefact=made, precision="int8")


def _texts(stored: StoredModel, data: Path) -> list[str]:
    return read_pairs(data).texts if stored.task == "embedding" else read_texts(data)


def _inputs(stored: StoredModel, texts: Sequence[str], labels: Sequence[str]) -> list[Any]:
    """What the engine of the model's task reads."""
    return [{"text": text, "labels": list(labels)} for text in texts] if stored.task == "zero-shot" else list(texts)


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


def _with_own_golden(stored: StoredModel, settings: DeploymentSettings, target: Path) -> OnnxEncoder:
    """The 8-bit engine; its answers to the exact model's golden texts are what a replica checks before it serves."""
    rows = _loaded(OnnxEncoder(stored, settings)).golden_rows()
    facts = json.loads((target / "encoder.json").read_bytes())
    for golden, row in zip(facts["golden"], rows, strict=True):
        golden["embedding" if "embedding" in golden else "logits"] = row.tolist()
    (target / "encoder.json").write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    engine = _loaded(OnnxEncoder(stored, settings))
    engine.warm()
    return engine


def _judge(stored: StoredModel, data: Path, labels: Sequence[str], exact: OnnxEncoder, eight: OnnxEncoder) -> Accuracy:
    """Raises ``ConversionFailed`` where there is nothing to compare."""
    if stored.task == "embedding":
        accuracy = rank_correlation(read_pairs(data), exact.encode, eight.encode)
        if not math.isfinite(accuracy.drop_points):
            raise ConversionFailed(f"{stored.key!r} finds all pairs equally alike; there is no rank to compare.")
        return accuracy
    problem = exact.facts.problem if stored.task == "classification" else "single"
    if problem == "regression":
        raise ConversionFailed(f"{stored.key!r} answers with numbers, not with labels that could agree.")
    inputs = _inputs(stored, read_texts(data), labels)
    return label_agreement(inputs, exact.encode, eight.encode, several=problem == "multi")


def _gate(accuracy: Accuracy, speed: dict[str, float], data: Path) -> Gate:
    return Gate(
        metric=accuracy.metric,
        items=accuracy.items,
        before=round(accuracy.before, 5),
        after=round(accuracy.after, 5),
        drop_points=round(accuracy.drop_points, 3),
        allowed_points=ALLOWED_POINTS[accuracy.metric],
        passed=accuracy.passed,
        mean_cosine=None if accuracy.mean_cosine is None else round(accuracy.mean_cosine, 5),
        speed=speed,
        processor=processor.name(),
        runtime=convert.runtime(),
        data_sha256=digest(data),
        measured_on=datetime.now(UTC).date().isoformat(),
    )


if __name__ == "__main__":
    child.confine()
    in_this_process(Job.read(sys.argv[1]), lambda message: print(message, flush=True))
