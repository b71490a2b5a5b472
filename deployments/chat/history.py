"""The last ten turns of each conversation, in Redis, for a while: a record of its own life, no cache. ``T`` is the tenant::

    muster:T:chat:<user>:<conversation>           list of JSON turns
    muster:T:chats:<user>                         sorted set of all the user's conversations by their last turn
    muster:T:chat-epoch:<user>                    changes when the user is erased
    muster:T:chat-epoch-of:<conversation>:<user>  changes when the conversation is erased

A reply that is being made while its epoch changes is not kept. A conversation's id has no colon, so that no two pairs of ids
share a key. Every operation borrows a connection for its own time only; nothing is held while words are made.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import WatchError

from deployments.call import CallContext
from deployments.chat.crisis import Crisis, check
from deployments.errors import StateUnavailable
from deployments.generation import Turn
from deployments.state import State
from model_store.errors import MusterError

KEPT_TURNS = 10
LISTED = 1000
"""Conversations that are told of a user, the newest."""
EPOCH_S = 900
"""Longer than any request may take: an epoch that is gone has not changed since the request began."""
INDEX_MARGIN_S = 60
"""The index outlives the conversations: none may live on unlisted."""
_ERASED_AT_ONCE = 500
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


class Held(list[Exchange]):
    """A conversation's turns, oldest first. ``epochs``: the user's and the conversation's when they were read; None where
    nothing could be read."""

    epochs: tuple[bytes | None, bytes | None] | None = None


class ChatHistory:
    """``ttl_s``: life after the last turn. Raises ``StateUnavailable`` where Redis is away."""

    def __init__(self, state: State, ttl_s: int) -> None:
        self._state, self._ttl_s = state, ttl_s
        self._late: dict[tuple[str, str, str], asyncio.Task[None]] = {}

    async def of(self, context: CallContext, user: str, conversation: str) -> Held:
        """The conversation's turns; none where there is no such conversation."""
        key = _key(context, user, conversation)
        await self._settled(context, user, conversation)

        async def read(redis: Redis) -> tuple[list[bytes], list[bytes | None]]:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.lrange(key, 0, -1)
                pipe.mget(_epochs(context, user, conversation))
                turns, epochs = await pipe.execute()
            return turns, epochs

        turns, (of_user, of_conversation) = await self._state.run(read, context.remaining())
        held = Held(_exchange(value) for value in turns)
        held.epochs = of_user, of_conversation
        return held

    async def add(self, context: CallContext, user: str, conversation: str, turn: Exchange, since: Held | None) -> None:
        """Keep a turn, unless the user or the conversation was erased ``since`` it began, or nothing is known of that; of
        more than ten the oldest goes. ``since`` None: the turn began when it was made."""
        epochs = None if since is None else since.epochs
        if since is not None and epochs is None:
            return
        key, index, guards = (
            _key(context, user, conversation),
            _index(context, user),
            _epochs(context, user, conversation),
        )
        found = [turn.found.outcome, *turn.found.indicators]
        value = orjson.dumps([turn.user, turn.assistant, turn.at, turn.polarity, found])

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                await pipe.watch(*guards)
                now = await pipe.mget(guards)
                if _changed(epochs, now) if epochs is not None else _erased_since(turn.at, now):
                    return
                pipe.multi()
                pipe.rpush(key, value)
                pipe.ltrim(key, -KEPT_TURNS, -1)
                pipe.expire(key, self._ttl_s)
                pipe.zadd(index, {conversation: turn.at})
                pipe.zremrangebyscore(index, "-inf", turn.at - self._ttl_s - INDEX_MARGIN_S)
                pipe.expire(index, self._ttl_s + INDEX_MARGIN_S)
                try:
                    await pipe.execute()
                except WatchError:
                    return

        await self._state.run(write, context.remaining())

    def add_late(self, context: CallContext, user: str, conversation: str, turn: Exchange, since: Held | None) -> None:
        """Keep a turn behind its reply, which waits for nobody. Reading or erasing the conversation here waits for it; when
        it fails, the log says so."""
        key = (context.tenant, user, conversation)
        context = replace(context, deadline=time.monotonic() + LATE_S)
        task = asyncio.create_task(self._add_late(context, user, conversation, turn, since, self._late.get(key)))
        self._late[key] = task
        task.add_done_callback(lambda done: self._late.pop(key) if self._late.get(key) is done else None)

    async def _add_late(
        self,
        context: CallContext,
        user: str,
        conversation: str,
        turn: Exchange,
        since: Held | None,
        first: asyncio.Task[None] | None,
    ) -> None:
        try:
            if first is not None:
                await asyncio.wait({first})
            async with asyncio.timeout(context.remaining()):
                await self.add(context, user, conversation, turn, since)
        except (MusterError, TimeoutError) as error:
            _log.warning("a turn was not kept behind its reply: %s", type(error).__name__)

    async def _settled(self, context: CallContext, user: str, conversation: str | None) -> None:
        """Wait for what is still being kept of a conversation, or of all of the user's."""
        whose = (context.tenant, user)
        waiting = {task for key, task in self._late.items() if key[:2] == whose and conversation in (None, key[2])}
        if waiting:
            await asyncio.wait(waiting, timeout=context.remaining())

    async def conversations(self, context: CallContext, user: str) -> list[str]:
        """The user's living conversations, the newest first, at most ``LISTED``."""
        oldest, index = time.time() - self._ttl_s, _index(context, user)
        await self._settled(context, user, None)
        held: Sequence[bytes] = await self._state.run(
            lambda redis: redis.zrevrangebyscore(index, "+inf", oldest, start=0, num=LISTED), context.remaining()
        )
        return [value.decode() for value in held]

    async def erase(self, context: CallContext, user: str, conversation: str | None) -> int:
        """Erase one conversation, or all of the user's; how many there were."""
        index = _index(context, user)
        await self._settled(context, user, conversation)

        async def drop(redis: Redis, held: Sequence[str]) -> int:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.delete(*(_key(context, user, each) for each in held))
                pipe.zrem(index, *held)
                return int((await pipe.execute())[0])

        async def erase(redis: Redis) -> int:
            # The epoch first: what is kept after this belongs to a request that began after it.
            of_user, of_conversation = _epochs(context, user, conversation or "")
            await redis.set(
                of_conversation if conversation else of_user, f"{time.time()} {secrets.token_hex(4)}", ex=EPOCH_S
            )
            if conversation:
                return await drop(redis, [conversation])
            held = [each.decode() for each in await redis.zrange(index, 0, -1)]
            parts = [held[at : at + _ERASED_AT_ONCE] for at in range(0, len(held), _ERASED_AT_ONCE)]
            return sum([await drop(redis, part) for part in parts])

        erased: int = await self._state.run(erase, context.remaining())
        return erased


def _key(context: CallContext, user: str, conversation: str) -> str:
    return State.key(context.tenant, "chat", user, conversation)


def _index(context: CallContext, user: str) -> str:
    return State.key(context.tenant, "chats", user)


def _epochs(context: CallContext, user: str, conversation: str) -> tuple[str, str]:
    """Keys of the user's epoch and the conversation's. A user's id may have colons, so the conversation goes first."""
    return (
        State.key(context.tenant, "chat-epoch", user),
        State.key(context.tenant, "chat-epoch-of", conversation, user),
    )


def _changed(before: Sequence[bytes | None], now: Sequence[bytes | None]) -> bool:
    return any(new is not None and new != old for old, new in zip(before, now, strict=True))


def _erased_since(at: float, epochs: Sequence[bytes | None]) -> bool:
    return any(float(epoch.split()[0]) >= at for epoch in epochs if epoch is not None)


def _exchange(value: bytes) -> Exchange:
    try:
        read: Any = orjson.loads(value)
        user, assistant, at, polarity, *checked = read
        found = Crisis(checked[0][0], tuple(checked[0][1:])) if checked else check(str(user))
        return Exchange(str(user), str(assistant), float(at), None if polarity is None else float(polarity), found)
    except (orjson.JSONDecodeError, TypeError, ValueError, LookupError):
        raise StateUnavailable("A stored record is damaged.", 60.0) from None
