"""Transcripts in, linguistic features out: the only way to them, for a request and for a training file alike."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deployments.errors import InvalidInput
from deployments.skills.features import FEATURES
from deployments.skills.linguistic.grammar import COUNTS, Grammar
from deployments.skills.linguistic.lexicon import load_lexicon
from deployments.skills.linguistic.readability import flesch_reading_ease
from deployments.skills.linguistic.sentiment import Tone, vader_tone
from deployments.skills.linguistic.words import Sentence, sentences

MAX_TEXTS, MAX_CHARS = 200, 200_000
"""Texts of one student at a time, and their characters together."""
LONGEST_SENTENCE = 200.0
EXTRACTOR_VERSION = "1"
"""Raised with every change of how words, sentences, syllables or depths are counted."""
ToneOf = Callable[[Sequence[Sentence]], Tone]
NAMES = tuple(feature.name for feature in FEATURES if feature.group == "linguistic")
BY_GRAMMAR = ("syntactic_complexity", *COUNTS)


@dataclass(frozen=True, slots=True)
class Extraction:
    """``features``: the observed ones by name. ``path``: ``full``, or ``light`` where no parser is installed."""

    features: Mapping[str, float]
    path: Literal["full", "light"]
    lexicon: str
    sentiment: str
    grammar: str | None

    @property
    def missing(self) -> tuple[str, ...]:
        """The features that this path does not observe."""
        return tuple(name for name in NAMES if name not in self.features)

    @property
    def completeness(self) -> float:
        """Share of the 16 that were observed."""
        return 1.0 - len(self.missing) / len(NAMES)

    def provenance(self) -> dict[str, Any]:
        """How the features were made; kept beside them."""
        return {
            "extractor": EXTRACTOR_VERSION,
            "path": self.path,
            "lexicon": self.lexicon,
            "sentiment": self.sentiment,
            "grammar": self.grammar,
        }


def check_texts(texts: Sequence[str], param: str = "texts") -> None:
    """Raises ``InvalidInput`` when there are too many texts or characters."""
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InvalidInput(f"{param} must have 1 to {MAX_TEXTS} texts; it has {len(texts)}.", param)
    characters = sum(map(len, texts))
    if characters > MAX_CHARS:
        raise InvalidInput(
            f"{param} has {characters} characters; at most {MAX_CHARS} are read together: send the newest.", param
        )


def read_sentences(texts: Sequence[str], param: str = "texts") -> list[Sentence]:
    """The sentences. Raises ``InvalidInput`` when nothing can be observed in them: no words, or surely not English."""
    check_texts(texts, param)
    found = sentences(texts)
    if not found:
        raise InvalidInput(f"{param} has no words; leave out what was not said.", param)
    if not load_lexicon().looks_english(found):
        raise InvalidInput(f"{param} is not English; the linguistic features are defined for English only.", param)
    return found


def extract(found: Sequence[Sentence], grammar: Grammar | None = None, tone: Tone | None = None) -> Extraction:
    """The features of at least one sentence. ``tone``: what a sentiment model has said; without one VADER's."""
    lexicon, tone = load_lexicon(), tone or vader_tone(found)
    words = [word for sentence in found for word in sentence.words]
    features = {
        **lexicon.rates(found),
        "positive_sentiment": tone.positive,
        "negative_sentiment": tone.negative,
        "avg_sentence_length": min(LONGEST_SENTENCE, len(words) / len(found)),
        "word_count": float(len(words)),
        "unique_word_count": float(len(set(words))),
        "readability_score": flesch_reading_ease(found),
        **(grammar.features(found) if grammar else {}),
    }
    ordered = {name: features[name] for name in NAMES if name in features and math.isfinite(features[name])}
    return Extraction(
        ordered,
        "full" if grammar else "light",
        lexicon.version,
        tone.source,
        grammar.source if grammar else None,
    )


def extract_texts(texts: Sequence[str], grammar: Grammar | None = None) -> Extraction:
    """``extract`` of texts, with VADER. Raises ``InvalidInput``."""
    return extract(read_sentences(texts), grammar)
