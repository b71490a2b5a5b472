"""Students' features: store, read, erase. A student belongs to the key's tenant; another tenant's does not exist."""

import re
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput, StateUnavailable
from deployments.skills.features import FeatureSet
from serve_app.api.bodies import read_json
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.openapi import json_body
from serve_app.api.schemas import STUDENT_ID, STUDENT_ID_SCHEMA, Features
from serve_app.api.services import Services
from serve_app.api.skill_answers import Erased, StoredFeatures
from serve_app.errors import UnknownStudent

_STUDENT_ID = re.compile(STUDENT_ID[:-1] + r"\Z")
RESERVED_ID = "batch"
StudentId = Annotated[str, Path(json_schema_extra=STUDENT_ID_SCHEMA, description="`batch` is reserved.")]


def check_student_id(student_id: str, param: str = "student_id") -> str:
    """The id itself. Raises ``InvalidInput`` when it is none."""
    if student_id == RESERVED_ID or not _STUDENT_ID.match(student_id):
        raise InvalidInput(
            "A student id has 1 to 128 letters, digits and . _ : - and starts with a letter or digit; batch is no id.",
            param,
        )
    return student_id


class Students:
    """The students' routes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        path = "/api/v1/students/{student_id}"
        common: dict[str, Any] = {"tags": ["students"], "responses": responses("/api/v1/")}
        app.add_api_route(
            f"{path}/features",
            self.put,
            methods=["PUT"],
            summary="Store features",
            response_model=StoredFeatures,
            openapi_extra=json_body(Features),
            **common,
        )
        app.add_api_route(
            f"{path}/features",
            self.get,
            methods=["GET"],
            summary="Read features",
            response_model=StoredFeatures,
            **common,
        )
        app.add_api_route(
            path, self.erase, methods=["DELETE"], summary="Erase a student", response_model=Erased, **common
        )

    async def put(self, request: Request, student_id: StudentId) -> Response:
        """Replace the stored features. What is left out stays unknown."""
        check_student_id(student_id)
        features = parse_features(await read_json(request), "body")
        held = await self._services.state.put_features(exchange_of(request).context(1), student_id, features.to_json())
        return _features_response(student_id, held)

    async def get(self, request: Request, student_id: StudentId) -> Response:
        """The stored features."""
        check_student_id(student_id)
        (held,) = await self._services.state.get_features(exchange_of(request).context(1), [student_id])
        if held is None:
            raise UnknownStudent()
        return _features_response(student_id, held)

    async def erase(self, request: Request, student_id: StudentId) -> Response:
        """Erase everything held on a student, inference records included. Erasing twice is no error."""
        check_student_id(student_id)
        features, records = await self._services.state.erase_student(exchange_of(request).context(1), student_id)
        body = {"student_id": student_id, "features": features, "inference_records": records}
        return Response(orjson.dumps(body), media_type="application/json")


def parse_features(value: Any, param: str = "features") -> FeatureSet:
    """Features from a request, at least one. Raises ``InvalidInput``."""
    features = FeatureSet.parse(value, param)
    if not features.completeness:
        raise InvalidInput("Give at least one feature.", param)
    return features


def stored_set(held: dict[str, Any]) -> FeatureSet:
    """The feature set of a stored value. Raises ``StateUnavailable`` when it is none: the client did nothing wrong."""
    try:
        known = {group: held[group] for group in ("linguistic", "behavioral")}
        return FeatureSet.parse({**known, "grade": held.get("grade")})
    except (KeyError, InvalidInput):
        raise StateUnavailable("A stored record is damaged.", 60.0) from None


def _features_response(student_id: str, held: dict[str, Any]) -> Response:
    body = {"student_id": student_id, **held, "completeness": round(stored_set(held).completeness, 4)}
    return Response(orjson.dumps(body), media_type="application/json")
