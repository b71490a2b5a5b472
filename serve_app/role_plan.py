"""Which model plays which role: ``user_config`` of the gateway's deployment, so that a change of it restarts nothing.

    user_config:
      roles: {embedding: all-minilm-l6-v2, emotion: emotion-english-distilroberta-base}

A role that is not named is played by the first model of the catalogue that has it and is deployed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.catalogue import Catalogue, Key, Role
from model_store.embedding_record import embedding_change, read_record, write_record
from model_store.errors import UnknownModel
from serve_app.errors import SettingsError

GATEWAY = "gateway"


class RolePlan(BaseModel):
    """``change_embedding``: let the role ``embedding`` change its model although data was made with another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: dict[Role, Key] = Field(default_factory=dict)
    change_embedding: bool = False


def role_plan(user_config: Any) -> RolePlan:
    """Raises ``SettingsError`` naming the key."""
    try:
        return RolePlan.model_validate(user_config or {})
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise SettingsError(f"gateway.user_config.{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None


def role_plan_of(topology: Mapping[str, Any]) -> RolePlan:
    """The plan in a topology, empty where there is none. Raises ``SettingsError``."""
    for application in topology["applications"]:
        for deployment in application.get("deployments", ()):
            if application["name"] == deployment["name"] == GATEWAY:
                return role_plan(deployment.get("user_config"))
    return RolePlan()


def check_roles(plan: RolePlan, catalogue: Catalogue) -> None:
    """Raises ``SettingsError`` for a model that the catalogue does not know or that cannot play its role."""
    for role, key in plan.roles.items():
        try:
            spec = catalogue.resolve(key)
        except UnknownModel as error:
            raise SettingsError(f"gateway.user_config.roles.{role}: {error}") from None
        if not spec.plays(role):
            raise SettingsError(f"gateway.user_config.roles.{role}: {key} cannot play it (its task is {spec.task}).")


def settle_embedding(plan: RolePlan, catalogue: Catalogue, store: Path) -> None:
    """Record the embedding role's model as the one that data is made with.

    Raises ``EmbeddingChanged`` when data was made with another, unless ``change_embedding``.
    """
    if key := plan.roles.get("embedding"):
        spec = catalogue.resolve(key)
        change = embedding_change(store, spec)
        if change and not plan.change_embedding:
            raise change
        write_record(store, spec)


def kept_roles(plan: RolePlan, store: Path) -> Mapping[str, str]:
    """The roles to play: the plan's, but the recorded model for ``embedding`` unless ``change_embedding``.

    The gateway's own guard, for a topology that came past ``muster up``: it is better to answer with the old vectors'
    model than not at all or with vectors that do not fit. Raises ``PlanRefused`` for a record that cannot be read.
    """
    record = None if plan.change_embedding else read_record(store)
    roles: dict[str, str] = {role: key for role, key in plan.roles.items()}
    return {**roles, "embedding": record.model} if record and "embedding" in roles else roles
