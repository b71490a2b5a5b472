"""Reads a language model's answer and refuses whatever a teacher should not read.

A text passes only if it is of the right shape and length, is plain (no markup, links or code), has no figure that is not in
the facts, names nobody, is free of clinical and deficit wording, gives no orders to a machine or about marks, repeats
nothing of the instructions, and speaks of this skill: sentences must share words with what the skill is about.
The last rule is what stops texts that nobody thought of. ``Unfit`` says what was wrong in our own words, never in the
text's.
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from deployments.reasoning.facts import ASPECTS, GROUP_WORDS, Facts
from deployments.reasoning.prompt import SYSTEM
from deployments.reasoning.wording import (
    CAPITAL,
    COMMON,
    LINK,
    NUMBER,
    NUMBER_WORDS,
    ORDERS,
    PERSON_FIRST,
    PERSONAL,
    PLAIN,
    RELATED,
    SUBJECTS,
    UNKIND,
)
from deployments.skills.features import FEATURES, Skill
from deployments.skills.phrases import WORDS

TEXT_CHARS, ITEM_CHARS = (40, 900), (8, 240)
ITEMS = 2
ECHO_WORDS = 6
TOPICAL = 2
"""So many of a sentence's words, at least, are about the skill; one sentence of an answer may have a single one."""
TRUSTED_ROOT = 4
"""Words are compared by their first letters, from four on, so that ``trying`` is ``tries``."""


_COMMON_ROOTS = frozenset(word[:TRUSTED_ROOT] for word in COMMON)


class Unfit(Exception):
    """The answer is not fit to be shown; ``problem`` says why, in words that may be sent back."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Words:
    """An answer that passed."""

    text: str
    strengths: tuple[str, ...]
    growth_suggestions: tuple[str, ...]


def read(answer: str, facts: Facts) -> Words:
    """The checked answer. Raises ``Unfit``."""
    body = _object(answer)
    text = _sentence(body.get("reasoning"), "reasoning", TEXT_CHARS)
    strengths = _items(body.get("strengths"), "strengths")
    suggestions = _items(body.get("growth_suggestions"), "growth_suggestions")
    for part in (text, *strengths, *suggestions):
        _check(part, facts)
    _check_topic((*_sentences(text), *strengths, *suggestions), facts.skill)
    return Words(text, strengths, suggestions)


def _object(answer: str) -> dict[str, Any]:
    """The JSON object in the answer; models without structured output like to put words or a code fence around it."""
    start, end = answer.find("{"), answer.rfind("}")
    if len(answer) > 20_000 or not 0 <= start < end:
        raise Unfit("it was not one JSON object")
    try:
        body = orjson.loads(answer[start : end + 1])
    except orjson.JSONDecodeError:
        raise Unfit("it was not one JSON object") from None
    if not isinstance(body, dict):
        raise Unfit("it was not one JSON object")
    return body


def _items(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) != ITEMS:
        raise Unfit(f"{name} must be exactly {ITEMS} sentences")
    items = tuple(_sentence(item, name, ITEM_CHARS) for item in value)
    if len({item.lower() for item in items}) != ITEMS:
        raise Unfit(f"{name} must be two different sentences")
    return items


def _sentence(value: Any, name: str, chars: tuple[int, int]) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{name} was missing or not a text")
    text = value.strip()
    if not chars[0] <= len(text) <= chars[1]:
        raise Unfit(f"{name} must have {chars[0]} to {chars[1]} characters")
    return text


def _check(text: str, facts: Facts) -> None:
    """One text by itself. Raises ``Unfit``."""
    if not text.isprintable() or PLAIN.search(text):
        raise Unfit("plain sentences only: no markup, quotation marks or line breaks")
    if LINK.search(text):
        raise Unfit("no links or addresses")
    if NUMBER_WORDS.search(text) or not _known_numbers(text, facts):
        raise Unfit("no figures that are not in the facts")
    if UNKIND.search(text):
        raise Unfit("no clinical wording and nothing about what a person is short of")
    if ORDERS.search(text) or _echoes(text):
        raise Unfit("only the assessment: no orders, nothing about instructions, marks or scores")
    if PERSONAL.search(text) or _names_somebody(text, facts.skill):
        raise Unfit("no names and no gender; say the student")


def _check_topic(sentences: Iterable[str], skill: Skill) -> None:
    """Every sentence is about the skill, one of them at most by a single word. Raises ``Unfit``."""
    shared = sorted(len(topic_of(skill) & _roots(sentence)) for sentence in sentences)
    if shared[0] == 0 or any(count < TOPICAL for count in shared[1:]):
        raise Unfit("each sentence must speak of the skill and of what was observed, in words of the facts")


def _known_numbers(text: str, facts: Facts) -> bool:
    shown = {form for number in facts.numbers() for form in (f"{number:.2f}", f"{number:g}", f"{number * 100:.0f}")}
    return all(found.replace(",", ".") in shown for found in NUMBER.findall(text))


def _names_somebody(text: str, skill: Skill) -> bool:
    own = _words_of_ours(skill)
    inside = {word.lower().split("'")[0].split("’")[0] for word in CAPITAL.findall(text)}
    first = {word.lower() for word in PERSON_FIRST.findall(text)}
    return any(word not in own for word in inside) or any(word not in own | SUBJECTS for word in first)


def _echoes(text: str) -> bool:
    """Whether six words in a row are those of the instructions."""
    words = re.findall(r"[a-z]+", text.lower())
    return any(tuple(words[i : i + ECHO_WORDS]) in _instruction_runs() for i in range(len(words) - ECHO_WORDS + 1))


@cache
def _instruction_runs() -> frozenset[tuple[str, ...]]:
    words = re.findall(r"[a-z]+", SYSTEM.lower())
    return frozenset(tuple(words[i : i + ECHO_WORDS]) for i in range(len(words) - ECHO_WORDS + 1))


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+", text) if part]


def _roots(text: str) -> set[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return {word[:TRUSTED_ROOT] for word in words if len(word) >= TRUSTED_ROOT} - _COMMON_ROOTS


@cache
def topic_of(skill: Skill) -> frozenset[str]:
    """The roots of the words that speak of a skill: ours for it, its features and its aspects."""
    return frozenset(_roots(" ".join(_phrases(skill))))


@cache
def _words_of_ours(skill: Skill) -> frozenset[str]:
    return frozenset(itertools.chain.from_iterable(re.findall(r"[a-z]+", phrase.lower()) for phrase in _phrases(skill)))


def _phrases(skill: Skill) -> Iterable[str]:
    words = WORDS[skill]
    yield from (words.name, words.meaning, *words.general, *ASPECTS[skill], *GROUP_WORDS.values(), RELATED[skill])
    yield from ("first impression", "emerging developing proficient advanced", "observed observations observation")
    for feature in FEATURES:
        if feature.name in words.features:
            yield feature.description
            yield words.features[feature.name].doing
            yield words.features[feature.name].next_step
