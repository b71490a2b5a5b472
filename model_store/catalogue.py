"""The catalogue: what each model is, where it comes from and which sha256 each of its files must have.

It ships with Muster; ``<home>/catalogue.yaml`` extends it (``muster models add``). A model of the hub may be
``unpinned`` and without files here: the first pull writes its commit and digests into the store's lock, and from then on
that lock decides.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from model_store.errors import CatalogueError, UnknownModel
from model_store.settings import load_settings

ROLES = ("embedding", "emotion", "sentiment", "zero-shot", "chat", "summarize")
SKILL_KEYS = ("empathy", "problem_solving", "self_regulation", "resilience")
"""What the skill models are called where they stand beside the others, on `/v2`."""
RESERVED_KEYS = frozenset({*ROLES, *SKILL_KEYS, "gateway", "skills"})
CATALOGUE_PATH = Path(__file__).with_name("catalogue.yaml")

BY_SIMILARITY = frozenset({"emotion", "sentiment", "zero-shot"})
"""Roles that an embedding model can play too, by the likeness of texts and labels."""

Role = Literal["embedding", "emotion", "sentiment", "zero-shot", "chat", "summarize"]
Task = Literal["embedding", "classification", "zero-shot", "generation", "seq2seq"]
Family = Literal["bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "bart", "gpt2", "mistral", "phi", "t5"]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=96)]
HubId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$")
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_SEGMENT = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
# Plain data only: no pickles, no archives, no code. Each path segment starts with a word character, so no "..".
FileName = Annotated[
    str, StringConstraints(pattern=rf"^({_SEGMENT}/){{0,3}}{_SEGMENT}\.(json|jinja|md|model|safetensors|txt)$")
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackageSource(_Frozen):
    """Files inside an installed distribution, read as data and never imported."""

    package: str
    folder: str


class FolderSource(_Frozen):
    """Files in a folder of this machine."""

    path: Path


class ShippedSource(_Frozen):
    """Files that come with Muster, in a folder of ``model_store``. They stay there: the store has no copy of them."""

    shipped: Annotated[str, StringConstraints(pattern=r"^[a-z]+$")]


class HubSource(_Frozen):
    """A repository of the hub; ``revision`` is what a first pull resolves to a commit when the model is unpinned."""

    hub: HubId
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")] = "main"


class Limits(_Frozen):
    """``max_tokens``: the longest text the model reads, special tokens included."""

    max_tokens: int = Field(gt=0)


class Prefixes(_Frozen):
    """What an embedding model wants written before a text, by its use."""

    query: str
    passage: str


class ModelSpec(_Frozen):
    """One catalogue entry. ``files`` maps every file that belongs to the model to its sha256.

    ``family``: its architecture, the ``model_type`` that its ``config.json`` must have. ``parameters``: weights, count.
    ``download_mb``: megabytes to expect; a pull shows the true figure first. ``labels``: classes in the model's order.
    ``summary_prefix``: what it wants written before a text that it shall summarise.
    ``fallback``: keys of simpler models that may answer for its roles, in order. ``licence``: SPDX where there is one.
    ``head_of``: the embedding model of a light head, which lives in that model's application and shares its pass.
    """

    key: Key
    id: HubId
    task: Task
    family: Family
    source: PackageSource | FolderSource | ShippedSource | HubSource
    head_of: Key | None = None
    revision: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|unpinned)$")]
    licence: str
    parameters: int = Field(gt=0)
    download_mb: int = Field(ge=0)
    dimensions: int | None = Field(default=None, gt=0)
    prefixes: Prefixes | None = None
    summary_prefix: str = ""
    labels: tuple[str, ...] = ()
    limits: Limits
    roles: tuple[Role, ...] = ()
    fallback: tuple[Key, ...] = ()
    gated: bool = False
    note: str = ""
    files: dict[FileName, Sha256] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_complete(self) -> "ModelSpec":
        if (self.task == "embedding") != (self.dimensions is not None):
            raise ValueError("dimensions belong to embedding models, and every one of them has some")
        if (self.head_of is not None) != isinstance(self.source, ShippedSource):
            raise ValueError("heads, and nothing else, come with Muster")
        if self.head_of and (self.task != "classification" or not self.labels or len(self.files) != 1):
            raise ValueError("a head is a classifier of one file, and the catalogue has its labels")
        if self.head_of and not next(iter(self.files.values())).startswith(self.revision):
            raise ValueError("a head's revision is the beginning of its file's sha256")
        if isinstance(self.source, HubSource):
            return self
        if not self.files or self.revision == "unpinned":
            raise ValueError("only a model of the hub may be unpinned or without files")
        return self

    @property
    def pinned(self) -> bool:
        """Whether the catalogue itself says which bytes the model has."""
        return bool(self.files)

    def plays(self, role: str) -> bool:
        """Whether the model can answer for ``role``, well or by similarity."""
        return role in self.roles or (self.task == "embedding" and role in BY_SIMILARITY)

    @field_validator("key")
    @classmethod
    def _key_is_free(cls, key: str) -> str:
        if key in RESERVED_KEYS:
            raise ValueError(f"{key!r} is reserved")
        return key


class Catalogue(_Frozen):
    """All known models, in order of preference for a role."""

    format: Literal[1]
    models: tuple[ModelSpec, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Catalogue":
        names = [name for model in self.models for name in {model.key, model.id.lower()}]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"more than one model is called {', '.join(sorted(twice))}")
        keys = {model.key for model in self.models}
        for model in self.models:
            if unknown := set(model.fallback) - keys:
                raise ValueError(f"{model.key} falls back to unknown models: {', '.join(sorted(unknown))}")
        embedding = {model.key for model in self.models if model.task == "embedding"}
        for model in self.models:
            if model.head_of and model.head_of not in embedding:
                raise ValueError(f"{model.key} is the head of {model.head_of}, which is no embedding model")
        return self

    def host_of(self, model: ModelSpec) -> ModelSpec:
        """The model whose replicas answer for ``model``: itself, or of a head its base."""
        return next(spec for spec in self.models if spec.key == model.head_of) if model.head_of else model

    def heads_of(self, key: str) -> tuple[ModelSpec, ...]:
        """The light heads on the model with this key."""
        return tuple(model for model in self.models if model.head_of == key)

    def resolve(self, name: str) -> ModelSpec:
        """The model with this key, hub id (case ignored) or role. Raises ``UnknownModel``."""
        for model in self.models:
            if name == model.key or name.lower() == model.id.lower():
                return model
        for model in self.models:
            if name in model.roles:
                return model
        raise UnknownModel(name, tuple(model.key for model in self.models))


def load_catalogue(path: Path | None = None, extra: Path | None = None) -> Catalogue:
    """Read a catalogue file, by default the one shipped with Muster extended by the user's own.

    ``extra``: the user's file, by default ``catalogue.yaml`` in the data folder; an entry there never replaces one of
    Muster's. Raises ``CatalogueError``.
    """
    if path is not None:
        return _read(path)
    shipped, extra = _read(CATALOGUE_PATH), extra or load_settings().home / "catalogue.yaml"
    if not extra.is_file():
        return shipped
    own = _entries(extra)
    return _validated(extra, {"format": 1, "models": [*_entries(CATALOGUE_PATH), *own]})


def add_model(extra: Path, entry: dict[str, Any]) -> ModelSpec:
    """Write one more entry into the user's catalogue. Raises ``CatalogueError`` when it does not fit."""
    own = [*(_entries(extra) if extra.is_file() else ()), entry]
    whole = _validated(extra, {"format": 1, "models": [*_entries(CATALOGUE_PATH), *own]})
    extra.parent.mkdir(parents=True, exist_ok=True)
    new = extra.with_name(f".{extra.name}.new")
    new.write_text(yaml.safe_dump({"format": 1, "models": own}, sort_keys=False), encoding="utf-8")
    new.replace(extra)
    return whole.models[-1]


def _entries(path: Path) -> list[Any]:
    return list((_parsed(path) or {}).get("models") or ())


def _parsed(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CatalogueError(f"{path.name} cannot be read: {error}") from error


def _read(path: Path) -> Catalogue:
    return _validated(path, _parsed(path))


def _validated(path: Path, data: Any) -> Catalogue:
    try:
        return Catalogue.model_validate(data)
    except ValidationError as error:
        raise CatalogueError(f"{path.name}: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
