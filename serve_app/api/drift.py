"""``GET /api/v1/metrics/drift``: served inputs and outputs against the bundle's reference."""

from dataclasses import asdict
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.skills.drift import MIN_ROWS, Drift
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.observed_shapes import DriftAnswer
from serve_app.api.services import Services


class DriftRoutes:
    """The route."""

    def __init__(self, services: Services) -> None:
        self._watch = services.drift

    def mount(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route(
            "/api/v1/metrics/drift",
            self.get,
            methods=["GET"],
            tags=["skills"],
            summary="Drift of inputs and estimates",
            response_model=DriftAnswer,
            responses=responses("/api/v1/"),
        )

    async def get(self, request: Request) -> Response:
        """The newest 10,000 inferences against the training data of the model that answered last."""
        drift = await self._watch.of(exchange_of(request).context(1))
        return Response(orjson.dumps(tell(drift)), media_type="application/json")


def tell(drift: Drift | None) -> dict[str, Any]:
    """A drift as JSON, figures with 5 decimals."""
    if drift is None:
        reason = "Nothing was inferred yet, or the model that answered has no reference: train it again."
        body: dict[str, Any] = {"version": None, "rows": 0, "judged": False, "reason": reason, "alarms": []}
        return {**body, "features": {}, "estimates": {}}
    few = None if drift.judged else f"Fewer than {MIN_ROWS} inferences: nothing is judged yet."
    return {
        "version": drift.version,
        "rows": drift.rows,
        "judged": drift.judged,
        "reason": few,
        "alarms": drift.alarms,
        "features": {name: _told(asdict(one)) for name, one in drift.features.items()},
        "estimates": {name: _told(asdict(one)) for name, one in drift.estimates.items()},
    }


def _told(column: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in column.items()}
