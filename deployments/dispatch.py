"""The dispatcher: one per application in each gateway process, the only sender of calls to that application.

A handle call costs milliseconds of CPU whatever it carries, so one call carries everything that waits, up to
a lane's ``call_s`` of predicted work; the calls in flight are the timer, and whatever arrives meanwhile goes into the
next one.
Each lane has its own ``calls_in_flight`` per replica, so bulk work never takes an interactive request's place.

It knows no Ray: a ``Transport`` sends. Costs of inputs are guessed by ``hint`` (any unit) and corrected by what the
replicas report.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.call import Answer, CallContext, Lane
from deployments.errors import DeadlineExceeded, EngineFault, ModelNotReady, Overloaded, PoisonousItem
from deployments.meter import Observer, served, unobserved
from deployments.pending import Line, PendingRequest, Slice
from deployments.retry_budget import RetryBudget
from deployments.wire import Call, ReplicaDied, Reply, Transport

LANES: tuple[Lane, Lane] = ("interactive", "bulk")
HOPELESS = 2.0
"""Predicted seconds of work over the seconds left, from which on a request is refused."""


@dataclass(frozen=True, slots=True)
class DispatchPolicy:
    """``call_s``: predicted seconds of work a call may carry, by lane; ``first_call``: the same in hint units while no
    rate is known; ``max_items``: bound of the queue; ``calls_in_flight``: per lane and replica; ``deaths``: replica
    deaths that an item may be present at before it is refused."""

    # Bulk work waits anyway: with fewer, larger calls it takes about 5 % less time, in batches of more equal texts.
    call_s: Mapping[Lane, float] = field(default_factory=lambda: {"interactive": 0.1, "bulk": 0.25})
    first_call: float = 512
    max_items: int = 50_000
    calls_in_flight: int = 2
    deaths: int = 2
    cancel_every_s: float = 0.02


class Dispatcher:
    """Merges waiting requests into calls, retries after a replica's death, refuses what cannot be done in time."""

    def __init__(
        self,
        application: str,
        transport: Transport,
        hint: Callable[[Any], int],
        policy: DispatchPolicy | None = None,
        sender: str = "",
        observe: Observer = unobserved,
    ) -> None:
        """``observe``: told what the replicas' replies tell."""
        self._observe = observe
        self._application = application
        self._transport = transport
        self._hint = hint
        self._policy = policy or DispatchPolicy()
        self._sender = sender
        self._queues: dict[Lane, Line] = {lane: Line() for lane in LANES}
        self._suspects: dict[Lane, Line] = {lane: Line() for lane in LANES}
        self._suspect_out = False
        self._in_flight: dict[Lane, int] = {"interactive": 0, "bulk": 0}
        self._seconds_per_hint = 0.0
        self._replica_backlog_s = 0.0
        self._budget = RetryBudget()
        self._gone: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what callers use ------------------------------------------------------------------------------------------

    async def call(self, inputs: Sequence[Any], options: Mapping[str, Any], context: CallContext) -> Answer:
        """Run inputs; one outcome each. Raises ``Overloaded``, ``DeadlineExceeded``, ``ModelNotReady``.

        When the awaiting task is cancelled its inputs are dropped, here and at the replica.
        """
        hints = [self._hint(item) for item in inputs]
        self._admit(sum(hints), len(inputs), context)
        request = PendingRequest(inputs, hints, options, context)
        if not inputs:
            return request.answer()
        self._queues[context.lane].add(request.whole())
        self._pump()
        try:
            # The deadline is checked first so that a request that is already late does not wait for a turn.
            await asyncio.wait_for(asyncio.shield(request.done), max(0.0, context.remaining()))
        except TimeoutError:
            raise DeadlineExceeded from None
        finally:
            self._leave(request)
        return request.answer()

    def waiting_s(self, lane: Lane | None = None) -> float:
        """Predicted seconds of work waiting here, not yet sent; 0 before any reply was seen."""
        hints = sum(line.hint for line in self._lines(lane))
        return hints * self._seconds_per_hint / self._transport.replicas()

    def waiting_items(self) -> int:
        return sum(line.items for line in self._lines())

    def _lines(self, lane: Lane | None = None) -> list[Line]:
        lanes = LANES if lane is None else (lane,)
        return [lines[name] for lines in (self._queues, self._suspects) for name in lanes]

    # -- admission -------------------------------------------------------------------------------------------------

    def _admit(self, hint: int, items: int, context: CallContext) -> None:
        if context.remaining() <= 0:
            raise DeadlineExceeded
        ahead = self.waiting_s("interactive") + (self.waiting_s("bulk") if context.lane == "bulk" else 0.0)
        wait = ahead + self._replica_backlog_s if ahead else 0.0
        work = hint * self._seconds_per_hint / self._transport.replicas()
        # A prediction may be off by a factor; only what is hopeless is refused, the deadline judges the rest.
        if wait and wait + work > HOPELESS * context.remaining():
            raise Overloaded(math.ceil(wait + work - context.remaining()) or 1)
        if self.waiting_items() and self.waiting_items() + items > self._policy.max_items:
            raise Overloaded(max(1.0, math.ceil(self.waiting_s())))

    # -- sending ---------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        limit = self._policy.calls_in_flight * self._transport.replicas()
        for lane in LANES:
            while self._in_flight[lane] < limit and (slices := self._suspect(lane) or self._fill(lane)):
                self._in_flight[lane] += 1
                task = asyncio.get_running_loop().create_task(self._send(lane, slices))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _suspect(self, lane: Lane) -> list[Slice]:
        """One item that was present at a death. Never two at a time: the guilty one would condemn the other."""
        if self._suspect_out or not self._suspects[lane]:
            return []
        self._suspect_out = True
        return [self._suspects[lane].take()]

    def _fill(self, lane: Lane) -> list[Slice]:
        """Take slices off the line, the lane's ``call_s`` of predicted work at most; what does not fit goes to the end."""
        line, taken = self._queues[lane], list[Slice]()
        known = self._seconds_per_hint
        room = self._policy.call_s[lane] / known if known else self._policy.first_call
        while line and room > 0:
            piece = line.take()
            head, rest = piece.cut(room)
            if taken and head.hint > room:
                line.add(piece, first=True)
                break
            taken.append(head)
            room -= head.hint
            if rest is not None:
                # To the end: a long request must not hold up the short ones behind it.
                line.add(rest)
                break
        return taken

    async def _send(self, lane: Lane, slices: list[Slice]) -> None:
        for piece in slices:
            piece.request.sent = True
        try:
            self._deliver(lane, slices, await self._exchange(lane, slices))
        except ReplicaDied:
            self._retry(lane, slices)
        except TimeoutError:
            self._fail(slices, DeadlineExceeded())
        except Exception as error:  # noqa: BLE001 - a call must settle its requests whatever happened to it
            self._fail(slices, error)
        else:
            self._budget.earn()
        finally:
            self._in_flight[lane] -= 1
            if slices[0].alone:
                self._suspect_out = False
            self._pump()

    async def _exchange(self, lane: Lane, slices: list[Slice]) -> Reply:
        pieces = [piece.wire() for piece in slices]
        call = Call(lane, pieces, self._sender, self.waiting_s())
        patience = max(piece.remaining_s for piece in pieces)
        return await asyncio.wait_for(self._transport.send(call), max(0.001, patience))

    def _deliver(self, lane: Lane, slices: list[Slice], reply: Reply) -> None:
        sizes = [len(piece.indices) for piece in slices]
        if sizes != [len(piece.values) for piece in reply.pieces] or sizes != [
            len(piece.costs) for piece in reply.pieces
        ]:
            raise EngineFault("The replica's reply does not fit its call.")
        hint = cost = 0
        for piece, answer in zip(slices, reply.pieces, strict=True):
            piece.request.deliver(piece.indices, answer, reply)
            # Refused inputs cost nothing and would make work look cheaper than it is.
            hint += sum(piece.request.hints[i] for i, spent in zip(piece.indices, answer.costs, strict=True) if spent)
            cost += sum(answer.costs)
        if reply.rate and hint and cost:
            seen = cost / hint / reply.rate
            known = self._seconds_per_hint
            self._seconds_per_hint = 0.8 * known + 0.2 * seen if known else seen
        self._replica_backlog_s = reply.backlog_s
        self._observe(served(lane, reply.pieces))
        for batch in reply.batches:
            self._observe(batch)

    def _fail(self, slices: list[Slice], error: Exception) -> None:
        for piece in slices:
            piece.request.fail(error)
            self._drop(piece.request)

    # -- deaths ----------------------------------------------------------------------------------------------------

    def _retry(self, lane: Lane, slices: list[Slice]) -> None:
        """Send the items of a dead replica again, each alone; one present at too many deaths is refused."""
        if not self._budget.spend():
            self._fail(slices, ModelNotReady(self._application, "its replicas keep dying"))
            return
        for piece in slices:
            if piece.request.settled:
                continue
            for single in piece.singles():
                if single.deaths < self._policy.deaths:
                    self._suspects[lane].add(single)
                else:
                    single.request.refuse(single.indices[0], PoisonousItem())

    # -- leaving ---------------------------------------------------------------------------------------------------

    def _leave(self, request: PendingRequest) -> None:
        """Take out what a request left behind: its client went, its deadline passed, or a part of it failed."""
        request.settled = True
        self._drop(request)
        if request.complete or not request.sent:
            return
        if not self._gone:
            asyncio.get_running_loop().call_later(self._policy.cancel_every_s, self._tell_replicas)
        self._gone.add(request.id)

    def _drop(self, request: PendingRequest) -> None:
        for line in self._lines(request.context.lane):
            line.leave(request)

    def _tell_replicas(self) -> None:
        ids, self._gone = sorted(self._gone), set()
        task = asyncio.get_running_loop().create_task(self._transport.cancel(ids))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
