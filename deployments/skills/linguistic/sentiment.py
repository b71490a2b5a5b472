"""The tone of texts: VADER's shares of positive and negative words, or the probabilities of a sentiment model.

VADER (Hutto and Gilbert 2014) is made for sentences, so each sentence is scored by itself; the features are the means,
weighted by words. Its cost grows with the square of a sentence, so longer ones are scored in parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from deployments.skills.linguistic.words import Sentence

PART_WORDS = 60
"""White-space words of a sentence that VADER reads at once."""
PART_CHARS = 600


@dataclass(frozen=True, slots=True)
class Tone:
    """``positive`` 0..1, ``negative`` -1..0, and by what they were found, with its version."""

    positive: float
    negative: float
    source: str


def vader_tone(sentences: Sequence[Sentence]) -> Tone:
    """The tone of at least one sentence by VADER's word list."""
    analyzer, source = _vader()
    scored = [(len(part.split()), analyzer.polarity_scores(part)) for one in sentences for part in _parts(one.text)]
    total = sum(words for words, _ in scored)
    positive, negative = (sum(words * scores[name] for words, scores in scored) / total for name in ("pos", "neg"))
    return Tone(min(1.0, positive), 0.0 - min(1.0, negative), source)


def model_tone(scores: Sequence[Mapping[str, float]], words: Sequence[int], source: str) -> Tone:
    """The tone from a model's probabilities of ``positive`` and ``negative`` for each text, weighted by its words."""
    total = sum(words)
    positive, negative = (
        sum(count * text[name] for count, text in zip(words, scores, strict=True)) / total
        for name in ("positive", "negative")
    )
    return Tone(min(1.0, positive), 0.0 - min(1.0, negative), source)


def _parts(text: str) -> Iterator[str]:
    """A sentence in parts that are cheap to score; nothing of it is left out but the inside of endless words."""
    words = text.split()
    for start in range(0, len(words), PART_WORDS):
        yield " ".join(words[start : start + PART_WORDS])[:PART_CHARS]


@cache
def _vader() -> tuple[Any, str]:
    from importlib.metadata import version

    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer(), f"vader {version('vaderSentiment')}"
