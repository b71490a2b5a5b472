"""Skill inference: one student, one skill, a batch. Features come from the store or with the request."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path
from starlette.requests import Request
from starlette.responses import Response

from deployments.call import Answer
from deployments.errors import StateUnavailable
from deployments.skills.features import SKILLS
from serve_app.api.bodies import read
from serve_app.api.calls import first_error, model_headers
from serve_app.api.errors import responses
from serve_app.api.exchange import exchange_of
from serve_app.api.openapi import json_body
from serve_app.api.recording import failures_recorded, record_results
from serve_app.api.schemas import BatchRequest, InferRequest
from serve_app.api.services import Services
from serve_app.api.skill_answers import Assessment, BatchAnswer, Skill
from serve_app.api.students import StudentId, check_student_id, parse_features, stored_set
from serve_app.api.subjects import Subject, tell, tell_all, versions
from serve_app.api.weighing import APPLICATION, weigh
from serve_app.errors import UnknownSkill, UnknownStudent

SkillType = Annotated[str, Path(json_schema_extra={"enum": [*SKILLS]})]


class Skills:
    """The inference routes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def mount(self, app: FastAPI) -> None:
        """Add the routes; the literal ``batch`` first, because ``{student_id}`` would take it."""
        common: dict[str, Any] = {"methods": ["POST"], "tags": ["skills"], "responses": responses("/api/v1/")}
        optional = json_body(InferRequest, required=False)
        app.add_api_route(
            "/api/v1/infer/batch",
            self.batch,
            summary="Up to 100 students",
            response_model=BatchAnswer,
            openapi_extra=json_body(BatchRequest),
            **common,
        )
        app.add_api_route(
            "/api/v1/infer/{student_id}",
            self.all_skills,
            summary="All skills of a student",
            response_model=Assessment,
            openapi_extra=optional,
            **common,
        )
        app.add_api_route(
            "/api/v1/infer/{student_id}/{skill_type}",
            self.one_skill,
            summary="One skill of a student",
            response_model=Skill,
            openapi_extra=optional,
            **common,
        )

    async def all_skills(self, request: Request, student_id: StudentId) -> Response:
        """Inference, evidence fusion and reasoning for the four skills."""
        started = time.monotonic()
        skills, answer = await self._assess_one(request, student_id, SKILLS)
        body = {
            "student_id": student_id,
            "skills": [*skills.values()],
            "total_inference_time_ms": _since(started),
            "timestamp": _now(),
            "model_versions": versions([skills]),
        }
        return _json(body, answer)

    async def one_skill(self, request: Request, student_id: StudentId, skill_type: SkillType) -> Response:
        """One skill: the skill object itself."""
        if skill_type not in SKILLS:
            raise UnknownSkill(SKILLS)
        skills, answer = await self._assess_one(request, student_id, (skill_type,))
        return _json(skills[skill_type], answer)

    async def batch(self, request: Request) -> Response:
        """Up to 100 students. A student who cannot be assessed gets `status: error` and does not fail the others."""
        started = time.monotonic()
        asked = await read(request, BatchRequest)
        named = [Subject(student, None) for student in asked.student_ids]
        async with failures_recorded(self._services, request, named, None, only=StateUnavailable):
            subjects = await self._subjects(request, asked)
        known = [subject for subject in subjects if subject.features is not None]
        async with failures_recorded(self._services, request, subjects, None):
            answer = await weigh(self._services, request, known, SKILLS) if known else None
        results = tell_all(subjects, answer, _since(started))
        await record_results(self._services, request, subjects, results, None)
        succeeded = [result for result in results if result["status"] == "success"]
        body = {
            "total_students": len(results),
            "successful": len(succeeded),
            "failed": len(results) - len(succeeded),
            "total_time_ms": _since(started),
            "results": results,
            "model_versions": versions([{s["skill_type"]: s for s in r["skills"]} for r in succeeded[:1]]),
            "timestamp": _now(),
        }
        return _json(body, answer)

    async def _assess_one(
        self, request: Request, student_id: str, skills: Sequence[str]
    ) -> tuple[Mapping[str, dict[str, Any]], Answer]:
        check_student_id(student_id)
        started = time.monotonic()
        skill = skills[0] if len(skills) == 1 else None
        asked = await read(request, InferRequest, optional=True)
        if asked.features is not None:
            features = parse_features(asked.features)
        else:
            async with failures_recorded(self._services, request, [Subject(student_id, None)], skill):
                (subject,) = await self._stored(request, [student_id])
                if subject.features is None:
                    raise subject.error or UnknownStudent()
            features = subject.features
        async with failures_recorded(self._services, request, [Subject(student_id, None)], skill):
            answer = await weigh(self._services, request, [Subject(student_id, features)], skills)
        error = first_error(answer, None)
        subject = Subject(student_id, features, error)
        result = tell(subject, answer.values[0], _since(started))
        await record_results(self._services, request, [subject], [result], skill)
        if error:
            raise error
        return answer.values[0], answer

    async def _subjects(self, request: Request, asked: BatchRequest) -> list[Subject]:
        if asked.rows:
            return [
                Subject(row.student_id, parse_features(row.features, f"rows[{i}].features"))
                for i, row in enumerate(asked.rows)
            ]
        ids = [check_student_id(student, f"student_ids[{i}]") for i, student in enumerate(asked.student_ids)]
        return await self._stored(request, ids)

    async def _stored(self, request: Request, students: Sequence[str]) -> list[Subject]:
        held = await self._services.state.get_features(exchange_of(request).context(len(students)), students)
        return [
            Subject(student, None, UnknownStudent()) if value is None else Subject(student, stored_set(value))
            for student, value in zip(students, held, strict=True)
        ]


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 3)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _json(body: Mapping[str, Any], answer: Answer | None) -> Response:
    headers = model_headers(answer, APPLICATION) if answer else None
    data = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, headers=headers, media_type="application/json")
