"""A marked text goes in by every door; it may come out by none but the answer that is meant to carry it."""

import json
import logging

import pytest
from http_fakes import build_services

from deployments.errors import EngineFault

MARK = "XmarkedTextX"
JSON = {"content-type": "application/json"}
EVENT = {
    "event_id": "0" * 31 + "1",
    "student_id": "s1",
    "session_id": "g",
    "event_type": "pause",
    "timestamp": "2026-11-01T00:00:00Z",
}
DOORS = [
    ("POST", "/v1/embeddings", {"model": "minilm", "input": MARK}),
    ("POST", "/v1/embeddings", {"model": "minilm", "input": [MARK, 7]}),
    ("POST", "/v1/embeddings", {"model": "minilm", "input": f"{MARK}\x00"}),
    ("POST", "/v1/embeddings", {"model": "minilm", "input": MARK, "truncate": MARK}),
    ("POST", "/v1/embeddings", {"model": "minilm", "input": MARK, "encoding_format": MARK}),
    ("POST", "/v1/embeddings", {"model": "minilm", "input": MARK, "dimensions": MARK}),
    ("POST", "/v1/embeddings", {"model": f"a sentence with {MARK}", "input": MARK}),
    ("POST", "/v1/embeddings", {"model": "minilm", "input": MARK, "user": MARK * 100}),
    ("POST", "/v1/completions", {"model": "talker", "prompt": [MARK, MARK]}),
    ("POST", "/v1/completions", {"model": "talker", "prompt": MARK, "suffix": MARK}),
    ("POST", "/v1/completions", {"model": "talker", "prompt": MARK, "stop": [MARK, ""]}),
    ("POST", "/v1/chat/completions", {"model": "talker", "messages": [{"role": MARK, "content": MARK}]}),
    ("POST", "/v1/chat/completions", {"model": "talker", "messages": [{"role": "user", "content": [MARK]}]}),
    ("POST", "/v1/chat/completions", {"model": "talker", "messages": [{"role": "user", "content": f"{MARK}\x00"}]}),
    ("POST", "/v1/summarize", {"input": [MARK, 7]}),
    ("POST", "/api/v1/infer/s1", {"features": {"linguistic": {"word_count": MARK}}}),
    ("POST", "/api/v1/infer/s1", {"features": MARK}),
    ("POST", "/api/v1/infer/batch", {"student_ids": [f"{MARK} "]}),
    ("POST", "/api/v1/infer/batch", {"rows": [{"student_id": f"{MARK} ", "features": {}}]}),
    ("PUT", "/api/v1/students/s1/features", {"linguistic": {"word_count": MARK}}),
    ("PUT", "/api/v1/students/s1/features", MARK),
    ("POST", "/api/v1/students/s1/transcripts", {"texts": [f"My name is {MARK}.", MARK]}),
    ("POST", "/api/v1/students/s1/transcripts", {"texts": [MARK, 7]}),
    ("POST", "/api/v1/students/s1/transcripts", {"texts": [f"{MARK}\x00"]}),
    ("POST", "/api/v1/telemetry/events", {"event_id": MARK, "student_id": "s1"}),
    ("POST", "/api/v1/telemetry/batch", {"events": [EVENT | {"data": {"note": MARK}}]}),
    ("POST", "/api/v1/telemetry/batch", {"events": [EVENT | {"event_type": MARK}]}),
    ("POST", "/api/v1/telemetry/batch", {"events": [EVENT | {"event_type": MARK.lower(), "event_id": "0" * 31 + "2"}]}),
    ("GET", f"/api/v1/students/{MARK}/features", None),
    ("POST", f"/api/v1/infer/s1/{MARK}", None),
    ("GET", f"/api/v1/metrics?limit={MARK}", None),
    ("GET", f"/none/{MARK}?x={MARK}", None),
    ("POST", f"/v1/embeddings?{MARK}", MARK),
]


@pytest.mark.parametrize("failure", [None, ValueError(f"failed on {MARK}"), EngineFault(f"wrong at {MARK}")])
async def test_a_marked_text_stays_where_it_belongs(open_client, redis_server, fleet, tmp_path, caplog, capfd, failure):
    caplog.set_level(logging.DEBUG)
    log = tmp_path / "access.log"
    fleet.error = failure
    async with open_client(build_services(fleet, redis_server.url, log=log)) as client:
        for method, path, body in DOORS:
            headers = {"X-Request-Id": f"{MARK} ", "X-Session-Id": MARK, "User-Agent": MARK, "Referer": MARK}
            answer = await client.request(method, path, json=body, headers=headers)
            assert MARK not in answer.text, (method, path, answer.text)
            assert MARK not in str(answer.headers)
        broken = await client.post("/v1/embeddings", content=f'{{"input":"{MARK}'.encode(), headers=JSON)
        assert MARK not in broken.text
        assert MARK not in (await client.get("/metrics")).text
        assert MARK not in (await client.get("/health/detailed")).text
        assert MARK not in (await client.get("/api/v1/metrics")).text
    out, err = capfd.readouterr()
    ours = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))
    )
    for sink in (log.read_text(), out, err, ours):
        assert MARK not in sink
    keys = redis_server.command("KEYS", "*").decode()
    assert MARK not in keys
    assert len(log.read_text().splitlines()) == len(DOORS) + 4


async def test_a_defect_is_logged_by_type_and_place(client, fleet, caplog):
    fleet.error = ValueError(MARK)
    answer = await client.post("/v1/embeddings", json={"model": "minilm", "input": "a"})
    assert answer.status_code == 500
    (record,) = [record for record in caplog.records if record.name == "ray.serve.muster"]
    assert "ValueError at http_fakes.py" in record.getMessage()
    assert answer.json()["error"]["request_id"] in record.getMessage()
    assert "Traceback" not in json.dumps(answer.json())
