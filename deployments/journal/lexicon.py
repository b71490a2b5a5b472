"""What an entry's words say by themselves: shares of words by category, mentions of three risks. Deterministic.

Words are lower-cased runs of letters with inner apostrophes. A share is the number of words of a category by all words; a
mention is an entry in which a phrase of a risk stands at least once.
"""

import re
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
    """``phrases``: by risk and first word, the words in a row."""

    version: int
    words: Mapping[str, frozenset[str]]
    phrases: Mapping[str, Mapping[str, Sequence[tuple[str, ...]]]]
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
    phrases: dict[str, dict[str, list[tuple[str, ...]]]] = {risk: {} for risk in LISTED}
    for risk in LISTED:
        for phrase in raw["phrases"][risk]:
            row = tuple(phrase.split())
            phrases[risk].setdefault(row[0], []).append(row)
    words = {name: frozenset(listed.split()) for name, listed in raw["words"].items()}
    return Lexicon(raw["version"], words, phrases, frozenset(raw["negations"].split()))


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
    tokens = _TOKEN.findall(text.lower().replace("’", "'"))
    words = [token for token in tokens if token not in _ENDS]
    total = max(1, len(words))
    row = {name: sum(word in listed for word in words) / total for name, listed in lexicon.words.items()}
    row |= {f"risk {risk}": float(_mentions(tokens, risk, lexicon)) for risk in LISTED}
    ends = sum(map(tokens.count, ".!?"))
    return row | {
        "words": float(len(words)),
        "long": sum(len(word) >= LONG_WORD for word in words) / total,
        "contractions": sum("'" in word for word in words) / total,
        "exclamations": tokens.count("!") / max(1, ends),
    }


def _mentions(tokens: Sequence[str], risk: str, lexicon: Lexicon) -> bool:
    """Whether a phrase of the risk stands there, and is not taken back."""
    starts = lexicon.phrases[risk]
    for place, token in enumerate(tokens):
        for phrase in starts.get(token, ()):
            before = tokens[max(0, place - NEGATION_REACH) : place]
            stands = tuple(tokens[place : place + len(phrase)]) == phrase
            if stands and not _negated(before, lexicon):
                return True
    return False


def _negated(before: Sequence[str], lexicon: Lexicon) -> bool:
    for token in reversed(before):
        if token in _ENDS:
            return False
        if token in lexicon.negations:
            return True
    return False
