"""What both ways to fewer bits share: the user's data as a task's inputs, the verdict, its record, golden answers."""

import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from deployments.accuracy import Accuracy, label_agreement, rank_correlation
from deployments.engines.text_encoder import TextEncoder
from deployments.trial_data import digest, read_pairs, read_texts
from model_store.errors import ConversionFailed
from model_store.gate import ALLOWED_POINTS, Gate, Reduced
from model_store.stored_model import StoredModel

Engine = TypeVar("Engine", bound=TextEncoder)


def texts_of(stored: StoredModel, data: Path) -> list[str]:
    """The texts of rated pairs, or of a file of texts. Raises ``UnusableData``."""
    return read_pairs(data).texts if stored.task == "embedding" else read_texts(data)


def inputs_of(stored: StoredModel, texts: Sequence[str], labels: Sequence[str]) -> list[Any]:
    """What the engine of the model's task reads."""
    return [{"text": text, "labels": list(labels)} for text in texts] if stored.task == "zero-shot" else list(texts)


def judge(stored: StoredModel, data: Path, labels: Sequence[str], exact: TextEncoder, reduced: TextEncoder) -> Accuracy:
    """Raises ``ConversionFailed`` where there is nothing to compare."""
    if stored.task == "embedding":
        accuracy = rank_correlation(read_pairs(data), exact.encode, reduced.encode)
        if not math.isfinite(accuracy.drop_points):
            raise ConversionFailed(f"{stored.key!r} finds all pairs equally alike; there is no rank to compare.")
        return accuracy
    problem = exact.facts.problem if stored.task == "classification" else "single"
    if problem == "regression":
        raise ConversionFailed(f"{stored.key!r} answers with numbers, not with labels that could agree.")
    inputs = inputs_of(stored, read_texts(data), labels)
    return label_agreement(inputs, exact.encode, reduced.encode, several=problem == "multi")


def with_own_golden(build: Callable[[], Engine], target: Path) -> Engine:
    """The engine over ``target``, loaded and warm; what it computes now of the exact model's golden texts is written there
    and checked whenever a replica starts."""
    first = build()
    first.load()
    facts = json.loads((target / "encoder.json").read_bytes())
    for golden, row in zip(facts["golden"], first.golden_rows(), strict=True):
        golden["embedding" if "embedding" in golden else "logits"] = row.tolist()
    (target / "encoder.json").write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    engine = build()
    engine.load()
    engine.warm()
    return engine


def figures(
    accuracy: Accuracy, speed: dict[str, float], data: Path, precision: Reduced, processor: str, runtime: str
) -> Gate:
    """The record of a gate that was run now."""
    return Gate(
        precision=precision,
        metric=accuracy.metric,
        items=accuracy.items,
        before=round(accuracy.before, 5),
        after=round(accuracy.after, 5),
        drop_points=round(accuracy.drop_points, 3),
        allowed_points=ALLOWED_POINTS[accuracy.metric],
        passed=accuracy.passed,
        mean_cosine=None if accuracy.mean_cosine is None else round(accuracy.mean_cosine, 5),
        speed=speed,
        processor=processor,
        runtime=runtime,
        data_sha256=digest(data),
        measured_on=datetime.now(UTC).date().isoformat(),
    )
