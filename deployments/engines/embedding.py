"""Texts to embeddings, float32 arrays of shape (dimensions,)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deployments.engines.base import Prepared
from deployments.engines.pooling import Floats, Head, normalize
from deployments.engines.text_task import Rows, TextTask, pooled, texts_of
from deployments.engines.tokens import EncoderFacts, TokenReader


class Embedding(TextTask):
    """A row is the embedding of one window. The mean of several is normalised where the model normalises."""

    noun = "embeddings"
    tolerance = 1e-5

    def __init__(self, facts: EncoderFacts, reader: TokenReader, head: Head) -> None:
        super().__init__(facts, reader)
        self.head: Head = head

    def answers(self, items: Sequence[Prepared], rows: Rows) -> list[Floats]:
        windows = texts_of(items)
        vectors = pooled(rows(windows), items)
        if self.head.normalizes and len(windows) > len(items):
            vectors = normalize(vectors)
        return list(vectors)

    def moved(self, found: Floats, expected: Floats) -> float:
        """Largest difference of two components of directions."""
        return float(np.abs(normalize(found) - normalize(expected)).max())

    def details(self) -> dict[str, Any]:
        return {"dimensions": self.facts.dimensions, "family": self.facts.family}
