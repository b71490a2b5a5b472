"""``/v1/models``: the catalogue with the state of each model."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.responses import Response

from deployments.call import ModelState
from model_store.catalogue import ROLES
from model_store.errors import UnknownModel
from serve_app.api.errors import responses
from serve_app.api.model_answers import ModelCard, ModelList
from serve_app.api.names import Model, application_of
from serve_app.api.roles import ABSENT
from serve_app.api.services import Services


class ModelRoutes:
    """The models routes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._created = int(time.time())

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        common: dict[str, Any] = {"methods": ["GET"], "tags": ["models"], "responses": responses("/v1/")}
        app.add_api_route("/v1/models", self.list, summary="All models", response_model=ModelList, **common)
        app.add_api_route(
            "/v1/models/{model_id:path}", self.get, summary="One model", response_model=ModelCard, **common
        )

    async def list(self) -> Response:
        """Every model of the catalogue, deployed or not."""
        states = await self._services.fleet.states()
        cards = [self._card(model, states) for model in self._services.catalogue]
        return _json({"object": "list", "data": await asyncio.gather(*cards)})

    async def get(self, model_id: str) -> Response:
        """One model by key, Hugging Face id (with its slash) or role."""
        states = await self._services.fleet.states()
        return _json(await self._card(self._services.catalogue.find(model_id), states))

    async def _card(self, model: Model, states: Mapping[str, ModelState]) -> dict[str, Any]:
        application = application_of(model)
        state = states.get(application, ABSENT)
        backend = await self._services.fleet.backend(application) if state.state == "ready" else None
        return {
            "id": model.key,
            "object": "model",
            "created": self._created,
            "owned_by": model.id.partition("/")[0],
            "hf_id": model.id,
            "task": model.task,
            "revision": model.revision,
            "licence": model.licence,
            "state": state.state,
            "reason": state.reason,
            "backend": backend,
            "limits": model.limits.model_dump(),
            "dimensions": model.dimensions,
            "roles": [*model.roles],
            "plays": [role for role in ROLES if self._plays(model, role)],
            "accuracy_gate": await asyncio.to_thread(self._services.gate, model.key, backend),
        }

    def _plays(self, model: Model, role: str) -> bool:
        try:
            return self._services.catalogue.find(role) is model
        except UnknownModel:
            return False


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
