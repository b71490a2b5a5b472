"""The batcher's promises, in virtual time, with an engine that computes when the test says so."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from virtual_time import VirtualLoop, bytecodes, in_virtual_time, patient, settle

from deployments.batching import Batcher, BatchPolicy
from deployments.engines.base import Prepared
from deployments.errors import Cancelled, DeadlineExceeded, EngineFault, Overloaded, PoisonousItem

FAR = 1e6
POISON = {13, 29}
TEXTS = range(40)


def cost_of(text):
    return 1 + text * 7 % 45


def item(text, keyed=False):
    return Prepared(text, cost_of(text), bytes([text % 256]) if keyed else None)


def items(*texts, keyed=False):
    return [item(text, keyed) for text in texts]


class HeldEngine:
    """Computes a batch only when told to, and keeps what it was given."""

    def __init__(self):
        self.batches = []
        self.running = None

    async def __call__(self, batch):
        assert self.running is None, "two batches at once"
        self.batches.append([one.payload for one in batch])
        self.running = asyncio.get_running_loop().create_future()
        try:
            return await self.running
        finally:
            self.running = None

    def finish(self):
        batch = self.batches[-1]
        if POISON & set(batch):
            self.running.set_exception(RuntimeError("poison"))
        else:
            self.running.set_result([("embedding", text) for text in batch])

    def crash(self, error=None):
        self.running.set_exception(error or RuntimeError("out of memory"))

    def answer(self, values):
        self.running.set_result(values)

    async def drain(self):
        await settle()
        while self.running is not None:
            self.finish()
            await settle()


class TimedEngine:
    """Computes by itself, one unit of cost a second of virtual time."""

    def __init__(self):
        self.batches = []

    async def __call__(self, batch):
        self.batches.append([one.payload for one in batch])
        await asyncio.sleep(sum(one.cost for one in batch))
        if POISON & set(self.batches[-1]):
            raise RuntimeError("poison")
        return [("embedding", one.payload) for one in batch]


def batcher_of(engine, **policy):
    return Batcher(engine, BatchPolicy(**policy), clock=asyncio.get_running_loop().time)


def submitting(batcher, texts, lane="interactive", deadline=FAR, request_id="", keyed=False):
    return asyncio.ensure_future(batcher.submit(items(*texts, keyed=keyed), lane, deadline, request_id))


def virtual(scenario):
    """Run an async test in virtual time; nothing may be left waiting in the batcher that it returns."""

    def test():
        async def run():
            batcher = await scenario()
            assert batcher.queued_cost == batcher.running_cost == 0
            assert not batcher._in_flight
            assert not batcher._groups
            await batcher.close()

        in_virtual_time(run)

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


# -- all promises at once --------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Asked:
    texts: list
    lane: str
    deadline: float
    id: str
    task: asyncio.Task
    left: bool = False
    cancelled: bool = False

    def waits(self, now):
        return not (self.task.done() or self.left or self.cancelled) and self.deadline > now


class BatcherMachine(RuleBasedStateMachine):
    """Requests come, leave, are cancelled and expire in any order while the engine finishes, crashes and miscounts."""

    @initialize(budget=st.integers(20, 120), padded=st.booleans(), slack=st.integers(0, 20))
    def start(self, budget, padded, slack):
        self.loop, self.engine, self.asked = VirtualLoop(), HeldEngine(), []
        self.policy = BatchPolicy(budget=budget, padded=padded, slack=slack, age_limit_s=5.0)
        self.batcher = Batcher(self._run, self.policy, clock=self.loop.time)
        self.keys_in_flight = set()

    async def _run(self, batch):
        texts = [one.payload for one in batch]
        keyed = {one.payload for one in batch if one.key is not None}
        longest, total = max(map(cost_of, texts)), sum(map(cost_of, texts))
        size = longest * len(texts) if self.policy.padded else total
        assert size <= self.policy.budget or len(texts) == 1
        if self.policy.padded:
            assert longest * len(texts) - total <= self.policy.slack * (len(texts) - 1)
        assert sum(one.key is not None for one in batch) == len(keyed), "an item and its double in one batch"
        wanted = {text for one in self.asked if one.waits(self.loop.time()) for text in one.texts}
        assert set(texts) <= wanted, "computed although nobody waits"
        return await self.engine(batch)

    def settle(self):
        self.loop.run_until_complete(settle())

    @rule(
        texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8),
        lane=st.sampled_from(["interactive", "bulk"]),
        patience=st.sampled_from([3.0, 20.0, FAR]),
        keyed=st.booleans(),
        request_id=st.sampled_from(["a", "b", "c"]),
    )
    def ask(self, texts, lane, patience, keyed, request_id):
        deadline = self.loop.now + patience
        work = self.batcher.submit(items(*texts, keyed=keyed), lane, deadline, request_id)
        self.asked.append(Asked(texts, lane, deadline, request_id, self.loop.create_task(work)))
        self.settle()

    @precondition(lambda self: self.engine.running)
    @rule()
    def finish(self):
        self.engine.finish()
        self.settle()

    @precondition(lambda self: self.engine.running and len(self.engine.batches[-1]) > 1)
    @rule(how=st.sampled_from(["error", "few", "many", "nothing", "cancelled"]))
    def break_down(self, how):
        batch = self.engine.batches[-1]
        values = {"few": batch[1:], "many": [*batch, 0], "nothing": None}
        errors = {"error": RuntimeError(), "cancelled": asyncio.CancelledError()}
        if how in values:
            self.engine.answer(values[how])
        else:
            self.engine.crash(errors[how])
        self.settle()

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def leave(self, data):
        one = data.draw(st.sampled_from(self.asked))
        one.left = one.left or one.task.cancel()
        self.settle()

    @rule(request_id=st.sampled_from(["a", "b", "c"]))
    def cancel(self, request_id):
        waiting = [one for one in self.asked if one.id == request_id and not one.task.done()]
        assert self.batcher.cancel(request_id) == bool(waiting)
        for one in waiting:
            one.cancelled = True
        self.settle()

    @rule(seconds=st.floats(0.5, 10.0))
    def wait(self, seconds):
        self.loop.now += seconds
        self.settle()

    @invariant()
    def never_idle_while_items_wait(self):
        assert self.engine.running is not None or self.batcher.queued_cost == 0
        assert all(one.task.done() or one.waits(self.loop.now) for one in self.asked)

    @invariant()
    def nothing_is_queued_that_nobody_waits_for(self):
        waiting = sum(cost_of(text) for one in self.asked if not one.task.done() for text in one.texts)
        assert 0 <= self.batcher.queued_cost <= waiting

    def teardown(self):
        if not hasattr(self, "loop"):
            return
        self.loop.run_until_complete(self.engine.drain())
        for one in self.asked:
            self.check(one)
        assert self.batcher.queued_cost == self.batcher.running_cost == 0
        assert not self.batcher._in_flight
        assert not self.batcher._groups
        self.loop.run_until_complete(self.batcher.close())
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()

    def check(self, one):
        if one.left:
            assert one.task.cancelled()
            return
        group = one.task.result()
        assert group.pending == 0
        for text, outcome in zip(one.texts, group.outcomes, strict=True):
            if isinstance(outcome, DeadlineExceeded):
                assert one.deadline <= self.loop.now
            elif isinstance(outcome, Cancelled):
                assert one.cancelled
            elif text in POISON:
                assert isinstance(outcome, PoisonousItem)
            else:
                assert outcome == ("embedding", text)


BatcherMachine.TestCase.settings = settings(deadline=None, max_examples=80, stateful_step_count=30)
TestBatcherMachine = BatcherMachine.TestCase


# -- order -----------------------------------------------------------------------------------------------------------


@virtual
async def test_an_idle_engine_starts_at_once_and_what_comes_meanwhile_goes_together():
    engine = HeldEngine()
    batcher = batcher_of(engine)
    first = submitting(batcher, [0])
    await settle()
    assert engine.batches == [[0]]
    rest = [submitting(batcher, [text]) for text in (1, 2, 3)]
    await settle()
    assert engine.batches == [[0]]
    await engine.drain()
    assert engine.batches[1:] == [[1, 2, 3]]
    assert [one.result().outcomes for one in (first, *rest)] == [[("embedding", text)] for text in range(4)]
    return batcher


@virtual
async def test_an_empty_request_is_answered_without_the_engine():
    engine = HeldEngine()
    batcher = batcher_of(engine)
    assert (await batcher.submit([], "bulk", FAR)).outcomes == []
    assert engine.batches == []
    return batcher


@virtual
async def test_an_item_unlike_all_others_is_not_overtaken_for_ever():
    """Its neighbours in cost keep coming and would always fill a better batch."""
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=30, slack=0)
    others = [submitting(batcher, [0] * 60)]
    lonely = submitting(batcher, [25])
    await settle()
    while not lonely.done():
        others.append(submitting(batcher, [0] * 30))
        await settle()
        engine.finish()
        await settle()
    assert len(engine.batches) <= 4
    await engine.drain()
    return batcher


@patient
@given(st.integers(1, 1_500), st.integers(0, 200))
def test_a_lone_interactive_item_waits_for_the_running_batch_only(backlog, arrival):
    async def scenario():
        engine = TimedEngine()
        batcher = batcher_of(engine, budget=64)
        bulk = submitting(batcher, [text % 10 for text in range(backlog)], "bulk")
        await asyncio.sleep(arrival + 0.5)
        before = len(engine.batches)
        group = await batcher.submit(items(35), "interactive", FAR)
        assert engine.batches[before] == [35]
        assert group.queue_ms <= 64_000
        await bulk
        await batcher.close()

    in_virtual_time(scenario)


def test_under_endless_interactive_load_bulk_gets_its_share_and_no_more():
    async def scenario():
        engine = TimedEngine()
        batcher = batcher_of(engine, budget=64, age_limit_s=1e9, bulk_share=0.35, bulk_share_aged=0.6)
        bulk = submitting(batcher, [text % 10 for text in range(1_000)], "bulk")

        async def client():
            while not bulk.done():
                await batcher.submit(items(11), "interactive", FAR)

        await asyncio.gather(*(client() for _ in range(3)))
        spent = {True: 0, False: 0}
        for batch in engine.batches:
            spent[batch == [11] * len(batch)] += sum(map(cost_of, batch))
        share = spent[False] / sum(spent.values())
        assert 0.33 <= share <= 0.37
        await batcher.close()

    in_virtual_time(scenario)


# -- leaving ---------------------------------------------------------------------------------------------------------


@virtual
async def test_the_deadline_answers_its_waiter_on_time_and_spares_the_engine():
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=10)
    running = submitting(batcher, [0])
    waiting = submitting(batcher, [1, 2], deadline=5.0)
    group = await waiting
    assert asyncio.get_running_loop().time() == pytest.approx(5.0)
    assert [type(outcome) for outcome in group.outcomes] == [DeadlineExceeded] * 2
    assert batcher.queued_cost == 0
    await engine.drain()
    assert engine.batches == [[0]]
    assert running.done()
    return batcher


@virtual
async def test_a_deadline_that_has_passed_is_refused_before_anything():
    engine = HeldEngine()
    batcher = batcher_of(engine)
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(items(1), "interactive", 0.0)
    await settle()
    assert engine.batches == []
    return batcher


@virtual
async def test_an_item_expired_while_the_event_loop_was_busy_is_not_computed():
    """The engine's reply is handled before the timer that is just as late."""
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=10)
    running, late = submitting(batcher, [0]), submitting(batcher, [1], deadline=5.0, keyed=True)
    await settle()
    engine.finish()
    asyncio.get_running_loop().now = 6.0
    await settle()
    assert isinstance(late.result().outcomes[0], DeadlineExceeded)
    assert engine.batches == [[0]]
    assert running.done()
    again = submitting(batcher, [1], keyed=True)
    await engine.drain()
    assert again.result().outcomes == [("embedding", 1)]
    return batcher


@virtual
async def test_results_that_came_before_the_deadline_are_kept():
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=cost_of(1), padded=False)
    waiting = submitting(batcher, [1, 2], deadline=5.0)
    await settle()
    engine.finish()
    group = await waiting
    assert group.outcomes[0] == ("embedding", 1)
    assert isinstance(group.outcomes[1], DeadlineExceeded)
    await engine.drain()
    return batcher


@virtual
async def test_a_waiter_that_leaves_takes_its_queued_items_with_it():
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=10)
    running, leaving = submitting(batcher, [0]), submitting(batcher, [1, 2, 3])
    await settle()
    leaving.cancel()
    await settle()
    assert leaving.cancelled()
    assert batcher.queued_cost == 0
    await engine.drain()
    assert engine.batches == [[0]]
    assert running.done()
    return batcher


@virtual
async def test_cancelling_by_id_reaches_every_part_of_that_request_and_no_other():
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=10)
    running = submitting(batcher, [0], request_id="x")
    await settle()
    parts = [submitting(batcher, [text], request_id="y") for text in (1, 2)]
    other = submitting(batcher, [3], request_id="z")
    await settle()
    assert batcher.cancel("y")
    assert not batcher.cancel("unknown")
    await settle()
    assert [type(part.result().outcomes[0]) for part in parts] == [Cancelled] * 2
    assert batcher.queued_cost == cost_of(3)
    await engine.drain()
    assert engine.batches == [[0], [3]]
    assert other.result().outcomes == [("embedding", 3)]
    assert running.done()
    assert not batcher.cancel("y")
    return batcher


# -- bounds ----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back():
    engine = TimedEngine()
    batcher = batcher_of(engine, budget=50, max_queued_cost=400)
    await batcher.submit(items(*[0] * 50), "bulk", FAR)
    assert batcher.rate == pytest.approx(1.0)
    assert batcher.backlog_s() == 0.0
    too_many = submitting(batcher, [0] * 450, "bulk")
    await settle()
    assert batcher.queued_cost == 400, "an empty queue takes any group"
    with pytest.raises(Overloaded) as refused:
        await batcher.submit(items(0), "interactive", FAR)
    assert refused.value.retry_after_s == pytest.approx(batcher.backlog_s()) == pytest.approx(450.0)
    unbounded = await batcher.submit(items(1), "interactive", FAR, bounded=False)
    assert unbounded.outcomes == [("embedding", 1)]
    await too_many
    return batcher


@virtual
async def test_small_batches_do_not_set_the_rate():
    batcher = batcher_of(TimedEngine(), budget=512)
    await batcher.submit(items(1), "interactive", FAR)
    assert batcher.rate == 0.0
    assert batcher.backlog_s() == 0.0
    return batcher


# -- coalescing ------------------------------------------------------------------------------------------------------


@virtual
async def test_equal_items_in_flight_are_computed_once_and_computed_again_later():
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=20)
    running = submitting(batcher, [1, 1], keyed=True)
    await settle()
    joining = submitting(batcher, [1, 2, 2], keyed=True)
    await settle()
    assert batcher.queued_cost == cost_of(2)
    await engine.drain()
    assert engine.batches == [[1], [2]]
    assert running.result().outcomes == [("embedding", 1)] * 2
    assert joining.result().outcomes == [("embedding", 1), ("embedding", 2), ("embedding", 2)]
    again = submitting(batcher, [1], keyed=True)
    await engine.drain()
    assert engine.batches[2:] == [[1]]
    assert again.done()
    return batcher


@virtual
async def test_items_without_a_key_are_never_merged():
    engine = HeldEngine()
    batcher = batcher_of(engine)
    waiting = submitting(batcher, [1, 1])
    await engine.drain()
    assert engine.batches == [[1, 1]]
    assert waiting.done()
    return batcher


@virtual
async def test_a_bulk_item_that_an_interactive_waiter_wants_moves_up():
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=20, slack=0)
    bulk = submitting(batcher, [0, 1, 2], "bulk", keyed=True)
    await settle()
    urgent = submitting(batcher, [2], keyed=True)
    await settle()
    engine.finish()
    await settle()
    assert engine.batches == [[0], [2]]
    engine.finish()
    await settle()
    assert urgent.done()
    assert not bulk.done()
    await engine.drain()
    assert engine.batches == [[0], [2], [1]]
    assert bulk.result().outcomes == [("embedding", text) for text in (0, 1, 2)]
    return batcher


@virtual
async def test_a_running_bulk_item_wanted_interactively_is_repeated_in_the_interactive_lane():
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=20)
    bulk = submitting(batcher, [0, 7, 14], "bulk", keyed=True)
    await settle()
    batch = engine.batches[0]
    assert len(batch) > 1
    urgent = submitting(batcher, batch[-1:], keyed=True)
    await settle()
    engine.crash()
    await settle()
    assert engine.batches[1] == batch[-1:]
    await engine.drain()
    assert urgent.result().outcomes == [("embedding", batch[-1])]
    assert bulk.done()
    return batcher


@virtual
async def test_one_waiter_leaving_does_not_take_the_item_from_the_other():
    engine = HeldEngine()
    batcher = batcher_of(engine, budget=5)
    running = submitting(batcher, [0])
    await settle()
    leaving, staying = (submitting(batcher, [1, 2], request_id=name, keyed=True) for name in "ab")
    await settle()
    leaving.cancel()
    await settle()
    assert batcher.queued_cost == cost_of(1) + cost_of(2)
    batcher.cancel("a")
    await engine.drain()
    assert staying.result().outcomes == [("embedding", 1), ("embedding", 2)]
    assert running.done()
    return batcher


# -- isolation -------------------------------------------------------------------------------------------------------


@patient
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=30), st.booleans())
def test_a_poisonous_item_fails_alone_at_a_bounded_price(texts, keyed):
    async def scenario():
        engine = HeldEngine()
        batcher = batcher_of(engine, budget=60)
        waiting = submitting(batcher, texts, keyed=keyed)
        await engine.drain()
        for text, outcome in zip(texts, waiting.result().outcomes, strict=True):
            assert isinstance(outcome, PoisonousItem) if text in POISON else outcome == ("embedding", text)
        failed = [batch for batch in engine.batches if POISON & set(batch) and len(batch) > 1]
        unique = len(set(texts)) if keyed else len(texts)
        assert sum(map(len, engine.batches)) == unique + sum(map(len, failed))
        assert batcher.queued_cost == 0
        await batcher.close()

    in_virtual_time(scenario)


@pytest.mark.parametrize("wrong", [[], [1, 2], None, 7])
def test_a_wrong_number_of_results_is_an_error_of_its_item_not_a_hang(wrong):
    async def scenario():
        engine = HeldEngine()
        batcher = batcher_of(engine)
        waiting = submitting(batcher, [1])
        await settle()
        engine.answer(wrong)
        outcome = (await waiting).outcomes[0]
        assert isinstance(outcome, EngineFault if isinstance(wrong, list) else PoisonousItem)
        after = submitting(batcher, [2])
        await engine.drain()
        assert after.result().outcomes == [("embedding", 2)]
        assert batcher.alive()
        await batcher.close()

    in_virtual_time(scenario)


class Panic(BaseException):
    """What a panic in a Rust extension raises."""


@pytest.mark.parametrize("error", [ValueError("secret text"), Panic(), asyncio.CancelledError(), EngineFault("NaN")])
def test_the_loop_survives_whatever_the_engine_raises(error):
    async def scenario():
        engine = HeldEngine()
        batcher = batcher_of(engine)
        waiting = submitting(batcher, [1])
        await settle()
        engine.crash(error)
        outcome = (await waiting).outcomes[0]
        assert type(outcome) is (EngineFault if isinstance(error, EngineFault) else PoisonousItem)
        assert "secret" not in str(outcome)
        after = submitting(batcher, [2])
        await engine.drain()
        assert after.result().outcomes == [("embedding", 2)]
        assert batcher.alive()
        await batcher.close()

    in_virtual_time(scenario)


# -- the end ---------------------------------------------------------------------------------------------------------


def test_closing_answers_whoever_still_waits_and_refuses_what_comes_after():
    async def scenario():
        batcher = batcher_of(HeldEngine(), budget=5)
        running, queued = submitting(batcher, [0]), submitting(batcher, [1, 2], keyed=True)
        await settle()
        await batcher.close()
        await settle()
        assert all(isinstance(o, EngineFault) for one in (running, queued) for o in one.result().outcomes)
        assert batcher.queued_cost == batcher.running_cost == 0
        assert not batcher._in_flight
        assert not batcher.alive()
        with pytest.raises(EngineFault):
            await batcher.submit(items(1), "interactive", FAR)

    in_virtual_time(scenario)


def test_a_loop_that_died_is_seen_and_leaves_nobody_waiting():
    async def scenario():
        engine = HeldEngine()
        batcher = batcher_of(engine)
        waiting = submitting(batcher, [1])
        await settle()
        batcher._loop_task.cancel()
        assert isinstance((await waiting).outcomes[0], EngineFault)
        assert not batcher.alive()
        after = submitting(batcher, [2])
        await engine.drain()
        assert after.result().outcomes == [("embedding", 2)]
        await batcher.close()

    in_virtual_time(scenario)


# -- how work grows --------------------------------------------------------------------------------------------------


def work_of_groups(count, same):
    """Bytecodes of submitting ten groups of ``count`` items behind a held engine and cancelling all of them."""

    async def scenario():
        engine = HeldEngine()
        batcher = batcher_of(engine, max_queued_cost=10**9)
        first = submitting(batcher, [0])
        await settle()
        prepared = [Prepared(n, 1 + n % 300, b"same" if same else n.to_bytes(4, "big")) for n in range(count)]
        groups = [asyncio.ensure_future(batcher.submit(prepared, "bulk", FAR, str(n))) for n in range(10)]
        await settle()
        for number in range(10):
            batcher.cancel(str(number))
        await asyncio.gather(*groups)
        assert batcher.queued_cost == 0
        await engine.drain()
        assert first.done()
        await batcher.close()

    return bytecodes(lambda: in_virtual_time(scenario))


@pytest.mark.parametrize("same", [False, True])
def test_the_work_of_submitting_and_leaving_grows_with_the_items(same):
    assert work_of_groups(800, same) < 3 * work_of_groups(400, same)
