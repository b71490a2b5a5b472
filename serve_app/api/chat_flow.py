"""A chat's reply, step by step: crisis check, what is known of the conversation, what the models feel, words, history.

The graph: the check needs nothing and comes first; history, emotion and sentiment run side by side; then one writer after
the other may try, the deployed chat model, the operator's language model, our template. One deadline holds for all.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import Request

from deployments.call import CallContext
from deployments.chat import template
from deployments.chat.conversation import Reading
from deployments.chat.crisis import across, check
from deployments.chat.crisis_course import Said, course, said
from deployments.chat.history import ChatHistory, Exchange, Held
from serve_app.api.chat_known import Asked, Known, Wrote, known_of
from serve_app.api.chat_reading import MessageReader, Readers
from serve_app.api.chat_writers import ChatWriters
from serve_app.api.exchange import exchange_of
from serve_app.api.parts import Parts
from serve_app.api.services import Services

HISTORY_S = 1.0
"""For the history, read or written."""
AT_ONCE = 400
"""Characters that are checked where they arrive; longer texts in a thread, between whose patterns the loop goes on."""
NOBODY: Readers = {"emotion": None, "sentiment": None}
T = TypeVar("T")


class Companion:
    """Knows, writes and remembers."""

    def __init__(self, services: Services) -> None:
        self._reader, self._writers = MessageReader(services), ChatWriters(services)
        self.history = ChatHistory(services.state, services.settings.chat_ttl_s)

    async def know(self, request: Request, asked: Asked) -> Known:
        """Everything that the words depend on. The check of the message waits for nobody, and a grave one for nothing."""
        context, words = exchange_of(request).context(1), _all_words(asked)
        parts = Parts(context)
        found = await _apart(len(words), lambda: check(words))
        if found.stops_generation:
            # Nobody's reading and nothing said before would change the answer.
            return known_of(asked, found, found, Reading(), Held(), [], parts, NOBODY)
        history = self._before(context, asked, parts)
        read = self._reader.read(request, asked.message, parts)
        (held, before), (reading, readers) = await asyncio.gather(history, read)
        if before:
            found = await _apart(len(words), lambda: across(found, words, before[-1].text))
        counts = course(found, asked.message, before)
        return known_of(asked, found, counts, reading, held, before, parts, readers)

    async def words(self, request: Request, known: Known, wrote: Wrote) -> AsyncGenerator[str, None]:
        """The reply, piece by piece. Nothing is yielded that was not inspected. After the first piece an error of the
        writer is raised, and ``Withheld`` for a reply that goes wrong; before it the next writer begins."""
        if known.writes_itself:
            wrote.reason = "crisis"
        else:
            for attempt in (self._writers.by_model, self._writers.by_llm):
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

    async def _before(self, context: CallContext, asked: Asked, parts: Parts) -> tuple[Held, list[Said]]:
        """The stored turns, and what was said before as the request or, where it says nothing of it, the store has it."""
        held = await parts.take("history", lambda: self.history.of(context, asked.user, asked.conversation), HISTORY_S)
        held = Held() if held is None else held
        if (given := asked.given) is None:
            return held, [Said(each.user, each.found, each.turns()) for each in held]
        return held, await _apart(sum(len(turn.content) for turn in given), lambda: said(given))


async def _apart(characters: int, work: Callable[[], T]) -> T:
    """The result of reading so many characters, long ones in a thread."""
    return work() if characters <= AT_ONCE else await asyncio.to_thread(work)


def _all_words(asked: Asked) -> str:
    """Whatever the client's words can be in."""
    told = [word for pair in (asked.about or {}).items() for word in pair if isinstance(word, str)]
    return "\n".join([asked.message, *told])
