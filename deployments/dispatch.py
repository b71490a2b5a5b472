"""The dispatcher: one per application in each gateway process, the only sender of calls to that application.

A handle call costs milliseconds of CPU whatever it carries, so one call carries everything that waits, up to
``call_s`` of predicted work; the calls in flight are the timer, and whatever arrives meanwhile goes into the next one.
Each lane has its own ``calls_in_flight`` per replica, so bulk work never takes an interactive request's place.

It knows no Ray: a ``Transport`` sends. Costs of inputs are guessed by ``hint`` (any unit) and corrected by what the
replicas report.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.call import Answer, CallContext, Lane
from deployments.errors import DeadlineExceeded, ModelNotReady, Overloaded, PoisonousItem
from deployments.pending import PendingRequest, Slice
from deployments.retry_budget import RetryBudget
from deployments.wire import Call, Piece, ReplicaDied, Reply, Transport
from model_store.errors import MusterError

LANES: tuple[Lane, Lane] = ("interactive", "bulk")


@dataclass(frozen=True, slots=True)
class DispatchPolicy:
    """``call_s``: predicted seconds of work a call may carry; ``first_call``: the same in hint units while no rate is
    known; ``max_items``: bound of the queue; ``calls_in_flight``: per lane and replica; ``deaths``: replica deaths that
    an item may be present at before it is refused."""

    call_s: float = 0.1
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
    ) -> None:
        self._application = application
        self._transport = transport
        self._hint = hint
        self._policy = policy or DispatchPolicy()
        self._sender = sender
        self._queues: dict[Lane, deque[Slice]] = {"interactive": deque(), "bulk": deque()}
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
        self._queues[context.lane].append(request.whole())
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
        lanes = LANES if lane is None else (lane,)
        hints = sum(piece.hint for name in lanes for piece in self._queues[name])
        return hints * self._seconds_per_hint / self._transport.replicas()

    def waiting_items(self) -> int:
        return sum(len(piece.indices) for queue in self._queues.values() for piece in queue)

    # -- admission -------------------------------------------------------------------------------------------------

    def _admit(self, hint: int, items: int, context: CallContext) -> None:
        if context.remaining() <= 0:
            raise DeadlineExceeded
        ahead = self.waiting_s("interactive") + (self.waiting_s("bulk") if context.lane == "bulk" else 0.0)
        wait = ahead + self._replica_backlog_s if ahead else 0.0
        work = hint * self._seconds_per_hint / self._transport.replicas()
        if wait and wait + work > context.remaining():
            raise Overloaded(math.ceil(wait + work - context.remaining()) or 1)
        if self.waiting_items() and self.waiting_items() + items > self._policy.max_items:
            raise Overloaded(max(1.0, math.ceil(self.waiting_s())))

    # -- sending ---------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        limit = self._policy.calls_in_flight * self._transport.replicas()
        for lane in LANES:
            while self._in_flight[lane] < limit and (slices := self._fill(lane)):
                self._in_flight[lane] += 1
                task = asyncio.get_running_loop().create_task(self._send(lane, slices))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _fill(self, lane: Lane) -> list[Slice]:
        """Take slices off the queue, ``call_s`` of predicted work at most; what does not fit goes to the back."""
        queue, taken = self._queues[lane], list[Slice]()
        room = self._policy.call_s / self._seconds_per_hint if self._seconds_per_hint else self._policy.first_call
        while queue and room > 0:
            piece = queue.popleft()
            if piece.request.settled:
                continue
            if piece.alone:
                if taken:
                    queue.appendleft(piece)
                    return taken
                return [piece]
            head, rest = piece.cut(room)
            taken.append(head)
            room -= head.hint
            if rest is not None:
                # To the back: a long request must not hold up the short ones behind it.
                queue.append(rest)
                break
        return taken

    async def _send(self, lane: Lane, slices: list[Slice]) -> None:
        pieces = [
            Piece(piece.request.id, piece.inputs(), piece.request.options, piece.request.context.remaining())
            for piece in slices
        ]
        call = Call(lane, pieces, self._sender, self.waiting_s())
        patience = max(piece.remaining_s for piece in pieces)
        try:
            reply = await asyncio.wait_for(self._transport.send(call), max(0.001, patience))
        except ReplicaDied:
            self._retry(lane, slices)
        except TimeoutError:
            self._fail(slices, DeadlineExceeded())
        except MusterError as error:
            self._fail(slices, error)
        except Exception as error:  # noqa: BLE001 - a call must settle its requests whatever happened to it
            self._fail(slices, error)
        else:
            self._budget.earn()
            self._deliver(slices, reply)
        finally:
            self._in_flight[lane] -= 1
            self._pump()

    def _deliver(self, slices: list[Slice], reply: Reply) -> None:
        for piece, answer in zip(slices, reply.pieces, strict=True):
            piece.request.deliver(piece.indices, answer, reply.revision)
        hint, cost = sum(piece.hint for piece in slices), sum(sum(answer.costs) for answer in reply.pieces)
        if reply.rate and hint and cost:
            seen = cost / hint / reply.rate
            known = self._seconds_per_hint
            self._seconds_per_hint = 0.8 * known + 0.2 * seen if known else seen
        self._replica_backlog_s = reply.backlog_s

    @staticmethod
    def _fail(slices: list[Slice], error: Exception) -> None:
        for piece in slices:
            piece.request.fail(error)

    # -- deaths ----------------------------------------------------------------------------------------------------

    def _retry(self, lane: Lane, slices: list[Slice]) -> None:
        """Send the items of a dead replica again, each alone; one present at too many deaths is refused."""
        if not self._budget.spend():
            self._fail(slices, ModelNotReady(self._application, "its replicas keep dying"))
            return
        for piece in slices:
            for single in piece.singles():
                if single.deaths < self._policy.deaths:
                    self._queues[lane].appendleft(single)
                else:
                    single.request.refuse(single.indices[0], PoisonousItem())

    # -- leaving ---------------------------------------------------------------------------------------------------

    def _leave(self, request: PendingRequest) -> None:
        if request.settled:
            return
        request.settled = True
        for queue in self._queues.values():
            for piece in [piece for piece in queue if piece.request is request]:
                queue.remove(piece)
        if not self._gone:
            asyncio.get_running_loop().call_later(self._policy.cancel_every_s, self._tell_replicas)
        self._gone.add(request.id)

    def _tell_replicas(self) -> None:
        ids, self._gone = sorted(self._gone), set()
        task = asyncio.get_running_loop().create_task(self._transport.cancel(ids))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
