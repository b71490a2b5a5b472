"""The versioned word lists behind the five marker rates, and how words are counted.

A rate is the share of words that are part of a match. ``kind*`` matches every word that begins so; a phrase matches
within one clause. In a list that heeds negation a match does not count when a negator stands among the three words
before it in the same clause (``not kind``), and the list's ``negated`` entries count only then (``never give up``).
``not only`` and ``not just`` negate nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from deployments.skills.linguistic.words import Sentence

SCOPE = 3
"""Words that a negator reaches."""
LETTERS, LONGEST_STEM = 3, 16
"""Letters of the shortest and longest ``beginning*``; endless words are not searched to their end."""
_FILE = "lexicon.yaml"
Clause = Sequence[str]


@dataclass(frozen=True, slots=True)
class _Entries:
    """Words, beginnings of words, and phrases by their first letters, the longest first."""

    words: frozenset[str]
    stems: frozenset[str]
    phrases: Mapping[str, tuple[tuple[str, ...], ...]]

    @classmethod
    def read(cls, lines: Sequence[str]) -> "_Entries":
        entries = [tuple(line.lower().split()) for line in lines]
        single = [entry[0] for entry in entries if len(entry) == 1]
        phrases: dict[str, list[tuple[str, ...]]] = {}
        for entry in sorted((entry for entry in entries if len(entry) > 1), key=len, reverse=True):
            phrases.setdefault(entry[0][:LETTERS], []).append(entry)
        return cls(
            frozenset(word for word in single if not word.endswith("*")),
            frozenset(word[:-1] for word in single if word.endswith("*")),
            {first: tuple(found) for first, found in phrases.items()},
        )

    def matches(self, clause: Clause) -> Iterator[tuple[int, int]]:
        """Where entries match, as ``(start, end)``, longest first and without overlap."""
        at = 0
        while at < len(clause):
            length = self._phrase(clause, at) or int(self._word(clause[at]))
            if length:
                yield at, at + length
            at += length or 1

    def _phrase(self, clause: Clause, at: int) -> int:
        for phrase in self.phrases.get(clause[at][:LETTERS], ()):
            found = clause[at : at + len(phrase)]
            if len(found) == len(phrase) and all(map(_same, found, phrase)):
                return len(phrase)
        return 0

    def _word(self, word: str) -> bool:
        return word in self.words or any(
            word[:end] in self.stems for end in range(LETTERS, min(len(word), LONGEST_STEM) + 1)
        )


def _same(word: str, entry: str) -> bool:
    return word.startswith(entry[:-1]) if entry.endswith("*") else word == entry


@dataclass(frozen=True, slots=True)
class _List:
    heeds_negation: bool
    entries: _Entries
    negated: _Entries


@dataclass(frozen=True, slots=True)
class Lexicon:
    """One version of the word lists. ``common``: the closed-class words that English texts are full of."""

    version: str
    lists: Mapping[str, _List]
    negators: frozenset[str]
    common: frozenset[str]
    syllables: Mapping[str, int] = field(default_factory=dict)

    def rates(self, sentences: Sequence[Sentence]) -> dict[str, float]:
        """Each list's share of all words, 0..1. There must be a word."""
        counts = dict.fromkeys(self.lists, 0)
        total = 0
        for clause in (clause for sentence in sentences for clause in sentence.clauses):
            total += len(clause)
            negators = [at for at in range(len(clause)) if self._negates(clause, at)]
            for name, one in self.lists.items():
                counts[name] += _count(one, clause, negators)
        return {name: count / total for name, count in counts.items()}

    def looks_english(self, sentences: Sequence[Sentence]) -> bool:
        """False only for texts that surely are not: long enough to judge, and almost without common English words;
        or short and mostly in another script."""
        words = [word for sentence in sentences for word in sentence.words]
        if len(words) < ENOUGH_TO_JUDGE:
            return 2 * sum(map(str.isascii, words)) >= len(words)
        return sum(word in self.common for word in words) >= COMMON_SHARE * len(words)

    def _negates(self, clause: Clause, at: int) -> bool:
        word = clause[at]
        if word == "not" and clause[at + 1 : at + 2] in (("only",), ("just",)):
            return False
        return word in self.negators or word.endswith("n't")


ENOUGH_TO_JUDGE, COMMON_SHARE = 25, 0.15


def _count(one: _List, clause: Clause, negators: Sequence[int]) -> int:
    count = sum(
        end - start
        for start, end in one.entries.matches(clause)
        if not (one.heeds_negation and _is_negated(start, end, negators))
    )
    if negators:
        count += sum(end - start for start, end in one.negated.matches(clause) if _is_negated(start, end, negators))
    return count


def _is_negated(start: int, end: int, negators: Sequence[int]) -> bool:
    return any(start - SCOPE <= at < start for at in negators)


@cache
def load_lexicon() -> Lexicon:
    """The lexicon that this release counts with."""
    body: dict[str, Any] = yaml.safe_load(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    return Lexicon(
        version=body["version"],
        lists={
            name: _List(one["heeds_negation"], _Entries.read(one["entries"]), _Entries.read(one.get("negated", [])))
            for name, one in body["lists"].items()
        },
        negators=frozenset(body["negators"]),
        common=frozenset(body["common"]),
        syllables=body["syllables"],
    )
