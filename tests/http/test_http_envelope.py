"""What surrounds every request: bounded bodies, media types, ids, deadlines, odd headers, the access log."""

import asyncio
import json
import time

import pytest
from http_fakes import build_services

from deployments.errors import Overloaded
from serve_app.admission import BodyBudget
from serve_app.api.app import create_app
from serve_app.settings import MIB

EMBED = "/v1/embeddings"
BODY = json.dumps({"model": "minilm", "input": "a"}).encode()
JSON = {"content-type": "application/json"}


async def raw(app, headers, body=BODY, method="POST", path=EMBED, chunks=None):
    """One request as bare ASGI, with any bytes as headers; returns status, headers and body."""
    parts = [body] if chunks is None else [*chunks]
    sent = []

    async def receive():
        if parts:
            chunk = parts.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(parts)}
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 9),
    }
    await app(scope, receive, send)
    start = sent[0]
    return start["status"], dict(start["headers"]), b"".join(m.get("body", b"") for m in sent[1:])


HOST, KIND = (b"host", b"localhost"), (b"content-type", b"application/json")


@pytest.fixture
def app(fleet):
    return create_app(build_services(fleet))


NAMES = b"x-request-id x-deadline-ms x-lane origin authorization x-session-id x-request-timeout-seconds content-type"


@pytest.mark.parametrize(
    "name", [*NAMES.split(), b"content-length", b"content-encoding", b"host", b"cookie", b"accept"]
)
@pytest.mark.parametrize("value", [b"\xff\xfe\x00", b"", b"\xc3\x28", b"9" * 10_000, b"a, b", b"-1", b"nan"])
async def test_no_header_value_breaks_the_server(app, name, value):
    headers = [header for header in (HOST, KIND) if header[0] != name]
    status, answered, body = await raw(app, [*headers, (name, value)])
    assert status < 500
    assert body
    assert answered[b"x-request-id"]


async def test_headers_that_steer_serve_go_no_further(fleet):
    seen = []
    app = create_app(build_services(fleet))
    inner = app.router.app if hasattr(app.router, "app") else app.router

    async def spy(scope, receive, send):
        seen.extend(name for name, _ in scope["headers"])
        await inner(scope, receive, send)

    app.router = spy
    steering = [
        (b"x-request-timeout-seconds", b"0"),
        (b"x_request_timeout_seconds", b"0"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"serve-multiplexed-model-id", b"m"),
        (b"serve_multiplexed_model_id", b"m"),
        (b"x-session-id", b"\xff"),
    ]
    status, _, _ = await raw(app, [HOST, KIND, *steering])
    assert status == 200
    assert seen == [b"host", b"content-type"]


async def test_the_deadline_holds_whatever_serve_is_told(app, fleet):
    fleet.delay_s = 30
    headers = [HOST, KIND, (b"x-deadline-ms", b"100"), (b"x-request-timeout-seconds", b"inf")]
    started = time.monotonic()
    status, answered, body = await raw(app, headers)
    assert (status, json.loads(body)["error"]["code"]) == (504, "deadline_exceeded")
    assert answered[b"x-should-retry"] == b"false"
    assert time.monotonic() - started < 0.35
    assert fleet.cancelled == 1


async def test_a_body_that_never_ends_meets_the_deadline(app):
    async def receive():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": EMBED, "query_string": b"", "http_version": "1.1"}
    headers = [HOST, KIND, (b"x-deadline-ms", b"150")]
    await app({**scope, "headers": headers, "root_path": "", "scheme": "http"}, receive, send)
    assert sent[0]["status"] == 504


@pytest.mark.parametrize("value", ["0", "300001", "-5", "1.5", "abc", "nan", "", "1e3", "٣", " 5"])
async def test_bad_deadlines(app, value):
    status, _, body = await raw(app, [HOST, KIND, (b"x-deadline-ms", value.encode())])
    assert (status, json.loads(body)["error"]["param"]) == (400, "X-Deadline-Ms")


async def test_a_bad_lane(client):
    on_v1 = await client.post(EMBED, content=BODY, headers={**JSON, "X-Lane": "fast"})
    on_api = await client.get("/api/v1/metrics", headers={"X-Lane": "fast"})
    assert (on_v1.status_code, on_api.status_code) == (400, 422)
    assert on_v1.json()["error"]["param"] == on_api.json()["error"]["param"] == "X-Lane"


@pytest.mark.parametrize("token", ["abc", "A.b_c-9", "x" * 64])
async def test_a_short_token_is_taken_as_request_id(client, token):
    assert (await client.get("/health", headers={"X-Request-Id": token})).headers["x-request-id"] == token


@pytest.mark.parametrize("token", ["", "a b", "x" * 65, "a\tb", "<b>", "a,b"])
async def test_anything_else_is_replaced(client, token):
    got = (await client.get("/health", headers={"X-Request-Id": token})).headers["x-request-id"]
    assert got.startswith("req_")
    assert got != (await client.get("/health")).headers["x-request-id"]


async def test_every_answer_is_plain_and_not_kept(client):
    for path in ("/health", "/v1/models", "/none", "/docs"):
        headers = (await client.get(path)).headers
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


async def test_a_declared_body_over_the_limit_is_not_read(app):
    length = (b"content-length", str(16 * MIB + 1).encode())
    status, _, body = await raw(app, [HOST, KIND, length], chunks=[b"x"])
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_larger_than_16777216_bytes")
    huge, _, _ = await raw(app, [HOST, KIND, (b"content-length", b"9" * 4000)], chunks=[b"x"])
    assert huge == 413


async def test_a_streamed_body_over_the_limit_is_cut_off(fleet):
    app = create_app(build_services(fleet, max_body_bytes=2048))
    chunks = (b"x" * 1000 for _ in range(1000))
    status, _, body = await raw(app, [HOST, KIND], chunks=chunks)
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_larger_than_2048_bytes")


async def test_a_body_of_exactly_the_limit_is_read(fleet):
    app = create_app(build_services(fleet, max_body_bytes=2048))
    for extra, expected in ((0, 200), (1, 413)):
        body = BODY + b" " * (2048 - len(BODY) + extra)
        status, _, _ = await raw(app, [HOST, KIND, (b"content-length", str(len(body)).encode())], body)
        assert status == expected


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "Application/JSON"}, 200),
        ({"content-type": "application/json", "content-encoding": "identity"}, 200),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({}, 415),
    ],
)
async def test_media_types(app, headers, status):
    pairs = [HOST, *((name.encode(), value.encode()) for name, value in headers.items())]
    assert (await raw(app, pairs))[0] == status


async def test_no_body_needs_no_media_type(stored):
    assert (await stored.post("/api/v1/infer/s1")).status_code == 404


async def test_bodies_in_flight_are_bounded(fleet):
    fleet.delay_s = 0.2
    app = create_app(build_services(fleet, max_inflight_bytes=MIB))
    big = json.dumps({"model": "minilm", "input": "x" * 600_000}).encode()
    first, second = await asyncio.gather(raw(app, [HOST, KIND], big), raw(app, [HOST, KIND], big))
    assert sorted([first[0], second[0]]) == [200, 429]
    refused = first if first[0] == 429 else second
    assert int(refused[1][b"retry-after"]) >= 1
    assert (await raw(app, [HOST, KIND], big))[0] == 200


def test_the_budget_computes_when_to_come_back():
    budget = BodyBudget(1000)
    budget.take(5000, 0)
    with pytest.raises(Overloaded) as refused:
        budget.take(1000, 0)
    assert 1 <= refused.value.retry_after_s <= 60
    budget.release(5000)
    budget.take(1000, 0)
    assert budget.held == 1000


async def test_websockets_are_closed(app):
    sent = []

    async def send(message):
        sent.append(message)

    await app({"type": "websocket", "path": "/v1/embeddings", "headers": []}, None, send)
    assert sent == [{"type": "websocket.close", "code": 1003}]


async def test_the_access_log_has_templates_and_no_content(open_client, tmp_path, fleet):
    path = tmp_path / "access.log"
    async with open_client(build_services(fleet, log=path)) as client:
        await client.get("/api/v1/students/jane-doe/features?secret=1", headers={"X-Request-Id": "r1"})
        await client.get("/none/jane-doe")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/api/v1/students/{student_id}/features", 503),
        ("unmatched", 404),
    ]
    assert lines[0]["request_id"] == "r1"
    assert set(lines[0]) == {"time", "method", "route", "status", "ms", "request_id", "tenant"}
    assert "jane" not in path.read_text()


async def test_the_docs_page_needs_nothing_from_elsewhere(client):
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "/api/v1/infer/batch" in page.text
    assert "http://" not in page.text.replace("http://localhost", "")
    assert "https://" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


async def test_an_answer_that_breaks_off_is_cut(fleet):
    app = create_app(build_services(fleet))

    async def broken():
        from starlette.responses import StreamingResponse

        async def parts():
            yield b"half"
            raise ValueError("secret words")

        return StreamingResponse(parts())

    app.add_api_route("/broken", broken)
    with pytest.raises(ConnectionAbortedError):
        await raw(app, [HOST], b"", "GET", "/broken")
