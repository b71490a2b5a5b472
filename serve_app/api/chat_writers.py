"""Who may write a chat's reply: the deployed chat model, and the operator's language model. Nothing leaves uninspected."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from starlette.requests import Request

from deployments.chat.prompt import turns_for
from deployments.chat.reply_check import SentenceGate, Withheld, inspect
from deployments.errors import Cancelled
from deployments.generation import Delta, GenerationRequest, Turn
from deployments.reasoning.plain_text import NoText
from model_store.errors import MusterError, UnknownModel
from serve_app.api.chat_known import Known, Wrote
from serve_app.api.errors import describe_defect
from serve_app.api.exchange import exchange_of
from serve_app.api.generations import Generations
from serve_app.api.labelling import wrong_task
from serve_app.api.names import Model, application_of
from serve_app.api.roles import by_role, state_of
from serve_app.api.services import Services

REPLY_TOKENS = 220
_log = logging.getLogger("ray.serve.muster")


class ChatWriters:
    """Each yields the words of a reply, and says in ``Wrote`` who it was; none, and why, where it cannot write."""

    def __init__(self, services: Services) -> None:
        self._services, self._generations = services, Generations(services)

    async def by_model(self, request: Request, known: Known, wrote: Wrote) -> AsyncGenerator[str, None]:
        """The deployed chat model's words; none when there is none, or when it fails before the first of them."""
        exchange = exchange_of(request)
        context = exchange.context(1)

        async def begin(model: Model) -> tuple[Delta, AsyncGenerator[Delta, None]]:
            if model.task != "generation":
                raise wrong_task(model, "chat", model.task)
            exchange.asked = (application_of(model), context.lane)
            turns = self._turns(known, model.limits.max_tokens - REPLY_TOKENS)
            wrote.turns_used = len(turns) - 2
            wanted = GenerationRequest(turns, REPLY_TOKENS, temperature=0.6, top_p=0.9, truncate="start")
            return await self._generations.begin(model, wanted, context, "message")

        try:
            async with asyncio.timeout(known.parts.deadline - time.monotonic()):
                if not await self._chat_is_deployed():
                    wrote.reason = "not_deployed"
                    return
                answered = await by_role(self._services, exchange, "chat", begin)
            first, rest = answered.value
            wrote.source, wrote.model, wrote.fallback = "model", answered.model.key, answered.fallback
            wrote.revision = first.revision or answered.model.revision
            async with aclosing(rest), aclosing(_gated(first, rest)) as pieces:
                while True:
                    # Only around the wait for words: a limit around a ``yield`` would end whoever takes them.
                    async with asyncio.timeout(known.parts.deadline - time.monotonic()):
                        piece = await anext(pieces, None)
                    if piece is None:
                        break
                    yield piece
        except Exception as error:
            if wrote.texts or isinstance(error, Cancelled):
                raise
            self._failed(known, wrote, error)

    async def by_llm(self, request: Request, known: Known, wrote: Wrote) -> AsyncGenerator[str, None]:
        """The operator's language model's words, whole and inspected; none when it has none."""
        if not self._services.words.configured:
            return
        turns = self._turns(known, self._services.settings.chat_context_tokens)
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            text = await self._services.words.write(messages, known.parts.deadline, "chat")
            inspect(text)
        except (NoText, Withheld) as error:
            self._failed(known, wrote, error)
            return
        wrote.source, wrote.model, wrote.reason = "llm", self._services.words.name, None
        wrote.turns_used = len(turns) - 2
        yield text

    def _failed(self, known: Known, wrote: Wrote, error: Exception) -> None:
        known.parts.fail("generation")
        if isinstance(error, Withheld | NoText):
            wrote.reason = f"withheld: {error.reason}" if isinstance(error, Withheld) else error.reason
            return
        wrote.reason = "failed"
        if not isinstance(error, MusterError | TimeoutError):
            _log.error("the part generation failed: %s", describe_defect(error))

    def _turns(self, known: Known, room: int) -> tuple[Turn, ...]:
        about = orjson.dumps(known.asked.about).decode() if known.asked.about else ""
        budget = min(self._services.settings.chat_context_tokens, room)
        return turns_for(known.asked.message, known.before, known.mode, known.style, known.reading, about, budget)

    async def _chat_is_deployed(self) -> bool:
        try:
            chain = self._services.catalogue.chain("chat")
        except UnknownModel:
            return False
        states, remote = await self._services.fleet.states(), self._services.remote
        here = any(application_of(model) in states and state_of(states, model).state != "not_pulled" for model in chain)
        return here or (remote is not None and any(remote.willing(model) for model in chain))


async def _gated(first: Delta, rest: AsyncGenerator[Delta, None]) -> AsyncGenerator[str, None]:
    """The deltas' text, sentence by sentence, inspected. Raises ``Withheld``."""
    gate = SentenceGate()
    if text := gate.feed(first.text):
        yield text
    async for delta in rest:
        if text := gate.feed(delta.text):
            yield text
    if text := gate.finish():
        yield text
