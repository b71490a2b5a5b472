"""The shapes of models and what they can do now, for the OpenAPI document; no answer passes these models."""

from typing import Any, Literal

from pydantic import BaseModel

from model_store.gate import Gate


class ModelCard(BaseModel):
    """One model of the catalogue and its state. ``roles``: what it can play; ``plays``: what it is the first choice for."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    hf_id: str
    task: str
    revision: str
    licence: str
    state: Literal["ready", "loading", "not_pulled", "failed"]
    reason: str | None = None
    backend: str | None = None
    limits: dict[str, int]
    dimensions: int | None
    roles: list[str]
    plays: list[str]
    accuracy_gate: Gate | None = None


class ModelList(BaseModel):
    """Every model of the catalogue."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class LocalModel(BaseModel):
    """A deployed model and whether it answers."""

    model: str
    state: Literal["ready", "loading", "not_pulled", "failed"]
    reason: str | None


class RoleCapability(BaseModel):
    """Who would answer for a role now: models that are ready here, and those the remote provider may be asked for."""

    state: Literal["ready", "unavailable"]
    local: list[str]
    remote: list[str]


class SkillCapability(BaseModel):
    """The skill graph."""

    skill_types: list[str]
    state: Literal["ready", "loading", "not_pulled", "failed"]
    reason: str | None


class FlowCapability(BaseModel):
    """A flow. ``available``: whether it answers; ``stores``: whether entries, conversations or reports are kept;
    ``writers``: who may write its words, in this order; ``reason``: what it lacks."""

    available: bool
    stores: bool
    writers: list[Literal["model", "llm", "template"]]
    reason: str | None


class RemoteCapability(BaseModel):
    """One remote model. ``answers``, and its ``milliseconds`` or ``problem``: only when it was asked."""

    model: str
    task: str
    breaker: Literal["closed", "open", "half_open"]
    reason: str | None
    retry_after_s: float
    answers: bool | None = None
    problem: str | None = None
    milliseconds: float | None = None


class RemoteCapabilities(BaseModel):
    """The remote provider."""

    configured: bool
    models: list[RemoteCapability]


class ReasoningCapability(BaseModel):
    """Who writes the assessments' words. ``key``: what came of checking it; ``breaker``, ``limits``, ``budget``: of the
    language model, null while there is none; ``reason``: what is wrong."""

    provider: Literal["template", "llm"]
    mode: Literal["off", "optional", "required"] | None = None
    model: str | None = None
    key: str | None = None
    breaker: Literal["closed", "open", "half_open"] | None = None
    limits: dict[str, int] | None = None
    budget: dict[str, Any] | None = None
    reason: str | None = None


class StoreCapability(BaseModel):
    """Redis, which holds what is stored."""

    state: Literal["ready", "unavailable", "not_configured"]


class Capabilities(BaseModel):
    """What this deployment can do now. ``tasks``: deployed models by task."""

    tasks: dict[str, list[LocalModel]]
    roles: dict[str, RoleCapability]
    skills: SkillCapability
    flows: dict[Literal["journal", "chat", "clinical"], FlowCapability]
    remote: RemoteCapabilities
    reasoning: ReasoningCapability
    store: StoreCapability
