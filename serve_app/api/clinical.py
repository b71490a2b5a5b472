"""``/api/v1/ai-analysis``: a patient's report from the vitals and medications in the request, its storage and export."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import FastAPI, Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deployments.chat.reply_check import Withheld
from deployments.clinical import export
from deployments.clinical.medication import Medication
from deployments.clinical.narrative import messages_for, model_words, template_words
from deployments.clinical.report import Analysis, Case, analyse
from deployments.clinical.report_body import body
from deployments.clinical.reports import ID, new_id
from deployments.clinical.vitals import measured
from deployments.errors import InvalidInput
from deployments.reasoning.plain_text import NoText
from serve_app.api.bodies import read
from serve_app.api.calls import while_connected
from serve_app.api.clinical_schemas import ReportAnswer, ReportErased, ReportRequest
from serve_app.api.errors import responses
from serve_app.api.exchange import Exchange, exchange_of
from serve_app.api.moments import first_of, last_of, moment_of
from serve_app.api.openapi import json_body
from serve_app.api.parts import Parts
from serve_app.api.services import Services
from serve_app.errors import UnknownReport

SAVE_WAIT_S = 0.05
"""The first try to store usually takes less; the answer does not wait longer for it."""
RESERVED = "generate"
"""A route of its own, with another method."""
ReportId = Annotated[str, Path(json_schema_extra={"pattern": f"^{ID.pattern}$"}, description="As the answer gave it.")]
Format = Annotated[Literal["html", "pdf"], Query(description="`pdf` needs a server with the extra `muster[pdf]`.")]
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


class ClinicalRoutes:
    """The reports' routes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reports = services.clinical_reports

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        common: dict[str, Any] = {"tags": ["clinical"], "responses": responses("/api/v1/")}
        app.add_api_route(
            "/api/v1/ai-analysis/generate",
            self.generate,
            methods=["POST"],
            summary="A report from vitals and medications",
            response_model=ReportAnswer,
            openapi_extra=json_body(ReportRequest),
            **common,
        )
        path = "/api/v1/ai-analysis/{report_id}"
        app.add_api_route(path, self.get, methods=["GET"], summary="A report", response_model=ReportAnswer, **common)
        app.add_api_route(
            path, self.erase, methods=["DELETE"], summary="Erase a report", response_model=ReportErased, **common
        )
        formats = {"text/html": {"schema": {"type": "string"}}, "application/pdf": {"schema": {"type": "string"}}}
        app.add_api_route(
            f"{path}/export",
            self.export,
            methods=["GET"],
            summary="A report as a page or a PDF",
            response_class=Response,
            tags=["clinical"],
            responses={**responses("/api/v1/"), 200: {"description": "The document.", "content": formats}},
        )

    async def generate(self, request: Request) -> Response:
        """Trends, ranges, anomalies, notes, risk and recommendations. Decision support, not a diagnosis.

        `Cache-Control: no-store` keeps the report from being stored: its id cannot be fetched, exported or erased then.
        """
        case = _case(await read(request, ReportRequest))
        return await while_connected(request.receive, self._generate(request, case))

    async def get(self, request: Request, report_id: ReportId) -> Response:
        """The report as it was answered, until its time is over."""
        return Response(orjson.dumps(await self._found(request, report_id)), media_type="application/json")

    async def erase(self, request: Request, report_id: ReportId) -> Response:
        """Erase a report before its time. Erasing twice is no error."""
        _check_id(report_id)
        erased = await self._reports.erase(exchange_of(request).context(1), report_id)
        return Response(orjson.dumps({"report_id": report_id, "erased": erased}), media_type="application/json")

    async def export(self, request: Request, report_id: ReportId, format: Format = "html") -> Response:
        """The stored report for people."""
        report = await self._found(request, report_id)
        if format == "pdf":
            made = await asyncio.to_thread(export.pdf, report)
            name = {"Content-Disposition": f'attachment; filename="{report_id}.pdf"'}
            return Response(made, media_type="application/pdf", headers=name)
        page = await asyncio.to_thread(export.html, report)
        return Response(page, media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)

    async def _generate(self, request: Request, case: Case) -> Response:
        exchange = exchange_of(request)
        parts = Parts(exchange.context(1))
        analysis = await asyncio.to_thread(analyse, case)
        words, reason = await self._words(analysis, parts)
        now = datetime.now(UTC)
        report_id = new_id(now)
        report = {**body(analysis, report_id, now, words), "partial": parts.failed, "reason": reason}
        answer = {**report, **await self._keep(exchange, report_id, report, parts)}
        return Response(orjson.dumps(answer), media_type="application/json")

    async def _keep(
        self, exchange: Exchange, report_id: str, report: Mapping[str, Any], parts: Parts
    ) -> Mapping[str, bool | str | None]:
        """Begin to store the report unless the client does not want it; whether it can be fetched, and if not, why."""
        if exchange.context(1).no_store:
            return {"stored": False, "not_stored_because": "no_store"}
        await parts.take("storage", self._services.state.ping, 0.5)
        kept = {"stored": True, "not_stored_because": None}
        if "storage" not in parts.failed:
            # In a task of its own: a client that leaves now has nobody else to tell it the id, but half a write helps nobody.
            saving = self._reports.save(exchange.tenant, report_id, {**report, **kept})
            if not await saving.first_try(SAVE_WAIT_S):
                return kept
            parts.fail("storage")
        return {"stored": False, "not_stored_because": "unavailable"}

    async def _words(self, analysis: Analysis, parts: Parts) -> tuple[Mapping[str, str], str | None]:
        """The words, and why the template wrote all of them."""
        words = template_words(analysis)
        if not self._services.words.configured:
            return words, "not_configured"
        if not analysis.vitals:
            return words, "nothing_measured"
        try:
            text = await self._services.words.write(messages_for(analysis), parts.deadline, "clinical")
            return model_words(text, self._services.words.name, analysis), None
        except NoText as none:
            reason = none.reason
        except Withheld as withheld:
            reason = f"withheld: {withheld.reason}"
        parts.fail("narrative")
        return words, reason

    async def _found(self, request: Request, report_id: str) -> dict[str, Any]:
        _check_id(report_id)
        report = await self._reports.find(exchange_of(request).context(1), report_id)
        if report is None:
            raise UnknownReport()
        return report


def _check_id(report_id: str) -> None:
    if report_id == RESERVED:
        raise HTTPException(405, headers={"Allow": "POST"})
    if not ID.fullmatch(report_id):
        raise UnknownReport()


def _case(asked: ReportRequest) -> Case:
    """Raises ``InvalidInput`` for impossible values and times that have not come yet."""
    now, measurements = datetime.now(UTC), []
    for index, each in enumerate(asked.vitals):
        at = moment_of(each.at)
        if (at - now).total_seconds() > 86_400:
            raise InvalidInput("This time has not come yet.", f"vitals[{index}].at")
        measurements.append(measured(each.parameter, each.value, each.unit, at, f"vitals[{index}]"))
    since, to, options = asked.date_range.since, asked.date_range.to, asked.options
    return Case(
        asked.patient_id,
        asked.patient.name,
        asked.patient.age,
        asked.patient.sex,
        measurements,
        [
            Medication(each.name, each.dose, each.frequency, _day(each.started), _day(each.stopped), each.adherence)
            for each in asked.medications
        ],
        first_of(since) if since else None,
        last_of(to) if to else max([now, *(each.at for each in measurements)]),
        options.include_vitals,
        options.include_medications,
        options.include_risk_assessment,
        options.include_comparative_analysis,
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
