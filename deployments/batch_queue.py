"""What waits in the batcher: entries in two lanes, each in order of arrival and, at the same time, in order of cost."""

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deployments.call import Lane
from deployments.engines.base import Prepared


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Bounds of the batcher. Costs are in the engine's unit (tokens, rows).

    ``budget``: largest cost of a batch; a single dearer item runs alone. ``padded``: whether a batch costs longest x
    count (True) or the sum (False). ``slack``: padding, in units, that costs less than a batch of its own.
    ``bulk_share`` to ``bulk_share_aged``: share of computed cost that bulk gets while interactive items wait, rising
    with the age of the oldest bulk item up to ``age_limit_s``.
    """

    budget: int = 512
    padded: bool = True
    slack: int = 16
    max_queued_cost: int = 262_144
    bulk_share: float = 0.6
    bulk_share_aged: float = 0.75
    age_limit_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.bulk_share <= self.bulk_share_aged < 1 or self.age_limit_s <= 0:
            raise ValueError("Shares of bulk work rise between 0 and 1, and the age limit is positive.")


@dataclass(slots=True, eq=False)
class Entry:
    """One item to compute and everyone who waits for it, with their indices of it."""

    item: Prepared
    enqueued: float
    sequence: int
    lane: Lane
    waiters: dict[Any, list[int]] = field(default_factory=dict)
    counted: bool = True
    """False for what only health checks ask for: it is no client's work."""
    alone: bool = False
    """Set after its batch failed: it runs by itself, so that a poisonous neighbour cannot fail it again."""
    queued: bool = False


@dataclass(slots=True, eq=False)
class Group:
    """One request's items in the batcher; ``done`` resolves when every item has an outcome."""

    id: str
    done: asyncio.Future[None]
    outcomes: list[Any]
    pending: int
    deadline: float
    owner: str = ""
    queue_ms: float = 0.0
    compute_ms: float = 0.0
    entries: list[Entry] = field(default_factory=list)

    def settle(self, index: int, outcome: Any) -> None:
        self.outcomes[index] = outcome
        self.pending -= 1
        if self.pending == 0 and not self.done.done():
            self.done.set_result(None)


class LaneQueue:
    """Entries of one lane. No operation costs more for a longer queue; entries of equal cost share a bucket."""

    def __init__(self) -> None:
        self._by_age: OrderedDict[int, Entry] = OrderedDict()
        self._by_cost: dict[int, OrderedDict[int, Entry]] = {}
        self._costs: list[int] = []
        self._returned: OrderedDict[int, Entry] = OrderedDict()
        self.cost = 0

    def __len__(self) -> int:
        return len(self._by_age) + len(self._returned)

    def add(self, entry: Entry) -> None:
        cost = entry.item.cost
        entry.queued = True
        self.cost += cost
        if entry.alone:
            self._returned[entry.sequence] = entry
            return
        self._by_age[entry.sequence] = entry
        if cost not in self._by_cost:
            self._by_cost[cost] = OrderedDict()
            self._costs.insert(bisect_left(self._costs, cost), cost)
        self._by_cost[cost][entry.sequence] = entry

    def remove(self, entry: Entry) -> None:
        cost = entry.item.cost
        entry.queued = False
        self.cost -= cost
        if self._returned.pop(entry.sequence, None) is not None:
            return
        del self._by_age[entry.sequence]
        del self._by_cost[cost][entry.sequence]
        if not self._by_cost[cost]:
            del self._by_cost[cost]
            del self._costs[bisect_left(self._costs, cost)]

    def oldest(self) -> Entry | None:
        """The entry that goes next: one returned from a failed batch, else the first that came."""
        queue = self._returned or self._by_age
        return next(iter(queue.values())) if queue else None

    def take(self, budget: int, padded: bool, slack: int) -> list[Entry]:
        """Remove and return the next batch: the oldest entry and its neighbours in cost, up to ``budget``."""
        seed = self.oldest()
        if seed is None:
            return []
        batch = [seed] if seed.alone else self._gather(seed.item.cost, budget, padded, slack)
        for entry in batch:
            self.remove(entry)
        # Order of arrival inside the batch keeps results deterministic for equal queues.
        return sorted(batch, key=lambda entry: entry.sequence)

    def _gather(self, seed_cost: int, budget: int, padded: bool, slack: int) -> list[Entry]:
        """The seed, then whichever next shorter or longer entry wastes less, while it pays and fits."""
        middle = bisect_right(self._costs, seed_cost)
        shorter, longer = self._entries(reversed(self._costs[:middle])), self._entries(self._costs[middle:])
        # The lane's oldest entry is also the oldest of its cost.
        batch = [next(shorter)]
        below, above = next(shorter, None), next(longer, None)
        total = longest = seed_cost
        while below is not None or above is not None:
            waste_below = math.inf if below is None else longest - below.item.cost
            waste_above = math.inf if above is None else (above.item.cost - longest) * len(batch)
            down = waste_below <= waste_above
            entry = below if down else above
            assert entry is not None
            longest_then = max(longest, entry.item.cost)
            size = longest_then * (len(batch) + 1) if padded else total + entry.item.cost
            fits = size <= budget and (not padded or min(waste_below, waste_above) <= slack)
            if fits:
                batch.append(entry)
                total, longest = total + entry.item.cost, longest_then
            # A side whose next entry does not fit is done: the entries beyond it waste more.
            if down:
                below = next(shorter, None) if fits else None
            else:
                above = next(longer, None) if fits else None
        return batch

    def _entries(self, costs: Iterable[int]) -> Iterator[Entry]:
        """Entries in the order of ``costs``, the oldest of each cost first."""
        for cost in costs:
            yield from self._by_cost[cost].values()


class FairLanes:
    """Both lanes, and which of them goes next: while both wait, each gets its share of the computed cost."""

    def __init__(self, policy: BatchPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._lanes: dict[Lane, LaneQueue] = {"interactive": LaneQueue(), "bulk": LaneQueue()}
        self._bulk_credit = 0.0

    @property
    def cost(self) -> int:
        """Cost waiting in both lanes."""
        return sum(lane.cost for lane in self._lanes.values())

    def add(self, entry: Entry) -> None:
        self._lanes[entry.lane].add(entry)

    def remove(self, entry: Entry) -> None:
        self._lanes[entry.lane].remove(entry)

    def promote(self, entry: Entry) -> None:
        """Make a bulk entry interactive, wherever it is."""
        queued = entry.queued
        if queued:
            self.remove(entry)
        entry.lane = "interactive"
        if queued:
            self.add(entry)

    def take(self) -> list[Entry]:
        """Remove and return the next batch; empty when nothing waits."""
        lane = self._choose()
        return self._lanes[lane].take(self._policy.budget, self._policy.padded, self._policy.slack) if lane else []

    def _choose(self) -> Lane | None:
        interactive, bulk = self._lanes["interactive"], self._lanes["bulk"]
        if not interactive:
            self._bulk_credit = 0.0
            return "bulk" if bulk else None
        if bulk and self._bulk_credit >= min(bulk.cost, self._policy.budget):
            return "bulk"
        return "interactive"

    def account(self, lane: Lane, cost: int) -> None:
        """Count what goes to the engine: interactive cost earns bulk its share, bulk cost spends it.

        An item dearer than the budget leaves a debt, so that a lane of such items gets no more than its share.
        """
        if lane == "bulk":
            self._bulk_credit -= cost
        elif self._lanes["bulk"]:
            share = self._bulk_share()
            self._bulk_credit += cost * share / (1 - share)
        else:
            self._bulk_credit = 0.0

    def _bulk_share(self) -> float:
        policy = self._policy
        oldest = self._lanes["bulk"].oldest()
        age = self._clock() - oldest.enqueued if oldest else 0.0
        grown = min(1.0, age / policy.age_limit_s) * (policy.bulk_share_aged - policy.bulk_share)
        return policy.bulk_share + grown
