"""``/v1/summarize``: shapes, lengths, prefixes, roles, errors, clients that leave."""

import asyncio

import httpx
import pytest
from http_fakes import DIGEST, FakeFleet, build_services, serving

from deployments.call import ModelState
from deployments.errors import ContextLengthExceeded, EngineFault, ModelNotReady
from deployments.generation import Delta, GenerationRequest
from serve_app.api.summaries import AT_ONCE, shortened

URL = "/v1/summarize"


@pytest.fixture
def fleet():
    fleet = FakeFleet()
    fleet.known = {name: ModelState("ready", None, 1) for name in ("minilm", "talker", "digest", "brief")}
    return fleet


async def summarize(client, text="One. Two.", **body):
    return await client.post(URL, json={"input": text, **body})


async def test_a_summary_and_who_made_it(client, fleet):
    answer = await summarize(client)
    body = answer.json()
    assert body["data"] == [{"index": 0, "summary": "One. Two."}]
    names = ("x-queue-ms", "x-tokenize-ms", "x-compute-ms", "x-cache-hits")
    assert [answer.headers[name] for name in names] == ["1.00", "2.00", "30.00", "0"]
    assert (body["model"], body["revision"], body["fallback"]) == ("digest", "f" * 40, False)
    assert body["usage"] == {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    assert body["truncated"] == []
    assert fleet.streams[0][1] == GenerationRequest("One. Two.", 64, 0.0)


async def test_texts_keep_their_order_and_are_bulk_when_many(client, fleet):
    fleet.pause_s = 0.001
    texts = [f"Text {number}. " * (number % 5 + 1) for number in range(40)]
    body = (await summarize(client, texts)).json()
    assert [row["index"] for row in body["data"]] == list(range(40))
    assert [row["summary"] for row in body["data"]] == [text.strip() for text in texts]
    assert {context.lane for _, _, context in fleet.streams} == {"bulk"}


async def test_no_more_than_so_many_at_once(client, fleet):
    most = 0

    async def stream(application, request, context):
        nonlocal most
        async for delta in FakeFleet.stream(fleet, application, request, context):
            most = max(most, fleet.open)
            yield delta

    fleet.stream, fleet.pause_s = stream, 0.001
    await summarize(client, ["Some text."] * 100)
    assert most == AT_ONCE


@pytest.mark.parametrize(
    ("text", "words", "finished", "expected"),
    [
        ("One two. Three four.", 4, True, "One two. Three four."),
        ("One two. Three four.", 3, True, "One two."),
        ("One two. Three four.", 1, True, "One"),
        ('He said "go!" Then he went away.', 4, True, 'He said "go!"'),
        ("It cost 3.50 euros. That is much.", 5, True, "It cost 3.50 euros."),
        ("No end in sight", 2, True, "No end"),
        ("No end in sight", 9, True, "No end in sight"),
        ("A whole one. And a brok", 9, False, "A whole one."),
        ("Only a brok", 9, False, "Only a brok"),
        ("  Blanks \n around.  ", 5, True, "Blanks \n around."),
        ("今日は。明日も", 5, False, "今日は。"),
        ("", 5, True, ""),
    ],
)
def test_long_summaries_end_with_a_sentence(text, words, finished, expected):
    assert shortened(text, words, finished=finished) == expected


async def test_max_words_bounds_the_answer(client, fleet):
    fleet.deltas = [Delta("One two three. Four five six. Seven", 3, 9, "length", revision="f" * 40)]
    assert (await summarize(client, max_words=6)).json()["data"][0]["summary"] == "One two three. Four five six."
    assert (await summarize(client, max_words=5)).json()["data"][0]["summary"] == "One two three."
    assert fleet.streams[1][1].max_tokens == 10
    await summarize(client, max_words=1000)
    assert fleet.streams[2][1].max_tokens == DIGEST.limits.max_tokens


async def test_a_model_gets_the_prefix_it_was_trained_with(client, fleet):
    await summarize(client, model="brief")
    assert fleet.streams[0][1].prompt == "summarize: One. Two."
    refused = await summarize(client, model="brief", truncate="start")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "truncate")
    assert (await summarize(client, model="digest", truncate="start")).status_code == 200


async def test_a_cut_text_is_reported(client, fleet):
    cut = {"tokens": 90, "kept": 60}
    fleet.deltas = [Delta("Short.", 60, 1, "stop", cut)]
    body = (await summarize(client, ["a", "b"], truncate="end")).json()
    assert body["truncated"] == [{"index": 0, **cut}, {"index": 1, **cut}]


@pytest.mark.parametrize("failure", [ModelNotReady("digest"), EngineFault("broken")])
async def test_the_role_falls_back_and_the_name_does_not(client, fleet, failure):
    fleet.down["digest"] = failure
    body = (await summarize(client)).json()
    assert (body["model"], body["fallback"]) == ("brief", True)
    assert (await summarize(client, model="digest")).status_code in (500, 503)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": [1, 2]}, "input[0]"),
        ({"input": ["a", "b\x00"]}, "input[1]"),
        ({"input": "a", "max_words": 4}, "max_words"),
        ({"input": "a", "max_words": 1001}, "max_words"),
        ({"input": "a", "truncate": "window"}, "truncate"),
        ({"input": "a", "temperature": 1}, "temperature"),
        ({"input": "a", "model": "talker"}, "model"),
        ({"input": "a", "model": "embedding"}, "model"),
        ({}, "input"),
    ],
)
async def test_wrong_fields_are_named(client, fleet, body, param):
    answer = await client.post(URL, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not fleet.streams


@pytest.mark.parametrize(("text", "param"), [("a", "input"), (["a"] * 3, "input[0]")])
async def test_an_items_error_names_the_item_and_ends_the_others(client, fleet, text, param):
    fleet.error = ContextLengthExceeded("too long", "prompt")
    answer = await summarize(client, text)
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("context_length_exceeded", param)
    assert fleet.open == 0


async def test_a_client_that_leaves_ends_all_of_it(fleet):
    fleet.pause_s = 30
    with serving(build_services(fleet)) as url:
        async with httpx.AsyncClient(base_url=url) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(URL, json={"input": ["a text"] * 20}, timeout=0.5)
        for _ in range(500):
            if not fleet.open:
                break
            await asyncio.sleep(0.01)
    assert len(fleet.streams) == AT_ONCE
    assert fleet.open == 0
