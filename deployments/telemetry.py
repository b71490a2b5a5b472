"""Numbers for Serve's own metrics: what Ray's dashboard and its Prometheus exporter show of this replica.

Serve adds ``deployment``, ``replica`` and ``application`` by itself; whose numbers they are is called ``model`` here,
because a gateway, an application of its own, counts for the models that it asked.

A record costs Ray several microseconds, mostly its tags. Counts are therefore added up and handed over once in
``FLUSH_S``; observations, which cannot be added up, come by the batch, the call and the piece, never by the item.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.meter import FAMILIES, Event, Family, Instruments, Observer, record, unobserved

FLUSH_S = 1.0
_log = logging.getLogger("ray.serve.muster")
_Key = tuple[str, str, tuple[str, ...]]


class ServeInstruments:
    """Records into ``ray.serve.metrics``; of one replica's event loop. ``more``: families beside those of ``meter``."""

    def __init__(self, more: Mapping[str, Family] | None = None) -> None:
        from ray.serve import metrics

        self._families = {**FAMILIES, **(more or {})}
        self._made: dict[str, Any] = {}
        self._tags: dict[_Key, dict[str, str]] = {}
        self._counts: dict[_Key, float] = {}
        self._metrics = metrics

    def count(self, name: str, application: str, labels: Sequence[str], by: float) -> None:
        if not self._counts:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        key = (name, application, tuple(labels))
        self._counts[key] = self._counts.get(key, 0.0) + by

    def observe(self, name: str, application: str, labels: Sequence[str], value: float) -> None:
        key = (name, application, tuple(labels))
        self._metric(name).observe(value, self._tags_of(key))

    def flush(self) -> None:
        """Hand over what was counted."""
        counts, self._counts = self._counts, {}
        for key, by in counts.items():
            if by:
                self._metric(key[0]).inc(by, self._tags_of(key))

    def _tags_of(self, key: _Key) -> dict[str, str]:
        if key not in self._tags:
            name, application, labels = key
            self._tags[key] = {"model": application, **dict(zip(self._families[name].labels, labels, strict=True))}
        return self._tags[key]

    def _metric(self, name: str) -> Any:
        """Made when it is first needed: a replica shows only what it does."""
        if name not in self._made:
            family = self._families[name]
            tags = ("model", *family.labels)
            if family.kind == "counter":
                self._made[name] = self._metrics.Counter(name, family.help, tags)
            else:
                # Ray wants boundaries above zero, which all of ours are.
                self._made[name] = self._metrics.Histogram(name, family.help, list(family.buckets), tags)
        return self._made[name]


def serve_instruments(more: Mapping[str, Family] | None = None) -> Instruments | None:
    """This replica's; None in a process that is no replica of Serve."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        serve.get_replica_context()
    except RayServeException:
        return None
    return ServeInstruments(more)


def replica_observer(application: str) -> Observer:
    """Records the events of this replica, which belongs to ``application``."""
    into = serve_instruments()
    if into is None:
        return unobserved

    def observe(event: Event) -> None:
        record(event, application, into)

    return observe
