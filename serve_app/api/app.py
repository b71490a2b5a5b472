"""The HTTP application, put together from its services. It knows no Ray: a test or a notebook can run it as it is."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from serve_app.api import openapi
from serve_app.api.bodies import refuse
from serve_app.api.capabilities import CapabilityRoutes
from serve_app.api.chat import ChatRoutes
from serve_app.api.classify import LabelRoutes
from serve_app.api.clinical import ClinicalRoutes
from serve_app.api.completions import Completions
from serve_app.api.docs_page import docs_page
from serve_app.api.drift import DriftRoutes
from serve_app.api.embeddings import Embeddings
from serve_app.api.errors import error_response
from serve_app.api.exchange import exchange_of
from serve_app.api.health import HealthRoutes
from serve_app.api.inference import OpenInference
from serve_app.api.journal import JournalRoutes
from serve_app.api.middleware import Envelope
from serve_app.api.models import ModelRoutes
from serve_app.api.records import Records
from serve_app.api.services import Services
from serve_app.api.skills import Skills
from serve_app.api.students import Students
from serve_app.api.summaries import Summaries
from serve_app.api.telemetry import Telemetry
from serve_app.api.transcripts import Transcripts
from serve_app.api.weights import WeightRoutes

REPORTS_WAIT_S = 5.0
"""At the end, for clinical reports that are still being stored."""
DESCRIPTION = (
    "A team's own models on its own machines: embeddings, labels, generated text, and skill assessments with their "
    "evidence. "
    "Every route takes the header X-Deadline-Ms (1 to 300000, default 30000): after that the answer is 504."
)
TAGS = [
    {"name": "models", "description": "Models by key, Hugging Face id or role; OpenAI's shapes."},
    {"name": "tensors", "description": "The Open Inference Protocol v2: models by key, tensors in and out."},
    {"name": "skills", "description": "Skill assessments: inference, evidence fusion, reasoning."},
    {"name": "students", "description": "What is stored on a student."},
    {"name": "journal", "description": "Journals: entries, insights, personality, predictions."},
    {"name": "chat", "description": "The companion chat: replies, streams, history; crisis check first."},
    {"name": "clinical", "description": "Reports from vitals and medications; decision support, no medical device."},
    {"name": "operations", "description": "Health and metrics."},
]


def create_app(services: Services, *, host_echoes_request_id: bool = False) -> FastAPI:
    """The application. Its lifespan starts the access log and the publishing of metrics.

    ``host_echoes_request_id``: the server around it adds ``X-Request-Id`` to every answer itself, as Serve does.
    """
    app = FastAPI(
        title="Muster",
        version=_version(),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(services),
        middleware=[
            Middleware(
                Envelope,
                settings=services.settings,
                keys=services.keys,
                metrics=services.metrics,
                access_log=services.access_log,
                host_echoes_request_id=host_echoes_request_id,
            )
        ],
        exception_handlers={HTTPException: _answer, RequestValidationError: _answer},
    )
    # The hot route first: routes are tried in order.
    for routes in (
        Embeddings,
        LabelRoutes,
        Completions,
        Summaries,
        Skills,
        WeightRoutes,
        Students,
        Transcripts,
        Telemetry,
        Records,
        ChatRoutes,
        ClinicalRoutes,
        DriftRoutes,
        JournalRoutes,
        ModelRoutes,
        CapabilityRoutes,
    ):
        routes(services).mount(app)
    OpenInference(services, app.version).mount(app)
    HealthRoutes(services, app.version).mount(app)
    _mount_docs(app)
    openapi.install(app)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    """FastAPI's and Starlette's own errors in our shape; all others reach the envelope by themselves."""
    if isinstance(error, RequestValidationError):
        error = _as_invalid_input(error)
    return error_response(error, request.scope["path"], exchange_of(request).request_id)


def _as_invalid_input(error: RequestValidationError) -> Exception:
    """The first problem as ``InvalidInput``; FastAPI's place names (``query``, ``path``) go."""
    problems = [{**problem, "loc": problem["loc"][1:]} for problem in error.errors()]
    try:
        refuse(problems)
    except InvalidInput as invalid:
        return invalid


def _mount_docs(app: FastAPI) -> None:
    async def docs() -> Response:
        return docs_page(app.openapi())

    async def document() -> Response:
        return Response(orjson.dumps(app.openapi()), media_type="application/json")

    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False)
    app.add_api_route("/openapi.json", document, methods=["GET"], include_in_schema=False)


def _lifespan(services: Services) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services.access_log.start()
        await services.shared_metrics.start()
        await services.weights.start()
        try:
            yield
        finally:
            await services.weights.stop()
            await services.shared_metrics.stop()
            if services.remote is not None:
                await services.remote.close()
            await services.words.close()
            await services.clinical_reports.close(REPORTS_WAIT_S)
            await services.state.close()
            services.access_log.stop()

    return lifespan


def _version() -> str:
    try:
        return version("muster")
    except PackageNotFoundError:
        return "0"
