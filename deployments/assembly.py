"""One answer put together from kept items, items that somebody else asked for, and items of one's own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.cache import Kept
from deployments.call import Answer
from deployments.timing import Timing
from model_store.errors import MusterError


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any
    cost: int
    error: MusterError | None = None
    cut: Mapping[str, int] | None = None


class Assembly:
    """Outcomes by digest of their item, and of which revisions they are."""

    def __init__(self) -> None:
        self._outcomes: dict[bytes, _Outcome] = {}
        self._timing = Timing()
        self._details: Mapping[str, Any] = {}
        self.revisions: set[str] = set()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._outcomes

    def __len__(self) -> int:
        return len(self._outcomes)

    def add(self, digest: bytes, kept: Kept, revision: str, details: Mapping[str, Any]) -> None:
        """An item that was kept."""
        self._outcomes[digest] = _Outcome(kept.value, kept.cost, None, kept.cut)
        self._details = details
        self.revisions.add(revision)

    def take(self, answer: Answer, places: Mapping[bytes, int], wanted: Mapping[bytes, Any]) -> int:
        """The wanted items of an answer; returns how many there were."""
        cuts = cuts_of(answer)
        taken = [digest for digest in places if digest in wanted and digest not in self._outcomes]
        for digest in taken:
            place = places[digest]
            self._outcomes[digest] = _Outcome(
                answer.values[place], answer.costs[place], answer.errors.get(place), cuts.get(place)
            )
        if taken:
            self._details, self._timing = answer.details, answer.timing
            self.revisions.add(answer.revision)
        return len(taken)

    def answer(self, digests: Sequence[bytes], hits: int) -> Answer:
        """One outcome for each digest, in order; all are of one revision."""
        outcomes = [self._outcomes[digest] for digest in digests]
        return Answer(
            values=[outcome.value for outcome in outcomes],
            costs=[outcome.cost for outcome in outcomes],
            revision=next(iter(self.revisions)),
            errors={index: outcome.error for index, outcome in enumerate(outcomes) if outcome.error},
            truncated=[{"index": index, **outcome.cut} for index, outcome in enumerate(outcomes) if outcome.cut],
            timing=self._timing,
            details=self._details,
            hits=hits,
        )


def cuts_of(answer: Answer) -> dict[int, dict[str, int]]:
    """What was dropped, by the item's place."""
    return {cut["index"]: {name: cut[name] for name in cut if name != "index"} for cut in answer.truncated}


def kept_items(answer: Answer, places: Mapping[bytes, int]) -> Iterator[tuple[bytes, Kept]]:
    """What is worth keeping of an answer: arrays, copied, so that one row does not hold a whole batch."""
    cuts = cuts_of(answer)
    for digest, place in places.items():
        value = answer.values[place]
        if place not in answer.errors and isinstance(value, np.ndarray):
            yield digest, Kept(value.copy(), answer.costs[place], cuts.get(place))
