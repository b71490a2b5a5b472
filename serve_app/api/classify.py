"""``POST /v1/classify`` and ``POST /v1/zero-shot``: texts to labels with scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from deployments.label_sets import LABELS
from serve_app.api.bodies import read
from serve_app.api.calls import answer_headers
from serve_app.api.embeddings import check_texts
from serve_app.api.encoder_answers import LabelsAnswer
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.labelling import Labelled, Labelling, Texts, wrong_task
from serve_app.api.names import Model
from serve_app.api.openapi import json_body
from serve_app.api.roles import Answered, by_role
from serve_app.api.schemas import ClassifyRequest, ZeroShotRequest
from serve_app.api.services import Services


class LabelRoutes:
    """The routes that answer in labels."""

    def __init__(self, services: Services) -> None:
        self._services, self._labelling = services, Labelling(services)

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        common: dict[str, Any] = {
            "methods": ["POST"],
            "tags": ["models"],
            "response_model": LabelsAnswer,
            "responses": responses("/v1/"),
        }
        body = json_body(ClassifyRequest)
        app.add_api_route("/v1/classify", self.classify, summary="Texts to labels", openapi_extra=body, **common)
        body, summary = json_body(ZeroShotRequest), "Texts to labels of your own"
        app.add_api_route("/v1/zero-shot", self.zero_shot, summary=summary, openapi_extra=body, **common)

    async def classify(self, request: Request) -> Response:
        """Labels of a classifier, or of the role `emotion` or `sentiment` in that role's own labels."""
        asked = await read(request, ClassifyRequest)
        texts = self._texts(asked.input, asked.truncate)
        role = asked.model if self._services.catalogue.is_role(asked.model) else None
        if role is not None and role not in LABELS:
            raise InvalidInput(f"The role {role} does not classify; emotion and sentiment do.", "model")

        return _response(await self._labelling.by_name(request, asked.model, role, texts), asked.top_k)

    async def zero_shot(self, request: Request) -> Response:
        """Labels that the request names, by entailment or, as a fallback, by likeness."""
        asked = await read(request, ZeroShotRequest)
        texts = self._texts(asked.input, asked.truncate)
        is_role = self._services.catalogue.is_role(asked.model)
        if is_role and asked.model != "zero-shot":
            raise InvalidInput(
                f"The role {asked.model} has labels of its own; the role zero-shot takes yours.", "model"
            )
        wanted = (asked.labels, asked.hypothesis_template, asked.multi_label)

        async def ask(model: Model) -> Labelled:
            if model.task == "zero-shot":
                return await self._labelling.by_entailment(request, model, texts, *wanted)
            if is_role and model.task == "embedding":
                return await self._labelling.by_given_likeness(request, model, texts, *wanted)
            raise wrong_task(model, "take labels", model.task)

        return _response(await by_role(self._services, exchange_of(request), asked.model, ask), None)

    def _texts(self, given: str | list[str], truncate: str) -> Texts:
        texts = Texts([given] if isinstance(given, str) else given, truncate, isinstance(given, str))
        check_texts(texts.texts, self._services.settings.max_text_chars, single=texts.single)
        return texts


def _response(answered: Answered[Labelled], top_k: int | None) -> Response:
    found = answered.value
    body = {
        "object": "list",
        "data": [_row(index, found, top_k) for index in range(len(found.scores))],
        "model": answered.model.key,
        "revision": found.answer.revision,
        "fallback": answered.fallback or found.answer.remote,
        "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
        "truncated": found.truncated,
    }
    return Response(orjson.dumps(body), headers=answer_headers(found.answer), media_type="application/json")


def _row(index: int, found: Labelled, top_k: int | None) -> dict[str, Any]:
    scores = found.scores[index]
    row: dict[str, Any] = {"index": index, "labels": _ranked(found.labels, scores.tolist(), top_k)}
    if found.polarity is not None:
        row["polarity"] = float(found.polarity[index])
    return row


def _ranked(labels: Sequence[str], scores: Sequence[float], top_k: int | None) -> list[dict[str, Any]]:
    order = np.argsort(-np.asarray(scores), kind="stable")[:top_k]
    return [{"label": labels[i], "score": scores[i]} for i in order]
