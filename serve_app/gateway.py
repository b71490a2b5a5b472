"""The gateway replica: HTTP in front, dispatchers behind, no model inside. Serve builds its ASGI app in the replica."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from deployments.cache import ResultCache
from deployments.cached_fleet import CachedFleet
from deployments.remote import ServeFleet
from deployments.secret_chain import secrets_of
from deployments.settings import SecretSettings
from deployments.shared_cache import SharedCache
from deployments.skills.alias_store import AliasStore
from deployments.state import State
from deployments.telemetry import serve_instruments
from model_store.catalogue import load_catalogue
from model_store.errors import PlanRefused, UnknownModel
from model_store.settings import load_settings as load_store_settings
from model_store.store import ModelStore
from serve_app.access_log import AccessLog
from serve_app.api.app import create_app
from serve_app.api.names import Models
from serve_app.api.services import Services
from serve_app.auth import KeyRing
from serve_app.errors import SettingsError
from serve_app.metrics import MIRRORED, GatewayMetrics
from serve_app.remote.fallback import remote_fallback
from serve_app.role_plan import kept_roles, role_plan
from serve_app.settings import load_settings
from serve_app.skill_replicas import SkillReplicas
from serve_app.stored_gates import StoredGates

logger = logging.getLogger("ray.serve.muster")

CHARACTERS_PER_TOKEN = 4
"""English text, roughly; the dispatcher corrects it by what the replicas report."""


class Gateway:
    """One gateway process. Several of them share nothing but Redis."""

    def __init__(self) -> None:
        settings, store = load_settings(), load_store_settings()
        self._store_dir = store.store_dir
        replica = secrets.token_hex(3)
        metrics = GatewayMetrics(replica, serve_instruments(MIRRORED))
        chain = secrets_of(SecretSettings())
        found = chain.get("redis-url", settings.redis_url)
        url = found.get_secret_value() if found else None
        state, catalogue = State(url, metrics.state_error, settings.redis_connections), Models(load_catalogue().models)
        fleet = CachedFleet(
            ServeFleet({"skills": _row_hint, "journal": _journal_hint}, _text_hint, metrics.served),
            ResultCache(settings.cache_bytes, settings.cache_ttl_s),
            SharedCache(state, settings.cache_slots, settings.cache_ttl_s),
            state.salt,
            _text_hint,
            metrics.items,
        )
        self._services = Services(
            fleet=fleet,
            catalogue=catalogue,
            state=state,
            settings=settings,
            keys=KeyRing(settings.keys_file),
            metrics=metrics,
            access_log=AccessLog(settings.access_log or store.logs_dir / "access.log"),
            gate=StoredGates(ModelStore(store.store_dir)),
            remote=remote_fallback(settings, catalogue, metrics.remote_call),
            skill_replicas=SkillReplicas(AliasStore(store.skills_dir, url)),
            secret_sources=chain.provenance,
            weights_file=settings.fusion_weights or store.home / "fusion-weights.json",
        )

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve's hook for ``user_config``: roles change in a running gateway. A plan that is wrong changes nothing:
        raising here would take the gateway down with it."""
        try:
            plan = role_plan(user_config)
            roles = kept_roles(plan, self._store_dir)
            self._services.catalogue.plan(roles)
        except (SettingsError, PlanRefused, UnknownModel) as error:
            logger.error("The plan of roles was not taken: %s", error)
            return
        if roles != plan.roles:
            logger.error("The role embedding stays with %s: data was made with it.", roles["embedding"])

    async def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._services, host_echoes_request_id=True)

    async def check_health(self) -> None:
        """The loop answers; Redis and the models are judged by ``/health/detailed``, not by killing gateways."""
        await asyncio.sleep(0)


def _text_hint(item: Any) -> int:
    """Tokens of a text, guessed from its length; four more than none, so that empty texts cost something.

    A text that comes with labels is read once with each of them.
    """
    if isinstance(item, Mapping):
        around = len(item["text"]) + len(item["hypothesis_template"])
        return sum(4 + (around + len(label)) // CHARACTERS_PER_TOKEN for label in item["labels"])
    return 4 + len(item) // CHARACTERS_PER_TOKEN


def _row_hint(row: Any) -> int:
    return 1


def _journal_hint(question: Any) -> int:
    return len(question.journal)
