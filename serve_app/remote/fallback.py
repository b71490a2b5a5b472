"""Models that a remote provider may answer for while the local ones cannot: the same model there, or nobody."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from deployments.breaker import Breaker
from deployments.call import Answer
from deployments.generation import Delta, GenerationRequest
from model_store.errors import UnknownModel
from serve_app.api.names import Model, Models, is_head
from serve_app.errors import RemoteFailed, SettingsError
from serve_app.remote.provider import Meaning, Provider, ProviderFailed
from serve_app.remote.tasks import CHAT, TASKS, BadAnswer, Floats, Task
from serve_app.settings import Settings

REVISION = "remote"
"""What an answer says in the place of a revision: which one the provider serves is not known."""
REQUESTS_AT_ONCE = 4
T = TypeVar("T")
Count = Callable[[str, str], None]


class RemoteFallback:
    """The configured models, each behind a breaker. ``count(model, outcome)`` is told of each call."""

    def __init__(self, provider: Provider, models: Sequence[Model], count: Count) -> None:
        self._provider, self._count = provider, count
        self._breakers = {model.key: Breaker() for model in models}
        self.models = tuple(models)

    async def close(self) -> None:
        await self._provider.close()

    def breaker(self, model: Model) -> Breaker:
        return self._breakers[model.key]

    def knows(self, model: Model) -> bool:
        """Whether the model is configured."""
        return model.key in self._breakers

    def offers(self, model: Model, options: Mapping[str, Any]) -> bool:
        """Whether what is asked for can be had there: the provider cuts no windows."""
        task = CHAT if model.task == "generation" else TASKS[model.task]
        return options.get("truncate", "error") in task.truncations

    def willing(self, model: Model) -> bool:
        """Whether the model is configured and its breaker lets a request through."""
        return model.key in self._breakers and self._breakers[model.key].willing

    async def ask(self, model: Model, inputs: Sequence[Any], options: Mapping[str, Any], deadline: float) -> Answer:
        """The provider's answer, ``remote`` set. ``deadline``: monotonic. Raises ``RemoteFailed``."""
        rows, labels = await self._guarded(model, self._rows(model, inputs, options, deadline))
        details = {"labels": list(labels)} if labels else {}
        return Answer(list(rows), [0] * len(inputs), REVISION, details=details, remote=True)

    async def chat(self, model: Model, wanted: GenerationRequest, deadline: float) -> Delta:
        """A chat's next message as one delta. ``deadline``: monotonic. Raises ``RemoteFailed``."""

        async def message() -> Delta:
            answer = await self._provider.post(CHAT.path, CHAT.body(model, wanted), deadline)
            return replace(CHAT.delta(answer), revision=REVISION)

        return await self._guarded(model, message())

    async def _guarded(self, model: Model, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; counted, and the breaker learns. Raises ``RemoteFailed``."""
        breaker = self._breakers[model.key]
        if not breaker.admit():
            work.close()
            raise RemoteFailed(model.key, breaker.reason or "it is being tried by another request")
        try:
            result = await work
        except ProviderFailed as failure:
            self._count(model.key, failure.meaning.outcome)
            self._learn(breaker, failure.meaning)
            raise RemoteFailed(model.key, failure.meaning.reason) from None
        except BadAnswer as bad:
            self._count(model.key, "bad_answer")
            breaker.fail(str(bad))
            raise RemoteFailed(model.key, str(bad)) from None
        except BaseException:
            breaker.leave()
            raise
        self._count(model.key, "ok")
        breaker.succeed()
        return result

    async def _rows(
        self, model: Model, inputs: Sequence[Any], options: Mapping[str, Any], deadline: float
    ) -> tuple[Floats, tuple[str, ...]]:
        """All inputs' rows, asked for in parts. Raises ``ProviderFailed`` or ``BadAnswer``."""
        task, gate = TASKS[model.task], asyncio.Semaphore(REQUESTS_AT_ONCE)
        truncate = options.get("truncate", "error")

        async def part(some: Sequence[Any]) -> tuple[Floats, tuple[str, ...]]:
            async with gate:
                answer = await self._provider.post(task.path(model), task.body(model, some, truncate), deadline)
            return task.rows(model, some, answer)

        found = await _all([part(some) for some in _parts(task, inputs)])
        labels = found[0][1]
        if any(others != labels for _, others in found):
            raise BadAnswer("its labels differ from text to text")
        return np.concatenate([rows for rows, _ in found]), labels

    def _learn(self, breaker: Breaker, meaning: Meaning) -> None:
        """What a failure says of the requests to come."""
        if meaning.rest_s is not None:
            for each in self._breakers.values() if meaning.everywhere else (breaker,):
                each.trip(meaning.reason, meaning.rest_s)
        elif meaning.blames:
            breaker.fail(meaning.reason)
        else:
            breaker.leave()


def remote_fallback(settings: Settings, catalogue: Models, count: Count) -> RemoteFallback | None:
    """What the settings configure, None without. Raises ``SettingsError`` for a model that cannot be had remotely."""
    if not settings.remote_models:
        return None
    models = [_model(catalogue, key) for key in settings.remote_models]
    token = settings.remote_token.get_secret_value() if settings.remote_token else None
    return RemoteFallback(Provider(settings.remote_url, token), models, count)


def _model(catalogue: Models, key: str) -> Model:
    try:
        model = catalogue.with_key(key)
    except UnknownModel as error:
        raise SettingsError(f"remote_models: {error}") from None
    if is_head(model):
        raise SettingsError(f"remote_models: {key} cannot be asked for remotely: it comes with Muster.")
    if model.task not in (*TASKS, "generation") or "/" not in model.id:
        raise SettingsError(f"remote_models: {key} cannot be asked for remotely (its task is {model.task}).")
    return model


def _parts(task: Task, inputs: Sequence[Any]) -> list[Sequence[Any]]:
    return [inputs[start : start + task.inputs_at_once] for start in range(0, len(inputs), task.inputs_at_once)]


async def _all(work: Sequence[Any]) -> list[Any]:
    """All results in order; the first failure ends the rest."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
