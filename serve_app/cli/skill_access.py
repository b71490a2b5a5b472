"""What the commands of ``muster skills`` begin with: the folder, the aliases, a version's models, a file of ratings."""

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from serve_app.cli.output import say

if TYPE_CHECKING:
    from deployments.skills.loaded import LoadedBundle
    from deployments.skills.registry import Registry
    from deployments.skills.training_data import TrainingData

T = TypeVar("T")


def folder_of(given: Path | None) -> Path:
    from model_store.settings import load_settings

    return given or load_settings().skills_dir


def registry_of(folder: Path) -> "Registry":
    """The aliases of this folder; those of the fleet when it is the store's."""
    import getpass

    from deployments.settings import load_settings as load_deployment_settings
    from deployments.skills.alias_store import AliasStore
    from deployments.skills.registry import Registry
    from model_store.settings import load_settings
    from serve_app.environment import runtime_path

    store, url = load_settings(), load_deployment_settings().redis_url
    path = runtime_path(store.home) / "redis.sock"
    redis = url.get_secret_value() if url else (f"unix://{path}" if _answers(path) else None)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"user {os.getuid()}"
    return Registry(folder, AliasStore(folder, redis if folder == store.skills_dir else None), user)


def _answers(path: Path) -> bool:
    """Whether the embedded Redis is up; what a killed one leaves is a file that nobody answers."""
    with socket.socket(socket.AF_UNIX) as link, suppress(OSError):
        link.connect(str(path))
        return True
    return False


def reports_of(registry: "Registry") -> list[dict[str, Any]]:
    """What the replicas say; nothing when Redis does not answer."""
    from deployments.errors import StateUnavailable

    try:
        return run(registry.aliases.reports())
    except StateUnavailable:
        say("Redis does not answer: what the replicas say is not known.")
        return []


@cache
def _loop() -> asyncio.Runner:
    """One loop for the whole command: a connection to Redis belongs to the loop that made it."""
    return asyncio.Runner()


def run(work: Coroutine[Any, Any, T]) -> T:
    return _loop().run(work)


def local_champion(folder: Path) -> str | None:
    """The version that this node's alias file names."""
    from model_store.skill_aliases import read_alias
    from model_store.skill_records import NoSkillModels, TamperedSkills

    try:
        return read_alias(folder).version
    except (NoSkillModels, TamperedSkills):
        return None


def champion_of(registry: "Registry") -> str:
    from model_store.skill_records import NoSkillModels

    held = run(registry.held())
    if held is None:
        raise NoSkillModels("skills")
    return held.version


def loaded(folder: Path, version: str | None) -> "LoadedBundle":
    """A version's models, proved."""
    from deployments.engines.boosting import NUM_FEATURE
    from deployments.skills.features import SCHEMA_HASH
    from deployments.skills.loaded import LoadedBundle
    from model_store.skills import open_bundle, prove

    _, target = prove(folder, version or champion_of(registry_of(folder)))
    return LoadedBundle(open_bundle(folder, target, schema_hash=SCHEMA_HASH, num_feature=NUM_FEATURE))


def rated(data: Path | None) -> "TrainingData | None":
    from deployments.skills.training_table import read_table

    return read_table(data) if data else None
