"""``GET /v1/capabilities``: what this deployment can do now, here and remotely."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from deployments.call import ModelState
from deployments.errors import StateUnavailable
from deployments.generation import GenerationRequest, Turn
from deployments.skills.features import SKILLS
from model_store.catalogue import ROLES
from model_store.errors import UnknownModel
from serve_app.api.calls import while_connected
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.flows import flows
from serve_app.api.health import known_states, reasoning_state
from serve_app.api.model_answers import Capabilities
from serve_app.api.names import Model, application_of
from serve_app.api.roles import ABSENT, state_of
from serve_app.api.services import Services
from serve_app.api.weighing import APPLICATION
from serve_app.errors import RemoteFailed

PROBE = "hello"
PROBE_INPUTS: Mapping[str, Any] = {
    "zero-shot": {
        "text": PROBE,
        "labels": ["greeting", "question"],
        "hypothesis_template": "This is a {}.",
        "multi_label": False,
    }
}
Probe = Annotated[
    bool, Query(description="Ask the remote provider for a tiny answer of each model; it may cost money.")
]


class CapabilityRoutes:
    """The capabilities route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route(
            "/v1/capabilities",
            self.get,
            methods=["GET"],
            tags=["models"],
            summary="What can be done now",
            response_model=Capabilities,
            responses=responses("/v1/"),
        )

    async def get(self, request: Request, probe: Probe = False) -> Response:
        """Tasks and roles with who answers for them, the flows, the remote provider, reasoning, and the store."""
        states, redis = await asyncio.gather(known_states(self._services), self._redis())
        here = [model for model in self._services.catalogue if application_of(model) in states]
        skills = states.get(APPLICATION, ABSENT)
        roles = {role: self._role(role, states) for role in ROLES}
        body = {
            "tasks": {model.task: self._task(model.task, here, states) for model in here},
            "roles": roles,
            "skills": {"skill_types": SKILLS, "state": skills.state, "reason": skills.reason},
            "flows": flows(self._services, states, roles["chat"], keeps=redis["state"] == "ready"),
            "remote": await self._remote(request, probe=probe),
            "reasoning": await self._reasoning(states),
            "store": redis,
        }
        return Response(orjson.dumps(body), media_type="application/json")

    async def _reasoning(self, states: Mapping[str, ModelState]) -> dict[str, Any]:
        told = await reasoning_state(self._services, states)
        names = ("provider", "mode", "model", "key", "breaker", "limits", "budget", "reason")
        return {name: told.get(name) for name in names}

    @staticmethod
    def _task(task: str, here: list[Model], states: Mapping[str, ModelState]) -> list[dict[str, Any]]:
        """The deployed models of a task."""
        return [
            {"model": model.key, "state": state_of(states, model).state, "reason": state_of(states, model).reason}
            for model in here
            if model.task == task
        ]

    def _role(self, role: str, states: Mapping[str, ModelState]) -> dict[str, Any]:
        """Who would answer for a role now, from the first choice to the last stand-in."""
        try:
            chain = self._services.catalogue.chain(role)
        except UnknownModel:
            chain = ()
        ready = [model.key for model in chain if state_of(states, model).state == "ready"]
        remote = self._services.remote
        there = [model.key for model in chain if remote is not None and remote.willing(model)]
        return {"state": "ready" if ready or there else "unavailable", "local": ready, "remote": there}

    async def _remote(self, request: Request, *, probe: bool) -> dict[str, Any]:
        remote = self._services.remote
        if remote is None:
            return {"configured": False, "models": []}
        rows = []
        for model in remote.models:
            told = await self._probed(request, model) if probe else {}
            breaker = remote.breaker(model)
            facts = {
                "breaker": breaker.state,
                "reason": breaker.reason,
                "retry_after_s": round(breaker.retry_after_s, 1),
            }
            rows.append({"model": model.key, "task": model.task, **facts, **told})
        return {"configured": True, "models": rows}

    async def _probed(self, request: Request, model: Model) -> dict[str, Any]:
        """Whether the provider answers for this model, asked now."""
        remote, started = self._services.remote, time.monotonic()
        assert remote is not None
        deadline = exchange_of(request).deadline
        work: Coroutine[Any, Any, Any]
        if model.task == "generation":
            work = remote.chat(model, GenerationRequest((Turn("user", PROBE),), max_tokens=1), deadline)
        else:
            work = remote.ask(model, [PROBE_INPUTS.get(model.task, PROBE)], {}, deadline)
        try:
            await while_connected(request.receive, work)
        except RemoteFailed as error:
            return {"answers": False, "problem": error.reason}
        return {"answers": True, "milliseconds": round((time.monotonic() - started) * 1000, 1)}

    async def _redis(self) -> dict[str, Any]:
        if not self._services.state.configured:
            return {"state": "not_configured"}
        try:
            await self._services.state.ping()
        except StateUnavailable:
            return {"state": "unavailable"}
        return {"state": "ready"}
