"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot see (bodies are read by hand)."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serve_app.api.access import OPEN
from serve_app.api.chat_schemas import CHAT_REQUESTS, ChatEvent
from serve_app.api.clinical_schemas import CLINICAL_REQUESTS
from serve_app.api.error_answers import ErrorBody, PlainError
from serve_app.api.event_stream import MEDIA_TYPE
from serve_app.api.generated_answers import CHUNKS
from serve_app.api.generation_schemas import GENERATION_REQUESTS
from serve_app.api.journal_schemas import JOURNAL_REQUESTS
from serve_app.api.observed_shapes import OBSERVED
from serve_app.api.schemas import REQUESTS
from serve_app.api.tensor_request import InferenceRequest

_REF = "#/components/schemas/{model}"
HEADERS: tuple[dict[str, Any], ...] = (
    {
        "name": "X-Request-Id",
        "in": "header",
        "schema": {"type": "string"},
        "description": "Comes back in the answer; anything but 1 to 64 letters, digits and . _ - is replaced.",
    },
    {
        "name": "X-Lane",
        "in": "header",
        "schema": {"type": "string", "enum": ["interactive", "bulk"]},
        "description": "Default: interactive up to 16 items, bulk above.",
    },
)


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """``openapi_extra`` of a route that reads this model by itself."""
    reference = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": reference}}}}


def json_events(model: type[BaseModel]) -> dict[str, Any]:
    """An answer of server-sent events with this model in ``data``; the last event is ``[DONE]``, or an error."""
    data = [{"const": "[DONE]"}, *(_json_text(each) for each in (model, ErrorBody))]
    schema = {"type": "object", "properties": {"data": {"anyOf": data}}, "required": ["data"]}
    return {"content": {MEDIA_TYPE: {"schema": schema}}}


def own_events(model: type[BaseModel]) -> dict[str, Any]:
    """An answer of server-sent events that all have this model in ``data``, the last one too."""
    schema = {"type": "object", "properties": {"data": _json_text(model)}, "required": ["data"]}
    return {"content": {MEDIA_TYPE: {"schema": schema}}}


def _json_text(model: type[BaseModel]) -> dict[str, Any]:
    reference = {"$ref": _REF.format(model=model.__name__)}
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": reference}


def install(app: FastAPI) -> None:
    """Make ``app.openapi`` answer with the complete document, built once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    flows = (*CHAT_REQUESTS, ChatEvent, *CLINICAL_REQUESTS, *JOURNAL_REQUESTS)
    shown = (*REQUESTS, *OBSERVED, *GENERATION_REQUESTS, *CHUNKS, *flows, InferenceRequest, ErrorBody, PlainError)
    models: list[Any] = [(model, "validation") for model in shown]
    _, extra = models_json_schema(models, ref_template=_REF)
    for name, schema in extra["$defs"].items():
        schemas.setdefault(name, schema)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path in OPEN else [{"key": []}, {}]
            if path not in OPEN:
                operation.setdefault("parameters", []).extend(HEADERS)
            _drop_unused(operation)
    return document


def _drop_unused(operation: dict[str, Any]) -> None:
    """Remove FastAPI's own validation answer; the error table has replaced it."""
    invalid = operation["responses"].get("422", {})
    if "HTTPValidationError" in str(invalid):
        del operation["responses"]["422"]
