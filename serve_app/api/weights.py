"""The fusion weights: read, change one skill's, take the file's again, and who changed what."""

from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deployments.skills.features import SKILLS, Skill
from deployments.skills.weight_book import DEFAULT_SET, WeightBook
from deployments.skills.weights import Weights
from serve_app.api.access import WEIGHTS
from serve_app.api.bodies import read_json
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.openapi import json_body
from serve_app.api.schemas import SkillWeightsBody
from serve_app.api.services import Services
from serve_app.api.weight_answers import FusionWeights, Reloaded, SkillWeights, WeightHistory
from serve_app.errors import UnknownSkill

SkillType = Annotated[str, Path(json_schema_extra={"enum": [*SKILLS]})]
SetName = Annotated[str, Query(alias="set", max_length=64, description="The weight set; `default` when left out.")]


LITERAL = {"reload": "POST", "history": "GET"}
"""Paths beside the skills' own, which have one method each."""


class WeightRoutes:
    """The weights' routes. Changing weights and reading their history needs a key with the scope ``admin``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: FastAPI) -> None:
        """Add the routes; the literal ones first."""
        common: dict[str, Any] = {"tags": ["skills"], "responses": responses("/api/v1/")}
        for path, endpoint, method, model, summary in (
            (WEIGHTS, self.all_weights, "GET", FusionWeights, "All fusion weights"),
            (f"{WEIGHTS}/reload", self.reload, "POST", Reloaded, "Read the weights file again"),
            (f"{WEIGHTS}/history", self.history, "GET", WeightHistory, "Who changed which weights"),
            (f"{WEIGHTS}/{{skill_type}}", self.get, "GET", SkillWeights, "One skill's weights"),
        ):
            app.add_api_route(path, endpoint, methods=[method], summary=summary, response_model=model, **common)
        app.add_api_route(
            f"{WEIGHTS}/{{skill_type}}",
            self.put,
            methods=["PUT"],
            summary="Change one skill's weights",
            response_model=SkillWeights,
            openapi_extra=json_body(SkillWeightsBody),
            **common,
        )

    async def all_weights(self) -> Response:
        """The weights in force: the default set, the other sets, and the experiment that shares students out."""
        book = self._services.weights.book
        document = book.to_json()
        experiment = document["experiment"] and {name: document["experiment"][name] for name in ("name", "shares")}
        body = {name: document[name] for name in ("version", "description", "weights", "sets", "revision")}
        return self._answer({**body, "experiment": experiment})

    async def get(self, skill_type: SkillType, name: SetName = DEFAULT_SET) -> Response:
        """One skill's four weights."""
        return self._one(self._services.weights.book, _known(skill_type), name)

    async def put(self, request: Request, skill_type: SkillType, name: SetName = DEFAULT_SET) -> Response:
        """Replace one skill's four weights; in force at every gateway within a second."""
        skill, weights = _known(skill_type), Weights.parse(await read_json(request))
        who = _who(request)
        book = await self._services.weights.change(lambda book: book.changed(name, skill, weights, who))
        return self._one(book, skill, name)

    async def reload(self, request: Request) -> Response:
        """Put the weights file in force, in the place of every change since."""
        book = await self._services.weights.reload(_who(request))
        body = {"message": "The weights file is in force.", "version": book.version, "description": book.description}
        return self._answer({**body, "revision": book.revision})

    async def history(self) -> Response:
        """The last hundred changes, newest first, each with who, when, and the weights before and after."""
        return self._answer({"changes": [*reversed(self._services.weights.book.history)]})

    def _one(self, book: WeightBook, skill: Skill, name: str) -> Response:
        book.require(name)
        weights = book.sets[name][skill].to_json()
        body = {"skill_type": skill, "set": name, "weights": weights, **weights}
        return self._answer({**body, "version": book.version, "revision": book.revision})

    def _answer(self, body: dict[str, Any]) -> Response:
        told = {**body, "store": self._services.weights.store, "problem": self._services.weights.problem}
        return Response(orjson.dumps(told), media_type="application/json")


def _known(skill_type: str) -> Skill:
    if skill_type in LITERAL:
        raise HTTPException(405, headers={"Allow": LITERAL[skill_type]})
    for skill in SKILLS:
        if skill == skill_type:
            return skill
    raise UnknownSkill(SKILLS)


def _who(request: Request) -> dict[str, str]:
    exchange = exchange_of(request)
    return {"tenant": exchange.tenant, "key": exchange.key or "no keys configured"}
