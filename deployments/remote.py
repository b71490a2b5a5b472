"""The one place that calls Serve handles: a transport per application, and the fleet of dispatchers over them."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.call import Answer, CallContext, ModelState
from deployments.dispatch import Dispatcher
from deployments.errors import ModelNotReady, Overloaded
from deployments.wire import Call, ReplicaDied, Reply
from model_store.errors import MusterError

logger = logging.getLogger("ray.serve.muster")
POLL_S = 1.0


class HandleTransport:
    """Sends calls to one application's ingress deployment through its Serve handle."""

    def __init__(self, application: str, replicas: Callable[[], int]) -> None:
        self._application = application
        self._replicas = replicas
        self._handle: DeploymentHandle | None = None
        self._answer: DeploymentHandle | None = None

    def replicas(self) -> int:
        return max(1, self._replicas())

    async def send(self, call: Call) -> Reply:
        if self._answer is None:
            await self._connect()
        assert self._answer is not None
        try:
            reply: Reply = await self._answer.remote(call)
        except Exception as error:
            raise _translated(error, self._application) from error
        return reply

    async def cancel(self, request_ids: Sequence[str]) -> None:
        if self._handle is None:
            return
        # Best effort: a replica that cannot be told will find the deadline passed by itself.
        with contextlib.suppress(Exception):
            await self._handle.broadcast("cancel", list(request_ids)).results_async(timeout_s=5)

    async def _connect(self) -> None:
        try:
            handle = await asyncio.to_thread(serve.get_app_handle, self._application)
        except RayServeException as error:
            raise ModelNotReady(self._application, "it is not deployed") from error
        # Calls carry plain dataclasses and arrays of installed modules: pickle is enough and faster than cloudpickle.
        self._answer = handle.options(
            method_name="answer", request_serialization="pickle", response_serialization="pickle"
        )
        self._handle = handle


def _translated(error: Exception, application: str) -> Exception:
    """Serve's and Ray's errors in Muster's words; an error of ours is unwrapped, anything else is passed on."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RayActorError):
        return ReplicaDied()
    if isinstance(cause, MusterError):
        return cause
    if isinstance(cause, BackPressureError):
        return Overloaded()
    if isinstance(cause, DeploymentUnavailableError):
        return ModelNotReady(application, "its deployment failed")
    return error


class ServeFleet:
    """All applications of this Serve instance, each behind its own dispatcher; implements ``call.Fleet``."""

    def __init__(self, hints: Mapping[str, Callable[[Any], int]], default_hint: Callable[[Any], int]) -> None:
        self._hints, self._default_hint = hints, default_hint
        self._sender = uuid.uuid4().hex
        self._dispatchers: dict[str, Dispatcher] = {}
        self._states: dict[str, ModelState] = {}
        self._poller: asyncio.Task[None] | None = None

    async def call(
        self, application: str, inputs: Sequence[Any], options: Mapping[str, Any], context: CallContext
    ) -> Answer:
        return await self._dispatcher(application).call(inputs, options, context)

    async def states(self) -> Mapping[str, ModelState]:
        if self._poller is None:
            await self.start()
        return self._states

    async def start(self) -> None:
        """Begin to follow the state of the applications."""
        await self._refresh()
        self._poller = asyncio.get_running_loop().create_task(self._poll())

    def backlog_s(self, application: str) -> float:
        dispatcher = self._dispatchers.get(application)
        return dispatcher.waiting_s() if dispatcher else 0.0

    def _dispatcher(self, application: str) -> Dispatcher:
        if application not in self._dispatchers:
            transport = HandleTransport(application, lambda: self._running(application))
            hint = self._hints.get(application, self._default_hint)
            self._dispatchers[application] = Dispatcher(application, transport, hint, sender=self._sender)
        return self._dispatchers[application]

    def _running(self, application: str) -> int:
        state = self._states.get(application)
        return state.replicas if state else 1

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._refresh()
            except Exception:
                logger.exception("The state of the applications could not be read.")

    async def _refresh(self) -> None:
        status = await asyncio.to_thread(serve.status)
        self._states = {name: _state(application) for name, application in status.applications.items()}


def _state(application: Any) -> ModelState:
    """One application's Serve status as a model state; replicas are those of its scarcest deployment."""
    running = [int(deployment.replica_states.get("RUNNING", 0)) for deployment in application.deployments.values()]
    replicas = min(running, default=0)
    status = str(application.status.value if hasattr(application.status, "value") else application.status)
    reasons = [deployment.message for deployment in application.deployments.values() if deployment.message]
    reason = application.message or "; ".join(reasons) or None
    if replicas > 0 and status in ("RUNNING", "DEPLOYING", "UNHEALTHY"):
        return ModelState("ready", None, replicas)
    if status in ("DEPLOY_FAILED", "UNHEALTHY"):
        return ModelState("failed", reason, replicas)
    return ModelState("loading", None, replicas)
