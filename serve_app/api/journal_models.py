"""Who says something of journal entries: the models of three roles, those of one model asked in one pass."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from deployments.errors import Cancelled, EngineFault, ModelNotReady, Overloaded
from model_store.errors import MusterError, UnknownModel
from serve_app.api.calls import first_error
from serve_app.api.fallback import ask_model
from serve_app.api.labelling import Labelled, Labelling, Texts
from serve_app.api.names import Model, application_of, is_head, with_prefix
from serve_app.api.roles import first_choice, state_of, while_ready
from serve_app.api.services import Services

ROLES = ("emotion", "sentiment", "embedding")
Rows = NDArray[np.float32]
Failed = dict[str, MusterError | TimeoutError]


@dataclass(frozen=True, slots=True)
class Who:
    """The model that answers for a role."""

    model: str
    revision: str
    fallback: bool

    @property
    def identity(self) -> bytes:
        return f"{self.model}@{self.revision}".encode()


class JournalModels:
    """Asks the fleet, by role."""

    def __init__(self, services: Services) -> None:
        self._services, self._labelling = services, Labelling(services)

    async def for_each_pass(self, work: Callable[[Sequence[str]], Coroutine[Any, Any, None]]) -> Failed:
        """All roles at once, those of one model in one pass, or each alone where that fails. What failed, by role.

        Raises ``Cancelled``.
        """
        failed: Failed = {}

        async def attempt(roles: Sequence[str]) -> None:
            try:
                await work(roles)
            except Cancelled:
                raise
            except (TimeoutError, Overloaded) as error:  # asking the same model three times would not help it
                failed.update(dict.fromkeys(roles, error))
            except MusterError as error:
                if len(roles) == 1:
                    failed[roles[0]] = error
                else:
                    await _all(attempt, [[role] for role in roles])

        heads = await self._heads()
        together = ["embedding", *heads]
        await _all(attempt, [together, *([role] for role in ROLES if role not in together)])
        return failed

    async def _heads(self) -> dict[str, Model]:
        """The roles that light heads on the embedding model play, while that is ready and reads texts as they are."""
        try:
            base = self._services.catalogue.find("embedding")
            players = {role: await first_choice(self._services, role) for role in ROLES if role != "embedding"}
        except UnknownModel:
            return {}
        if base.prefixes is not None or state_of(await self._services.fleet.states(), base).state != "ready":
            return {}
        return {role: model for role, model in players.items() if is_head(model) and application_of(model) == base.key}

    async def ask(self, roles: Sequence[str], request: Request, texts: Sequence[str]) -> Mapping[str, tuple[Rows, Who]]:
        """By role one row a text. Overlong texts are read in windows, pooled by length. Raises the first text's error."""
        if len(roles) > 1:
            return await self._ask_together(roles, request, texts)
        (role,) = roles
        return {role: await (self._embed(request, texts) if role == "embedding" else self._label(role, request, texts))}

    async def _ask_together(
        self, roles: Sequence[str], request: Request, texts: Sequence[str]
    ) -> Mapping[str, tuple[Rows, Who]]:
        base, heads = self._services.catalogue.find("embedding"), await self._heads()
        if set(roles) != {"embedding", *heads}:
            raise ModelNotReady(base.key, "who plays the roles changes at this moment", 1.0)
        work = self._labelling.with_heads(request, base, heads, Texts(texts, "window", single=False, name="entries"))
        answer, embeddings, labelled = await while_ready(self._services, base, work)
        found = {role: (_rows(each), _who(heads[role], each)) for role, each in labelled.items()}
        return {"embedding": (embeddings, Who(base.key, answer.revision, answer.remote)), **found}

    async def _label(self, role: str, request: Request, texts: Sequence[str]) -> tuple[Rows, Who]:
        asked = Texts(texts, "window", single=False, name="entries")
        answered = await self._labelling.by_name(request, role, role, asked)
        return _rows(answered.value), _who(answered.model, answered.value, answered.fallback)

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


async def _all(work: Callable[[Sequence[str]], Coroutine[Any, Any, None]], passes: Sequence[Sequence[str]]) -> None:
    """All at once. Raises the first error of one of them."""
    try:
        async with asyncio.TaskGroup() as group:
            for roles in passes:
                group.create_task(work(roles))
    except* Exception as errors:  # noqa: BLE001 - the group's own error would hide which it was
        raise errors.exceptions[0] from None


def _rows(labelled: Labelled) -> Rows:
    """Scores, or of sentiments their one figure."""
    found = labelled.scores if labelled.polarity is None else labelled.polarity[:, None]
    return np.asarray(found, dtype=np.float32)


def _who(model: Model, labelled: Labelled, fallback: bool = False) -> Who:
    return Who(model.key, labelled.answer.revision, fallback or labelled.answer.remote)
