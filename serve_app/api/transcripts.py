"""``POST /api/v1/students/{student_id}/transcripts``: texts in, linguistic features out. The texts are not kept."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.call import CallContext
from deployments.errors import DeadlineExceeded, UnusableData
from deployments.skills.linguistic.extract import extract, read_sentences
from deployments.skills.linguistic.grammar import Grammar, load_grammar
from deployments.skills.linguistic.sentiment import Tone, model_tone
from deployments.skills.linguistic.words import sentences
from serve_app.api.bodies import read
from serve_app.api.embeddings import check_texts
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.labelling import Labelling, Texts
from serve_app.api.observed_shapes import Transcripts as Body
from serve_app.api.observed_shapes import TranscriptsAnswered
from serve_app.api.openapi import json_body
from serve_app.api.services import Services
from serve_app.api.students import StudentId, check_student_id

T = TypeVar("T")
ROLE = "sentiment"
_log = logging.getLogger("ray.serve.muster")


class Transcripts:
    """The route for transcripts. One thread at a time reads texts, so that a class's homework leaves the loop its turn."""

    def __init__(self, services: Services) -> None:
        self._services, self._labelling = services, Labelling(services)
        self._gate = asyncio.Semaphore(1)
        self._degraded: str | None = None

    def mount(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route(
            "/api/v1/students/{student_id}/transcripts",
            self.post,
            methods=["POST"],
            tags=["students"],
            summary="Linguistic features of texts",
            response_model=TranscriptsAnswered,
            responses=responses("/api/v1/"),
            openapi_extra=json_body(Body),
        )

    async def post(self, request: Request, student_id: StudentId) -> Response:
        """Compute the linguistic features of the texts and store them in the place of those before; behavioural
        features stay as they are. Only numbers are kept, never the texts."""
        check_student_id(student_id)
        texts = (await read(request, Body)).texts
        check_texts(texts, self._services.settings.max_text_chars, single=False, name="texts")
        context = exchange_of(request).context(1)
        found = await self._worked(context, lambda: read_sentences(texts))
        tone = await self._tone(request, texts) if self._services.settings.transcript_sentiment == "hosted" else None
        made = await self._worked(context, lambda: extract(found, self._grammar(), tone))
        held = await self._services.observations.merge(
            context, student_id, "linguistic", made.features, made.provenance()
        )
        told = {
            "student_id": student_id,
            "linguistic": made.features,
            "missing": made.missing,
            "completeness": round(made.completeness, 4),
            "degraded": self._degraded,
            **made.provenance(),
            "updated_at": held["updated_at"],
        }
        return Response(orjson.dumps(told), media_type="application/json")

    async def _worked(self, context: CallContext, work: Callable[[], T]) -> T:
        """The result of work in a thread. Who gives up waiting leaves it its turn: a thread cannot be stopped."""
        try:
            async with asyncio.timeout(context.remaining()):
                await self._gate.acquire()
                task = asyncio.create_task(asyncio.to_thread(work))
                task.add_done_callback(self._finished)
                return await asyncio.shield(task)
        except TimeoutError:
            raise DeadlineExceeded() from None

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._gate.release()
        if not task.cancelled():
            task.exception()

    def _grammar(self) -> Grammar | None:
        """The configured pipeline; without one, or when it cannot be loaded, None: the light path, and the answer says so."""
        folder = self._services.settings.spacy_model
        if folder is None or self._degraded:
            return None
        try:
            return load_grammar(folder)
        except UnusableData as error:
            self._degraded = str(error)
            _log.error("transcripts take the light path: %s", error)
            return None

    async def _tone(self, request: Request, texts: Sequence[str]) -> Tone:
        """By the model that plays the role ``sentiment``, each text by itself; texts without a word are left out."""
        counted = [(text, sum(1 for one in sentences([text]) for _ in one.words)) for text in texts]
        spoken = [(text, words) for text, words in counted if words]
        asked = Texts([text for text, _ in spoken], "window", single=False, name="texts")
        answered = await self._labelling.by_name(request, ROLE, ROLE, asked)
        labelled = answered.value
        scores: list[dict[str, Any]] = [
            dict(zip(labelled.labels, map(float, row), strict=True)) for row in labelled.scores
        ]
        source = f"{answered.model.key} {labelled.answer.revision[:12]}"
        return model_tone(scores, [words for _, words in spoken], source)
