"""Journals: store, read and erase entries; comprehensive, personality and predictive analysis of them."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import EngineFault, InvalidInput
from deployments.journal import analysis, prediction
from deployments.journal.finding import ALPHA
from deployments.journal.kept import JournalKept
from deployments.journal.store import JournalStore
from serve_app.api.bodies import read
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.journal_entries import parse_entries
from serve_app.api.journal_flow import Analysed, JournalFlow
from serve_app.api.journal_schemas import (
    USER_ID,
    USER_ID_WORDS,
    ComprehensiveAnswer,
    ComprehensiveRequest,
    EntriesPage,
    EntriesRequest,
    ErasedJournal,
    PersonalityAnswer,
    PersonalityRequest,
    PredictiveAnswer,
    PredictiveRequest,
    StoredEntries,
    Timeframe,
)
from serve_app.api.openapi import json_body
from serve_app.api.services import Services

PREFIX = "/api/v1"
FEWEST_INSIDE = 15
"""Entries from which on a comprehensive analysis has a personality profile and predictions."""
SECONDS_A_DAY = 86_400
Endpoint = Callable[..., Any]
_USER_ID = re.compile(USER_ID[:-1] + r"\Z")
UserPath = Annotated[str, Path(json_schema_extra={"pattern": USER_ID})]
UserQuery = Annotated[str, Query(json_schema_extra={"pattern": USER_ID}, description="Whose stored entries.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Entries of a page.")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Entries before the page.")]


class JournalRoutes:
    """The journal's routes."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._services = services
        held_s = settings.journal_retention_days * SECONDS_A_DAY
        self._store = JournalStore(services.state, held_s, settings.journal_max_entries)
        self._flow = JournalFlow(services, self._store, JournalKept(services.state, held_s))

    def mount(self, app: FastAPI) -> None:
        """Add the routes; the brief's names and those of earlier clients."""
        common: dict[str, Any] = {"tags": ["journal"], "responses": responses("/api/v1/")}
        entries = f"{PREFIX}/journal/{{user_id}}/entries"
        stored: dict[str, tuple[Endpoint, type[BaseModel], str]] = {
            "POST": (self.put, StoredEntries, "Store entries"),
            "GET": (self.page, EntriesPage, "Read entries, newest first"),
            "DELETE": (self.erase, ErasedJournal, "Erase everything held on a user"),
        }
        for method, (endpoint, answer, summary) in stored.items():
            body = json_body(EntriesRequest) if method == "POST" else None
            told: dict[str, Any] = {"summary": summary, "response_model": answer, "openapi_extra": body}
            app.add_api_route(entries, endpoint, methods=[method], **told, **common)
        told = {"summary": "Insights from stored entries", "response_model": ComprehensiveAnswer}
        app.add_api_route(
            f"{PREFIX}/ai/comprehensive-analysis", self.comprehensive_of, methods=["GET"], **told, **common
        )
        for path, (endpoint, asked, answer, summary) in self._analyses().items():
            told = {"summary": summary, "response_model": answer, "openapi_extra": json_body(asked)}
            app.add_api_route(f"{PREFIX}/ai/advanced/{path}", endpoint, methods=["POST"], **told, **common)

    def _analyses(self) -> Mapping[str, tuple[Endpoint, type[BaseModel], type[BaseModel], str]]:
        """By path; two of them have two names."""
        whole = (self.comprehensive, ComprehensiveRequest, ComprehensiveAnswer, "Insights")
        personality = (self.personality, PersonalityRequest, PersonalityAnswer, "How somebody writes")
        predictive = (self.predictive, PredictiveRequest, PredictiveAnswer, "Trend, risks, opportunities")
        return {
            "analysis/comprehensive": whole,
            "personality-profile": personality,
            "analysis/personality": personality,
            "predictive-analysis": predictive,
            "analysis/predictive": predictive,
        }

    async def put(self, request: Request, user_id: UserPath) -> Response:
        """Store up to 1,000 entries. The same id again replaces the entry; the same entry again changes nothing."""
        check_user_id(user_id)
        asked = await read(request, EntriesRequest)
        entries = parse_entries(asked.entries, self._services.settings.max_text_chars)
        return _json({"user_id": user_id, **await self._store.put(exchange_of(request).context(1), user_id, entries)})

    async def page(self, request: Request, user_id: UserPath, limit: Limit = 100, offset: Offset = 0) -> Response:
        """Stored entries, newest first by when they were written. A user without any has an empty page."""
        check_user_id(user_id)
        held = await self._store.newest(exchange_of(request).context(1), user_id, limit, offset)
        after = offset + len(held.entries)
        body = {
            "user_id": user_id,
            "entries": [entry.to_json() for entry in held.entries],
            "total": held.total,
            "next_offset": after if held.entries and after < held.total else None,
        }
        return _json(body)

    async def erase(self, request: Request, user_id: UserPath) -> Response:
        """Erase entries, what models said of them, and all results. Erasing twice is no error."""
        check_user_id(user_id)
        return _json({"user_id": user_id, **await self._store.erase(exchange_of(request).context(1), user_id)})

    async def comprehensive_of(
        self, request: Request, user_id: UserQuery, timeframe: Timeframe = "all_time"
    ) -> Response:
        """The same as the POST, of a user's stored entries and with its defaults."""
        check_user_id(user_id)
        return await self._comprehensive(request, ComprehensiveRequest(user_id=user_id, timeframe=timeframe))

    async def comprehensive(self, request: Request) -> Response:
        """Patterns in time, themes, correlations, and from 15 entries on a personality profile and predictions."""
        return await self._comprehensive(request, await read(request, ComprehensiveRequest))

    async def _comprehensive(self, request: Request, asked: ComprehensiveRequest) -> Response:
        started = time.monotonic()
        wanted = {"personality": asked.include_personality, "predictive": asked.include_predictions}
        parts = ["temporal", *(part for part, included in wanted.items() if included)]
        options: dict[str, Any] = {}
        done = await self._flow.analyse(request, asked, parts, analysis.FEWEST, options, FEWEST_INSIDE)
        temporal = done.parts.get("temporal", {})
        insights = temporal.get("insights", [])
        summary = {
            "entries_analyzed": len(done.entries),
            "insights_generated": len(insights),
            "timeframe": asked.timeframe,
            "first_entry": done.entries[0].created_at.isoformat(),
            "last_entry": done.entries[-1].created_at.isoformat(),
            "mood": temporal.get("mood_summary", {}),
            "processing_time_seconds": round(time.monotonic() - started, 4),
            "personality_included": "personality" in done.parts,
            "predictions_included": "predictive" in done.parts,
        }
        tests = {"tests_done": temporal.get("tests_done"), "alpha": ALPHA, "correction": "holm"}
        body = {
            "user_id": asked.user_id,
            "analysis_summary": summary,
            "temporal_insights": insights,
            "themes": temporal.get("themes"),
            "personality_profile": done.parts.get("personality"),
            "predictive_analysis": done.parts.get("predictive"),
            "partial": done.partial,
            "processing_metadata": {**done.metadata, **tests, "skipped": done.skipped},
        }
        return _json(body)

    async def personality(self, request: Request) -> Response:
        """A description of how the entries are written along five dimensions, each with its interval."""
        asked = await read(request, PersonalityRequest)
        options = {"include_detailed_traits": asked.include_detailed_traits}
        fewest = asked.min_entries_required
        return _part(await self._flow.analyse(request, asked, ["personality"], fewest, options), asked.user_id)

    async def predictive(self, request: Request) -> Response:
        """The mood's trend with its interval, four risks, and when things go better."""
        asked = await read(request, PredictiveRequest)
        options = {
            "prediction_horizon": asked.prediction_horizon,
            "include_risk_assessment": asked.include_risk_assessment,
            "include_opportunities": asked.include_opportunities,
        }
        done = await self._flow.analyse(request, asked, ["predictive"], prediction.FEWEST, options)
        return _part(done, asked.user_id)


def check_user_id(user_id: str) -> None:
    """Raises ``InvalidInput`` when it is none."""
    if not _USER_ID.match(user_id):
        raise InvalidInput(f"A user id has {USER_ID_WORDS}.", "user_id")


def _part(done: Analysed, user_id: str | None) -> Response:
    """The answer that is one part. Without that part there is no answer."""
    if not done.parts:
        raise EngineFault("The analysis failed.")
    (found,) = done.parts.values()
    return _json({"user_id": user_id, **found, "partial": done.partial, "processing_metadata": done.metadata})


def _json(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
