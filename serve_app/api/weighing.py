"""Assessments with the weights in force: each call carries its weights, and students of an experiment theirs."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from deployments.call import Answer, CallContext
from model_store.errors import MusterError
from serve_app.api.calls import call_model
from serve_app.api.exchange import exchange_of
from serve_app.api.one_version import of_one_version
from serve_app.api.services import Services
from serve_app.api.subjects import Subject

APPLICATION = "skills"


def weighing_options(services: Services, skills: Sequence[str], name: str = "default") -> dict[str, Any]:
    """The options of a call whose students are weighed by this set."""
    return {"skills": [*skills], "weights": services.weights.book.option(name)}


async def weigh(services: Services, request: Request, subjects: Sequence[Subject], skills: Sequence[str]) -> Answer:
    """Assess students with features, each by the set that the experiment gives, all by one version; in order."""
    return await of_one_version(lambda more: _weigh(services, request, subjects, skills, more))


async def _weigh(
    services: Services, request: Request, subjects: Sequence[Subject], skills: Sequence[str], more: Mapping[str, Any]
) -> Answer:
    book, tenant = services.weights.book, exchange_of(request).tenant
    places: dict[str, list[int]] = {}
    for place, subject in enumerate(subjects):
        places.setdefault(book.set_for(tenant, subject.student_id), []).append(place)
    rows = [subject.features for subject in subjects]
    options = {name: {"skills": [*skills], "weights": book.option(name), **more} for name in places}
    if len(places) == 1:
        return await call_model(services, request, APPLICATION, rows, next(iter(options.values())))

    async def ask(application: str, inputs: Sequence[Any], _: Mapping[str, Any], context: CallContext) -> Answer:
        # The dispatcher puts the calls together again: the models see one batch.
        answers = await asyncio.gather(
            *(
                services.fleet.call(application, [inputs[i] for i in where], options[name], context)
                for name, where in places.items()
            )
        )
        return _together(len(inputs), [*places.values()], answers)

    return await call_model(services, request, APPLICATION, rows, {}, ask)


def _together(count: int, places: Sequence[Sequence[int]], answers: Sequence[Answer]) -> Answer:
    """One answer in the students' order out of one for each set."""
    values: list[Any] = [None] * count
    costs, errors = [0] * count, dict[int, MusterError]()
    for where, answer in zip(places, answers, strict=True):
        for index, place in enumerate(where):
            values[place], costs[place] = answer.values[index], answer.costs[index]
            if index in answer.errors:
                errors[place] = answer.errors[index]
    first = answers[0]
    return Answer(values, costs, first.revision, errors, timing=first.timing, details=first.details, rate=first.rate)
