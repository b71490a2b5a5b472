"""``POST /v1/embeddings``: the hot path. Numbers go from the array to the wire without passing a Python list."""

import asyncio
import base64
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from deployments.call import Answer
from deployments.errors import ContextLengthExceeded, EngineFault, InvalidInput
from serve_app.api.bodies import read
from serve_app.api.calls import answer_headers, first_error
from serve_app.api.encoder_answers import EmbeddingAnswer
from serve_app.api.errors import responses
from serve_app.api.fallback import ask_model
from serve_app.api.names import Model, with_prefix
from serve_app.api.openapi import json_body
from serve_app.api.schemas import EmbeddingRequest, Encoding
from serve_app.api.services import Services

TASK = "embedding"
ROWS_AT_ONCE = 64


class Embeddings:
    """The embeddings route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route(
            "/v1/embeddings",
            self.create,
            methods=["POST"],
            tags=["models"],
            summary="Texts to vectors",
            response_model=EmbeddingAnswer,
            responses=responses("/v1/"),
            openapi_extra=json_body(EmbeddingRequest),
        )

    async def create(self, request: Request) -> Response:
        """OpenAI's embeddings call; the `openai` SDK works unchanged."""
        asked = await read(request, EmbeddingRequest)
        model = self._services.catalogue.find(asked.model)
        check_model(model, asked)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        check_texts(texts, self._services.settings.max_text_chars, single=isinstance(asked.input, str))
        wanted = with_prefix(model, texts, asked.input_type)
        answer = await ask_model(self._services, request, model, wanted, {"truncate": asked.truncate})
        if error := first_error(answer, "input" if isinstance(asked.input, str) else "input[{}]"):
            raise error
        body = await encode(answer, model.key, asked.encoding_format)
        return Response(body, headers=answer_headers(answer), media_type="application/json")


def check_model(model: Model, asked: EmbeddingRequest) -> None:
    """Refuse a model that makes no embeddings, and dimensions that it has not got. Raises ``InvalidInput``."""
    if model.task != TASK:
        raise InvalidInput(f"Model {model.key} does not make embeddings (its task is {model.task}).", "model")
    if asked.dimensions is not None and asked.dimensions != model.dimensions:
        raise InvalidInput(
            f"Model {model.key} has {model.dimensions} dimensions and cannot be shortened; leave dimensions out.",
            "dimensions",
        )


def check_texts(texts: Sequence[str], longest: int, *, single: bool, name: str = "input") -> None:
    """Refuse NUL characters and texts too long to tokenise. Raises ``InvalidInput``."""
    for index, text in enumerate(texts):
        check_text(text, longest, name if single else f"{name}[{index}]")


def check_text(text: str, longest: int, param: str) -> None:
    """Refuse one such text. Raises ``InvalidInput``."""
    check_length(len(text), longest, param)
    if "\x00" in text:
        raise InvalidInput(f"{param} contains a NUL character (U+0000); remove it.", param)


def check_length(characters: int, longest: int, param: str) -> None:
    """Raises ``ContextLengthExceeded``."""
    if characters > longest:
        raise ContextLengthExceeded(f"{param} has {characters} characters; at most {longest} are read.", param)


async def encode(answer: Answer, model: str, encoding: Encoding) -> bytes:
    """The answer's JSON. Done in parts, because eight megabytes of digits at once would hold up every other request."""
    matrix = np.ascontiguousarray(answer.values, dtype="<f4")
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise EngineFault("The model's answer is not a matrix of finite numbers.")
    parts = []
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        if start:
            await asyncio.sleep(0)
        parts.append(_rows(matrix[start : start + ROWS_AT_ONCE], start, encoding))
    tokens = int(sum(answer.costs))
    rest = orjson.dumps(
        {
            "object": "list",
            "model": model,
            "revision": answer.revision,
            "fallback": answer.remote,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "truncated": list(answer.truncated),
        }
    )
    return b'{"data":[' + b",".join(parts) + b"]," + rest[1:]


def _rows(matrix: NDArray[np.float32], first: int, encoding: Encoding) -> bytes:
    """Some rows as JSON objects with commas between."""
    vectors: Iterable[Any] = [base64.b64encode(row).decode() for row in matrix] if encoding == "base64" else matrix
    items = [{"object": "embedding", "index": first + i, "embedding": vector} for i, vector in enumerate(vectors)]
    return orjson.dumps(items, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
