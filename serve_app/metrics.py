"""The gateway's counters, complete whichever gateway process is asked.

Each process counts for itself and publishes a snapshot every two seconds under an id that is new with every start. A
process that answers ``/metrics`` adds the others' last snapshots to its own numbers. Snapshots of dead processes stay,
so that no counter goes backwards; after a day they are folded into one. While Redis is away the others' last known
snapshots are used, and ``muster_state_up`` is 0.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import Metric

from deployments.call import Lane
from deployments.errors import StateUnavailable
from deployments.meter import SECONDS, Event, Family, Instruments, record
from deployments.skills.drift import Drift
from deployments.state import State
from serve_app.observation_metrics import ObservationMetrics
from serve_app.registry_instruments import RegistryInstruments

PUBLISH_EVERY_S = 2.0
FOLD_AFTER_S = 24 * 3600.0
RETIRED = "retired"
_NAME = "gateway-metrics"
MIRRORED: Mapping[str, Family] = {
    "muster_refusals": Family("counter", "Requests refused, by error code", ("lane", "code")),
    "muster_items": Family("counter", "Items by where their answer came from", ("lane", "source")),
    "muster_fallbacks": Family("counter", "Answers of a role's stand-in", ("lane", "role")),
}
"""What a gateway knows and no replica: shown by Serve's metrics too."""
_SHARED = ("counter", "histogram")
STREAMS_OPEN = "muster_streams_open"
FRESH_S = 5 * PUBLISH_EVERY_S
"""A process that has published nothing for so long has no streams open any more: it is dead, or cut off from Redis."""
_log = logging.getLogger("ray.serve.muster")
Snapshot = dict[str, Any]


class GatewayMetrics:
    """What this gateway process has counted. Labels are templates, keys and codes: never a client's words.

    ``mirror``: takes ``MIRRORED`` as well.
    """

    def __init__(self, replica: str, mirror: Instruments | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.boot = f"{replica}-{secrets.token_hex(4)}"
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "muster_requests", "Requests answered", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "muster_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=registry
        )
        self._mirror, self._families = mirror, RegistryInstruments(registry)
        self._refusals = Counter(
            "muster_refusals", "Requests refused, by error code", ["application", "lane", "code"], registry=registry
        )
        self._inferences = Counter(
            "muster_inferences", "Inferences, one for each input", ["application", "outcome"], registry=registry
        )
        self._cost = Counter("muster_inference_cost", "Tokens or rows computed", ["application"], registry=registry)
        self._items = Counter(
            "muster_items",
            "Items by where their answer came from",
            ["application", "lane", "source"],
            registry=registry,
        )
        self._fallbacks = Counter(
            "muster_fallbacks", "Answers of a role's stand-in", ["role", "model", "lane"], registry=registry
        )
        self.streams_open = Gauge(STREAMS_OPEN, "Generations that somebody waits for", registry=registry)
        self._remote_calls = Counter(
            "muster_remote_calls", "Calls that a remote provider was to answer", ["model", "outcome"], registry=registry
        )
        self._observed = ObservationMetrics(registry)
        self._state_errors = Counter("muster_state_errors", "Failed Redis operations", ["kind"], registry=registry)
        self.state_up = Gauge(
            "muster_state_up", "1 when Redis answers and the counters are complete", registry=registry
        )
        info = Gauge("muster_gateway_info", "The gateway process that answered", ["replica"], registry=registry)
        info.labels(self.boot).set(1)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, application: str, lane: str, code: str) -> None:
        """Count a refusal; ``application`` and ``lane`` are empty for one that came before any model was asked."""
        self._refusals.labels(application, lane, code).inc()
        if self._mirror:
            self._mirror.count("muster_refusals", application, (lane, code), 1)

    def served(self, application: str, event: Event) -> None:
        """Count what a replica told of its work."""
        record(event, application, self._families)

    def inferences(self, application: str, succeeded: int, failed: int, cost: int) -> None:
        """Count the inputs of one model call."""
        self._inferences.labels(application, "success").inc(succeeded)
        if failed:
            self._inferences.labels(application, "error").inc(failed)
        self._cost.labels(application).inc(cost)

    def items(self, application: str, lane: Lane, source: str, count: int) -> None:
        """Count items by source: memory, redis (the cache), joined (computed for another request), computed."""
        if count:
            self._items.labels(application, lane, source).inc(count)
            if self._mirror:
                self._mirror.count("muster_items", application, (lane, source), count)

    def fallback(self, role: str, model: str, lane: str) -> None:
        """Count an answer that another model than the role's first choice gave."""
        self._fallbacks.labels(role, model, lane).inc()
        if self._mirror:
            self._mirror.count("muster_fallbacks", model, (lane, role), 1)

    def remote_call(self, model: str, outcome: str) -> None:
        """Count a call of the remote provider."""
        self._remote_calls.labels(model, outcome).inc()

    def telemetry(self, statuses: Mapping[tuple[str, str], int], size: int, seconds: float) -> None:
        """Count a request with game events, by type and status."""
        self._observed.telemetry(statuses, size, seconds)

    def drift(self, tenant: str, drift: Drift) -> None:
        """Show a tenant's drift as it was last computed."""
        self._observed.drift(tenant, drift)

    def state_error(self, kind: str) -> None:
        """Count a failed Redis operation by the exception's type."""
        self._state_errors.labels(kind).inc()

    def snapshot(self) -> Snapshot:
        """The counters as plain JSON."""
        return {
            "at": time.time(),
            "families": {
                family.name: {
                    "type": family.type,
                    "help": family.documentation,
                    "samples": [[s.name, s.labels, s.value] for s in family.samples],
                }
                for family in self.registry.collect()
                if _is_shared(family)
            },
        }


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _is_shared(family: Metric) -> bool:
    return family.type in _SHARED or family.name == STREAMS_OPEN


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The sum of snapshots, sample by sample; of gauges only the fresh ones."""
    families: dict[str, Any] = {}
    at, fresh = 0.0, time.time() - FRESH_S
    for snapshot in snapshots:
        at = max(at, snapshot["at"])
        for name, family in snapshot["families"].items():
            if family["type"] == "gauge" and snapshot["at"] < fresh:
                continue
            into = families.setdefault(name, {"type": family["type"], "help": family["help"], "sums": {}})
            for sample, labels, value in family["samples"]:
                key = (sample, tuple(sorted(labels.items())))
                into["sums"][key] = into["sums"].get(key, 0.0) + value
    for family in families.values():
        family["samples"] = [[sample, dict(labels), value] for (sample, labels), value in family.pop("sums").items()]
    return {"at": at, "families": families}


class _Merged:
    """Something ``generate_latest`` can collect: shared families from a snapshot, the others from this process."""

    def __init__(self, own: CollectorRegistry, snapshot: Snapshot) -> None:
        self._own, self._snapshot = own, snapshot

    def collect(self) -> Iterator[Metric]:
        yield from (family for family in self._own.collect() if not _is_shared(family))
        for name, family in self._snapshot["families"].items():
            metric = Metric(name, family["help"], family["type"])
            for sample, labels, value in family["samples"]:
                metric.add_sample(sample, labels, value)
            yield metric


class SharedMetrics:
    """Publishes one process's counters and merges everybody's."""

    def __init__(self, own: GatewayMetrics, state: State) -> None:
        self._own, self._state = own, state
        self._others: dict[str, Snapshot] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Publish from now on."""
        if self._state.configured and self._task is None:
            self._task = asyncio.create_task(self._publish())

    async def stop(self) -> None:
        """Publish once more, so that the last requests are not lost, and stop."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self.exchange()

    async def render(self) -> bytes:
        """The Prometheus text, with everybody's numbers."""
        await self.exchange()
        merged = merge([self._own.snapshot(), *self._others.values()])
        return generate_latest(_Merged(self._own.registry, merged))

    async def exchange(self) -> None:
        """Publish and read once; without Redis what was read last stays in use."""
        try:
            found = await self._state.share(_NAME, self._own.boot, orjson.dumps(self._own.snapshot()))
            self._others = {boot: orjson.loads(value) for boot, value in found.items() if boot != self._own.boot}
            await self._fold()
        except StateUnavailable:
            self._own.state_up.set(0)
            return
        self._own.state_up.set(1)

    async def _fold(self) -> None:
        """Fold the snapshots of processes that have been silent for a day into one."""
        oldest = time.time() - FOLD_AFTER_S
        stale = [boot for boot, held in self._others.items() if boot != RETIRED and held["at"] < oldest]
        if stale:
            await self._state.fold(
                _NAME, RETIRED, stale, lambda values: orjson.dumps(merge([orjson.loads(value) for value in values]))
            )

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_EVERY_S)
            await self.exchange()
