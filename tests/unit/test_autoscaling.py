"""Replicas wanted for a backlog."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import patient

from deployments.autoscaling import BACKLOG_METRIC, TARGET_BACKLOG_S, by_backlog


def scaling(*backlogs):
    return SimpleNamespace(current_num_replicas=1, aggregated_metrics={BACKLOG_METRIC: dict(enumerate(backlogs))})


@pytest.mark.parametrize(
    ("backlogs", "wanted"),
    [((), 1), ((0.0,), 1), ((0.5,), 1), ((0.51,), 2), ((0.5, 0.5), 2), ((3.0, 0.0), 6), ((0.0, 0.0, 0.0), 1)],
)
def test_one_replica_for_each_half_second_of_work(backlogs, wanted):
    assert by_backlog(scaling(*backlogs)) == (wanted, {})


@pytest.mark.parametrize("metrics", [None, {}, {"other": {"a": 9.0}}])
def test_before_any_replica_reported_one_is_enough(metrics):
    assert by_backlog(SimpleNamespace(current_num_replicas=3, aggregated_metrics=metrics)) == (1, {})


@patient
@given(st.lists(st.floats(0, 1e4), max_size=20), st.floats(0, 1e4))
def test_more_work_never_wants_fewer_replicas_and_each_gets_its_target(backlogs, more):
    wanted, _ = by_backlog(scaling(*backlogs))
    assert wanted >= 1
    assert wanted * TARGET_BACKLOG_S >= sum(backlogs) - 1e-6
    assert (wanted - 1) * TARGET_BACKLOG_S <= sum(backlogs) + 1e-6
    assert by_backlog(scaling(*backlogs, more))[0] >= wanted
