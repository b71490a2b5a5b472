"""The Open Inference Protocol v2 over REST: health, metadata and inference with tensors, models by key only."""

import time
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.call import Answer
from deployments.errors import ModelNotReady
from deployments.skills.features import SKILLS
from serve_app.api.bodies import validate
from serve_app.api.calls import model_headers
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.health import known_states, missing
from serve_app.api.openapi import json_body
from serve_app.api.roles import ABSENT
from serve_app.api.services import Services
from serve_app.api.skill_tensors import SkillModel
from serve_app.api.tensor_answers import (
    InferenceAnswer,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from serve_app.api.tensor_models import TensorModel, text_model
from serve_app.api.tensor_request import InferenceRequest, read_tensors
from serve_app.api.tensors import tensor_response
from serve_app.errors import UnknownVersion

EXTENSIONS = ("binary_tensor_data",)
VERSION = "1"
"""A model has one version at a time, the one that is deployed; which revision that is, every answer says."""
VERSION_PARAMETER = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}


class OpenInference:
    """The ``/v2`` routes."""

    def __init__(self, services: Services, version: str) -> None:
        self._services, self._version = services, version
        self._skills = {skill: SkillModel(services, skill) for skill in SKILLS}

    def mount(self, app: FastAPI) -> None:
        """Add the routes; a model's with and without a version."""
        get: dict[str, Any] = {"methods": ["GET"], "tags": ["tensors"], "responses": responses("/v2/")}
        app.add_api_route("/v2", self.server, summary="The server", response_model=ServerMetadata, **get)
        live = {**get, "summary": "The process is up", "response_model": ServerLive}
        app.add_api_route("/v2/health/live", self.live, **live)
        ready = {**get, "summary": "The main job answers", "response_model": ServerReady}
        app.add_api_route("/v2/health/ready", self.ready, **ready)
        self._mount_model(app, "/v2/models/{key}", get)
        self._mount_model(app, "/v2/models/{key}/versions/{version}", get)

    def _mount_model(self, app: FastAPI, path: str, get: dict[str, Any]) -> None:
        extra = {"parameters": [VERSION_PARAMETER]} if path.endswith("{version}") else {}
        metadata: dict[str, Any] = {
            "summary": "A model's tensors",
            "response_model": ModelMetadata,
            "openapi_extra": extra,
        }
        app.add_api_route(path, self.metadata, **metadata, **get)
        ready: dict[str, Any] = {"summary": "The model answers", "response_model": ModelReady, "openapi_extra": extra}
        app.add_api_route(f"{path}/ready", self.model_ready, **ready, **get)
        app.add_api_route(
            f"{path}/infer",
            self.infer,
            summary="Tensors to tensors",
            methods=["POST"],
            tags=["tensors"],
            response_model=InferenceAnswer,
            responses={**responses("/v2/"), 200: {"content": {"application/octet-stream": {}}}},
            openapi_extra={**extra, **json_body(InferenceRequest)},
        )

    async def server(self) -> Response:
        """Name, version, and the extensions of the protocol that are understood."""
        return _json({"name": "muster", "version": self._version, "extensions": EXTENSIONS})

    async def live(self) -> Response:
        """Answers as long as the process does; asks nobody."""
        return _json({"live": True})

    async def ready(self) -> Response:
        """The same as `/readiness`: 503 while a model of the main job does not answer."""
        lacking = missing(self._services, await known_states(self._services))
        if lacking:
            raise ModelNotReady(lacking[0], retry_after_s=2)
        return _json({"ready": True})

    async def metadata(self, request: Request, key: str) -> Response:
        """What goes in and comes out."""
        model = self._model(request, key)
        state = (await known_states(self._services)).get(model.application, ABSENT)
        backend = await self._services.fleet.backend(model.application) if state.state == "ready" else None
        body = {
            "name": model.key,
            "versions": [VERSION],
            "platform": backend or "",
            "inputs": [spec.metadata() for spec in model.inputs],
            "outputs": [spec.metadata() for spec in model.outputs],
            "parameters": model.describe(),
        }
        return _json(body)

    async def model_ready(self, request: Request, key: str) -> Response:
        """200, or 503 with the reason."""
        model = self._model(request, key)
        state = (await known_states(self._services)).get(model.application, ABSENT)
        if state.state != "ready":
            raise ModelNotReady(model.key, state.reason or "it is still loading")
        return _json({"name": model.key, "ready": True})

    async def infer(self, request: Request, key: str) -> Response:
        """JSON tensors, or binary ones behind the JSON, as `tritonclient` sends them by default."""
        model = self._model(request, key)
        asked = await read_tensors(request)
        parameters = validate(asked.request.parameters, model.parameters)
        asked.check(model.inputs, model.outputs)
        if parameters.timeout is not None:
            exchange = exchange_of(request)
            exchange.deadline = min(exchange.deadline, time.monotonic() + parameters.timeout / 1e6)
        outputs, answer = await model.infer(request, asked, parameters)
        head = {"model_name": model.key, "model_version": VERSION, "parameters": _told(answer)}
        if asked.request.id is not None:
            head["id"] = asked.request.id
        return await tensor_response(head, asked.wanted(outputs), model_headers(answer, model.key))

    def _model(self, request: Request, key: str) -> TensorModel:
        """Raises ``UnknownModel``, ``UnknownVersion``, and ``InvalidInput`` for a model that gives no tensors."""
        if key in self._skills:
            model: TensorModel = self._skills[key]
        else:
            model = text_model(self._services, self._services.catalogue.with_key(key))
        if request.path_params.get("version", VERSION) != VERSION:
            raise UnknownVersion(VERSION)
        return model


def _told(answer: Answer) -> dict[str, Any]:
    """Who answered, as the protocol's parameters: text, numbers and truth values only."""
    told: dict[str, Any] = {"revision": answer.revision, "fallback": answer.remote}
    if answer.truncated:
        told["truncated"] = orjson.dumps(list(answer.truncated)).decode()
    return told


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
