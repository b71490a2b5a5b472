"""Where things of a journal's writer lie in Redis. ``T`` the tenant, ``U`` the writer (``~inline``: of nobody)::

    muster:T:journal:U:entries    hash: entry id -> {"id", "text", "created_at", "mood"}
    muster:T:journal:U:order      sorted set of entry ids by when they were written
    muster:T:journal:U:stored     the same by when they came here: retention counts from then
    muster:T:journal:U:texts      hash: entry id -> 16 bytes of an HMAC of its text
    muster:T:journal:U:features   hash: those 16 bytes and 16 of an HMAC of role, model and revision -> what the model said
    muster:T:journal:U:results    hash: part and HMAC of all that it was computed from -> {"until", "value"}
    muster:T:journal:U:epoch      changes when the writer is erased, so that nothing computed before is kept after

Of ``~inline`` there are only features and results, in a hash for each twelve hours that goes twelve hours after them.
"""

import asyncio
import hmac
import time
from collections.abc import Sequence

INLINE = "~inline"
"""No writer's id: it may not begin so."""
INLINE_S = 24 * 3600
DIGEST_BYTES = 16
_BUCKET_S = INLINE_S // 2
_TURN = 64


class Keys:
    """The keys of one writer."""

    def __init__(self, tenant: str, user: str) -> None:
        parts = ("entries", "order", "stored", "texts", "features", "results", "epoch")
        names = [f"muster:{tenant}:journal:{user}:{part}" for part in parts]
        self.entries, self.order, self.stored, self.texts, self.features, self.results, self.epoch = names


def buckets(key: str, owner: str, now: float | None = None) -> list[tuple[str, int | None]]:
    """The hashes in which something of ``key`` may lie, where to write first, and when each ends (Unix seconds; None: it
    counts from the last write)."""
    if owner != INLINE:
        return [(key, None)]
    newest = int((time.time() if now is None else now) // _BUCKET_S)
    return [(f"{key}:{number}", number * _BUCKET_S + INLINE_S) for number in (newest, newest - 1)]


async def digests(salt: bytes, texts: Sequence[str]) -> list[bytes]:
    """One digest a text, 32 bytes, letting others have the event loop in between."""
    found = []
    for number, text in enumerate(texts, 1):
        found.append(hmac.digest(salt, b"journal\0" + text.encode("utf-8", "surrogatepass"), "sha256"))
        if number % _TURN == 0:
            await asyncio.sleep(0)
    return found


def feature_field(digest: bytes, role: str, identity: bytes) -> bytes:
    """Under which a text's features lie. What is known of a text begins with its digest, so that it can go with it."""
    given = hmac.digest(digest, role.encode() + b"\0" + identity, "sha256")
    return digest[:DIGEST_BYTES] + given[:DIGEST_BYTES]
