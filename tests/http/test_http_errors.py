"""The error table line by line, and the errors of every kind of bad input."""

import math
import pickle

import pytest
from http_fakes import FakeFleet, build_services
from starlette.exceptions import HTTPException

from deployments import errors as middle
from model_store import errors as ground
from serve_app import errors as top
from serve_app.api.errors import TABLE, responses

EMBED, INFER = "/v1/embeddings", "/api/v1/infer/s1"
FEATURES = {"features": {"linguistic": {"word_count": 10}}}
JSON = {"content-type": "application/json"}


def shaped(answer):
    """The error of an answer, after checking its shape."""
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "code", "param", "request_id"}
    assert error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


LINES = [
    (top.MalformedBody("no JSON"), 400, 400, "invalid_json", None),
    (middle.ContextLengthExceeded("long", "input"), 400, 400, "context_length_exceeded", None),
    (middle.InvalidInput("bad", "x"), 400, 422, "invalid_value", None),
    (middle.PoisonousItem(), 400, 422, "poisonous_item", None),
    (top.Unauthenticated(), 401, 401, "invalid_api_key", None),
    (top.OriginRefused("no"), 403, 403, "origin_refused", None),
    (top.Forbidden("no"), 403, 403, "insufficient_scope", None),
    (ground.UnknownModel("x", ("y",)), 404, 404, "model_not_found", None),
    (top.UnknownJournal(), 404, 404, "journal_not_found", None),
    (top.UnknownReport(), 404, 404, "report_not_found", None),
    (top.UnknownStudent(), 404, 404, "student_not_found", None),
    (top.UnknownSkill(("empathy",)), 404, 404, "skill_not_found", None),
    (top.NotFound("no"), 404, 404, "not_found", None),
    (top.BodyTooLarge(99), 413, 413, "body_larger_than_99_bytes", None),
    (top.UnsupportedMedia("no"), 415, 415, "unsupported_media_type", None),
    (middle.Overloaded(12.3), 429, 429, "overloaded", 13),
    (middle.Cancelled(), 499, 499, "client_closed_request", None),
    (top.RemoteFailed("m", "it fails"), 502, 502, "remote_failed", None),
    (middle.ModelNotReady("m", "loading", 7), 503, 503, "model_not_ready", 7),
    (ground.ModelNotPulled("m"), 503, 503, "model_not_pulled", 60),
    (ground.TamperedModel("m", "f", "differs"), 503, 503, "model_refused", 60),
    (ground.UntrustedArtefact("config.json", "it is missing"), 503, 503, "model_refused", 60),
    (middle.DoesNotFit("m", 2, 1), 503, 503, "model_refused", 60),
    (middle.OutOfMemory(), 503, 503, "out_of_memory", 5),
    (ground.SourceUnavailable("gone"), 503, 503, "source_unavailable", 60),
    (ground.StoreBusy("busy"), 503, 503, "store_busy", 5),
    (middle.StateUnavailable(retry_after_s=0.1), 503, 503, "state_unavailable", 1),
    (middle.DeadlineExceeded(), 504, 504, "deadline_exceeded", None),
    (middle.EngineFault("count"), 500, 500, "internal_error", None),
    (ground.CatalogueError("wrong"), 500, 500, "internal_error", None),
    (ground.ConversionFailed("wrong"), 500, 500, "internal_error", None),
    (ValueError("secret words"), 500, 500, "internal_error", None),
]


@pytest.mark.parametrize(("error", "on_v1", "on_api", "code", "retry"), LINES, ids=lambda value: type(value).__name__)
async def test_every_line_of_the_table(client, fleet, error, on_v1, on_api, code, retry):
    fleet.error = error
    for answer, status in (
        (await client.post(EMBED, json={"model": "minilm", "input": "a"}), on_v1),
        (await client.post(INFER, json=FEATURES), on_api),
    ):
        told = shaped(answer)
        assert (answer.status_code, told["code"]) == (status, code)
        assert answer.headers.get("retry-after") == (str(retry) if retry else None)
        assert answer.headers.get("x-should-retry") == ("false" if status == 504 else None)
        assert status != 500 or told["message"].startswith("Something broke")


def test_the_table_is_tested_completely():
    tested = {type(line[0]) for line in LINES}
    assert {error for error in TABLE if error.__module__ != "starlette.requests"} - tested == {ground.MusterError}


@pytest.mark.parametrize("error", [line[0] for line in LINES if isinstance(line[0], ground.MusterError)])
def test_errors_survive_pickling(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


class _RayTaskError(Exception):
    """What Ray makes of an error in a replica: its text is a traceback."""

    def __init__(self, cause):
        super().__init__("\x1b[36mray::f()\x1b[39m (pid=1, ip=10.0.0.7)\n  File '/home/secret.py', line 3")
        self.cause = cause


@pytest.mark.parametrize(
    ("cause", "status"),
    [(middle.Overloaded(3.0), 429), (middle.InvalidInput("bad", "x"), 400), (KeyError("secret"), 500)],
)
async def test_a_wrapped_error_shows_its_cause_only(client, fleet, cause, status):
    dual = type("RayTaskError(X)", (_RayTaskError, type(cause)), {"__str__": Exception.__str__})
    fleet.error = dual(cause)
    answer = await client.post(EMBED, json={"model": "minilm", "input": "a"})
    assert answer.status_code == status
    assert "secret" not in answer.text
    assert "10.0.0.7" not in answer.text
    assert status != 429 or answer.headers["retry-after"] == "3"


async def test_unknown_routes_and_methods_have_the_same_shape(client):
    missing, wrong = await client.get("/v1/none"), await client.get(EMBED)
    assert (missing.status_code, shaped(missing)["code"]) == (404, "route_not_found")
    assert (wrong.status_code, shaped(wrong)["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_an_http_exception_of_a_library_has_the_same_shape(client, fleet):
    fleet.error = HTTPException(418, "echo of secret words")
    answer = await client.post(EMBED, json={"model": "minilm", "input": "a"})
    assert (answer.status_code, shaped(answer)["code"]) == (418, "http_error")
    assert "secret" not in answer.text


BAD_EMBEDDINGS = [
    (b"", 400, "body"),
    (b"{", 400, None),
    (b"\xff\xfe", 400, None),
    (b'{"model":"minilm","input":"\xff"}', 400, None),
    (b'{"model":"minilm","input":"\\ud800"}', 400, None),
    (b'{"model":"minilm","input":"a\x00b"}', 400, None),
    (b'{"model":"minilm","input":"a\\u0000b"}', 400, "input"),
    (b'{"model":"minilm","input":["a","\\u0000"]}', 400, "input[1]"),
    (b'{"model":"minilm","input":NaN}', 400, None),
    (b"[" * 100_000, 400, None),
    (b'"text"', 400, "body"),
    (b'{"model":"minilm"}', 400, "input"),
    (b'{"input":"a"}', 400, "model"),
    (b'{"model":7,"input":"a"}', 400, "model"),
    (b'{"model":"minilm","input":7}', 400, "input"),
    (b'{"model":"minilm","input":null}', 400, "input"),
    (b'{"model":"minilm","input":[]}', 400, "input"),
    (b'{"model":"minilm","input":[[1,2]]}', 400, "input[0]"),
    (b'{"model":"minilm","input":["a",true]}', 400, "input[1]"),
    (b'{"model":"minilm","input":"a","surprise":1}', 400, "surprise"),
    (b'{"model":"minilm","input":"a","a key with spaces":1}', 400, "a?key?with?spaces"),
    (b'{"model":"minilm","input":"a","dimensions":12}', 400, "dimensions"),
    (b'{"model":"minilm","input":"a","dimensions":"384"}', 400, "dimensions"),
    (b'{"model":"minilm","input":"a","dimensions":1e999}', 400, None),
    (b'{"model":"minilm","input":"a","encoding_format":"hex"}', 400, "encoding_format"),
    (b'{"model":"minilm","input":"a","truncate":"middle"}', 400, "truncate"),
    (b'{"model":"minilm","input":"a","input_type":"title"}', 400, "input_type"),
    (b'{"model":"moods","input":"a"}', 400, "model"),
    (b'{"model":"none","input":"a"}', 404, "model"),
    (b'{"model":"","input":"a"}', 404, "model"),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("body", "status", "param"), BAD_EMBEDDINGS, ids=lambda value: str(value)[:40])
async def test_bad_embedding_requests(lasting, body, status, param):
    answer = await lasting.post(EMBED, content=body, headers=JSON)
    error = shaped(answer)
    assert (answer.status_code, error["param"]) == (status, param)
    assert error["type"] == ("not_found_error" if status == 404 else "invalid_request_error")
    assert lasting.services.fleet.calls == []


async def test_too_many_and_too_long_texts(client, fleet):
    many = await client.post(EMBED, json={"model": "minilm", "input": ["a"] * 2049})
    assert (many.status_code, shaped(many)["param"]) == (400, "input")
    assert "2049" in shaped(many)["message"]
    long = await client.post(EMBED, json={"model": "minilm", "input": ["a", "x" * 5_000_000]})
    assert (long.status_code, shaped(long)["code"], shaped(long)["param"]) == (
        400,
        "context_length_exceeded",
        "input[1]",
    )
    assert fleet.calls == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
async def test_a_model_that_answers_no_numbers_is_our_fault(client, fleet, monkeypatch, value):
    monkeypatch.setattr("http_fakes.vector", lambda text: [value] * 384)
    answer = await client.post(EMBED, json={"model": "minilm", "input": "a"})
    assert (answer.status_code, shaped(answer)["code"]) == (500, "internal_error")


BAD_INFERENCES = [
    ({"features": {"linguistic": {"word_count": "many"}}}, "features.linguistic.word_count"),
    ({"features": {"linguistic": {"word_count": -1}}}, "features.linguistic.word_count"),
    ({"features": {"linguistic": {"word_count": True}}}, "features.linguistic.word_count"),
    ({"features": {"linguistic": {"charm": 1}}}, "features.linguistic.charm"),
    ({"features": {"linguistic": [1] * 16}}, "features.linguistic"),
    ({"features": [0.0] * 26}, "features"),
    ({"features": {}}, "features"),
    ({"features": {"other": {}}}, "features.other"),
    ({"surprise": 1}, "surprise"),
    ([], "body"),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("body", "param"), BAD_INFERENCES, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("path", [INFER, f"{INFER}/empathy"])
async def test_bad_inference_requests(lasting, path, body, param):
    answer = await lasting.post(path, json=body)
    assert (answer.status_code, shaped(answer)["param"]) == (422, param)
    assert lasting.services.fleet.calls == []


BAD_BATCHES = [
    ({}, "student_ids"),
    ({"student_ids": []}, "student_ids"),
    ({"student_ids": ["a"] * 101}, "student_ids"),
    ({"student_ids": ["a", "b/c"]}, "student_ids[1]"),
    ({"student_ids": ["batch"]}, "student_ids[0]"),
    ({"student_ids": ["a"], "rows": [FEATURES]}, "student_ids"),
    ({"student_ids": [7]}, "student_ids[0]"),
    ({"rows": [FEATURES, {"features": {"linguistic": {"word_count": -1}}}]}, "rows[1].features.linguistic.word_count"),
    ({"rows": [{"student_id": "a b", **FEATURES}]}, "rows[0].student_id"),
    ({"rows": [{}]}, "rows[0].features"),
]


@pytest.mark.parametrize(("body", "param"), BAD_BATCHES, ids=lambda value: str(value)[:50])
async def test_bad_batches(stored, fleet, body, param):
    answer = await stored.post("/api/v1/infer/batch", json=body)
    assert (answer.status_code, shaped(answer)["param"]) == (422, param)
    assert fleet.calls == []


@pytest.mark.parametrize("student", ["-a", "a%20b", "a%00", "%ff", "a" * 129, "batch", "a%0a", "%E2%80%AE"])
async def test_bad_student_ids(stored, student):
    path = f"/api/v1/students/{student}"
    for answer in (
        await stored.put(f"{path}/features", json=FEATURES["features"]),
        await stored.get(f"{path}/features"),
        await stored.delete(path),
        await stored.post(f"/api/v1/infer/{student}/empathy", json=FEATURES),
    ):
        assert (answer.status_code, shaped(answer)["param"]) == (422, "student_id")


@pytest.mark.parametrize("limit", ["0", "10001", "x", "1e3", "nan", ""])
async def test_bad_limits(client, limit):
    answer = await client.get("/api/v1/metrics", params={"limit": limit})
    assert (answer.status_code, shaped(answer)["param"]) == (422, "limit")


async def test_an_unknown_skill_is_not_found(client):
    answer = await client.post(f"{INFER}/magic", json=FEATURES)
    assert (answer.status_code, shaped(answer)["code"]) == (404, "skill_not_found")
    assert "empathy" in shaped(answer)["message"]


async def test_openapi_tells_the_table(open_client):
    async with open_client(build_services(FakeFleet())) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/embeddings"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("EmbeddingRequest")
    assert "EmbeddingRequest" in document["components"]["schemas"]
    assert {str(status) for status in responses("/v1/")} <= set(operation["responses"])
    assert "422" not in operation["responses"]
    assert "state_unavailable" in operation["responses"]["503"]["description"]
    infer = document["paths"]["/api/v1/infer/{student_id}"]["post"]["responses"]
    assert "invalid_value" in infer["422"]["description"]
    assert list(document["paths"]).index("/api/v1/infer/batch") < list(document["paths"]).index(
        "/api/v1/infer/{student_id}"
    )
