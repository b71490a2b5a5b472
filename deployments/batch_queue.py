"""One lane of the batcher's queue: entries in order of arrival and, at the same time, in order of cost."""

from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from deployments.call import Lane
from deployments.engines.base import Prepared


@dataclass(slots=True, eq=False)
class Entry:
    """One item to compute and everyone who waits for it (``(group, index in the group)``)."""

    item: Prepared
    enqueued: float
    sequence: int
    lane: Lane
    waiters: list[tuple[Any, int]] = field(default_factory=list)
    alone: bool = False
    """Set after its batch failed: it runs by itself, so that a poisonous neighbour cannot fail it again."""
    queued: bool = False


class LaneQueue:
    """Entries of one lane. All operations are O(log n) but for list shifts, which are memory moves."""

    def __init__(self) -> None:
        self._by_age: OrderedDict[int, Entry] = OrderedDict()
        self._by_cost: list[tuple[int, int]] = []
        self._returned: OrderedDict[int, Entry] = OrderedDict()
        self.cost = 0

    def __len__(self) -> int:
        return len(self._by_age) + len(self._returned)

    def add(self, entry: Entry) -> None:
        entry.queued = True
        self.cost += entry.item.cost
        if entry.alone:
            self._returned[entry.sequence] = entry
            return
        self._by_age[entry.sequence] = entry
        insort(self._by_cost, (entry.item.cost, entry.sequence))

    def remove(self, entry: Entry) -> None:
        entry.queued = False
        self.cost -= entry.item.cost
        if self._returned.pop(entry.sequence, None) is None:
            del self._by_age[entry.sequence]
            del self._by_cost[bisect_left(self._by_cost, (entry.item.cost, entry.sequence))]

    def oldest(self) -> Entry | None:
        """The entry that goes next: one returned from a failed batch, else the first that came."""
        queue = self._returned or self._by_age
        return next(iter(queue.values())) if queue else None

    def take(self, budget: int, padded: bool, slack: int) -> list[Entry]:
        """Remove and return the next batch: the oldest entry and its neighbours in cost, up to ``budget``."""
        seed = self.oldest()
        if seed is None:
            return []
        if seed.alone:
            self.remove(seed)
            return [seed]
        low, high = self._spread((seed.item.cost, seed.sequence), budget, padded, slack)
        # Order of arrival inside the batch keeps results deterministic for equal queues.
        batch = [self._by_age[sequence] for sequence in sorted(sequence for _, sequence in self._by_cost[low:high])]
        for entry in batch:
            entry.queued = False
            self.cost -= entry.item.cost
            del self._by_age[entry.sequence]
        del self._by_cost[low:high]
        return batch

    def _spread(self, seed: tuple[int, int], budget: int, padded: bool, slack: int) -> tuple[int, int]:
        """Widen ``[low, high)`` around the seed to whichever side wastes less, while it pays and fits."""
        costs = self._by_cost
        low = bisect_left(costs, seed)
        high = low + 1
        total = longest = seed[0]
        while low > 0 or high < len(costs):
            below = longest - costs[low - 1][0] if low > 0 else None
            above = (costs[high][0] - longest) * (high - low) if high < len(costs) else None
            take_low = below is not None and (above is None or below <= above)
            waste, cost = (below, costs[low - 1][0]) if take_low else (above, costs[high][0])
            longest_then = max(longest, cost)
            size = longest_then * (high - low + 1) if padded else total + cost
            if size > budget or (padded and waste is not None and waste > slack):
                break
            low, high = (low - 1, high) if take_low else (low, high + 1)
            total, longest = total + cost, longest_then
        return low, high
