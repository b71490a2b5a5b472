"""``/v1/chat/completions`` and ``/v1/completions``: shapes, options, roles, errors before and after the first token."""

import json

import pytest
from http_fakes import FakeFleet, build_services

from deployments.call import ModelState
from deployments.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineFault,
    InvalidInput,
    ModelNotReady,
    Overloaded,
)
from deployments.generation import Delta, GenerationRequest, Turn

CHAT, TEXT, SUMMARY = "/v1/chat/completions", "/v1/completions", "/v1/summarize"
HELLO = [{"role": "user", "content": "hello you there"}]
REVISION = "f" * 40


@pytest.fixture
def fleet():
    fleet = FakeFleet()
    fleet.known = {name: ModelState("ready", None, 1) for name in ("minilm", "talker", "murmur", "digest", "brief")}
    return fleet


async def chat(client, messages=None, model="talker", headers=None, **body):
    body = {"model": model, "messages": HELLO if messages is None else messages, **body}
    return await client.post(CHAT, json=body, headers=headers)


async def complete(client, prompt="one two", model="talker", **body):
    return await client.post(TEXT, json={"model": model, "prompt": prompt, **body})


def events(answer):
    """The events' data, parsed; the last one must be ``[DONE]`` unless it is an error."""
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *blocks, rest = answer.content.split(b"\n\n")
    assert rest == b""
    assert all(block.startswith(b"data: ") for block in blocks)
    data = [block.removeprefix(b"data: ") for block in blocks]
    if data[-1] == b"[DONE]":
        return [json.loads(each) for each in data[:-1]]
    assert "error" in json.loads(data[-1])
    return [json.loads(each) for each in data]


def timings(answer):
    """The headers that say where the time went."""
    return [answer.headers[name] for name in ("x-queue-ms", "x-tokenize-ms", "x-compute-ms", "x-cache-hits")]


def text_of(chunks):
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


async def gauge(client):
    line = next(
        line for line in (await client.get("/metrics")).text.splitlines() if line.startswith("muster_streams_open ")
    )
    return float(line.split()[1])


async def test_a_chats_answer(client):
    answer = await chat(client, headers={"X-Request-Id": "abc-1"})
    body = answer.json()
    assert (body["id"], body["object"], body["model"]) == ("chatcmpl-abc-1", "chat.completion", "talker")
    assert body["system_fingerprint"] == REVISION
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hello you there ", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 15, "completion_tokens": 3, "total_tokens": 18}
    assert body["truncated"] == []
    headers = {name: answer.headers[name] for name in ("x-model", "x-model-revision", "x-fallback")}
    assert headers == {"x-model": "talker", "x-model-revision": REVISION, "x-fallback": "false"}
    assert timings(answer) == ["1.00", "2.00", "30.00", "0"]


async def test_a_completions_answer(client):
    body = (await complete(client, max_tokens=1)).json()
    assert (body["object"], body["id"][:5]) == ("text_completion", "cmpl-")
    assert body["choices"] == [{"index": 0, "text": "one ", "logprobs": None, "finish_reason": "length"}]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}


async def test_a_stream_says_the_same_in_chunks(client):
    answer = await chat(client, stream=True)
    chunks = events(answer)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert text_of(chunks) == "hello you there "
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["system_fingerprint"]) for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "stop"]
    assert not any("usage" in chunk for chunk in chunks)
    assert answer.headers["x-model"] == "talker"
    assert answer.headers["x-model-revision"] == REVISION
    assert answer.headers["x-fallback"] == "false"
    assert answer.headers["cache-control"] == "no-store"
    assert "x-request-id" in answer.headers
    assert timings(answer) == ["1.00", "2.00", "3.00", "0"], "until the first delta"
    assert await gauge(client) == 0


async def test_a_streamed_completion(client):
    chunks = events(await complete(client, stream=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "one two "
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


async def test_usage_comes_last_when_it_is_wanted(client):
    *chunks, last = events(await chat(client, stream=True, stream_options={"include_usage": True}))
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 15, "completion_tokens": 3, "total_tokens": 18}


async def test_deltas_without_news_are_not_sent(client, fleet):
    fleet.deltas = [Delta("", 1, 0), Delta("", 1, 1), Delta("x", 1, 2), Delta("", 1, 3), Delta("", 1, 3, "stop")]
    assert len(events(await chat(client, stream=True))) == 3
    fleet.deltas = [Delta("whole", 1, 1, "stop")]
    (only,) = events(await chat(client, stream=True))
    assert only["choices"][0]["delta"] == {"role": "assistant", "content": "whole"}
    assert only["choices"][0]["finish_reason"] == "stop"


async def test_every_option_reaches_the_engine(client, fleet):
    options = dict(temperature=0.5, top_p=0.9, seed=7, frequency_penalty=1, presence_penalty=-1.5, user="u")
    await chat(client, **options, stop=["a", "b"], max_completion_tokens=9, truncate="start", n=1)
    assert fleet.streams[0][:2] == (
        "talker",
        GenerationRequest((Turn("user", "hello you there"),), 9, 0.5, 0.9, ("a", "b"), 7, 1, -1.5, 0, "start"),
    )
    await complete(client, "p", **options, stop="a", max_tokens=None)
    assert fleet.streams[1][1] == GenerationRequest("p", None, 0.5, 0.9, ("a",), 7, 1, -1.5)


async def test_defaults_are_openais(client, fleet):
    nulls = dict.fromkeys(("temperature", "top_p", "seed", "stop", "n", "stream", "user", "tools", "logprobs"))
    await chat(client, **nulls)
    await complete(client, "p")
    assert fleet.streams[0][1] == GenerationRequest((Turn("user", "hello you there"),))
    assert fleet.streams[1][1] == GenerationRequest("p", 16)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_context_reaches_the_fleet(client, fleet, stream):
    headers = {"X-Request-Id": "abc-1", "X-Deadline-Ms": "5000", "X-Lane": "bulk"}
    answer = await chat(client, headers=headers, stream=stream)
    context = fleet.streams[0][2]
    assert (context.request_id, context.tenant, context.lane) == ("abc-1", "default", "bulk")
    assert 4.0 < context.remaining() <= 5.0
    assert answer.headers["x-request-id"] == "abc-1"


async def test_messages_in_every_accepted_form(client, fleet):
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    own = {"role": "assistant", "content": "x", "refusal": None, "tool_calls": None, "audio": None}
    messages = [{"role": "developer", "content": "d"}, {"role": "system", "content": ""}, own]
    await chat(client, [*messages, {"role": "user", "content": parts}])
    assert fleet.streams[0][1].prompt == (
        Turn("system", "d"),
        Turn("system", ""),
        Turn("assistant", "x"),
        Turn("user", "one\ntwo"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "naïve café",
        "日本語 テキスト",
        "👩‍👩‍👧 🇩🇪",
        "a\u2028b\u0085c",
        "</s> <|endoftext|>",
        "\r\n\r\ndata: x",
        "\x01\x1f",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_texts_arrive_and_come_back_as_they_are(client, fleet, text, stream):
    fleet.deltas = [Delta("", 1, 0), *(Delta(letter, 1, 1) for letter in text), Delta("", 1, 1, "stop")]
    answer = await chat(client, [{"role": "user", "content": text}], stream=stream)
    got = text_of(events(answer)) if stream else answer.json()["choices"][0]["message"]["content"]
    assert got == text
    assert fleet.streams[0][1].prompt[0].content == text


async def test_a_cut_prompt_is_reported(client, fleet):
    cut = {"tokens": 90, "kept": 60}
    fleet.deltas = [Delta("", 60, 0, cut=cut), Delta("x", 60, 1, "stop")]
    assert (await chat(client, truncate="start")).json()["truncated"] == [{"index": 0, **cut}]
    first, *others = events(await chat(client, truncate="start", stream=True))
    assert first["truncated"] == [{"index": 0, **cut}]
    assert not any("truncated" in chunk for chunk in others)


REFUSED_EVERYWHERE = [
    ("n", 2),
    ("n", 0),
    ("n", True),
    ("logit_bias", {"50256": -100}),
    ("logit_bias", {}),
    ("store", True),
    ("metadata", {"a": "b"}),
]
REFUSED_IN_CHATS = [
    ("logprobs", True),
    ("logprobs", 0),
    ("top_logprobs", 3),
    ("tools", [{"type": "function", "function": {"name": "f"}}]),
    ("tool_choice", "auto"),
    ("parallel_tool_calls", True),
    ("functions", [{"name": "f"}]),
    ("function_call", "auto"),
    ("response_format", {"type": "json_object"}),
    ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}),
    ("response_format", "text"),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": "alloy", "format": "wav"}),
    ("prediction", {"type": "content", "content": "x"}),
    ("web_search_options", {}),
    ("reasoning_effort", "high"),
    ("verbosity", "low"),
]
REFUSED_IN_TEXTS = [("best_of", 2), ("echo", True), ("suffix", "the end"), ("logprobs", 0), ("logprobs", 5)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "field", "value"),
    [(CHAT, *pair) for pair in REFUSED_EVERYWHERE + REFUSED_IN_CHATS]
    + [(TEXT, *pair) for pair in REFUSED_EVERYWHERE + REFUSED_IN_TEXTS],
)
async def test_what_is_not_supported_is_refused_with_the_reason(lasting, path, field, value):
    body = {"model": "talker", field: value} | ({"messages": HELLO} if path == CHAT else {"prompt": "p"})
    answer = await lasting.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, field, "invalid_value")
    assert error["message"].startswith(f"{field} is not supported: ")
    assert not lasting.services.fleet.streams


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 1),
        ("logprobs", False),
        ("response_format", {"type": "text"}),
        ("tool_choice", "none"),
        ("modalities", ["text"]),
        ("service_tier", "auto"),
        ("store", False),
        ("user", "u"),
        ("safety_identifier", "u"),
        ("prompt_cache_key", "u"),
    ],
)
async def test_what_means_not_used_is_accepted(client, field, value):
    assert (await chat(client, **{field: value})).status_code == 200


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("temperature", 2.1, "temperature"),
        ("temperature", -0.1, "temperature"),
        ("temperature", "1", "temperature"),
        ("top_p", 0, "top_p"),
        ("top_p", 1.5, "top_p"),
        ("seed", 2**63, "seed"),
        ("seed", 1.5, "seed"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", 10**9, "max_tokens"),
        ("frequency_penalty", 3, "frequency_penalty"),
        ("presence_penalty", -3, "presence_penalty"),
        ("stop", "", "stop"),
        ("stop", [], "stop"),
        ("stop", ["a"] * 5, "stop"),
        ("stop", ["a", ""], "stop[1]"),
        ("stop", ["a", 7], "stop[1]"),
        ("stop", "x" * 257, "stop"),
        ("stop", "a\x00", "stop"),
        ("stop", {"a": 1}, "stop"),
        ("stream", "yes", "stream"),
        ("stream_options", {"include_usage": True}, "stream_options"),
        ("truncate", "window", "truncate"),
        ("user", "x" * 1025, "user"),
        ("nonsense", 1, "nonsense"),
    ],
)
@pytest.mark.parametrize("path", [CHAT, TEXT])
async def test_wrong_values_are_named(lasting, path, field, value, param):
    body = {"model": "talker", field: value} | ({"messages": HELLO} if path == CHAT else {"prompt": "p"})
    answer = await lasting.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not lasting.services.fleet.streams


async def test_options_of_streams_and_two_limits(client):
    padded = await chat(client, stream=True, stream_options={"include_obfuscation": True})
    assert padded.json()["error"]["param"] == "stream_options.include_obfuscation"
    assert "not supported: chunks" in padded.json()["error"]["message"]
    twice = await chat(client, max_tokens=1, max_completion_tokens=1)
    assert twice.json()["error"]["param"] == "max_completion_tokens"


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ("hello", "messages"),
        ({}, "messages"),
        ([HELLO[0]] * 2049, "messages"),
        (["hello"], "messages[0]"),
        ([{"role": "tool", "content": "x", "tool_call_id": "1"}], "messages[0].role"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "user", "content": 7}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": [IMAGE]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}], "messages[0].content[1]"),
        ([{"role": "user", "content": [{"type": "text", "text": 7}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": "x", "name": "ada"}], "messages[0].name"),
        ([{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}], "messages[0].tool_calls"),
        ([HELLO[0], {"role": "user", "content": "a\x00b"}], "messages[1]"),
        ([{"role": "user", "content": "x", "colour": "red"}], "messages[0].colour"),
    ],
)
async def test_wrong_messages_are_named(lasting, messages, param):
    answer = await chat(lasting, messages)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not lasting.services.fleet.streams


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("prompt", "param"),
    [(None, "prompt"), (7, "prompt"), ([1, 2], "prompt"), ([[1]], "prompt"), (["a", "b"], "prompt"), ([], "prompt")],
)
async def test_wrong_prompts_are_named(lasting, prompt, param):
    answer = await complete(lasting, prompt)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert ("tokens" in answer.json()["error"]["message"]) == (prompt in ([1, 2], [[1]]))


async def test_one_prompt_may_stand_in_a_list(client, fleet):
    await complete(client, ["p"])
    assert fleet.streams[0][1].prompt == "p"


async def test_huge_texts_are_refused(client, fleet):
    for answer in (
        await chat(client, [{"role": "user", "content": "x" * 1_000_001}]),
        await chat(client, [{"role": "user", "content": "x" * 600_000}] * 2),
        await complete(client, "x" * 1_000_001),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert not fleet.streams


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"7", b"{", b"\xff\xfe", b'{"model": "talker", "prompt": "\\ud800"}', b'{"a":' * 100_000, b"null"],
)
@pytest.mark.parametrize("path", [CHAT, TEXT, SUMMARY])
async def test_hostile_bodies_are_refused(lasting, path, body):
    answer = await lasting.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize(("path", "model"), [(CHAT, "minilm"), (CHAT, "digest"), (CHAT, "emotion"), (TEXT, "moods")])
async def test_models_of_another_task_are_refused(client, fleet, path, model):
    fleet.known["moods"] = ModelState("ready", None, 1)
    for stream in (False, True):
        answer = await (chat if path == CHAT else complete)(client, model=model, stream=stream)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert not fleet.streams


async def test_a_text_to_text_model_completes(client):
    assert (await complete(client, model="digest")).json()["model"] == "digest"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "code", "param"),
    [
        (InvalidInput("no such template", "prompt"), 400, "invalid_value", "messages"),
        (InvalidInput("not with this model", "seed"), 400, "invalid_value", "seed"),
        (ContextLengthExceeded("too long", "input[0]"), 400, "context_length_exceeded", "messages"),
        (Overloaded(3), 429, "overloaded", None),
        (ModelNotReady("talker"), 503, "model_not_ready", None),
        (DeadlineExceeded(), 504, "deadline_exceeded", None),
        (EngineFault("broken"), 500, "internal_error", None),
        (ValueError("secret"), 500, "internal_error", None),
    ],
)
async def test_before_the_first_token_an_error_has_its_status(client, fleet, stream, error, status, code, param):
    fleet.error = error
    answer = await chat(client, stream=stream)
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], told["param"]) == (status, code, param)
    assert "secret" not in answer.text
    assert answer.headers["content-type"] == "application/json"
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    assert (fleet.open, await gauge(client)) == (0, 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelNotReady("talker"), "model_not_ready"),
        (Overloaded(3), "overloaded"),
        (EngineFault("broken"), "internal_error"),
        (ValueError("secret"), "internal_error"),
        (None, "internal_error"),
    ],
)
async def test_after_it_an_error_is_an_event_of_its_own(client, fleet, error, code):
    if error:
        fleet.breaks = {2: error}
    else:
        fleet.deltas = [Delta("", 1, 0), Delta("hello ", 1, 1)]
    answer = await chat(client, stream=True)
    *chunks, last = events(answer)
    assert (answer.status_code, text_of(chunks)) == (200, "hello ")
    assert (last["error"]["code"], set(last)) == (code, {"error"})
    assert last["error"]["request_id"] == answer.headers["x-request-id"]
    assert b"[DONE]" not in answer.content
    assert "secret" not in answer.text
    metrics = (await client.get("/metrics")).text
    assert 'muster_inferences_total{application="talker",outcome="error"} 1.0' in metrics
    assert (fleet.open, await gauge(client)) == (0, 0)


async def test_a_deadline_in_the_middle_ends_the_stream_with_an_error(client, fleet):
    fleet.pause_s = 0.02
    long = [{"role": "user", "content": "word " * 1000}]
    answer = await chat(client, long, stream=True, headers={"X-Deadline-Ms": "300"})
    *chunks, last = events(answer)
    assert (answer.status_code, last["error"]["code"]) == (200, "deadline_exceeded")
    assert text_of(chunks).startswith("word ")
    assert (fleet.open, await gauge(client)) == (0, 0)
    late = await chat(client, long, headers={"X-Deadline-Ms": "100"})
    assert (late.status_code, late.headers["x-should-retry"]) == (504, "false")
    assert (fleet.open, await gauge(client)) == (0, 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", [ModelNotReady("talker"), EngineFault("broken"), None])
async def test_a_role_falls_back_before_the_first_token(client, fleet, stream, failure):
    if failure:
        fleet.down["talker"] = failure
    else:
        del fleet.known["talker"]
        fleet.known["talker"] = ModelState("loading")
    answer = await chat(client, model="chat", stream=stream)
    assert (answer.headers["x-model"], answer.headers["x-fallback"]) == ("murmur", "true")
    body = events(answer)[0] if stream else answer.json()
    assert body["model"] == "murmur"
    assert (
        'muster_fallbacks_total{lane="interactive",model="murmur",role="chat"} 1.0'
        in (await client.get("/metrics")).text
    )
    assert (await chat(client, model="talker", stream=stream)).status_code in ((503, 500) if failure else (200,))
    assert (fleet.open, await gauge(client)) == (0, 0)


async def test_a_whole_answer_falls_back_even_in_the_middle_and_a_stream_does_not(client, fleet):
    async def stream(application, request, context):
        async for delta in FakeFleet.stream(fleet, application, request, context):
            if application == "talker" and delta.completion_tokens == 2:
                raise ModelNotReady("talker")
            yield delta

    fleet.stream = stream
    whole = await chat(client, model="chat")
    assert (whole.json()["model"], whole.json()["choices"][0]["message"]["content"]) == ("murmur", "hello you there ")
    *chunks, last = events(await chat(client, model="chat", stream=True))
    assert (text_of(chunks), last["error"]["code"]) == ("hello ", "model_not_ready")


async def test_the_role_without_a_stand_in_is_an_error(client, fleet):
    fleet.known = {}
    fleet.error = ModelNotReady("talker")
    answer = await chat(client, model="chat", stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
    unknown = await chat(client, model="gpt-4o", stream=True)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


async def test_streams_are_counted_and_logged_as_other_requests(fleet, open_client, tmp_path):
    log = tmp_path / "access.log"
    async with open_client(build_services(fleet, log=log)) as client:
        await chat(client, stream=True)
        metrics = (await client.get("/metrics")).text
    assert 'muster_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0' in metrics
    assert 'muster_inferences_total{application="talker",outcome="success"} 1.0' in metrics
    assert 'muster_inference_cost_total{application="talker"} 18.0' in metrics
    line = json.loads(log.read_text().splitlines()[0])
    assert (line["route"], line["status"], line["tenant"]) == (CHAT, 200, "default")
