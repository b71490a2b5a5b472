"""What the models say of journal entries: asked once for each text, kept by its digest in memory and Redis.

A kept answer belongs to a text, a role, and the model and revision that gave it. Keys are HMACs with the tenant's salt. Who
answers for a role now is learned by asking it for one word, which the result cache answers for ten seconds at a time.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from starlette.requests import Request

from deployments.cache import Kept, ResultCache
from deployments.errors import ModelNotReady, StateUnavailable
from deployments.journal.entries import Entry, Journal
from deployments.journal.kept import JournalKept
from deployments.journal.keys import digests, feature_field
from deployments.redis_link import KEPT
from model_store.errors import MusterError
from serve_app.api.errors import row_for
from serve_app.api.exchange import exchange_of
from serve_app.api.journal_models import ROLES, JournalModels, Rows, Who
from serve_app.api.services import Services

MEMORY_BYTES = 16 * 1024 * 1024
SHARE = 0.8
"""Of the time that is left: what the models may take of it before the analysis goes on without them."""
KEEP_SHARE = 0.5
"""Of the time that is left then: what keeping their answers may take."""
PROBE = "ok"
ATTEMPTS = 2
Fresh = dict[bytes, bytes]
"""What is to be kept in Redis, by its field there."""


@dataclass(slots=True)
class Features:
    """``rows``: by role, one row an entry; ``asked``: entries that a model was asked for now; ``missing``: roles and why."""

    rows: dict[str, Rows] = field(default_factory=dict)
    who: dict[str, Who] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def journal(self, entries: Sequence[Entry]) -> Journal:
        """The entries with what is known of them."""
        emotions, polarity, embeddings = (
            None if role not in self.rows else self.rows[role].astype(np.float64) for role in ROLES
        )
        return Journal(tuple(entries), emotions, None if polarity is None else polarity[:, 0], embeddings)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose entries these are. ``owner`` and ``epoch`` are the store's; ``until``: monotonic, when models must be done."""

    request: Request
    entries: Sequence[Entry]
    owner: str
    epoch: bytes
    digests: Sequence[bytes]
    until: float

    @property
    def tenant(self) -> str:
        return exchange_of(self.request).tenant

    def place(self, key: bytes) -> bytes:
        """Where memory keeps it: nobody's features are another's, and those of who was erased are not found again."""
        return self.owner.encode() + b"\0" + self.epoch + b"\0" + key

    @property
    def left_s(self) -> float:
        """Seconds until the models must be done."""
        return self.until - time.monotonic()

    @property
    def keeps(self) -> bool:
        """Whether answers may be kept and taken from what is kept."""
        return not exchange_of(self.request).context(1).no_store


class FeatureSource:
    """Gets the features of entries. One in each gateway process."""

    def __init__(self, services: Services, kept: JournalKept) -> None:
        self._services, self._held, self._models = services, kept, JournalModels(services)
        self._memory = ResultCache(MEMORY_BYTES, services.settings.cache_ttl_s)
        self._own_salt = secrets.token_bytes(32)

    async def open(self, request: Request, entries: Sequence[Entry], owner: str, epoch: bytes) -> Asked:
        """The entries with their digests, and until when the models may take."""
        salt = await self.salt(exchange_of(request).tenant)
        told = await digests(salt, [entry.text for entry in entries])
        until = time.monotonic() + SHARE * exchange_of(request).context(1).remaining()
        return Asked(request, entries, owner, epoch, told, until)

    async def identify(self, asked: Asked) -> dict[str, Who]:
        """Who answers for each role now; of one that is silent who did when something was kept last, or nobody.

        Raises ``Cancelled``.
        """
        found: dict[str, Who] = {}

        async def learn(roles: Sequence[str]) -> None:
            async with asyncio.timeout(asked.left_s / 2):
                answered = await self._models.ask(roles, asked.request, [PROBE])
            found.update({role: who for role, (_, who) in answered.items()})

        for role in await self._models.for_each_pass(learn):
            (held,) = await self._held.features(asked.tenant, asked.owner, [_identity_field(role)], asked.left_s)
            if held:
                model, _, revision = held.decode().rpartition("@")
                found[role] = Who(model, revision, False)
        return found

    async def gather(self, asked: Asked, who: Mapping[str, Who]) -> Features:
        """Features by role; a role that does not answer in time is named and left out.

        Raises ``Cancelled``.
        """
        found = Features()

        async def get(roles: Sequence[str]) -> None:
            fresh: Fresh = {}
            try:
                async with asyncio.timeout(asked.left_s):
                    await self._get(roles, asked, who, found, fresh)
            finally:
                await self._keep(asked, fresh)

        for role, error in (await self._models.for_each_pass(get)).items():
            found.missing[role] = row_for(error).code if isinstance(error, MusterError) else "deadline_exceeded"
        return found

    async def _get(
        self, roles: Sequence[str], asked: Asked, who: Mapping[str, Who], found: Features, kept: Fresh
    ) -> None:
        """Kept rows, and the rest from the models; from the start once more when those are others than was kept of."""
        texts = [entry.text for entry in asked.entries]
        for _ in range(ATTEMPTS):
            rows = {role: await self._kept(role, asked, who.get(role)) for role in roles}
            missing = [index for index in range(len(texts)) if any(rows[role][index] is None for role in roles)]
            fresh = await self._models.ask(roles, asked.request, [texts[index] for index in missing]) if missing else {}
            for role, (values, answered) in fresh.items():
                self._remember(role, asked, answered, missing, values, kept)
                for index, row in zip(missing, values, strict=True):
                    rows[role][index] = row
            answering = {**who, **{role: answered for role, (_, answered) in fresh.items()}}
            if len(missing) == len(texts) or all(answering[role] == who.get(role) for role in roles):
                for role in roles:
                    found.rows[role] = np.stack([row for row in rows[role] if row is not None])
                    found.who[role], found.asked[role] = answering[role], len(missing)
                return
            who = answering
        raise ModelNotReady(roles[0], "its model changes at this moment", 1.0)

    # -- what is kept ----------------------------------------------------------------------------------------------

    async def _kept(self, role: str, asked: Asked, who: Who | None) -> list[Rows | None]:
        """What is kept of each entry, from memory and then from Redis."""
        if who is None or not asked.keeps:
            return [None] * len(asked.entries)
        keys = [feature_field(digest, role, who.identity) for digest in asked.digests]
        rows: list[Rows | None] = [kept.value if (kept := self._memory.get(asked.place(key))) else None for key in keys]
        lacking = [index for index, row in enumerate(rows) if row is None]
        if lacking:
            wanted = [keys[index] for index in lacking]
            held = await self._held.features(asked.tenant, asked.owner, wanted, asked.left_s)
            for index, value in zip(lacking, held, strict=True):
                if (kept := _unpacked(value)) is not None:
                    self._memory.put(asked.place(keys[index]), kept)
                    rows[index] = kept.value
        return rows

    def _remember(self, role: str, asked: Asked, who: Who, places: Sequence[int], rows: Rows, fresh: Fresh) -> None:
        """Put rows into memory, and among what is to be kept in Redis."""
        if not asked.keeps:
            return
        fresh[_identity_field(role)] = who.identity
        for place, row in zip(places, rows, strict=True):
            key, kept = feature_field(asked.digests[place], role, who.identity), Kept(row.copy(), 0)
            self._memory.put(asked.place(key), kept)
            fresh[key] = kept.packed()

    async def _keep(self, asked: Asked, fresh: Fresh) -> None:
        """Outside of the models' time: what they said is not lost because Redis is slow."""
        within_s = exchange_of(asked.request).context(1).remaining() * KEEP_SHARE
        await self._held.keep_features(asked.tenant, asked.owner, asked.epoch, fresh, within_s)

    async def salt(self, tenant: str) -> bytes:
        """The tenant's; while Redis is away what is kept is this process's own."""
        try:
            return await self._services.state.salt(tenant, KEPT)
        except StateUnavailable:
            return hmac.digest(self._own_salt, tenant.encode(), "sha256")


def _identity_field(role: str) -> bytes:
    return f"role {role}".encode()


def _unpacked(value: bytes | None) -> Kept | None:
    try:
        return None if value is None else Kept.unpacked(value)
    except ValueError:
        return None
