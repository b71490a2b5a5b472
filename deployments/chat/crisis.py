"""The crisis check: does a message speak of suicide, of self-harm, or of a despair near them? Rules only, no model.

It is conservative: in doubt help is shown. It runs before everything else, on the words alone, so that nothing a message
says to a model can switch it off. It is no diagnosis and no risk assessment; what it misses and what it finds too much in is
measured on a labelled set (``docs/chat.md``). Rules are for English; a few plain phrases of five more languages are known.

Outcomes, the gravest first: ``crisis`` the writer, ``other`` somebody the writer is worried about, ``concern`` despair
without either, ``none``. With the first two nothing is generated; with the first three help is shown.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from deployments.chat.crisis_rules import (
    ATTRIBUTED,
    CHARACTERS,
    DENIED,
    FOREIGN,
    IDIOMS,
    MENTIONS,
    PAST_AND_WELL,
    RULES,
    STRONGER,
    SUBJECTS,
    THEIR_WORDS,
    Rule,
)
from deployments.chat.needed_words import Sieve
from deployments.chat.plain_words import plain_words

Indicator = Literal["suicidal_ideation", "self_harm", "hopelessness", "severe_distress"]
Outcome = Literal["crisis", "other", "concern", "none"]
INDICATORS: tuple[Indicator, ...] = ("suicidal_ideation", "self_harm", "hopelessness", "severe_distress")
GRAVE: frozenset[Indicator] = frozenset({"suicidal_ideation", "self_harm"})
BASE: dict[Indicator, float] = {
    "suicidal_ideation": 0.8,
    "self_harm": 0.6,
    "hopelessness": 0.4,
    "severe_distress": 0.4,
}
SADNESS, FALLING = 0.3, 0.2
SWITCH = 0.7
"""Above this level the conversation is one of crisis support, whatever mode was asked for."""
_RULES = Sieve((rule, rule.pattern) for rule in RULES)
_IDIOMS = Sieve(enumerate(IDIOMS))


@dataclass(frozen=True, slots=True)
class Crisis:
    """``indicators``: what was found, of the writer or of somebody else; ``outcome`` says of whom.
    ``danger``: suicide or self-harm is spoken of, of whomever, denied or not."""

    outcome: Outcome = "none"
    indicators: tuple[Indicator, ...] = ()
    danger: bool = False

    @property
    def needs_help_lines(self) -> bool:
        """Whether help is shown."""
        return self.outcome != "none"

    @property
    def stops_generation(self) -> bool:
        """Whether the answer is our own words alone."""
        return self.outcome in ("crisis", "other")

    def level(self, *, strong_sadness: bool = False, falling: bool = False) -> float:
        """0 to 1: the gravest indicator's figure, more with strong sadness and a falling mood. 0 without an indicator."""
        if not self.indicators or self.outcome == "other":
            return 0.0
        raised = SADNESS * strong_sadness + FALLING * falling
        return round(min(1.0, max(BASE[name] for name in self.indicators) + raised), 2)


def check(message: str, before: Sequence[str] = ()) -> Crisis:
    """The gravest finding in a message, or across the seam to what the writer said right before (``I want to`` / ``die``)."""
    words = plain_words(message)
    found = _check(words)
    if found.stops_generation or not before:
        return found
    last = plain_words(before[-1][-400:])
    if _check(last).stops_generation:
        return found
    joined = _check(f"{last.rstrip(' .!?')} {words}")
    return joined if joined.outcome == "crisis" else found


def _check(text: str) -> Crisis:
    text = _without_idioms(text)
    own: set[Indicator] = set()
    others: set[Indicator] = set()
    denied: set[Indicator] = set()
    named = any(pattern.search(text) for pattern in MENTIONS)
    rules = _RULES.possible(text)
    for clause in _clauses(text) if rules else ():
        for rule in rules:
            for match in rule.pattern.finditer(clause):
                _file(rule, match, clause, text, own, others, denied)
    if any(pattern.search(text) for pattern in FOREIGN):
        own.add("suicidal_ideation")
    found = _outcome(own, others, denied)
    if named and found.outcome == "none":
        found = Crisis("concern", ("severe_distress",))
    return replace(found, danger=named or not GRAVE.isdisjoint(own | others | denied))


def _without_idioms(text: str) -> str:
    possible = _IDIOMS.possible(text)
    for number, idiom in enumerate(IDIOMS):
        if number in possible:
            text, cuts = idiom.subn(" … ", text)
            if cuts:
                # A cut within a word leaves a new word.
                possible = _IDIOMS.possible(text)
    return text


def _file(
    rule: Rule,
    match: re.Match[str],
    clause: str,
    text: str,
    own: set[Indicator],
    others: set[Indicator],
    denied: set[Indicator],
) -> None:
    """Whose is what a rule has found?"""
    before = clause[: match.start()]
    if _attributed(before, clause, match):
        return
    if rule.firm:
        # The rule's own words say that it is the writer, now.
        own.add(rule.indicator)
    elif _denied(before, clause[match.end() :]) or _is_over(match.group(), text):
        denied.add(rule.indicator)
    elif _of_another(before, match.group()):
        others.add(rule.indicator)
    else:
        own.add(rule.indicator)


def _of_another(before: str, words: str) -> bool:
    """Whether the last one spoken of before the words is somebody else, unless the words themselves say whose they are."""
    if re.search(r"^i\b|\bmy ?self\b|\bmy\b|\bme\b", words):
        return False
    if re.search(r"\b(?:him|her|them) ?sel(?:f|ves)\b|\bhis\b|\bher\b|\btheir\b", words):
        return True
    return _last_subject(before) == "another"


def _last_subject(before: str) -> Literal["writer", "another", "nobody"]:
    spoken_of = [found.group() for found in SUBJECTS.finditer(before)]
    if not spoken_of:
        return "nobody"
    return "writer" if spoken_of[-1] in ("i", "we") else "another"


def _denied(before: str, after: str) -> bool:
    """``I do not want to die``, but not ``I never wanted to die this badly``."""
    return bool(DENIED.search(before[-48:])) and not STRONGER.match(after)


def _is_over(words: str, text: str) -> bool:
    """Whether the words lie between ``I used to`` and ``better now``."""
    past = PAST_AND_WELL.search(text)
    return past is not None and words in past.group()


def _attributed(before: str, clause: str, match: re.Match[str]) -> bool:
    """Words of a song, a book, an article or a character; not of the writer or of anybody here."""
    quoted = before.count('"') % 2 == 1 and '"' in clause[match.end() :]
    head = before[: before.rindex('"')] if quoted else before
    if quoted and THEIR_WORDS.search(clause) and _last_subject(head) != "writer":
        return True
    work = ATTRIBUTED.search(head)
    if work is None:
        return False
    # What a song does to the writer, or what the writer wants after a lost game, is the writer's own.
    of_another = _last_subject(head) == "another" or (CHARACTERS.search(head) and _last_subject(head) == "nobody")
    return quoted or bool(of_another and not re.search(r"\b(?:me|my)\b", head[work.end() :]))


def _outcome(own: set[Indicator], others: set[Indicator], denied: set[Indicator]) -> Crisis:
    if own & GRAVE:
        return Crisis("crisis", _ordered(own))
    if others & GRAVE:
        return Crisis("other", _ordered(others))
    if own or others or denied & GRAVE:
        return Crisis("concern", _ordered(own or others or (denied & GRAVE)))
    return Crisis()


def _ordered(found: set[Indicator]) -> tuple[Indicator, ...]:
    return tuple(name for name in INDICATORS if name in found)


def _clauses(text: str) -> list[str]:
    """Sentences, and parts of them that turn round (``but``): a denial holds only for its own part."""
    return [
        part.strip() for part in re.split(r"[.!?;…]+|,? \bbut\b|,? \bhowever\b|,? \balthough\b", text) if part.strip()
    ]
