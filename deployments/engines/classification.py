"""Texts to the labels of a classifier: probabilities (labels,), or the raw values of a regression."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deployments.engines.base import Prepared
from deployments.engines.pooling import Floats
from deployments.engines.text_task import Rows, TextTask, pooled, texts_of


class Classification(TextTask):
    """A row is the logits of one window; a text's result is the mean of its windows' results."""

    def answers(self, items: Sequence[Prepared], rows: Rows) -> list[Floats]:
        return list(pooled(self._meant(rows(texts_of(items))), items))

    def details(self) -> dict[str, Any]:
        facts = self.facts
        return {"labels": list(facts.labels), "problem": facts.problem, "family": facts.family}

    def _meant(self, logits: Floats) -> Floats:
        if self.facts.problem == "regression":
            return logits
        return softmax(logits) if self.facts.problem == "single" else sigmoid(logits)


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


def sigmoid(logits: Floats) -> Floats:
    """Each number's own probability."""
    return np.asarray(np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits)), dtype=np.float32)
