"""The remote fallback against a fake router over HTTP: every status, slow, broken and wrong answers, and the breaker."""

import asyncio
import logging
import time
from email.utils import formatdate

import numpy as np
import pytest
from fake_router import routing
from http_fakes import DIMENSIONS, MINILM, MOODS, TOKEN, build_services, vector
from starlette.responses import JSONResponse, RedirectResponse, Response

from deployments.breaker import Breaker
from deployments.call import ModelState
from deployments.errors import EngineFault, InvalidInput, ModelNotReady, Overloaded
from serve_app.errors import SettingsError
from serve_app.remote import provider
from serve_app.settings import load_settings

READY = ModelState("ready", None, 1)
SECRET = "a text that nobody may repeat"


@pytest.fixture(scope="module")
def _router():
    with routing() as router:
        yield router


@pytest.fixture
def router(_router):
    _router.next.clear()
    _router.asked.clear()
    _router.always, _router.delay_s = None, 0.0
    return _router


@pytest.fixture
async def client(fleet, router, open_client, monkeypatch):
    """Every model may be asked of the router; none is ready here."""
    monkeypatch.setattr(provider, "BACKOFF_S", 0.001)
    fleet.known = {"skills": READY, "minilm": ModelState("failed", "a file differs")}
    services = build_services(fleet, remote_models=("minilm", "moods", "entails"), remote_url=router.url)
    async with open_client(services) as client:
        yield client


async def embed(client, text="a", model="minilm", ms=10_000, **body):
    headers = {"X-Deadline-Ms": str(ms)}
    return await client.post("/v1/embeddings", json={"model": model, "input": text, **body}, headers=headers)


def counted(client, outcome, model="minilm"):
    metrics = client.services.metrics.registry
    return metrics.get_sample_value("muster_remote_calls_total", {"model": model, "outcome": outcome})


def breaker(client, model=MINILM):
    return client.services.remote.breaker(model)


async def test_while_the_model_is_down_the_same_model_answers_remotely(client, router):
    for name in ("minilm", MINILM.id, "embedding"):
        answer = await embed(client, ["one", "two"], name)
        body = answer.json()
        assert (body["model"], body["revision"], body["fallback"]) == ("minilm", "remote", True)
        assert answer.headers["x-fallback"] == "true"
        found = np.float32([row["embedding"] for row in body["data"]])
        assert np.array_equal(found, np.stack([vector("one"), vector("two")]))
    path, body = router.asked[0]
    assert path == f"/hf-inference/models/{MINILM.id}/pipeline/feature-extraction"
    assert body == {"inputs": ["one", "two"], "truncate": False}
    assert counted(client, "ok") == 3


async def test_a_ready_model_is_never_asked_remotely(client, router, fleet):
    fleet.known = {"minilm": READY, "moods": READY, "entails": READY}
    body = (await embed(client)).json()
    assert (body["revision"], body["fallback"], router.asked) == ("r" * 40, False, [])


@pytest.mark.parametrize("error", [ModelNotReady("minilm"), EngineFault("broken")])
async def test_a_ready_model_that_fails_is_replaced(client, router, fleet, error):
    fleet.known, fleet.down = {"minilm": READY}, {"minilm": error}
    assert (await embed(client)).json()["fallback"] is True


@pytest.mark.parametrize(("error", "status"), [(Overloaded(), 429), (InvalidInput("no"), 400)])
async def test_other_errors_stay_here(client, router, fleet, error, status):
    fleet.known, fleet.down = {"minilm": READY}, {"minilm": error}
    assert (await embed(client)).status_code == status
    assert router.asked == []


async def test_labels_and_roles(client, router):
    body = (await client.post("/v1/classify", json={"model": "moods", "input": ["a", "b"]})).json()
    assert [row["label"] for row in body["data"][1]["labels"]] == ["neutral", "joy", "anger"]
    assert (body["model"], body["revision"], body["fallback"]) == ("moods", "remote", True)
    assert router.asked[0] == (f"/hf-inference/models/{MOODS.id}", {"inputs": "a", "parameters": {"top_k": 3}})
    body = (await client.post("/v1/classify", json={"model": "emotion", "input": "a"})).json()
    scores = {row["label"]: row["score"] for row in body["data"][0]["labels"]}
    assert (body["model"], scores["joy"]) == ("moods", pytest.approx(0.3))


async def test_zero_shot_keeps_the_clients_labels_in_their_order(client, router):
    asked = {"model": "entails", "input": "a", "labels": ["x", "y"], "multi_label": True}
    body = (await client.post("/v1/zero-shot", json=asked)).json()
    assert [(row["label"], row["score"]) for row in body["data"][0]["labels"]] == [
        ("x", 0.5),
        ("y", pytest.approx(1 / 3)),
    ]
    router.next.append(JSONResponse({"sequence": "a", "labels": ["y", "x"], "scores": [0.9, 0.1]}))
    body = (await client.post("/v1/zero-shot", json=asked)).json()
    assert [row["label"] for row in body["data"][0]["labels"]] == ["y", "x"]


async def chat(client, model="talker", **body):
    asked = {"model": model, "messages": [{"role": "user", "content": "Hi."}], **body}
    return await client.post("/v1/chat/completions", json=asked)


@pytest.fixture
async def talking(fleet, router, open_client, monkeypatch):
    """A chat model that only the router can answer for."""
    monkeypatch.setattr(provider, "BACKOFF_S", 0.001)
    fleet.known = {"skills": READY}
    async with open_client(build_services(fleet, remote_models=("talker",), remote_url=router.url)) as client:
        yield client


async def test_a_chat_is_answered_remotely(talking, router):
    for name in ("talker", "chat"):
        answer = await chat(talking, name, max_tokens=9, temperature=0, stop="x")
        body = answer.json()
        assert (body["choices"][0]["message"]["content"], body["system_fingerprint"]) == ("Hello.", "remote")
        assert (body["usage"]["total_tokens"], answer.headers["x-fallback"]) == (5, "true")
    path, asked = router.asked[0]
    assert path == "/v1/chat/completions"
    assert asked["messages"] == [{"role": "user", "content": "Hi."}]
    assert (asked["model"], asked["max_tokens"], asked["temperature"], asked["stop"]) == ("org/Talker", 9, 0, ["x"])


async def test_a_streamed_chat_comes_in_one_piece(talking):
    answer = await chat(talking, stream=True)
    assert "Hello." in answer.text
    assert answer.text.rstrip().endswith("data: [DONE]")


@pytest.mark.parametrize("broken", [{}, {"choices": []}, {"choices": [{"message": {"content": None}}]}, [1], "x"])
async def test_a_broken_message_is_refused(talking, router, broken):
    router.always = JSONResponse(broken)
    refused = await chat(talking)
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "remote_failed")


async def test_a_plain_prompt_is_not_asked_remotely(talking, router):
    answer = await talking.post("/v1/completions", json={"model": "talker", "prompt": "a"})
    assert (answer.status_code, router.asked) == (503, [])


async def test_tensors_fall_back_too(client):
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["one"]}
    answer = await client.post("/v2/models/minilm/infer", json={"inputs": [text]})
    assert answer.json()["parameters"] == {"revision": "remote", "fallback": True}
    assert answer.headers["x-fallback"] == "true"


async def test_many_texts_are_asked_for_in_parts(client, router):
    texts = [f"text {i}" for i in range(70)]
    found = [row["embedding"] for row in (await embed(client, texts)).json()["data"]]
    assert np.array_equal(np.float32(found), np.stack([vector(text) for text in texts]))
    assert sorted(len(body["inputs"]) for _, body in router.asked) == [6, 32, 32]


@pytest.mark.parametrize(
    "waiting",
    [
        JSONResponse({"error": "loading", "estimated_time": 0.2}, 503),
        Response("busy", 503, {"Retry-After": "0"}),
        Response("slow down", 429, {"Retry-After": "0"}),
        Response("slow down", 429, {"Retry-After": formatdate(usegmt=True)}),
        Response("oops", 500),
        Response("bad gateway", 502),
    ],
)
async def test_what_passes_is_waited_for(client, router, waiting):
    router.next.append(waiting)
    assert (await embed(client)).json()["fallback"] is True
    assert len(router.asked) == 2
    assert breaker(client).state == "closed"


@pytest.mark.parametrize(
    ("answer", "outcome", "asked", "state", "reason"),
    [
        (JSONResponse({"estimated_time": 900}, 503), "loading", 1, "closed", "loading there"),
        (Response(SECRET, 429, {"Retry-After": "900"}), "rate_limited", 1, "closed", "fewer requests"),
        (Response(SECRET, 429, {"Retry-After": "0"}), "rate_limited", 3, "closed", "fewer requests"),
        (Response(SECRET, 402), "no_credits", 1, "open", "credits are used up"),
        (Response(SECRET, 401), "unauthorised", 1, "open", "token"),
        (Response(SECRET, 403), "forbidden", 1, "open", "gated"),
        (Response(SECRET, 404), "not_served", 1, "open", "does not serve this model"),
        (Response(SECRET, 400), "refused", 1, "closed", "refuses this request"),
        (Response(SECRET, 422), "refused", 1, "closed", "refuses this request"),
        (Response(SECRET, 500), "server_error", 3, "closed", "it fails"),
        (RedirectResponse("http://127.0.0.1:9/"), "server_error", 3, "closed", "it fails"),
        (Response(SECRET, 200), "bad_answer", 1, "closed", "cannot be read"),
        (JSONResponse([[0.5] * (DIMENSIONS + 1)]), "bad_answer", 1, "closed", "wrong dimension"),
        (JSONResponse([[[0.5] * DIMENSIONS]]), "bad_answer", 1, "closed", "wrong dimension"),
        (JSONResponse([[0.5] * DIMENSIONS] * 2), "bad_answer", 1, "closed", "wrong dimension"),
        (JSONResponse([["x"] * DIMENSIONS]), "bad_answer", 1, "closed", "matrix of numbers"),
        (Response("[[" + ",".join(["1e39"] * DIMENSIONS) + "]]"), "bad_answer", 1, "closed", "finite"),
        (JSONResponse({"error": SECRET}), "bad_answer", 1, "closed", "matrix of numbers"),
    ],
)
async def test_every_failure_has_its_meaning(client, router, answer, outcome, asked, state, reason):
    router.always = answer
    refused = await embed(client, SECRET)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (502, "remote_failed")
    assert reason in error["message"]
    assert SECRET not in refused.text
    assert TOKEN not in refused.text
    assert len(router.asked) == asked
    assert counted(client, outcome) == 1
    assert breaker(client).state == state


@pytest.mark.parametrize(
    "labels",
    [
        [[{"label": "joy", "score": 0.5}]],
        [[{"label": "LABEL_0", "score": 0.5}, {"label": "LABEL_1", "score": 0.3}, {"label": "LABEL_2", "score": 0.2}]],
        [[{"label": "joy", "score": 0.5}] * 3],
        [[{"label": "joy", "score": True}]],
        [{"label": "joy"}],
        [],
        "joy",
        None,
    ],
)
async def test_foreign_label_sets_are_refused(client, router, labels):
    router.always = JSONResponse(labels)
    refused = await client.post("/v1/classify", json={"model": "moods", "input": "a"})
    assert (refused.status_code, counted(client, "bad_answer", "moods")) == (502, 1)


async def test_a_slow_provider_costs_no_more_than_the_deadline(client, router):
    router.delay_s = 3.0
    started = time.monotonic()
    refused = await embed(client, ms=400)
    assert time.monotonic() - started < 2.5
    assert (refused.status_code, counted(client, "timeout")) == (502, 1)


async def test_an_unreachable_provider_is_told_as_such(fleet, open_client, monkeypatch):
    monkeypatch.setattr(provider, "BACKOFF_S", 0.001)
    fleet.known = {}
    services = build_services(fleet, remote_models=("minilm",), remote_url="http://127.0.0.1:9")
    async with open_client(services) as client:
        refused = await embed(client)
        assert "cannot be reached" in refused.json()["error"]["message"]


async def test_the_breaker_opens_and_closes(client, router):
    now = [0.0]
    mine = client.services.remote._breakers["minilm"] = Breaker(clock=lambda: now[0])
    router.always = Response("oops", 500)
    for _ in range(3):
        assert (await embed(client)).status_code == 502
    asked = len(router.asked)
    assert (mine.state, asked) == ("open", 9)
    resting = await embed(client)
    assert (resting.status_code, resting.json()["error"]["code"]) == (503, "model_not_ready")
    assert "a file differs; the remote provider rests: it fails" in resting.json()["error"]["message"]
    assert len(router.asked) == asked
    now[0] = 31
    assert mine.state == "half_open"
    assert (await embed(client)).status_code == 502
    assert mine.state == "open"
    now[0], router.always = 62, None
    assert (await embed(client)).json()["fallback"] is True
    assert mine.state == "closed"


async def test_no_credits_are_no_credits_for_every_model(client, router):
    router.next.append(Response("", 402))
    await embed(client)
    assert {breaker(client, model).state for model in client.services.remote.models} == {"open"}
    assert breaker(client, MOODS).retry_after_s > 3000


async def test_half_open_lets_one_request_try(client, router):
    now = [0.0]
    mine = client.services.remote._breakers["minilm"] = Breaker(clock=lambda: now[0])
    mine.trip("it fails", 30)
    now[0], router.delay_s = 31, 0.3
    answers = await asyncio.gather(*(embed(client) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 503, 503, 503, 503]
    assert len(router.asked) == 1


async def test_a_client_that_leaves_teaches_the_breaker_nothing(client, router):
    now = [0.0]
    mine = client.services.remote._breakers["minilm"] = Breaker(clock=lambda: now[0])
    mine.trip("it fails", 30)
    now[0], router.delay_s = 31, 5.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(embed(client), 0.2)
    assert (mine.state, mine.willing) == ("half_open", True)


async def test_a_stand_in_answers_when_the_provider_does_not(client, router, fleet):
    fleet.known = {"minilm": READY, "moods": ModelState("failed", "gone")}
    router.always = Response("", 404)
    body = (await client.post("/v1/classify", json={"model": "emotion", "input": "a"})).json()
    assert (body["model"], body["fallback"], body["revision"]) == ("minilm", True, "r" * 40)
    assert len(router.asked) == 1


@pytest.mark.parametrize(
    ("truncate", "sent"),
    [
        ("end", {"truncate": True, "truncation_direction": "right"}),
        ("start", {"truncate": True, "truncation_direction": "left"}),
    ],
)
async def test_truncation_is_asked_for(client, router, truncate, sent):
    await embed(client, truncate=truncate)
    assert router.asked[0][1] == {"inputs": ["a"], **sent}


async def test_what_the_provider_cannot_do_is_not_asked_of_it(client, router):
    assert (await embed(client, truncate="window")).status_code == 503
    refused = await client.post("/v1/classify", json={"model": "moods", "input": "a", "truncate": "end"})
    assert (refused.status_code, router.asked) == (503, [])


async def test_it_is_off_unless_configured(fleet, router, open_client):
    fleet.known, fleet.down = {}, {"minilm": ModelNotReady("minilm")}
    async with open_client(build_services(fleet, remote_url=router.url)) as client:
        assert (await embed(client)).status_code == 503
    assert router.asked == []


async def test_no_text_and_no_token_reach_a_log(client, router, caplog):
    caplog.set_level(logging.DEBUG)
    for status in (500, 402):
        router.always = Response(SECRET, status)
        await embed(client, SECRET)
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"remote_models": "minilm"},
        {"remote_models": "minilm", "remote_token": "t", "remote_url": "http://example.org"},
        {"remote_url": "router.huggingface.co"},
        {"remote_url": "https://user@example.org"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match="remote"):
        load_settings(**wrong)


@pytest.mark.parametrize("key", ["nobody", "feels"])
def test_unknown_models_and_heads_are_refused(router, key):
    with pytest.raises(SettingsError, match="remote_models"):
        build_services(remote_models=(key,), remote_url=router.url)
