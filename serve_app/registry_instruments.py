"""What replicas did, counted into a registry of ``prometheus_client``."""

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from deployments.meter import FAMILIES


class RegistryInstruments:
    """Implements ``Instruments`` over a registry of ``prometheus_client``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._made: dict[str, Counter | Histogram] = {}
        for name, family in FAMILIES.items():
            labels = ["application", *family.labels]
            self._made[name] = (
                Counter(name, family.help, labels, registry=registry)
                if family.kind == "counter"
                else Histogram(name, family.help, labels, buckets=family.buckets, registry=registry)
            )
        self._children: dict[tuple[str, str, tuple[str, ...]], Any] = {}

    def count(self, name: str, application: str, labels: Sequence[str], by: float) -> None:
        self._child(name, application, labels).inc(by)

    def observe(self, name: str, application: str, labels: Sequence[str], value: float) -> None:
        self._child(name, application, labels).observe(value)

    def _child(self, name: str, application: str, labels: Sequence[str]) -> Any:
        key = (name, application, tuple(labels))
        if key not in self._children:
            self._children[key] = self._made[name].labels(application, *labels)
        return self._children[key]
