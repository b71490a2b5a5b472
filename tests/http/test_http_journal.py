"""Journals over HTTP: stored and given entries, features asked once, results kept, parts that fail, what is erased."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from http_fakes import FakeFleet, build_services

from deployments.call import ModelState
from deployments.errors import EngineFault, ModelNotReady, Overloaded
from deployments.journal.kept import JournalKept
from deployments.journal.keys import INLINE, buckets

ENTRIES = "/api/v1/journal/ada/entries"
WHOLE, PERSON, NEXT = (
    f"/api/v1/ai/advanced/{path}" for path in ("analysis/comprehensive", "personality-profile", "predictive-analysis")
)
FIRST = datetime(2026, 1, 5, 9, tzinfo=UTC)
MARK = "XmarkedTextX"


def entries(count, first=0, word="word", **more):
    return [
        {
            "id": f"e{n}",
            "text": f"On day {n} I wrote {word}.",
            "created_at": (FIRST + timedelta(days=n)).isoformat(),
            **more,
        }
        for n in range(first, first + count)
    ]


async def store(client, items, path=ENTRIES):
    answer = await client.post(path, json={"entries": items})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(client, path, body, status=200):
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def texts_asked(fleet, since=0):
    """Texts of entries that an application was asked for; probes are one word."""
    asked = [text for app, inputs, _, _ in fleet.calls[since:] if app != "journal" for text in inputs]
    return [text for text in asked if isinstance(text, str) and text.startswith("On day")]


def lasting(body):
    """An answer without what differs from call to call."""
    body = json.loads(json.dumps(body))
    body.get("analysis_summary", {}).pop("processing_time_seconds", None)
    body.pop("processing_metadata")
    return body


# -- entries ---------------------------------------------------------------------------------------------------------


async def test_entries_are_stored_once_by_id_and_replaced_when_they_change(stored):
    assert await store(stored, entries(3)) == {
        "user_id": "ada", "stored": 3, "replaced": 0, "unchanged": 0, "total": 3
    }  # fmt: skip
    changed = [*entries(2), {**entries(1, first=2)[0], "text": "Something else."}, *entries(1, first=3)]
    counts = await store(stored, changed)
    assert (counts["stored"], counts["replaced"], counts["unchanged"], counts["total"]) == (1, 1, 2, 4)
    page = (await stored.get(ENTRIES)).json()
    assert [entry["id"] for entry in page["entries"]] == ["e3", "e2", "e1", "e0"]
    assert page["entries"][1]["text"] == "Something else."
    assert page["next_offset"] is None


async def test_pages_follow_each_other(stored):
    await store(stored, entries(25))
    seen, offset = [], 0
    while offset is not None:
        page = (await stored.get(ENTRIES, params={"limit": 10, "offset": offset})).json()
        seen += [entry["id"] for entry in page["entries"]]
        offset = page["next_offset"]
    assert seen == [f"e{n}" for n in reversed(range(25))]
    assert page["total"] == 25


async def test_another_tenant_and_another_user_see_nothing(stored):
    await store(stored, entries(3))
    page = (await stored.get("/api/v1/journal/bob/entries")).json()
    assert (page["entries"], page["total"]) == ([], 0)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"id": "a b"}, "entries[1].id"),
        ({"id": "e0"}, "entries[1].id"),
        ({"text": ""}, "entries[1].text"),
        ({"text": "a\x00b"}, "entries[1].text"),
        ({"created_at": "yesterday"}, "entries[1].created_at"),
        ({"created_at": "2026-02-30T10:00:00Z"}, "entries[1].created_at"),
        ({"created_at": 1767600000}, "entries[1].created_at"),
        ({"mood": 11}, "entries[1].mood"),
        ({"feeling": "good"}, "entries[1].feeling"),
    ],
)
async def test_a_bad_entry_is_named(stored, change, param):
    one, two = entries(2)
    answer = await stored.post(ENTRIES, json={"entries": [one, {**two, **change}]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)


async def test_bounds(stored, open_client, fleet, redis_server):
    assert (await stored.post(ENTRIES, json={"entries": entries(1001)})).status_code == 422
    assert (await stored.post("/api/v1/journal/~inline/entries", json={"entries": entries(1)})).status_code == 422
    async with open_client(build_services(fleet, redis_server.url, journal_max_entries=5)) as small:
        await store(small, entries(5))
        full = await post(small, ENTRIES, {"entries": entries(1, first=5)}, 422)
        assert full["error"]["param"] == "entries"
        assert (await store(small, entries(5)))["unchanged"] == 5


async def test_writers_at_the_same_time_keep_to_the_bound_and_count_each_entry_once(open_client, fleet, redis_server):
    async with open_client(build_services(fleet, redis_server.url, journal_max_entries=100)) as small:
        batches = [{"entries": entries(20, first=20 * number)} for number in range(20)]
        answers = await asyncio.gather(*(small.post(ENTRIES, json=batch) for batch in batches))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [422] * 15
        assert (await small.get(ENTRIES)).json()["total"] == 100
        await small.delete(ENTRIES)
        answers = await asyncio.gather(*(store(small, entries(10)) for _ in range(8)))
        assert sum(answer["stored"] for answer in answers) == 10
        assert sum(answer["unchanged"] for answer in answers) == 70


async def test_entries_go_when_their_time_is_over(stored, redis_server):
    await store(stored, entries(4))
    redis_server.command("ZADD", "muster:default:journal:ada:stored", "1", "e0", "1", "e1")
    page = (await stored.get(ENTRIES)).json()
    assert ([entry["id"] for entry in page["entries"]], page["total"]) == (["e3", "e2"], 2)
    assert b":2\r\n" in redis_server.command("HLEN", "muster:default:journal:ada:entries")
    assert redis_server.command("HLEN", "muster:default:journal:ada:texts") == b":2\r\n"
    assert int(redis_server.command("TTL", "muster:default:journal:ada:entries")[1:].split()[0]) > 700 * 86400


async def test_erasing_leaves_nothing_of_the_user(stored, redis_server):
    await store(stored, entries(20))
    await post(stored, WHOLE, {"user_id": "ada"})
    erased = (await stored.delete(ENTRIES)).json()
    assert (erased["entries"], erased["results"]) == (20, 3)
    assert erased["features"] >= 60
    keys = redis_server.command("KEYS", "*journal*").decode()
    assert [key for key in keys.split() if "journal" in key] == ["muster:default:journal:ada:epoch"]
    assert (await post(stored, WHOLE, {"user_id": "ada"}, 404))["error"]["code"] == "journal_not_found"
    assert (await stored.delete(ENTRIES)).json()["entries"] == 0


async def test_what_was_begun_before_the_erasure_is_not_kept_after_it(stored, fleet, redis_server):
    await store(stored, entries(12))
    fleet.delay_s = 0.3
    begun = asyncio.create_task(stored.post(WHOLE, json={"user_id": "ada"}))
    await asyncio.sleep(0.1)
    await stored.delete(ENTRIES)
    assert (await begun).status_code == 200
    keys = redis_server.command("KEYS", "*journal:ada*").decode()
    assert "features" not in keys
    assert "results" not in keys


# -- features --------------------------------------------------------------------------------------------------------


async def test_a_new_entry_costs_one_inference_of_each_role(stored, fleet):
    await store(stored, entries(30))
    first = await post(stored, WHOLE, {"user_id": "ada"})
    assert first["processing_metadata"]["computed"] == {"emotion": 30, "sentiment": 30, "embedding": 30}
    assert all(
        options["truncate"] == "window" and (context.lane == "bulk" or len(inputs) < 17)
        for app, inputs, options, context in fleet.calls
        if app != "journal"
    )
    await store(stored, entries(1, first=30))
    since = len(fleet.calls)
    second = await post(stored, WHOLE, {"user_id": "ada"})
    assert second["processing_metadata"]["computed"] == {"emotion": 1, "sentiment": 1, "embedding": 1}
    assert set(texts_asked(fleet, since)) == {"On day 30 I wrote word."}
    assert second["analysis_summary"]["entries_analyzed"] == 31


async def test_features_outlive_the_gateway(stored, open_client, redis_server):
    await store(stored, entries(20))
    await post(stored, WHOLE, {"user_id": "ada"})
    fleet = FakeFleet()
    async with open_client(build_services(fleet, redis_server.url)) as other:
        await store(other, entries(1, first=20))
        await post(other, WHOLE, {"user_id": "ada"})
    assert set(texts_asked(fleet)) == {"On day 20 I wrote word."}


async def test_a_redis_that_is_late_loses_no_feature(stored, open_client, redis_server):
    """Two hundred milliseconds are nothing against the inferences of a whole journal."""
    await store(stored, entries(300))

    async def late(client):
        redis_server.freeze(frozen=True)
        asked = asyncio.create_task(post(client, WHOLE, {"user_id": "ada", "max_entries": 300}))
        await asyncio.sleep(0.2)
        redis_server.freeze(frozen=False)
        return await asked

    assert (await late(stored))["processing_metadata"]["computed"]["embedding"] == 300
    fleet = FakeFleet()
    async with open_client(build_services(fleet, redis_server.url)) as other:
        await store(other, entries(1, first=300))
        await late(other)
    assert set(texts_asked(fleet)) <= {"On day 300 I wrote word."}


async def test_features_kept_and_read_by_a_redis_that_is_late(stored, redis_server):
    kept, values = JournalKept(stored.services.state, 100), {b"%d" % number: b"value" for number in range(300)}

    async def late(work):
        redis_server.freeze(frozen=True)
        asked = asyncio.create_task(work)
        await asyncio.sleep(0.2)
        redis_server.freeze(frozen=False)
        return await asked

    await late(kept.keep_features("default", "ada", b"", values))
    assert await late(kept.features("default", "ada", [*values])) == [b"value"] * 300


async def test_a_full_hash_is_emptied_and_an_erased_writer_gets_nothing_back(stored, redis_server, monkeypatch):
    monkeypatch.setattr("deployments.journal.kept.MOST_FEATURES", 50)
    kept, name = JournalKept(stored.services.state, 100), "muster:default:journal:ada:features"

    async def keep(first, epoch=b""):
        await kept.keep_features("default", "ada", epoch, {b"%d" % number: b"v" for number in range(first, first + 30)})
        return redis_server.command("HLEN", name)

    assert [await keep(0), await keep(0), await keep(30)] == [b":30\r\n", b":30\r\n", b":30\r\n"]
    assert await kept.features("default", "ada", [b"0", b"30"]) == [None, b"v"]
    await stored.delete(ENTRIES)
    assert await keep(60) == b":0\r\n"


async def test_what_is_known_of_a_replaced_text_goes_with_it(stored, redis_server, fleet):
    await store(stored, entries(10))
    await post(stored, WHOLE, {"user_id": "ada"})
    fields = "muster:default:journal:ada:features"
    before = redis_server.command("HLEN", fields)
    await store(stored, [*entries(9, word="otherwise"), {**entries(1, first=9)[0], "mood": 3}])
    assert redis_server.command("HLEN", fields) == b":6\r\n"  # who plays each role, and the one text that stayed
    assert redis_server.command("EXISTS", "muster:default:journal:ada:results") == b":0\r\n"
    since = len(fleet.calls)
    await post(stored, WHOLE, {"user_id": "ada"})
    assert len(set(texts_asked(fleet, since))) == 9
    assert redis_server.command("HLEN", fields) == before


async def test_features_of_given_entries_last_a_day_whoever_comes_later(stored, open_client, redis_server):
    name = buckets("muster:default:journal:~inline:features", INLINE)[0][0]
    await post(stored, WHOLE, {"entries": entries(20)})
    ends = int(redis_server.command("TTL", name)[1:].split()[0])
    assert 12 * 3600 - 5 <= ends <= 24 * 3600
    redis_server.command("EXPIRE", name, "5")
    await post(stored, WHOLE, {"entries": entries(20, word="later")})
    assert int(redis_server.command("TTL", name)[1:].split()[0]) in (ends - 1, ends, ends + 1)
    # Twelve hours later they are read from the hash before.
    bucket = int(name.rsplit(":", 1)[1])
    redis_server.command("RENAME", name, name.replace(str(bucket), str(bucket - 1)))
    fleet = FakeFleet()
    async with open_client(build_services(fleet, redis_server.url)) as other:
        await post(other, WHOLE, {"entries": [*entries(20), *entries(1, first=20)]})
    assert set(texts_asked(fleet)) == {"On day 20 I wrote word."}


async def test_another_revision_is_asked_anew(stored, fleet):
    await store(stored, entries(20))
    before = await post(stored, WHOLE, {"user_id": "ada"})
    call = fleet.call

    async def newer(application, inputs, options, context):
        answer = await call(application, inputs, options, context)
        object.__setattr__(answer, "revision", "n" * 40)
        return answer

    fleet.call = newer
    after = await post(stored, WHOLE, {"user_id": "ada"})
    assert after["processing_metadata"]["computed"]["embedding"] == 20
    assert after["processing_metadata"]["cached"] == []
    assert before["processing_metadata"]["models"] != after["processing_metadata"]["models"]


async def test_no_store_keeps_nothing(stored, redis_server):
    body = {"entries": entries(12)}
    answer = await stored.post(WHOLE, json=body, headers={"Cache-Control": "no-store"})
    assert answer.status_code == 200
    assert "journal" not in redis_server.command("KEYS", "*journal*").decode()


# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "part"), [(WHOLE, "temporal"), (PERSON, "personality"), (NEXT, "predictive")])
async def test_two_gateways_and_a_restart_give_the_same_answer_until_an_entry_changes(
    stored, open_client, redis_server, path, part
):
    await store(stored, entries(20))
    first = await post(stored, path, {"user_id": "ada"})
    async with open_client(build_services(FakeFleet(), redis_server.url)) as other:
        second = await post(other, path, {"user_id": "ada"})
        assert part in second["processing_metadata"]["cached"]
        assert lasting(second) == lasting(first)
        await store(other, [{**entries(1)[0], "text": "On day 0 all was otherwise, and I was hopeless."}])
        third = await post(other, path, {"user_id": "ada"})
    assert third["processing_metadata"]["cached"] == []
    assert lasting(third) != lasting(first)


async def test_results_are_kept_as_long_as_their_kind(stored, redis_server):
    await store(stored, entries(20))
    await post(stored, WHOLE, {"user_id": "ada"})
    state = stored.services.state
    rows = await state.run(lambda redis: redis.hgetall("muster:default:journal:ada:results"))
    now = datetime.now(UTC).timestamp()
    hours = {key.decode().split(":")[0]: (json.loads(row)["until"] - now) / 3600 for key, row in rows.items()}
    assert hours == {part: pytest.approx(h, abs=0.1) for part, h in
                     {"temporal": 2, "personality": 24, "predictive": 4}.items()}  # fmt: skip


@pytest.mark.parametrize("damaged", ["broken", "[]", "7", '{"until": 9e9}', '{"until": "x", "value": {}}'])
async def test_a_damaged_result_is_computed_anew(stored, damaged):
    await store(stored, entries(20))
    first = await post(stored, WHOLE, {"user_id": "ada"})
    name = "muster:default:journal:ada:results"
    fields = await stored.services.state.run(lambda redis: redis.hkeys(name))
    await stored.services.state.run(lambda redis: redis.hset(name, mapping=dict.fromkeys(fields, damaged)))
    again = await post(stored, WHOLE, {"user_id": "ada"})
    assert again["processing_metadata"]["cached"] == []
    assert again["analysis_summary"]["mood"] == first["analysis_summary"]["mood"]


async def test_other_options_are_another_answer(stored):
    await store(stored, entries(20))
    week = await post(stored, NEXT, {"user_id": "ada", "prediction_horizon": 7})
    month = await post(stored, NEXT, {"user_id": "ada", "prediction_horizon": 30, "include_risk_assessment": False})
    assert (week["prediction_horizon"], month["prediction_horizon"]) == (7, 30)
    assert (len(week["risk_factors"]), month["risk_factors"]) == (4, [])


async def test_given_entries_need_no_redis(client):
    whole = await post(client, WHOLE, {"entries": entries(20)})
    assert whole["partial"] == []
    assert whole["analysis_summary"]["personality_included"]
    for path in (PERSON, NEXT, WHOLE):
        assert (await post(client, path, {"entries": entries(12)}))["partial"] == []
    refused = await post(client, WHOLE, {"user_id": "ada"}, 503)
    assert refused["error"]["code"] == "state_unavailable"
    for method in ("POST", "GET", "DELETE"):
        answer = await client.request(method, ENTRIES, json={"entries": entries(1)} if method == "POST" else None)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")


async def test_redis_going_away_leaves_given_entries_as_they_were(stored, redis_server):
    before = await post(stored, WHOLE, {"entries": entries(20)})
    redis_server.kill()
    after = await post(stored, WHOLE, {"entries": entries(20)})
    times = ("created_at", "last_updated")

    def timeless(value):
        if isinstance(value, dict):
            return {name: timeless(each) for name, each in value.items() if name not in times}
        return [timeless(each) for each in value] if isinstance(value, list) else value

    assert timeless(lasting(after)) == timeless(lasting(before))


# -- how much there must be ------------------------------------------------------------------------------------------


async def test_fewest_entries(client):
    for path, fewest in ((WHOLE, 5), (PERSON, 10), (NEXT, 10)):
        few = await post(client, path, {"entries": entries(fewest - 1)}, 422)
        assert few["error"]["param"] == "entries"
        assert str(fewest) in few["error"]["message"]
        await post(client, path, {"entries": entries(fewest)})
    await post(client, PERSON, {"entries": entries(5), "min_entries_required": 5})
    some = await post(client, WHOLE, {"entries": entries(14)})
    assert (some["personality_profile"], some["predictive_analysis"]) == (None, None)
    assert set(some["processing_metadata"]["skipped"]) == {"personality", "predictive"}
    more = await post(client, WHOLE, {"entries": entries(15), "include_personality": False})
    assert more["personality_profile"] is None
    assert more["predictive_analysis"]["risk_factors"]


async def test_an_analysis_of_too_many_characters_is_refused_with_the_way_out(client, fleet):
    long = [{**entry, "text": "word " * 20_000} for entry in entries(60)]
    refused = (await post(client, NEXT, {"entries": long}, 422))["error"]
    assert (refused["param"], "6000000" in refused["message"], "max_entries" in refused["message"]) == (
        "entries", True, True
    )  # fmt: skip
    assert fleet.calls == []
    assert (await post(client, NEXT, {"entries": long, "max_entries": 12}))["entries_analyzed"] == 12


async def test_the_timeframe_counts_back_from_the_newest_entry(stored):
    await store(stored, entries(40))
    answer = await stored.get("/api/v1/ai/comprehensive-analysis", params={"user_id": "ada", "timeframe": "weekly"})
    summary = answer.json()["analysis_summary"]
    assert (summary["entries_analyzed"], summary["timeframe"]) == (7, "weekly")
    assert summary["last_entry"] == entries(40)[-1]["created_at"]
    ten = await post(stored, WHOLE, {"user_id": "ada", "max_entries": 10})
    assert ten["analysis_summary"]["entries_analyzed"] == 10
    assert ten["processing_metadata"]["entries_available"] == 40
    wrong = await stored.get("/api/v1/ai/comprehensive-analysis", params={"user_id": "ada", "timeframe": "hourly"})
    assert wrong.status_code == 422


async def test_both_names_of_a_route_answer_alike(client):
    for one, other in ((PERSON, "analysis/personality"), (NEXT, "analysis/predictive")):
        first = await post(client, one, {"entries": entries(12)})
        second = await post(client, f"/api/v1/ai/advanced/{other}", {"entries": entries(12)})
        assert first.keys() == second.keys()


# -- parts that fail -------------------------------------------------------------------------------------------------


async def test_a_model_that_is_down_is_named_and_the_rest_answered(client, fleet):
    fleet.down = {"minilm": ModelNotReady("minilm", "a file differs")}
    body = await post(client, WHOLE, {"entries": entries(20, mood=5)})
    named = {part["part"]: part["reason"] for part in body["partial"]}
    # The sentiment of this catalogue comes from likeness, which needs the embedding model too.
    assert named == {"embedding": "model_not_ready", "sentiment": "model_not_ready", "emotion": "model_not_ready"}
    assert body["themes"]["found"] == 0
    assert body["predictive_analysis"]["predicted_mood_trends"]["measure"] == "mood"
    assert len(body["predictive_analysis"]["risk_factors"]) == 4


async def test_one_role_fails_alone(client, fleet):
    fleet.known["moods"] = ModelState("ready", None, 1)
    fleet.down = {"minilm": ModelNotReady("minilm", "a file differs")}
    body = await post(client, WHOLE, {"entries": entries(20)})
    assert "emotion" not in {part["part"] for part in body["partial"]}
    assert body["personality_profile"]["emotional_profile"]["joy"] == pytest.approx(70, abs=0.1)


async def test_an_overloaded_model_is_named_and_not_kept(stored, fleet):
    fleet.known["moods"] = ModelState("ready", None, 1)
    fleet.down = {"moods": Overloaded(3.0)}
    await store(stored, entries(20))
    body = await post(stored, WHOLE, {"user_id": "ada"})
    assert {part["part"]: part["reason"] for part in body["partial"]} == {
        "emotion": "overloaded", "sentiment": "overloaded"
    }  # fmt: skip
    assert body["personality_profile"]["emotional_profile"] is None
    fleet.down = {}
    healed = await post(stored, WHOLE, {"user_id": "ada"})
    assert (healed["partial"], healed["processing_metadata"]["cached"]) == ([], [])
    assert healed["processing_metadata"]["computed"] == {"emotion": 20, "sentiment": 20, "embedding": 0}


async def test_an_overloaded_model_is_asked_once_for_all_its_roles(fleet, open_client):
    fleet.down = {"minilm": Overloaded(3.0)}
    async with open_client(build_services(fleet, planned={"sentiment": "feels"})) as client:
        body = await post(client, WHOLE, {"entries": entries(20)})
    assert {"embedding", "sentiment"} <= {part["part"] for part in body["partial"]}
    asked = [options for app, inputs, options, _ in fleet.calls if app == "minilm" and len(inputs) == 20]
    assert [options for options in asked if "heads" in options] == asked[:1]
    assert not [options for options in asked if "head" in options]


async def test_an_overloaded_analysis_is_for_later(client, fleet):
    fleet.down = {"journal": Overloaded(3.0)}
    refused = await post(client, WHOLE, {"entries": entries(20)}, 429)
    assert refused["error"]["code"] == "overloaded"


async def test_heads_on_the_embedding_model_read_a_text_once_with_it(fleet, open_client):
    async with open_client(build_services(fleet, planned={"sentiment": "feels"})) as client:
        body = await post(client, WHOLE, {"entries": entries(20)})
    asked = [options for app, inputs, options, _ in fleet.calls if inputs == [e["text"] for e in entries(20)]]
    assert asked == [{"truncate": "window", "heads": [f"feels@{'f' * 40}"]}]
    assert body["analysis_summary"]["mood"]["sentiment"]["mean"] == pytest.approx(-0.2)
    assert body["processing_metadata"]["models"]["sentiment"]["revision"] == f"{'r' * 40}+{'f' * 12}"


async def test_a_head_that_does_not_serve_leaves_its_base_alone(fleet, open_client):
    call, tried = fleet.call, []

    async def without_head(application, inputs, options, context):
        if address := options.get("head") or options.get("heads", [None])[0]:
            tried.append(options)
            raise ModelNotReady(address, "its file is missing or damaged")
        return await call(application, inputs, options, context)

    fleet.call = without_head
    async with open_client(build_services(fleet, planned={"sentiment": "feels"})) as client:
        body = await post(client, WHOLE, {"entries": entries(20)})
    assert {*(key for options in tried for key in options)} == {"truncate", "head", "heads"}
    assert body["partial"] == []
    models = body["processing_metadata"]["models"]
    assert (models["sentiment"]["model"], models["sentiment"]["fallback"]) == ("minilm", True)
    assert models["embedding"]["fallback"] is False


async def test_what_lacked_a_model_is_not_kept(stored, fleet):
    await store(stored, entries(20))
    fleet.down = {"minilm": ModelNotReady("minilm", "a file differs")}
    assert (await post(stored, WHOLE, {"user_id": "ada"}))["partial"]
    fleet.down = {}
    healed = await post(stored, WHOLE, {"user_id": "ada"})
    assert (healed["partial"], healed["processing_metadata"]["cached"]) == ([], [])


async def test_kept_features_stand_in_for_a_model_that_is_down(stored, open_client, redis_server):
    await store(stored, entries(20))
    await post(stored, WHOLE, {"user_id": "ada"})
    fleet = FakeFleet()
    fleet.down = {"minilm": ModelNotReady("minilm", "a file differs")}
    async with open_client(build_services(fleet, redis_server.url)) as other:
        body = await post(other, WHOLE, {"user_id": "ada"})
    assert body["partial"] == []
    assert body["processing_metadata"]["cached"] == ["temporal", "personality", "predictive"]


async def test_a_slow_model_does_not_take_the_whole_deadline(client, fleet):
    call = fleet.call

    async def slow(application, inputs, options, context):
        if application == "minilm":
            await asyncio.sleep(5)
        return await call(application, inputs, options, context)

    fleet.call = slow
    answer = await client.post(WHOLE, json={"entries": entries(20)}, headers={"X-Deadline-Ms": "1500"})
    assert answer.status_code == 200
    assert {part["reason"] for part in answer.json()["partial"]} == {"deadline_exceeded"}


async def test_without_the_journal_application_there_is_no_analysis(client, fleet):
    fleet.down = {"journal": ModelNotReady("journal", "it is still loading")}
    refused = await post(client, WHOLE, {"entries": entries(20)}, 503)
    assert refused["error"]["code"] == "model_not_ready"


async def test_a_part_that_breaks_is_named(client, monkeypatch):
    from deployments.journal import analysis

    def broken(question, counts):
        raise ValueError(MARK)

    monkeypatch.setitem(analysis.PARTS, "personality", broken)
    body = await post(client, WHOLE, {"entries": entries(20)})
    assert body["partial"] == [{"part": "personality", "reason": "internal_error"}]
    assert body["personality_profile"] is None
    assert body["predictive_analysis"]
    answer = await client.post(PERSON, json={"entries": entries(20)})
    assert answer.status_code == 500
    assert MARK not in answer.text


# -- no text anywhere ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [None, ValueError(f"failed on {MARK}"), EngineFault(f"wrong at {MARK}")])
async def test_no_text_of_a_journal_leaves_by_another_door(
    open_client, redis_server, fleet, tmp_path, caplog, capfd, failure
):
    caplog.set_level(logging.DEBUG)
    log = tmp_path / "access.log"
    marked = entries(20, word=MARK)
    bad = {**marked[0], "mood": MARK}
    doors = [
        ("POST", ENTRIES, {"entries": [*marked[1:], bad]}),
        ("POST", ENTRIES, {"entries": [{**marked[0], "id": f"{MARK} x"}]}),
        ("POST", ENTRIES, {"entries": [{**marked[0], "created_at": MARK}]}),
        ("POST", ENTRIES, {"entries": [{**marked[0], "text": f"{MARK}\x00"}]}),
        ("POST", ENTRIES, {"entries": marked, "mood": MARK}),
        ("POST", f"/api/v1/journal/{MARK} /entries", {"entries": marked}),
        ("POST", WHOLE, {"entries": marked[:3]}),
        ("POST", WHOLE, {"entries": marked, "timeframe": MARK}),
        ("POST", PERSON, {"entries": marked, "min_entries_required": MARK}),
        ("POST", NEXT, {"entries": marked, "prediction_horizon": 31}),
        ("GET", f"/api/v1/ai/comprehensive-analysis?user_id={MARK}%20", None),
    ]
    async with open_client(build_services(fleet, redis_server.url, log=log)) as client:
        await store(client, marked)
        fleet.error = failure
        for method, path, body in doors:
            answer = await client.request(method, path, json=body)
            assert answer.status_code >= 400, (path, answer.text)
            assert MARK not in answer.text, (path, answer.text)
            assert MARK not in str(answer.headers)
        for path in (WHOLE, PERSON, NEXT):
            for body in ({"entries": marked}, {"user_id": "ada"}):
                answer = await client.post(path, json=body)
                assert (answer.status_code == 200) == (failure is None), answer.text
                # What the analysis itself says of the texts may be in the answer, and only in a good one.
                assert answer.status_code == 200 or MARK not in answer.text
        for page in ("/metrics", "/health/detailed", "/api/v1/metrics"):
            assert MARK not in (await client.get(page)).text
    out, err = capfd.readouterr()
    ours = "\n".join(each.getMessage() for each in caplog.records if not each.name.startswith(("httpx", "httpcore")))
    for sink in (log.read_text(), out, err, ours):
        assert MARK not in sink
    keys = redis_server.command("KEYS", "*").decode()
    assert MARK not in keys
    if failure is None:
        for kind in ("features", "results"):
            fields = redis_server.command("HKEYS", f"muster:default:journal:ada:{kind}")
            assert len(fields) > 50
            assert MARK.encode() not in fields
