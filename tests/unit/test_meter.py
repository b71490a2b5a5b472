"""What replicas tell of their work: everything once, in its lane, and the same to Serve as to the gateways."""

import asyncio
import time
from collections import Counter
from contextlib import aclosing
from types import SimpleNamespace
from unittest import mock

import pytest
from test_batching import FAR, HeldEngine, items, submitting, virtual
from test_generation_line import REQUEST, Transport, context
from test_host import FakeEngine, call, hosting, until
from tiny_models import case
from tiny_models import settings as tiny_settings
from virtual_time import settle

from deployments import errors as middle
from deployments import telemetry
from deployments.batching import Batcher, BatchPolicy
from deployments.call import CallContext
from deployments.dispatch import Dispatcher
from deployments.engines.encoders import load_encoder
from deployments.engines.generating.generation import Generation
from deployments.errors import DeadlineExceeded, InvalidInput, Overloaded, code_of
from deployments.generation import Delta, GenerationRequest
from deployments.generation_line import GenerationLine
from deployments.generator_host import GeneratorHost
from deployments.host import EngineHost
from deployments.meter import FAMILIES, CallServed, Family, GenerationServed, record, served, unobserved
from deployments.timing import Steps, Timing
from deployments.wire import BatchRun, PieceReply, ReplicaDied, Reply
from serve_app.api.errors import TABLE
from tests.unit.tiny_generators import TEXTS, engine


class Kept:
    """Instruments that keep what they are given: sums and numbers of observations, by name and labels."""

    def __init__(self, *events):
        self.sums, self.seen = Counter(), Counter()
        for event in events:
            record(event, "m", self)

    def count(self, name, application, labels, by):
        assert FAMILIES[name].kind == "counter"
        self._add(name, application, labels, by)

    def observe(self, name, application, labels, value):
        assert FAMILIES[name].kind == "histogram"
        self._add(name, application, labels, value)

    def _add(self, name, application, labels, value):
        assert application == "m"
        assert len(labels) == len(FAMILIES[name].labels)
        self.sums[name, *labels] += value
        self.seen[name, *labels] += 1


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


# -- batches ---------------------------------------------------------------------------------------------------------


@virtual
async def test_every_computed_item_is_in_one_batch_that_is_told():
    told, held = [], HeldEngine()
    batcher = Batcher(held, BatchPolicy(budget=40), asyncio.get_running_loop().time, told.append)
    asked = [submitting(batcher, [1, 2, 3]), submitting(batcher, [4, 5], "bulk"), submitting(batcher, [6])]
    await settle()
    asked[2].cancel()
    await held.drain()
    await asyncio.gather(*asked, return_exceptions=True)
    assert [batch.items for batch in told] == [len(batch) for batch in held.batches]
    by_lane = Counter()
    for batch in told:
        by_lane[batch.lane] += batch.cost
    assert by_lane == {
        "interactive": sum(one.cost for one in items(1, 2, 3)),
        "bulk": sum(one.cost for one in items(4, 5)),
    }
    return batcher


@virtual
async def test_a_batch_that_fails_is_told_item_by_item():
    told, held = [], HeldEngine()
    batcher = Batcher(held, BatchPolicy(budget=200), asyncio.get_running_loop().time, told.append)
    asked = submitting(batcher, [1, 13, 2])
    await held.drain()
    await asked
    assert [batch.items for batch in told] == [1, 1, 1]
    assert sum(batch.cost for batch in told) == sum(one.cost for one in items(1, 13, 2))
    return batcher


@virtual
async def test_the_replicas_own_work_is_told_to_nobody():
    told, held = [], HeldEngine()
    batcher = Batcher(held, BatchPolicy(budget=200), asyncio.get_running_loop().time, told.append)
    own = asyncio.ensure_future(batcher.submit(items(1), "interactive", FAR, bounded=False))
    await held.drain()
    assert told == []
    first = submitting(batcher, [2])
    await settle()
    both = [
        submitting(batcher, [1]),
        asyncio.ensure_future(batcher.submit(items(1), "interactive", FAR, bounded=False)),
    ]
    await held.drain()
    await asyncio.gather(own, first, *both)
    assert [batch.items for batch in told] == [1, 1], "beside a probe only the client's item counts"
    return batcher


# -- the host --------------------------------------------------------------------------------------------------------


async def observed(fake, *calls, **policy):
    """Events of a host that answers the calls one after the other, and the replies."""
    events = []
    host = EngineHost(fake, BatchPolicy(**policy), "probe", events.append)
    try:
        return events, [await host.answer(each) for each in calls]
    finally:
        await host.close()


async def test_a_host_tells_its_replies_what_it_tells_serve():
    events, replies = await observed(
        FakeEngine(), call(["a", "bcd"], ["ef"]), call(["x", "invalid", "y"], lane="bulk"), call(["poison"])
    )
    assert of(BatchRun, events) == [batch for reply in replies for batch in reply.batches]
    assert of(CallServed, events) == [
        served(lane, reply.pieces) for lane, reply in zip(["interactive", "bulk", "interactive"], replies, strict=True)
    ]
    kept = Kept(*events)
    assert kept.sums["muster_batch_items", "interactive"] == 4
    assert kept.sums["muster_batch_items", "bulk"] == 2
    assert kept.sums["muster_batch_tokens", "interactive"] == 6 + len("poison")
    assert kept.seen["muster_queue_seconds", "interactive"] == 2
    assert kept.seen["muster_tokenize_seconds", "bulk"] == 1
    assert kept.sums["muster_item_errors", "bulk", "invalid_value"] == 1
    assert kept.sums["muster_item_errors", "interactive", "poisonous_item"] == 1


async def test_refused_and_cancelled_items_are_counted_once_and_never_as_computed():
    late = await observed(FakeEngine(), call(["a", "b"], remaining_s=-1.0))
    assert Kept(*late[0]).sums == {("muster_item_errors", "interactive", "deadline_exceeded"): 2}
    fake = FakeEngine()
    fake.may_run.clear()
    async with hosting(fake) as host:
        host._observe = (events := []).append
        running = asyncio.ensure_future(host.answer(call(["first"])))
        await until(fake.running.is_set)
        waiting = asyncio.ensure_future(host.answer(call(["gone", "too"], names=["x"])))
        await until(lambda: host.batcher.queued_cost == 7)
        host.cancel(["x"])
        fake.may_run.set()
        await asyncio.gather(running, waiting)
    kept = Kept(*events)
    assert kept.sums["muster_item_errors", "interactive", "client_closed_request"] == 2
    assert kept.sums["muster_batch_items", "interactive"] == 1


async def test_health_checks_calibration_and_questions_are_nobodys_work():
    events = []
    host = EngineHost(FakeEngine(), BatchPolicy(), "probe", events.append)
    await host.calibrate(["a", "b"])
    await host.check()
    reply = await host.answer(call())
    await host.close()
    assert (events, reply.batches) == ([], ())


async def test_what_an_answer_that_nobody_had_did_not_tell_the_next_one_tells():
    fake = FakeEngine()
    fake.may_run.clear()
    async with hosting(fake) as host:
        leaving = asyncio.ensure_future(host.answer(call(["first"])))
        await until(fake.running.is_set)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        fake.may_run.set()
        reply = await host.answer(call(["second"]))
    assert [batch.items for batch in reply.batches] == [1, 1]
    assert reply.batches[0].cost == len("first")


async def test_padding_is_what_the_engine_padded():
    """Counted anew from what goes into the graph."""
    encoder, rows = load_encoder(case("bert").stored, tiny_settings()), []
    compute = encoder._compute

    def listening(ids, mask):
        rows.append((mask.size, int(mask.sum())))
        return compute(ids, mask)

    encoder._compute = listening
    texts = ["one", "one two three four", "a", "one two " * 9, "the end of it"]
    events, (reply,) = await observed(encoder, call(texts, texts[:2]), padded=False)
    assert not reply.pieces[0].errors
    kept = Kept(*events)
    assert kept.sums["muster_padding_tokens", "interactive"] == sum(size - real for size, real in rows) > 0
    assert kept.sums["muster_batch_tokens", "interactive"] == sum(real for _, real in rows)
    assert kept.sums["muster_batch_tokens", "interactive"] == sum(reply.pieces[0].costs), "equal texts are one item"


# -- generated text --------------------------------------------------------------------------------------------------


async def test_a_generator_tells_tokens_times_and_steps():
    events = []
    host = GeneratorHost(engine("mistral-7b-instruct"), observe=events.append)
    try:
        await host.check()
        assert events == []
        asked = [GenerationRequest(text, max_tokens=12, min_tokens=12, seed=1) for text in TEXTS]

        async def write(request, lane):
            return [delta async for delta in host.generate(request, 60.0, lane)]

        found = await asyncio.gather(*(write(request, "bulk") for request in asked), write(asked[0], "interactive"))
    finally:
        await host.close()
    kept = Kept(*events)
    for lane, answers in (("bulk", found[:-1]), ("interactive", found[-1:])):
        assert kept.sums["muster_generated_tokens", lane] == 12 * len(answers)
        assert kept.sums["muster_prompt_tokens", lane] == sum(deltas[-1].prompt_tokens for deltas in answers)
        for name in ("queue_seconds", "tokenize_seconds", "compute_seconds", "first_token_seconds"):
            assert kept.seen[f"muster_{name}", lane] == len(answers)
    # Every token after a text's first one takes a row of a step.
    assert kept.sums["muster_generation_rows",] == 11 * len(found)
    assert 11 <= kept.sums["muster_generation_steps",] <= 11 * len(found)
    assert of(Steps, events) == [deltas[-1].steps for deltas in sorted(found, key=lambda d: events.index(d[-1].steps))]
    for deltas in found:
        assert [delta.timing is not None for delta in deltas] == [True, *[False] * (len(deltas) - 2), True]
        assert deltas[0].timing.compute_ms <= deltas[-1].timing.compute_ms


async def test_a_generation_that_fails_or_is_left_is_told_once():
    events = []
    host = GeneratorHost(engine("mistral-7b-instruct"), observe=events.append)
    try:
        async with aclosing(host.generate(GenerationRequest(TEXTS[0], min_tokens=900), 60.0)) as left:
            await anext(left)
        with pytest.raises(DeadlineExceeded):
            async for _ in host.generate(GenerationRequest(TEXTS[0], min_tokens=900), 0.3, "bulk"):
                pass
        host._most = 0
        with pytest.raises(Overloaded):
            await anext(host.generate(GenerationRequest("a"), 60.0))
    finally:
        await host.close()
    assert [(event.lane, event.error) for event in of(GenerationServed, events)] == [
        ("interactive", "client_closed_request"),
        ("bulk", "deadline_exceeded"),
        ("interactive", "overloaded"),
    ]


def test_a_generation_knows_when_it_began_and_ended_for_good():
    one = Generation.__new__(Generation)
    one.begun_at = None
    one.begin()
    begun = one.begun_at
    time.sleep(0.001)
    one.begin()
    assert one.begun_at == begun


# -- the gateway's side ----------------------------------------------------------------------------------------------


async def test_a_line_tells_what_the_replica_told():
    first = Delta("a", 3, 1, timing=Timing(10, 20, 30))
    last = Delta("b", 3, 2, "stop", timing=Timing(10, 20, 70), steps=Steps(4, 9))
    events = []
    scripts = [[first, last], [InvalidInput("no")], [ReplicaDied()], [first, last]]
    line = GenerationLine("toy", Transport(*scripts), observe=events.append)

    async def read():
        return [delta async for delta in line.stream(REQUEST, context())]

    await read()
    with pytest.raises(InvalidInput):
        await read()
    await read()
    kept = Kept(*events)
    assert kept.sums["muster_generated_tokens", "interactive"] == 4
    assert kept.sums["muster_generation_rows",] == 18
    assert kept.sums["muster_first_token_seconds", "interactive"] == pytest.approx(0.12)
    assert kept.sums["muster_compute_seconds", "interactive"] == pytest.approx(0.14)
    errors = {key: value for key, value in kept.sums.items() if key[0] == "muster_item_errors"}
    assert errors == {("muster_item_errors", "interactive", "invalid_value"): 1}


async def test_a_dispatcher_tells_what_replies_tell():
    batches = [BatchRun("bulk", 2, 9, 1, 0.5), BatchRun("interactive", 1, 3, 0, 0.1)]
    pieces = [PieceReply(["x", None], [3, 0], {1: InvalidInput("no")}, timing=Timing(10.0, 20.0, 30.0))]
    transport = mock.Mock(replicas=lambda: 1)
    transport.send = mock.AsyncMock(return_value=Reply(pieces, "r1", 1.0, 0.0, batches=batches))
    events = []
    dispatcher = Dispatcher("toy", transport, len, observe=events.append)
    await dispatcher.call(["a", "b"], {}, CallContext("r", "t", "bulk", time.monotonic() + 9))
    assert events == [served("bulk", pieces), *batches]
    assert events[0] == CallServed("bulk", (0.01,), 0.02, {"invalid_value": 1})


class FakeServeMetrics:
    """``ray.serve.metrics``, remembering."""

    def __init__(self):
        self.told = []

    def Counter(self, name, help_, tags):
        return SimpleNamespace(inc=lambda by, given: self._tell(name, tags, by, given))

    def Histogram(self, name, help_, boundaries, tags):
        assert boundaries == sorted(boundaries)
        assert boundaries[0] > 0
        return SimpleNamespace(observe=lambda value, given: self._tell(name, tags, value, given))

    def _tell(self, name, tags, value, given):
        assert set(given) == set(tags), "Serve refuses a record with other tags"
        self.told.append((name, value, given))


async def test_serve_gets_counts_added_up_and_observations_at_once(monkeypatch):
    monkeypatch.setattr(telemetry, "FLUSH_S", 0.01)
    into = telemetry.ServeInstruments({"muster_more": Family("counter", "More", ("role",))})
    into._metrics = fake = FakeServeMetrics()
    for event in (BatchRun("bulk", 2, 9, 5, 0.5), BatchRun("bulk", 1, 4, 7, 0.25), Steps(1, 2), Steps(2, 3)):
        record(event, "m", into)
    into.count("muster_more", "m", ("chat",), 1)
    tags = {"model": "m", "lane": "bulk"}
    assert fake.told == [
        (f"muster_{name}", value, tags)
        for name, value in [
            ("batch_items", 2),
            ("batch_tokens", 9),
            ("compute_seconds", 0.5),
            ("batch_items", 1),
            ("batch_tokens", 4),
            ("compute_seconds", 0.25),
        ]
    ]
    fake.told.clear()
    await until(lambda: fake.told)
    assert fake.told == [
        ("muster_padding_tokens", 12, tags),
        ("muster_generation_steps", 3, {"model": "m"}),
        ("muster_generation_rows", 5, {"model": "m"}),
        ("muster_more", 1, {"model": "m", "role": "chat"}),
    ]


def test_outside_of_serve_nothing_is_recorded():
    assert telemetry.replica_observer("m") is unobserved


def test_metrics_and_answers_call_errors_the_same():
    kinds = [kind for kind in vars(middle).values() if isinstance(kind, type) and "code" in vars(kind)]
    assert len(kinds) > 9
    for kind in kinds:
        row = next(TABLE[cls] for cls in kind.__mro__ if cls in TABLE)
        assert kind.code == row.code, kind
    assert code_of(RuntimeError("words of a client")) == "internal_error"
