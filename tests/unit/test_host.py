"""The host of an engine: pieces fail apart, threads do the work, and health tells the truth."""

import asyncio
import pickle
import threading
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from deployments import host as host_module
from deployments.batching import BatchPolicy
from deployments.engines.base import Description, Prepared
from deployments.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineFault,
    InvalidInput,
    OutOfMemory,
    Overloaded,
    PoisonousItem,
)
from deployments.host import EngineHost
from deployments.wire import Call, Piece


class Panic(BaseException):
    """What a panic in a Rust extension raises."""


class FakeEngine:
    """Texts to vectors of their length. Words in a text say what goes wrong with it."""

    def __init__(self, memory=1_000):
        self.memory = memory
        self.runs, self.threads, self.options = [], set(), []
        self.may_prepare, self.may_run, self.running = threading.Event(), threading.Event(), threading.Event()
        self.may_prepare.set()
        self.may_run.set()

    def load(self): ...

    def warm(self): ...

    def describe(self):
        return Description("model", "r1", "fake", {}, {"labels": ["a", "b"]})

    def prepare(self, inputs, options):
        self.threads.add(threading.current_thread().name)
        self.options.append(options)
        assert self.may_prepare.wait(5)
        if "panic" in inputs:
            raise Panic
        if "lost" in inputs:
            return []
        return [self._one(text) for text in inputs]

    @staticmethod
    def _one(text):
        if text == "invalid":
            return InvalidInput("not a text", "input[0]")
        if text == "odd":
            return KeyError("secret")
        return Prepared(text, len(text), None, {"tokens": 99, "kept": 9} if text == "long" else None)

    def run(self, items):
        self.threads.add(threading.current_thread().name)
        self.running.set()
        assert self.may_run.wait(5)
        texts = [item.payload for item in items]
        self.runs.append(texts)
        if "poison" in texts:
            raise RuntimeError("secret")
        if "crash" in texts:
            raise Panic
        if sum(map(len, texts)) > self.memory:
            raise MemoryError
        if "few" in texts:
            return []
        return [None if text == "object" else np.full(len(text) if text == "ragged" else 3, 1.0) for text in texts]


@asynccontextmanager
async def hosting(engine, **policy):
    host = EngineHost(engine, BatchPolicy(**policy), probe="probe")
    try:
        yield host
    finally:
        engine.may_prepare.set()
        engine.may_run.set()
        await host.close()


def call(*pieces, lane="interactive", sender="gateway-1", waiting_s=0.0, remaining_s=30.0, **ids):
    names = ids.get("names") or [f"r{n}" for n in range(len(pieces))]
    sent = [Piece(name, texts, {"truncate": "end"}, remaining_s) for name, texts in zip(names, pieces, strict=True)]
    return Call(lane, sent, sender, waiting_s)


async def until(condition):
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


def kinds(piece):
    return {index: type(error) for index, error in piece.errors.items()}


async def test_a_call_is_answered_piece_by_piece_in_order():
    engine = FakeEngine()
    async with hosting(engine) as host:
        reply = await host.answer(call(["a", "bb"], ["long"], []))
    assert reply.revision == "r1"
    assert reply.details == {"labels": ["a", "b"]}
    assert [len(piece.values) for piece in reply.pieces] == [2, 1, 0]
    assert isinstance(reply.pieces[0].values, np.ndarray)
    assert reply.pieces[0].values.shape == (2, 3)
    assert list(reply.pieces[0].costs) == [1, 2]
    assert reply.pieces[1].cut == {0: {"tokens": 99, "kept": 9}}
    assert reply.pieces[0].timing.compute_ms >= 0.0
    assert engine.options == [{"truncate": "end"}], "pieces with equal options are read together"
    assert {name.split("_")[0] for name in engine.threads} == {"tokenize", "compute"}
    assert pickle.loads(pickle.dumps(reply)).revision == "r1"


async def test_an_input_that_cannot_be_prepared_fails_in_its_place():
    async with hosting(FakeEngine()) as host:
        reply = await host.answer(call(["a", "invalid", "odd", "b"], ["c"]))
    first, second = reply.pieces
    assert kinds(first) == {1: InvalidInput, 2: PoisonousItem}
    assert [value is None for value in first.values] == [False, True, True, False]
    assert list(first.costs) == [1, 0, 0, 1]
    assert "secret" not in str(first.errors[2])
    assert not second.errors


@pytest.mark.parametrize(("word", "error"), [("panic", PoisonousItem), ("lost", EngineFault)])
async def test_a_breakdown_of_the_tokeniser_stays_with_the_input_that_caused_it(word, error):
    async with hosting(FakeEngine()) as host:
        reply = await host.answer(call(["a", word, "b"], ["c"]))
    assert kinds(reply.pieces[0]) == {1: error}
    assert reply.pieces[0].values[0] is not None
    assert reply.pieces[0].values[2] is not None
    assert not reply.pieces[1].errors


async def test_an_empty_call_says_what_the_replica_computes_with():
    async with hosting(FakeEngine()) as host:
        reply = await host.answer(Call("interactive", []))
    assert (list(reply.pieces), reply.revision, reply.backend) == ([], "r1", "fake")


async def test_a_batch_without_memory_is_split_and_what_finds_none_alone_is_told_so():
    engine = FakeEngine(memory=10)
    async with hosting(engine, padded=False) as host:
        reply = await host.answer(call(["four", "five5", "much too long"], ["six666"]))
        await host.check()
    assert kinds(reply.pieces[0]) == {2: OutOfMemory}
    assert reply.pieces[0].errors[2].__cause__ is None
    assert [value is None for value in reply.pieces[0].values] == [False, False, True]
    assert not reply.pieces[1].errors
    assert sorted(engine.runs[0]) == ["five5", "four", "much too long", "six666"]
    assert sorted(engine.runs[1:5]) == [["five5"], ["four"], ["much too long"], ["six666"]], "each once more, alone"


@pytest.mark.parametrize(("word", "error"), [("poison", PoisonousItem), ("crash", PoisonousItem), ("few", EngineFault)])
async def test_an_item_that_breaks_the_engine_fails_alone(word, error):
    async with hosting(FakeEngine()) as host:
        reply = await host.answer(call(["a", word, "b"], ["c", "d"]))
        assert kinds(reply.pieces[0]) == {1: error}
        assert not reply.pieces[1].errors
        await host.check()


async def test_results_of_different_shapes_stay_apart():
    async with hosting(FakeEngine()) as host:
        reply = await host.answer(call(["a", "ragged"], ["a", "object"]))
    assert [value.shape for value in reply.pieces[0].values] == [(3,), (6,)]
    assert reply.pieces[1].values[1] is None
    assert not reply.pieces[1].errors


async def test_a_piece_that_comes_too_late_is_not_computed():
    engine = FakeEngine()
    async with hosting(engine) as host:
        reply = await host.answer(call(["a", "b"], remaining_s=-1.0))
    assert kinds(reply.pieces[0]) == {0: DeadlineExceeded, 1: DeadlineExceeded}
    assert list(reply.pieces[0].costs) == [0, 0]
    assert engine.runs == []


async def test_cancelled_requests_leave_the_queue_and_the_others_stay():
    engine = FakeEngine()
    engine.may_run.clear()
    async with hosting(engine) as host:
        running = asyncio.ensure_future(host.answer(call(["first"])))
        await until(engine.running.is_set)
        waiting = asyncio.ensure_future(host.answer(call(["gone"], ["kept"], names=["x", "y"])))
        await until(lambda: host.batcher.queued_cost == 8)
        host.cancel(["x", "unknown"])
        engine.may_run.set()
        gone, kept = (await waiting).pieces
        await running
    assert kinds(gone) == {0: Cancelled}
    assert not kept.errors
    assert engine.runs == [["first"], ["kept"]]


async def test_a_request_cancelled_while_it_is_tokenised_is_not_computed():
    engine = FakeEngine()
    engine.may_prepare.clear()
    async with hosting(engine) as host:
        waiting = asyncio.ensure_future(host.answer(call(["gone"], ["kept"], names=["x", "y"])))
        await until(lambda: engine.threads)
        host.cancel(["x"])
        engine.may_prepare.set()
        gone, kept = (await waiting).pieces
        assert kinds(gone) == {0: Cancelled}
        assert not kept.errors
        assert engine.runs == [["kept"]]
        again = await host.answer(call(["later"], names=["x"]))
        assert not again.pieces[0].errors
        assert not host._reading
        assert not host._left


async def test_a_call_whose_task_is_cancelled_leaves_nothing_queued():
    engine = FakeEngine()
    engine.may_run.clear()
    async with hosting(engine) as host:
        running = asyncio.ensure_future(host.answer(call(["first"])))
        await until(engine.running.is_set)
        leaving = asyncio.ensure_future(host.answer(call(["gone"], ["gone too"])))
        await until(lambda: host.batcher.queued_cost == 12)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await until(lambda: host.batcher.queued_cost == 0)
        engine.may_run.set()
        await running
    assert engine.runs == [["first"]]


async def test_health_is_a_real_prediction_even_when_the_queue_is_full():
    engine = FakeEngine()
    engine.may_run.clear()
    async with hosting(engine, budget=4, max_queued_cost=10) as host:
        running = asyncio.ensure_future(host.answer(call(["first"])))
        await until(engine.running.is_set)
        full = asyncio.ensure_future(host.answer(call(["0123456789"], lane="bulk")))
        await until(lambda: host.batcher.queued_cost == 10)
        refused = await host.answer(call(["a", "b"]))
        assert kinds(refused.pieces[0]) == {0: Overloaded, 1: Overloaded}
        health = asyncio.ensure_future(host.check())
        await until(lambda: host.batcher.queued_cost == 15)
        engine.may_run.set()
        await asyncio.gather(health, running, full)
    assert ["probe"] in engine.runs


async def test_health_fails_when_the_engine_does():
    engine = FakeEngine()
    async with hosting(engine) as host:
        host._probe = "few"
        with pytest.raises(EngineFault):
            await host.check()


async def test_health_fails_when_the_engine_hangs(monkeypatch):
    monkeypatch.setattr(host_module, "PROBE_DEADLINE_S", 0.02)
    engine = FakeEngine()
    engine.may_run.clear()
    async with hosting(engine) as host:
        with pytest.raises(DeadlineExceeded):
            await host.check()


async def test_health_fails_when_the_batcher_has_died():
    async with hosting(FakeEngine()) as host:
        await host.check()
        host.batcher._loop_task.cancel()
        await until(lambda: not host.batcher.alive())
        with pytest.raises(RuntimeError, match="died"):
            await host.check()


async def test_the_rate_is_known_after_calibration():
    engine = FakeEngine()
    async with hosting(engine, budget=8) as host:
        await host.calibrate(["ab", "cd", "ef", "gh"])
        assert host.batcher.rate > 0
        assert engine.runs == [["ab", "cd", "ef", "gh"]] * 2
        reply = await host.answer(call(["a"]))
        assert reply.rate == host.batcher.rate
        assert reply.backlog_s == 0.0


async def test_what_dispatchers_said_is_added_up_and_forgotten(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(host_module, "time", SimpleNamespace(monotonic=lambda: clock[0], perf_counter=lambda: 0.0))
    async with hosting(FakeEngine()) as host:
        host.batcher._clock = lambda: clock[0]
        assert host.backlog_s() == 0.0
        await host.answer(call(["a"], sender="one", waiting_s=2.0))
        await host.answer(call(["a"], sender="two", waiting_s=1.0))
        assert host.backlog_s() == pytest.approx(3.0)
        clock[0] += 2.0
        await host.answer(call(["a"], sender="two", waiting_s=0.5))
        assert host.backlog_s() == pytest.approx(2.5)
        clock[0] += 2.0
        assert host.backlog_s() == pytest.approx(0.5), "the first gateway has been silent for four seconds"
        clock[0] += 2.0
        assert host.backlog_s() == 0.0
