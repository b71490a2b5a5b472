"""A language model that misbehaves in every way, over real HTTP, and thirty transcripts that give orders.

No assessment may fail, none may take longer than its deadline, no score may move by a bit, and nothing that was smuggled in
may be read by a teacher.
"""

import asyncio
import json
import re
import time
from pathlib import Path

import pytest
import yaml
from fake_language_model import KEY, good_answer, speaking
from http_fakes import FakeFleet, build_services, serving
from skill_stages import TYPICAL, Given, Graph, language, predicted, row_of

from deployments.breaker import Breaker
from deployments.call import ModelState
from deployments.generation import Delta
from deployments.reasoning import language_model
from deployments.reasoning.facts import facts_of
from deployments.reasoning.language_model import ReasoningRefused
from deployments.reasoning.ledger import MemoryLedger
from deployments.settings import ReasoningSettings
from deployments.skills.features import SKILLS
from deployments.skills.fusion import fuse
from deployments.skills.linguistic.extract import extract, read_sentences

TRANSCRIPTS = yaml.safe_load((Path(__file__).parents[1] / "data" / "injected_transcripts.yaml").read_text())
FAULTS = {
    "timeout": "timeout",
    "drip": "timeout",
    "limited": "rate_limited",
    "broken": "server_error",
    "html": "bad_answer",
    "empty_object": "bad_answer",
    "garbage": "unfit_answer",
    "refusal": "provider_refused",
    "cut": "unfit_answer",
    "echo": "unfit_answer",
    "echo_instructions": "unfit_answer",
    "unauthorised": "unauthorised",
}


@pytest.fixture(scope="module")
def _speaker():
    with speaking() as model:
        yield model


@pytest.fixture
def speaker(_speaker):
    _speaker.reset()
    return _speaker


@pytest.fixture
async def stage(speaker):
    opened = await language(speaker.url)
    yield opened
    await opened.close()


def without_words(answer):
    return {skill: {name: each[name] for name in each if name != "reasoning"} for skill, each in answer.items()}


def words(answer):
    return [each["reasoning"] for each in answer.values()]


def unlimited(stage):
    stage.writer._ledger = stage._ledger = MemoryLedger(stage._caps, clock=iter(range(0, 10**9, 100)).__next__)


async def test_a_good_model_writes_the_words_and_is_accounted_for(stage, speaker):
    (answer,) = await (await Graph.open(stage)).answer([TYPICAL])
    for reasoning in words(answer):
        assert (reasoning["source"], reasoning["model"], reasoning["reason"]) == ("llm", "gpt-4o-mini", None)
        assert (reasoning["tokens"], reasoning["cost_usd"], reasoning["estimated"]) == (620, 0.0, False)
        assert len(reasoning["strengths"]) == len(reasoning["growth_suggestions"]) == 2
    assert len(speaker.asked) == 4
    calls = [event for event in stage.events if event.outcome]
    assert {(e.skill, e.outcome, e.prompt, e.completion) for e in calls} == {(s, "ok", 500, 120) for s in SKILLS}
    assert [event.writer for event in stage.events if event.writer] == ["llm"] * 4


async def test_the_four_skills_are_asked_for_at_the_same_time_and_no_more_than_allowed(speaker):
    speaker.mode = "slow"
    for allowed, running in ((8, 4), (3, 3)):
        speaker.most_running = 0
        stage = await language(speaker.url, concurrency=allowed)
        await (await Graph.open(stage)).answer([TYPICAL])
        assert speaker.most_running == running
        await stage.close()


@pytest.mark.parametrize("mode", FAULTS)
async def test_no_fault_of_the_model_fails_an_assessment_or_outlives_its_deadline(stage, speaker, mode):
    graph = await Graph.open(stage)
    (plain,) = await (await Graph.open()).answer([TYPICAL])
    speaker.mode = mode
    started = time.monotonic()
    (answer,) = await graph.answer([TYPICAL], remaining_s=3.0)
    assert time.monotonic() - started < 3.0
    assert without_words(answer) == without_words(plain)
    for skill, reasoning in zip(answer, words(answer), strict=True):
        expected = {**plain[skill]["reasoning"], "reason": reasoning["reason"]}
        assert reasoning == expected
        assert reasoning["reason"] in (FAULTS[mode], "breaker_open")
    assert FAULTS[mode] in {reasoning["reason"] for reasoning in words(answer)}


async def test_a_hundred_assessments_under_mixed_faults_all_succeed(stage, speaker):
    graph = await Graph.open(stage)
    modes = [mode for mode in FAULTS if mode not in ("timeout", "drip")]
    speaker.next.extend(modes[i % len(modes)] for i in range(400))
    for _ in range(25):
        answers = await graph.answer([TYPICAL] * 4, remaining_s=5.0)
        assert all(isinstance(answer, dict) and set(answer) == set(SKILLS) for answer in answers)


async def test_a_model_that_never_ends_is_left_at_the_deadline(speaker):
    stage = await language(speaker.url, timeout_s=60.0)
    speaker.mode = "timeout"
    started = time.monotonic()
    (answer,) = await (await Graph.open(stage)).answer([TYPICAL], remaining_s=1.5)
    assert time.monotonic() - started < 1.5
    assert {reasoning["source"] for reasoning in words(answer)} == {"template"}
    assert {reasoning["reason"] for reasoning in words(answer)} <= {"deadline", "timeout"}
    await stage.close()


async def test_clients_in_a_hurry_do_not_open_the_breaker(speaker):
    stage = await language(speaker.url, timeout_s=20.0)
    graph = await Graph.open(stage)
    speaker.mode = "timeout"
    for _ in range(3):
        await graph.answer([TYPICAL], remaining_s=0.9)
    assert stage.writer.breaker.state == "closed"
    await stage.close()


async def test_the_breaker_opens_asks_nobody_and_closes_again(stage, speaker):
    now = [0.0]
    stage.writer.breaker = Breaker(6, 30.0, clock=lambda: now[0])
    graph = await Graph.open(stage)
    speaker.mode = "broken"
    await graph.answer([TYPICAL], remaining_s=5)
    assert stage.writer.breaker.state == "open"
    asked = len(speaker.asked)
    (answer,) = await graph.answer([TYPICAL])
    assert {reasoning["reason"] for reasoning in words(answer)} == {"breaker_open"}
    assert len(speaker.asked) == asked
    assert (await stage.describe())["breaker"] == "open"
    now[0], speaker.mode = 31.0, "good"
    assert stage.writer.breaker.state == "half_open"
    (answer,) = await graph.answer([TYPICAL])
    assert [reasoning["source"] for reasoning in words(answer)].count("llm") >= 1
    assert stage.writer.breaker.state == "closed"
    (answer,) = await graph.answer([TYPICAL])
    assert {reasoning["source"] for reasoning in words(answer)} == {"llm"}


async def test_one_bad_answer_is_repaired_once(stage, speaker):
    speaker.next.append("garbage")
    (answer,) = await (await Graph.open(stage)).answer([TYPICAL], skills=["empathy"])
    (reasoning,) = words(answer)
    assert (reasoning["source"], reasoning["tokens"]) == ("llm", 1240)
    assert [message["role"] for message in speaker.asked[1]["messages"]] == ["system", "user", "assistant", "user"]


async def test_every_attempt_takes_a_permit(stage, speaker):
    speaker.next.extend(["broken", "broken"])
    await (await Graph.open(stage)).answer([TYPICAL], skills=["empathy"])
    assert len(speaker.asked) == 3
    assert (await stage._ledger.usage()).minute_left == 47


async def test_a_told_wait_is_kept_inside_the_deadline_and_not_waited_for_beyond_it(stage, speaker):
    graph = await Graph.open(stage)
    speaker.retry_after = 1
    speaker.next.append("limited")
    started = time.monotonic()
    (answer,) = await graph.answer([TYPICAL], skills=["empathy"], remaining_s=10)
    assert words(answer)[0]["source"] == "llm"
    assert time.monotonic() - started >= 1.0
    speaker.retry_after = 3600
    speaker.next.append("limited")
    started = time.monotonic()
    (answer,) = await graph.answer([TYPICAL], skills=["empathy"], remaining_s=10)
    assert words(answer)[0]["reason"] == "rate_limited"
    assert time.monotonic() - started < 3


async def test_a_provider_without_structured_output_is_asked_for_plain_text(stage, speaker):
    speaker.mode = "no_formats"
    (answer,) = await (await Graph.open(stage)).answer([TYPICAL], skills=["empathy"])
    assert words(answer)[0]["source"] == "llm"
    assert [sorted(body.get("response_format", {"type": None}).items())[-1][1] for body in speaker.asked] == [
        "json_schema", "json_object", None,
    ]  # fmt: skip
    assert stage._provider.format == "text"


async def test_words_around_the_object_do_no_harm(stage, speaker):
    speaker.mode = "fenced"
    (answer,) = await (await Graph.open(stage)).answer([TYPICAL], skills=["resilience"])
    assert words(answer)[0]["source"] == "llm"


async def test_tokens_that_were_not_told_are_counted_and_flagged(stage, speaker):
    speaker.mode = "without_usage"
    (answer,) = await (await Graph.open(stage)).answer([TYPICAL], skills=["empathy"])
    (reasoning,) = words(answer)
    assert reasoning["estimated"] is True
    assert reasoning["tokens"] > 400


async def test_equal_facts_are_written_once_and_cost_nothing_again(speaker, redis_server):
    one = await language(speaker.url, redis_server.url, cache_ttl_s=60)
    two = await language(speaker.url, redis_server.url, cache_ttl_s=60)
    (first,) = await (await Graph.open(one)).answer([TYPICAL])
    (again,) = await (await Graph.open(two)).answer([TYPICAL])
    assert len(speaker.asked) == 4
    for before, after in zip(words(first), words(again), strict=True):
        assert (after["source"], after["cached"], after["tokens"], after["cost_usd"]) == ("llm", True, 0, 0.0)
        assert after["text"] == before["text"]
    await (await Graph.open(two)).answer([TYPICAL], owner="south")
    assert len(speaker.asked) == 8, "another tenant's texts serve nobody else"
    keys = redis_server.command("KEYS", "muster:*:reasoning:*")
    assert keys.count(b":reasoning:") == 8 + keys.count(b"_shared:reasoning")
    await one.close()
    await two.close()


async def test_redis_away_means_no_call(speaker, redis_server):
    stage = await language(speaker.url, redis_server.url)
    graph = await Graph.open(stage)
    redis_server.kill()
    (answer,) = await graph.answer([TYPICAL])
    assert {reasoning["reason"] for reasoning in words(answer)} == {"limiter_unavailable"}
    assert speaker.asked == []
    assert (await stage.describe())["status"] == "degraded"
    await stage.close()


async def test_batches_have_the_template_and_say_so(stage, speaker):
    answers = await (await Graph.open(stage)).answer([TYPICAL] * 100, lane="bulk")
    assert len(answers) == 100
    assert {reasoning["reason"] for answer in answers for reasoning in words(answer)} == {"batch"}
    assert speaker.asked == []


async def test_a_student_of_whom_nothing_is_known_is_not_written_about(stage, speaker):
    (answer,) = await (await Graph.open(stage)).answer([row_of(noun_count=3)])
    assert {reasoning["reason"] for reasoning in words(answer)} == {"nothing_observed"}
    assert speaker.asked == []


async def test_a_client_that_leaves_ends_the_writing(speaker):
    stage = await language(speaker.url, timeout_s=20.0)
    graph = await Graph.open(stage)
    speaker.mode = "timeout"
    task = asyncio.create_task(graph.answer([TYPICAL], remaining_s=20))
    while len(speaker.asked) < 4:
        await asyncio.sleep(0.01)
    started = time.monotonic()
    await graph.reasoning.cancel(["r1"])
    await task
    assert time.monotonic() - started < 2
    await stage.close()


# -- budget ------------------------------------------------------------------------------------------------------------


async def test_the_budget_stops_at_its_end_and_warns_before(speaker, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(language_model, "is_local", lambda url: False)
    prices = tmp_path / "prices.yaml"
    prices.write_text("prices: [{model: costly, valid_from: 2020-01-01, input: 100, cached: 50, output: 100}]")
    # One attempt costs 620 tokens x 100 / 1e6 = 0.062, and sets aside what it may cost at most before.
    stage = await language(speaker.url, model="costly", prices=prices, daily_usd=0.5, max_tokens=500)
    graph = await Graph.open(stage)
    costs = []
    for _ in range(12):
        (answer,) = await graph.answer([TYPICAL], skills=["empathy"])
        costs.append((words(answer)[0]["source"], words(answer)[0]["reason"], words(answer)[0]["cost_usd"]))
    written = [cost for source, _, cost in costs if source == "llm"]
    assert written == [0.062] * len(written)
    assert 4 <= len(written) <= 8
    assert costs[-1] == ("template", "daily_budget", 0.0)
    told = await stage.describe()
    assert told["budget"]["day_usd"] == pytest.approx(0.062 * len(written))
    assert told["budget"]["day_usd"] <= 0.5
    await stage.close()


async def test_a_budget_needs_a_price(speaker, monkeypatch):
    monkeypatch.setattr(language_model, "is_local", lambda url: False)
    stage = await language(speaker.url, model="nobody-knows", daily_usd=1.0)
    assert "no price" in stage.problem
    assert stage.writer is None
    await stage.close()


# -- the key -----------------------------------------------------------------------------------------------------------


async def test_a_refused_key_fails_the_start_where_reasoning_is_required(speaker):
    with pytest.raises(ReasoningRefused, match="refuses the key"):
        await language(speaker.url, key="sk-wrong", mode="required")


async def test_a_missing_key_fails_the_start_where_reasoning_is_required():
    with pytest.raises(ReasoningRefused, match="OPENAI_API_KEY"):
        await language("https://api.openai.com/v1", key=None, mode="required")


async def test_a_refused_key_leaves_the_template_where_reasoning_is_optional(speaker, caplog):
    stage = await language(speaker.url, key="sk-wrong")
    (answer,) = await (await Graph.open(stage)).answer([TYPICAL])
    assert {reasoning["reason"] for reasoning in words(answer)} == {"not_configured"}
    told = await stage.describe()
    assert (told["status"], told["key"], told["provider"]) == ("degraded", "refused", "template")
    assert "sk-wrong" not in json.dumps(told) + caplog.text
    await stage.close()


def test_a_wrong_address_is_refused_and_not_repeated():
    for url in ("http://example.org/v1", "https://user:hunter2@example.org/v1", "ftp://x", "https://x?y=1"):
        with pytest.raises(ValueError, match="url") as refused:
            ReasoningSettings(url=url)
        assert "hunter2" not in str(refused.value)


async def test_a_key_that_comes_later_is_found(speaker, monkeypatch):
    source = Given(openai_api_key="sk-wrong")
    stage = await language(speaker.url, source=source)
    graph = await Graph.open(stage)
    source.held["openai_api_key"] = KEY
    stage._secrets.refresh("openai-api-key")
    monkeypatch.setattr(language_model, "KEY_EVERY_S", 0.0)
    await graph.answer([TYPICAL])
    await stage._renewal
    (answer,) = await graph.answer([TYPICAL])
    assert {reasoning["source"] for reasoning in words(answer)} == {"llm"}
    await stage.close()


async def test_a_provider_that_cannot_be_reached_does_not_keep_muster_from_starting():
    stage = await language("http://127.0.0.1:9/v1", mode="required")
    assert stage.checked == "not checked: unreachable"
    await stage.close()


async def test_nothing_sent_is_a_student_s(stage, speaker):
    """Only figures and our own words leave; the requests hold no id, no tenant and no request id."""
    await (await Graph.open(stage)).answer([TYPICAL], owner="north-school")
    assert len(speaker.asked) == 4
    sent = json.dumps(speaker.asked)
    assert "north-school" not in sent
    assert "r1" not in re.findall(r"\w+", sent)
    for body in speaker.asked:
        system, user = body["messages"]
        assert set(body) <= {"model", "messages", "max_tokens", "temperature", "response_format"}
        fence = user["content"].split("\n")[0]
        assert re.fullmatch(r"DATA-[0-9a-f]{16}", fence)
        assert fence in system["content"]
    fences = {body["messages"][1]["content"].split("\n")[0] for body in speaker.asked}
    assert len(fences) == 4


# -- Muster's own chat model -------------------------------------------------------------------------------------------


async def test_muster_s_own_chat_route_can_be_the_provider():
    """It refuses structured output with the reason; the second step down is plain text, and the answer comes back."""
    fleet = FakeFleet()
    fleet.known["talker"] = ModelState("ready", None, 1)
    good = good_answer(facts_of(fuse(TYPICAL, {"empathy": predicted("empathy")})["empathy"]).told(None))
    fleet.deltas = [Delta(good, 400, 90, "stop", revision="f" * 40)]
    with serving(build_services(fleet)) as address:
        stage = await language(f"{address}/v1", key=None, model="chat", timeout_s=5.0)
        assert stage.problem is None
        (answer,) = await (await Graph.open(stage)).answer([TYPICAL], skills=["empathy"])
        (reasoning,) = words(answer)
        assert (reasoning["source"], reasoning["tokens"], reasoning["cost_usd"]) == ("llm", 490, 0.0)
        assert stage._provider.format == "text"
        await stage.close()


# -- transcripts that give orders --------------------------------------------------------------------------------------


def features_of(text):
    """What of a transcript reaches an assessment: figures, by the extractor that the transcripts' route uses."""
    linguistic = {**extract(read_sentences([text]), None, None).features}
    return row_of(**{**BEHAVIOUR, **linguistic})


BEHAVIOUR = {
    "task_completion_rate": 0.5, "recovery_rate": 0.5, "distraction_resistance": 0.7, "collaboration_indicators": 3,
    "focus_duration": 900,
}  # fmt: skip


def test_there_are_thirty():
    assert len({entry["text"] for entry in TRANSCRIPTS}) == 30
    assert all(entry["order"] in entry["text"] for entry in TRANSCRIPTS)


@pytest.mark.parametrize("mode", ["good", "echo", "attacked", "half_attacked"])
async def test_orders_in_a_transcript_move_no_score_and_reach_no_teacher(stage, speaker, mode):
    unlimited(stage)
    with_model, without = await Graph.open(stage), await Graph.open()
    speaker.mode = mode
    for entry in TRANSCRIPTS:
        stage.writer.breaker.succeed()
        speaker.attack = entry["order"]
        row = features_of(entry["text"])
        (answer,), (plain,) = await with_model.answer([row]), await without.answer([row])
        assert json.dumps(without_words(answer)) == json.dumps(without_words(plain))
        for skill, reasoning in zip(answer, words(answer), strict=True):
            told = json.dumps([reasoning[name] for name in ("text", "strengths", "growth_suggestions")])
            if reasoning["source"] == "llm":
                assert not [order for order in _parts(entry["order"]) if order.lower() in told.lower()]
            assert reasoning["source"] == ("llm" if mode == "good" else "template"), entry
            if mode != "good":
                assert reasoning == {**plain[skill]["reasoning"], "reason": reasoning["reason"]}
    if mode == "good":
        assert all(entry["order"] not in json.dumps(speaker.asked) for entry in TRANSCRIPTS)


def _parts(order):
    """The order, and each run of four words in it."""
    run = order.split()
    return [order, *(" ".join(run[i : i + 4]) for i in range(max(1, len(run) - 3)))]
