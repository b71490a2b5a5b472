"""Streams with the real openai SDK, and clients that leave in the middle."""

import asyncio
import itertools

import httpx
import openai
import pytest
from http_fakes import FakeFleet, build_services, serving

from deployments.call import ModelState
from deployments.errors import ModelNotReady
from serve_app.api.app import create_app

HELLO = [{"role": "user", "content": "hello you there"}]
LONG = [{"role": "user", "content": "word " * 100_000}]


def speaking_fleet():
    fleet = FakeFleet()
    fleet.known = {name: ModelState("ready", None, 1) for name in ("minilm", "talker", "murmur", "digest", "brief")}
    return fleet


@pytest.fixture(scope="module")
def server():
    fleet = speaking_fleet()
    with serving(build_services(fleet)) as url:
        yield url, fleet


@pytest.fixture
def sdk(server):
    with openai.OpenAI(base_url=f"{server[0]}/v1", api_key="none", max_retries=0) as client:
        yield client


async def all_closed(fleet):
    for _ in range(500):
        if not fleet.open:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{fleet.open} generations go on")


def test_the_sdk_chats(sdk):
    answer = sdk.chat.completions.create(model="chat", messages=HELLO, max_tokens=2, temperature=0, stop=["."], n=1)
    assert answer.choices[0].message.content == "hello you "
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (15, 2, 17)
    assert answer.system_fingerprint == "f" * 40
    # As programs do it: the SDK's own message object goes back with the next question.
    again = sdk.chat.completions.create(model="chat", messages=[*HELLO, answer.choices[0].message, *HELLO])
    assert again.choices[0].message.content == "hello you there "


def test_the_sdk_streams(sdk):
    stream = sdk.chat.completions.create(
        model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello you there "
    assert (last.choices, last.usage.total_tokens) == ([], 18)
    with sdk.chat.completions.stream(model="chat", messages=HELLO) as helper:
        assert helper.get_final_completion().choices[0].message.content == "hello you there "


def test_the_sdk_completes(sdk):
    assert sdk.completions.create(model="talker", prompt="one two").choices[0].text == "one two "
    chunks = sdk.completions.create(model="talker", prompt="one two", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "one two "


def test_the_headers_tell_who_answered(sdk):
    raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=HELLO)
    assert (raw.headers["x-model"], raw.headers["x-fallback"]) == ("talker", "false")


def test_the_sdk_sees_errors_as_errors(server, sdk):
    fleet = server[1]
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.chat.completions.create(model="chat", messages=HELLO, logprobs=True)
    assert refused.value.param == "logprobs"
    fleet.down = {"talker": ModelNotReady("talker")}
    with pytest.raises(openai.APIStatusError) as early:
        sdk.chat.completions.create(model="talker", messages=HELLO, stream=True)
    assert early.value.status_code == 503
    fleet.down, fleet.breaks = {}, {2: ModelNotReady("talker")}
    stream = sdk.chat.completions.create(model="talker", messages=HELLO, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "hello "]
    with pytest.raises(openai.APIError) as late:
        next(stream)
    fleet.breaks = {}
    assert late.value.code == "model_not_ready"


async def test_closing_the_sdks_stream_stops_the_generation(server, sdk, monkeypatch):
    fleet = server[1]
    monkeypatch.setattr(fleet, "pause_s", 0.01)
    stream = sdk.chat.completions.create(model="chat", messages=LONG, stream=True)
    assert [chunk.choices[0].delta.content for chunk in itertools.islice(stream, 3)] == ["", "word ", "word "]
    assert fleet.open == 1
    stream.close()
    await all_closed(fleet)


async def test_the_async_sdk_streams_and_cancels(server, monkeypatch):
    url, fleet = server
    monkeypatch.setattr(fleet, "pause_s", 0.01)
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(texts) == "hello you there "
        stream = await client.chat.completions.create(model="talker", messages=LONG, stream=True)
        assert (await anext(stream)).choices[0].delta.role == "assistant"
        assert fleet.open == 1
        await stream.close()
        await all_closed(fleet)
        reader = asyncio.create_task(client.chat.completions.create(model="chat", messages=LONG))
        while not fleet.open:
            await asyncio.sleep(0.01)
        reader.cancel()
        await all_closed(fleet)


async def test_the_first_chunk_does_not_wait_for_the_second():
    fleet = speaking_fleet()
    fleet.pause_s = 30
    stream = fleet.stream

    async def first_at_once(application, request, context):
        deltas = stream(application, request, context)
        fleet.pause_s = 0
        yield await anext(deltas)
        fleet.pause_s = 30
        async for delta in deltas:
            yield delta

    fleet.stream = first_at_once
    body = {"model": "talker", "messages": HELLO, "stream": True}
    with serving(build_services(fleet)) as url:
        async with (
            httpx.AsyncClient(base_url=url, timeout=10) as client,
            client.stream("POST", "/v1/chat/completions", json=body) as answer,
        ):
            assert b'"role":"assistant"' in await anext(answer.aiter_raw())
        await all_closed(fleet)


class Leaver:
    """An ASGI client that leaves after so many chunks, or, with none, after so many turns of the event loop."""

    def __init__(self, body: bytes, chunks: int, turns: int) -> None:
        self._body, self._chunks, self._turns = body, chunks, turns
        self._gone = asyncio.Event()
        self.status = None

    async def receive(self):
        if self._body:
            body, self._body = self._body, b""
            return {"type": "http.request", "body": body}
        if not self._chunks:
            for _ in range(self._turns):
                await asyncio.sleep(0)
            return {"type": "http.disconnect"}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.status = message.get("status", self.status)
        if message["type"] == "http.response.body":
            self._chunks -= 1
            if self._chunks == 0:
                self._gone.set()
        await asyncio.sleep(0)


@pytest.mark.parametrize("model", ["talker", "chat"], ids=["by name", "by role"])
async def test_a_thousand_clients_leave_and_nothing_stays(model):
    fleet = speaking_fleet()
    services = build_services(fleet)
    app = create_app(services)
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    words = b"word " * 50
    body = b'{"model":"%s","stream":true,"messages":[{"role":"user","content":"%s"}]}' % (model.encode(), words)

    async def visit(number):
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        leaver = Leaver(body, number % 5, number % 17)
        await app({**scope, "query_string": b"", "client": ("127.0.0.1", 1)}, leaver.receive, leaver.send)
        return leaver.status

    for start in range(0, 1000, 50):
        statuses = await asyncio.gather(*(visit(start + number) for number in range(50)))
        assert set(statuses) <= {200, 499}
    assert len(fleet.streams) > 800, "most of them reached the model"
    assert fleet.open == 0
    left = services.metrics.registry.get_sample_value(
        "muster_requests_total", {"route": "/v1/chat/completions", "method": "POST", "status": "499"}
    )
    assert left == 1000
    assert services.metrics.registry.get_sample_value("muster_streams_open") == 0
    failed = services.metrics.registry.get_sample_value(
        "muster_inferences_total", {"application": "talker", "outcome": "error"}
    )
    assert failed == len(fleet.streams)
    assert len(asyncio.all_tasks()) == 1
