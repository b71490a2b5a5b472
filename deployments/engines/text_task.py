"""What a text model is for: what its inputs are, and what its rows of numbers mean. Engines compute the rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deployments.engines.base import Prepared
from deployments.engines.pooling import Floats, Head
from deployments.engines.tokens import EncoderFacts, Ids, TokenReader

Rows = Callable[[Sequence[Ids]], Floats]
"""Windows -> (windows, width) in the same order."""


class TextTask(ABC):
    """``head``: what turns a model's hidden states into rows; None when the rows are the model's own logits.

    ``noun``: what a row is. ``tolerance``: how far a golden row may move, in the unit of ``moved``.
    """

    head: Head | None = None
    noun = "logits"
    tolerance = 1e-4

    def __init__(self, facts: EncoderFacts, reader: TokenReader) -> None:
        self.facts, self.reader = facts, reader

    def prepare(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | Exception]:
        """One item per input. Option ``truncate``: ``error`` (default), ``end``, ``start`` or ``window``."""
        return self.reader.prepare(inputs, options.get("truncate", "error"))

    @abstractmethod
    def answers(self, items: Sequence[Prepared], rows: Rows) -> list[Floats]:
        """One result per item, in order."""

    def golden(self) -> tuple[list[Ids], Floats]:
        """Golden windows and their rows."""
        items = [self.reader.prepare([golden["text"]], "end")[0] for golden in self.facts.golden]
        windows = [item.payload[0] for item in items if isinstance(item, Prepared)]
        return windows, np.array([golden[self._golden_key] for golden in self.facts.golden], dtype=np.float32)

    def moved(self, found: Floats, expected: Floats) -> float:
        """Distance of two sets of rows: their largest difference, relative to the largest number (at least 1)."""
        return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """What the engine says of itself beside backend and limits."""

    @property
    def _golden_key(self) -> str:
        return "logits" if self.head is None else "embedding"


def texts_of(items: Sequence[Prepared]) -> list[Ids]:
    """The windows of all items, one item's after the other's."""
    return [window for item in items for window in item.payload]


def pooled(rows: Floats, items: Sequence[Prepared]) -> Floats:
    """(items, width): the windows of one text become their mean, weighted by tokens."""
    if len(rows) == len(items):
        return rows
    joined, start = [], 0
    for item in items:
        weights = np.array([len(window) for window in item.payload], dtype=np.float32)
        joined.append(mean(rows[start : start + len(weights)], weights))
        start += len(weights)
    return np.stack(joined)


def mean(rows: Floats, weights: Floats) -> Floats:
    """(width,), weighted."""
    return rows[0] if len(rows) == 1 else np.asarray(weights @ rows / weights.sum(), dtype=np.float32)
