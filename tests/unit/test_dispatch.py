"""The dispatcher's promises, in virtual time, against replicas that compute, die and answer nonsense on order."""

import asyncio
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import bytecodes, in_virtual_time, patient, settle

from deployments.call import CallContext
from deployments.dispatch import Dispatcher, DispatchPolicy
from deployments.errors import DeadlineExceeded, EngineFault, InvalidInput, ModelNotReady, Overloaded, PoisonousItem
from deployments.pending import Line, PendingRequest, Slice
from deployments.retry_budget import RetryBudget
from deployments.timing import Timing
from deployments.wire import PieceReply, ReplicaDied, Reply

POISON, BAD, CUT = -1, -2, -3


def now():
    return asyncio.get_running_loop().time()


def cost_of(item):
    return max(1, item[0])


def text(cost, mark=0):
    return (cost, mark)


class Replica:
    """Computes one call after the other; a poisonous item takes it down with every call it holds."""

    def __init__(self):
        self.turn, self.held = asyncio.Lock(), set()

    def die(self):
        for fate in self.held:
            if not fate.done():
                fate.set_result(None)


class FakeTransport:
    """``rate`` units of cost a second and replica."""

    def __init__(self, replicas=1, rate=1000.0, latency=0.0):
        self.rate, self.latency, self.backlog_s = rate, latency, 0.0
        self.fleet = [Replica() for _ in range(replicas)]
        self.calls, self.told, self.deaths = [], [], 0
        self.in_flight, self.most = {"interactive": 0, "bulk": 0}, {"interactive": 0, "bulk": 0}

    def replicas(self):
        return len(self.fleet)

    async def cancel(self, request_ids):
        self.told += request_ids

    async def send(self, call):
        self.calls.append(call)
        self.in_flight[call.lane] += 1
        self.most[call.lane] = max(self.most[call.lane], self.in_flight[call.lane])
        replica = min(self.fleet, key=lambda one: len(one.held))
        fate = asyncio.get_running_loop().create_future()
        replica.held.add(fate)
        work = asyncio.ensure_future(self._compute(replica, call))
        try:
            await asyncio.wait({work, fate}, return_when=asyncio.FIRST_COMPLETED)
            if fate.done():
                raise ReplicaDied
            return work.result()
        finally:
            work.cancel()
            replica.held.discard(fate)
            self.in_flight[call.lane] -= 1

    async def _compute(self, replica, call):
        await asyncio.sleep(self.latency)
        async with replica.turn:
            inputs = [item for piece in call.pieces for item in piece.inputs]
            await asyncio.sleep(sum(map(cost_of, inputs)) / self.rate)
            if any(item[1] == POISON for item in inputs):
                self.deaths += 1
                replica.die()
            pieces = [self.piece(piece) for piece in call.pieces]
            return Reply(pieces, "r1", self.rate, self.backlog_s, details={"labels": ["a", "b"]})

    @staticmethod
    def piece(piece):
        bad = [item[1] == BAD for item in piece.inputs]
        return PieceReply(
            values=[None if wrong else ("embedding", item) for item, wrong in zip(piece.inputs, bad, strict=True)],
            costs=[0 if wrong else cost_of(item) for item, wrong in zip(piece.inputs, bad, strict=True)],
            errors={i: InvalidInput("bad") for i, wrong in enumerate(bad) if wrong},
            cut={i: {"tokens": item[0], "kept": 1} for i, item in enumerate(piece.inputs) if item[1] == CUT},
            timing=Timing(1.0, 2.0, sum(map(cost_of, piece.inputs))),
        )


def dispatcher_of(transport, **policy):
    """``call_s`` is a tenth of a second in both lanes, unless it is given."""
    policy.setdefault("call_s", {"interactive": 0.1, "bulk": 0.1})
    return Dispatcher("model", transport, cost_of, DispatchPolicy(**policy), sender="gateway-1")


def calling(dispatcher, inputs, lane="interactive", patience=1e6, request_id="r"):
    context = CallContext(request_id, "tenant", lane, now() + patience)
    return asyncio.ensure_future(dispatcher.call(inputs, {"truncate": "error"}, context))


def run(scenario):
    """Run in virtual time; the dispatcher that the scenario returns must have nothing left."""

    async def all_of_it():
        dispatcher = await scenario()
        await asyncio.sleep(1.0)
        assert dispatcher.waiting_items() == 0
        assert dispatcher.waiting_s() == 0.0
        assert dispatcher._in_flight == {"interactive": 0, "bulk": 0}
        assert not dispatcher._tasks
        assert not dispatcher._gone
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with mock.patch("deployments.call.time", SimpleNamespace(monotonic=now)):
        in_virtual_time(all_of_it)


def virtual(scenario):
    def test():
        run(scenario)

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


async def knowing_the_rate(transport, **policy):
    """A dispatcher that has seen a reply."""
    dispatcher = dispatcher_of(transport, **policy)
    await calling(dispatcher, [text(10)])
    transport.calls.clear()
    return dispatcher


def spent(call):
    return sum(cost_of(item) for piece in call.pieces for item in piece.inputs)


def size(call):
    return sum(len(piece.inputs) for piece in call.pieces)


# -- merging and cutting ---------------------------------------------------------------------------------------------

requests = st.lists(
    st.tuples(
        st.sampled_from(["interactive", "bulk"]),
        st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0, 0, 0, BAD, CUT])), max_size=30),
        st.sampled_from([0.0, 0.0, 0.01, 0.3]),
    ),
    min_size=1,
    max_size=8,
)


@patient
@given(
    requests,
    st.sampled_from([0.01, 0.05, 0.1]),
    st.sampled_from([20, 100]),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_every_input_gets_its_own_outcome_however_requests_are_merged_and_cut(
    asked, call_s, first_call, calls_in_flight, replicas
):
    async def scenario():
        transport = FakeTransport(replicas)
        both = {"interactive": call_s, "bulk": 2 * call_s}
        policy = {"call_s": both, "first_call": first_call, "calls_in_flight": calls_in_flight}
        dispatcher, tasks = dispatcher_of(transport, **policy), []
        for lane, inputs, gap in asked:
            tasks.append(calling(dispatcher, inputs, lane))
            await asyncio.sleep(gap)
        for (_, inputs, _), answer in zip(asked, await asyncio.gather(*tasks), strict=True):
            bad = {i for i, item in enumerate(inputs) if item[1] == BAD}
            assert list(answer.values) == [None if i in bad else ("embedding", x) for i, x in enumerate(inputs)]
            assert list(answer.costs) == [0 if i in bad else cost_of(x) for i, x in enumerate(inputs)]
            assert set(answer.errors) == bad
            cut = [{"index": i, "tokens": x[0], "kept": 1} for i, x in enumerate(inputs) if x[1] == CUT]
            assert list(answer.truncated) == cut
            assert answer.revision == ("r1" if inputs else "")
            assert answer.details == ({"labels": ["a", "b"]} if inputs else {})
        for call in transport.calls:
            assert spent(call) <= max(first_call, both[call.lane] * transport.rate) or size(call) == 1
            assert call.sender == "gateway-1"
            assert all(piece.options == {"truncate": "error"} for piece in call.pieces)
        assert max(transport.most.values()) <= calls_in_flight * replicas
        return dispatcher

    run(scenario)


@patient
@given(st.lists(st.lists(st.integers(1, 120), min_size=1, max_size=20), min_size=1, max_size=8), st.integers(1, 5))
def test_once_the_rate_is_known_a_call_carries_its_share_of_work_and_one_lane(all_costs, hint_units):
    async def scenario():
        transport = FakeTransport()
        policy = DispatchPolicy(first_call=10_000)
        dispatcher = Dispatcher("model", transport, lambda item: hint_units * cost_of(item), policy)
        await calling(dispatcher, [text(10)])
        transport.calls.clear()
        lanes = ["interactive", "bulk"]
        costs = enumerate(all_costs)
        tasks = [calling(dispatcher, [text(c, n) for c in some], lanes[n % 2]) for n, some in costs]
        await asyncio.gather(*tasks)
        for call in transport.calls:
            assert spent(call) / transport.rate <= policy.call_s[call.lane] + 1e-9 or size(call) == 1
            assert {lanes[item[1] % 2] for piece in call.pieces for item in piece.inputs} == {call.lane}
        assert sum(map(size, transport.calls)) == sum(map(len, all_costs))
        return dispatcher

    run(scenario)


@virtual
async def test_one_call_carries_everything_that_waits():
    transport = FakeTransport(latency=0.01)
    dispatcher = await knowing_the_rate(transport, calls_in_flight=1)
    answers = await asyncio.gather(*(calling(dispatcher, [text(1, n)]) for n in range(64)))
    assert [answer.values for answer in answers] == [[("embedding", (1, n))] for n in range(64)]
    assert [size(call) for call in transport.calls] == [1, 63]
    return dispatcher


@virtual
async def test_bulk_calls_do_not_take_an_interactive_request_s_place():
    transport = FakeTransport()
    dispatcher = await knowing_the_rate(transport)
    bulk = [calling(dispatcher, [text(20)] * 100, "bulk") for _ in range(3)]
    await asyncio.sleep(0.55)
    before = len(transport.calls)
    urgent = calling(dispatcher, [text(1)])
    await settle()
    assert [call.lane for call in transport.calls[before:]] == ["interactive"]
    await asyncio.gather(urgent, *bulk)
    assert transport.most == {"interactive": 1, "bulk": 2}
    return dispatcher


@virtual
async def test_a_long_request_does_not_hold_up_a_short_one_of_its_lane():
    dispatcher = await knowing_the_rate(FakeTransport())
    long = [calling(dispatcher, [text(10)] * 2_000, "bulk") for _ in range(5)]
    await asyncio.sleep(1.0)
    started = now()
    await calling(dispatcher, [text(10)] * 5, "bulk")
    # Two calls are under way; one call of each long request goes before it.
    assert now() - started <= (2 + 5 + 1) * 0.1 + 0.01
    assert not any(task.done() for task in long)
    await asyncio.gather(*long)
    return dispatcher


@virtual
async def test_the_work_that_waits_is_told_with_each_call():
    transport = FakeTransport(replicas=2)
    dispatcher = await knowing_the_rate(transport, calls_in_flight=1)
    work = calling(dispatcher, [text(10)] * 100, "bulk")
    await settle()
    assert dispatcher.waiting_items() == 80
    assert dispatcher.waiting_s() == pytest.approx(0.4)
    assert dispatcher.waiting_s("interactive") == 0.0
    await work
    assert transport.calls[-1].waiting_s == 0.0
    assert max(call.waiting_s for call in transport.calls) == pytest.approx(0.4)
    return dispatcher


@virtual
async def test_refused_inputs_do_not_make_work_look_cheap():
    dispatcher = dispatcher_of(FakeTransport())
    await calling(dispatcher, [text(10), *[text(50, BAD)] * 9])
    work = calling(dispatcher, [text(10)] * 100, "bulk")
    await settle()
    assert dispatcher.waiting_s() == pytest.approx(dispatcher.waiting_items() * 10 / 1000.0)
    await work
    return dispatcher


# -- admission -------------------------------------------------------------------------------------------------------


@virtual
async def test_work_that_cannot_be_done_in_time_is_refused_with_the_time_to_wait():
    transport = FakeTransport()
    dispatcher = await knowing_the_rate(transport)
    bulk = calling(dispatcher, [text(100)] * 100, "bulk")
    await settle()
    waiting = dispatcher.waiting_s()
    assert waiting == pytest.approx(9.8)
    with pytest.raises(Overloaded) as refused:
        await calling(dispatcher, [text(100)] * 20, "bulk", patience=5.0)
    # 9.8 s wait, 2 s of its own, 5 s to spend.
    assert refused.value.retry_after_s == 7
    assert now() < 0.1, "refused at once"
    interactive = await calling(dispatcher, [text(100)] * 2, patience=5.0)
    assert len(interactive.values) == 2
    enough = calling(dispatcher, [text(100)] * 20, "bulk", patience=30.0)
    await asyncio.gather(bulk, enough)
    return dispatcher


@virtual
async def test_the_line_is_bounded_but_an_empty_one_takes_any_request():
    transport = FakeTransport()
    dispatcher = await knowing_the_rate(transport, max_items=50)
    many = calling(dispatcher, [text(10)] * 100, "bulk")
    await settle()
    with pytest.raises(Overloaded) as refused:
        await calling(dispatcher, [text(10)])
    assert refused.value.retry_after_s >= 1.0
    assert len((await many).values) == 100
    return dispatcher


@virtual
async def test_a_request_without_inputs_is_answered_without_a_call():
    transport = FakeTransport()
    dispatcher = dispatcher_of(transport)
    assert (await calling(dispatcher, [])).values == []
    assert transport.calls == []
    return dispatcher


# -- leaving ---------------------------------------------------------------------------------------------------------


@virtual
async def test_the_deadline_ends_a_request_on_time_and_replicas_are_told():
    transport = FakeTransport()
    dispatcher = dispatcher_of(transport, calls_in_flight=1, first_call=100)
    late = calling(dispatcher, [text(100)] * 100, "bulk", patience=1.05)
    await asyncio.sleep(0.0)
    with pytest.raises(DeadlineExceeded):
        await late
    assert now() == pytest.approx(1.05)
    assert dispatcher.waiting_items() == 0
    await asyncio.sleep(0.1)
    assert transport.told == [transport.calls[0].pieces[0].request_id]
    assert sum(map(size, transport.calls)) < 20
    with pytest.raises(DeadlineExceeded):
        await calling(dispatcher, [text(1)], patience=0.0)
    return dispatcher


@virtual
async def test_a_client_that_leaves_takes_its_inputs_out_here_and_at_the_replicas():
    transport = FakeTransport()
    dispatcher = await knowing_the_rate(transport, calls_in_flight=1)
    leaving = [calling(dispatcher, [text(50)] * 20, "bulk", request_id=f"left-{n}") for n in range(3)]
    staying = calling(dispatcher, [text(50)] * 2, "bulk", request_id="stays")
    await settle()
    for task in leaving:
        task.cancel()
    await settle()
    assert dispatcher.waiting_items() == 2
    assert len((await staying).values) == 2
    await asyncio.sleep(0.1)
    # Only one of them had anything at a replica.
    assert [name.split("#")[0] for name in transport.told] == ["left-0"]
    assert sum(map(size, transport.calls)) == 4
    return dispatcher


@virtual
async def test_requests_with_the_same_client_id_do_not_cancel_each_other():
    transport = FakeTransport()
    dispatcher, other = dispatcher_of(transport), dispatcher_of(transport)
    first, second = (calling(one, [text(50)], request_id="same") for one in (dispatcher, other))
    third = calling(dispatcher, [text(50)], request_id="same")
    await settle()
    first.cancel()
    await asyncio.gather(second, third)
    await asyncio.sleep(0.1)
    ids = [piece.request_id for call in transport.calls for piece in call.pieces]
    assert len(set(ids)) == 3
    assert transport.told == ids[:1]
    return dispatcher


@virtual
async def test_the_retry_of_a_cancelled_request_never_inherits_its_cancellation():
    """A new object may well live at the address of the one that just left."""
    transport = FakeTransport()
    dispatcher = dispatcher_of(transport)
    for _ in range(20):
        task = calling(dispatcher, [text(1)], request_id="same")
        await settle()
        task.cancel()
        await asyncio.sleep(0.01)
        del task
    ids = [piece.request_id for call in transport.calls for piece in call.pieces]
    assert len(set(ids)) == len(ids) == 20
    return dispatcher


@virtual
async def test_a_request_that_failed_in_part_leaves_nothing_behind():
    transport = FakeTransport()
    dispatcher = await knowing_the_rate(transport)
    send, sent = transport.send, []

    async def second_call_fails(call):
        sent.append(call)
        if len(sent) == 2:
            raise EngineFault("broken")
        return await send(call)

    transport.send = second_call_fails
    with pytest.raises(EngineFault):
        await calling(dispatcher, [text(50)] * 40, "bulk")
    assert dispatcher.waiting_items() == 0
    await asyncio.sleep(1.0)
    assert len(sent) == 2
    assert transport.told == [sent[0].pieces[0].request_id]
    return dispatcher


# -- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ModelNotReady("model"), Overloaded(7.0), ValueError("a defect")])
def test_an_error_of_the_transport_reaches_the_callers(error):
    async def scenario():
        transport = FakeTransport()
        transport.send = mock.AsyncMock(side_effect=error)
        dispatcher = dispatcher_of(transport)
        outcomes = await asyncio.gather(*(calling(dispatcher, [text(1)]) for _ in range(3)), return_exceptions=True)
        assert outcomes == [error] * 3
        return dispatcher

    run(scenario)


@pytest.mark.parametrize(
    "pieces",
    [[], [PieceReply([], [])], [PieceReply([1, 2], [1])], [PieceReply([1], [1, 1])], [PieceReply([1, 2], [1, 1])] * 2],
)
def test_a_reply_that_does_not_fit_its_call_is_an_error_not_a_hang(pieces):
    async def scenario():
        transport = FakeTransport()
        transport.send = mock.AsyncMock(return_value=Reply(pieces, "r1", 1.0, 0.0))
        dispatcher = dispatcher_of(transport)
        with pytest.raises(EngineFault):
            await calling(dispatcher, [text(1), text(2)], patience=5.0)
        assert now() < 1.0
        return dispatcher

    run(scenario)


@virtual
async def test_a_replica_that_never_answers_costs_no_more_than_the_deadline():
    transport = FakeTransport(latency=1e5)
    dispatcher = dispatcher_of(transport)
    with pytest.raises(DeadlineExceeded):
        await calling(dispatcher, [text(1)], patience=3.0)
    assert now() == pytest.approx(3.0)
    return dispatcher


@virtual
async def test_the_calls_of_a_dead_replica_are_sent_again_input_by_input():
    transport = FakeTransport()
    dispatcher = dispatcher_of(transport)
    waiting = [calling(dispatcher, [text(10, n)] * 3) for n in range(1, 4)]
    await asyncio.sleep(0.005)
    transport.fleet[0].die()
    answers = await asyncio.gather(*waiting)
    assert [answer.values for answer in answers] == [[("embedding", (10, n))] * 3 for n in range(1, 4)]
    assert not any(answer.errors for answer in answers)
    # Two calls died; the third request had not been sent.
    assert sorted(size(call) for call in transport.calls) == [1] * 6 + [3] * 3
    return dispatcher


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.data(),
    st.integers(1, 3),
    st.sampled_from([15, 100]),
)
def test_an_item_present_at_two_deaths_is_refused_and_all_others_succeed(sizes, data, replicas, first_call):
    """A death takes every call of its replica with it, so that innocent items are near both."""
    guilty = data.draw(st.integers(0, len(sizes) - 1))
    place = data.draw(st.integers(0, sizes[guilty] - 1))

    async def scenario():
        transport = FakeTransport(replicas)
        dispatcher = dispatcher_of(transport, first_call=first_call)
        inputs = [[text(5, 100 * n + i) for i in range(count)] for n, count in enumerate(sizes)]
        inputs[guilty][place] = text(5, POISON)
        answers = await asyncio.gather(
            *(calling(dispatcher, some, ["interactive", "bulk"][n % 2]) for n, some in enumerate(inputs))
        )
        for n, (some, answer) in enumerate(zip(inputs, answers, strict=True)):
            expected = [None if item[1] == POISON else ("embedding", item) for item in some]
            assert list(answer.values) == expected
            assert {i: type(e) for i, e in answer.errors.items()} == ({place: PoisonousItem} if n == guilty else {})
        assert transport.deaths == 2
        return dispatcher

    run(scenario)


@virtual
async def test_several_poisonous_items_of_one_call_are_told_apart():
    transport = FakeTransport()
    dispatcher = dispatcher_of(transport)
    inputs = [text(5, POISON if n % 3 == 0 else n) for n in range(12)]
    answer = await calling(dispatcher, inputs)
    assert set(answer.errors) == {0, 3, 6, 9}
    assert sum(value is not None for value in answer.values) == 8
    return dispatcher


@virtual
async def test_a_client_that_left_before_the_death_is_not_sent_again():
    transport = FakeTransport()
    dispatcher = dispatcher_of(transport)
    leaving = calling(dispatcher, [text(10)] * 5)
    await asyncio.sleep(0.001)
    leaving.cancel()
    await settle()
    transport.fleet[0].die()
    await settle()
    assert dispatcher.waiting_items() == 0
    await asyncio.sleep(1.0)
    assert len(transport.calls) == 1
    return dispatcher


@virtual
async def test_a_deadline_during_the_retries_still_holds():
    transport = FakeTransport()
    dispatcher = dispatcher_of(transport)
    waiting = calling(dispatcher, [text(100)] * 30, patience=1.05)
    await asyncio.sleep(0.001)
    transport.fleet[0].die()
    with pytest.raises(DeadlineExceeded):
        await waiting
    assert now() == pytest.approx(1.05)
    return dispatcher


@virtual
async def test_replicas_that_keep_dying_use_up_the_retry_budget():
    transport = FakeTransport()
    transport.send = mock.AsyncMock(side_effect=ReplicaDied)
    dispatcher = dispatcher_of(transport)
    outcomes = []
    for _ in range(40):
        try:
            outcomes += (await calling(dispatcher, [text(1)])).errors.values()
        except ModelNotReady as error:
            outcomes.append(error)
    assert [type(outcome) for outcome in outcomes] == [PoisonousItem] * 25 + [ModelNotReady] * 15
    assert transport.send.await_count == 50 + 15
    return dispatcher


@patient
@given(st.lists(st.booleans(), max_size=600))
def test_retries_are_a_tenth_of_the_successes_and_a_reserve(events):
    budget, retries = RetryBudget(reserve=5.0, ratio=0.1), 0
    for success in events:
        if success:
            budget.earn()
        else:
            retries += budget.spend()
    assert retries <= 5.0 + 0.1 * sum(events) + 1e-6
    assert retries == sum(not success for success in events) or retries >= 5


# -- slices and the line ---------------------------------------------------------------------------------------------


def pending(hints):
    return PendingRequest([None] * len(hints), hints, {}, CallContext("r", "t", "bulk", 1e9))


def offline(scenario):
    """Slices need a running loop for their request's future, nothing more."""

    async def main():
        scenario()

    in_virtual_time(main)


@patient
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.floats(0.1, 2_000))
def test_a_cut_loses_nothing_and_fits_the_room(hints, room):
    def scenario():
        whole = pending(hints).whole()
        assert sorted(whole.indices) == list(range(len(hints)))
        head, rest = whole.cut(room)
        assert head.hint == sum(hints[i] for i in head.indices)
        assert head.hint <= room or len(head.indices) == 1
        assert head.indices + (rest.indices if rest else []) == whole.indices
        assert head.hint + (rest.hint if rest else 0) == sum(hints)
        if rest:
            assert head.hint + hints[rest.indices[0]] > room

    offline(scenario)


@patient
@given(st.lists(st.tuples(st.sampled_from(["add", "first", "take", "leave"]), st.integers(0, 3)), max_size=40))
def test_the_line_counts_what_it_holds_and_gives_everyone_a_turn(steps):
    def scenario():
        people, line, held = [pending([n + 1] * 50) for n in range(4)], Line(), []
        for step, who in steps:
            if step in ("add", "first"):
                piece = Slice(people[who], [len(held)], who + 1)
                line.add(piece, first=step == "first")
                held.append(piece)
            elif step == "leave":
                line.leave(people[who])
                held = [piece for piece in held if piece.request is not people[who]]
            elif line:
                waiting = len({id(piece.request) for piece in held})
                turns = [line.take() for _ in range(waiting)]
                assert len({id(piece.request) for piece in turns}) == waiting, "everyone once before anyone twice"
                held = [piece for piece in held if not any(piece is taken for taken in turns)]
            assert (line.items, line.hint) == (len(held), sum(piece.hint for piece in held))
            assert bool(line) == bool(held)

    offline(scenario)


def work_of_a_crowd(count):
    """Bytecodes of ``count`` requests that wait behind a stuck call, and leave."""

    async def scenario():
        dispatcher = dispatcher_of(FakeTransport(latency=1e5), calls_in_flight=1, first_call=1)
        crowd = [calling(dispatcher, [text(1)] * 3) for _ in range(count)]
        await settle()
        for task in crowd:
            task.cancel()
        await settle()
        dispatcher._tasks.copy().pop().cancel()
        return dispatcher

    return bytecodes(lambda: run(scenario))


def test_the_work_of_waiting_and_leaving_grows_with_the_requests():
    assert work_of_a_crowd(600) < 3 * work_of_a_crowd(300)


def work_after_a_death(count):
    async def scenario():
        transport = FakeTransport()
        dispatcher = dispatcher_of(transport, first_call=1e9)
        leaving = calling(dispatcher, [text(100)] * count, "bulk")
        await asyncio.sleep(0.001)
        transport.fleet[0].die()
        await settle()
        assert dispatcher.waiting_items() == count - 1
        leaving.cancel()
        return dispatcher

    return bytecodes(lambda: run(scenario))


def test_the_work_of_leaving_after_a_death_grows_with_the_inputs():
    assert work_after_a_death(2_000) < 3 * work_after_a_death(1_000)
