"""``/v1/embeddings`` and ``/v1/models``: shapes, numbers, the openai SDK, disconnects."""

import asyncio
import base64
from dataclasses import replace

import httpx
import numpy as np
import openai
import pytest
from http_fakes import DIMENSIONS, FakeFleet, build_services, serving, vector

from deployments.call import ModelState
from deployments.errors import ContextLengthExceeded, InvalidInput
from serve_app.api.calls import while_connected

URL = "/v1/embeddings"


async def embed(client, **body):
    return await client.post(URL, json={"model": "embedding", **body})


async def test_floats_are_the_models_own(client):
    answer = await embed(client, input="one text")
    body = answer.json()
    assert answer.status_code == 200
    assert body["object"] == "list"
    assert np.array_equal(np.float32(body["data"][0]["embedding"]), vector("one text"))
    assert (body["model"], body["revision"], body["fallback"]) == ("minilm", "r" * 40, False)
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert body["truncated"] == []


async def test_base64_is_little_endian_float32(client):
    body = (await embed(client, input=["a", "b"], encoding_format="base64")).json()
    for item, text in zip(body["data"], "ab", strict=True):
        assert np.array_equal(np.frombuffer(base64.b64decode(item["embedding"]), "<f4"), vector(text))


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 130, 2048])
async def test_order_survives_the_encoding_in_parts(client, count, encoding):
    texts = [f"text {i}" for i in range(count)]
    body = (await embed(client, input=texts, encoding_format=encoding)).json()
    assert [item["index"] for item in body["data"]] == list(range(count))
    last = body["data"][-1]["embedding"]
    got = np.frombuffer(base64.b64decode(last), "<f4") if encoding == "base64" else np.float32(last)
    assert np.array_equal(got, vector(texts[-1]))


async def test_timing_is_in_the_headers(client):
    headers = (await embed(client, input="a")).headers
    names = ("x-queue-ms", "x-tokenize-ms", "x-compute-ms", "x-cache-hits")
    assert [headers[name] for name in names] == ["1.00", "2.00", "3.00", "0"]


@pytest.mark.parametrize("name", ["minilm", "sentence-transformers/all-MiniLM-L6-v2", "embedding"])
async def test_a_model_has_three_names(client, name):
    assert (await client.post(URL, json={"model": name, "input": "a"})).json()["model"] == "minilm"


async def test_options_and_context_reach_the_fleet(client, fleet):
    headers = {"X-Request-Id": "abc-1", "X-Deadline-Ms": "5000", "X-Lane": "bulk"}
    body = {
        "model": "minilm",
        "input": "a",
        "truncate": "window",
        "input_type": "query",
        "user": "u",
        "dimensions": 384,
    }
    answer = await client.post(URL, json=body, headers=headers)
    application, inputs, options, context = fleet.calls[0]
    assert (application, inputs, options) == ("minilm", ["a"], {"truncate": "window"})
    assert (context.request_id, context.tenant, context.lane) == ("abc-1", "default", "bulk")
    assert 4.0 < context.remaining() <= 5.0
    assert answer.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize(
    ("count", "asked", "lane"),
    [(1, None, "interactive"), (16, None, "interactive"), (17, None, "bulk"), (17, "interactive", "bulk")],
)
async def test_many_items_are_bulk(client, fleet, count, asked, lane):
    headers = {"X-Lane": asked} if asked else {}
    await client.post(URL, json={"model": "minilm", "input": ["a"] * count}, headers=headers)
    assert fleet.calls[0][3].lane == lane


async def test_truncation_is_reported(client, fleet):
    fleet.truncated = ({"index": 0, "tokens": 300, "kept": 256},)
    assert (await embed(client, input="a", truncate="end")).json()["truncated"] == [*fleet.truncated]


async def test_an_items_error_names_the_item(client, fleet):
    fleet.errors = {2: ContextLengthExceeded("too long", "input[0]")}
    error = (await embed(client, input=["a", "b", "c"])).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input[2]")
    fleet.errors = {0: InvalidInput("bad", "input[0]")}
    assert (await embed(client, input="a")).json()["error"]["param"] == "input"


async def test_models_are_listed_with_their_state(client, fleet):
    body = (await client.get("/v1/models")).json()
    assert [(card["id"], card["state"]) for card in body["data"]] == [
        ("minilm", "ready"),
        ("moods", "not_pulled"),
        ("entails", "not_pulled"),
        ("feels", "ready"),
        ("talker", "not_pulled"),
        ("murmur", "not_pulled"),
        ("digest", "not_pulled"),
        ("brief", "not_pulled"),
    ]
    assert [card["backend"] for card in body["data"]] == ["fake-minilm", None, None, "fake-minilm", *[None] * 4]
    fleet.known = {"minilm": ModelState("failed", "a file differs")}
    card = (await client.get("/v1/models/sentence-transformers/all-MiniLM-L6-v2")).json()
    assert (card["state"], card["reason"], card["dimensions"]) == ("failed", "a file differs", DIMENSIONS)
    assert card["roles"] == ["embedding"]


async def test_a_models_accuracy_gate_is_shown(client, fleet, open_client):
    assert (await client.get("/v1/models/minilm")).json()["accuracy_gate"] is None
    figures = {"precision": "int8", "metric": "spearman", "before": 0.867, "after": 0.866, "passed": True}
    services = replace(build_services(fleet), gate=lambda key, backend: {"minilm": figures}.get(key))
    async with open_client(services) as other:
        cards = {card["id"]: card for card in (await other.get("/v1/models")).json()["data"]}
    assert cards["minilm"]["accuracy_gate"] == figures
    assert cards["moods"]["accuracy_gate"] is None


async def test_a_client_that_leaves_cancels_the_call(fleet):
    fleet.delay_s = 30
    with serving(build_services(fleet)) as url:
        async with httpx.AsyncClient(base_url=url) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(URL, json={"model": "minilm", "input": "a"}, timeout=0.3)
        for _ in range(100):
            if fleet.cancelled:
                break
            await asyncio.sleep(0.02)
    assert fleet.cancelled == 1


async def test_a_cancellation_from_outside_stays_one():
    async def receive():
        await asyncio.sleep(60)

    task = asyncio.create_task(while_connected(receive, asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture(scope="module")
def server():
    with serving(build_services(FakeFleet())) as url:
        yield url


@pytest.mark.parametrize("text", ["one", ["one", "two"]])
@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_the_openai_sdk_works_unchanged(server, text, options):
    client = openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)
    answer = client.embeddings.create(model="embedding", input=text, **options)
    for item, expected in zip(answer.data, [text] if isinstance(text, str) else text, strict=True):
        value = item.embedding
        got = np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else np.float32(value)
        assert np.array_equal(got, vector(expected))
    assert answer.usage.total_tokens == answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_answered_over_a_real_connection(server, chunked):
    body = b'{"model":"minilm","input":"' + b"x" * (17 * 1024 * 1024) + b'"}'
    content = iter([body[: len(body) // 2], body[len(body) // 2 :]]) if chunked else body
    answer = httpx.post(f"{server}{URL}", content=content, headers={"Content-Type": "application/json"}, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_larger_than_16777216_bytes")
    assert httpx.get(f"{server}/health").status_code == 200


async def test_the_async_sdk_and_its_errors(server):
    client = openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)
    answer = await client.embeddings.create(model="minilm", input="one")
    assert len(answer.data[0].embedding) == DIMENSIONS
    assert [model.id async for model in client.models.list()] == [
        "minilm",
        "moods",
        "entails",
        "feels",
        "talker",
        "murmur",
        "digest",
        "brief",
    ]
    with pytest.raises(openai.NotFoundError) as missing:
        await client.embeddings.create(model="none-such", input="one")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as tokens:
        await client.embeddings.create(model="minilm", input=[1, 2, 3])
    assert tokens.value.param == "input[0]"
    assert "tokens" in tokens.value.message
