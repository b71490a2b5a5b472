"""Models by any name that a client may use: key, Hugging Face id in any case, or role."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from model_store.catalogue import BY_SIMILARITY, ROLES, Limits, Prefixes
from model_store.errors import UnknownModel

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
    def labels(self) -> tuple[str, ...]: ...
    @property
    def dimensions(self) -> int | None: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def fallback(self) -> tuple[str, ...]: ...
    @property
    def prefixes(self) -> Prefixes | None: ...
    @property
    def summary_prefix(self) -> str: ...


def application_of(model: Model) -> str:
    """The Serve application that answers for the model: its own, or its base model's."""
    return getattr(model, "head_of", None) or model.key


def is_head(model: Model) -> bool:
    """Whether the model is a light head, computed by its base model's application."""
    return application_of(model) != model.key


def with_prefix(model: Model, texts: Sequence[str], input_type: str | None) -> Sequence[str]:
    """The texts as the model wants them written. Without ``input_type`` they are queries: of models that tell the two
    apart, texts of the same kind are compared as queries."""
    if model.prefixes is None:
        return texts
    prefix = model.prefixes.passage if input_type == "passage" else model.prefixes.query
    return [prefix + text for text in texts]


class Models:
    """The catalogue's models, and who plays which role: ``planned`` says so, else the catalogue's order."""

    def __init__(self, models: Sequence[Model], planned: Mapping[str, str] | None = None) -> None:
        self._models = tuple(models)
        self._keys = {model.key: model for model in self._models}
        self._exact = {model.id.lower(): model for model in reversed(self._models)} | self._keys
        self.planned: Mapping[str, str] = planned or {}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def plan(self, planned: Mapping[str, str]) -> None:
        """From now on ``planned`` (role to key) says who plays a role. Raises ``UnknownModel`` and changes nothing."""
        for key in planned.values():
            self._required(self._keys.get(key), key)
        self.planned = dict(planned)

    def is_role(self, name: str) -> bool:
        """Whether ``name`` is a role and no model's own name."""
        return name in ROLES and self._named(name) is None

    def with_key(self, key: str) -> Model:
        """The model of exactly this key, no role and no id. Raises ``UnknownModel``."""
        return self._required(self._keys.get(key), key)

    def find(self, name: str) -> Model:
        """The model of this name, or the first choice for this role. Raises ``UnknownModel``."""
        return self.chain(name)[0]

    def chain(self, name: str) -> tuple[Model, ...]:
        """The model of this name; for a role its first choice and who stands in, simpler and simpler.

        Embeddings of two models cannot be compared: nobody stands in for that role. Raises ``UnknownModel``.
        """
        if model := self._named(name):
            return (model,)
        players = [self._keys[self.planned[name]]] if name in self.planned else self._with_role(name)
        if name == "embedding":
            return (self._required(next(iter(players), None), name),)
        # All that have the role go before anybody who only stands in.
        stand_ins = (key for player in players for key in player.fallback)
        keys = dict.fromkeys([*(player.key for player in players), *stand_ins])
        chain = [self._keys[key] for key in keys if key in self._keys]
        if name in BY_SIMILARITY and (base := self._embedding()) not in chain:
            chain += [base] if base else []
        return (self._required(next(iter(chain), None), name), *chain[1:])

    def _named(self, name: str) -> Model | None:
        return self._exact.get(name) or self._exact.get(name.lower())

    def _with_role(self, role: str) -> list[Model]:
        return [model for model in self._models if role in model.roles]

    def _embedding(self) -> Model | None:
        if "embedding" in self.planned:
            return self._keys[self.planned["embedding"]]
        return next(iter(self._with_role("embedding")), None)

    def _required(self, model: Model | None, name: str) -> Model:
        if model is None:
            # What is no name at all may be a text in the wrong field: it is not repeated in the answer.
            told = name if _NAME.fullmatch(name) else "(not a name)"
            raise UnknownModel(told, tuple(self._keys))
        return model
