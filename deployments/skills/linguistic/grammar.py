"""What only a parser knows: the depth of sentence trees and the counts of nouns, verbs, adjectives and adverbs.

A spaCy pipeline is loaded from a folder on this machine, never downloaded. Without one these five features stay missing:
a guess from word endings would look like an observation. Depth: edges from a sentence's root to its deepest word, the
mean over sentences. Counts: spaCy's universal parts of speech; proper nouns and auxiliary verbs are not counted.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from deployments.errors import UnusableData
from deployments.skills.linguistic.words import Sentence

COUNTS = {"noun_count": "NOUN", "verb_count": "VERB", "adj_count": "ADJ", "adv_count": "ADV"}
NEEDED = frozenset({"parser", "tagger"})
DEEPEST = 50.0
PART_WORDS = 200
"""White-space words of a sentence that are parsed at once: a parse takes memory."""
PART_CHARS = 4_000
_UNUSED = ("ner", "lemmatizer")


class Grammar:
    """A pipeline. Not for two threads at a time."""

    def __init__(self, folder: Path) -> None:
        self._pipeline = _load(folder)
        meta = self._pipeline.meta
        self.source = f"{meta['lang']}_{meta['name']} {meta['version']}"

    def features(self, sentences: Sequence[Sentence]) -> dict[str, float]:
        """The five features of at least one sentence."""
        depths: list[int] = []
        counts = dict.fromkeys(COUNTS.values(), 0)
        parts = (part for sentence in sentences for part in _parts(sentence.text))
        for document in self._pipeline.pipe(parts, batch_size=64):
            depths.extend(depth(list(sent)) for sent in document.sents)
            for token in document:
                if token.pos_ in counts:
                    counts[token.pos_] += 1
        return {
            "syntactic_complexity": min(DEEPEST, sum(depths) / len(depths)),
            **{name: float(counts[part]) for name, part in COUNTS.items()},
        }


def depth(tokens: Sequence[Any]) -> int:
    """Edges from the root to the deepest token. A token has ``i`` and ``head``; the root is its own head."""
    depths: dict[int, int] = {}
    for token in tokens:
        path = []
        while token.i not in depths and token.head.i != token.i:
            path.append(token.i)
            token = token.head
        below = depths.setdefault(token.i, 0)
        for i in reversed(path):
            below += 1
            depths[i] = below
    return max(depths.values())


def _parts(text: str) -> Iterator[str]:
    words = text.split()
    for start in range(0, len(words), PART_WORDS):
        yield " ".join(words[start : start + PART_WORDS])[:PART_CHARS]


@cache
def load_grammar(folder: Path) -> Grammar:
    """The pipeline in this folder, loaded once. Raises ``UnusableData`` with what is wrong and how to put it right."""
    return Grammar(folder)


def _load(folder: Path) -> Any:
    try:
        import spacy
    except ImportError:
        raise UnusableData(
            "MUSTER_SPACY_MODEL is set and spaCy is not installed: pip install 'muster[spacy]'."
        ) from None
    if not (folder / "config.cfg").is_file():
        raise UnusableData("MUSTER_SPACY_MODEL must be the folder of a spaCy pipeline: the one with config.cfg in it.")
    try:
        pipeline = spacy.load(folder, exclude=list(_UNUSED))
    except (OSError, ValueError, ImportError) as error:
        raise UnusableData(
            f"The spaCy pipeline of MUSTER_SPACY_MODEL cannot be loaded ({type(error).__name__})."
        ) from None
    lacking = NEEDED - set(pipeline.pipe_names)
    if lacking or pipeline.lang != "en":
        raise UnusableData("MUSTER_SPACY_MODEL must be an English pipeline with a tagger and a parser.")
    return pipeline
