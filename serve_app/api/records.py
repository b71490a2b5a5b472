"""``/api/v1/metrics``: the tenant's own inference records. (``/metrics`` without a prefix is Prometheus's.)"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from deployments.state import KEPT_RECORDS, Source
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.services import Services
from serve_app.api.skill_answers import InferenceRecord, InferenceSummary

Limit = Annotated[int, Query(ge=1, le=KEPT_RECORDS, description="How many, newest first.")]
_SHOWN = tuple(InferenceRecord.model_fields)


class Records:
    """The inference records' routes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        common: dict[str, Any] = {"methods": ["GET"], "tags": ["skills"], "responses": responses("/api/v1/")}
        app.add_api_route(
            "/api/v1/metrics", self.list, summary="Inference records", response_model=list[InferenceRecord], **common
        )
        app.add_api_route(
            "/api/v1/metrics/summary", self.summary, summary="Totals", response_model=InferenceSummary, **common
        )

    async def list(self, request: Request, limit: Limit = 100) -> Response:
        """The newest inferences. `X-Source: memory` while Redis is away."""
        found, source = await self._services.state.records(exchange_of(request).context(1), limit)
        shown = [{name: record.get(name) for name in _SHOWN} for record in found]
        return _json(shown, source)

    async def summary(self, request: Request) -> Response:
        """Totals over the last 10,000 inferences."""
        found, source = await self._services.state.records(exchange_of(request).context(1), KEPT_RECORDS)
        return _json({**summarize(found), "source": source}, source)


def summarize(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Totals; times over the successes, p95 by the nearest rank; zeros when there is nothing."""
    times = sorted(record["inference_time_ms"] for record in records if record["success"])
    total, succeeded = len(records), len(times)
    return {
        "total_inferences": total,
        "successful_inferences": succeeded,
        "failed_inferences": total - succeeded,
        "avg_inference_time_ms": round(sum(times) / succeeded, 3) if times else 0.0,
        "min_inference_time_ms": times[0] if times else 0.0,
        "max_inference_time_ms": times[-1] if times else 0.0,
        "p95_inference_time_ms": times[math.ceil(0.95 * succeeded) - 1] if times else 0.0,
        "success_rate": round(succeeded / total, 4) if total else 0.0,
    }


def _json(value: Any, source: Source) -> Response:
    return Response(orjson.dumps(value), headers={"X-Source": source}, media_type="application/json")
