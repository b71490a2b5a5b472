"""The lane's order and grouping against a plain list, and the shares of the two lanes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import bytecodes, patient

from deployments.batch_queue import BatchPolicy, Entry, FairLanes, LaneQueue
from deployments.engines.base import Prepared

costs = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def entry(cost, sequence, lane="interactive", enqueued=0.0):
    return Entry(Prepared(sequence, cost), enqueued, sequence, lane)


def filled(costs_of_items):
    lane = LaneQueue()
    entries = [entry(cost, sequence) for sequence, cost in enumerate(costs_of_items)]
    for one in entries:
        lane.add(one)
    return lane, entries


def spent(batch):
    return [one.item.cost for one in batch]


@patient
@given(costs, st.integers(1, 300), st.booleans(), st.integers(0, 40))
def test_every_batch_holds_the_oldest_and_fits_the_budget(all_costs, budget, padded, slack):
    lane, waiting = filled(all_costs)
    while waiting:
        batch = lane.take(budget, padded, slack)
        assert batch[0] is waiting[0]
        assert batch == sorted(batch, key=lambda one: one.sequence)
        chosen = spent(batch)
        size = max(chosen) * len(chosen) if padded else sum(chosen)
        assert size <= budget or len(batch) == 1
        if padded:
            assert max(chosen) * len(chosen) - sum(chosen) <= slack * (len(chosen) - 1)
        waiting = [one for one in waiting if one not in batch]
        assert lane.cost == sum(spent(waiting))
        assert len(lane) == len(waiting)
    assert lane.take(budget, padded, slack) == []


@patient
@given(costs, st.integers(1, 300), st.integers(0, 40))
def test_no_padded_batch_leaves_behind_what_would_have_fitted_and_paid(all_costs, budget, slack):
    lane, waiting = filled(all_costs)
    batch = lane.take(budget, True, slack)
    chosen, count = spent(batch), len(batch)
    for one in waiting:
        if one not in batch:
            longest = max(*chosen, one.item.cost)
            added = longest * (count + 1) - one.item.cost - max(chosen) * count
            assert longest * (count + 1) > budget or added > slack


@patient
@given(costs, st.integers(1, 300))
def test_no_summed_batch_leaves_out_its_nearest_neighbours_when_they_fit(all_costs, budget):
    lane, waiting = filled(all_costs)
    batch = lane.take(budget, False, 0)
    chosen = spent(batch)
    left = [one.item.cost for one in waiting if one not in batch]
    below = [cost for cost in left if cost <= min(chosen)]
    above = [cost for cost in left if cost >= max(chosen)]
    assert not below or sum(chosen) + max(below) > budget
    assert not above or sum(chosen) + min(above) > budget


def test_a_side_that_does_not_fit_leaves_the_other_side_open():
    lane, _ = filled([128, 128, 128, 130, 120])
    assert spent(lane.take(512, True, 16)) == [128, 128, 128, 120]


def test_of_equal_costs_the_oldest_go_first():
    lane, _ = filled([5] * 10)
    assert [one.sequence for one in lane.take(15, True, 0)] == [0, 1, 2]
    assert [one.sequence for one in lane.take(15, True, 0)] == [3, 4, 5]


def test_a_single_dear_item_runs_alone():
    lane, _ = filled([900, 900, 3])
    assert spent(lane.take(512, True, 16)) == [900]


def test_what_returned_from_a_failed_batch_goes_first_and_alone():
    lane, entries = filled([5, 5, 5])
    first = lane.take(5, True, 0)[0]
    first.alone = True
    lane.add(first)
    assert lane.oldest() is first
    assert lane.take(100, True, 0) == [first]
    assert lane.take(100, True, 0) == entries[1:]


@patient
@given(costs, st.data())
def test_removed_entries_are_gone_wherever_they_were(all_costs, data):
    lane, waiting = filled(all_costs)
    for one in waiting[: len(waiting) // 3]:
        lane.remove(one)
        one.alone = True
        lane.add(one)
    for gone in data.draw(st.lists(st.sampled_from(waiting), unique=True)):
        lane.remove(gone)
        assert not gone.queued
        waiting.remove(gone)
    assert lane.cost == sum(spent(waiting))
    taken = []
    while batch := lane.take(100, True, 16):
        taken += batch
    assert sorted(one.sequence for one in taken) == [one.sequence for one in waiting]
    assert lane.cost == 0


def work_of_a_lane(count):
    entries = [entry(1 + sequence * 7919 % 500, sequence) for sequence in range(count)]
    lane = LaneQueue()

    def all_of_it():
        for one in entries:
            lane.add(one)
        for one in entries[::2]:
            lane.remove(one)
        while lane.take(512, True, 16):
            pass

    return bytecodes(all_of_it)


def test_the_work_of_a_lane_grows_with_its_items_not_with_their_square():
    assert work_of_a_lane(4_000) < 3 * work_of_a_lane(2_000)


# -- shares --------------------------------------------------------------------------------------------------------


def endless_interactive_load(policy, bulk_costs, interactive_costs, total, age=0.0):
    """Share of bulk in what is computed while neither lane ever runs dry."""
    lanes, sequence, computed = FairLanes(policy, lambda: age), 0, {"interactive": 0, "bulk": 0}
    waiting = {"interactive": 0, "bulk": 0}
    while sum(computed.values()) < total:
        for lane, choices in (("interactive", interactive_costs), ("bulk", bulk_costs)):
            while waiting[lane] < 20:
                lanes.add(entry(choices[sequence % len(choices)], sequence, lane))
                sequence += 1
                waiting[lane] += 1
        batch = lanes.take()
        lanes.account(batch[0].lane, sum(spent(batch)))
        computed[batch[0].lane] += sum(spent(batch))
        waiting[batch[0].lane] -= len(batch)
    return computed["bulk"] / sum(computed.values())


few_costs = st.lists(st.integers(1, 300), min_size=1, max_size=5)


@patient
@given(few_costs, few_costs, st.sampled_from([0.0, 5.0, 10.0, 99.0]))
def test_both_lanes_get_their_share_and_bulk_the_more_the_longer_it_waits(bulk_costs, interactive_costs, age):
    policy = BatchPolicy(budget=100, bulk_share=0.35, bulk_share_aged=0.6, age_limit_s=10.0)
    total = 30_000
    share = endless_interactive_load(policy, bulk_costs, interactive_costs, total, age)
    expected = 0.35 + 0.25 * min(1.0, age / 10.0)
    # What bulk may be behind or ahead at the moment of counting: a batch of each lane and the credit of one more.
    assert share == pytest.approx(expected, abs=1_500 / total)


@patient
@given(st.integers(1, 3_000), st.integers(0, 2_000), st.integers(1, 100))
def test_a_lone_interactive_item_goes_next_whatever_the_bulk_backlog(backlog, ran_before, cost):
    lanes = FairLanes(BatchPolicy(budget=100), lambda: 0.0)
    for sequence in range(backlog):
        lanes.add(entry(1 + sequence % 7, sequence, "bulk"))
    for _ in range(min(ran_before, backlog) // 100):
        batch = lanes.take()
        lanes.account("bulk", sum(spent(batch)))
    lanes.add(entry(cost, backlog, "interactive"))
    assert lanes.take()[0].lane == "interactive"


@patient
@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.sampled_from([0.0, 99.0]))
def test_between_interactive_items_bulk_does_a_bounded_amount_of_work(interactive_costs, age):
    """Interactive items that come one by one, each just in time to keep bulk's credit alive."""
    policy = BatchPolicy(budget=100)
    lanes = FairLanes(policy, lambda: age)
    for sequence in range(2_000):
        lanes.add(entry(1 + sequence % 90, sequence, "bulk"))
    most = 0.0
    for number, cost in enumerate(interactive_costs):
        lanes.add(entry(cost, 2_000 + number, "interactive"))
        bulk_before = 0
        while (batch := lanes.take())[0].lane == "bulk":
            lanes.account("bulk", sum(spent(batch)))
            bulk_before += sum(spent(batch))
        lanes.account("interactive", cost)
        most = max(most, bulk_before)
    # Credit stops growing at the budget, plus what one interactive batch earns, plus the batch that overdraws it.
    share = policy.bulk_share_aged
    assert most <= policy.budget * (2 + share / (1 - share))


def test_a_promoted_entry_changes_lanes_queued_or_not():
    lanes = FairLanes(BatchPolicy(), lambda: 0.0)
    bulk = [entry(10, sequence, "bulk") for sequence in range(3)]
    for one in bulk:
        lanes.add(one)
    lanes.promote(bulk[2])
    assert lanes.cost == 30
    assert lanes.take() == [bulk[2]]
    running = lanes.take()[0]
    lanes.promote(running)
    assert running.lane == "interactive"
    assert not running.queued


@pytest.mark.parametrize(
    "wrong", [{"bulk_share": 0.0}, {"bulk_share_aged": 1.0}, {"bulk_share": 0.9}, {"age_limit_s": 0.0}]
)
def test_shares_that_would_stop_the_batcher_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Shares|age limit"):
        BatchPolicy(**wrong)
