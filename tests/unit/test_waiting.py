"""Serve's words about replicas without room become ours; the message is as Ray 2.60 writes it."""

import pytest

from deployments.waiting import lacking

MESSAGE = (
    "Deployment 'toy' in application 'toy' has 1 replicas that have taken more than 10s to be scheduled. This may be due "
    "to waiting for the cluster to auto-scale or for a runtime environment to be installed. Resources required for each "
    'replica: {"CPU": 0.1, "GPU": 0.4}, total resources available: {"CPU": 1.2000000000000002}. Use `ray status` for '
    "more details."
)


def test_what_is_needed_and_what_is_left():
    assert lacking(MESSAGE) == "it waits for room: a replica needs 0.1 CPU (1.2 left) and 0.4 GPU (0 left)"


def test_what_is_slow_to_start_where_there_is_room_does_not_wait_for_room():
    assert lacking(MESSAGE.replace('"GPU": 0.4}', '"GPU": 0.4}', 1).replace("2}", '2, "GPU": 0.4}')) is None


@pytest.mark.parametrize("message", ["", "The deployment failed to start 3 times in a row.", MESSAGE[:200]])
def test_anything_else_is_no_waiting(message):
    assert lacking(message) is None
