"""Texts to labels that come with them, by an NLI model: does the text entail the hypothesis that the label makes?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deployments.engines.base import Prepared
from deployments.engines.classification import sigmoid, softmax
from deployments.engines.pairs import PairReader, Pairs
from deployments.engines.pooling import Floats
from deployments.engines.text_task import Rows, TextTask, mean
from deployments.engines.tokens import EncoderFacts, Ids


class ZeroShot(TextTask):
    """A row is the NLI logits of one pair; a result is a probability a label, (labels,), as transformers' pipeline has it:
    they sum to 1, or with ``multi_label`` (and for a single label) each is entailment against contradiction."""

    def __init__(self, facts: EncoderFacts, reader: PairReader) -> None:
        super().__init__(facts, reader)
        self._pair = reader.pair
        self._contradiction = -1 if facts.entailment == 0 else 0

    def answers(self, items: Sequence[Prepared], rows: Rows) -> list[Floats]:
        """All pairs of all items are one list of windows."""
        asked: list[Pairs] = [item.payload for item in items]
        logits = rows([window for pairs in asked for window in pairs.windows])
        ends = np.cumsum([len(pairs.windows) for pairs in asked])
        return [self._answer(pairs, part) for pairs, part in zip(asked, np.split(logits, ends[:-1]), strict=True)]

    def golden(self) -> tuple[list[Ids], Floats]:
        windows = [self._pair(golden["text"], golden["hypothesis"]) for golden in self.facts.golden]
        return windows, np.array([golden["logits"] for golden in self.facts.golden], dtype=np.float32)

    def details(self) -> dict[str, Any]:
        return {"family": self.facts.family}

    def _answer(self, pairs: Pairs, logits: Floats) -> Floats:
        """``logits``: (windows x labels, classes)."""
        by_window = logits.reshape(-1, pairs.labels, logits.shape[-1])
        entailed = by_window[..., self.facts.entailment]
        if pairs.multi_label or pairs.labels == 1:
            found = sigmoid(entailed - by_window[..., self._contradiction])
        else:
            found = softmax(entailed)
        return mean(found, np.array(pairs.weights, dtype=np.float32))
