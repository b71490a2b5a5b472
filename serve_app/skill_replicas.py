"""How the replicas of the skill models are, out of what they report to Redis: a part of the health report, and gauges."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from deployments.errors import StateUnavailable
from deployments.skills.alias_store import AliasStore
from deployments.skills.shadow import added_up

Reports = Sequence[Mapping[str, Any]]
SHADOW: Mapping[str, tuple[str, str]] = {
    "rows": ("muster_skill_shadow_rows", "Estimates of the challenger compared with the champion's"),
    "mean_difference": ("muster_skill_shadow_mean_difference", "Challenger minus champion, mean, score units"),
    "mean_absolute_difference": ("muster_skill_shadow_mean_absolute_difference", "The same without its sign"),
    "largest_difference": ("muster_skill_shadow_largest_difference", "The largest of them"),
    "other_band": ("muster_skill_shadow_other_band", "Estimates that the challenger puts in another band"),
}


class SkillReplicas:
    """Reads what replicas report; what cannot be read is nothing."""

    def __init__(self, aliases: AliasStore) -> None:
        self._aliases = aliases

    async def __call__(self) -> Reports:
        try:
            return await self._aliases.reports()
        except StateUnavailable:
            return []


async def nobody() -> Reports:
    """Where no replica reports."""
    return []


def component(reports: Reports) -> dict[str, Any]:
    """Degraded while a replica cannot load what it is to serve; what it served before goes on."""
    troubles = sorted({trouble for report in reports for trouble in report["troubles"].values()})
    kept = ("replica", "serving", "champion", "generation", "switches", "failures", "troubles")
    shadow = added_up([report["shadow"] for report in reports if report["shadow"]])
    return {
        "status": "degraded" if troubles else "healthy",
        "reason": "; ".join(troubles) or None,
        "replicas": [{name: report[name] for name in kept} for report in reports],
        "shadow": shadow,
    }


def gauges(reports: Reports) -> bytes:
    """The same as Prometheus text."""
    return generate_latest(_Collected(reports))


class _Collected:
    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def collect(self) -> Iterator[Metric]:
        if not self._reports:
            return
        serving = GaugeMetricFamily("muster_skill_replicas", "Replicas by the version they serve", labels=["version"])
        versions = [report["serving"] for report in self._reports]
        for version in sorted(set(versions)):
            serving.add_metric([version], versions.count(version))
        yield serving
        generation = max(report["generation"] for report in self._reports)
        yield GaugeMetricFamily("muster_skill_generation", "Generation of the aliases", value=generation)
        troubled = sum(bool(report["troubles"]) for report in self._reports)
        yield GaugeMetricFamily("muster_skill_troubled_replicas", "Replicas that cannot do as told", value=troubled)
        failures = sum(report["failures"] for report in self._reports)
        yield GaugeMetricFamily("muster_skill_load_failures", "Bundles that could not be loaded", value=failures)
        shadow = added_up([report["shadow"] for report in self._reports if report["shadow"]])
        if shadow is not None:
            yield from _compared(shadow)


def _compared(shadow: Mapping[str, Any]) -> Iterator[Metric]:
    for figure, (name, text) in SHADOW.items():
        family = GaugeMetricFamily(name, text, labels=["skill", "challenger"])
        for skill, held in shadow["skills"].items():
            family.add_metric([skill, shadow["challenger"]], held[figure])
        yield family
