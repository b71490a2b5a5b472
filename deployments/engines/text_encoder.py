"""What the text encoders have in common: tokens in, windows joined, golden texts checked. Subclasses run the model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from deployments.engines.base import Description, Prepared
from deployments.engines.pooling import Floats, Head, load_head, normalize
from deployments.engines.tokens import EncoderFacts, Ids, TokenReader
from deployments.errors import EngineFault
from model_store.store import StoredModel

GOLDEN_TOLERANCE = 1e-5


class TextEncoder(ABC):
    """An ``Engine`` that turns texts into embeddings, float32 arrays of shape (dimensions,)."""

    backend: str

    def __init__(self, stored: StoredModel) -> None:
        self.stored = stored
        self.facts: EncoderFacts
        self.head: Head
        self._reader: TokenReader

    def load(self) -> None:
        """Read tokenizer, head and weights. Raises ``ConversionFailed``, ``UnknownModule``."""
        folder = self.stored.artefact_dir()
        self.facts = EncoderFacts.read(folder)
        self.head = load_head(self.stored.files)
        self._reader = TokenReader(folder, self.facts, self.stored.key)
        self._load_model()

    def warm(self) -> None:
        """Embed the golden texts, alone and together. Raises ``EngineFault`` when an embedding moved."""
        texts = [golden["text"] for golden in self.facts.golden]
        expected = np.array([golden["embedding"] for golden in self.facts.golden], dtype=np.float32)
        for found in (self.encode(texts), np.concatenate([self.encode([text]) for text in texts])):
            moved = float(np.abs(normalize(found) - normalize(expected)).max())
            if not moved <= GOLDEN_TOLERANCE:
                raise EngineFault(f"The golden embeddings of {self.stored.key} moved by {moved:.1e}.")

    def prepare(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | Exception]:
        """Tokenise. Option ``truncate``: ``error`` (default), ``end``, ``start`` or ``window``."""
        return self._reader.prepare(inputs, options.get("truncate", "error"))

    def run(self, items: Sequence[Prepared]) -> Sequence[Floats]:
        """One embedding per item, in order. Raises ``EngineFault`` for a number that is not finite."""
        windows: list[Ids] = [window for item in items for window in item.payload]
        vectors = self._embed(windows)
        if len(windows) > len(items):
            vectors = self._join(vectors, items)
        if not np.isfinite(vectors).all():
            raise EngineFault(f"{self.stored.key} computed a number that is not finite.")
        return list(vectors)

    def encode(self, texts: Sequence[str], truncate: str = "end") -> Floats:
        """(texts, dimensions) without any batcher: the bare engine. Raises the first text's error."""
        items = []
        for outcome in self.prepare(texts, {"truncate": truncate}):
            if isinstance(outcome, Exception):
                raise outcome
            items.append(outcome)
        if not items:
            return np.zeros((0, self.facts.dimensions), dtype=np.float32)
        return np.stack(self.run(items))

    def describe(self) -> Description:
        return Description(
            model=self.stored.key,
            revision=self.stored.revision,
            backend=self.backend,
            limits={"max_tokens": self.facts.max_tokens},
            details={"dimensions": self.facts.dimensions, "family": self.facts.family},
        )

    @abstractmethod
    def _load_model(self) -> None:
        """Load the weights; ``facts`` and ``head`` are there."""

    @abstractmethod
    def _embed(self, windows: Sequence[Ids]) -> Floats:
        """(windows, dimensions) in the order given, batched as the backend likes."""

    def _join(self, vectors: Floats, items: Sequence[Prepared]) -> Floats:
        """Windows of one text become their mean, weighted by tokens, normalised again where the model normalises."""
        joined, start = [], 0
        for item in items:
            part = vectors[start : start + len(item.payload)]
            weights = np.array([len(window) for window in item.payload], dtype=np.float32)
            joined.append(part[0] if len(part) == 1 else weights @ part / weights.sum())
            start += len(item.payload)
        result = np.stack(joined)
        return normalize(result) if self.head.normalizes else result
