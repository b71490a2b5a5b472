"""Behavioural features from events: each of the nine by hand, order, duplicates, the clock, and what is refused."""

import random
from uuid import UUID

import pytest

from deployments.errors import InvalidInput
from deployments.skills.behavior import DAY_S, MAX_EVENTS, aggregate, kept
from deployments.skills.events import AHEAD_S, MAX_DATA_BYTES, Event, parse_event, unique, unpacked
from deployments.skills.features import FeatureSet

NOW = 1_780_000_000.0
DAYS = 90


def event(number, kind, at=0.0, session="s", **fields):
    return Event(str(UUID(int=number)), NOW - 10_000 + at, kind, session, **fields)


def body(**changes):
    return {
        "event_id": str(UUID(int=7)),
        "student_id": "ada",
        "session_id": "s1",
        "mission_id": "m1",
        "event_type": "task_completed",
        "timestamp": "2026-03-01T09:30:00Z",
        "data": {"task_id": "t1", "expected_seconds": 60, "seconds": 45.5, "score": 3},
        "game_version": "1.2.0",
    } | changes


PLAYED = [
    event(1, "task_started", 0, task="a", expected_s=100.0),
    event(2, "task_failed", 50, task="a"),
    event(3, "task_retried", 60, task="a"),
    event(4, "task_completed", 110, task="a"),  # took 50 s since the retry
    event(5, "task_started", 120, task="b", expected_s=30.0),
    event(6, "pause", 140),
    event(7, "task_completed", 200, task="b", taken_s=60.0),
    event(8, "task_started", 210, task="c"),
    event(9, "task_retried", 230, task="c"),
    event(10, "task_failed", 240, task="c"),
    event(11, "help_peer", 250),
    event(12, "lead_discussion", 260),
    event(13, "jumped", 1000),
    event(14, "looked_around", 1100),
    event(15, "team_decision", 1100, session="other"),
]


def test_the_nine_features_by_hand():
    assert aggregate(PLAYED, NOW, DAYS) == {
        "task_completion_rate": 2 / 3,
        "time_efficiency": (100 + 30) / (50 + 60),
        "retry_count": 2.0,
        "recovery_rate": 1 / 2,
        "distraction_resistance": 1 - 1 / 15,
        # 0..140, ended by the pause; 200..260; 1000..1100 after a silence; the other session has no length.
        "focus_duration": (140 + 60 + 100) / 3,
        "collaboration_indicators": 2.0,
        "leadership_indicators": 1.0,
        "event_count": 15.0,
    }


def test_a_perfect_player_completes_everything():
    played = [event(i, kind, i, task="a") for i, kind in enumerate(("task_started", "task_completed"))]
    assert aggregate(played, NOW, DAYS)["task_completion_rate"] == 1.0


def test_order_of_arrival_does_not_matter():
    expected = aggregate(PLAYED, NOW, DAYS)
    for seed in range(20):
        shuffled = random.Random(seed).sample(PLAYED, len(PLAYED))
        assert aggregate(shuffled, NOW, DAYS) == expected


def test_what_was_not_observed_is_missing():
    found = aggregate([event(1, "jumped")], NOW, DAYS)
    assert found == {
        "retry_count": 0.0,
        "distraction_resistance": 1.0,
        "collaboration_indicators": 0.0,
        "leadership_indicators": 0.0,
        "event_count": 1.0,
    }
    assert aggregate([], NOW, DAYS) == {}


def test_the_same_task_in_two_missions_is_two_tasks():
    played = [event(1, "task_completed", task="a", mission="m1"), event(2, "task_started", task="a", mission="m2")]
    assert aggregate(played, NOW, DAYS)["task_completion_rate"] == 0.5


def test_a_completion_whose_start_is_lost_still_counts():
    assert aggregate([event(1, "task_completed", task="a")], NOW, DAYS)["task_completion_rate"] == 1.0


def test_one_completion_rewards_one_retry():
    played = [event(i, "task_retried", i, task="a") for i in range(3)] + [event(9, "task_completed", 9, task="a")]
    found = aggregate(played, NOW, DAYS)
    assert (found["retry_count"], found["recovery_rate"]) == (3, 1 / 3)


def test_efficiency_is_bounded_and_survives_no_time_at_all():
    quick = [event(1, "task_completed", task="a", expected_s=1000.0, taken_s=0.001)]
    assert aggregate(quick, NOW, DAYS)["time_efficiency"] == 10.0
    instant = [event(i, k, 0, task="a", expected_s=9.0) for i, k in enumerate(("task_started", "task_completed"))]
    assert "time_efficiency" not in aggregate(instant, NOW, DAYS)


def test_only_the_newest_events_of_the_last_days_count():
    old = [event(1, "pause", -DAYS * DAY_S)]
    assert aggregate([*old, *PLAYED], NOW, DAYS) == aggregate(PLAYED, NOW, DAYS)
    many = [event(i, "jumped", i / 100) for i in range(MAX_EVENTS + 50)]
    assert [e.event_id for e in kept(many, NOW, DAYS)] == [e.event_id for e in many[50:]]


def test_any_events_give_valid_features():
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
    for seed in range(50):
        draw = random.Random(seed)
        events = [
            event(i, draw.choice(kinds), draw.uniform(0, 5000), draw.choice("pq"), task=draw.choice("abc"),
                  expected_s=draw.choice([None, 60.0]), taken_s=draw.choice([None, 30.0]))
            for i in range(draw.randrange(1, 80))
        ]  # fmt: skip
        FeatureSet.parse({"behavioral": aggregate(events, NOW, DAYS)})


def test_an_event_is_parsed_packed_and_unpacked():
    student, parsed = parse_event(body(), NOW)
    assert student == "ada"
    assert parsed == Event(str(UUID(int=7)), 1_772_357_400.0, "task_completed", "s1", "m1", "t1", 60.0, 45.5)
    assert unpacked(parsed.packed() + b"," + parsed.packed()) == [parsed, parsed]
    assert b"score" not in parsed.packed()
    assert parse_event(body(event_id=str(UUID(int=7)).upper().replace("-", "")), NOW)[1].event_id == parsed.event_id


def test_of_two_events_with_one_id_the_first_counts():
    first, second = event(1, "pause"), event(1, "jumped")
    assert [*unique([first, second]).values()] == [first]


DEEP = {"a": 1}
for _ in range(400):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"event_id": "not-a-uuid"}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"event_id": None}, "event_id"),
        ({"student_id": "a b"}, "student_id"),
        ({"session_id": ""}, "session_id"),
        ({"session_id": ["x"]}, "session_id"),
        ({"mission_id": "x" * 129}, "mission_id"),
        ({"event_type": "TaskDone"}, "event_type"),
        ({"event_type": "1st"}, "event_type"),
        ({"event_type": "pause\n"}, "event_type"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-03-01T09:30:00"}, "timestamp"),
        ({"timestamp": 1772357400}, "timestamp"),
        ({"timestamp": "1999-12-31T23:59:59Z"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+23:59"}, "timestamp"),
        ({"timestamp": "9999-12-31T23:59:59-23:59"}, "timestamp"),
        ({"data": []}, "data"),
        ({"data": {"note": "x" * MAX_DATA_BYTES}}, "data"),
        ({"data": DEEP}, "data"),
        ({"data": {}}, "data.task_id"),
        ({"data": {"task_id": "t", "seconds": -1}}, "data.seconds"),
        ({"data": {"task_id": "t", "seconds": True}}, "data.seconds"),
        ({"data": {"task_id": "t", "expected_seconds": "60"}}, "data.expected_seconds"),
        ({"game_version": "v 1"}, "game_version"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_event_is_refused_by_its_field(changes, param):
    with pytest.raises(InvalidInput) as refused:
        parse_event(body(**changes), NOW, "events[3]")
    assert refused.value.param == f"events[3].{param}"


def test_a_game_s_clock_may_be_a_little_ahead():
    at = parse_event(body(), NOW)[1].at
    assert parse_event(body(), at - AHEAD_S)[1].at == at
    with pytest.raises(InvalidInput):
        parse_event(body(), at - AHEAD_S - 1)
