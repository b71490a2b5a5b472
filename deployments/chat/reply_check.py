"""Reads what a model wrote before anybody else does. Fixed rules; what breaks one is withheld, and the template answers.

A reply may not speak of suicide or self-harm at all (such messages are answered in our own words), not diagnose, not advise
on medicines, not insult, not give addresses or numbers to call (models invent them), and not repeat our instructions.
"""

import re
from functools import cache

from deployments.chat.plain_words import plain_words, squeeze
from deployments.chat.prompt import INSTRUCTIONS

LONGEST = 4_000
ECHO_WORDS = 6
_LETTERS = re.compile(r"(?<!\\)([a-z])\1+")
_SENTENCE = re.compile(r"[.!?…][\"')\]]*\s+|\n+")


def _rx(pattern: str) -> re.Pattern[str]:
    return re.compile(_LETTERS.sub(r"\1", pattern))


_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "self_harm",
        _rx(
            r"\bsuicid|\bself harm|\b(?:kill|hurt|harm|hang|cut|drown|shoot|starve|punish) (?:your ?sel(?:f|ves)|myself)\b|"
            r"\b(?:end|take) (?:your|my) (?:own )?life\b|\bover ?dos|\byou (?:should|could|deserve to|might as well|can|must|may) "
            r"(?:just )?(?:die|be dead|give up|disappear)\b|\bbetter off (?:without you|dead)|\bno ?one (?:cares|would mis)|\b(?:kys|kms)\b|"
            r"\bi (?:want|wish) to die\b|\bslit\b|\bnoose\b|\blethal\b"
        ),
    ),
    (
        "diagnosis",
        _rx(
            r"\bdiagnos|\byou (?:\w+ )?(?:have|suffer from|are suffering from|show (?:signs|symptoms) of|are showing (?:signs|symptoms) of|are|"
            r"sem to have|probably have|may have|might have|clearly have) (?:\w+ ){0,3}(?:depression|depressive|bipolar|adhd|ptsd|autis\w*|"
            r"schizo\w*|borderline|narcis\w*|disorder|ocd|dementia|anorexia|bulimia|psychosis|psychotic|mentally il)"
        ),
    ),
    (
        "medicine",
        _rx(
            r"\b\d+ ?(?:mg|mcg|ml|milligrams?|pils?|tablets?)\b|\b(?:stop|start|increase|decrease|double|skip|change|quit|try) (?:taking )?(?:your |the |an? )?"
            r"(?:dose|dosage|med\w*|antidepres\w*|pils?|prozac|xanax|zoloft|lithium|valium|ssri\w*)"
        ),
    ),
    (
        "unkind",
        _rx(
            r"\byou (?:are|re|'re) (?:\w+ ){0,2}(?:stupid|idiot|pathetic|worthless|useles|disgusting|ugly|weak|crazy|insane|a failure|a burden|loser|dumb)\b|"
            r"\bshut up\b|\b(?:hate|kill|hurt|attack|stab|poison) (?:you|them|him|her|your (?:\w+))\b|\b(?:bomb|fuck|cunt|bitch)\w*"
        ),
    ),
    (
        "secrecy",
        _rx(
            r"\b(?:do not|never|ned not) (?:tell|talk to|trust|see) (?:anyone|anybody|your (?:parents|doctor|therapist|family)|a (?:doctor|therapist))|"
            r"\b(?:our|kep it a|kep this a|stays our) secret\b|\bdo not ned (?:a )?(?:therap|doctor|help|professional)"
        ),
    ),
)
_ADDRESS = re.compile(
    r"https?:|www\.|\b[\w-]+\.(?:com|org|net|io|gov|de|uk|co|app)\b|\S@\S+\.\S|(?:\d[\s().-]?){5,}", re.IGNORECASE
)
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
    if _ADDRESS.search(text):
        raise Withheld("address")
    if _MARKERS.search(text) or _echoes(text):
        raise Withheld("instructions")
    read = plain_words(text)
    for reason, pattern in _RULES:
        if pattern.search(read):
            raise Withheld(reason)


class SentenceGate:
    """Lets a growing reply through sentence by sentence, each only after all up to its end was inspected."""

    def __init__(self) -> None:
        self._text, self._shown = "", 0

    def feed(self, delta: str) -> str:
        """What may be shown now; often nothing. Raises ``Withheld``."""
        self._text += delta
        ends = [found.end() for found in _SENTENCE.finditer(self._text, self._shown)]
        return self._release(ends[-1]) if ends else ""

    def finish(self) -> str:
        """The rest. Raises ``Withheld``, also for a reply without a word."""
        if not self._text.strip():
            raise Withheld("empty")
        return self._release(len(self._text))

    def _release(self, end: int) -> str:
        inspect(self._text[:end])
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
