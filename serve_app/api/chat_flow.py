"""A chat's reply, step by step: crisis check, what is known of the conversation, what the models feel, words, history.

The graph: the check needs nothing and comes first; history, emotion and sentiment run side by side; then one writer after
the other may try, the deployed chat model, the operator's language model, our template. One deadline holds for all.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import orjson
from starlette.requests import Request

from deployments.call import CallContext
from deployments.chat import template
from deployments.chat.conversation import (
    USUAL_STYLE,
    Mode,
    Reading,
    Stage,
    Style,
    is_falling,
    stage_of,
)
from deployments.chat.crisis import SWITCH, Crisis, across, check
from deployments.chat.crisis_course import Said, course, said, told
from deployments.chat.history import ChatHistory, Exchange, Held
from deployments.chat.prompt import turns_for
from deployments.chat.reply_check import SentenceGate, Withheld, inspect
from deployments.errors import Cancelled
from deployments.generation import Delta, GenerationRequest, Turn
from deployments.reasoning.plain_text import NoText
from model_store.errors import MusterError, UnknownModel
from serve_app.api.chat_reading import MessageReader, Readers
from serve_app.api.errors import describe_defect
from serve_app.api.exchange import exchange_of
from serve_app.api.generations import Generations
from serve_app.api.labelling import wrong_task
from serve_app.api.names import Model, application_of
from serve_app.api.parts import Parts
from serve_app.api.roles import by_role, state_of
from serve_app.api.services import Services

HISTORY_S = 1.0
"""For the history, read or written."""
REPLY_TOKENS = 220
AT_ONCE = 400
"""Characters that are checked where they arrive; longer texts in a thread, between whose patterns the loop goes on."""
_log = logging.getLogger("ray.serve.muster")
NOBODY: Readers = {"emotion": None, "sentiment": None}
Source = Literal["model", "llm", "template"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of either route. ``about``: what the application told, JSON; ``given``: history in the request."""

    user: str
    conversation: str
    message: str
    mode: Mode
    style: Style | None
    given: Sequence[Turn] | None
    country: str | None
    about: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Known:
    """What is known before words are made. ``found``: in this message itself; ``crisis``: what it counts as after what
    was said before; ``before``: what a model may be told."""

    asked: Asked
    found: Crisis
    crisis: Crisis
    reading: Reading
    before: tuple[Turn, ...]
    turn: int
    stage: Stage
    mode: Mode
    style: Style
    level: float
    parts: Parts
    readers: Readers
    held: Held

    @property
    def writes_itself(self) -> bool:
        """Whether the answer is our own words, whatever models there are."""
        return self.crisis.stops_generation or self.mode == "crisis_support"

    @property
    def needs_help_lines(self) -> bool:
        return self.crisis.needs_help_lines or self.mode == "crisis_support"

    def template(self) -> str:
        return template.reply(self.mode, self.style, self.stage, self.reading.emotion, self.turn, self.crisis)


@dataclass(slots=True)
class Wrote:
    """Who wrote, filled in while the words come. ``reason``: why the template did."""

    source: Source = "template"
    model: str | None = None
    revision: str | None = None
    fallback: bool = False
    reason: str | None = None
    turns_used: int = 0
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts).strip()


class Companion:
    """Knows, writes and remembers."""

    def __init__(self, services: Services) -> None:
        self._services, self._reader, self._generations = services, MessageReader(services), Generations(services)
        self.history = ChatHistory(services.state, services.settings.chat_ttl_s)

    async def know(self, request: Request, asked: Asked) -> Known:
        """Everything that the words depend on. The check of the message waits for nobody, and a grave one for nothing."""
        context, words = exchange_of(request).context(1), _all_words(asked)
        parts = Parts(context)
        found = await _apart(len(words), lambda: check(words))
        if found.stops_generation:
            # Nobody's reading and nothing said before would change the answer.
            return _known(asked, found, found, Reading(), Held(), [], parts, NOBODY)
        history = self._before(context, asked, parts)
        read = self._reader.read(request, asked.message, parts)
        (held, before), (reading, readers) = await asyncio.gather(history, read)
        if before:
            found = await _apart(len(words), lambda: across(found, words, before[-1].text))
        counts = course(found, asked.message, before)
        return _known(asked, found, counts, reading, held, before, parts, readers)

    async def words(self, request: Request, known: Known, wrote: Wrote) -> AsyncGenerator[str, None]:
        """The reply, piece by piece. Nothing is yielded that was not inspected. After the first piece an error of the
        writer is raised, and ``Withheld`` for a reply that goes wrong; before it the next writer begins."""
        if known.writes_itself:
            wrote.reason = "crisis"
        else:
            for attempt in (self._by_model, self._by_llm):
                async with aclosing(attempt(request, known, wrote)) as pieces:
                    async for piece in pieces:
                        wrote.texts.append(piece)
                        yield piece
                if wrote.texts:
                    if known.crisis.needs_help_lines:
                        yield template.with_concern("", known.crisis)
                    return
        wrote.source, wrote.model, wrote.revision, wrote.fallback, wrote.turns_used = "template", None, None, False, 0
        wrote.texts.append(known.template())
        yield wrote.texts[-1]

    async def remember(self, request: Request, known: Known, wrote: Wrote) -> None:
        """Keep the turn, or name ``history`` among what failed; a grave one behind its reply, which waits for no store.
        A client that wants nothing stored is obeyed."""
        context, asked = exchange_of(request).context(1), known.asked
        if context.no_store:
            return
        kept = Exchange(asked.message, wrote.text, time.time(), known.reading.polarity, known.found)
        if known.found.stops_generation:
            since = known.held if known.held.epochs is not None else None
            self.history.add_late(context, asked.user, asked.conversation, kept, since)
            return
        await known.parts.take(
            "history", lambda: self.history.add(context, asked.user, asked.conversation, kept, known.held), HISTORY_S
        )

    # -- what is known -------------------------------------------------------------------------------------------------

    async def _before(self, context: CallContext, asked: Asked, parts: Parts) -> tuple[Held, list[Said]]:
        """The stored turns, and what was said before as the request or, where it says nothing of it, the store has it."""
        held = await parts.take("history", lambda: self.history.of(context, asked.user, asked.conversation), HISTORY_S)
        held = Held() if held is None else held
        if (given := asked.given) is None:
            return held, [Said(each.user, each.found, each.turns()) for each in held]
        return held, await _apart(sum(len(turn.content) for turn in given), lambda: said(given))

    # -- who writes ----------------------------------------------------------------------------------------------------

    async def _by_model(self, request: Request, known: Known, wrote: Wrote) -> AsyncGenerator[str, None]:
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

    async def _by_llm(self, request: Request, known: Known, wrote: Wrote) -> AsyncGenerator[str, None]:
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


def _known(
    asked: Asked,
    found: Crisis,
    counts: Crisis,
    reading: Reading,
    held: Held,
    before: Sequence[Said],
    parts: Parts,
    readers: Readers,
) -> Known:
    """``counts``: what the message counts as. A grave message's turn is counted by the history in its request alone."""
    turn = 1 + (sum(each.role == "user" for each in asked.given) if asked.given is not None else len(before))
    falling = is_falling([each.polarity for each in held], reading.polarity)
    level = counts.level(strong_sadness=reading.strong_sadness, falling=falling)
    grave = counts.outcome == "crisis" or level > SWITCH
    mode: Mode = "crisis_support" if grave else asked.mode
    since = time.time() - held[-1].at if held and asked.given is None else None
    style = asked.style or USUAL_STYLE[mode]
    stage = stage_of(asked.message, turn, mode, since)
    return Known(asked, found, counts, reading, told(before), turn, stage, mode, style, level, parts, readers, held)


async def _apart(characters: int, work: Callable[[], T]) -> T:
    """The result of reading so many characters, long ones in a thread."""
    return work() if characters <= AT_ONCE else await asyncio.to_thread(work)


def _all_words(asked: Asked) -> str:
    """Whatever the client's words can be in."""
    told = [word for pair in (asked.about or {}).items() for word in pair if isinstance(word, str)]
    return "\n".join([asked.message, *told])
