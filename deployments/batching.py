"""The batcher: takes groups of items with costs, runs a list -> list function in batches, returns their outcomes.

It owns order, fairness, deadlines, coalescing and the isolation of failures. It knows no model, no Ray and no text:
items are opaque, costs are integers in the engine's own unit.

- Work-conserving: a batch starts as soon as the engine is free; no timer waits while it is.
- Grouped by length: the oldest item seeds a batch, the items nearest to it in cost fill it up to ``budget``.
- Fair: while both lanes wait, each gets its share of the computed cost; the bulk lane's share grows as its oldest
  item ages. Within a lane the oldest item always goes next, so nothing starves.
- Deadlines and cancellation: items that nobody waits for any more leave the queue without being computed.
- Bounded: a group that does not fit is refused at once with ``Overloaded``.
- Coalescing: items with equal keys that are queued or running are computed once, and not again for their ``owner`` in
  the two seconds after (see ``recent``).
- Isolating: the items of a failed batch are run once more, each alone, so that only the poisonous one fails.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from deployments.batch_queue import BatchPolicy, Entry, FairLanes, Group
from deployments.call import Lane
from deployments.engines.base import Prepared
from deployments.engines.cuda import ran_out_of_memory
from deployments.errors import Cancelled, DeadlineExceeded, EngineFault, OutOfMemory, Overloaded, PoisonousItem
from deployments.recent import RecentOutcomes
from deployments.wire import BatchRun
from model_store.errors import MusterError

__all__ = ["BatchPolicy", "Batcher", "Group", "blame"]

Runner = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class Batcher:
    """Runs items through ``run`` in fair, length-grouped batches. One instance a replica, used from one event loop."""

    def __init__(
        self,
        run: Runner,
        policy: BatchPolicy,
        clock: Callable[[], float] = time.monotonic,
        observe: Callable[[BatchRun], None] = lambda batch: None,
    ) -> None:
        """``observe`` is told of each batch that was computed, before anybody has its outcomes."""
        self._run = run
        self._observe = observe
        self._policy = policy
        self._clock = clock
        self._lanes = FairLanes(policy, clock)
        self._in_flight: dict[bytes, Entry] = {}
        self._recent = RecentOutcomes(clock)
        self._running: list[Entry] = []
        self._groups: dict[str, set[Group]] = {}
        self._rate: float | None = None
        self._wake = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._closed = False
        self._sequence = 0

    # -- what callers use ------------------------------------------------------------------------------------------

    async def submit(
        self,
        items: Sequence[Prepared],
        lane: Lane,
        deadline: float,
        request_id: str = "",
        *,
        age_s: float = 0.0,
        bounded: bool = True,
        owner: str = "",
    ) -> Group:
        """Queue items and wait until each has an outcome: a value, or the exception in its place.

        ``deadline`` is an instant of the batcher's clock; ``age_s``: how long the request has waited elsewhere, which
        counts for its share and its reported queue time; ``owner``: whose work it is, empty for what must be computed
        now. Raises ``Overloaded`` when the queue has no room and ``DeadlineExceeded`` when the deadline has passed
        already. The replica's own work is not ``bounded``: never refused, and not counted. When the awaiting task is
        cancelled, its items leave the queue.
        """
        if self._closed:
            raise EngineFault("The batcher is closed.")
        if deadline <= self._clock():
            raise DeadlineExceeded
        if bounded:
            self._admit(sum(item.cost for item in items))
        loop = asyncio.get_running_loop()
        group = Group(request_id, loop.create_future(), [None] * len(items), len(items), deadline, owner)
        if not items:
            return group
        self._groups.setdefault(request_id, set()).add(group)
        for index, item in enumerate(items):
            if (outcome := self._recent.get(owner, item.key)) is not None:
                group.settle(index, outcome)
            else:
                self._enqueue(item, group, index, lane, age_s, counted=bounded)
        self._ensure_loop()
        self._wake.set()
        timer = loop.call_later(max(0.0, deadline - self._clock()), self._abandon, group, DeadlineExceeded())
        try:
            await group.done
        finally:
            timer.cancel()
            self._abandon(group, Cancelled())
            self._forget(group)
        return group

    def cancel(self, request_id: str) -> bool:
        """Drop what is queued for a request; its waiter gets ``Cancelled``. True when something was waiting."""
        groups = self._groups.get(request_id, set())
        for group in list(groups):
            self._abandon(group, Cancelled())
        return bool(groups)

    @property
    def queued_cost(self) -> int:
        """Cost waiting in the queue, without the running batch."""
        return self._lanes.cost

    @property
    def running_cost(self) -> int:
        return sum(entry.item.cost for entry in self._running)

    def backlog_s(self) -> float:
        """Predicted seconds until everything queued and running is done; 0 before the first full batch was timed."""
        return (self.queued_cost + self.running_cost) / self._rate if self._rate else 0.0

    @property
    def rate(self) -> float:
        """Cost units computed a second in full batches, smoothed; 0 before the first of them."""
        return self._rate or 0.0

    def alive(self) -> bool:
        """False when the loop has died, which ``check_health`` turns into a restart."""
        return self._loop_task is None or not self._loop_task.done()

    async def close(self) -> None:
        """Stop; whoever still waits gets an error."""
        self._closed = True
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)

    # -- queueing --------------------------------------------------------------------------------------------------

    def _admit(self, cost: int) -> None:
        queued = self.queued_cost
        # An empty queue takes any group: refusing it would refuse it for ever.
        if queued and queued + cost > self._policy.max_queued_cost:
            raise Overloaded(max(0.1, self.backlog_s()))

    def _enqueue(self, item: Prepared, group: Group, index: int, lane: Lane, age_s: float, *, counted: bool) -> None:
        entry = self._in_flight.get(item.key) if item.key is not None else None
        if entry is None:
            self._sequence += 1
            entry = Entry(item, self._clock() - age_s, self._sequence, lane, counted=counted)
            self._lanes.add(entry)
            if item.key is not None:
                self._in_flight[item.key] = entry
        elif lane == "interactive" and entry.lane == "bulk":
            self._lanes.promote(entry)
        entry.counted |= counted
        entry.waiters.setdefault(group, []).append(index)
        group.entries.append(entry)

    def _abandon(self, group: Group, error: MusterError) -> None:
        """Settle what the group still waits for with ``error`` and drop the items that only it waited for."""
        if group.pending == 0:
            return
        for entry in group.entries:
            for index in entry.waiters.pop(group, ()):
                group.settle(index, error)
            if not entry.waiters and entry.queued:
                self._lanes.remove(entry)
                self._release(entry)

    def _forget(self, group: Group) -> None:
        groups = self._groups.get(group.id, set())
        groups.discard(group)
        if not groups:
            self._groups.pop(group.id, None)

    def _release(self, entry: Entry) -> None:
        key = entry.item.key
        if key is not None and self._in_flight.get(key) is entry:
            del self._in_flight[key]

    # -- computing -------------------------------------------------------------------------------------------------

    def _ensure_loop(self) -> None:
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.get_running_loop().create_task(self._work())
            self._loop_task.add_done_callback(self._stopped)

    def _stopped(self, _: asyncio.Task[None]) -> None:
        """Nobody would answer these any more: an error now instead of silence until their deadlines."""
        for group in [group for groups in self._groups.values() for group in groups]:
            self._abandon(group, EngineFault("The batcher has stopped."))
        self._in_flight.clear()

    async def _work(self) -> None:
        while True:
            batch = self._next_batch()
            if not batch:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._compute(batch)

    def _next_batch(self) -> list[Entry]:
        while taken := self._lanes.take():
            now = self._clock()
            if batch := [entry for entry in taken if self._wanted(entry, now)]:
                self._lanes.account(batch[0].lane, sum(entry.item.cost for entry in batch))
                return batch
        return []

    def _wanted(self, entry: Entry, now: float) -> bool:
        """Whether anyone still waits for an entry just taken; a timer may be late when the loop was busy."""
        for group in [group for group in entry.waiters if group.deadline <= now]:
            self._abandon(group, DeadlineExceeded())
        if not entry.waiters:
            self._release(entry)
        return bool(entry.waiters)

    async def _compute(self, batch: list[Entry]) -> None:
        self._running = batch
        started = self._clock()
        try:
            values = await self._run([entry.item for entry in batch])
            if len(values) != len(batch):
                raise EngineFault(f"The engine gave {len(values)} results for {len(batch)} items.")
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # Whatever the engine raises belongs to its items, not to the loop; a cancelled thread pool and a panic in
            # native code are no ``Exception``. Only when the loop itself is told to stop does it stop.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            if len(batch) == 1:
                self._tell(batch, started)
            self._isolate(batch, error)
        else:
            self._measure(sum(entry.item.cost for entry in batch), self._clock() - started)
            self._tell(batch, started)
            for entry, value in zip(batch, values, strict=True):
                self._finish(entry, value, started)
        finally:
            self._running = []

    def _tell(self, batch: list[Entry], started: float) -> None:
        """The padding is for whoever knows the engine to say."""
        if costs := [entry.item.cost for entry in batch if entry.counted]:
            self._observe(BatchRun(batch[0].lane, len(costs), sum(costs), 0, self._clock() - started))

    def _measure(self, cost: int, seconds: float) -> None:
        # Small batches are mostly overhead; a backlog is worked off in full ones, so those set the rate.
        if 2 * cost < self._policy.budget:
            return
        rate = cost / max(seconds, 1e-6)
        self._rate = rate if self._rate is None else 0.9 * self._rate + 0.1 * rate

    def _finish(self, entry: Entry, outcome: Any, started: float) -> None:
        self._release(entry)
        now = self._clock()
        for group, indices in entry.waiters.items():
            group.queue_ms = max(group.queue_ms, (started - entry.enqueued) * 1e3)
            group.compute_ms = max(group.compute_ms, (now - started) * 1e3)
            if not isinstance(outcome, MusterError):
                self._recent.put(group.owner, entry.item.key, outcome)
            for index in indices:
                group.settle(index, outcome)
        entry.waiters = {}

    def _isolate(self, batch: list[Entry], error: BaseException) -> None:
        if len(batch) == 1:
            self._finish(batch[0], blame(error), self._clock())
            return
        for entry in batch:
            if not entry.waiters:
                self._release(entry)
                continue
            entry.alone = True
            self._lanes.add(entry)


def blame(error: BaseException) -> MusterError:
    """What an item is told when it made the engine fail all by itself."""
    if isinstance(error, MusterError):
        return error
    if ran_out_of_memory(error):
        # Without the cause: its traceback would hold the tensors of the failed pass.
        return OutOfMemory()
    poisonous = PoisonousItem()
    poisonous.__cause__ = error
    return poisonous
