"""GoEmotions as files: ``<name>-<split>.tsv`` with text, label numbers and comment id, ``<name>-labels.txt`` with the labels.

A comment may have several labels: annotators disagreed, or it is of two minds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from deployments.engines.pooling import Floats
from deployments.errors import InvalidInput

Split = Literal["train", "dev"]


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """``targets``: (texts, labels), each row a distribution: equal parts for several labels."""

    labels: tuple[str, ...]
    texts: tuple[str, ...]
    targets: Floats

    @property
    def single(self) -> np.ndarray:
        """Which texts have one label only, (texts,) booleans."""
        return np.asarray(self.targets.max(axis=1) == 1)


def read_texts(folder: Path, name: str, split: Split) -> LabelledTexts:
    """``name``: ``ekman`` or ``group``. Raises ``InvalidInput`` for files that are not as described above."""
    try:
        labels = tuple((folder / f"{name}-labels.txt").read_text(encoding="utf-8").split())
        lines = (folder / f"{name}-{split}.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")
    except OSError as error:
        raise InvalidInput(f"{folder} has no GoEmotions files: {error.strerror}.", "data") from error
    places = {str(number): number for number in range(len(labels))}
    targets = np.zeros((len(lines), len(labels)), dtype=np.float32)
    texts = []
    for row, line in enumerate(lines):
        try:
            text, numbers, _ = line.split("\t")
            targets[row, [places[number] for number in numbers.split(",")]] = 1
        except (ValueError, KeyError):
            raise InvalidInput(f"Line {row + 1} of {name}-{split}.tsv is no labelled text.", "data") from None
        texts.append(text)
    return LabelledTexts(labels, tuple(texts), targets / targets.sum(axis=1, keepdims=True))
