"""The watch on what is served: rows without names, the route, the gauges, and records of every inference."""

from types import SimpleNamespace

import httpx
import numpy as np
import orjson
import pytest
from http_fakes import build_services, serving

from deployments import served
from deployments.errors import InvalidInput, ModelNotReady
from deployments.skills.drift import reference, reference_bins
from deployments.skills.features import FEATURES, INDEX, SKILLS
from deployments.skills.synthetic import generate
from serve_app import drift_watch

TRAINED = generate(2000, 1)
MANIFEST = SimpleNamespace(
    version="1.0.0",
    drift=reference(TRAINED.base, 1),
    skills={skill: SimpleNamespace(estimates=reference_bins(TRAINED.targets[skill])) for skill in SKILLS},
)
DRIFT = "/api/v1/metrics/drift"
FEATURES_OF_ADA = {"linguistic": {"word_count": 120}, "behavioral": {"retry_count": 3}}


@pytest.fixture(autouse=True)
def manifest(monkeypatch):
    monkeypatch.setattr(drift_watch, "read_manifest", lambda folder, version: MANIFEST if version == "1.0.0" else None)


async def infer(client, rows, change=lambda base: None):
    """So many synthetic students, a hundred a request."""
    base = generate(rows, 7).base
    change(base)
    features = [
        {
            group: {
                f.name: float(v) for f, v in zip(FEATURES, row, strict=True) if f.group == group and not np.isnan(v)
            }
            for group in ("linguistic", "behavioral")
        }
        for row in base
    ]
    for start in range(0, rows, 100):
        body = {
            "rows": [{"student_id": f"s{i}", "features": one} for i, one in enumerate(features[start : start + 100])]
        }
        answer = await client.post("/api/v1/infer/batch", json=body)
        assert answer.json()["successful"] == len(body["rows"])


def minutes(base):
    base[:, INDEX["focus_duration"]] /= 60


async def test_nothing_served_is_nothing_judged(stored):
    body = (await stored.get(DRIFT)).json()
    assert (body["judged"], body["rows"], body["alarms"]) == (False, 0, [])
    assert "Nothing was inferred" in body["reason"]


async def test_drift_of_what_was_served(stored):
    await infer(stored, 400, minutes)
    body = (await stored.get(DRIFT)).json()
    assert (body["version"], body["rows"], body["judged"], body["reason"]) == ("1.0.0", 400, True, None)
    # The fake's estimates are no estimates at all: they drift too.
    assert [name for name in body["alarms"] if name not in SKILLS] == ["focus_duration"]
    assert body["features"]["focus_duration"]["shift"] == "major"
    assert set(body["features"]) == set(INDEX)


async def test_few_inferences_are_shown_and_not_judged(stored):
    await infer(stored, 100)
    body = (await stored.get(DRIFT)).json()
    assert (body["rows"], body["judged"], body["alarms"]) == (100, False, [])
    assert body["features"]["word_count"]["missing"] > 0


async def test_rows_have_no_names(stored, redis_server):
    await stored.post("/api/v1/infer/ada/empathy", json={"features": FEATURES_OF_ADA})
    row = redis_server.command("LINDEX", "muster:default:served", "0")
    assert b'["1.0.0",[null,' in row
    assert b"ada" not in row
    assert row.strip().endswith(b"[0.08,null,null,null]]")


async def test_the_window_is_bounded(stored, redis_server, monkeypatch):
    monkeypatch.setattr(served, "KEPT_RECORDS", 150)
    await infer(stored, 300)
    assert redis_server.command("LLEN", "muster:default:served") == b":150\r\n"


async def test_the_gauges_of_all_tenants(stored):
    await infer(stored, 400, minutes)
    await stored.services.drift.refresh()
    page = (await stored.get("/metrics")).text
    assert 'muster_drift_alarm{kind="feature",name="focus_duration",tenant="default"} 1.0' in page
    assert 'muster_drift_alarm{kind="feature",name="word_count",tenant="default"} 0.0' in page
    assert 'muster_drift_psi{kind="feature",name="word_count",tenant="default"}' in page
    assert 'muster_drift_psi{kind="estimate",name="empathy",tenant="default"}' in page
    assert 'muster_drift_rows{tenant="default"} 400.0' in page


async def test_a_window_is_compared_once(stored, monkeypatch):
    counted = []
    real = drift_watch.compare
    monkeypatch.setattr(drift_watch, "compare", lambda *args: counted.append(1) or real(*args))
    await infer(stored, 100)
    for _ in range(3):
        await stored.get(DRIFT)
    await infer(stored, 100, minutes)
    await stored.get(DRIFT)
    assert len(counted) == 2


async def test_the_same_student_again_is_a_row_more(stored):
    for _ in range(3):
        await stored.post("/api/v1/infer/ada", json={"features": FEATURES_OF_ADA})
        body = (await stored.get(DRIFT)).json()
    assert body["rows"] == 3


async def test_while_redis_is_away_rows_wait_in_memory(stored, redis_server):
    redis_server.kill()
    await infer(stored, 200)
    body = (await stored.get(DRIFT)).json()
    assert body["rows"] == 200
    redis_server.start()


async def test_memory_is_bounded(client):
    await infer(client, 1100)
    assert (await client.get(DRIFT)).json()["rows"] == 1000


async def records(client):
    found = (await client.get("/api/v1/metrics")).json()
    return [(one["student_id"], one["skill_type"], one["success"]) for one in found]


async def test_every_failure_is_recorded(stored, fleet):
    await stored.post("/api/v1/infer/nobody")
    fleet.error = ModelNotReady("skills")
    assert (await stored.post("/api/v1/infer/ada", json={"features": FEATURES_OF_ADA})).status_code == 503
    assert (await stored.post("/api/v1/infer/bob/empathy", json={"features": FEATURES_OF_ADA})).status_code == 503
    rows = [{"student_id": name, "features": FEATURES_OF_ADA} for name in ("cyd", "dan")]
    assert (await stored.post("/api/v1/infer/batch", json={"rows": rows})).status_code == 503
    fleet.error, fleet.errors = None, {0: InvalidInput("cannot be used")}
    assert (await stored.post("/api/v1/infer/eve", json={"features": FEATURES_OF_ADA})).status_code == 422
    fleet.errors = {}
    assert (await stored.post("/api/v1/infer/fay", json={"features": FEATURES_OF_ADA})).status_code == 200
    assert sorted(await records(stored)) == [
        ("ada", None, False), ("bob", "empathy", False), ("cyd", None, False), ("dan", None, False),
        ("eve", None, False), ("fay", None, True), ("nobody", None, False),
    ]  # fmt: skip
    summary = (await stored.get("/api/v1/metrics/summary")).json()
    assert (summary["total_inferences"], summary["failed_inferences"]) == (7, 6)
    assert (await stored.get(DRIFT)).json()["rows"] == 1


async def test_failures_are_recorded_while_redis_is_away(stored, redis_server):
    redis_server.kill()
    assert (await stored.post("/api/v1/infer/ada")).status_code == 503
    assert (await stored.post("/api/v1/infer/batch", json={"student_ids": ["bob", "cyd"]})).status_code == 503
    assert sorted(await records(stored)) == [("ada", None, False), ("bob", None, False), ("cyd", None, False)]
    redis_server.start()


async def test_what_was_no_inference_is_not_recorded(stored):
    await stored.post("/api/v1/infer/ada", json={"features": {"linguistic": {"word_count": -1}}})
    await stored.post("/api/v1/infer/ada/juggling", json={"features": FEATURES_OF_ADA})
    await stored.post("/api/v1/infer/batch", json={"student_ids": []})
    assert await records(stored) == []


async def test_keys_tell_whose_drift_it_is(open_client, redis_server, tmp_path):
    from serve_app.auth import append_key, create_key

    keys = tmp_path / "keys.jsonl"
    north, line = create_key("north", ("infer",))
    south, other = create_key("south", ("admin",))
    append_key(keys, line)
    append_key(keys, other)
    async with open_client(build_services(None, redis_server.url, keys=keys)) as client:
        client.headers["authorization"] = f"Bearer {north}"
        await infer(client, 200)
        assert (await client.get(DRIFT)).json()["rows"] == 200
        client.headers["authorization"] = f"Bearer {south}"
        assert (await client.get(DRIFT)).json()["rows"] == 0
        await client.services.drift.refresh()
        page = (await client.get("/metrics")).text
    assert 'muster_drift_rows{tenant="north"} 200.0' in page
    assert 'tenant="south"' not in page


async def test_tensors_are_recorded_without_a_student(stored, fleet):
    values = [float("nan")] * len(FEATURES) * 2
    values[INDEX["word_count"]] = values[len(FEATURES) + INDEX["word_count"]] = 50.0
    tensor = {"name": "features", "shape": [2, len(FEATURES)], "datatype": "FP32"}
    data = np.array(values, np.float32).tobytes()
    head = orjson.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]})
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    assert (await stored.post("/v2/models/empathy/infer", content=head + data, headers=headers)).status_code == 200
    fleet.error = ModelNotReady("skills")
    assert (await stored.post("/v2/models/empathy/infer", content=head + data, headers=headers)).status_code == 503
    assert await records(stored) == [(None, "empathy", False)] * 2 + [(None, "empathy", True)] * 2
    assert (await stored.get(DRIFT)).json()["rows"] == 2


def test_the_command_shows_the_drift(redis_server):
    from typer.testing import CliRunner

    from serve_app.cli.main import app

    with serving(build_services(None, redis_server.url)) as url:
        httpx.post(f"{url}/api/v1/infer/ada", json={"features": FEATURES_OF_ADA})
        done = CliRunner().invoke(app, ["skills", "drift", "--url", url])
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert lines[0].split() == [
            "name",
            "shift",
            "alarm",
            *["psi", "missing_psi", "missing", "missing_expected", "ks", "ks_p"],
        ]
        assert len(lines) == 1 + len(FEATURES) + len(SKILLS)
        assert "1 inferences against 1.0.0: 0 alarms." in done.stderr
        body = CliRunner().invoke(app, ["skills", "drift", "--json", "--url", url]).stdout
        assert orjson.loads(body)["version"] == "1.0.0"
