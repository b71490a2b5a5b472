"""Texts to embeddings, float32 arrays of shape (dimensions,), or to the probabilities of light heads on them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from deployments.engines.base import Prepared
from deployments.engines.light_head import LightHead
from deployments.engines.pooling import Floats, Head, normalize
from deployments.engines.text_task import Rows, TextTask, pooled, texts_of
from deployments.engines.tokens import EncoderFacts, TokenReader
from deployments.errors import ModelNotReady


class Embedding(TextTask):
    """A row is the embedding of one window. The mean of several is normalised where the model normalises."""

    noun = "embeddings"
    tolerance = 1e-5

    def __init__(self, facts: EncoderFacts, reader: TokenReader, head: Head, light: Mapping[str, LightHead]) -> None:
        super().__init__(facts, reader)
        self.head: Head = head
        self._light = light

    def prepare(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | Exception]:
        """Option ``head``: the address of a light head, whose probabilities (labels,) are the answer. Option ``heads``:
        addresses, whose probabilities follow the embedding, all in one array."""
        items = super().prepare(inputs, options)
        one, several = options.get("head"), options.get("heads", ())
        wanted = [one] if one is not None else several
        for address in wanted:
            if address not in self._light:
                return [ModelNotReady(address, "its file is missing or damaged")] * len(items)
        if not wanted:
            return items
        heads = [self._light[address] for address in wanted]
        finish = heads[0] if one is not None else partial(_embedding_and, heads)
        return [replace(item, finish=finish) if isinstance(item, Prepared) else item for item in items]

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


def _embedding_and(heads: Sequence[LightHead], embedding: Floats) -> Floats:
    return np.concatenate([embedding, *(head(embedding) for head in heads)])
