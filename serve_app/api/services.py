"""What the HTTP layer is given: everything it needs, nothing it makes itself."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel

from deployments.call import Fleet
from deployments.state import State
from model_store.errors import UnknownModel
from serve_app.access_log import AccessLog
from serve_app.auth import KeyRing
from serve_app.metrics import GatewayMetrics, SharedMetrics
from serve_app.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,191}")


class Model(Protocol):
    """The part of a catalogue entry that the HTTP layer reads."""

    @property
    def key(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def dimensions(self) -> int | None: ...
    @property
    def limits(self) -> BaseModel: ...
    @property
    def roles(self) -> tuple[str, ...]: ...


class Models:
    """The catalogue's models by any name a client may use: key, Hugging Face id in any case, or role."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = tuple(models)
        self._exact = {name: model for model in reversed(self._models) for name in (model.id.lower(), model.key)}
        self._roles = {role: model for model in reversed(self._models) for role in model.roles}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def find(self, name: str) -> Model:
        """The model of this name; a role is played by the first that has it. Raises ``UnknownModel``."""
        model = self._exact.get(name) or self._exact.get(name.lower()) or self._roles.get(name)
        if model is None:
            # What is no name at all may be a text in the wrong field: it is not repeated in the answer.
            told = name if _NAME.fullmatch(name) else "(not a name)"
            raise UnknownModel(told, tuple(model.key for model in self._models))
        return model


@dataclass(frozen=True, slots=True)
class Services:
    """The application's dependencies."""

    fleet: Fleet
    catalogue: Models
    state: State
    settings: Settings
    keys: KeyRing
    metrics: GatewayMetrics
    access_log: AccessLog
    shared_metrics: SharedMetrics = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared_metrics", SharedMetrics(self.metrics, self.state))
