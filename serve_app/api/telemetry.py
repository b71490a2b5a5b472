"""``/api/v1/telemetry``: game events in, behavioural features out. Idempotent by ``event_id``."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from deployments.observations import Held, Stored
from deployments.skills.events import VOCABULARY, Event, parse_event, parse_events
from deployments.skills.features import FEATURES
from serve_app.api.bodies import read_json
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.observed_shapes import BatchAnswered, EventAnswered, EventBatch, EventBody
from serve_app.api.openapi import json_body
from serve_app.api.services import Services
from serve_app.api.students import check_student_id

MAX_EVENTS = 1000
OTHER = "other"
"""What metrics call the types that are not in the vocabulary: a client's own words are no labels."""
_BEHAVIORAL = sum(feature.group == "behavioral" for feature in FEATURES)


class Telemetry:
    """The routes for game events."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        common: dict[str, Any] = {"methods": ["POST"], "tags": ["students"], "responses": responses("/api/v1/")}
        app.add_api_route(
            "/api/v1/telemetry/events",
            self.event,
            summary="One game event",
            response_model=EventAnswered,
            openapi_extra=json_body(EventBody),
            **common,
        )
        app.add_api_route(
            "/api/v1/telemetry/batch",
            self.batch,
            summary="Up to 1,000 game events",
            response_model=BatchAnswered,
            openapi_extra=json_body(EventBatch),
            **common,
        )

    async def event(self, request: Request) -> Response:
        """Store one event. The same `event_id` again changes nothing."""
        student, event = parse_event(await read_json(request), time.time())
        stored, held = await self._take(request, [(student, event)])
        status = next(name for name, events in _by_status(stored[student]).items() if events)
        told = {"event_id": event.event_id, "student_id": student, "status": status, **_features(held[student])}
        return Response(orjson.dumps(told), media_type="application/json")

    async def batch(self, request: Request) -> Response:
        """Store up to 1,000 events of any students, in any order: all of them, or none when one is invalid."""
        body = await read_json(request)
        if not isinstance(body, dict) or set(body) != {"events"} or not isinstance(body["events"], list):
            raise InvalidInput('The body must be {"events": [...]} and nothing more.', "events")
        if not 1 <= len(body["events"]) <= MAX_EVENTS:
            raise InvalidInput(f"events must have 1 to {MAX_EVENTS} events; it has {len(body['events'])}.", "events")
        stored, held = await self._take(request, parse_events(body["events"], time.time()))
        counts = {
            student: {name: len(found) for name, found in _by_status(one).items()} for student, one in stored.items()
        }
        told = {
            "received": len(body["events"]),
            **{name: sum(count[name] for count in counts.values()) for name in ("accepted", "duplicate", "expired")},
            "students": [{"student_id": s, **count, **_features(held[s])} for s, count in counts.items()],
        }
        return Response(orjson.dumps(told), media_type="application/json")

    async def _take(
        self, request: Request, events: Sequence[tuple[str, Event]]
    ) -> tuple[dict[str, Stored], dict[str, Held | None]]:
        for index, (student, _) in enumerate(events):
            check_student_id(student, "student_id" if len(events) == 1 else f"events[{index}].student_id")
        started, context = time.monotonic(), exchange_of(request).context(len(events))
        now = time.time()
        stored = await self._services.observations.add(context, events, now)
        held = await self._services.observations.refresh(context, [*stored], now)
        statuses: Counter[tuple[str, str]] = Counter()
        for one in stored.values():
            for name, found in _by_status(one).items():
                statuses.update((event.kind if event.kind in VOCABULARY else OTHER, name) for event in found)
        self._services.metrics.telemetry(statuses, len(events), time.monotonic() - started)
        return stored, held


def _by_status(stored: Stored) -> dict[str, Sequence[Event]]:
    return {"accepted": stored.accepted, "duplicate": stored.duplicates, "expired": stored.expired}


def _features(held: Held | None) -> dict[str, Any]:
    """The behavioural features as they are now, and the share of the 9 that are known."""
    values = {} if held is None else held["behavioral"]
    return {"behavioral": values, "completeness": round(len(values) / _BEHAVIORAL, 4)}
