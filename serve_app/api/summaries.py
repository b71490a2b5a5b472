"""``POST /v1/summarize``: texts to summaries of a bounded length."""

import asyncio
import re
from collections.abc import Sequence
from functools import reduce

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.call import CallContext
from deployments.errors import InvalidInput
from deployments.generation import GenerationRequest
from deployments.timing import Timing
from serve_app.api.bodies import read
from serve_app.api.calls import timing_headers, while_connected
from serve_app.api.completion_shapes import usage
from serve_app.api.embeddings import check_texts
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.generated_answers import SummariesAnswer
from serve_app.api.generation_schemas import SummarizeRequest
from serve_app.api.generations import Generated, Generations
from serve_app.api.labelling import wrong_task
from serve_app.api.names import Model, application_of
from serve_app.api.openapi import json_body
from serve_app.api.roles import Answered, by_role
from serve_app.api.services import Services

AT_ONCE = 16
"""Texts of one request that are generated at a time; a replica batches no more of one client."""
TOKENS_PER_WORD = 2
"""More than English needs, so that the cut falls at a sentence and not at the last token."""
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]")


class Summaries:
    """The summaries route."""

    def __init__(self, services: Services) -> None:
        self._services, self._generations = services, Generations(services)

    def mount(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route(
            "/v1/summarize",
            self.summarize,
            methods=["POST"],
            tags=["models"],
            summary="Texts to summaries",
            response_model=SummariesAnswer,
            responses=responses("/v1/"),
            openapi_extra=json_body(SummarizeRequest),
        )

    async def summarize(self, request: Request) -> Response:
        """Summaries of up to `max_words` words, the likeliest ones."""
        asked = await read(request, SummarizeRequest)
        single = isinstance(asked.input, str)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        check_texts(texts, self._services.settings.max_text_chars, single=single)
        exchange = exchange_of(request)
        context = exchange.context(len(texts))

        async def ask(model: Model) -> list[Generated]:
            _check(model, asked)
            exchange.asked = application_of(model)
            wanted = [_wanted(model, text, asked) for text in texts]
            return await self._all(model, wanted, context, "input" if single else "input[{}]")

        answered = await while_connected(request.receive, by_role(self._services, exchange, asked.model, ask))
        timing = reduce(Timing.longest, (made.timing for made in answered.value))
        body = _encoded(answered, asked.max_words)
        return Response(body, headers=timing_headers(timing), media_type="application/json")

    async def _all(
        self, model: Model, wanted: Sequence[GenerationRequest], context: CallContext, param: str
    ) -> list[Generated]:
        """Every text's summary. The first error ends the others."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(index: int, request: GenerationRequest) -> Generated:
            async with gate:
                return await self._generations.complete(model, request, context, param.format(index))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(index, request)) for index, request in enumerate(wanted)]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]


def _check(model: Model, asked: SummarizeRequest) -> None:
    if model.task != "seq2seq":
        raise wrong_task(model, "summarize", model.task)
    if model.summary_prefix and asked.truncate == "start":
        raise InvalidInput(
            f"Model {model.key} finds its task at the start of the text, which cannot be cut; use truncate: end.",
            "truncate",
        )


def _wanted(model: Model, text: str, asked: SummarizeRequest) -> GenerationRequest:
    return GenerationRequest(
        prompt=model.summary_prefix + text,
        max_tokens=min(TOKENS_PER_WORD * asked.max_words, model.limits.max_tokens),
        temperature=0.0,
        truncate=asked.truncate,
    )


def shortened(text: str, max_words: int, *, finished: bool) -> str:
    """The text up to the last sentence that ends within ``max_words``; up to that many words when none does.

    Words are what stands between blanks. A text that is not ``finished`` loses its broken last sentence too.
    """
    text = text.strip()
    words = list(re.finditer(r"\S+", text))
    if finished and len(words) <= max_words:
        return text
    within = text[: words[max_words - 1].end()] if len(words) > max_words else text
    ends = [match.end() for match in _SENTENCE_END.finditer(within)]
    return within[: ends[-1]] if ends else within


def _encoded(answered: Answered[list[Generated]], max_words: int) -> bytes:
    made, model = answered.value, answered.model
    body = {
        "object": "list",
        "data": [
            {"index": index, "summary": shortened(one.text, max_words, finished=one.finish == "stop")}
            for index, one in enumerate(made)
        ],
        "model": model.key,
        "revision": made[0].revision,
        "fallback": answered.fallback,
        "usage": usage(sum(one.prompt_tokens for one in made), sum(one.completion_tokens for one in made)),
        "truncated": [{"index": index, **one.cut} for index, one in enumerate(made) if one.cut],
    }
    return orjson.dumps(body)
