"""``POST /v1/chat/completions`` and ``POST /v1/completions``: OpenAI's calls for generated text."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from deployments.generation import Delta, GenerationRequest
from deployments.timing import Timing
from serve_app.api.bodies import read
from serve_app.api.calls import timing_headers, while_connected
from serve_app.api.completion_shapes import ChatShape, Chunks, Origin, Shape, TextShape, whole
from serve_app.api.embeddings import check_length, check_text
from serve_app.api.errors import responses
from serve_app.api.event_stream import Begun, EventStream
from serve_app.api.exchange import exchange_of
from serve_app.api.generated_answers import ChatAnswer, ChatChunk, CompletionAnswer, CompletionChunk
from serve_app.api.generation_schemas import ChatRequest, CompletionRequest, Sampling
from serve_app.api.generations import Generated, Generations
from serve_app.api.labelling import wrong_task
from serve_app.api.names import Model, application_of
from serve_app.api.openapi import json_body, json_events
from serve_app.api.roles import Answered, by_role
from serve_app.api.services import Services
from serve_app.remote.fallback import REVISION


@dataclass(frozen=True, slots=True)
class Surface:
    """What differs between the two routes. ``param``: what errors call the text; ``tasks``: models that can do it."""

    shape: Shape
    param: str
    does: str
    tasks: tuple[str, ...]

    def check(self, model: Model) -> None:
        """Raises ``InvalidInput`` for a model that was built for something else."""
        if model.task not in self.tasks:
            raise wrong_task(model, self.does, model.task)


CHAT = Surface(ChatShape(), "messages", "chat", ("generation",))
TEXT = Surface(TextShape(), "prompt", "complete texts", ("generation", "seq2seq"))


class Completions:
    """The routes that generate text."""

    def __init__(self, services: Services) -> None:
        self._services, self._generations = services, Generations(services)

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        chat = _described("A chat's next message", ChatRequest, ChatAnswer, ChatChunk)
        app.add_api_route("/v1/chat/completions", self.chat, **chat)
        text = _described("A text's continuation", CompletionRequest, CompletionAnswer, CompletionChunk)
        app.add_api_route("/v1/completions", self.complete, **text)

    async def chat(self, request: Request) -> Response:
        """OpenAI's chat call; the `openai` SDK works unchanged, streams too."""
        asked = await read(request, ChatRequest)
        turns, longest = tuple(message.turn() for message in asked.messages), self._services.settings.max_text_chars
        for index, turn in enumerate(turns):
            check_text(turn.content, longest, f"messages[{index}]")
        check_length(sum(len(turn.content) for turn in turns), longest, "messages")
        return await self._answer(request, asked, asked.generation(turns, asked.limit), CHAT)

    async def complete(self, request: Request) -> Response:
        """OpenAI's plain completion call."""
        asked = await read(request, CompletionRequest)
        check_text(asked.prompt, self._services.settings.max_text_chars, "prompt")
        return await self._answer(request, asked, asked.generation(asked.prompt, asked.max_tokens), TEXT)

    async def _answer(self, request: Request, asked: Sampling, wanted: GenerationRequest, surface: Surface) -> Response:
        exchange = exchange_of(request)
        context = exchange.context(1)

        async def complete(model: Model) -> Generated:
            surface.check(model)
            exchange.asked = application_of(model)
            return await self._generations.complete(model, wanted, context, surface.param)

        async def begin(model: Model) -> tuple[Delta, AsyncGenerator[Delta, None]]:
            surface.check(model)
            exchange.asked = application_of(model)
            return await self._generations.begin(model, wanted, context, surface.param)

        async def begun() -> Begun[Delta]:
            answered = await by_role(self._services, exchange, asked.model, begin)
            first, rest = answered.value
            origin = _origin(exchange.request_id, answered, first.revision)
            headers = origin.headers() | timing_headers(first.timing or Timing())
            return Begun(first, rest, Chunks(surface.shape, origin, usage=asked.include_usage), headers)

        if asked.stream:
            return EventStream(begun)
        answered = await while_connected(request.receive, by_role(self._services, exchange, asked.model, complete))
        origin = _origin(exchange.request_id, answered, answered.value.revision)
        body = whole(surface.shape, origin, answered.value)
        headers = origin.headers() | timing_headers(answered.value.timing)
        return Response(body, headers=headers, media_type="application/json")


def _origin(request_id: str, answered: Answered[Any], revision: str) -> Origin:
    fallback = answered.fallback or revision == REVISION
    return Origin(request_id, answered.model, revision or answered.model.revision, fallback)


def _described(summary: str, body: type[BaseModel], answer: type[BaseModel], chunk: type[BaseModel]) -> dict[str, Any]:
    """The routes' part of the OpenAPI document."""
    return {
        "methods": ["POST"],
        "tags": ["models"],
        "summary": summary,
        "response_model": answer,
        "responses": {**responses("/v1/"), 200: json_events(chunk)},
        "openapi_extra": json_body(body),
    }
