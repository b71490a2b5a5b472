"""The gateway's side of a stream: places, deadlines, dead replicas, clients that leave."""

import asyncio
import time

import pytest

from deployments.call import CallContext
from deployments.errors import DeadlineExceeded, InvalidInput, ModelNotReady, Overloaded
from deployments.generation import Delta, GenerationRequest
from deployments.generation_line import GenerationLine
from deployments.wire import ReplicaDied

REQUEST = GenerationRequest("a")


class Transport:
    """Each call plays the next script: deltas, errors to raise, None to wait for ever."""

    def __init__(self, *scripts):
        self.scripts, self.calls, self.closed = list(scripts), [], 0

    async def generate(self, request, remaining_s, request_id, lane):
        self.calls.append((request, remaining_s, request_id, lane))
        try:
            for step in self.scripts.pop(0):
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    await asyncio.sleep(60)
                yield step
        finally:
            self.closed += 1

    def replicas(self):
        return 1


def delta(text, finish=None):
    return Delta(text, 1, 1, finish)


def context(seconds=60.0):
    return CallContext("r", "t", "interactive", time.monotonic() + seconds)


async def collect(line, seconds=60.0):
    return [each async for each in line.stream(REQUEST, context(seconds))]


async def test_deltas_pass_through():
    transport = Transport([delta("a"), delta("b", "stop")])
    line = GenerationLine("toy", transport)
    assert await collect(line) == [delta("a"), delta("b", "stop")]
    ((request, remaining, request_id, lane),) = transport.calls
    assert (request, request_id, lane, line.running, transport.closed) == (REQUEST, "r", "interactive", 0, 1)
    assert 59 < remaining <= 60


async def test_a_replica_that_dies_before_the_first_delta_is_replaced_once():
    transport = Transport([ReplicaDied()], [delta("a", "stop")])
    assert await collect(GenerationLine("toy", transport)) == [delta("a", "stop")]
    with pytest.raises(ModelNotReady, match="died"):
        await collect(GenerationLine("toy", Transport([ReplicaDied()], [ReplicaDied()])))


async def test_a_text_that_has_begun_is_not_begun_again():
    transport = Transport([delta("a"), ReplicaDied()], [delta("b", "stop")])
    stream = GenerationLine("toy", transport).stream(REQUEST, context())
    assert await anext(stream) == delta("a")
    with pytest.raises(ModelNotReady, match="died while it generated"):
        await anext(stream)
    assert len(transport.calls) == 1


async def test_the_replicas_errors_are_passed_on_and_free_the_place():
    line = GenerationLine("toy", Transport([InvalidInput("no", "stop")]))
    with pytest.raises(InvalidInput):
        await collect(line)
    assert line.running == 0


@pytest.mark.parametrize("script", [[None], [delta("a"), None]])
async def test_the_deadline_ends_a_stream_wherever_it_is(script):
    transport = Transport(script)
    line = GenerationLine("toy", transport)
    with pytest.raises(DeadlineExceeded):
        await collect(line, 0.02)
    assert (line.running, transport.closed) == (0, 1)


async def test_a_deadline_that_has_passed_costs_no_call():
    transport = Transport()
    with pytest.raises(DeadlineExceeded):
        await collect(GenerationLine("toy", transport), -1)
    assert transport.calls == []


async def test_places_are_bounded_and_come_back():
    transport = Transport([delta("a"), None], [delta("b"), None], [delta("c", "stop")])
    line = GenerationLine("toy", transport, per_replica=2)
    streams = [line.stream(REQUEST, context()) for _ in range(2)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(Overloaded) as refused:
        await collect(line)
    assert refused.value.retry_after_s >= 1
    assert len(transport.calls) == 2
    await streams[0].aclose()
    assert (line.running, transport.closed) == (1, 1)
    assert await collect(line) == [delta("c", "stop")]


async def test_a_client_who_leaves_closes_the_replicas_stream():
    transport = Transport([None])
    line = GenerationLine("toy", transport)
    waiting = asyncio.ensure_future(collect(line))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (line.running, transport.closed) == (0, 1)
