"""Versions of skill models over HTTP: one version an answer, the grade, and what the replicas report."""

from dataclasses import replace

import pytest
from http_fakes import build_services

FEATURES = {"linguistic": {"word_count": 120}, "behavioral": {"retry_count": 3}}
ROWS = {"rows": [{"student_id": f"s{n}", "features": FEATURES} for n in range(4)]}
REPORT = {
    "replica": "r1",
    "serving": "v1",
    "champion": "v2",
    "generation": 7,
    "switches": 0,
    "failures": 3,
    "troubles": {"champion": "skills v2 refuses to serve: empathy.ubj: its sha256 is not the recorded one"},
    "shadow": {
        "champion": "v1",
        "challenger": "v3",
        "dropped": 0,
        "failed": 0,
        "skills": {"empathy": {"rows": 4, "total": 0.4, "absolute": 0.8, "largest": 0.5, "other_band": 1}},
    },
}


class Promoted:
    """Answers the first call as replicas would while a promotion is on its way; later ones as asked."""

    def __init__(self, fleet, held):
        self.fleet, self.held, self.asked = fleet, held, []

    def __getattr__(self, name):
        return getattr(self.fleet, name)

    async def call(self, application, inputs, options, context):
        self.asked.append(options.get("version"))
        plain = {name: value for name, value in options.items() if name != "version"}
        answer = await self.fleet.call(application, inputs, plain, context)
        wanted = options.get("version")
        mixed = ["old", "new"] * len(inputs)
        # Where a version is not held, the assessment goes on without a model.
        versions = mixed if wanted is None else [wanted if wanted in self.held else "none"] * len(inputs)
        values = [
            {skill: {**held, "model_version": version} for skill, held in value.items()}
            for value, version in zip(answer.values, versions, strict=False)
        ]
        return replace(answer, values=values)


async def test_a_batch_that_a_promotion_fell_into_is_asked_again_for_one_version(fleet, open_client):
    promoted = Promoted(fleet, {"old", "new"})
    async with open_client(build_services(promoted)) as client:
        body = (await client.post("/api/v1/infer/batch", json=ROWS)).json()
    assert promoted.asked == [None, "old"]
    found = {skill["model_version"] for result in body["results"] for skill in result["skills"]}
    assert found == set(body["model_versions"].values()) == {"old"}


async def test_a_version_that_a_replica_no_longer_holds_is_not_insisted_on(fleet, open_client):
    promoted = Promoted(fleet, {"new"})
    async with open_client(build_services(promoted)) as client:
        body = (await client.post("/api/v1/infer/batch", json=ROWS)).json()
    assert promoted.asked == [None, "old", "new"]
    assert {skill["model_version"] for result in body["results"] for skill in result["skills"]} == {"new"}


async def test_a_grade_goes_to_the_models_and_is_stored(stored, fleet):
    graded = {**FEATURES, "grade": 4}
    await stored.post("/api/v1/infer/s1", json={"features": graded})
    assert fleet.calls[-1][1][0].grade == 4
    assert (await stored.put("/api/v1/students/s1/features", json=graded)).json()["grade"] == 4
    assert (await stored.get("/api/v1/students/s1/features")).json()["grade"] == 4
    await stored.post("/api/v1/infer/s1")
    assert fleet.calls[-1][1][0].grade == 4


@pytest.mark.parametrize("grade", [-1, 13, 4.5, "4", True])
async def test_a_grade_that_is_none_is_refused_by_name(client, grade):
    answer = await client.post("/api/v1/infer/s1", json={"features": {**FEATURES, "grade": grade}})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["param"] == "features.grade"


async def test_replicas_that_cannot_load_the_champion_are_told(fleet, open_client):
    async def reports():
        return [REPORT]

    async with open_client(replace_reports(build_services(fleet), reports)) as client:
        body = (await client.get("/health/detailed")).json()
        text = (await client.get("/metrics")).text
    part = body["components"]["skill_models"]
    assert part["status"] == "degraded"
    assert "empathy.ubj" in part["reason"]
    assert part["replicas"][0]["serving"] == "v1"
    assert part["shadow"]["skills"]["empathy"]["mean_difference"] == 0.1
    assert body["status"] != "healthy"
    assert 'muster_skill_replicas{version="v1"} 1.0' in text
    assert "muster_skill_generation 7.0" in text
    assert "muster_skill_troubled_replicas 1.0" in text
    assert 'muster_skill_shadow_mean_absolute_difference{challenger="v3",skill="empathy"} 0.2' in text


async def test_without_reports_there_is_nothing_to_say(client):
    part = (await client.get("/health/detailed")).json()["components"]["skill_models"]
    assert (part["status"], part["replicas"], part["shadow"]) == ("healthy", [], None)
    assert "muster_skill_replicas" not in (await client.get("/metrics")).text


def replace_reports(services, reports):
    object.__setattr__(services, "skill_replicas", reports)
    return services
