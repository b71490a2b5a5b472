"""What a model's state says when Serve could not start it."""

from types import SimpleNamespace

from deployments.remote import _state

TRACEBACK = """The deployment failed to start 3 times in a row. This may be due to a problem with its constructor. Error:
ray::ServeReplica:toy:toy.initialize_and_get_metadata() (pid=1, ip=10.0.0.7)
  File "/home/somebody/secret.py", line 3, in result
model_store.errors.TamperedModel: Model 'toy' refuses to serve: files/config.json: its content is not what the lock says.
"""


def test_the_reason_is_the_errors_own_sentence_without_the_traceback():
    deployment = SimpleNamespace(message=TRACEBACK, replica_states={})
    status = SimpleNamespace(value="DEPLOY_FAILED")
    application = SimpleNamespace(status=status, message="Failed to update.", deployments={"toy": deployment})
    state = _state(application)
    assert (state.state, state.given_up) == ("failed", True)
    assert state.reason == "Model 'toy' refuses to serve: files/config.json: its content is not what the lock says."


def test_an_unhealthy_application_without_replicas_may_come_back():
    deployment = SimpleNamespace(message="", replica_states={})
    status = SimpleNamespace(value="UNHEALTHY")
    state = _state(SimpleNamespace(status=status, message="", deployments={"toy": deployment}))
    assert (state.state, state.given_up) == ("failed", False)
