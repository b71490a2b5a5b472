"""Fusion weights over HTTP: read, change, reload, history, scopes, experiments, and two gateways that agree in a second."""

import asyncio
import json

import pytest
from http_fakes import build_services

from deployments.errors import InvalidInput
from deployments.skills.features import SKILLS
from deployments.skills.weight_book import WeightBook
from deployments.skills.weights import DEFAULT_WEIGHTS
from serve_app.api.weighing import _together
from serve_app.auth import append_key, create_key
from serve_app.errors import SettingsError
from serve_app.weight_keeper import WeightKeeper

PATH = "/api/v1/fusion/weights"
FEATURES = {"linguistic": {"word_count": 120, "empathy_markers": 0.2}, "behavioral": {"retry_count": 3}}
TRIAL = {"ml_inference": 0.2, "linguistic_features": 0.4, "behavioral_features": 0.3, "confidence_adjustment": 0.1}
EXPERIMENT = {
    "version": "2.0.0",
    "description": "More weight on words.",
    "weights": {"resilience": TRIAL},
    "sets": {"words": {"weights": {"empathy": TRIAL}}},
    "experiment": {"name": "autumn", "salt": "a-long-enough-salt", "shares": {"default": 0.5, "words": 0.5}},
}


async def put(client, skill="empathy", body=TRIAL, **options):
    return await client.put(f"{PATH}/{skill}", json=body, **options)


async def test_the_published_weights_are_in_force_without_a_file(client):
    body = (await client.get(PATH)).json()
    assert body["weights"] == {skill: weights.to_json() for skill, weights in DEFAULT_WEIGHTS.items()}
    assert (body["store"], body["revision"], body["sets"], body["experiment"]) == ("memory", 0, {}, None)
    one = (await client.get(f"{PATH}/empathy")).json()
    assert (one["skill_type"], one["ml_inference"], one["weights"]["ml_inference"]) == ("empathy", 0.5, 0.5)
    assert (await client.get(f"{PATH}/courage")).status_code == 404


async def test_a_change_is_what_the_next_assessment_is_sent_with(client, fleet):
    answer = await put(client)
    assert (answer.status_code, answer.json()["weights"]) == (200, TRIAL)
    await client.post("/api/v1/infer/s1/empathy", json={"features": FEATURES})
    sent = fleet.calls[-1][2]["weights"]
    assert (sent["set"], sent["revision"], sent["skills"]["empathy"]) == ("default", 1, [0.2, 0.4, 0.3, 0.1])
    await client.post("/api/v1/infer/batch", json={"rows": [{"features": FEATURES}]})
    assert fleet.calls[-1][2]["weights"] == sent


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**TRIAL, "ml_inference": 0.5}, "weights"),
        ({**TRIAL, "ml_inference": 1.5}, "ml_inference"),
        ({**TRIAL, "ml_inference": "0.2"}, "ml_inference"),
        ({"ml_inference": 1.0}, "weights"),
        ([], "weights"),
        ({**TRIAL, "more": 0}, "weights"),
    ],
)
async def test_weights_that_do_not_fit_are_refused_with_the_field(client, body, param):
    answer = await put(client, body=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
    assert (await client.get(f"{PATH}/empathy")).json()["revision"] == 0


async def test_the_sum_is_named_in_the_refusal(client):
    assert "1.3" in (await put(client, body={**TRIAL, "ml_inference": 0.5})).json()["error"]["message"]


async def test_two_gateways_agree_within_a_second_and_after_a_restart(redis_server, open_client):
    async with (
        open_client(build_services(redis_url=redis_server.url)) as one,
        open_client(build_services(redis_url=redis_server.url)) as two,
    ):
        assert (await put(one)).json()["store"] == "redis"
        await asyncio.sleep(0.9)
        assert (await two.get(f"{PATH}/empathy")).json()["weights"] == TRIAL
        await put(two, "resilience")
    async with open_client(build_services(redis_url=redis_server.url)) as three:
        body = (await three.get(PATH)).json()
    assert (body["weights"]["empathy"], body["weights"]["resilience"], body["revision"]) == (TRIAL, TRIAL, 2)


async def test_changes_at_the_same_time_are_all_kept(redis_server, open_client):
    async with (
        open_client(build_services(redis_url=redis_server.url)) as one,
        open_client(build_services(redis_url=redis_server.url)) as two,
    ):
        clients = [one, two, one, two]
        answers = await asyncio.gather(*(put(c, skill) for c, skill in zip(clients, SKILLS, strict=True)))
        assert {answer.status_code for answer in answers} == {200}
        await one.services.weights.look()
        body = (await one.get(PATH)).json()
        assert body["revision"] == 4
        assert set(map(json.dumps, body["weights"].values())) == {json.dumps(TRIAL)}


async def test_redis_away_keeps_the_last_weights_and_refuses_changes(stored, redis_server, fleet):
    await put(stored)
    redis_server.kill()
    assert (await put(stored, "resilience")).status_code == 503
    await stored.services.weights.look()
    body = (await stored.get(f"{PATH}/empathy")).json()
    assert body["weights"] == TRIAL
    assert "Redis does not answer" in body["problem"]
    await stored.post("/api/v1/infer/s1/empathy", json={"features": FEATURES})
    assert fleet.calls[-1][2]["weights"]["revision"] == 1
    health = (await stored.get("/health/detailed")).json()["components"]["fusion_weights"]
    assert health["status"] == "degraded"


async def test_without_redis_the_file_is_the_truth_for_every_gateway_of_the_node(tmp_path, open_client):
    def services():
        made = build_services()
        object.__setattr__(made, "weights", WeightKeeper(made.state, tmp_path / "w.json"))
        return made

    async with open_client(services()) as one, open_client(services()) as two:
        assert (await put(one)).json()["store"] == "file"
        await asyncio.sleep(0.9)
        assert (await two.get(f"{PATH}/empathy")).json()["weights"] == TRIAL
        (tmp_path / "w.json").write_text("{")
        await two.services.weights.look()
        body = (await two.get(f"{PATH}/empathy")).json()
        assert body["weights"] == TRIAL
        assert "last good weights" in body["problem"]


async def test_reload_takes_the_file_and_the_history_tells_who_did_what(redis_server, open_client, tmp_path):
    file = tmp_path / "w.json"
    file.write_text(json.dumps(EXPERIMENT))
    services = build_services(redis_url=redis_server.url)
    object.__setattr__(services, "weights", WeightKeeper(services.state, file))
    async with open_client(services) as client:
        await put(client, "empathy", DEFAULT_WEIGHTS["empathy"].to_json() | {"ml_inference": 0.505})
        await put(client, "empathy", params={"set": "words"})
        file.write_text(json.dumps({**EXPERIMENT, "version": "2.1.0"}))
        answer = (await client.post(f"{PATH}/reload")).json()
        assert (answer["version"], answer["description"], answer["revision"]) == (
            "2.1.0", "More weight on words.", 3,
        )  # fmt: skip
        changes = (await client.get(f"{PATH}/history")).json()["changes"]
        assert [(change["what"], change["revision"]) for change in changes] == [("reload", 3), ("put", 2), ("put", 1)]
        assert changes[1]["set"] == "words"
        assert changes[2]["new"]["ml_inference"] == 0.505
        assert changes[2]["old"] == DEFAULT_WEIGHTS["empathy"].to_json()
        assert all(change["who"]["tenant"] == "default" and change["at"] for change in changes)
        file.write_text(json.dumps({**EXPERIMENT, "weights": {"empathy": {**TRIAL, "ml_inference": 0.9}}}))
        wrong = await client.post(f"{PATH}/reload")
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (422, "weights.empathy")
        file.unlink()
        assert (await client.post(f"{PATH}/reload")).status_code == 422


async def test_only_an_admin_may_change_weights_or_read_who_did(tmp_path, open_client):
    keys = tmp_path / "keys.jsonl"
    (infer, stored_infer), (admin, stored_admin) = create_key("north"), create_key("office", ("admin",))
    append_key(keys, stored_infer)
    append_key(keys, stored_admin)
    async with open_client(build_services(keys=keys)) as client:
        pupil, head = ({"Authorization": f"Bearer {key}"} for key in (infer, admin))
        assert (await client.get(PATH, headers=pupil)).status_code == 200
        assert (await put(client, headers=pupil)).status_code == 403
        assert (await client.post(f"{PATH}/reload", headers=pupil)).status_code == 403
        assert (await client.get(f"{PATH}/history", headers=pupil)).status_code == 403
        assert (await put(client, headers=head)).status_code == 200
        (change,) = (await client.get(f"{PATH}/history", headers=head)).json()["changes"]
        assert change["who"] == {"tenant": "office", "key": stored_admin.id}
        assert admin not in json.dumps(change)


# -- experiments ---------------------------------------------------------------------------------------------------------


async def test_students_of_an_experiment_are_shared_out_and_the_answer_is_in_order(client, fleet):
    client.services.weights.book = book = WeightBook.parse(EXPERIMENT)
    rows = [{"student_id": f"s{i}", "features": {"linguistic": {"word_count": i + 1}}} for i in range(40)]
    body = (await client.post("/api/v1/infer/batch", json={"rows": rows})).json()
    assert [result["student_id"] for result in body["results"]] == [f"s{i}" for i in range(40)]
    assert body["successful"] == 40
    sent = {call[2]["weights"]["set"]: [row.get("word_count") for row in call[1]] for call in fleet.calls}
    assert sorted(sent) == ["default", "words"]
    for name, counts in sent.items():
        assert counts == [i + 1 for i in range(40) if book.set_for("default", f"s{i}") == name]
    await client.post("/api/v1/infer/s1", json={"features": FEATURES})
    assert fleet.calls[-1][2]["weights"]["set"] == book.set_for("default", "s1")


async def test_errors_of_a_shared_out_batch_stay_with_their_students(client, fleet):
    client.services.weights.book = WeightBook.parse(EXPERIMENT)
    fleet.errors = {0: InvalidInput("cannot be used")}
    rows = [{"student_id": f"s{i}", "features": FEATURES} for i in range(20)]
    body = (await client.post("/api/v1/infer/batch", json={"rows": rows})).json()
    assert (body["successful"], body["failed"]) == (18, 2), "the first of each set"


def test_parts_are_put_together_in_order():
    from deployments.call import Answer

    error = InvalidInput("x")
    parts = [Answer(["a", None], [1, 0], "r", {1: error}), Answer(["b"], [2], "r")]
    whole = _together(3, [[0, 2], [1]], parts)
    assert (list(whole.values), list(whole.costs), dict(whole.errors)) == (["a", "b", None], [1, 2, 0], {2: error})


def test_shares_hold_and_a_student_stays_where_it_is():
    body = {**EXPERIMENT["experiment"], "shares": {"default": 0.8, "words": 0.2}}
    book = WeightBook.parse({**EXPERIMENT, "experiment": body})
    found = [book.set_for("north", f"student-{i}") for i in range(10_000)]
    assert found == [book.set_for("north", f"student-{i}") for i in range(10_000)]
    assert 0.185 < found.count("words") / len(found) < 0.215
    other = WeightBook.parse({**EXPERIMENT, "experiment": {**body, "salt": "another-salt-here"}})
    same = sum(a == other.set_for("north", f"student-{i}") for i, a in enumerate(found)) / len(found)
    assert 0.65 < same < 0.71, "independent of the other experiment"
    assert book.set_for("north", None) == "default"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"shares": {"default": 0.5, "words": 0.4}}, "experiment.shares"),
        ({"shares": {"default": 0.5, "nobody": 0.5}}, "experiment.shares.nobody"),
        ({"shares": {"default": -0.5, "words": 1.5}}, "experiment.shares.default"),
        ({"salt": "short"}, "experiment"),
        ({"more": 1}, "experiment"),
    ],
)
def test_an_experiment_that_does_not_fit_is_refused_with_the_field(change, param):
    with pytest.raises(InvalidInput) as refused:
        WeightBook.parse({**EXPERIMENT, "experiment": {**EXPERIMENT["experiment"], **change}})
    assert refused.value.param == param


@pytest.mark.parametrize("text", ["{", "[]", '{"weights": {"empathy": {}}}', '{"colour": 1}', '{"revision": -1}'])
def test_a_wrong_file_fails_the_start(tmp_path, text):
    file = tmp_path / "w.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match="weights file"):
        WeightKeeper(build_services().state, file)


def test_a_book_reads_back_what_it_writes():
    book = WeightBook.parse(EXPERIMENT).changed("words", "empathy", DEFAULT_WEIGHTS["empathy"], {"tenant": "t"})
    assert WeightBook.parse(json.loads(json.dumps(book.to_json()))) == book


def test_the_history_is_bounded():
    book = WeightBook()
    for _ in range(150):
        book = book.changed("default", "empathy", DEFAULT_WEIGHTS["empathy"], {"tenant": "t"})
    assert (book.revision, len(book.history), book.history[0]["revision"]) == (150, 100, 51)
