"""Texts to sentences, clauses and words.

A word is a run of letters, with apostrophes inside (``don't`` is one word, ``well-known`` two); digits, emoji and
punctuation are none. A sentence ends with ``. ! ? …`` before white space or at a blank line, and has at least one word. A
clause ends at a comma, semicolon, colon, dash, bracket, or before ``but``: negation does not reach beyond it.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_SENTENCE_END = re.compile(r"(?:[.!?…。！？]{1,5}[\"'”’)\]]{0,4}(?=\s|$))|\n[^\S\n]*\n|[。！？]")
_CLAUSE_END = re.compile(r"[,;:()\[\]—–]+|\s-+\s|\b(?=but\b)", re.IGNORECASE)
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "＇": "'"})
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|etc|no|e\.g|i\.e|a\.m|p\.m|[a-z])\.$", re.IGNORECASE)
_PRONOUN_I = re.compile(r"(?:^|[\s(])I\.$")
_LOOK_BACK = 8
"""Characters before a full stop that are read to tell an abbreviation: the longest and a blank."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence: its text, and its words in lower case, clause by clause; no clause is empty."""

    text: str
    clauses: tuple[tuple[str, ...], ...]

    @property
    def words(self) -> Iterator[str]:
        """All words in order."""
        return (word for clause in self.clauses for word in clause)


def clean(text: str) -> str:
    """NFC, straight apostrophes, and nothing that is no character: surrogates and control characters become blanks."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode()).translate(_APOSTROPHES)
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def sentences(texts: Sequence[str]) -> list[Sentence]:
    """The sentences of all texts; a text's end is a sentence's end."""
    return [sentence for text in texts for part in _parts(clean(text)) if (sentence := _sentence(part)).clauses]


def _parts(text: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(text):
        before = text[max(start, end.end() - _LOOK_BACK) : end.end()]
        if end.group() == "." and _ABBREVIATION.search(before) and not _PRONOUN_I.search(before):
            continue
        yield text[start : end.end()]
        start = end.end()
    yield text[start:]


def _sentence(text: str) -> Sentence:
    clauses = (tuple(_WORD.findall(part.lower())) for part in _CLAUSE_END.split(text))
    return Sentence(text.strip(), tuple(clause for clause in clauses if clause))
