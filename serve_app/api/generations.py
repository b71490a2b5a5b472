"""Text that a model generates for a client, delta by delta or joined: counted, and closed when nobody reads on."""

import copy
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from deployments.call import CallContext
from deployments.errors import EngineFault, InvalidInput, ModelNotReady
from deployments.generation import Delta, GenerationRequest
from deployments.timing import Timing
from serve_app.api.fallback import resting
from serve_app.api.names import Model, application_of
from serve_app.api.roles import CANNOT_ANSWER, state_of
from serve_app.api.services import Services

SETTINGS = frozenset(
    ("max_tokens", "temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty", "truncate")
)
"""Fields of the request that an engine may name in an error; everything else it names is the text."""


@dataclass(frozen=True, slots=True)
class Generated:
    """A whole answer. ``cut``: {"tokens", "kept"} when the prompt was cut. ``timing``: zeros when it came from elsewhere."""

    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    cut: Mapping[str, int] | None
    revision: str
    timing: Timing


class Generations:
    """Asks the fleet to generate. ``param`` is what errors call the text."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def begin(
        self, model: Model, wanted: GenerationRequest, context: CallContext, param: str
    ) -> tuple[Delta, AsyncGenerator[Delta, None]]:
        """The first delta, and the generator of the others, which the caller closes."""
        deltas = self._deltas(model, wanted, context, param)
        return await anext(deltas), deltas

    async def complete(self, model: Model, wanted: GenerationRequest, context: CallContext, param: str) -> Generated:
        """The whole text."""
        texts, cut, last = [], None, None
        async with aclosing(self._deltas(model, wanted, context, param)) as deltas:
            async for last in deltas:
                texts.append(last.text)
                cut = cut or last.cut
        assert last is not None
        assert last.finish is not None
        revision = last.revision or model.revision
        text, timing = "".join(texts), last.timing or Timing()
        return Generated(text, last.finish, last.prompt_tokens, last.completion_tokens, cut, revision, timing)

    async def _deltas(
        self, model: Model, wanted: GenerationRequest, context: CallContext, param: str
    ) -> AsyncGenerator[Delta, None]:
        """The fleet's deltas; before the first of them the remote provider may stand in, with one delta for a chat."""
        remote, begun = self._services.remote, False
        try:
            if remote is not None and remote.knows(model):
                state = state_of(await self._services.fleet.states(), model)
                if state.state != "ready":
                    raise ModelNotReady(model.key, state.reason or "it is still loading")
            async with aclosing(self._local(model, wanted, context, param)) as deltas:
                async for delta in deltas:
                    begun = True
                    yield delta
            return
        except CANNOT_ANSWER as local:
            chat = isinstance(wanted.prompt, tuple)
            if begun or not chat or remote is None or not remote.knows(model):
                raise
            if not remote.offers(model, {"truncate": wanted.truncate}):
                raise
            if not remote.willing(model):
                raise resting(remote, model, local) from None
        yield await remote.chat(model, wanted, context.deadline)

    async def _local(
        self, model: Model, wanted: GenerationRequest, context: CallContext, param: str
    ) -> AsyncGenerator[Delta, None]:
        """The fleet's deltas; the last one has ``finish``. Raises ``EngineFault`` for a stream that ends without it."""
        application, metrics, last = application_of(model), self._services.metrics, None
        stream = self._services.fleet.stream(application, wanted, context)
        metrics.streams_open.inc()
        try:
            async with aclosing(stream):
                async for last in stream:
                    yield last
            if last is None or last.finish is None:
                raise EngineFault(f"{model.key} stopped in the middle of its answer.")
        except InvalidInput as error:
            raise _named(error, param) from None
        finally:
            metrics.streams_open.dec()
            succeeded = last is not None and last.finish is not None
            tokens = last.prompt_tokens + last.completion_tokens if last else 0
            metrics.inferences(application, int(succeeded), int(not succeeded), tokens)


def _named(error: InvalidInput, param: str) -> InvalidInput:
    """The error with the route's own name of the text, which the engine does not know."""
    if error.param in SETTINGS:
        return error
    named = copy.copy(error)
    named.param = param
    return named
