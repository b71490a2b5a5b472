"""What the text encoders have in common: items in, a task's answers out, golden texts checked. Subclasses run the model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from deployments.engines.base import Description, Prepared
from deployments.engines.pooling import Floats, Head
from deployments.engines.text_task import TextTask
from deployments.engines.text_tasks import load_task
from deployments.engines.tokens import EncoderFacts, Ids
from deployments.errors import EngineFault
from model_store.stored_model import StoredModel

HALF_TOLERANCE = 1e-2
"""Of golden rows in 16 bits, whose last digits depend on the batch; the accuracy gate says what these cost."""


class TextEncoder(ABC):
    """An ``Engine`` of a stored model for embeddings, classification or zero-shot classification."""

    backend: str

    def __init__(self, stored: StoredModel) -> None:
        self.stored = stored
        self.facts: EncoderFacts
        self.task: TextTask
        self.head: Head | None = None
        self.padding = 0

    def load(self) -> None:
        """Read tokenizer, head and weights. Raises ``ConversionFailed``, ``UnknownModule``."""
        folder = self.stored.artefact_dir()
        self.facts = EncoderFacts.read(folder)
        self.task = load_task(self.stored, self.facts, folder)
        self.head = self.task.head
        self._load_model()

    def warm(self) -> None:
        """Compute the golden texts, alone and together. Raises ``EngineFault`` when an answer moved."""
        windows, expected = self.task.golden()
        for found in (self.golden_rows(), np.concatenate([self._rows([window]) for window in windows])):
            moved = self.task.moved(found, expected)
            if not moved <= self._tolerance:
                raise EngineFault(f"The golden {self.task.noun} of {self.stored.key} moved by {moved:.1e}.")

    @property
    def _tolerance(self) -> float:
        return HALF_TOLERANCE if self.stored.precision == "fp16" else self.task.tolerance

    def golden_rows(self) -> Floats:
        """(golden texts, dimensions), as the engine computes them now, together."""
        return self._rows(self.task.golden()[0])

    def prepare(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | Exception]:
        """Tokenise. Option ``truncate``: ``error`` (default), ``end``, ``start`` or ``window``."""
        return self.task.prepare(inputs, options)

    def run(self, items: Sequence[Prepared]) -> Sequence[Floats]:
        """One answer per item, in order. Raises ``EngineFault`` for a number that is not finite."""
        return self.task.answers(items, self._finite_rows) if items else []

    def encode(self, inputs: Sequence[Any], truncate: str = "end") -> Floats:
        """(inputs, width) without any batcher: the bare engine. Raises the first input's error."""
        items = []
        for outcome in self.prepare(inputs, {"truncate": truncate}):
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
            details=self.task.details(),
        )

    @abstractmethod
    def _load_model(self) -> None:
        """Load the weights; ``facts``, ``task`` and ``head`` are there."""

    @abstractmethod
    def _rows(self, windows: Sequence[Ids]) -> Floats:
        """(windows, dimensions) in the order given, batched as the backend likes: ``head`` of the hidden states, or
        without a head the model's logits."""

    def _finite_rows(self, windows: Sequence[Ids]) -> Floats:
        rows = self._rows(windows)
        if not np.isfinite(rows).all():
            raise EngineFault(f"{self.stored.key} computed a number that is not finite.")
        return rows
