"""What the HTTP layer is given: everything it needs, nothing it makes itself."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.call import Fleet
from deployments.chat.help_lines import HelpLines, load_help_lines
from deployments.clinical.reports import Reports as ClinicalReports
from deployments.observations import Observations
from deployments.reasoning.plain_text import PlainTextModel
from deployments.served import Served
from deployments.state import State
from serve_app.access_log import AccessLog
from serve_app.api.names import Models
from serve_app.auth import KeyRing
from serve_app.drift_watch import DriftWatch
from serve_app.metrics import GatewayMetrics, SharedMetrics
from serve_app.remote.fallback import RemoteFallback
from serve_app.settings import Settings
from serve_app.skill_replicas import Reports, nobody
from serve_app.weight_keeper import WeightKeeper


@dataclass(frozen=True, slots=True)
class Services:
    """The application's dependencies. ``gate``: what was measured of a model in fewer bits, by key and the
    backend that serves it; None where nothing was. ``skill_replicas``: what the skill models' replicas report.
    ``weights_file``: of the fusion weights, which need not exist. ``secret_sources``: where each secret came from.
    ``language``: None for the one that the environment configures; ``words`` is who writes for the flows. Raises
    ``UnusableData`` for a file of help lines that is none."""

    fleet: Fleet
    catalogue: Models
    state: State
    settings: Settings
    keys: KeyRing
    metrics: GatewayMetrics
    access_log: AccessLog
    gate: Callable[[str, str | None], Mapping[str, Any] | None] = lambda key, backend: None
    remote: RemoteFallback | None = None
    skill_replicas: Callable[[], Awaitable[Reports]] = nobody
    weights_file: Path | None = None
    secret_sources: Callable[[], Mapping[str, Any]] = dict
    language: PlainTextModel | None = None
    words: PlainTextModel = field(init=False)
    help_lines: HelpLines = field(init=False)
    weights: WeightKeeper = field(init=False)
    shared_metrics: SharedMetrics = field(init=False)
    observations: Observations = field(init=False)
    drift: DriftWatch = field(init=False)
    clinical_reports: ClinicalReports = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared_metrics", SharedMetrics(self.metrics, self.state))
        words = self.language or PlainTextModel(self.state.link, self.metrics.served)
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "help_lines", load_help_lines(self.settings.help_lines, self.settings.help_country))
        object.__setattr__(self, "observations", Observations(self.state, self.settings.event_days))
        object.__setattr__(self, "drift", DriftWatch(Served(self.state), self.keys, self.metrics))
        object.__setattr__(self, "clinical_reports", ClinicalReports(self.state, self.settings.report_ttl_s))
        object.__setattr__(self, "weights", WeightKeeper(self.state, self.weights_file))
