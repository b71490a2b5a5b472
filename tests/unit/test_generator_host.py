"""A replica's host of a generator: streams, deadlines, clients that leave, an engine that dies."""

import asyncio
import time

import pytest

from deployments import generator_host
from deployments.errors import ContextLengthExceeded, DeadlineExceeded, EngineFault, Overloaded
from deployments.generation import GenerationRequest
from deployments.generator_host import GeneratorHost
from tests.unit.tiny_generators import TEXTS, engine, expected, reference

KEY = "mistral-7b-instruct"


@pytest.fixture
async def host():
    hosted = GeneratorHost(engine(KEY))
    yield hosted
    await hosted.close()


def greedy(prompt=TEXTS[0], tokens=24, **more):
    return GenerationRequest(prompt, max_tokens=tokens, temperature=0, **more)


async def collect(host, request, seconds=60.0):
    return [delta async for delta in host.generate(request, seconds)]


def decoded(text, tokens):
    return reference(KEY)[1].backend_tokenizer.decode(expected(KEY, text, tokens))


async def test_streams_side_by_side_give_the_references_texts(host):
    asked = [(text, 10 + 7 * number) for number, text in enumerate(TEXTS)]
    found = await asyncio.gather(*(collect(host, greedy(*each)) for each in asked))
    assert ["".join(delta.text for delta in deltas) for deltas in found] == [decoded(*each) for each in asked]
    for deltas in found:
        assert [delta.finish for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
        assert deltas[-1].finish in ("stop", "length")
        counts = [delta.completion_tokens for delta in deltas]
        assert counts == sorted(counts)
        assert deltas[0].revision == "d" * 40
    assert host.active == 0


async def test_tokens_are_gathered_into_few_deltas(host, monkeypatch):
    monkeypatch.setattr(generator_host, "GATHER_S", 5.0)
    deltas = await collect(host, GenerationRequest(TEXTS[0], max_tokens=60, min_tokens=60, seed=1))
    assert len(deltas) == 2


async def test_a_cut_prompt_is_reported_once(host):
    deltas = await collect(host, greedy("the " * 2000, 40, truncate="start"))
    assert deltas[0].cut is not None
    assert deltas[0].cut["kept"] == 984
    assert all(delta.cut is None for delta in deltas[1:])


async def test_a_bad_request_fails_at_the_first_step_and_holds_no_place(host):
    with pytest.raises(ContextLengthExceeded):
        await anext(host.generate(greedy("the " * 2000), 60.0))
    assert host.active == 0


async def test_the_deadline_ends_a_generation(host):
    endless = GenerationRequest(TEXTS[0], min_tokens=900)
    with pytest.raises(DeadlineExceeded):
        await collect(host, endless, 0.3)
    await gone(host)


async def test_a_full_replica_refuses_at_once_and_serves_again(host):
    host._most = 2
    endless = GenerationRequest(TEXTS[0], min_tokens=900)
    streams = [host.generate(endless, 60.0) for _ in range(2)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(Overloaded) as refused:
        await anext(host.generate(greedy(), 60.0))
    assert refused.value.retry_after_s >= 1
    await host.check()
    for stream in streams:
        await stream.aclose()
    assert len(await collect(host, greedy())) >= 1


async def test_a_thousand_clients_who_leave_hold_nothing(host):
    """Some before the first token, some in the middle; every one with a generation that would go on for long."""

    async def leave(number):
        stream = host.generate(GenerationRequest(TEXTS[number % 4], min_tokens=900, seed=number), 60.0)
        task = asyncio.ensure_future(anext(stream))
        if number % 3:
            await asyncio.wait([task])
        else:
            await asyncio.sleep(0.001 * (number % 7))
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()

    for first in range(0, 1000, 50):
        await asyncio.gather(*(leave(number) for number in range(first, first + 50)))
    await gone(host)
    assert host._generator._network.rows.cache.layers[0].capacity == (0, 0)
    assert "".join(delta.text for delta in await collect(host, greedy())) == decoded(TEXTS[0], 24)


async def gone(host):
    deadline = time.monotonic() + 60
    while len(host._generator.batch) or host.active or host._streams:
        assert time.monotonic() < deadline, "somebody who left still holds a place"
        await asyncio.sleep(0.01)


async def test_an_engine_that_dies_fails_who_waits_and_the_health_check(host):
    stream = host.generate(GenerationRequest(TEXTS[0], min_tokens=900), 60.0)
    await anext(stream)

    def die():
        raise MemoryError("no")

    host._generator.step = die
    with pytest.raises(EngineFault, match="MemoryError"):
        async for _ in stream:
            pass
    with pytest.raises(EngineFault, match="died"):
        await anext(host.generate(greedy(), 60.0))
    with pytest.raises(RuntimeError, match="died"):
        await host.check()
    with pytest.raises(MemoryError):
        await host._loop
    assert host.active == 0


async def test_the_health_check_makes_a_token_and_notices_an_engine_that_stands_still(host, monkeypatch):
    await host.check()
    stream = host.generate(GenerationRequest(TEXTS[0], min_tokens=900), 60.0)
    await anext(stream)
    await host.check()
    monkeypatch.setattr(generator_host, "PROBE_DEADLINE_S", -1.0)
    with pytest.raises(RuntimeError, match="not made a step"):
        await host.check()
    await stream.aclose()


async def test_the_backlog_is_of_those_who_wait_for_a_place(host):
    assert host.backlog_s() == 0.0
    host._generator.batch._bounds = type(host._generator.batch._bounds)(rows=1, portion=256, tokens=1 << 20)
    streams = [host.generate(GenerationRequest(TEXTS[0], min_tokens=900), 60.0) for _ in range(3)]
    tasks = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert host.backlog_s() > 0
    for task, stream in zip(tasks, streams, strict=True):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()
