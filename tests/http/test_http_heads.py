"""Light heads over HTTP: computed by their base model's application, named as models of their own."""

import pytest
from http_fakes import FEELS, build_services

from deployments.call import ModelState
from deployments.errors import ModelNotReady

REVISION = f"{'r' * 40}+{'f' * 12}"


async def classify(client, model="feels", text="a text", **body):
    return (await client.post("/v1/classify", json={"model": model, "input": text, **body})).json()


async def test_a_heads_exact_name_answers_in_its_labels(client, fleet):
    body = await classify(client, truncate="window", top_k=2)
    assert body["data"][0]["labels"] == [
        {"label": "ambiguous", "score": pytest.approx(0.4)},
        {"label": "negative", "score": pytest.approx(0.3)},
    ]
    assert (body["model"], body["revision"], body["fallback"]) == ("feels", REVISION, False)
    application, texts, options, _ = fleet.calls[-1]
    assert (application, texts, options) == ("minilm", ["a text"], {"truncate": "window", "head": f"feels@{'f' * 40}"})


async def test_a_head_plays_a_role_and_leans_no_way_where_it_is_ambiguous(fleet, open_client):
    async with open_client(build_services(fleet, planned={"sentiment": "feels"})) as client:
        body = await classify(client, "sentiment", ["one", "two"])
    assert (body["model"], body["revision"], body["fallback"], len(body["data"])) == ("feels", REVISION, False, 2)
    row = body["data"][1]
    assert {each["label"]: each["score"] for each in row["labels"]} == {
        "neutral": pytest.approx(0.6),
        "negative": pytest.approx(0.3),
        "positive": pytest.approx(0.1),
    }
    assert row["polarity"] == pytest.approx(-0.2)


async def test_likeness_stands_in_for_a_head_that_does_not_serve(fleet, open_client):
    fleet.errors = {}
    answer = fleet.call

    async def call(application, inputs, options, context):
        if "head" in options:
            raise ModelNotReady(options["head"], "its file is missing or damaged")
        return await answer(application, inputs, options, context)

    fleet.call = call
    async with open_client(build_services(fleet, planned={"sentiment": "feels"})) as client:
        body = await classify(client, "sentiment")
        refused = await client.post("/v1/classify", json={"model": "feels", "input": "a"})
    assert (body["model"], body["fallback"]) == ("minilm", True)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_not_ready")


async def test_a_head_has_the_state_of_its_base(client, fleet):
    card = (await client.get("/v1/models/feels")).json()
    assert (card["state"], card["backend"], card["task"]) == ("ready", "fake-minilm", "classification")
    assert (card["revision"], card["dimensions"]) == (FEELS.revision, None)
    fleet.known["minilm"] = ModelState("failed", "a file differs", 0, True)
    card = (await client.get("/v1/models/muster/feels")).json()
    assert (card["state"], card["reason"]) == ("failed", "a file differs")


async def test_a_head_makes_no_embeddings(client):
    answer = await client.post("/v1/embeddings", json={"model": "feels", "input": "a"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
