"""What hosts a generator inside a replica: its threads, its loop of steps, its streams. Plain asyncio, no Ray."""

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace

from deployments.call import Lane
from deployments.engines.generating.generation import Generation
from deployments.engines.generator import Generator
from deployments.errors import DeadlineExceeded, EngineFault, Overloaded
from deployments.generation import Delta, GenerationRequest
from deployments.meter import Observer, metered, unobserved
from deployments.timing import Steps, Timing

MOST_AT_A_TIME = 64
"""Generations that a replica has accepted and not finished; one more is refused."""
GATHER_S = 0.03
"""A delta waits so long for the next tokens: each one that crosses a process boundary costs a millisecond."""
PROBE_DEADLINE_S = 20.0
PROBE = GenerationRequest("ok", max_tokens=1, temperature=0, truncate="end")


class GeneratorHost:
    """One loaded generator. Construct it inside a running event loop.

    ``active``: generations that somebody waits for, this host's gauge.
    """

    def __init__(self, generator: Generator, most: int = MOST_AT_A_TIME, observe: Observer = unobserved) -> None:
        """``observe``: told what is done for clients."""
        self._generator, self._most, self._observe = generator, most, observe
        self._told = Steps(generator.batch.steps, generator.batch.rows)
        self._about = generator.describe()
        self._tokenizer = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self.active = 0
        self._streams: dict[Generation, asyncio.Event] = {}
        self._work = asyncio.Event()
        self._seconds = 1.0
        self._stepped = time.monotonic()
        self._loop = asyncio.get_running_loop().create_task(self._step_for_ever())

    async def generate(
        self, request: GenerationRequest, remaining_s: float, lane: Lane = "interactive"
    ) -> AsyncGenerator[Delta, None]:
        """Stream one generation; closing it takes the generation out of the batch at the next step.

        Raises ``Overloaded``, ``InvalidInput``, ``ContextLengthExceeded``, ``DeadlineExceeded``, ``EngineFault``.
        """
        async with aclosing(metered(self._admitted(request, remaining_s), lane, self._observe)) as deltas:
            async for delta in deltas:
                yield self._with_steps(delta) if delta.finish else delta

    async def _admitted(self, request: GenerationRequest, remaining_s: float) -> AsyncGenerator[Delta, None]:
        started = time.monotonic()
        if self.active >= self._most:
            # As generations of the usual length end, one after the other.
            raise Overloaded(max(1.0, round(self._seconds / self._generator.rows)))
        self.active += 1
        try:
            async with aclosing(self._stream(request, started + remaining_s)) as deltas:
                async for delta in deltas:
                    yield delta
            self._seconds += 0.1 * (time.monotonic() - started - self._seconds)
        finally:
            self.active -= 1

    def backlog_s(self) -> float:
        """Predicted seconds until who waits for a place has one and is done."""
        return self._generator.batch.waiting() * self._seconds / self._generator.rows

    async def check(self) -> None:
        """One token through the real path; beside others, whose steps prove as much, no place is taken from them."""
        if self._loop.done():
            raise RuntimeError("The generator's loop has died.")
        if len(self._generator.batch):
            if time.monotonic() - self._stepped > PROBE_DEADLINE_S:
                raise RuntimeError(f"The generator has not made a step for {PROBE_DEADLINE_S:.0f} s.")
            return
        async for _ in self._stream(PROBE, time.monotonic() + PROBE_DEADLINE_S):
            pass

    async def close(self) -> None:
        self._loop.cancel()
        self._tokenizer.shutdown(wait=False, cancel_futures=True)
        self._compute.shutdown(wait=False, cancel_futures=True)

    async def _stream(self, request: GenerationRequest, deadline: float) -> AsyncGenerator[Delta, None]:
        loop, asked = asyncio.get_running_loop(), time.monotonic()
        generation = await loop.run_in_executor(self._tokenizer, self._generator.read, request)
        read = time.monotonic()
        if self._loop.done():
            raise EngineFault("The generator's loop has died.")
        fresh = self._streams[generation] = asyncio.Event()
        self._generator.batch.add(generation)
        self._work.set()
        try:
            first = True
            async for delta in self._deltas(generation, fresh, deadline):
                yield replace(delta, timing=_timing(generation, asked, read)) if first or delta.finish else delta
                first = False
        finally:
            generation.cancelled = True
            del self._streams[generation]

    async def _deltas(
        self, generation: Generation, fresh: asyncio.Event, deadline: float
    ) -> AsyncGenerator[Delta, None]:
        delta: Delta | None = None
        while delta is None or delta.finish is None:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await fresh.wait()
                    if delta is not None and not generation.over:
                        await asyncio.sleep(GATHER_S)
            except TimeoutError:
                raise DeadlineExceeded from None
            fresh.clear()
            delta = generation.take(self._about.revision)
            yield delta

    def _with_steps(self, last: Delta) -> Delta:
        """A last delta that tells the steps since the one before it told."""
        batch, told = self._generator.batch, self._told
        self._told = Steps(batch.steps, batch.rows)
        steps = Steps(self._told.steps - told.steps, self._told.rows - told.rows)
        self._observe(steps)
        return replace(last, steps=steps)

    async def _step_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._work.clear()
                while len(self._generator.batch):
                    await loop.run_in_executor(self._compute, self._generator.step)
                    self._stepped = time.monotonic()
                    self._tell()
                await self._work.wait()
                self._stepped = time.monotonic()
        except BaseException as error:  # nobody may wait for a loop that is gone
            for generation in self._streams:
                generation.error = EngineFault(f"The generator's loop died of {type(error).__name__}.")
            raise
        finally:
            self._tell()

    def _tell(self) -> None:
        for generation, fresh in self._streams.items():
            if generation.fresh:
                fresh.set()


def _timing(generation: Generation, asked: float, read: float) -> Timing:
    """Until now, or until the end. ``asked``, ``read``: when the request came, and when its prompt was tokenised."""
    now = generation.ended_at or time.monotonic()
    begun = generation.begun_at or now
    return Timing((begun - read) * 1e3, (read - asked) * 1e3, (now - begun) * 1e3)
