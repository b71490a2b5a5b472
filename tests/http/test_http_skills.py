"""Students and skills with a real Redis: store, infer, batch, erase, records."""

import pytest
from http_fakes import build_services

from deployments import state
from deployments.errors import InvalidInput, Overloaded
from deployments.skills.features import SKILLS
from serve_app.api.records import summarize

FEATURES = {"linguistic": {"word_count": 120, "empathy_markers": 0.2}, "behavioral": {"retry_count": 3}}
PATH = "/api/v1/students/s1"


async def test_features_are_stored_read_replaced_and_erased(stored):
    put = await stored.put(f"{PATH}/features", json=FEATURES)
    body = put.json()
    assert put.status_code == 200
    assert (body["student_id"], body["completeness"]) == ("s1", 0.12)
    assert {key: body[key] for key in FEATURES} == FEATURES
    assert (await stored.get(f"{PATH}/features")).json() == body
    await stored.put(f"{PATH}/features", json={"behavioral": {"retry_count": 1}})
    assert (await stored.get(f"{PATH}/features")).json()["linguistic"] == {}
    assert (await stored.delete(PATH)).json() == {"student_id": "s1", "features": True, "inference_records": 0}
    assert (await stored.get(f"{PATH}/features")).status_code == 404
    assert (await stored.delete(PATH)).json()["features"] is False


async def test_values_are_plain_json(stored, redis_server):
    await stored.put(f"{PATH}/features", json=FEATURES)
    value = redis_server.command("GET", "muster:default:features:s1")
    assert b'{"linguistic":{"empathy_markers":0.2,"word_count":120.0}' in value


async def test_all_skills_of_a_stored_student(stored):
    await stored.put(f"{PATH}/features", json=FEATURES)
    answer = await stored.post("/api/v1/infer/s1")
    body = answer.json()
    assert [skill["skill_type"] for skill in body["skills"]] == list(SKILLS)
    assert body["model_versions"] == dict.fromkeys(SKILLS, "1.0.0")
    assert body["student_id"] == "s1"
    assert body["total_inference_time_ms"] > 0
    assert body["timestamp"].endswith("+00:00")
    assert (answer.headers["x-model"], answer.headers["x-model-revision"]) == ("skills", "r" * 40)
    assert answer.headers["x-fallback"] == "false"


@pytest.mark.parametrize("skill", SKILLS)
async def test_one_skill_is_the_skill_object_itself(client, fleet, skill):
    answer = await client.post(f"/api/v1/infer/s1/{skill}", json={"features": FEATURES})
    assert answer.json()["skill_type"] == skill
    assert fleet.calls[0][2]["skills"] == [skill]


async def test_inline_features_are_not_stored(stored, redis_server):
    await stored.post("/api/v1/infer/s1", json={"features": FEATURES})
    assert (await stored.get(f"{PATH}/features")).status_code == 404


async def test_a_student_without_features_is_not_found(stored, fleet):
    answer = await stored.post("/api/v1/infer/s1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "student_not_found")
    assert fleet.calls == []


async def test_a_failed_inference_raises_and_is_recorded(stored, fleet):
    fleet.errors = {0: InvalidInput("cannot be used", "x")}
    answer = await stored.post("/api/v1/infer/s1", json={"features": FEATURES})
    assert answer.status_code == 422
    (record,) = (await stored.get("/api/v1/metrics")).json()
    assert (record["success"], record["error_message"]) == (False, "cannot be used")


async def test_a_batch_answers_for_each_student(stored, fleet):
    for student in ("a", "c"):
        await stored.put(f"/api/v1/students/{student}/features", json=FEATURES)
    fleet.errors = {1: InvalidInput("cannot be used")}
    body = (await stored.post("/api/v1/infer/batch", json={"student_ids": ["a", "b", "c", "a"]})).json()
    assert [(r["student_id"], r["status"]) for r in body["results"]] == [
        ("a", "success"),
        ("b", "error"),
        ("c", "error"),
        ("a", "success"),
    ]
    assert (body["total_students"], body["successful"], body["failed"]) == (4, 2, 2)
    assert (body["results"][1]["error_code"], body["results"][2]["error_message"]) == (
        "student_not_found",
        "cannot be used",
    )
    assert len(body["results"][0]["skills"]) == 4
    assert len(fleet.calls) == 1
    assert body["model_versions"]["empathy"] == "1.0.0"


async def test_a_batch_of_a_hundred_is_one_call(stored, fleet):
    ids = [f"s{i}" for i in range(100)]
    for student in ids:
        await stored.put(f"/api/v1/students/{student}/features", json=FEATURES)
    body = (await stored.post("/api/v1/infer/batch", json={"student_ids": ids})).json()
    assert body["successful"] == 100
    ((application, rows, _, context),) = fleet.calls
    assert (application, len(rows), context.lane) == ("skills", 100, "bulk")
    assert len((await stored.get("/api/v1/metrics", params={"limit": 1000})).json()) == 100


async def test_a_batch_of_rows_needs_no_redis(client):
    rows = [{"features": FEATURES}, {"student_id": "x", "features": FEATURES}]
    body = (await client.post("/api/v1/infer/batch", json={"rows": rows})).json()
    assert [(r["student_id"], r["status"]) for r in body["results"]] == [(None, "success"), ("x", "success")]


async def test_a_batch_of_unknown_students_asks_no_model(stored, fleet):
    body = (await stored.post("/api/v1/infer/batch", json={"student_ids": ["a", "b"]})).json()
    assert (body["failed"], body["model_versions"]) == (2, {})
    assert fleet.calls == []


async def test_a_refused_batch_is_refused_as_a_whole(client, fleet):
    fleet.error = Overloaded(4)
    answer = await client.post("/api/v1/infer/batch", json={"rows": [{"features": FEATURES}]})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "4")


async def test_records_are_newest_first_and_summed_up(stored):
    for student in ("a", "b", "c"):
        await stored.post(f"/api/v1/infer/{student}/empathy", json={"features": FEATURES})
    answer = await stored.get("/api/v1/metrics", params={"limit": 2})
    assert [record["student_id"] for record in answer.json()] == ["c", "b"]
    assert set(answer.json()[0]) == {
        "student_id", "skill_type", "inference_time_ms", "success", "error_message", "timestamp",
    }  # fmt: skip
    assert answer.headers["x-source"] == "redis"
    summary = (await stored.get("/api/v1/metrics/summary")).json()
    assert (summary["total_inferences"], summary["success_rate"], summary["source"]) == (3, 1.0, "redis")
    assert 0 < summary["min_inference_time_ms"] <= summary["p95_inference_time_ms"] <= summary["max_inference_time_ms"]


def test_the_summary_counts_times_of_successes_only():
    records = [{"success": True, "inference_time_ms": float(ms)} for ms in range(1, 101)]
    records += [{"success": False, "inference_time_ms": 9999.0}] * 25
    summary = summarize(records)
    assert (summary["p95_inference_time_ms"], summary["max_inference_time_ms"]) == (95.0, 100.0)
    assert (summary["avg_inference_time_ms"], summary["success_rate"]) == (50.5, 0.8)
    assert summarize([])["success_rate"] == 0.0


async def test_only_the_last_records_are_kept(stored, monkeypatch):
    monkeypatch.setattr(state, "KEPT_RECORDS", 5)
    for i in range(8):
        await stored.post(f"/api/v1/infer/s{i}", json={"features": FEATURES})
    found = (await stored.get("/api/v1/metrics")).json()
    assert [record["student_id"] for record in found] == ["s7", "s6", "s5", "s4", "s3"]


async def test_erasing_takes_the_inference_records_of_that_student_only(stored, redis_server):
    await stored.put(f"{PATH}/features", json=FEATURES)
    for student in ("s1", "s10", "s1", "x.s1"):
        await stored.post(f"/api/v1/infer/{student}", json={"features": FEATURES})
    assert (await stored.delete(PATH)).json()["inference_records"] == 2
    left = (await stored.get("/api/v1/metrics")).json()
    assert [record["student_id"] for record in left] == ["x.s1", "s10"]
    assert b'"s1"' not in redis_server.command("ZRANGE", "muster:default:inferences", "0", "-1")


async def test_a_salt_is_the_tenants_own_and_stays(open_client, redis_server):
    async with (
        open_client(build_services(redis_url=redis_server.url)) as one,
        open_client(build_services(redis_url=redis_server.url)) as two,
    ):
        salt = await one.services.state.salt("north")
        assert len(salt) == 32
        assert await two.services.state.salt("north") == salt
        assert await two.services.state.salt("south") != salt
