"""What an entry's words say by themselves: shares of words by category, mentions of three risks. Deterministic.

Words are lower-cased runs of letters with inner apostrophes. A share is the number of words of a category by all words; a
mention is an entry in which a phrase of a risk stands at least once.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

from deployments.journal.entries import Floats

LISTED = ("depression", "anxiety", "isolation_risk")
"""Risks that have a list of phrases."""
NEGATION_REACH = 3
"""Words before a phrase in which a negation takes it back; a sentence's end stops the search."""
LONG_WORD = 7
_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|[.!?\n]")
_ENDS = frozenset(".!?\n")


@dataclass(frozen=True)
class Lexicon:
    """``words``: all of a category; ``categories``: of a word; ``phrases``: by first word, risks and the words in a row."""

    version: int
    words: Mapping[str, frozenset[str]]
    categories: Mapping[str, Sequence[str]]
    phrases: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]]
    negations: frozenset[str]


@dataclass(frozen=True)
class WordCounts:
    """Rows are texts, all arrays (n,). ``shares``: by category, 0 to 1; ``risks``: by risk, whether it is mentioned;
    ``long_words``, ``contractions``: shares; ``exclamations``: exclamation marks by sentence ends."""

    shares: Mapping[str, Floats]
    risks: Mapping[str, Floats]
    words: Floats
    long_words: Floats
    contractions: Floats
    exclamations: Floats


@lru_cache(1)
def load_lexicon() -> Lexicon:
    """The list beside this module."""
    raw = yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text(encoding="utf-8"))
    words = {name: frozenset(listed.split()) for name, listed in raw["words"].items()}
    categories: dict[str, list[str]] = {}
    for name, listed in words.items():
        for word in listed:
            categories.setdefault(word, []).append(name)
    phrases: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for risk in LISTED:
        for phrase in raw["phrases"][risk]:
            row = tuple(phrase.split())
            phrases.setdefault(row[0], []).append((risk, row))
    return Lexicon(raw["version"], words, categories, phrases, frozenset(raw["negations"].split()))


def count(texts: Sequence[str]) -> WordCounts:
    """The counts of each text; a text without words has shares of 0."""
    lexicon = load_lexicon()
    rows = [_count(text, lexicon) for text in texts]
    return WordCounts(
        {name: np.array([row[name] for row in rows]) for name in lexicon.words},
        {risk: np.array([row[f"risk {risk}"] for row in rows]) for risk in LISTED},
        *(np.array([row[name] for row in rows]) for name in ("words", "long", "contractions", "exclamations")),
    )


def _count(text: str, lexicon: Lexicon) -> dict[str, float]:
    """Every different word is looked up once; the rows of words are only read where a phrase may begin."""
    tokens = _TOKEN.findall(text.lower().replace("’", "'"))
    times = Counter(tokens)
    exclamations, ends = times["!"], sum(times[end] for end in ".!?")
    for end in _ENDS:
        times.pop(end, None)
    found: Counter[str] = Counter()
    for word, number in times.items():
        for name in lexicon.categories.get(word, ()):
            found[name] += number
        found["long"] += number * (len(word) >= LONG_WORD)
        found["contractions"] += number * ("'" in word)
    words = times.total()
    row = {name: found[name] / max(1, words) for name in (*lexicon.words, "long", "contractions")}
    mentioned = _mentioned(tokens, lexicon) if not times.keys().isdisjoint(lexicon.phrases) else frozenset()
    row |= {f"risk {risk}": float(risk in mentioned) for risk in LISTED}
    return row | {"words": float(words), "exclamations": exclamations / max(1, ends)}


def _mentioned(tokens: Sequence[str], lexicon: Lexicon) -> set[str]:
    """Risks of which a phrase stands there, and is not taken back."""
    found = set[str]()
    for place, token in enumerate(tokens):
        for risk, phrase in lexicon.phrases.get(token, ()):
            if risk in found or tuple(tokens[place : place + len(phrase)]) != phrase:
                continue
            before = tokens[max(0, place - NEGATION_REACH) : place]
            if not _negated(before, lexicon):
                found.add(risk)
    return found


def _negated(before: Sequence[str], lexicon: Lexicon) -> bool:
    for token in reversed(before):
        if token in _ENDS:
            return False
        if token in lexicon.negations:
            return True
    return False
