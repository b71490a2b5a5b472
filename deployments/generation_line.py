"""One application's generations out of one gateway process: how many at a time, until when, and what ends them."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from deployments.call import CallContext, Lane
from deployments.errors import DeadlineExceeded, ModelNotReady, Overloaded
from deployments.generation import Delta, GenerationRequest
from deployments.meter import Observer, metered, unobserved
from deployments.wire import ReplicaDied

PER_REPLICA = 64
"""Generations on their way for each replica, running or waiting; as many as a replica takes."""


class StreamTransport(Protocol):
    """The way to an application's replicas."""

    def generate(
        self, request: GenerationRequest, remaining_s: float, request_id: str, lane: Lane
    ) -> AsyncGenerator[Delta, None]:
        """Stream from some replica; closing it stops the generation. Raises ``ReplicaDied`` or a ``MusterError``."""

    def replicas(self) -> int:
        """Running replicas, at least 1."""


class GenerationLine:
    """``running``: generations on their way, this line's gauge. ``observe``: told what replicas tell."""

    def __init__(
        self,
        application: str,
        transport: StreamTransport,
        per_replica: int = PER_REPLICA,
        observe: Observer = unobserved,
    ) -> None:
        self._application, self._transport, self._per_replica = application, transport, per_replica
        self._observe = observe
        self._seconds = 1.0
        self.running = 0

    async def stream(self, request: GenerationRequest, context: CallContext) -> AsyncGenerator[Delta, None]:
        """Raises ``Overloaded``, ``DeadlineExceeded``, ``ModelNotReady`` and what the replica raises.

        A replica that dies before the first delta is replaced by another one, once.
        """
        if context.remaining() <= 0:
            raise DeadlineExceeded
        places = self._per_replica * self._transport.replicas()
        if self.running >= places:
            raise Overloaded(max(1.0, math.ceil(self._seconds * self.running / places / 2)))
        self.running, started = self.running + 1, time.monotonic()
        try:
            async with aclosing(self._with_another_try(request, context)) as deltas:
                async for delta in deltas:
                    yield delta
            self._seconds += 0.1 * (time.monotonic() - started - self._seconds)
        finally:
            self.running -= 1

    async def _with_another_try(self, request: GenerationRequest, context: CallContext) -> AsyncGenerator[Delta, None]:
        for attempt in (1, 2):
            begun = False
            try:
                once = metered(self._once(request, context), context.lane, self._observe)
                async with aclosing(once) as deltas:
                    async for delta in deltas:
                        begun = True
                        if delta.steps is not None:
                            self._observe(delta.steps)
                        yield delta
                return
            except ReplicaDied:
                if begun or attempt == 2:
                    raise ModelNotReady(self._application, "its replica died while it generated") from None

    async def _once(self, request: GenerationRequest, context: CallContext) -> AsyncGenerator[Delta, None]:
        remaining = max(0.0, context.remaining())
        sent = self._transport.generate(request, remaining, context.request_id, context.lane)
        async with aclosing(sent) as deltas:
            while True:
                try:
                    # Never around a ``yield``: the time that the client takes to read is not ours to cut.
                    async with asyncio.timeout(max(0.0, context.remaining())):
                        delta = await anext(deltas, None)
                except TimeoutError:
                    raise DeadlineExceeded from None
                if delta is None:
                    return
                yield delta
