"""The last ten turns of each conversation, in Redis, for a while: a record of its own life, no cache.

``muster:T:chat:<user>:<conversation>`` is a list of JSON turns, ``muster:T:chats:<user>`` a sorted set of the user's
conversations by their last turn. A conversation's id has no colon, so that no two pairs of ids share a key. Every operation
borrows a connection for its own time only; nothing is held while words are made.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from redis.asyncio import Redis

from deployments.call import CallContext
from deployments.chat.crisis import Crisis, check
from deployments.errors import StateUnavailable
from deployments.generation import Turn
from deployments.state import State
from model_store.errors import MusterError

KEPT_TURNS = 10
KEPT_CONVERSATIONS = 100
LATE_S = 5.0
"""For a turn that is kept behind its reply."""
_log = logging.getLogger("ray.serve.muster")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn: what the user said, what was answered, seconds since 1970, the message's polarity where it was read, and
    what the crisis check found in that message itself."""

    user: str
    assistant: str
    at: float
    polarity: float | None = None
    found: Crisis = field(default_factory=Crisis)

    def turns(self) -> tuple[Turn, Turn]:
        return Turn("user", self.user), Turn("assistant", self.assistant)


class ChatHistory:
    """``ttl_s``: life after the last turn. Raises ``StateUnavailable`` where Redis is away."""

    def __init__(self, state: State, ttl_s: int) -> None:
        self._state, self._ttl_s = state, ttl_s
        self._late: dict[tuple[str, str, str], asyncio.Task[None]] = {}

    async def of(self, context: CallContext, user: str, conversation: str) -> list[Exchange]:
        """The conversation's turns, oldest first; none where there is no such conversation."""
        key = _key(context, user, conversation)
        await self._settled(context, user, conversation)
        held = await self._state.run(lambda redis: redis.lrange(key, 0, -1), context.remaining())
        return [_exchange(value) for value in held]

    async def add(self, context: CallContext, user: str, conversation: str, turn: Exchange) -> None:
        """Keep a turn; of more than ten the oldest goes."""
        key, index = _key(context, user, conversation), _index(context, user)
        found = [turn.found.outcome, *turn.found.indicators]
        value = orjson.dumps([turn.user, turn.assistant, turn.at, turn.polarity, found])

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.rpush(key, value)
                pipe.ltrim(key, -KEPT_TURNS, -1)
                pipe.expire(key, self._ttl_s)
                pipe.zadd(index, {conversation: turn.at})
                pipe.zremrangebyscore(index, "-inf", turn.at - self._ttl_s)
                pipe.zremrangebyrank(index, 0, -KEPT_CONVERSATIONS - 1)
                pipe.expire(index, self._ttl_s)
                await pipe.execute()

        await self._state.run(write, context.remaining())

    def add_late(self, context: CallContext, user: str, conversation: str, turn: Exchange) -> None:
        """Keep a turn behind its reply, which waits for nobody. Reading or erasing the conversation here waits for it; when
        it fails, the log says so."""
        key = (context.tenant, user, conversation)
        context = replace(context, deadline=time.monotonic() + LATE_S)
        task = asyncio.create_task(self._add_late(context, user, conversation, turn, self._late.get(key)))
        self._late[key] = task
        task.add_done_callback(lambda done: self._late.pop(key) if self._late.get(key) is done else None)

    async def _add_late(
        self, context: CallContext, user: str, conversation: str, turn: Exchange, first: asyncio.Task[None] | None
    ) -> None:
        try:
            if first is not None:
                await asyncio.wait({first})
            async with asyncio.timeout(context.remaining()):
                await self.add(context, user, conversation, turn)
        except (MusterError, TimeoutError) as error:
            _log.warning("a turn was not kept behind its reply: %s", type(error).__name__)

    async def _settled(self, context: CallContext, user: str, conversation: str | None) -> None:
        """Wait for what is still being kept of a conversation, or of all of the user's."""
        whose = (context.tenant, user)
        waiting = {task for key, task in self._late.items() if key[:2] == whose and conversation in (None, key[2])}
        if waiting:
            await asyncio.wait(waiting, timeout=context.remaining())

    async def conversations(self, context: CallContext, user: str) -> list[str]:
        """The user's living conversations, the newest first."""
        oldest, index = time.time() - self._ttl_s, _index(context, user)
        await self._settled(context, user, None)
        held: Sequence[bytes] = await self._state.run(
            lambda redis: redis.zrevrangebyscore(index, "+inf", oldest), context.remaining()
        )
        return [value.decode() for value in held]

    async def erase(self, context: CallContext, user: str, conversation: str | None) -> int:
        """Erase one conversation, or all of the user's; how many there were."""
        index = _index(context, user)
        await self._settled(context, user, conversation)

        async def erase(redis: Redis) -> int:
            held = [conversation] if conversation else [each.decode() for each in await redis.zrange(index, 0, -1)]
            if not held:
                return 0
            async with redis.pipeline(transaction=True) as pipe:
                pipe.delete(*(_key(context, user, each) for each in held))
                pipe.zrem(index, *held)
                return int((await pipe.execute())[0])

        erased: int = await self._state.run(erase, context.remaining())
        return erased


def _key(context: CallContext, user: str, conversation: str) -> str:
    return State.key(context.tenant, "chat", user, conversation)


def _index(context: CallContext, user: str) -> str:
    return State.key(context.tenant, "chats", user)


def _exchange(value: bytes) -> Exchange:
    try:
        read: Any = orjson.loads(value)
        user, assistant, at, polarity, *checked = read
        found = Crisis(checked[0][0], tuple(checked[0][1:])) if checked else check(str(user))
        return Exchange(str(user), str(assistant), float(at), None if polarity is None else float(polarity), found)
    except (orjson.JSONDecodeError, TypeError, ValueError, LookupError):
        raise StateUnavailable("A stored record is damaged.", 60.0) from None
