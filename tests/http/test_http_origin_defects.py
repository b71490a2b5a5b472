"""Defects of the product's predecessor that show over HTTP (section 1.5 of the facts that Muster was built from)."""

import asyncio
import json
import sys
from pathlib import Path

FEATURES = {"linguistic": {"word_count": 120, "empathy_markers": 0.2}, "behavioral": {"retry_count": 3}}
sys.path.append(str(Path(__file__).parents[1] / "unit"))


async def test_1_5_infer_batch_was_swallowed_by_infer_student_id(client, fleet):
    answer = await client.post("/api/v1/infer/batch", json={"rows": [{"features": FEATURES}]})
    assert answer.json()["total_students"] == 1
    assert (await client.post("/api/v1/infer/batch", json={"features": FEATURES})).status_code == 422


async def test_1_5_the_fusion_router_was_never_mounted(client):
    assert (await client.get("/api/v1/fusion/weights")).status_code == 200
    assert (await client.post("/api/v1/fusion/weights/reload")).json()["error"]["param"] == "MUSTER_FUSION_WEIGHTS"


async def test_1_5_weights_that_were_put_never_reached_the_models(client, fleet):
    weights = {
        "ml_inference": 0.1,
        "linguistic_features": 0.4,
        "behavioral_features": 0.4,
        "confidence_adjustment": 0.1,
    }
    await client.put("/api/v1/fusion/weights/resilience", json=weights)
    await client.post("/api/v1/infer/s1", json={"features": FEATURES})
    assert fleet.calls[-1][2]["weights"]["skills"]["resilience"] == list(weights.values())


async def test_1_5_a_refused_weight_was_a_400_without_the_field(client):
    answer = await client.put("/api/v1/fusion/weights/empathy", json={"ml_inference": 1})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "weights")


async def test_1_5_queries_at_the_same_time_broke_the_shared_session(stored):
    for i in range(8):
        await stored.put(f"/api/v1/students/s{i}/features", json=FEATURES)
    answers = await asyncio.gather(*(stored.post(f"/api/v1/infer/s{i % 8}") for i in range(40)))
    assert {answer.status_code for answer in answers} == {200}


def test_1_5_a_batch_is_one_model_call_a_skill(monkeypatch):
    """The predecessor asked for each student and skill by itself: 5 to 6 students a second."""
    from trained_skills import engine, fresh_students

    from deployments.skills.loaded import LoadedBundle

    loaded, rows = engine(), fresh_students()[1][:100]
    calls, real = [], LoadedBundle.predict

    def counted(self, skill, base, features):
        calls.append((skill, len(base)))
        return real(self, skill, base, features)

    monkeypatch.setattr(LoadedBundle, "predict", counted)
    found = loaded.run(loaded.prepare(rows, {}))
    assert sorted(calls) == [("empathy", 100), ("problem_solving", 100), ("resilience", 100), ("self_regulation", 100)]
    assert len(found) == 100
    json.dumps(found[0]["empathy"].shap)
