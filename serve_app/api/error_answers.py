"""The shapes of errors, for the OpenAPI document; no answer passes these models."""

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """What went wrong. ``param`` is the path of the field, where there is one."""

    message: str
    type: str
    code: str
    param: str | None = None
    request_id: str


class ErrorBody(BaseModel):
    """Every error's body."""

    error: ErrorDetail


class PlainError(BaseModel):
    """An error's body on ``/v2``."""

    error: str
