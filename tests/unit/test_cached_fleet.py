"""The result cache: what is kept, for whom, for how long, and that equal work in flight is done once."""

import asyncio
import time

import numpy as np
import pytest

from deployments import cached_fleet
from deployments.cache import OVERHEAD_BYTES, Kept, ResultCache
from deployments.cached_fleet import CachedFleet
from deployments.call import Answer, CallContext
from deployments.errors import DeadlineExceeded, InvalidInput, Overloaded, StateUnavailable
from deployments.shared_cache import SharedCache
from deployments.timing import Timing


class Model:
    """A fleet of one model that counts what it computes."""

    def __init__(self) -> None:
        self.calls: list[list] = []
        self.revision, self.delay_s, self.compute_ms = "r1", 0.0, 1.0
        self.error: Exception | None = None
        self.cancelled = 0

    async def call(self, application, inputs, options, context):
        self.calls.append(list(inputs))
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        errors = {i: InvalidInput("bad") for i, text in enumerate(inputs) if text == "bad"}
        cut = [{"index": i, "tokens": 9, "kept": 4} for i, text in enumerate(inputs) if text == "long"]
        values = np.stack([vector(text, self.revision) for text in inputs])
        timing = Timing(compute_ms=self.compute_ms * len(inputs))
        return Answer(
            values, [len(str(text)) for text in inputs], self.revision, errors, cut, timing, {"labels": ["a"]}
        )


class Slots:
    """What ``State`` does for the second level."""

    def __init__(self) -> None:
        self.held: dict = {}
        self.away = False

    async def cached(self, tenant, slots):
        if self.away:
            raise StateUnavailable
        return [self.held.get((tenant, slot)) for slot in slots]

    async def keep(self, tenant, values, ttl_s):
        if self.away:
            raise StateUnavailable
        self.held |= {(tenant, slot): value for slot, value in values.items()}


def vector(text, revision="r1"):
    return np.float32([len(str(text)), sum(map(ord, str(text))) % 97, revision == "r1"])


def context(tenant="t", lane="interactive", seconds=10.0, no_store=False):
    return CallContext("id", tenant, lane, time.monotonic() + seconds, no_store)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def slots():
    return Slots()


def around(model, slots=None, capacity=1 << 20, places=1000, counts=None):
    async def salt(tenant):
        return tenant.encode() * 8

    def count(application, lane, kind, items):
        if counts is not None:
            counts[kind] = counts.get(kind, 0) + items

    shared = SharedCache(slots or Slots(), places, 60)
    return CachedFleet(model, ResultCache(capacity, 60.0), shared, salt, len, count)


async def ask(fleet, *texts, options=None, **kind):
    return await fleet.call("m", texts, options or {"truncate": "error"}, context(**kind))


async def test_only_what_is_new_is_computed_and_the_order_is_kept(model):
    counts = {}
    fleet = around(model, counts=counts)
    first = await ask(fleet, "a", "bb")
    again = await ask(fleet, "ccc", "bb", "a", "bb")
    assert model.calls == [["a", "bb"], ["ccc"]]
    assert (first.hits, again.hits) == (0, 2)
    assert np.array_equal(np.stack(again.values), np.stack([vector(text) for text in ("ccc", "bb", "a", "bb")]))
    assert (list(again.costs), again.revision, again.details) == ([3, 2, 1, 2], "r1", {"labels": ["a"]})
    assert counts == {"memory": 2, "redis": 0, "joined": 0, "computed": 3}


async def test_equal_texts_of_one_request_are_computed_once(model):
    answer = await ask(around(model), *["same"] * 1000, lane="bulk")
    assert model.calls == [["same"]]
    assert len(answer.values) == 1000
    assert sum(answer.costs) == 4000


async def test_a_thousand_equal_requests_at_once_are_one_call(model):
    fleet, model.delay_s = around(model), 0.05
    answers = await asyncio.gather(*(ask(fleet, "same") for _ in range(1000)))
    assert model.calls == [["same"]]
    assert all(np.array_equal(answer.values[0], vector("same")) for answer in answers)


async def test_cuts_are_told_again_and_errors_are_not_kept(model):
    fleet = around(model)
    for _ in range(2):
        answer = await ask(fleet, "ok", "long", "bad")
        assert list(answer.truncated) == [{"index": 1, "tokens": 9, "kept": 4}]
        assert list(answer.errors) == [2]
    assert model.calls == [["ok", "long", "bad"], ["bad"]]


@pytest.mark.parametrize(
    "other",
    [{"tenant": "u"}, {"options": {"truncate": "end"}}, {"no_store": True}],
    ids=["tenant", "options", "no-store"],
)
async def test_another_tenant_other_options_and_no_store_share_nothing(model, other):
    fleet = around(model)
    await ask(fleet, "a")
    assert (await ask(fleet, "a", **other)).hits == 0
    assert len(model.calls) == 2


async def test_no_store_leaves_nothing_behind(model):
    fleet = around(model)
    await ask(fleet, "a", no_store=True)
    await ask(fleet, "a")
    assert len(model.calls) == 2


async def test_a_new_revision_is_seen_in_time_and_never_mixed(model, monkeypatch):
    fleet = around(model)
    await ask(fleet, "a", "b")
    model.revision = "r2"
    mixed = await ask(fleet, "a", "c")
    assert (mixed.revision, mixed.hits) == ("r2", 1)
    assert np.array_equal(np.stack(mixed.values), np.stack([vector("a", "r2"), vector("c", "r2")]))
    model.revision = "r3"
    assert (await ask(fleet, "a")).revision == "r2"
    monkeypatch.setattr(cached_fleet, "REVISION_S", 0.0)
    assert (await ask(fleet, "a")).revision == "r3"


async def test_a_flight_goes_on_while_anybody_waits_and_is_called_off_with_the_last(model):
    fleet, model.delay_s = around(model), 0.2
    first, second = asyncio.create_task(ask(fleet, "a")), asyncio.create_task(ask(fleet, "a"))
    await asyncio.sleep(0.05)
    first.cancel()
    assert len((await second).values) == 1
    assert model.cancelled == 0
    third = asyncio.create_task(ask(fleet, "b"))
    await asyncio.sleep(0.05)
    third.cancel()
    await asyncio.sleep(0.05)
    assert model.cancelled == 1
    assert not fleet._flights


async def test_anothers_deadline_or_refusal_is_not_ones_own(model):
    fleet, model.delay_s = around(model), 0.1
    hasty = asyncio.create_task(ask(fleet, "a", seconds=0.05))
    await asyncio.sleep(0.02)
    patient = asyncio.create_task(ask(fleet, "a"))
    with pytest.raises(DeadlineExceeded):
        await hasty
    assert len((await patient).values) == 1
    model.error = Overloaded(1)
    refused = asyncio.create_task(ask(fleet, "b"))
    await asyncio.sleep(0.02)
    joins = asyncio.create_task(ask(fleet, "b"))
    with pytest.raises(Overloaded):
        await refused
    model.error = None
    assert len((await joins).values) == 1


async def test_interactive_work_does_not_wait_for_bulk(model):
    fleet, model.delay_s = around(model), 0.2
    bulk = asyncio.create_task(ask(fleet, *(f"text {n}" for n in range(50)), lane="bulk"))
    await asyncio.sleep(0.05)
    model.delay_s = 0.0
    await ask(fleet, "text 7")
    assert not bulk.done()
    await bulk


async def test_redis_keeps_what_is_dear_for_other_processes(model, slots):
    model.compute_ms = 500.0
    one, other = around(model, slots), around(model, slots)
    await ask(one, "a dear text", "another")
    await one._shared.settle()
    await ask(other, "anything, to learn the revision")
    answer = await ask(other, "a dear text")
    assert len(model.calls) == 2
    assert answer.hits == 1
    assert np.array_equal(answer.values[0], vector("a dear text"))
    assert not any(b"dear" in value for value in slots.held.values())


async def test_cheap_items_never_trouble_redis(model, slots):
    model.compute_ms = 0.1
    fleet = around(model, slots)
    await ask(fleet, "a")
    await ask(fleet, "b")
    await fleet._shared.settle()
    assert slots.held == {}


async def test_a_place_in_redis_that_is_anothers_or_damaged_is_no_hit(model, slots):
    model.compute_ms = 500.0
    fleet = around(model, slots, capacity=0, places=1)
    for text in ("one text", "two text", "one text"):
        assert np.array_equal((await ask(fleet, text)).values[0], vector(text))
        await fleet._shared.settle()
    (place,) = slots.held
    slots.held[place] = slots.held[place][:40] + b"\xff" * 50
    assert np.array_equal((await ask(fleet, "one text")).values[0], vector("one text"))


async def test_without_redis_the_memory_still_keeps(model, slots):
    async def no_salt(tenant):
        raise StateUnavailable

    slots.away = True
    model.compute_ms = 500.0
    fleet = CachedFleet(model, ResultCache(1 << 20, 60.0), SharedCache(slots, 10, 60), no_salt, len)
    await ask(fleet, "a")
    assert (await ask(fleet, "a")).hits == 1
    assert (await ask(fleet, "a", tenant="u")).hits == 0


async def test_ten_thousand_distinct_texts_stay_within_the_bound(model):
    capacity = 200 * (OVERHEAD_BYTES + 12)
    fleet = around(model, capacity=capacity)
    for start in range(0, 10_000, 500):
        await ask(fleet, *(f"text {start + n}" for n in range(500)), lane="bulk")
    assert len(fleet._cache) == 200
    assert fleet._cache.bytes <= capacity
    assert not fleet._flights


def test_age_and_size_bound_what_is_kept():
    now = [0.0]
    cache = ResultCache(3000, 10.0, lambda: now[0])
    small = Kept(np.zeros(10, np.float32), 1)
    cache.put(b"a", small)
    now[0] = 11.0
    assert cache.get(b"a") is None
    assert cache.bytes == 0
    cache.put(b"b", Kept(np.zeros(1000, np.float32), 1))
    assert len(cache) == 0
    large = ResultCache(10 * (40 + OVERHEAD_BYTES), 10.0, lambda: now[0])
    for n in range(11):
        large.put(bytes([n]), small)
        large.get(bytes([0]))
    assert large.get(bytes([0])) is small
    assert large.get(bytes([1])) is None


@pytest.mark.parametrize("data", [b"", b"\x05\x00{", b"\x02\x00[]", b"\x0f\x00" + b'["|O",[1],1,null]'[:15] + b"x" * 8])
def test_what_was_not_packed_here_is_not_unpacked(data):
    with pytest.raises(ValueError, match=r"kept|unexpected|invalid|large enough|EOF|array|unpack"):
        Kept.unpacked(data)


def test_packing_keeps_everything():
    kept = Kept(np.float32([[1.5, -2]]), 7, {"tokens": 9, "kept": 4})
    back = Kept.unpacked(kept.packed())
    assert np.array_equal(back.value, kept.value)
    assert (back.cost, back.cut) == (7, {"tokens": 9, "kept": 4})
