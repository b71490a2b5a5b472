"""The students of an inference call and what is said of each: a success with skills, or an error that names the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.call import Answer
from deployments.skills.assessment import NO_MODEL
from deployments.skills.features import FeatureSet
from model_store.errors import MusterError
from serve_app.api.errors import error_body, row_for
from serve_app.errors import UnknownStudent


@dataclass(frozen=True, slots=True)
class Subject:
    """One student of a call: an id (rows may have none) and the features, or why there are none."""

    student_id: str | None
    features: FeatureSet | None
    error: MusterError | None = None


def tell_all(subjects: Sequence[Subject], answer: Answer | None, elapsed_ms: float) -> list[dict[str, Any]]:
    """One result for each subject, in order; the answer has values only for those with features."""
    results, place = [], 0
    for subject in subjects:
        if subject.features is None or answer is None:
            results.append(tell(subject, None, elapsed_ms))
            continue
        error = answer.errors.get(place)
        results.append(tell(Subject(subject.student_id, subject.features, error), answer.values[place], elapsed_ms))
        place += 1
    return results


def tell(subject: Subject, value: Mapping[str, Any] | None, elapsed_ms: float) -> dict[str, Any]:
    """One result: the skills, or the reason why there are none."""
    if subject.error is not None or value is None:
        error = subject.error or UnknownStudent()
        told = error_body(error, row_for(error), "")["error"]
        return {
            "student_id": subject.student_id,
            "status": "error",
            "error_message": told["message"],
            "error_code": told["code"],
        }
    return {
        "student_id": subject.student_id,
        "status": "success",
        "skills": [*value.values()],
        "total_inference_time_ms": elapsed_ms,
    }


def versions(assessments: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """The model version of each skill."""
    return {name: skill["model_version"] for skills in assessments for name, skill in skills.items()}


def versions_of(value: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The model versions in one student's skills; a skill that no model took part in has none."""
    return [skill["model_version"] for skill in value.values() if skill["model_version"] != NO_MODEL]


def model_versions(answer: Answer) -> list[str]:
    """The versions that an answer's rows were computed with, in order of first use; one, but for a promotion between."""
    values = (value for value in answer.values if value is not None)
    return list(dict.fromkeys(version for value in values for version in versions_of(value)))
