"""What the provider is asked for each task, and how its answers are read. Nothing in an answer is taken on trust."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deployments.generation import Delta, GenerationRequest, Turn

Floats = NDArray[np.float32]
TEXTS_AT_ONCE = 32
MOST_LABELS = 1000


class BadAnswer(Exception):
    """The answer is not what the task gives; the text says why, without the answer."""


class RemoteModel(Protocol):
    """The part of a catalogue entry that a remote call reads."""

    @property
    def key(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def dimensions(self) -> int | None: ...
    @property
    def labels(self) -> tuple[str, ...]: ...


class Embedding:
    """Feature extraction, many texts a request."""

    inputs_at_once = TEXTS_AT_ONCE
    truncations: Mapping[str, Mapping[str, Any]] = {
        "error": {"truncate": False},
        "end": {"truncate": True, "truncation_direction": "right"},
        "start": {"truncate": True, "truncation_direction": "left"},
    }

    @staticmethod
    def path(model: RemoteModel) -> str:
        return f"/hf-inference/models/{model.id}/pipeline/feature-extraction"

    def body(self, model: RemoteModel, inputs: Sequence[Any], truncate: str) -> dict[str, Any]:
        return {"inputs": list(inputs), **self.truncations[truncate]}

    def rows(self, model: RemoteModel, inputs: Sequence[Any], answer: Any) -> tuple[Floats, tuple[str, ...]]:
        """``(inputs, dimensions)`` float32. Raises ``BadAnswer``."""
        try:
            with np.errstate(over="ignore"):
                matrix = np.asarray(answer, dtype=np.float32)
        except (ValueError, TypeError):
            raise BadAnswer("it sends no matrix of numbers") from None
        if matrix.shape != (len(inputs), model.dimensions):
            raise BadAnswer("its vectors have the wrong dimension")
        if not np.isfinite(matrix).all():
            raise BadAnswer("it sends numbers that are not finite")
        return matrix, ()


class Classification:
    """Text classification, one text a request, as the provider documents it."""

    inputs_at_once = 1
    truncations: Mapping[str, Mapping[str, Any]] = {"error": {}}

    @staticmethod
    def path(model: RemoteModel) -> str:
        return f"/hf-inference/models/{model.id}"

    def body(self, model: RemoteModel, inputs: Sequence[Any], truncate: str) -> dict[str, Any]:
        return {"inputs": inputs[0], "parameters": {"top_k": len(model.labels) or MOST_LABELS}}

    def rows(self, model: RemoteModel, inputs: Sequence[Any], answer: Any) -> tuple[Floats, tuple[str, ...]]:
        """``(1, labels)`` float32 and the labels, in the catalogue's order where it has them. Raises ``BadAnswer``."""
        if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], list):
            answer = answer[0]
        return _in_order(_scores(answer), model.labels)


class ZeroShot(Classification):
    """Zero-shot classification, one text a request."""

    def body(self, model: RemoteModel, inputs: Sequence[Any], truncate: str) -> dict[str, Any]:
        item = inputs[0]
        parameters = {
            "candidate_labels": item["labels"],
            "hypothesis_template": item["hypothesis_template"],
            "multi_label": item["multi_label"],
        }
        return {"inputs": item["text"], "parameters": parameters}

    def rows(self, model: RemoteModel, inputs: Sequence[Any], answer: Any) -> tuple[Floats, tuple[str, ...]]:
        """``(1, labels)`` float32 in the order of the request. Raises ``BadAnswer``."""
        if isinstance(answer, Mapping):
            names, scores = answer.get("labels"), answer.get("scores")
            if not isinstance(names, list) or not isinstance(scores, list) or len(names) != len(scores):
                raise BadAnswer("it sends no list of labels and scores")
            answer = [{"label": name, "score": score} for name, score in zip(names, scores, strict=True)]
        return _in_order(_scores(answer), tuple(inputs[0]["labels"]))


class Chat:
    """A chat's next message, whole: the router's OpenAI route."""

    path = "/v1/chat/completions"
    truncations: Mapping[str, Mapping[str, Any]] = {"error": {}}

    @staticmethod
    def body(model: RemoteModel, wanted: GenerationRequest) -> dict[str, Any]:
        turns = [{"role": turn.role, "content": turn.content} for turn in wanted.prompt if isinstance(turn, Turn)]
        asked = {"max_tokens": wanted.max_tokens, "seed": wanted.seed, "stop": list(wanted.stop) or None}
        always = {"temperature": wanted.temperature, "top_p": wanted.top_p}
        penalties = {
            "frequency_penalty": wanted.frequency_penalty or None,
            "presence_penalty": wanted.presence_penalty or None,
        }
        optional = {name: value for name, value in {**asked, **penalties}.items() if value is not None}
        return {"model": model.id, "messages": turns, **always, **optional}

    @staticmethod
    def delta(answer: Any) -> Delta:
        """The message as one delta, without a revision. Raises ``BadAnswer``."""
        try:
            (choice,), usage = answer["choices"], answer.get("usage") or {}
            text, finish = choice["message"]["content"], choice["finish_reason"]
            tokens = [int(usage.get(name, 0)) for name in ("prompt_tokens", "completion_tokens")]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BadAnswer("it sends no message") from None
        if not isinstance(text, str) or finish not in ("stop", "length"):
            raise BadAnswer("it sends no finished message")
        return Delta(text, tokens[0], tokens[1], finish)


CHAT = Chat()
Task = Embedding | Classification
TASKS: Mapping[str, Task] = {
    "embedding": Embedding(),
    "classification": Classification(),
    "zero-shot": ZeroShot(),
}


def _scores(answer: Any) -> dict[str, float]:
    """Scores by label. Raises ``BadAnswer``."""
    scores: dict[str, float] = {}
    for row in answer if isinstance(answer, list) else ():
        label, score = (row.get("label"), row.get("score")) if isinstance(row, Mapping) else (None, None)
        if not isinstance(label, str) or isinstance(score, bool) or not isinstance(score, int | float):
            raise BadAnswer("it sends no list of labels and scores")
        if not math.isfinite(score) or label in scores:
            raise BadAnswer("it sends a label twice, or a score that is not finite")
        scores[label] = float(score)
    if not scores:
        raise BadAnswer("it sends no list of labels and scores")
    return scores


def _in_order(scores: Mapping[str, float], labels: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """One row in the order of ``labels``, by name where there are none. Raises ``BadAnswer`` for other labels."""
    order = tuple(labels) or tuple(sorted(scores))
    if set(order) != set(scores):
        raise BadAnswer("its labels are not the model's")
    return np.array([[scores[label] for label in order]], dtype=np.float32), order
