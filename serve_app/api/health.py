"""Health: is the process up, does the main job answer, and what exactly is wrong."""

import asyncio
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from fastapi import FastAPI
from starlette.responses import Response

from deployments.call import ModelState
from deployments.errors import DeadlineExceeded, StateUnavailable
from model_store.errors import UnknownModel
from serve_app.api.errors import responses
from serve_app.api.health_answers import Health, HealthReport, Readiness
from serve_app.api.names import application_of
from serve_app.api.roles import ABSENT
from serve_app.api.services import Services
from serve_app.api.weighing import APPLICATION as SKILLS
from serve_app.skill_replicas import component, gauges

PATIENCE_S = 2.0
Status = Literal["healthy", "degraded", "unhealthy"]
UP = orjson.dumps({"status": "healthy"})
WITHOUT_STATE = "stored students, journals, chats, reports, records and complete metrics"


class HealthRoutes:
    """The health routes and the Prometheus page."""

    def __init__(self, services: Services, version: str) -> None:
        self._services, self._version = services, version

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        common: dict[str, Any] = {"methods": ["GET"], "tags": ["operations"]}
        app.add_api_route("/health", self.health, summary="The process is up", response_model=Health, **common)
        ready = {"model": Readiness, "description": "Something that the main job needs does not answer yet."}
        app.add_api_route(
            "/readiness",
            self.readiness,
            summary="The main job answers",
            response_model=Readiness,
            responses={**responses("/readiness"), 503: ready},
            **common,
        )
        app.add_api_route(
            "/health/detailed",
            self.detailed,
            summary="Every component and why",
            response_model=HealthReport,
            responses=responses("/health/"),
            **common,
        )
        app.add_api_route(
            "/metrics",
            self.metrics,
            summary="Prometheus metrics of all gateways",
            response_class=Response,
            responses={**responses("/metrics"), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
            **common,
        )

    async def health(self) -> Response:
        """Answers as long as the process does; asks nobody."""
        return Response(UP, media_type="application/json")

    async def readiness(self) -> Response:
        """200 when the models of the main job and the skill graph answer, else 503 with their names."""
        lacking = missing(self._services, await known_states(self._services))
        body = {"status": "loading" if lacking else "ready", "waiting_for": lacking}
        headers = {"Retry-After": "2"} if lacking else None
        return Response(orjson.dumps(body), 503 if lacking else 200, headers, "application/json")

    async def detailed(self) -> Response:
        """A report, not a probe: the status is in the body and the answer is always 200."""
        states, state, replicas = await asyncio.gather(
            known_states(self._services), self._state(), self._services.skill_replicas()
        )
        reasoning = await reasoning_state(self._services, states)
        components = {
            "applications": {name: _component(held) for name, held in sorted(states.items())},
            "redis": state,
            "keys": self._keys(),
            "skill_models": component(replicas),
            "reasoning": reasoning,
            "flow_words": self._services.words.describe(),
            "fusion_weights": self._weights(),
            "secrets": {"status": "healthy", "reason": None, **self._services.secret_sources()},
        }
        lacking = missing(self._services, states)
        body = {
            "status": overall(lacking, components),
            "missing": lacking,
            "components": components,
            "version": self._version,
            "python_version": platform.python_version(),
            "timestamp": datetime.now(UTC).isoformat(),
        }
        return Response(orjson.dumps(body), media_type="application/json")

    async def metrics(self) -> Response:
        """Counters of all gateway processes together, whichever answers."""
        self._services.drift.refresh_soon()
        text = await self._services.shared_metrics.render()
        text += gauges(await self._services.skill_replicas())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _state(self) -> dict[str, str | None]:
        if not self._services.state.configured:
            return {"status": "degraded", "reason": f"not configured: no {WITHOUT_STATE}"}
        try:
            await self._services.state.ping()
        except StateUnavailable:
            return {"status": "degraded", "reason": f"does not answer: no {WITHOUT_STATE}"}
        return {"status": "healthy", "reason": None}

    def _weights(self) -> dict[str, Any]:
        weights = self._services.weights
        told = {"store": weights.store, "revision": weights.book.revision, "version": weights.book.version}
        if weights.problem:
            return {"status": "degraded", "reason": weights.problem, **told}
        # Each gateway process would have weights of its own.
        alone = "changes are kept by this gateway process alone" if weights.store == "memory" else None
        return {"status": "healthy", "reason": alone, **told}

    def _keys(self) -> dict[str, str | None]:
        keys = self._services.keys
        if keys.problem:
            return {"status": "degraded", "reason": "the keys file is broken; the last good keys are in force"}
        return {"status": "healthy", "reason": None if keys.configured else "no keys configured: this machine only"}


async def known_states(services: Services) -> Mapping[str, ModelState]:
    """The applications' states. Raises ``DeadlineExceeded`` when nobody tells them in time."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await services.fleet.states()
    except TimeoutError:
        raise DeadlineExceeded("The state of the applications could not be read in time.") from None


async def reasoning_state(services: Services, states: Mapping[str, ModelState]) -> dict[str, Any]:
    """What one replica of the reasoning stage says of its language model; each has a breaker of its own."""
    if states.get(SKILLS, ABSENT).state != "ready":
        return {"status": "degraded", "reason": "the skill graph does not answer", "provider": "template"}
    told = (await services.fleet.about(SKILLS)).get("reasoning")
    return dict(told) if told else {"status": "healthy", "reason": None, "provider": "template", "mode": "off"}


def missing(services: Services, states: Mapping[str, ModelState]) -> list[str]:
    """The applications that the main job needs and that do not answer."""
    needed = {SKILLS, *(_application(services, role) for role in services.settings.ready_roles)}
    return sorted(name for name in needed if states.get(name, ABSENT).state != "ready")


def _application(services: Services, role: str) -> str:
    """The application of a role; the role itself, so that it shows as missing, when no model plays it."""
    try:
        return application_of(services.catalogue.find(role))
    except UnknownModel:
        return role


def overall(missing: list[str], components: Mapping[str, Any]) -> Status:
    """Unhealthy when the main job does not answer, degraded when anything else does not."""
    if missing:
        return "unhealthy"
    parts = [
        components[name] for name in ("redis", "keys", "skill_models", "reasoning", "flow_words", "fusion_weights")
    ]
    parts += [*components["applications"].values()]
    return "healthy" if all(part["status"] == "healthy" for part in parts) else "degraded"


def _component(state: ModelState) -> dict[str, Any]:
    status = {"ready": "healthy", "failed": "unhealthy"}.get(state.state, "degraded")
    return {"status": status, "state": state.state, "reason": state.reason, "replicas": state.replicas}
