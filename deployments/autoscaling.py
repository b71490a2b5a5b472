"""Autoscaling by predicted work, not by requests: calls are merged, so Serve's own request count says little.

Replicas record ``backlog_s`` (seconds of work queued with them and, per replica, in the dispatchers); Serve averages it
over ``look_back_period_s`` and applies the delays and bounds of ``autoscaling_config`` to what is returned here.
"""

import math
from typing import Any, Protocol

BACKLOG_METRIC = "backlog_s"
TARGET_BACKLOG_S = 0.5
"""Seconds of waiting work per replica that one replica is left alone with."""


class ScalingContext(Protocol):
    """The part of Serve's ``AutoscalingContext`` that is read here."""

    current_num_replicas: int
    aggregated_metrics: dict[str, dict[Any, float]]


def by_backlog(context: ScalingContext) -> tuple[int, dict[str, Any]]:
    """Replicas wanted: the summed backlog divided by ``TARGET_BACKLOG_S``, at least one."""
    backlog = sum((context.aggregated_metrics or {}).get(BACKLOG_METRIC, {}).values())
    return max(1, math.ceil(backlog / TARGET_BACKLOG_S)), {}
