"""``/v1/classify`` and ``/v1/zero-shot``: shapes, roles, and who stands in for whom."""

import asyncio

import numpy as np
import pytest
from http_fakes import MINILM, FakeFleet, build_services, vector

from deployments.call import ModelState
from deployments.errors import ContextLengthExceeded, EngineFault, ModelNotReady, Overloaded
from deployments.label_sets import EMOTIONS, SENTIMENTS
from model_store.catalogue import Prefixes

READY = ModelState("ready", None, 1)
ALL = {name: READY for name in ("minilm", "skills", "moods", "entails")}


async def classify(client, model="moods", text="a text", **body):
    return await client.post("/v1/classify", json={"model": model, "input": text, **body})


async def zero_shot(client, text="a text on sport", **body):
    return await client.post("/v1/zero-shot", json={"input": text, "labels": ["money", "sport"], **body})


@pytest.fixture
def deployed(fleet):
    """Every model is deployed and ready."""
    fleet.known = dict(ALL)
    return fleet


async def test_an_exact_model_answers_in_its_own_labels(client, deployed):
    body = (await classify(client, text=["one", "two"])).json()
    assert [row["index"] for row in body["data"]] == [0, 1]
    assert [row["label"] for row in body["data"][0]["labels"]] == ["joy", "anger", "neutral"]
    assert body["data"][0]["labels"][0]["score"] == pytest.approx(0.7)
    assert "polarity" not in body["data"][0]
    assert (body["model"], body["revision"], body["fallback"]) == ("moods", "r" * 40, False)
    assert body["usage"]["prompt_tokens"] == 6
    top = (await classify(client, top_k=1)).json()["data"][0]["labels"]
    assert [row["label"] for row in top] == ["joy"]


async def test_a_role_answers_in_the_roles_labels(client, deployed):
    body = (await classify(client, "emotion")).json()
    assert sorted(row["label"] for row in body["data"][0]["labels"]) == sorted(EMOTIONS)
    assert sum(row["score"] for row in body["data"][0]["labels"]) == pytest.approx(1)
    assert (body["model"], body["fallback"]) == ("moods", False)


async def test_stars_become_sentiment_with_polarity(client, deployed):
    deployed.moods = {"1 star": 0.0, "2 stars": 0.1, "3 stars": 0.2, "4 stars": 0.3, "5 stars": 0.4}
    row = (await classify(client, "sentiment")).json()["data"][0]
    assert {each["label"]: pytest.approx(each["score"]) for each in row["labels"]} == {
        "negative": 0.1,
        "neutral": 0.2,
        "positive": 0.7,
    }
    assert row["polarity"] == pytest.approx(0.4 * 1 + 0.3 * 0.5 - 0.1 * 0.5)


@pytest.mark.parametrize(
    "broken",
    [
        {"known": {"minilm": READY}},
        {"known": {**ALL, "moods": ModelState("failed", "a file differs", 0, True)}},
        {"known": ALL, "down": ModelNotReady("moods")},
        {"known": ALL, "down": EngineFault("broken")},
    ],
    ids=["not deployed", "failed", "gone", "faulty"],
)
async def test_a_role_falls_back_to_likeness_and_says_so(client, fleet, broken):
    fleet.known = broken["known"]
    if "down" in broken:
        fleet.down["moods"] = broken["down"]
    body = (await classify(client, "emotion", ["one", "two"])).json()
    assert (body["model"], body["fallback"], len(body["data"])) == ("minilm", True, 2)
    assert sorted(row["label"] for row in body["data"][0]["labels"]) == sorted(EMOTIONS)
    assert (
        'muster_fallbacks_total{lane="bulk",model="minilm",role="emotion"} 1.0' in (await client.get("/metrics")).text
    )
    row = (await classify(client, "sentiment")).json()["data"][0]
    assert sorted(each["label"] for each in row["labels"]) == sorted(SENTIMENTS)
    assert -1 <= row["polarity"] <= 1


async def test_the_exact_name_never_falls_back(client, deployed):
    deployed.down["moods"] = ModelNotReady("moods")
    assert (await classify(client, "moods")).status_code == 503


async def test_too_much_work_is_no_reason_to_fall_back(client, deployed):
    deployed.down["moods"] = Overloaded(3)
    answer = await classify(client, "emotion")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


async def test_a_model_that_goes_while_it_is_asked_is_left_for_the_next(client, deployed):
    async def call(application, inputs, options, context):
        if application == "moods":
            deployed.known = {**ALL, "moods": ModelState("loading")}
            await asyncio.sleep(20)
        return await FakeFleet.call(deployed, application, inputs, options, context)

    deployed.call = call
    body = (await classify(client, "emotion")).json()
    assert (body["model"], body["fallback"]) == ("minilm", True)


async def test_the_planned_model_is_the_first_choice(deployed, open_client):
    async with open_client(build_services(deployed, planned={"emotion": "minilm"})) as client:
        body = (await classify(client, "emotion")).json()
        assert (body["model"], body["fallback"]) == ("minilm", False)
        cards = {card["id"]: card for card in (await client.get("/v1/models")).json()["data"]}
        assert (cards["minilm"]["plays"], cards["moods"]["plays"]) == (["embedding", "emotion"], ["sentiment"])
        client.services.catalogue.plan({"emotion": "moods"})
        assert (await classify(client, "emotion")).json()["model"] == "moods"


async def test_the_embedding_role_never_changes_its_model(client, fleet):
    fleet.known = {"moods": READY}
    fleet.down["minilm"] = ModelNotReady("minilm")
    answer = await client.post("/v1/embeddings", json={"model": "embedding", "input": "a"})
    assert answer.status_code == 503


async def test_entailment_takes_the_clients_labels(client, deployed):
    body = (await zero_shot(client)).json()
    assert [row["label"] for row in body["data"][0]["labels"]] == ["sport", "money"]
    assert (body["model"], body["fallback"]) == ("entails", False)
    application, items, options, _ = deployed.calls[-1]
    assert application == "entails"
    assert items[0]["hypothesis_template"] == "This example is {}."
    assert options == {"truncate": "error"}
    loose = (await zero_shot(client, multi_label=True)).json()["data"][0]["labels"]
    assert sum(row["score"] for row in loose) > 1


async def test_likeness_stands_in_for_entailment(client, fleet):
    body = (await zero_shot(client, text=["x", "y"], hypothesis_template="On {}.")).json()
    assert (body["model"], body["fallback"]) == ("minilm", True)
    assert fleet.calls[-1][1] == ["x", "y", "On money.", "On sport."]
    cosine = float(vector("x") @ vector("On sport."))
    loose = (await zero_shot(client, text="x", hypothesis_template="On {}.", multi_label=True)).json()
    scores = {row["label"]: row["score"] for row in loose["data"][0]["labels"]}
    assert scores["sport"] == pytest.approx(max(0, cosine), abs=1e-6)


async def test_errors_name_the_clients_own_field(client, fleet):
    fleet.errors = {1: ContextLengthExceeded("too long", "x")}
    refused = (await classify(client, "emotion", ["a", "b"])).json()["error"]
    assert (refused["code"], refused["param"]) == ("context_length_exceeded", "input[1]")
    refused = (await zero_shot(client, text="a")).json()["error"]
    assert refused["param"] == "labels[0]"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"labels": []}, "labels"),
        ({"labels": ["a"] * 65}, "labels"),
        ({"labels": ["a", "a"]}, "labels[1]"),
        ({"labels": ["a", " "]}, "labels[1]"),
        ({"labels": ["a", "b" * 257]}, "labels[1]"),
        ({"labels": ["a\x00"]}, "labels[0]"),
        ({"labels": [1]}, "labels[0]"),
        ({"labels": "a"}, "labels"),
        ({"hypothesis_template": "no place"}, "hypothesis_template"),
        ({"hypothesis_template": "{} {}"}, "hypothesis_template"),
        ({"multi_label": "yes"}, "multi_label"),
        ({"model": "emotion"}, "model"),
        ({"model": "minilm"}, "model"),
        ({"model": "moods"}, "model"),
        ({"input": []}, "input"),
        ({"input": "a\x00"}, "input"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_a_wrong_field_is_named(client, deployed, body, param):
    answer = await zero_shot(client, **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("model", ["chat", "zero-shot", "minilm", "entails"])
async def test_what_does_not_classify_is_refused(client, deployed, model):
    answer = await classify(client, model)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


async def test_foreign_labels_cannot_play_a_role(client, deployed):
    deployed.moods = {"spam": 0.5, "ham": 0.5}
    body = (await classify(client, "emotion")).json()
    assert (body["model"], body["fallback"]) == ("minilm", True)


async def test_prefixes_are_written_before_the_texts(fleet, open_client, monkeypatch):
    monkeypatch.setattr(MINILM, "prefixes", Prefixes(query="query: ", passage="passage: "))
    async with open_client(build_services(fleet)) as client:
        for asked, prefix in ((None, "query: "), ("query", "query: "), ("passage", "passage: ")):
            body = {"model": "embedding", "input": "a", "input_type": asked}
            answer = (await client.post("/v1/embeddings", json=body)).json()
            assert np.array_equal(np.float32(answer["data"][0]["embedding"]), vector(f"{prefix}a"))
        await classify(client, "emotion", "a")
        assert fleet.calls[-1][1][0] == "query: a"
