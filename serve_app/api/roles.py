"""A role's chain at work: the first choice answers, or who stands in for it, and the answer says which it was."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from deployments.call import ModelState
from deployments.errors import EngineFault, ModelNotReady
from serve_app.api.exchange import Exchange
from serve_app.api.names import Model, application_of
from serve_app.api.services import Services
from serve_app.errors import RemoteFailed

T = TypeVar("T")
LOOK_S = 1.0
"""How often a waiting call looks whether its model is still there."""
ABSENT = ModelState("not_pulled", "it is not deployed here")
CANNOT_ANSWER: tuple[type[Exception], ...] = (ModelNotReady, EngineFault)
"""Failures of a model after which its remote counterpart is asked, where there is one."""
STANDS_IN: tuple[type[Exception], ...] = (*CANNOT_ANSWER, RemoteFailed)
"""Failures after which the next model of a chain is asked. Too much work is none: a stand-in shares the processor."""


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """Who answered. ``fallback``: it was not the first choice."""

    value: T
    model: Model
    fallback: bool


async def by_role(
    services: Services, exchange: Exchange, name: str, ask: Callable[[Model], Coroutine[Any, Any, T]]
) -> Answered[T]:
    """Ask the model of this name; for a role each model of its chain that is ready, until one answers.

    An exact name never falls back. Raises ``UnknownModel``, and what the last model raised.
    """
    chain = services.catalogue.chain(name)
    if len(chain) == 1:
        return Answered(await ask(chain[0]), chain[0], False)
    states = await services.fleet.states()
    first = _first_choice(services, name, chain, states)
    candidates = _candidates(services, chain, states, first)
    for model in candidates[:-1]:
        try:
            # A model with a remote counterpart is watched where that is asked.
            watched = services.remote is not None and services.remote.knows(model)
            value = await (ask(model) if watched else while_ready(services, model, ask(model)))
            return _answered(services, exchange, name, value, model, first)
        except STANDS_IN:
            continue
    last = candidates[-1]
    return _answered(services, exchange, name, await ask(last), last, first)


def _answered(services: Services, exchange: Exchange, role: str, value: T, model: Model, first: Model) -> Answered[T]:
    if model is not first:
        services.metrics.fallback(role, model.key, exchange.asked[1])
    return Answered(value, model, model is not first)


def _candidates(
    services: Services, chain: tuple[Model, ...], states: Mapping[str, ModelState], first: Model
) -> list[Model]:
    """Who may answer, in order: the first choice, here or at the remote provider, who is ready here, who is there."""
    ready = [model for model in chain if state_of(states, model).state == "ready"]
    willing = services.remote.willing if services.remote is not None else lambda model: False
    there = [model for model in chain if model not in ready and willing(model)]
    ahead = [model for model in there if model is first]
    return [*ahead, *ready, *(model for model in there if model is not first)] or [first]


def _first_choice(services: Services, role: str, chain: tuple[Model, ...], states: Mapping[str, ModelState]) -> Model:
    """The planned model; without a plan the first of the catalogue's for this role that is deployed at all."""
    if role in services.catalogue.planned:
        return chain[0]
    deployed = (model for model in chain if role in model.roles and application_of(model) in states)
    return next(deployed, chain[0])


async def first_choice(services: Services, role: str) -> Model:
    """Who is asked first for a role while all are ready. Raises ``UnknownModel``."""
    return _first_choice(services, role, services.catalogue.chain(role), await services.fleet.states())


async def while_ready(services: Services, model: Model, work: Awaitable[T]) -> T:
    """The work's result. Raises ``ModelNotReady`` when the model's last replica goes meanwhile: the work would wait
    for the next one until its deadline, and somebody else can answer now."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
            state = state_of(await services.fleet.states(), model)
            if state.state != "ready":
                raise ModelNotReady(model.key, state.reason or "its last replica has gone")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def state_of(states: Mapping[str, ModelState], model: Model) -> ModelState:
    """The state of the model's application."""
    return states.get(application_of(model), ABSENT)
