"""The skill graph's stages: the model away, slow or broken, weights that travel with a call, batches with bad students."""

import asyncio
import json

import pytest
from skill_stages import TYPICAL, Graph, Handle, Models, predicted, row_of

from deployments.breaker import Breaker
from deployments.errors import EngineFault, InvalidInput, ModelNotReady, Overloaded, PoisonousItem
from deployments.skills import sources, stages
from deployments.skills.features import SKILLS
from deployments.skills.fusion import NO_MODEL_ANSWER, NOTHING_KNOWN, fuse
from deployments.skills.sources import BROKEN, SILENT, observe
from deployments.skills.weight_book import WeightBook


class DeadReplica(Exception):
    pass


async def test_a_dead_model_still_gives_an_assessment_that_says_so():
    graph = await Graph.open()
    graph.models.error = DeadReplica()
    (answer,) = await graph.answer([TYPICAL])
    assert set(answer) == set(SKILLS)
    for body in answer.values():
        assert body["sources_missing"] == ["ml_inference"]
        assert body["missing_reasons"] == {"ml_inference": SILENT}
        assert NO_MODEL_ANSWER in body["warnings"]
        assert (body["model_version"], body["feature_importance"]) == ("none", {})
        assert body["confidence"] <= 0.5
        assert body["interval"] == {"lower": 0.0, "upper": 1.0, "level": 1.0}
        assert sum(item["weight"] for item in body["evidence"]) == pytest.approx(1.0, abs=1e-3)
        assert {item["source"] for item in body["evidence"]} == {"linguistic_features", "behavioral_features"}
        json.dumps(body, allow_nan=False)
    assert len(graph.models.calls) == 2, "another replica may answer"


async def test_one_replica_s_death_costs_no_source():
    graph = await Graph.open()
    good = graph.models.answer
    asked = 0

    async def answer(call):
        nonlocal asked
        asked += 1
        if asked <= 20:
            await asyncio.sleep(0.01)
            raise DeadReplica
        return await good(call)

    graph.fusion._ask = Handle(answer)
    answers = await asyncio.gather(*(graph.answer([TYPICAL]) for _ in range(20)))
    assert all(answer["empathy"]["sources_missing"] == [] for (answer,) in answers)


async def test_a_model_that_does_not_answer_in_time_is_left_inside_the_deadline():
    models = Models()
    models.wait = asyncio.Event()
    graph = await Graph.open(models=models)
    started = asyncio.get_running_loop().time()
    (answer,) = await graph.answer([TYPICAL], remaining_s=1.5)
    assert asyncio.get_running_loop().time() - started < 1.5
    assert answer["empathy"]["sources_missing"] == ["ml_inference"]
    assert models.calls[0].pieces[0].remaining_s == pytest.approx(1.2)


async def test_clients_in_a_hurry_do_not_take_the_model_from_the_others():
    models = Models()
    models.wait = asyncio.Event()
    graph = await Graph.open(models=models)
    for _ in range(4):
        (answer,) = await graph.answer([TYPICAL], remaining_s=0.1)
        assert answer["empathy"]["sources_missing"] == ["ml_inference"]
    models.wait = None
    (answer,) = await graph.answer([TYPICAL])
    assert answer["empathy"]["sources_missing"] == []


async def test_a_model_that_stays_away_is_not_waited_for():
    now = [0.0]
    graph = await Graph.open(breaker=Breaker(2, 5.0, clock=lambda: now[0]))
    graph.models.error = DeadReplica()
    for _ in range(4):
        (answer,) = await graph.answer([TYPICAL])
        assert answer["empathy"]["sources_missing"] == ["ml_inference"]
    assert len(graph.models.calls) == 4, "twice for each of the first two"
    now[0], graph.models.error = 6.0, None
    (answer,) = await graph.answer([TYPICAL])
    assert answer["empathy"]["sources_missing"] == []


async def test_with_neither_model_nor_observations_there_is_an_honest_error():
    graph = await Graph.open()
    graph.models.error = DeadReplica()
    (answer,) = await graph.answer([row_of(noun_count=5)])
    assert isinstance(answer, ModelNotReady)
    (answer,) = await graph.answer([row_of(empathy_markers=0.2)])
    assert answer["empathy"]["sources_missing"] == ["ml_inference", "behavioral_features"]
    assert answer["resilience"]["score"] == 0.5
    assert answer["resilience"]["warnings"] == [NOTHING_KNOWN]


@pytest.mark.parametrize("error", [InvalidInput("wrong", "x"), Overloaded(3)])
async def test_what_the_client_must_see_is_not_hidden(error):
    graph = await Graph.open()
    graph.models.error = error
    with pytest.raises(type(error)):
        await graph.answer([TYPICAL])
    graph.models.error, graph.models.errors = None, {0: error}
    assert isinstance((await graph.answer([TYPICAL]))[0], type(error))


@pytest.mark.parametrize("error", [PoisonousItem(), EngineFault("x"), ModelNotReady("skills")])
async def test_a_model_s_failure_on_one_student_is_that_student_s_missing_source(error):
    graph = await Graph.open()
    graph.models.errors = {1: error}
    answers = await graph.answer([TYPICAL] * 3, skills=["empathy"])
    assert [answer["empathy"]["sources_missing"] for answer in answers] == [[], ["ml_inference"], []]


async def test_the_model_and_the_observations_are_gathered_at_the_same_time(monkeypatch):
    models, seen = Models(), asyncio.Event()
    models.wait = seen
    loop = asyncio.get_running_loop()

    def watched(row, skills):
        loop.call_soon_threadsafe(seen.set)
        return observe(row, skills)

    monkeypatch.setattr(stages, "observe", watched)
    (answer,) = await (await Graph.open(models=models)).answer([TYPICAL], remaining_s=5)
    assert answer["empathy"]["sources_missing"] == [], "the model answers only once the observations are read"


def test_a_group_that_cannot_be_computed_takes_no_other_along(monkeypatch):
    real = sources.observations

    def broken(row, skill, source):
        if source == "linguistic_features":
            raise ZeroDivisionError
        return real(row, skill, source)

    monkeypatch.setattr(sources, "observations", broken)
    fused = fuse(TYPICAL, {"empathy": predicted("empathy")})["empathy"]
    assert fused.sources_missing == ("linguistic_features",)
    assert dict(fused.missing_reasons) == {"linguistic_features": BROKEN}
    assert fused.confidence <= 0.6


async def test_ninety_eight_good_students_and_two_bad_ones_in_one_model_call():
    graph = await Graph.open()
    graph.models.errors = {17: InvalidInput("cannot be used"), 60: InvalidInput("cannot be used")}
    answers = await graph.answer([TYPICAL] * 100, lane="bulk")
    assert len(graph.models.calls) == 1
    assert [i for i, answer in enumerate(answers) if isinstance(answer, InvalidInput)] == [17, 60]
    assert sum(isinstance(answer, dict) and len(answer) == 4 for answer in answers) == 98


async def test_the_weights_of_the_call_are_those_that_score():
    book = WeightBook.parse(
        {"sets": {"words": {"weights": {"empathy": dict(zip(NAMES, (0.0, 1.0, 0.0, 0.0), strict=True))}}}}
    )
    graph = await Graph.open()
    (usual,) = await graph.answer([TYPICAL], skills=["empathy"], weights=book.option("default"))
    (other,) = await graph.answer([TYPICAL], skills=["empathy"], weights=book.option("words"))
    words = [item for item in usual["empathy"]["evidence"] if item["source"] == "linguistic_features"]
    assert other["empathy"]["score"] != usual["empathy"]["score"]
    assert {item["source"] for item in other["empathy"]["evidence"]} == {"linguistic_features"}
    assert words
    assert other["empathy"]["weights"] == {"set": "words", "revision": 0}


NAMES = ("ml_inference", "linguistic_features", "behavioral_features", "confidence_adjustment")


async def test_an_empty_call_tells_of_the_stage():
    graph = await Graph.open()

    async def bare(call):
        return (await graph.models.answer(call)).__class__([], "r", 1.0, 0.0, "xgboost", {"a": 1})

    graph.fusion._ask = Handle(bare)
    reply = await graph.reasoning.answer(await _empty())
    assert (reply.backend, reply.details["a"]) == ("xgboost", 1)
    assert reply.details["reasoning"]["provider"] == "template"


async def _empty():
    from deployments.wire import Call

    return Call("interactive", [])
