"""What the HTTP layer is given: everything it needs, nothing it makes itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from deployments.call import Fleet
from deployments.state import State
from model_store.errors import UnknownModel
from serve_app.access_log import AccessLog
from serve_app.auth import KeyRing
from serve_app.metrics import GatewayMetrics, SharedMetrics
from serve_app.settings import Settings


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
    def limits(self) -> Mapping[str, int]: ...
    @property
    def roles(self) -> tuple[str, ...]: ...


class Models:
    """A catalogue over any models; a role's first model is the one that plays it."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        self._models = models
        self._by_name: dict[str, Model] = {}
        for model in models:
            for name in (model.key, model.id, *model.roles):
                self._by_name.setdefault(name, model)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def find(self, name: str) -> Model:
        """The model of this key, id or role. Raises ``UnknownModel``."""
        model = self._by_name.get(name)
        if model is None:
            raise UnknownModel(name, tuple(model.key for model in self._models))
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
