"""The labels that roles answer in, and how a model's own labels become them.

A role answers in the same labels whichever model plays it: ``emotion`` in the six of Ekman and neutral, ``sentiment`` in
three with a polarity. Scores of labels that mean the same are added.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENTS = ("negative", "neutral", "positive")
LABELS: Mapping[str, tuple[str, ...]] = {"emotion": EMOTIONS, "sentiment": SENTIMENTS}

# The grouping of GoEmotions' 27 emotions by its authors (Demszky et al. 2020, section 4).
_EKMAN: Mapping[str, str] = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
    "neutral": "neutral",
}
_EMOTION_OF = {word: emotion for emotion, words in _EKMAN.items() for word in words.split()}
# GoEmotions' fourth group (surprise, realization, confusion, curiosity) leans neither way.
_SENTIMENT_OF = {name[:length]: name for name in SENTIMENTS for length in (3, len(name))} | {"ambiguous": "neutral"}
_STARS = re.compile(r"([1-9]) stars?")


class ForeignLabels(ValueError):
    """The model's labels are not those of the role."""


def canonical(role: str, labels: Sequence[str], scores: Floats) -> Floats:
    """``scores`` (texts, labels) of a model as (texts, ``LABELS[role]``). Raises ``ForeignLabels``."""
    targets = LABELS[role]
    matrix = np.zeros((len(labels), len(targets)), dtype=np.float32)
    for row, label in enumerate(labels):
        matrix[row, targets.index(_target(role, label.strip().lower(), len(labels)))] = 1
    return np.asarray(np.matmul(np.asarray(scores, dtype=np.float32), matrix), dtype=np.float32)


def polarity(labels: Sequence[str], scores: Floats) -> Floats:
    """Sentiment as one number a text, -1 (negative) to 1: the mean of the labels' values, weighted by their scores.

    ``labels``: the model's own; stars are spread evenly, so that four of five stars count 0.5.
    """
    values = np.array([_value(label.strip().lower(), len(labels)) for label in labels], dtype=np.float32)
    scores = np.asarray(scores, dtype=np.float32)
    mean = np.matmul(scores, values) / np.maximum(scores.sum(axis=1), 1e-9)
    return np.asarray(np.clip(mean, -1, 1), dtype=np.float32)


def _target(role: str, label: str, count: int) -> str:
    found = _EMOTION_OF.get(label) if role == "emotion" else _sentiment(label, count)
    if found is None:
        raise ForeignLabels(f"Its labels are not those of the role {role}.")
    return found


def _sentiment(label: str, count: int) -> str | None:
    if _STARS.fullmatch(label):
        value = _value(label, count)
        return "neutral" if value == 0 else "positive" if value > 0 else "negative"
    return _SENTIMENT_OF.get(label)


def _value(label: str, count: int) -> float:
    if stars := _STARS.fullmatch(label):
        # From 1 to ``count`` stars.
        return (int(stars[1]) - 1) / max(1, count - 1) * 2 - 1
    return {"negative": -1.0, "positive": 1.0}.get(_SENTIMENT_OF.get(label, ""), 0.0)
