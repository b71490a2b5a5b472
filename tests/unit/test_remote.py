"""What a model's state says when Serve could not start it, and what its replicas say they compute with."""

import asyncio
from types import SimpleNamespace

import pytest
from test_waiting import MESSAGE

from deployments import remote
from deployments.application_state import state_of
from deployments.errors import ModelNotReady
from deployments.remote import ServeFleet
from deployments.wire import Call, ReplicaDied, Reply

TRACEBACK = """The deployment failed to start 3 times in a row. This may be due to a problem with its constructor. Error:
ray::ServeReplica:toy:toy.initialize_and_get_metadata() (pid=1, ip=10.0.0.7)
  File "/home/somebody/secret.py", line 3, in result
model_store.errors.TamperedModel: Model 'toy' refuses to serve: files/config.json: its content is not what the lock says.
"""


def test_the_reason_is_the_errors_own_sentence_without_the_traceback():
    deployment = SimpleNamespace(message=TRACEBACK, replica_states={})
    status = SimpleNamespace(value="DEPLOY_FAILED")
    application = SimpleNamespace(status=status, message="Failed to update.", deployments={"toy": deployment})
    state = state_of(application)
    assert (state.state, state.given_up) == ("failed", True)
    assert state.reason == "Model 'toy' refuses to serve: files/config.json: its content is not what the lock says."


def test_an_unhealthy_application_without_replicas_may_come_back():
    deployment = SimpleNamespace(message="", replica_states={})
    status = SimpleNamespace(value="UNHEALTHY")
    state = state_of(SimpleNamespace(status=status, message="", deployments={"toy": deployment}))
    assert (state.state, state.given_up) == ("failed", False)


def test_an_application_that_waits_for_room_says_so():
    deployment = SimpleNamespace(message=MESSAGE, replica_states={"STARTING": 1})
    status = SimpleNamespace(value="DEPLOYING")
    state = state_of(SimpleNamespace(status=status, message="", deployments={"toy": deployment}))
    assert (state.state, state.replicas) == ("loading", 0)
    assert state.reason == "it waits for room: a replica needs 0.1 CPU (1.2 left) and 0.4 GPU (0 left)"
    deployment.message = ""
    assert state_of(SimpleNamespace(status=status, message="", deployments={"toy": deployment})).reason is None


class Transport:
    """Answers as told; counts."""

    def __init__(self, *outcomes):
        self.outcomes, self.calls = list(outcomes), []

    async def send(self, call):
        self.calls.append(call)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            await asyncio.sleep(60)
        return Reply([], "r1", 1.0, 0.0, outcome)


@pytest.fixture
def fleet():
    return ServeFleet({}, len)


def connect(fleet, transport):
    fleet._dispatcher("toy")
    fleet._transports["toy"] = transport
    return transport


async def test_a_backend_is_asked_with_an_empty_call_and_kept_for_a_while(fleet, monkeypatch):
    transport = connect(fleet, Transport("onnxruntime-cpu", "torch-cuda"))
    assert [await fleet.backend("toy") for _ in range(3)] == ["onnxruntime-cpu"] * 3
    assert transport.calls == [Call("interactive", [])]
    monkeypatch.setattr(remote, "BACKEND_S", 0.0)
    assert await fleet.backend("toy") == "torch-cuda"


@pytest.mark.parametrize("trouble", [ReplicaDied(), ModelNotReady("toy"), None])
async def test_no_answer_is_no_backend(fleet, trouble, monkeypatch):
    monkeypatch.setattr(remote, "REPLICA_S", 0.01)
    connect(fleet, Transport(trouble))
    assert await fleet.backend("toy") is None
