"""The last ten turns of each conversation, in Redis, for a while: a record of its own life, no cache. ``T`` is the tenant::

    muster:T:chat:<user>:<conversation>           list of JSON turns
    muster:T:chats:<user>                         sorted set of all the user's conversations by their last turn
    muster:T:chat-epoch:<user>                    changes when the user is erased
    muster:T:chat-epoch-of:<conversation>:<user>  changes when the conversation is erased

A reply that is being made while its epoch changes is not kept. A conversation's id has no colon, so that no two pairs of ids
share a key. Every operation borrows a connection for its own time only; nothing is held while words are made.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import WatchError

from deployments.call import CallContext
from deployments.errors import StateUnavailable
from deployments.generation import Turn
from deployments.state import State

KEPT_TURNS = 10
LISTED = 1000
"""Conversations that are told of a user, the newest."""
EPOCH_S = 900
"""Longer than any request may take: an epoch that is gone has not changed since the request began."""
INDEX_MARGIN_S = 60
"""The index outlives the conversations: none may live on unlisted."""
_ERASED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn: what the user said, what was answered, seconds since 1970, the message's polarity where it was read."""

    user: str
    assistant: str
    at: float
    polarity: float | None = None

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

    async def of(self, context: CallContext, user: str, conversation: str) -> Held:
        """The conversation's turns; none where there is no such conversation."""
        key = _key(context, user, conversation)

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

    async def add(self, context: CallContext, user: str, conversation: str, turn: Exchange, since: Held) -> None:
        """Keep a turn, unless the user or the conversation was erased ``since`` it began, or nothing is known of that; of
        more than ten the oldest goes."""
        if (epochs := since.epochs) is None:
            return
        key, index, guards = (
            _key(context, user, conversation),
            _index(context, user),
            _epochs(context, user, conversation),
        )
        value = orjson.dumps([turn.user, turn.assistant, turn.at, turn.polarity])

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                await pipe.watch(*guards)
                if _changed(epochs, await pipe.mget(guards)):
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

    async def conversations(self, context: CallContext, user: str) -> list[str]:
        """The user's living conversations, the newest first, at most ``LISTED``."""
        oldest, index = time.time() - self._ttl_s, _index(context, user)
        held: Sequence[bytes] = await self._state.run(
            lambda redis: redis.zrevrangebyscore(index, "+inf", oldest, start=0, num=LISTED), context.remaining()
        )
        return [value.decode() for value in held]

    async def erase(self, context: CallContext, user: str, conversation: str | None) -> int:
        """Erase one conversation, or all of the user's; how many there were."""
        index = _index(context, user)

        async def drop(redis: Redis, held: Sequence[str]) -> int:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.delete(*(_key(context, user, each) for each in held))
                pipe.zrem(index, *held)
                return int((await pipe.execute())[0])

        async def erase(redis: Redis) -> int:
            # The epoch first: what is kept after this belongs to a request that began after it.
            of_user, of_conversation = _epochs(context, user, conversation or "")
            await redis.set(of_conversation if conversation else of_user, secrets.token_hex(8), ex=EPOCH_S)
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


def _exchange(value: bytes) -> Exchange:
    try:
        read: Any = orjson.loads(value)
        user, assistant, at, polarity = read
        return Exchange(str(user), str(assistant), float(at), None if polarity is None else float(polarity))
    except (orjson.JSONDecodeError, TypeError, ValueError):
        raise StateUnavailable("A stored record is damaged.", 60.0) from None
