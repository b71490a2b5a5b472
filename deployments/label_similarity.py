"""Labels by likeness: a text gets the label whose description lies nearest to it in an embedding space.

The last resort of the roles ``emotion``, ``sentiment`` and ``zero-shot``: it needs nothing but the embedding model. On
the single-label rows of GoEmotions' development set all-MiniLM-L6-v2 finds 32 % of the emotions (seven classes) and
41 % of the sentiments (four) this way.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TEMPERATURE = 0.1
"""Cosines are divided by it before the softmax; of 0.02, 0.05 and 0.1 the one with the least log loss there."""

DESCRIPTIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "emotion": {
        "anger": ("I am angry and annoyed about this.", "This makes me furious.", "Stop it, I hate this."),
        "disgust": ("That is disgusting and gross.", "This makes me sick.", "What a revolting thing."),
        "fear": ("I am afraid of this.", "This is scary and makes me nervous.", "I am worried about what will happen."),
        "joy": ("I am happy about this.", "I love it, thank you so much.", "That is great and funny."),
        "neutral": (
            "This is a plain statement of fact.",
            "Here is some information about it.",
            "They said it is there.",
        ),
        "sadness": (
            "I am sad about this.",
            "I am sorry for your loss.",
            "This is disappointing and makes me cry.",
        ),
        "surprise": (
            "I am surprised, I did not expect this.",
            "Wow, is that really true?",
            "I wonder why that is.",
        ),
    },
    "sentiment": {
        "negative": ("I hate this, it is bad.", "This makes me sad and angry."),
        "neutral": ("This is a plain statement of fact.", "Here is some information about it."),
        "positive": ("I love this, it is great.", "Thank you, this makes me happy."),
    },
}
"""What an author says in whom the label is true, in the labels' order. A bare word lies nearer to talk about it."""


def label_vectors(descriptions: Sequence[Sequence[str]], vectors: Floats) -> Floats:
    """(labels, dimensions): the mean direction of each label's descriptions.

    ``vectors``: (all descriptions, dimensions), in the order of ``descriptions`` one after the other.
    """
    ends = np.cumsum([len(texts) for texts in descriptions])[:-1]
    return _directions(np.stack([part.mean(axis=0) for part in np.split(_directions(vectors), ends)]))


def similarities(texts: Floats, labels: Floats) -> Floats:
    """Cosines, (texts, labels)."""
    return _directions(texts) @ _directions(labels).T


def scores(cosines: Floats, *, multi_label: bool = False) -> Floats:
    """Scores 0 to 1, (texts, labels): they sum to 1, or with ``multi_label`` each is the cosine, cut at 0."""
    if multi_label:
        return np.clip(cosines, 0, 1)
    shifted = (cosines - cosines.max(axis=1, keepdims=True)) / TEMPERATURE
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def _directions(vectors: Floats) -> Floats:
    vectors = np.asarray(vectors, dtype=np.float32)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12), dtype=np.float32)
