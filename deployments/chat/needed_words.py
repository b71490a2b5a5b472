"""Which patterns can match a text at all, told from its words: most rules need not be tried on most texts.

What a pattern needs is read from the pattern itself: runs of letters without which it cannot match, with a blank where it
says that a word begins or ends (`` kill`` is needed by ``\\bkill(?:s|ed)?``). What is not understood needs nothing.
"""

import re
from collections.abc import Iterable, Sequence
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as syntax  # type: ignore[attr-defined]
from typing import Any, Generic, TypeVar

Need = Sequence[Any]
"""All of its parts must be there: a run of letters, or a list of needs of which one must be met."""
Item = TypeVar("Item")
SHORTEST = 2
"""Letters of a run that is worth looking for."""
_WORD = re.compile(r"\w+")
_EDGES = (kinds.AT_BOUNDARY, kinds.AT_BEGINNING, kinds.AT_END)


class Sieve(Generic[Item]):
    """Items with a pattern each."""

    def __init__(self, items: Iterable[tuple[Item, re.Pattern[str]]]) -> None:
        needs = [(item, need_of(pattern)) for item, pattern in items]
        # One part of each need is looked for first, the same runs once for all; the rest is for the few that are left.
        self._items = [(item, _rarest(need), need) for item, need in needs]
        runs = frozenset[str]().union(*(first for _, first, _ in self._items))
        self._words = frozenset(run for run in runs if run[0] == run[-1] == " ")
        self._pieces = runs - self._words

    def possible(self, text: str) -> list[Item]:
        """The items whose patterns may match the text or a part of it that is cut out between words; no other can."""
        words = {f" {word} " for word in _WORD.findall(text)}
        joined = "".join(words)
        there = self._words & words | {piece for piece in self._pieces if piece in joined}
        return [
            item
            for item, first, need in self._items
            if not need or (not first.isdisjoint(there) and _is_met(need, joined))
        ]


def need_of(pattern: re.Pattern[str]) -> Need:
    """What every match has; empty where nothing is sure."""
    return [] if pattern.flags & re.IGNORECASE else _all_of([*syntax.parse(pattern.pattern, pattern.flags)])


def _all_of(tokens: Sequence[tuple[Any, Any]], run: str = "", closed: bool = False) -> Need:
    """What a match of all tokens has. ``run``: the letters right before them; ``closed``: whether a word ends behind."""
    parts: list[Any] = []
    for place, (kind, value) in enumerate(tokens, 1):
        if _is_letter(kind, value):
            run += chr(value)
        elif _is_edge(kind, value):
            parts += _worth(run + " ")
            run = " "
        else:
            then = _is_edge(*tokens[place]) if place < len(tokens) else closed
            parts += _needs_of_one(kind, value, run, then) or _worth(run)
            run = ""
    return parts + _worth(run + " " * closed)


def _needs_of_one(kind: Any, value: Any, run: str, closed: bool) -> Need:
    """What a match of one token that is no letter has."""
    if kind is kinds.SUBPATTERN:
        return _all_of([*value[-1]], run, closed)
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT) and value[0] > 0:
        return [*_worth(run), *_all_of([*value[-1]])]
    if kind is kinds.BRANCH:
        needs = [_all_of([*each], run, closed) for each in value[1]]
        return [needs] if all(needs) else []
    return []


def _is_letter(kind: Any, value: Any) -> bool:
    return kind is kinds.LITERAL and (chr(value).isalnum() or chr(value) == "_")


def _is_edge(kind: Any, value: Any) -> bool:
    """Whether a word that goes up to here ends, and one that comes now begins."""
    return (kind is kinds.AT and value in _EDGES) or (kind is kinds.LITERAL and not _is_letter(kind, value))


def _worth(run: str) -> list[str]:
    return [run] if len(run.strip()) >= SHORTEST else []


def _rarest(need: Need) -> frozenset[str]:
    """Runs of which every match has one: those of the part whose shortest run is the longest, then of the fewest."""
    sets = [frozenset({part}) if isinstance(part, str) else frozenset().union(*map(_rarest, part)) for part in need]
    return max(sets, key=lambda runs: (min(map(len, runs)), -len(runs)), default=frozenset())


def _is_met(need: Need, words: str) -> bool:
    for part in need:
        met = part in words if isinstance(part, str) else any(_is_met(one, words) for one in part)
        if not met:
            return False
    return True
