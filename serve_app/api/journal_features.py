"""What the models say of journal entries: asked once for each text, kept by its digest in memory and Redis.

A kept answer belongs to a text, a role, and the model and revision that gave it. Keys are HMACs with the tenant's salt. Who
answers for a role now is learned by asking it for one word, which the result cache answers for ten seconds at a time.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from deployments.cache import Kept, ResultCache
from deployments.errors import Cancelled, EngineFault, ModelNotReady, Overloaded, StateUnavailable
from deployments.journal.entries import Entry, Journal
from deployments.journal.store import JournalStore
from model_store.errors import MusterError
from serve_app.api.calls import first_error
from serve_app.api.errors import row_for
from serve_app.api.exchange import exchange_of
from serve_app.api.fallback import ask_model
from serve_app.api.labelling import Labelled, Labelling, Texts, wrong_task
from serve_app.api.names import Model, with_prefix
from serve_app.api.roles import by_role
from serve_app.api.services import Services

ROLES = ("emotion", "sentiment", "embedding")
MEMORY_BYTES = 16 * 1024 * 1024
SHARE = 0.8
"""Of the time that is left: what the models may take of it before the analysis goes on without them."""
PROBE = "ok"
TURN = 64
ATTEMPTS = 2
FATAL = (Cancelled, Overloaded)
"""What the client must see: it left, or it is to come back later."""
Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Who:
    """The model that answers for a role."""

    model: str
    revision: str
    fallback: bool

    @property
    def identity(self) -> bytes:
        return f"{self.model}@{self.revision}".encode()


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
    def keeps(self) -> bool:
        """Whether answers may be kept and taken from what is kept."""
        return not exchange_of(self.request).context(1).no_store


class FeatureSource:
    """Gets the features of entries. One in each gateway process."""

    def __init__(self, services: Services, store: JournalStore) -> None:
        self._services, self._store, self._labelling = services, store, Labelling(services)
        self._memory = ResultCache(MEMORY_BYTES, services.settings.cache_ttl_s)
        self._own_salt = secrets.token_bytes(32)

    async def open(self, request: Request, entries: Sequence[Entry], owner: str, epoch: bytes) -> Asked:
        """The entries with their digests, and until when the models may take."""
        digests = await self._digests(exchange_of(request).tenant, entries)
        until = time.monotonic() + SHARE * exchange_of(request).context(1).remaining()
        return Asked(request, entries, owner, epoch, digests, until)

    async def identify(self, asked: Asked) -> dict[str, Who]:
        """Who answers for each role now; of one that is silent who did when something was kept last, or nobody.

        Raises ``Cancelled`` and ``Overloaded``.
        """
        found: dict[str, Who] = {}

        async def learn(role: str) -> None:
            try:
                async with asyncio.timeout((asked.until - time.monotonic()) / 2):
                    found[role] = (await self._ask(role, asked.request, [PROBE]))[1]
            except FATAL:
                raise
            except (MusterError, TimeoutError):
                (held,) = await self._store.features(asked.tenant, asked.owner, [_identity_field(role)])
                if held:
                    model, _, revision = held.decode().rpartition("@")
                    found[role] = Who(model, revision, False)

        await _for_each_role(learn)
        return found

    async def gather(self, asked: Asked, who: Mapping[str, Who]) -> Features:
        """Features by role; a role that does not answer in time is named and left out.

        Raises ``Cancelled`` and ``Overloaded``.
        """
        found = Features()

        async def get(role: str) -> None:
            try:
                async with asyncio.timeout(asked.until - time.monotonic()):
                    await self._get(role, asked, who.get(role), found)
            except FATAL:
                raise
            except TimeoutError:
                found.missing[role] = "deadline_exceeded"
            except MusterError as error:
                found.missing[role] = row_for(error).code

        await _for_each_role(get)
        return found

    async def _get(self, role: str, asked: Asked, who: Who | None, found: Features) -> None:
        """Kept rows, and the rest from the model; from the start once more when that was another one than was kept of."""
        texts = [entry.text for entry in asked.entries]
        for _ in range(ATTEMPTS):
            rows = await self._kept(role, asked, who) if who else [None] * len(texts)
            missing = [index for index, row in enumerate(rows) if row is None]
            fresh, answered = (
                await self._ask(role, asked.request, [texts[i] for i in missing]) if missing else ((), who)
            )
            if missing and answered is not None:
                await self._keep(role, asked, answered, missing, np.asarray(fresh))
            for index, row in zip(missing, fresh, strict=True):
                rows[index] = row
            if answered is not None and (answered == who or len(missing) == len(texts)):
                found.rows[role], found.who[role] = np.stack([row for row in rows if row is not None]), answered
                found.asked[role] = len(missing)
                return
            who = answered
        raise ModelNotReady(role, "its model changes at this moment", 1.0)

    # -- models ----------------------------------------------------------------------------------------------------

    async def _ask(self, role: str, request: Request, texts: Sequence[str]) -> tuple[Rows, Who]:
        """One row a text. Overlong texts are read in windows, pooled by length. Raises the first text's error."""
        if role == "embedding":
            return await self._embed(request, texts)
        asked = Texts(texts, "window", single=False, name="entries")

        async def ask(model: Model) -> Labelled:
            if model.task == "classification":
                return await self._labelling.by_head(request, model, role, asked)
            if model.task == "embedding":
                return await self._labelling.by_likeness(request, model, role, asked)
            raise wrong_task(model, "classify", model.task)

        answered = await by_role(self._services, exchange_of(request), role, ask)
        value = answered.value
        rows = value.scores if value.polarity is None else value.polarity[:, None]
        who = Who(answered.model.key, value.answer.revision, answered.fallback or value.answer.remote)
        return np.asarray(rows, dtype=np.float32), who

    async def _embed(self, request: Request, texts: Sequence[str]) -> tuple[Rows, Who]:
        model = self._services.catalogue.find("embedding")
        wanted = with_prefix(model, texts, "query")
        answer = await ask_model(self._services, request, model, wanted, {"truncate": "window"})
        if error := first_error(answer, "entries[{}]"):
            raise error
        rows = np.asarray(answer.values, dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(texts) or not np.isfinite(rows).all():
            raise EngineFault("The model's answer is not a matrix of finite numbers.")
        return rows, Who(model.key, answer.revision, answer.remote)

    # -- what is kept ----------------------------------------------------------------------------------------------

    async def _kept(self, role: str, asked: Asked, who: Who) -> list[Rows | None]:
        """What is kept of each entry, from memory and then from Redis."""
        if not asked.keeps:
            return [None] * len(asked.entries)
        keys = [_key(digest, role, who) for digest in asked.digests]
        rows: list[Rows | None] = [kept.value if (kept := self._memory.get(asked.place(key))) else None for key in keys]
        lacking = [index for index, row in enumerate(rows) if row is None]
        if lacking:
            held = await self._store.features(asked.tenant, asked.owner, [keys[index] for index in lacking])
            for index, value in zip(lacking, held, strict=True):
                if (kept := _unpacked(value)) is not None:
                    self._memory.put(asked.place(keys[index]), kept)
                    rows[index] = kept.value
        return rows

    async def _keep(self, role: str, asked: Asked, who: Who, places: Sequence[int], fresh: Rows) -> None:
        if not asked.keeps:
            return
        packed = {_identity_field(role): who.identity}
        for place, row in zip(places, fresh, strict=True):
            key, kept = _key(asked.digests[place], role, who), Kept(row.copy(), 0)
            self._memory.put(asked.place(key), kept)
            packed[key] = kept.packed()
        await self._store.keep_features(asked.tenant, asked.owner, asked.epoch, packed)

    async def _digests(self, tenant: str, entries: Sequence[Entry]) -> list[bytes]:
        """One digest a text, letting others have the event loop in between."""
        salt = await self.salt(tenant)
        found = []
        for number, entry in enumerate(entries, 1):
            found.append(hmac.digest(salt, b"journal\0" + entry.text.encode("utf-8", "surrogatepass"), "sha256"))
            if number % TURN == 0:
                await asyncio.sleep(0)
        return found

    async def salt(self, tenant: str) -> bytes:
        """The tenant's; while Redis is away what is kept is this process's own."""
        try:
            return await self._services.state.salt(tenant)
        except StateUnavailable:
            return hmac.digest(self._own_salt, tenant.encode(), "sha256")


async def _for_each_role(work: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    """All roles at once. Raises the first error of one of them."""
    try:
        async with asyncio.TaskGroup() as group:
            for role in ROLES:
                group.create_task(work(role))
    except* Exception as errors:  # noqa: BLE001 - the group's own error would hide which it was
        raise errors.exceptions[0] from None


def _key(digest: bytes, role: str, who: Who) -> bytes:
    return hmac.digest(digest, role.encode() + b"\0" + who.identity, "sha256")


def _identity_field(role: str) -> bytes:
    return f"role {role}".encode()


def _unpacked(value: bytes | None) -> Kept | None:
    try:
        return None if value is None else Kept.unpacked(value)
    except ValueError:
        return None
