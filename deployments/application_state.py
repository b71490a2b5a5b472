"""What Serve says of an application, as a model's state. Plain data in, no Ray."""

import re
from typing import Any

from deployments.call import ModelState
from deployments.waiting import lacking

_RAISED = re.compile(r"^(?:[A-Za-z_][\w]*\.)*[A-Z]\w*: (?=\S)")


def state_of(application: Any) -> ModelState:
    """One application's Serve status as a model state; replicas are those of its scarcest deployment."""
    running = [int(deployment.replica_states.get("RUNNING", 0)) for deployment in application.deployments.values()]
    replicas = min(running, default=0)
    status = str(application.status.value if hasattr(application.status, "value") else application.status)
    # The application's own message only says that a deployment failed, not why.
    reasons = [_reason(deployment.message) for deployment in application.deployments.values() if deployment.message]
    reason = "; ".join(reasons) or application.message or None
    if replicas > 0 and status in ("RUNNING", "DEPLOYING", "UNHEALTHY"):
        return ModelState("ready", None, replicas)
    if status in ("DEPLOY_FAILED", "UNHEALTHY"):
        return ModelState("failed", reason, replicas, given_up=status == "DEPLOY_FAILED")
    waits = [lacking(deployment.message) for deployment in application.deployments.values()]
    return ModelState("loading", next(filter(None, waits), None), replicas)


def _reason(message: str) -> str:
    """What went wrong, out of a deployment's message: the last line of a traceback, without the error's class."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    last = lines[-1] if lines else "no reason given"
    return _RAISED.sub("", last)[:500]
