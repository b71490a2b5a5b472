"""How long a crisis lasts: a grave turn counts through the writer's next five, or until they say that they are safe.

Within that time every message is answered as the grave one was, whatever it says: ``yes, tonight`` means nothing by itself.
Afterwards the turns of it are kept from what a model is told.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deployments.chat.crisis import Crisis, Outcome, check
from deployments.chat.crisis_rules import ALL_CLEAR, NOT_CLEAR, OTHERS_CLEAR
from deployments.chat.plain_words import plain_words
from deployments.generation import Turn

LASTS = 5
"""Turns of the writer, without anything grave in them, through which a crisis goes on."""


@dataclass(frozen=True, slots=True)
class Said:
    """A turn of the writer's, what was found in that turn itself, and everything of it that a model might be told."""

    text: str
    found: Crisis
    turns: tuple[Turn, ...] = ()


def course(found: Crisis, message: str, before: Sequence[Said]) -> Crisis:
    """What a message counts as, by what was ``found`` in it and what was said before it, oldest first."""
    if found.stops_generation:
        return found
    earlier = _earlier(before)
    if earlier is None:
        return found
    if is_all_clear(message, found, earlier.outcome):
        return Crisis("concern", when="cleared")
    return Crisis(earlier.outcome, earlier.indicators, "lasting")


def is_all_clear(message: str, found: Crisis, after: Outcome) -> bool:
    """Whether the writer says in so many words that they are safe (``after`` a crisis of somebody else: that those are), and
    nothing that is grave or despairing with it."""
    if found.stops_generation or {"hopelessness", "severe_distress"} & set(found.indicators):
        return False
    plain = plain_words(message)
    wanted = OTHERS_CLEAR if after == "other" else ALL_CLEAR
    return bool(wanted.search(plain)) and not NOT_CLEAR.search(plain)


def told(before: Sequence[Said]) -> tuple[Turn, ...]:
    """The turns that a model may be told: none of a crisis, from its first words to its end."""
    kept = (
        each for index, each in enumerate(before) if not course(each.found, each.text, before[:index]).stops_generation
    )
    return tuple(turn for each in kept for turn in each.turns)


def said(turns: Iterable[Turn]) -> list[Said]:
    """The user's turns of a history that a request carries, each checked with the one before it and joined by its reply."""
    found: list[Said] = []
    for turn in turns:
        if turn.role == "user":
            found.append(Said(turn.content, check(turn.content, [each.text for each in found[-1:]]), (turn,)))
        elif found:
            found[-1] = Said(found[-1].text, found[-1].found, (*found[-1].turns, turn))
    return found


def _earlier(before: Sequence[Said]) -> Crisis | None:
    """The latest grave finding, while it counts."""
    recent = before[-LASTS:]
    for index in reversed(range(len(recent))):
        grave = recent[index].found
        if grave.stops_generation:
            ended = any(is_all_clear(each.text, each.found, grave.outcome) for each in recent[index + 1 :])
            return None if ended else grave
    return None
