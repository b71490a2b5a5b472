"""The one table from an error to what goes over the wire, the one function that answers, and the OpenAPI text from it.

Nothing of a client's data is in an answer: messages are our own, and an error that the table does not know says only
that something broke here.
"""

import math
import re
import traceback
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from deployments import errors as middle
from model_store import errors as ground
from serve_app import errors as top
from serve_app.api.error_answers import ErrorBody, PlainError


@dataclass(frozen=True, slots=True)
class Row:
    """How one kind of error looks. ``v1_status``: where the OpenAI routes and ``/v2`` differ."""

    status: int
    type: str
    code: str
    v1_status: int | None = None
    retry_after_s: float | None = None
    param: str | None = None

    def on(self, path: str) -> int:
        """The status on this path."""
        return self.v1_status if self.v1_status and (path.startswith("/v1/") or is_v2(path)) else self.status


INVALID, MISSING, BROKEN, BUSY = "invalid_request_error", "not_found_error", "server_error", "unavailable_error"
DEFECT = Row(500, BROKEN, "internal_error")
TABLE: dict[type[BaseException], Row] = {
    top.MalformedBody: Row(400, INVALID, "invalid_json"),
    middle.ContextLengthExceeded: Row(400, INVALID, "context_length_exceeded"),
    middle.InvalidInput: Row(422, INVALID, "invalid_value", v1_status=400),
    middle.PoisonousItem: Row(422, INVALID, "poisonous_item", v1_status=400),
    top.Unauthenticated: Row(401, "authentication_error", "invalid_api_key"),
    top.OriginRefused: Row(403, "permission_error", "origin_refused"),
    top.Forbidden: Row(403, "permission_error", "insufficient_scope"),
    ground.UnknownModel: Row(404, MISSING, "model_not_found", param="model"),
    top.UnknownStudent: Row(404, MISSING, "student_not_found"),
    top.UnknownJournal: Row(404, MISSING, "journal_not_found"),
    top.UnknownSkill: Row(404, MISSING, "skill_not_found"),
    top.UnknownReport: Row(404, MISSING, "report_not_found"),
    top.NotFound: Row(404, MISSING, "not_found"),
    top.BodyTooLarge: Row(413, INVALID, "body_too_large"),
    top.UnsupportedMedia: Row(415, INVALID, "unsupported_media_type"),
    middle.Overloaded: Row(429, "overloaded_error", "overloaded", retry_after_s=1),
    middle.Cancelled: Row(499, INVALID, "client_closed_request"),
    ClientDisconnect: Row(499, INVALID, "client_closed_request"),
    middle.ModelNotReady: Row(503, BUSY, "model_not_ready", retry_after_s=5),
    ground.ModelNotPulled: Row(503, BUSY, "model_not_pulled", retry_after_s=60),
    ground.TamperedModel: Row(503, BUSY, "model_refused", retry_after_s=60),
    ground.UntrustedArtefact: Row(503, BUSY, "model_refused", retry_after_s=60),
    middle.DoesNotFit: Row(503, BUSY, "model_refused", retry_after_s=60),
    middle.OutOfMemory: Row(503, BUSY, "out_of_memory", retry_after_s=5),
    ground.SourceUnavailable: Row(503, BUSY, "source_unavailable", retry_after_s=60),
    ground.StoreBusy: Row(503, BUSY, "store_busy", retry_after_s=5),
    middle.StateUnavailable: Row(503, BUSY, "state_unavailable", retry_after_s=2),
    top.RemoteFailed: Row(502, "upstream_error", "remote_failed"),
    middle.DeadlineExceeded: Row(504, "timeout_error", "deadline_exceeded"),
    ground.MusterError: DEFECT,
}
HTTP_ROWS = {
    404: (Row(404, MISSING, "route_not_found"), "There is no such route; GET /docs lists them."),
    405: (Row(405, INVALID, "method_not_allowed"), "This route has no such method; the Allow header lists them."),
}
_PARAM = re.compile(r"[^A-Za-z0-9_.\[\]-]")


def cause_of(error: BaseException) -> BaseException:
    """The error itself, out of the wrapper that a remote call may have put around it.

    Ray raises a class that derives from both its own error and ours; its text is a traceback with paths, so only the
    wrapped ``cause`` is of use. Duck-typed, because this layer does not know Ray.
    """
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error


def row_for(error: BaseException) -> Row:
    """The table's row for an error, found along its class's bases."""
    if isinstance(error, HTTPException):
        return HTTP_ROWS.get(error.status_code, (Row(error.status_code, INVALID, "http_error"), ""))[0]
    return next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE), DEFECT)


def error_body(error: BaseException, row: Row, request_id: str) -> dict[str, dict[str, str | None]]:
    """The body of the answer."""
    param = getattr(error, "param", None) or row.param
    return {
        "error": {
            "message": _message(error, row),
            "type": row.type,
            "code": error.code if isinstance(error, top.BodyTooLarge) else row.code,
            "param": _PARAM.sub("?", param)[:200] if isinstance(param, str) else None,
            "request_id": request_id,
        }
    }


def error_response(error: BaseException, path: str, request_id: str) -> Response:
    """The answer to a request that ended in this error."""
    error = cause_of(error)
    row = row_for(error)
    body = error_body(error, row, request_id)
    return Response(
        orjson.dumps({"error": _in_one_line(body["error"])} if is_v2(path) else body),
        row.on(path),
        headers=_headers(error, row),
        media_type="application/json",
    )


def is_v2(path: str) -> bool:
    """Whether the Open Inference Protocol says what an error looks like: ``{"error": "text"}``."""
    return path == "/v2" or path.startswith("/v2/")


def describe_defect(error: BaseException) -> str:
    """Where an unexpected error came from, for the log: types and places, because its text may be a client's."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in reversed(frames[-8:]))
    origin = error.__cause__ or error.__context__
    return f"{type(error).__name__} at {places}" + (f" after {type(origin).__name__}" if origin else "")


def responses(prefix: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI error responses of the routes under a prefix."""
    codes: dict[int, list[str]] = {}
    for row in (*TABLE.values(), *(row for row, _ in HTTP_ROWS.values())):
        status = row.on(prefix)
        if status != 499 and row.code not in codes.setdefault(status, []):
            codes[status].append(row.code)
    # By reference: FastAPI makes validators of its own for every ``model`` of every route, a fifth of a second in all.
    model = PlainError if is_v2(prefix) else ErrorBody
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    return {
        status: {"content": content, "description": f"`code`: {', '.join(codes[status])}"} for status in sorted(codes)
    }


def _message(error: BaseException, row: Row) -> str:
    if isinstance(error, HTTPException):
        return HTTP_ROWS.get(error.status_code, (row, "The request cannot be answered."))[1]
    if row.status >= 500 and row is DEFECT:
        return "Something broke on our side; the request id finds it in the log."
    return str(error) or "The request cannot be answered."


def _in_one_line(told: dict[str, str | None]) -> str:
    """The field and the message, where the message does not name it by itself."""
    message, param = told["message"] or "", told["param"]
    return message if not param or param in message else f"{param}: {message}"


def _headers(error: BaseException, row: Row) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if row.retry_after_s is not None:
        seconds = getattr(error, "retry_after_s", row.retry_after_s)
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if row.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if row.status == 504:
        headers["x-should-retry"] = "false"
    return headers
