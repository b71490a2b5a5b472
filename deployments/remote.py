"""The one place that calls Serve handles: a transport per application, and the fleet of dispatchers over them."""

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.application_state import state_of
from deployments.call import Answer, CallContext, Lane, ModelState
from deployments.dispatch import Dispatcher
from deployments.errors import ModelNotReady, Overloaded
from deployments.generation import Delta, GenerationRequest
from deployments.generation_line import GenerationLine
from deployments.meter import Event
from deployments.wire import Call, ReplicaDied, Reply
from model_store.errors import MusterError

STATES_S, CONTROLLER_S = 1.0, 5.0
BACKEND_S, REPLICA_S = 10.0, 2.0


class HandleTransport:
    """Sends calls to one application's ingress deployment through its Serve handle."""

    def __init__(self, application: str) -> None:
        self._application = application
        self._handle: DeploymentHandle | None = None
        self._answer: DeploymentHandle | None = None
        self._generate: DeploymentHandle | None = None

    def replicas(self) -> int:
        """What Serve's own router knows, pushed to it by the controller; asking the controller costs 20 ms a time."""
        return max(1, self.known())

    def known(self) -> int:
        """The same, 0 while none is known: before the first call, or when all are gone."""
        router = getattr(getattr(self._answer, "_router", None), "_asyncio_router", None)
        return len(getattr(getattr(router, "request_router", None), "curr_replicas", ()))

    async def send(self, call: Call) -> Reply:
        if self._answer is None:
            await self._connect()
        assert self._answer is not None
        try:
            reply: Reply = await self._answer.remote(call)
        except Exception as error:
            raise _translated(error, self._application) from error
        return reply

    async def generate(
        self, request: GenerationRequest, remaining_s: float, request_id: str, lane: Lane
    ) -> AsyncGenerator[Delta, None]:
        if self._generate is None:
            await self._connect()
        assert self._generate is not None
        deltas = self._generate.remote(request, remaining_s, request_id, lane)
        try:
            async for delta in deltas:
                yield delta
        except Exception as error:
            raise _translated(error, self._application) from error
        finally:
            # Also where nobody reads any more: the replica is told, and drops the generation.
            deltas.cancel()

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
        plain = {"request_serialization": "pickle", "response_serialization": "pickle"}
        self._answer = handle.options(method_name="answer", **plain)
        self._generate = handle.options(method_name="generate", stream=True, **plain)
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
    """All applications of this Serve instance, each behind its own dispatcher; implements ``call.Fleet``.

    ``observe(application, event)``: told what replicas tell of their work.
    """

    def __init__(
        self,
        hints: Mapping[str, Callable[[Any], int]],
        default_hint: Callable[[Any], int],
        observe: Callable[[str, Event], None] = lambda application, event: None,
    ) -> None:
        self._hints, self._default_hint, self._observe = hints, default_hint, observe
        self._sender = uuid.uuid4().hex
        self._dispatchers: dict[str, Dispatcher] = {}
        self._transports: dict[str, HandleTransport] = {}
        self._lines: dict[str, GenerationLine] = {}
        self._states: dict[str, ModelState] = {}
        self._backends: dict[str, tuple[float, str | None]] = {}
        self._asked = -math.inf
        self._asking = asyncio.Lock()
        self._question: asyncio.Future[Any] | None = None

    async def call(
        self, application: str, inputs: Sequence[Any], options: Mapping[str, Any], context: CallContext
    ) -> Answer:
        dispatcher = self._dispatcher(application)
        await self._require_hope(application)
        return await dispatcher.call(inputs, options, context)

    async def stream(
        self, application: str, request: GenerationRequest, context: CallContext
    ) -> AsyncGenerator[Delta, None]:
        if application not in self._lines:
            self._dispatcher(application)
            observe = partial(self._observe, application)
            self._lines[application] = GenerationLine(application, self._transports[application], observe=observe)
        await self._require_hope(application)
        async with contextlib.aclosing(self._lines[application].stream(request, context)) as deltas:
            async for delta in deltas:
                yield delta

    async def states(self) -> Mapping[str, ModelState]:
        """Asked of the controller when somebody wants to know, and kept for ``STATES_S``."""
        async with self._asking:
            if time.monotonic() - self._asked > STATES_S:
                self._states = await self._ask()
                self._asked = time.monotonic()
        return self._states

    async def backend(self, application: str) -> str | None:
        """Asked of one of its replicas with an empty call, and kept for ``BACKEND_S``."""
        asked, backend = self._backends.get(application, (-math.inf, None))
        if time.monotonic() - asked > BACKEND_S:
            reply = await self._empty_call(application)
            backend = reply.backend if reply else None
            self._backends[application] = (time.monotonic(), backend)
        return backend

    async def about(self, application: str) -> Mapping[str, Any]:
        """Asked in the same way, and not kept: it says how things stand now."""
        reply = await self._empty_call(application)
        return reply.details if reply else {}

    async def _empty_call(self, application: str) -> Reply | None:
        self._dispatcher(application)
        try:
            async with asyncio.timeout(REPLICA_S):
                reply = await self._transports[application].send(Call("interactive", []))
        except (TimeoutError, ReplicaDied, MusterError, RayError, RayServeException):
            return None
        for batch in reply.batches:
            self._observe(application, batch)
        return reply

    async def _require_hope(self, application: str) -> None:
        """Raises ``ModelNotReady``: Serve's router would wait for a replica until the deadline, and there is none."""
        if not self._transports[application].known():
            state = (await self.states()).get(application)
            if state is not None and state.given_up:
                raise ModelNotReady(application, (state.reason or "it failed to start").rstrip("."))

    async def _ask(self) -> dict[str, ModelState]:
        """The controller's word; while it does not answer (it is restarted by itself), every application is unknown."""
        if self._question is None or self._question.done():
            # One question at a time, kept over a caller's time-out: its thread cannot be stopped.
            self._question = asyncio.ensure_future(asyncio.to_thread(serve.status))
        try:
            status = await asyncio.wait_for(asyncio.shield(self._question), CONTROLLER_S)
        except (TimeoutError, RayError, RayServeException):
            silent = ModelState("failed", "Serve's controller does not answer")
            return {
                name: replace(state, state=silent.state, reason=silent.reason) for name, state in self._states.items()
            }
        return {name: state_of(application) for name, application in status.applications.items()}

    def _dispatcher(self, application: str) -> Dispatcher:
        if application not in self._dispatchers:
            hint = self._hints.get(application, self._default_hint)
            transport = self._transports[application] = HandleTransport(application)
            observe = partial(self._observe, application)
            self._dispatchers[application] = Dispatcher(
                application, transport, hint, sender=self._sender, observe=observe
            )
        return self._dispatchers[application]
