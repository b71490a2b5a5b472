"""Reads what a model wrote before anybody else does. Fixed rules; what breaks one is withheld, and the template answers.

A reply may not speak of suicide, self-harm or means of harm at all (such messages are answered in our own words), not
diagnose, hedged or not, not advise on medicines, not insult, not keep people from each other, not pose as a person or a
professional, not give addresses or numbers to call (models invent them), and not repeat our instructions. The rules are in
``reply_rules``.
"""

import re
from bisect import bisect_right
from functools import cache

from deployments.chat.plain_words import plain_words, squeeze
from deployments.chat.prompt import INSTRUCTIONS
from deployments.chat.reply_rules import ACRONYMS, ADDRESS, REFUSABLE, REFUSALS, RULES

LONGEST = 4_000
ECHO_WORDS = 6
READ_AGAIN = 120
"""Characters before a new sentence, at least, that are read with it: what is wrong may begin there."""
_SENTENCE = re.compile(r"[.!?…][\"')\]]*\s+|\n+")
_LONGEST_END = 8
_MARKERS = re.compile(
    r"<\|?\w*\|?>|\[/?INST\]|^\s*(?:system|user|assistant|human)\s*:|###|system prompt|my instructions", re.I | re.M
)


class Withheld(Exception):
    """The reply may not be shown; ``reason`` is one word of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def inspect(text: str) -> None:
    """Raises ``Withheld``."""
    if len(text) > LONGEST:
        raise Withheld("too_long")
    if ADDRESS.search(text):
        raise Withheld("address")
    if _MARKERS.search(text) or _echoes(text):
        raise Withheld("instructions")
    if ACRONYMS.search(text):
        raise Withheld("diagnosis")
    read = plain_words(text)
    _search(RULES, read)
    _search(REFUSABLE, REFUSALS.sub(" … ", read))


def _search(rules: tuple[tuple[str, re.Pattern[str]], ...], text: str) -> None:
    for reason, pattern in rules:
        if pattern.search(text):
            raise Withheld(reason)


class SentenceGate:
    """Lets a growing reply through sentence by sentence, each read with what came right before it; at its end all is read
    once more. Takes time in proportion to the reply's length."""

    def __init__(self) -> None:
        self._text, self._shown, self._starts = "", 0, [0]

    def feed(self, delta: str) -> str:
        """What may be shown now; often nothing. Raises ``Withheld``."""
        unread = max(self._shown, len(self._text) - _LONGEST_END)
        self._text += delta
        if len(self._text) > LONGEST:
            raise Withheld("too_long")
        ends = [found.end() for found in _SENTENCE.finditer(self._text, unread)]
        if not ends:
            return ""
        inspect(self._text[self._before() : ends[-1]])
        self._starts += ends
        return self._release(ends[-1])

    def finish(self) -> str:
        """The rest. Raises ``Withheld``, also for a reply without a word."""
        if not self._text.strip():
            raise Withheld("empty")
        inspect(self._text)
        return self._release(len(self._text))

    def _before(self) -> int:
        """The start of the sentence from which to read: a part of one could miss its ``not``."""
        return self._starts[max(0, bisect_right(self._starts, self._shown - READ_AGAIN) - 1)]

    def _release(self, end: int) -> str:
        fresh, self._shown = self._text[self._shown : end], end
        return fresh


def _echoes(text: str) -> bool:
    words = re.findall(r"[a-z]+", squeeze(text.lower()))
    return any(tuple(words[i : i + ECHO_WORDS]) in _runs() for i in range(len(words) - ECHO_WORDS + 1))


@cache
def _runs() -> frozenset[tuple[str, ...]]:
    """Six words in a row of our instructions."""
    told = [re.findall(r"[a-z]+", squeeze(text.lower())) for text in INSTRUCTIONS]
    return frozenset(tuple(words[i : i + ECHO_WORDS]) for words in told for i in range(len(words) - ECHO_WORDS + 1))
