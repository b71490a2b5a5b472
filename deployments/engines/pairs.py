"""From a text and its candidate labels to pairs of token ids for an NLI model: the text, and one hypothesis a label.

An item is ``{"text", "labels", "hypothesis_template", "multi_label"}``. Only the text is ever cut, and only when told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from deployments.engines.base import Prepared
from deployments.engines.tokens import (
    MAX_WINDOWS,
    Encoded,
    EncoderFacts,
    Ids,
    TokenReader,
    Truncate,
    digest,
    unknown_truncation,
)
from deployments.errors import ContextLengthExceeded, InvalidInput

TEMPLATE = "This example is {}."


@dataclass(frozen=True, slots=True)
class Pairs:
    """One text against all its labels. ``windows``: ids of the pairs, all labels of the first window, then of the next;
    ``weights``: the text's tokens in each window."""

    windows: tuple[Ids, ...]
    weights: tuple[int, ...]
    labels: int
    multi_label: bool


@dataclass(frozen=True, slots=True)
class _Question:
    text: Any
    hypotheses: tuple[str, ...]
    multi_label: bool


class PairReader(TokenReader):
    """A model's tokenizer for pairs of texts. Thread-safe after construction."""

    def __init__(self, folder: Path, facts: EncoderFacts, model: str) -> None:
        super().__init__(folder, facts, model)
        self._before, self._between, self._after = self._pair_tokens()
        self._room = self._limit - len(self._before) - len(self._between) - len(self._after)

    def prepare(self, items: Sequence[Any], truncate: Truncate = "error") -> list[Prepared | Exception]:
        """One item per text with its labels (payload ``Pairs``), or in its place ``InvalidInput`` or
        ``ContextLengthExceeded``."""
        if truncate not in get_args(Truncate):
            return [unknown_truncation() for _ in items]
        questions = [_question(item) for item in items]
        hypotheses = self._hypotheses(questions)
        texts = self._encode([getattr(question, "text", "") for question in questions], truncate)
        return [
            question if isinstance(question, InvalidInput) else self._answer(question, ids, hypotheses, truncate)
            for question, ids in zip(questions, texts, strict=True)
        ]

    def pair(self, text: str, hypothesis: str) -> Ids:
        """One pair, cut to the model's limit at the text's end."""
        (ids, other) = self._encode([text, hypothesis], "end")
        assert isinstance(ids, list)
        assert isinstance(other, list)
        return self._joined(ids[: self._room - len(other)], other)

    def _hypotheses(self, questions: Sequence[_Question | InvalidInput]) -> dict[str, Encoded]:
        """The same labels come with every text of a request; each is read once."""
        known = [question.hypotheses for question in questions if isinstance(question, _Question)]
        distinct = list(dict.fromkeys(hypothesis for hypotheses in known for hypothesis in hypotheses))
        return dict(zip(distinct, self._encode(distinct, "error"), strict=True))

    def _answer(
        self, question: _Question, ids: Encoded, hypotheses: Mapping[str, Encoded], truncate: Truncate
    ) -> Prepared | Exception:
        if isinstance(ids, InvalidInput):
            return ids
        found = [hypotheses[hypothesis] for hypothesis in question.hypotheses]
        read = [hypothesis for hypothesis in found if not isinstance(hypothesis, InvalidInput)]
        longest = max(map(len, read), default=0)
        if len(read) < len(found) or longest >= self._room:
            return InvalidInput(f"A label is no valid text, or too long for {self._model}.", "labels")
        try:
            windows = self._windows(ids, read, truncate)
        except ContextLengthExceeded as error:
            return error
        cut = len(ids) + longest > self._room and truncate != "window"
        arrays = tuple(self._joined(*pair) for pairs in windows for pair in zip(pairs, read, strict=True))
        return Prepared(
            payload=Pairs(arrays, tuple(max(1, len(pairs[0])) for pairs in windows), len(read), question.multi_label),
            cost=sum(map(len, arrays)),
            key=digest(arrays) + bytes([question.multi_label]),
            report={"tokens": len(ids) + longest + self._limit - self._room, "kept": self._limit} if cut else None,
        )

    def _windows(self, ids: list[int], hypotheses: Sequence[list[int]], truncate: Truncate) -> list[list[list[int]]]:
        """For each window the text's ids beside each hypothesis. Raises ``ContextLengthExceeded``."""
        longest = max(map(len, hypotheses))
        room = self._room - longest
        if len(ids) <= room:
            return [[ids] * len(hypotheses)]
        if truncate == "end":
            return [[ids[: self._room - len(other)] for other in hypotheses]]
        if truncate == "start":
            return [[ids[max(0, len(ids) + len(other) - self._room) :] for other in hypotheses]]
        if truncate == "window" and len(ids) <= room * MAX_WINDOWS:
            # Of one length for all labels, so that their scores speak of the same words.
            return [[ids[start : start + room]] * len(hypotheses) for start in range(0, len(ids), room)]
        raise self._too_long(len(ids) + longest, truncate)

    def _joined(self, ids: Sequence[int], hypothesis: Sequence[int]) -> Ids:
        return np.array([*self._before, *ids, *self._between, *hypothesis, *self._after], dtype=np.int32)

    def _pair_tokens(self) -> tuple[list[int], list[int], list[int]]:
        """Ids that belong before, between and after two texts, found by looking at an encoded pair."""
        encoding = self._tokenizer.encode("a", "a", add_special_tokens=True)
        first, second = ([i for i, text in enumerate(encoding.sequence_ids) if text == n] for n in (0, 1))
        ids = encoding.ids
        return ids[: first[0]], ids[first[-1] + 1 : second[0]], ids[second[-1] + 1 :]


def _question(item: Any) -> _Question | InvalidInput:
    if not isinstance(item, Mapping):
        return InvalidInput("It must be a text with labels.")
    labels, template = item.get("labels"), item.get("hypothesis_template", TEMPLATE)
    if not isinstance(labels, Sequence) or not labels or not all(isinstance(label, str) for label in labels):
        return InvalidInput("It must be a list of texts, at least one.", "labels")
    if not isinstance(template, str) or template.count("{}") != 1:
        return InvalidInput("It must have {} in it, once, where the label goes.", "hypothesis_template")
    hypotheses = tuple(template.replace("{}", label) for label in labels)
    return _Question(item.get("text"), hypotheses, bool(item.get("multi_label", False)))
