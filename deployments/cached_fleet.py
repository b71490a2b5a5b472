"""A fleet that answers from what it has answered before, and computes equal items in flight once.

Per item, not per request: of a call only what is new goes to the model. Keys are HMACs of application, parameters and
item with the tenant's own salt, so that a key tells nothing of a text and no tenant meets another's. An answer is only
used beside others of the same model revision: the revision is taken from the model's last reply, and once it was not
heard of for ``REVISION_S`` the model is asked again, so that a new revision shows within that time.

Redis is the second level, shared by the gateways and kept over restarts, for items that cost more to compute than to
fetch (``Shared.worth_s``).
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from deployments.assembly import Assembly, kept_items
from deployments.cache import ResultCache
from deployments.call import Answer, CallContext, Fleet, Lane, ModelState
from deployments.errors import Cancelled, DeadlineExceeded, Overloaded, StateUnavailable
from deployments.generation import Delta, GenerationRequest
from deployments.shared_cache import SharedCache

T = TypeVar("T")
REVISION_S = 10.0
TURN = 128
ATTEMPTS = 2
_OTHERS_TROUBLE = (DeadlineExceeded, Cancelled, Overloaded)
"""What may have failed the request that was joined without failing this one."""
Count = Callable[[str, Lane, str, int], None]


@dataclass(slots=True)
class _Flight:
    """A call on its way to a model, and how many requests wait for it. ``places``: items' positions in its answer."""

    task: asyncio.Task[Answer]
    lane: Lane
    places: Mapping[bytes, int]
    waiters: int = 0

    def serves(self, context: CallContext) -> bool:
        """Interactive work never waits for bulk."""
        free = self.lane == "interactive" or context.lane == "bulk"
        return free and not self.task.done() and not self.task.cancelling()


@dataclass(slots=True)
class _Known:
    """What a model's last reply said. ``cost_s``: seconds of compute for one unit of cost."""

    at: float
    revision: str
    details: Mapping[str, Any]
    cost_s: float


class CachedFleet:
    """Wraps a fleet; implements ``call.Fleet``. ``salt``: a tenant's, from Redis. ``hint``: an item's cost, guessed.

    ``count(application, lane, kind, items)``: kinds are memory, redis, joined and computed. ``exempt``: applications whose
    inputs are no texts.
    """

    def __init__(
        self,
        fleet: Fleet,
        cache: ResultCache,
        shared: SharedCache,
        salt: Callable[[str], Awaitable[bytes]],
        hint: Callable[[Any], int],
        count: Count = lambda application, lane, kind, items: None,
        exempt: frozenset[str] = frozenset({"skills"}),
    ) -> None:
        self._fleet, self._cache, self._shared = fleet, cache, shared
        self._salt, self._hint, self._count, self._exempt = salt, hint, count, exempt
        self._own_salt = secrets.token_bytes(32)
        self._flights: dict[bytes, _Flight] = {}
        self._known: dict[str, _Known] = {}

    async def states(self) -> Mapping[str, ModelState]:
        return await self._fleet.states()

    async def backend(self, application: str) -> str | None:
        return await self._fleet.backend(application)

    async def about(self, application: str) -> Mapping[str, Any]:
        return await self._fleet.about(application)

    def stream(self, application: str, request: GenerationRequest, context: CallContext) -> AsyncGenerator[Delta, None]:
        """Generated text is never kept."""
        return self._fleet.stream(application, request, context)

    async def call(
        self, application: str, inputs: Sequence[Any], options: Mapping[str, Any], context: CallContext
    ) -> Answer:
        if context.no_store or application in self._exempt or not inputs:
            return await self._fleet.call(application, inputs, options, context)
        digests = await self._digests(application, inputs, options, context.tenant)
        for _ in range(ATTEMPTS):
            answer = await self._attempt(application, inputs, options, context, digests)
            if answer is not None:
                return answer
        return await self._fleet.call(application, inputs, options, context)

    async def _attempt(
        self,
        application: str,
        inputs: Sequence[Any],
        options: Mapping[str, Any],
        context: CallContext,
        digests: Sequence[bytes],
    ) -> Answer | None:
        """None when its parts are of two revisions: the model changes at this moment."""
        items = dict(zip(digests, inputs, strict=True))
        parts = Assembly()
        await self._look_up(application, items, context, parts)
        hits = len(parts)
        joined = 0
        for flight in self._joinable(items, parts, context):
            joined += await self._join(flight, items, context, parts)
        own = [digest for digest in items if digest not in parts]
        self._count(application, context.lane, "joined", joined)
        self._count(application, context.lane, "computed", len(own))
        if own:
            flight = self._start(application, {digest: items[digest] for digest in own}, options, context)
            answer = await self._wait(flight, context)
            if len(own) == len(inputs):
                return answer
            parts.take(answer, flight.places, items)
        return parts.answer(digests, hits) if len(parts.revisions) == 1 else None

    # -- what is kept ----------------------------------------------------------------------------------------------

    async def _look_up(
        self, application: str, items: Mapping[bytes, Any], context: CallContext, parts: Assembly
    ) -> None:
        """Items of the revision that the model is known to have now, from memory and then from Redis."""
        known = self._known.get(application)
        if known is None or time.monotonic() - known.at > REVISION_S:
            return
        keys = dict[bytes, bytes]()
        async for digest in _in_turns(items):
            key = keys[digest] = _key(digest, known.revision)
            if kept := self._cache.get(key):
                parts.add(digest, kept, known.revision, known.details)
        self._count(application, context.lane, "memory", len(parts))
        dear = {keys[d]: d for d in items if d not in parts and self._hint(items[d]) * known.cost_s > self._worth_s}
        found = await self._shared.get(context.tenant, list(dear)) if dear else {}
        for key, kept in found.items():
            self._cache.put(key, kept)
            parts.add(dear[key], kept, known.revision, known.details)
        self._count(application, context.lane, "redis", len(found))

    async def _keep(self, application: str, tenant: str, answer: Answer, places: Mapping[bytes, int]) -> None:
        seconds = _cost_s(answer)
        self._known[application] = _Known(time.monotonic(), answer.revision, answer.details, seconds)
        dear = {}
        async for digest, kept in _in_turns(kept_items(answer, places)):
            key = _key(digest, answer.revision)
            self._cache.put(key, kept)
            if kept.cost * seconds > self._worth_s:
                dear[key] = kept
        self._shared.put(tenant, dear)

    @property
    def _worth_s(self) -> float:
        return self._shared.worth_s

    # -- what is in flight -----------------------------------------------------------------------------------------

    def _joinable(self, items: Iterable[bytes], parts: Assembly, context: CallContext) -> list[_Flight]:
        flights = (self._flights.get(digest) for digest in items if digest not in parts)
        return list({id(flight): flight for flight in flights if flight and flight.serves(context)}.values())

    async def _join(self, flight: _Flight, items: Mapping[bytes, Any], context: CallContext, parts: Assembly) -> int:
        """Take what somebody else asked for; nothing when that failed for a reason of its own."""
        try:
            return parts.take(await self._wait(flight, context), flight.places, items)
        except _OTHERS_TROUBLE:
            if context.remaining() <= 0:
                raise
            return 0

    def _start(
        self, application: str, items: Mapping[bytes, Any], options: Mapping[str, Any], context: CallContext
    ) -> _Flight:
        places = {digest: place for place, digest in enumerate(items)}
        task = asyncio.get_running_loop().create_task(
            self._compute(application, list(items.values()), options, context, places)
        )
        flight = _Flight(task, context.lane, places)
        self._flights |= dict.fromkeys(places, flight)
        task.add_done_callback(lambda done: self._landed(flight))
        return flight

    async def _compute(
        self,
        application: str,
        inputs: Sequence[Any],
        options: Mapping[str, Any],
        context: CallContext,
        places: Mapping[bytes, int],
    ) -> Answer:
        answer = await self._fleet.call(application, inputs, options, context)
        await self._keep(application, context.tenant, answer, places)
        return answer

    def _landed(self, flight: _Flight) -> None:
        for digest in flight.places:
            if self._flights.get(digest) is flight:
                del self._flights[digest]
        if not flight.task.cancelled():
            # Looked at, so that a failure that nobody waited for is not reported as forgotten.
            flight.task.exception()

    async def _wait(self, flight: _Flight, context: CallContext) -> Answer:
        """The flight's answer. A flight that nobody waits for any more is called off."""
        flight.waiters += 1
        try:
            done, _ = await asyncio.wait({flight.task}, timeout=max(0.0, context.remaining()))
            if not done:
                raise DeadlineExceeded
            if flight.task.cancelled():
                raise Cancelled
            return flight.task.result()
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                flight.task.cancel()

    # -- keys ------------------------------------------------------------------------------------------------------

    async def _digests(
        self, application: str, inputs: Sequence[Any], options: Mapping[str, Any], tenant: str
    ) -> list[bytes]:
        try:
            salt = await self._salt(tenant)
        except StateUnavailable:
            # Redis is away: what is kept until it is back is this process's own.
            salt = hmac.digest(self._own_salt, tenant.encode(), "sha256")
        prefix = orjson.dumps([application, sorted(options.items())]) + b"\0"
        return [hmac.digest(salt, prefix + _bytes(item), "sha256") async for item in _in_turns(inputs)]


async def _in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, letting others have the event loop in between: a call may have thousands."""
    for number, item in enumerate(items, 1):
        yield item
        if number % TURN == 0:
            await asyncio.sleep(0)


def _cost_s(answer: Answer) -> float:
    """Seconds of compute for one unit of cost. The answer's own time says little: it is that of the batches that its
    items were in, beside others' items."""
    if answer.rate:
        return 1 / answer.rate
    return answer.timing.compute_ms / 1e3 / max(1, sum(answer.costs))


def _bytes(item: Any) -> bytes:
    """An item as bytes, different for different items."""
    if isinstance(item, str):
        return b"t" + item.encode("utf-8", "surrogatepass")
    return b"j" + orjson.dumps(item, option=orjson.OPT_SORT_KEYS)


def _key(digest: bytes, revision: str) -> bytes:
    return hmac.digest(digest, revision.encode(), "sha256")
