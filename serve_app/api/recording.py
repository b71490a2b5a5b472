"""What is kept of every inference: a record for the tenant, and numbers without a name for the watch on drift."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from deployments.served import ServedRow
from deployments.skills.features import SKILLS
from model_store.errors import MusterError
from serve_app.api.exchange import exchange_of
from serve_app.api.services import Services
from serve_app.api.subjects import Subject, tell


async def record_results(
    services: Services,
    request: Request,
    subjects: Sequence[Subject],
    results: Sequence[Mapping[str, Any]],
    skill: str | None,
) -> None:
    """Keep one record of each result, and what was served of the successes. Never raises."""
    tenant = exchange_of(request).tenant
    records = [
        {
            "student_id": result["student_id"],
            "skill_type": skill,
            "inference_time_ms": result.get("total_inference_time_ms", 0.0),
            "success": result["status"] == "success",
            "error_message": result.get("error_message"),
            "timestamp": datetime.now(UTC).isoformat(),
        }
        for result in results
    ]
    rows = [row for pair in zip(subjects, results, strict=True) if (row := _served(*pair)) is not None]
    await asyncio.gather(services.state.record(tenant, records), services.drift.served.record(tenant, rows))


@asynccontextmanager
async def failures_recorded(
    services: Services,
    request: Request,
    subjects: Sequence[Subject],
    skill: str | None,
    only: type[MusterError] = MusterError,
) -> AsyncIterator[None]:
    """Keep a record for each student when the inference fails as a whole inside; the error goes on."""
    try:
        yield
    except only as error:
        failed = [Subject(subject.student_id, None, subject.error or error) for subject in subjects]
        await record_results(services, request, failed, [tell(one, None, 0.0) for one in failed], skill)
        raise


def _served(subject: Subject, result: Mapping[str, Any]) -> ServedRow | None:
    skills = {skill["skill_type"]: skill for skill in result.get("skills", ())}
    if subject.features is None or not skills:
        return None
    estimates = [skills[name].get("model_estimate") if name in skills else None for name in SKILLS]
    version = next(iter(skills.values()))["model_version"]
    return ServedRow(version, subject.features.values, estimates)
