"""Transcripts and game events over HTTP with a real Redis: features, idempotence, erasure, faults, and no skew."""

import asyncio
import csv
import io
import json
import random
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from http_fakes import build_services

from deployments.call import CallContext
from deployments.skills.behavior import MAX_EVENTS
from deployments.skills.events import parse_event
from deployments.skills.features import FEATURES, SKILLS, FeatureSet
from deployments.skills.linguistic.extract import BY_GRAMMAR, NAMES, extract_texts
from deployments.skills.raw_data import read_raw, write_table

TEXTS = ["I felt sad for her, so I asked if she wanted to join us.", "We made a plan. We never give up!"]
TRANSCRIPTS = "/api/v1/students/ada/transcripts"
EVENTS, BATCH = "/api/v1/telemetry/events", "/api/v1/telemetry/batch"
NOW = datetime.now(UTC)


def event(number, kind="jumped", minutes_ago=60.0, student="ada", **data):
    return {
        "event_id": str(UUID(int=number)),
        "student_id": student,
        "session_id": "s1",
        "event_type": kind,
        "timestamp": (NOW - timedelta(minutes=minutes_ago)).isoformat(),
        "data": data,
        "game_version": "1.0",
    }


PLAYED = [
    event(1, "task_started", 50, task_id="a", expected_seconds=60),
    event(2, "task_retried", 49, task_id="a"),
    event(3, "task_completed", 48, task_id="a"),
    event(4, "help_peer", 47),
    event(5, "pause", 46),
]


async def behavior(client, student="ada"):
    return (await client.get(f"/api/v1/students/{student}/features")).json()["behavioral"]


async def test_transcripts_become_features(stored):
    answer = await stored.post(TRANSCRIPTS, json={"texts": TEXTS})
    body = answer.json()
    assert answer.status_code == 200
    expected = extract_texts(TEXTS)
    assert body["linguistic"] == expected.features
    assert (body["path"], body["lexicon"], body["sentiment"]) == ("light", "1.0.0", "vader 3.3.2")
    assert (body["missing"], body["completeness"], body["degraded"]) == ([*BY_GRAMMAR], 0.6875, None)
    held = (await stored.get("/api/v1/students/ada/features")).json()
    assert held["linguistic"] == expected.features
    assert held["sources"]["linguistic"] == expected.provenance()


async def test_transcripts_leave_behavior_and_events_leave_language(stored):
    await stored.put("/api/v1/students/ada/features", json={"behavioral": {"retry_count": 3}})
    await stored.post(TRANSCRIPTS, json={"texts": TEXTS})
    assert await behavior(stored) == {"retry_count": 3}
    await stored.post(BATCH, json={"events": PLAYED})
    held = (await stored.get("/api/v1/students/ada/features")).json()
    assert held["linguistic"]["word_count"] == 22
    assert held["behavioral"]["retry_count"] == 1
    assert set(held["sources"]) == {"linguistic", "behavioral"}


async def test_texts_are_kept_nowhere(stored, redis_server, caplog):
    await stored.post(TRANSCRIPTS, json={"texts": ["Zanzibar is where my teacher lives."]})
    for key in redis_server.command("KEYS", "*").decode().split("\r\n"):
        if key.startswith("muster:"):
            assert b"anzibar" not in redis_server.command("GET", key)
    assert "anzibar" not in caplog.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "texts"),
        ({"texts": []}, "texts"),
        ({"texts": "a text"}, "texts"),
        ({"texts": [7]}, "texts[0]"),
        ({"texts": ["😀", ""]}, "texts"),
        ({"texts": ["Мне было очень грустно."]}, "texts"),
        ({"texts": ["fine", "a\x00b"]}, "texts[1]"),
        ({"texts": ["the " * 60_000]}, "texts"),
        ({"texts": ["hello"], "x": 1}, "x"),
    ],
)
async def test_what_cannot_be_read_is_refused_by_its_field(stored, body, param):
    answer = await stored.post(TRANSCRIPTS, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
    assert (await stored.get("/api/v1/students/ada/features")).status_code == 404


async def test_the_tone_of_the_hosted_model(open_client, fleet, redis_server):
    services = build_services(fleet, redis_server.url, transcript_sentiment="hosted", planned={"sentiment": "feels"})
    async with open_client(services) as client:
        body = (await client.post(TRANSCRIPTS, json={"texts": [*TEXTS, "..."]})).json()
    assert body["sentiment"].startswith("feels ")
    # The fake head says .4 ambiguous, .3 negative, .2 neutral, .1 positive of everything.
    assert body["linguistic"]["positive_sentiment"] == pytest.approx(0.1)
    assert body["linguistic"]["negative_sentiment"] == pytest.approx(-0.3)
    assert [len(call[1]) for call in fleet.calls] == [2]


async def test_a_pipeline_that_cannot_be_loaded_takes_the_light_path_and_says_so(open_client, redis_server, tmp_path):
    async with open_client(build_services(None, redis_server.url, spacy_model=tmp_path)) as client:
        for _ in range(2):
            body = (await client.post(TRANSCRIPTS, json={"texts": TEXTS})).json()
            assert body["path"] == "light"
            assert "MUSTER_SPACY_MODEL" in body["degraded"]


async def test_events_become_features(stored):
    answers = [(await stored.post(EVENTS, json=one)).json() for one in PLAYED]
    assert {answer["status"] for answer in answers} == {"accepted"}
    assert answers[-1]["completeness"] == 1.0
    assert answers[-1]["behavioral"] == {
        "task_completion_rate": 1.0,
        "time_efficiency": 1.0,
        "retry_count": 1.0,
        "recovery_rate": 1.0,
        "distraction_resistance": 0.8,
        "focus_duration": 240.0,
        "collaboration_indicators": 1.0,
        "leadership_indicators": 0.0,
        "event_count": 5.0,
    }
    assert await behavior(stored) == answers[-1]["behavioral"]


async def test_events_are_counted_once_across_batches_and_gateways(open_client, fleet, redis_server):
    async with (
        open_client(build_services(fleet, redis_server.url)) as one,
        open_client(build_services(fleet, redis_server.url)) as two,
    ):
        events = [event(i, "help_peer", 60 - i / 10) for i in range(200)]
        draw = random.Random(4)
        batches = [draw.sample(events, 60) for _ in range(30)] + [events[i::4] for i in range(4)]
        told = await asyncio.gather(
            *((one, two)[i % 2].post(BATCH, json={"events": batch}) for i, batch in enumerate(batches))
        )
        assert {answer.status_code for answer in told} == {200}
        bodies = [answer.json() for answer in told]
        assert sum(body["accepted"] for body in bodies) == 200
        assert sum(body["duplicate"] for body in bodies) == 30 * 60
        found = await behavior(one)
    assert (found["event_count"], found["collaboration_indicators"]) == (200, 200)


async def test_a_batch_is_counted_by_student_and_status(stored):
    events = [*PLAYED, PLAYED[0], event(9, student="bob"), event(10, minutes_ago=91 * 24 * 60, student="cyd")]
    body = (await stored.post(BATCH, json={"events": events})).json()
    assert {name: body[name] for name in ("received", "accepted", "duplicate", "expired")} == {
        "received": 8, "accepted": 6, "duplicate": 1, "expired": 1,
    }  # fmt: skip
    assert [(s["student_id"], s["accepted"], s["duplicate"], s["expired"]) for s in body["students"]] == [
        ("ada", 5, 1, 0), ("bob", 1, 0, 0), ("cyd", 0, 0, 1),
    ]  # fmt: skip
    assert body["students"][2]["behavioral"] == {}
    assert (await stored.get("/api/v1/students/cyd/features")).status_code == 404
    again = (await stored.post(EVENTS, json=events[-1])).json()
    assert again["status"] == "expired"


async def test_late_events_in_any_order_give_the_same(stored):
    await stored.post(BATCH, json={"events": PLAYED})
    expected = await behavior(stored)
    for seed in range(3):
        student = f"late{seed}"
        for one in random.Random(seed).sample(PLAYED, len(PLAYED)):
            await stored.post(EVENTS, json=one | {"student_id": student})
        assert await behavior(stored, student) == expected


async def test_one_wrong_event_and_nothing_of_the_batch_is_stored(stored, redis_server):
    wrong = event(9) | {"event_type": "No Such"}
    answer = await stored.post(BATCH, json={"events": [*PLAYED, wrong]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "events[5].event_type")
    for body, param in (
        ({}, "events"),
        ({"events": []}, "events"),
        ([], "events"),
        ({"events": PLAYED * 201}, "events"),
    ):
        answer = await stored.post(BATCH, json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
    answer = await stored.post(EVENTS, json=event(1, student="batch"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "student_id")
    assert redis_server.command("KEYS", "muster:default:event*") == b"*0\r\n"


async def test_events_are_bounded_and_kept_for_their_days(stored, redis_server):
    services = stored.services
    context = CallContext("r", "default", "bulk", time.monotonic() + 30)
    now = time.time()
    for start in range(0, MAX_EVENTS + 200, 800):
        events = [
            parse_event(event(i, minutes_ago=9000 - i), now) for i in range(start, min(start + 800, MAX_EVENTS + 200))
        ]
        await services.observations.add(context, events, now)
    held = await services.observations.refresh(context, ["ada"], now)
    assert held["ada"]["behavioral"]["event_count"] == MAX_EVENTS
    assert redis_server.command("HLEN", "muster:default:events:ada") == f":{MAX_EVENTS}\r\n".encode()
    assert redis_server.command("ZCARD", "muster:default:event-times:ada") == f":{MAX_EVENTS}\r\n".encode()
    assert redis_server.command("HEXISTS", "muster:default:events:ada", str(UUID(int=0))) == b":0\r\n"
    for name in ("events", "event-times"):
        left = int(redis_server.command("TTL", f"muster:default:{name}:ada")[1:])
        assert 89 * 86_400 < left <= 90 * 86_400
    # Ninety days later a new event drops what is too old.
    later = now + 90 * 86_400 - 3600
    fresh = parse_event(event(9_999, minutes_ago=0), now)
    await services.observations.add(context, [fresh], later)
    assert int(redis_server.command("HLEN", "muster:default:events:ada")[1:]) < MAX_EVENTS


async def test_erasing_a_student_erases_the_events(stored, redis_server):
    await stored.post(BATCH, json={"events": PLAYED})
    await stored.post(TRANSCRIPTS, json={"texts": TEXTS})
    assert (await stored.delete("/api/v1/students/ada")).json()["features"] is True
    assert b"ada" not in redis_server.command("KEYS", "muster:default:event*")
    assert (await stored.get("/api/v1/students/ada/features")).status_code == 404
    assert (await stored.post(EVENTS, json=PLAYED[0])).json()["status"] == "accepted"
    assert (await behavior(stored))["event_count"] == 1


async def test_tenants_have_their_own_students(stored):
    await stored.post(EVENTS, json=PLAYED[0])
    other = CallContext("r", "other", "bulk", time.monotonic() + 9)
    assert await stored.services.observations.refresh(other, ["ada"], time.time()) == {"ada": None}


async def test_without_redis_nothing_is_half_written(stored, redis_server):
    await stored.post(BATCH, json={"events": PLAYED[:2]})
    redis_server.kill()
    for path, body in ((BATCH, {"events": PLAYED}), (EVENTS, PLAYED[2]), (TRANSCRIPTS, {"texts": TEXTS})):
        answer = await stored.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    redis_server.start()
    until = time.monotonic() + 6
    while (answer := await stored.post(BATCH, json={"events": PLAYED})).status_code != 200:
        assert time.monotonic() < until, "did not heal"
        await asyncio.sleep(0.05)
    assert (answer.json()["accepted"], answer.json()["duplicate"]) == (3, 2)
    assert (await behavior(stored))["event_count"] == 5


async def test_what_a_fault_left_undone_is_made_up_for(stored):
    """Events are stored and the features are not: the same batch again does the rest."""
    now = time.time()
    context = CallContext("r", "default", "bulk", time.monotonic() + 9)
    await stored.services.observations.add(context, [parse_event(one, now) for one in PLAYED], now)
    assert (await stored.get("/api/v1/students/ada/features")).status_code == 404
    body = (await stored.post(BATCH, json={"events": PLAYED})).json()
    assert (body["accepted"], body["duplicate"]) == (0, 5)
    assert (await behavior(stored))["event_count"] == 5


async def test_a_damaged_event_is_an_honest_503(stored, redis_server):
    await stored.post(EVENTS, json=PLAYED[0])
    redis_server.command("HSET", "muster:default:events:ada", "x", "}{")
    answer = await stored.post(EVENTS, json=PLAYED[1])
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")


async def test_telemetry_is_counted_without_a_client_s_words(stored):
    await stored.post(BATCH, json={"events": [*PLAYED, PLAYED[3], event(77, "zanzibar")]})
    page = (await stored.get("/metrics")).text
    assert 'telemetry_events_processed_total{event_type="help_peer",status="accepted"} 1.0' in page
    assert 'telemetry_events_processed_total{event_type="help_peer",status="duplicate"} 1.0' in page
    assert 'telemetry_events_processed_total{event_type="other",status="accepted"} 1.0' in page
    assert "telemetry_duplicates_total 1.0" in page
    assert "telemetry_batch_size_sum 7.0" in page
    assert "telemetry_event_processing_seconds_count 1.0" in page
    assert "zanzibar" not in page


def _student(seed):
    """One student's raw data: texts and events, some of them twice, late, or without what features need."""
    draw = random.Random(seed)
    phrases = [
        *TEXTS,
        "It was hard, but I kept trying.",
        "Why? I don't know!",
        "He helped me because I asked him.",
        "Ok.",
    ]
    texts = draw.sample(phrases, draw.randrange(0, 4)) or []
    kinds = [
        "task_started",
        "task_completed",
        "task_failed",
        "task_retried",
        "pause",
        "help_peer",
        "make_decision",
        "x",
    ]
    events = [
        event(seed * 1000 + i, draw.choice(kinds), draw.uniform(1, 600), f"s{seed}",
              task_id=draw.choice("abc"), **({"expected_seconds": 31.7} if draw.random() < 0.5 else {}))
        for i in range(draw.randrange(0, 40))
    ]  # fmt: skip
    events += draw.sample(events, len(events) // 4)
    draw.shuffle(events)
    return {"student_id": f"s{seed}", "texts": texts, "events": events}


async def test_training_and_serving_see_the_same_bits(stored, fleet, tmp_path):
    """The same raw data by HTTP to the model's door, and by file to the training table: equal vectors, bit by bit."""
    students = [student for student in map(_student, range(40)) if student["texts"] or student["events"]]
    raw = tmp_path / "raw.jsonl"
    raw.write_text("".join(json.dumps(student) + "\n" for student in students))
    made = io.StringIO()
    assert write_table(read_raw(raw), made, time.time(), 90) == len(students)
    trained = {}
    for row in csv.DictReader(io.StringIO(made.getvalue())):
        values = tuple(float(row[feature.name]) if row[feature.name] else None for feature in FEATURES)
        trained[row["student_id"]] = FeatureSet(values)
    for student in students:
        name, events = student["student_id"], student["events"]
        if student["texts"]:
            answer = await stored.post(f"/api/v1/students/{name}/transcripts", json={"texts": student["texts"]})
            assert answer.status_code == 200
        for start in range(0, len(events), 7):
            answer = await stored.post(BATCH, json={"events": events[start : start + 7]})
            assert answer.status_code == 200
        assert (await stored.post(f"/api/v1/infer/{name}")).status_code == 200
        (served,) = fleet.calls[-1][1]
        for skill in SKILLS:
            assert served.vector(skill).tobytes() == trained[name].vector(skill).tobytes(), (name, skill)
    assert {len(NAMES)} == {sum(f.group == "linguistic" for f in FEATURES)}


async def test_features_do_not_come_back_after_an_erasure(stored, monkeypatch):
    """The student is erased while the features are computed from events that were read before."""
    from deployments import observations

    loop, real = asyncio.get_running_loop(), observations.aggregate
    erased = []

    def slow(events, now, days):
        if not erased:
            erasing = stored.delete("/api/v1/students/ada")
            erased.append(asyncio.run_coroutine_threadsafe(erasing, loop).result(5).status_code)
        return real(events, now, days)

    monkeypatch.setattr(observations, "aggregate", slow)
    answer = await stored.post(EVENTS, json=PLAYED[0])
    assert (answer.status_code, erased, answer.json()["behavioral"]) == (200, [200], {})
    assert (await stored.get("/api/v1/students/ada/features")).status_code == 404
