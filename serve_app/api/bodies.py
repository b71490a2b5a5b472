"""From bytes to a checked request: JSON by orjson, shape by pydantic, errors that name the field, not its value."""

import re
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from deployments.errors import InvalidInput
from serve_app.errors import MalformedBody

Model = TypeVar("Model", bound=BaseModel)
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")
"""What may have been meant as a field's name; any other unknown key may be somebody's words."""
_OWN_WORDS = {"extra_forbidden": "This field is not known here; remove it.", "missing": "This field is required."}


async def read_json(request: Request) -> Any:
    """The body's JSON; None when there is no body. Raises ``MalformedBody``."""
    body = await request.body()
    return parse_json(body) if body else None


def parse_json(body: bytes) -> Any:
    """Raises ``MalformedBody``, saying where."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedBody(f"The body is not valid JSON in UTF-8 ({place}).") from None


async def read(request: Request, model: type[Model], *, optional: bool = False) -> Model:
    """The body as a request model. Raises ``MalformedBody`` or ``InvalidInput``."""
    value = await read_json(request)
    if value is None:
        if not optional:
            raise InvalidInput("This route needs a JSON body.", "body")
        value = {}
    return validate(value, model)


def validate(value: Any, model: type[Model]) -> Model:
    """Check a JSON value against a request model. Raises ``InvalidInput``."""
    if not isinstance(value, dict):
        raise InvalidInput("The body must be a JSON object.", "body")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        refuse(error.errors(include_url=False, include_input=False, include_context=False))


def refuse(problems: Sequence[Any]) -> NoReturn:
    """Raise ``InvalidInput`` for the first of pydantic's errors; the others are counted."""
    first = problems[0]
    loc, words = first["loc"], _OWN_WORDS.get(first["type"]) or f"{first['msg']}."
    if first["type"] == "extra_forbidden" and not (isinstance(loc[-1], str) and _FIELD.fullmatch(loc[-1])):
        loc, words = loc[:-1], "A field in here is not known; remove it."
    param = _path(loc)
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    raise InvalidInput(f"{words}{more}", param or "body") from None


def _path(loc: Sequence[str | int]) -> str:
    """``("rows", 3, "features")`` as ``rows[3].features``."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
