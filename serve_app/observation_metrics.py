"""Prometheus metrics of game events and of drift."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from deployments.meter import SECONDS
from deployments.skills.drift import Drift

_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class ObservationMetrics:
    """Labels are types of the vocabulary, names of features and skills, and tenants: never a client's words."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "telemetry_events_processed",
            "Game events, by what became of them",
            ["event_type", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "telemetry_event_processing_seconds", "Time to take a request's events", buckets=SECONDS, registry=registry
        )
        self._size = Histogram("telemetry_batch_size", "Events of a request", buckets=_SIZES, registry=registry)
        self._duplicates = Counter("telemetry_duplicates", "Game events that were there before", registry=registry)
        labels = ["tenant", "kind", "name"]
        self._psi = Gauge("muster_drift_psi", "PSI against the training data", labels, registry=registry)
        self._ks = Gauge("muster_drift_ks", "KS statistic against the training data", labels, registry=registry)
        self._missing = Gauge("muster_drift_missing_share", "Share of values missing", labels, registry=registry)
        self._alarm = Gauge("muster_drift_alarm", "1 where the drift is large and no chance", labels, registry=registry)
        self._rows = Gauge("muster_drift_rows", "Inferences that were compared", ["tenant"], registry=registry)

    def telemetry(self, statuses: Mapping[tuple[str, str], int], size: int, seconds: float) -> None:
        """Count a request's events by type and status."""
        for (kind, status), count in statuses.items():
            self._events.labels(kind, status).inc(count)
            if status == "duplicate":
                self._duplicates.inc(count)
        self._size.observe(size)
        self._seconds.observe(seconds)

    def drift(self, tenant: str, drift: Drift) -> None:
        """Show a tenant's drift; what cannot be said yet is not shown."""
        self._rows.labels(tenant).set(drift.rows)
        for kind, columns in (("feature", drift.features), ("estimate", drift.estimates)):
            for name, column in columns.items():
                labels = (tenant, kind, name)
                self._alarm.labels(*labels).set(column.alarm)
                for gauge, value in (
                    (self._psi, column.psi),
                    (self._ks, column.ks),
                    (self._missing, column.missing),
                ):
                    if value is not None:
                        gauge.labels(*labels).set(value)
