"""The crisis check: does a message speak of suicide, of self-harm, or of a despair near them? Rules only, no model.

It is conservative: in doubt help is shown. It runs before everything else, on the words alone, so that nothing a message
says to a model can switch it off. It is no diagnosis and no risk assessment; what it misses and what it finds too much in is
measured on a labelled set (``docs/chat.md``). Rules are for English; a few plain phrases of five more languages are known.

Outcomes, the gravest first: ``crisis`` the writer, ``other`` somebody the writer is worried about, ``concern`` despair
without either, ``none``. With the first two nothing is generated; with the first three help is shown. How long a crisis lasts
is for ``crisis_course``.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from deployments.chat.crisis_rules import (
    ASKED,
    ATTRIBUTED,
    CHARACTERS,
    DENIED,
    FATE,
    FOREIGN,
    IDIOMS,
    LEADS_IN,
    MEANT,
    MENTIONS,
    PAST_AND_WELL,
    REPORTED,
    RULES,
    SAID_NO,
    STRONGER,
    SUBJECTS,
    THEIR_WORDS,
    Rule,
)
from deployments.chat.crisis_rules import (
    Indicator as Indicator,
)
from deployments.chat.needed_words import Sieve
from deployments.chat.plain_words import plain_words

Outcome = Literal["crisis", "other", "concern", "none"]
When = Literal["now", "lasting", "cleared"]
INDICATORS: tuple[Indicator, ...] = get_args(Indicator)
GRAVE: frozenset[Indicator] = frozenset({"suicidal_ideation", "self_harm"})
BASE: dict[Indicator, float] = {
    "suicidal_ideation": 0.8,
    "self_harm": 0.6,
    "hopelessness": 0.4,
    "severe_distress": 0.4,
}
OF_A_CONCERN = 0.4
"""The most that a finding counts for that is no crisis: one that is denied, or long over, too."""
SADNESS, FALLING = 0.3, 0.2
SWITCH = 0.7
"""Above this level the conversation is one of crisis support, whatever mode was asked for."""
SEAM = 400
"""Characters on either side of the seam between two messages that are read as one."""
AROUND = 300
"""Characters in front of what was found in which its subject and a denial are looked for."""
_RULES = Sieve((rule, rule.pattern) for rule in RULES)
_IDIOMS = Sieve((idiom, idiom) for idiom in IDIOMS)
_CLAUSE = re.compile(r"[.!?;…]+|,? \bbut\b|,? \bhowever\b|,? \balthough\b")


@dataclass(frozen=True, slots=True)
class Crisis:
    """``indicators``: what was found, of the writer or of somebody else; ``outcome`` says of whom. ``when``: found in this
    message, or in one before it that still counts (``lasting``), or the writer is safe now after one (``cleared``).
    ``danger``: suicide or self-harm is spoken of, of whomever, denied or not."""

    outcome: Outcome = "none"
    indicators: tuple[Indicator, ...] = ()
    when: When = "now"
    danger: bool = False

    @property
    def needs_help_lines(self) -> bool:
        """Whether help is shown."""
        return self.outcome != "none"

    @property
    def stops_generation(self) -> bool:
        """Whether the answer is our own words alone."""
        return self.outcome in ("crisis", "other") or self.when == "cleared"

    def level(self, *, strong_sadness: bool = False, falling: bool = False) -> float:
        """0 to 1: the gravest indicator's figure, more with strong sadness and a falling mood. 0 without an indicator."""
        if not self.indicators or self.outcome == "other":
            return 0.0
        most = 1.0 if self.outcome == "crisis" else OF_A_CONCERN
        raised = SADNESS * strong_sadness + FALLING * falling
        return round(min(1.0, min(most, max(BASE[name] for name in self.indicators)) + raised), 2)


@dataclass(frozen=True, slots=True)
class _Text:
    """Plain words, where a turn of speech stands in them that only sounds like it, and what of them is long over
    (between ``I used to`` and ``better now``)."""

    plain: str
    idioms: tuple[tuple[int, int], ...]
    over: str

    @classmethod
    def of(cls, plain: str) -> "_Text":
        past = PAST_AND_WELL.search(plain)
        idioms = (found.span() for idiom in _IDIOMS.possible(plain) for found in idiom.finditer(plain))
        return cls(plain, tuple(idioms), past.group() if past else "")

    def is_idiom(self, start: int, end: int) -> bool:
        """Whether all of it belongs to an idiom, but for words of wishing in front (``I wanted to`` / ``die of shame``)."""
        for first, last in self.idioms:
            if first < end <= last and (first <= start or LEADS_IN.fullmatch(self.plain, start, first)):
                return True
        return False


@dataclass(slots=True)
class _Filed:
    """Whose is what was found."""

    own: set[Indicator] = field(default_factory=set)
    others: set[Indicator] = field(default_factory=set)
    denied: set[Indicator] = field(default_factory=set)

    def outcome(self) -> Crisis:
        if self.own & GRAVE:
            return Crisis("crisis", _ordered(self.own))
        if self.others & GRAVE:
            return Crisis("other", _ordered(self.others))
        if self.own or self.others or self.denied & GRAVE:
            return Crisis("concern", _ordered(self.own or self.others or (self.denied & GRAVE)))
        return Crisis()


def check(message: str, before: Sequence[str] = ()) -> Crisis:
    """The gravest finding in a message, or across the seam to what the writer said right before (``I want to`` / ``die``)."""
    plain = plain_words(message)
    found = _check(plain)
    return found if not before else _across(found, plain, before[-1])


def across(found: Crisis, message: str, last: str) -> Crisis:
    """``found`` in a message, or what is in its words together with the ``last`` ones before it."""
    return _across(found, plain_words(message[: 2 * SEAM]), last)


def _across(found: Crisis, plain: str, before: str) -> Crisis:
    if found.stops_generation:
        return found
    last = plain_words(before[-SEAM:])
    if _check(last).stops_generation:
        return found
    joined = _check(f"{last.rstrip(' .!?')} {plain[:SEAM]}")
    return joined if joined.outcome == "crisis" else found


def _check(plain: str) -> Crisis:
    text, filed, rules = _Text.of(plain), _Filed(), _RULES.possible(plain)
    for start, clause in _clauses(plain) if rules else ():
        for rule in rules:
            if rule.indicator in filed.own:
                # Nothing weighs more.
                continue
            for match in _matches(rule, clause, start, text):
                _file(rule, match, start, clause, text, filed)
    if any(pattern.search(plain) for pattern in FOREIGN):
        filed.own.add("suicidal_ideation")
    found, named = filed.outcome(), _mentions(text)
    if named and found.outcome == "none":
        found = Crisis("concern", ("severe_distress",))
    return replace(found, danger=named or not GRAVE.isdisjoint(filed.own | filed.others | filed.denied))


def _matches(rule: Rule, clause: str, start: int, text: _Text) -> Iterator[re.Match[str]]:
    """What a rule finds in a clause. Behind an idiom it looks on from the idiom's own words."""
    position = 0
    while match := rule.pattern.search(clause, position):
        position = match.end()
        if text.is_idiom(start + match.start(), start + match.end()):
            position = match.start() + 1
        else:
            yield match


def _mentions(text: _Text) -> bool:
    return any(not text.is_idiom(*found.span()) for pattern in MENTIONS for found in pattern.finditer(text.plain))


def _file(rule: Rule, match: re.Match[str], start: int, clause: str, text: _Text, filed: _Filed) -> None:
    """Whose is what a rule has found?"""
    before, words = clause[max(0, match.start() - AROUND) : match.start()], match.group()
    if _attributed(before, clause, match):
        return
    after = text.plain[start + match.end() : start + match.end() + 80]
    if ASKED.search(before) and SAID_NO.match(after):
        filed.denied.add(rule.indicator)
    elif rule.firm:
        # The rule's own words say that it is the writer, now; but for ``she does not want to live``.
        (filed.others if _told_of_another(before, words) else filed.own).add(rule.indicator)
    elif _denied(before, clause[match.end() :]) or words in text.over:
        filed.denied.add(rule.indicator)
    elif FATE.fullmatch(words) and _fate_of_another(before):
        return
    elif _of_another(before, words):
        filed.others.add(rule.indicator)
    else:
        filed.own.add(rule.indicator)


def _of_another(before: str, words: str) -> bool:
    """Whether the last one spoken of before the words is somebody else, unless the words themselves say whose they are."""
    if re.search(r"^i\b|\bmy ?self\b|\bmy\b|\bme\b", words):
        return False
    if re.search(
        r"\b(?:him|her|them) ?sel(?:f|ves)\b|\b(?:if|when|once) (?:he|she|they)\b|\bhis\b|\bher\b|\btheir\b", words
    ):
        return True
    return _last_subject(before) == "another"


def _fate_of_another(before: str) -> bool:
    """Whether what ``will die`` is somebody or something else; that is no wish of anybody's."""
    if REPORTED.search(before):
        return False
    return _last_subject(before) == "another" or bool(
        re.search(r"\b(?:you|it|that|this|ones?|(?:the|a) (?:\w+ )?\w+|\w+ism) $", before)
    )


def _told_of_another(before: str, words: str) -> bool:
    """Whether the words say nothing of the writer and what they say it of stands right before them."""
    if re.search(r"\b(?:i|my ?self|my|me|yourself)\b", words) or _last_subject(before) != "another":
        return False
    between = before[[found.end() for found in SUBJECTS.finditer(before)][-1] :]
    return len(between) <= 30 and not re.search(r",|\b(?:and|because|so|makes?|made)\b", between)


def _last_subject(before: str) -> Literal["writer", "another", "nobody"]:
    spoken_of = [found.group() for found in SUBJECTS.finditer(before)]
    if not spoken_of:
        return "nobody"
    return "writer" if spoken_of[-1] in ("i", "we") else "another"


def _denied(before: str, after: str) -> bool:
    """``I do not want to die``, but not ``I never wanted to die this badly``."""
    return bool(DENIED.search(before[-48:])) and not STRONGER.match(after)


def _attributed(before: str, clause: str, match: re.Match[str]) -> bool:
    """Words of a song, a book, an article or a character; not of the writer or of anybody here."""
    behind = clause[match.end() : match.end() + AROUND]
    quoted = clause.count('"', 0, match.start()) % 2 == 1 and '"' in behind
    if quoted and MEANT.search(behind[behind.index('"') + 1 :]):
        return False
    head = before[: max(0, before.rfind('"'))] if quoted else before
    if quoted and THEIR_WORDS.search(before + behind) and _last_subject(head) != "writer":
        return True
    work = ATTRIBUTED.search(head)
    if work is None:
        return False
    # What a song does to the writer, or what the writer wants after a lost game, is the writer's own.
    of_another = _last_subject(head) == "another" or (CHARACTERS.search(head) and _last_subject(head) == "nobody")
    return quoted or bool(of_another and not re.search(r"\b(?:me|my)\b", head[work.end() :]))


def _ordered(found: set[Indicator]) -> tuple[Indicator, ...]:
    return tuple(name for name in INDICATORS if name in found)


def _clauses(text: str) -> Iterator[tuple[int, str]]:
    """Sentences, and parts of them that turn round (``but``), each with its place: a denial holds only for its own part."""
    start = 0
    for stop in _CLAUSE.finditer(text):
        yield _stripped(text, start, stop.start())
        start = stop.end()
    yield _stripped(text, start, len(text))


def _stripped(text: str, start: int, end: int) -> tuple[int, str]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), part.strip()
