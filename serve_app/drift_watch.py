"""Drift of each tenant's inferences, computed beside the event loop and only when something new was served."""

import asyncio
import logging
import time

from deployments.call import CallContext
from deployments.errors import StateUnavailable
from deployments.served import Served, ServedRow
from deployments.skills.drift import Drift, compare
from model_store.settings import load_settings as load_store_settings
from model_store.skill_manifest import read_manifest
from serve_app.auth import KeyRing
from serve_app.metrics import GatewayMetrics

REFRESH_S = 60.0
"""How often the gauges are computed at most; and not while nothing new was served."""
_PATIENCE_S = 10.0
_log = logging.getLogger("ray.serve.muster")


class DriftWatch:
    """Computes a tenant's drift, once for each state of its window, beside the event loop."""

    def __init__(self, served: Served, keys: KeyRing, metrics: GatewayMetrics) -> None:
        self.served, self._keys, self._metrics = served, keys, metrics
        self._found: dict[str, tuple[int | None, Drift | None]] = {}
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    async def of(self, context: CallContext) -> Drift | None:
        """The tenant's drift; None while nothing was served that can be compared with anything."""
        try:
            count = await self.served.count(context)
        except StateUnavailable:
            count = None
        known = self._found.get(context.tenant)
        if known is not None and count is not None and known[0] == count:
            return known[1]
        drift = await asyncio.to_thread(_drift, await self.served.rows(context))
        self._found[context.tenant] = (count, drift)
        if drift is not None:
            self._metrics.drift(context.tenant, drift)
        return drift

    def refresh_soon(self) -> None:
        """Compute all tenants' gauges anew, in the background and not too often."""
        now = time.monotonic()
        if now >= self._next and (self._task is None or self._task.done()):
            self._next = now + REFRESH_S
            self._task = asyncio.create_task(self.refresh())

    async def refresh(self) -> None:
        """Compute all tenants' gauges anew."""
        for tenant in self._keys.tenants:
            context = CallContext("drift", tenant, "bulk", time.monotonic() + _PATIENCE_S)
            try:
                await self.of(context)
            except Exception as error:  # noqa: BLE001 - a gauge that cannot be computed must not end the others
                _log.warning("the drift of a tenant was not computed: %s", type(error).__name__)


def _drift(rows: list[ServedRow]) -> Drift | None:
    folder = load_store_settings().skills_dir
    # What no model answered has no version of a bundle.
    manifests = (read_manifest(folder, version) for version in dict.fromkeys(row.version for row in rows))
    manifest = next((one for one in manifests if one is not None), None)
    if manifest is None or manifest.drift is None:
        return None
    estimates = {skill: one.estimates for skill, one in manifest.skills.items() if one.estimates is not None}
    return compare(rows, manifest.drift, estimates, manifest.version)
