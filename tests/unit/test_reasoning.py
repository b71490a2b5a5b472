"""Template reasoning and the finished skill object."""

import json
import pickle
import re

import pytest
from trained_skills import engine, fresh_students

from deployments.skills.assessment import Prediction, to_json
from deployments.skills.features import FEATURES, SKILLS, FeatureSet, vector_names
from deployments.skills.fusion import fuse
from deployments.skills.normalization import RULES
from deployments.skills.phrases import WORDS
from deployments.skills.reasoning import assess, explain

CONTRACT = {
    "skill_type",
    "score",
    "band",
    "confidence",
    "confidence_parts",
    "interval",
    "evidence",
    "feature_importance",
    "model_version",
    "inference_time_ms",
    "reasoning",
    "synthetic_model",
}
EVIDENCE = {"source", "evidence_type", "feature", "content", "score", "confidence", "relevance", "weight"}
REASONING = {"text", "strengths", "growth_suggestions", "source", "model", "tokens", "cost_usd"}
ADDED = {"reason", "cached", "estimated"}
NEVER = re.compile(
    r"\b(deficit|disorder|diagnos\w*|symptom\w*|patholog\w*|patient|therap\w*|clinical|impair\w*|abnormal\w*|"
    r"weak\w*|poor\w*|fail\w*|lack\w*|bad\w*|low|inadequate|unable|cannot|at risk|struggl\w*|below)\b",
    re.IGNORECASE,
)


def all_text(reasoning):
    return " ".join((reasoning.text, *reasoning.strengths, *reasoning.growth_suggestions))


@pytest.fixture(scope="module")
def assessed():
    rows = fresh_students()[1][:400]
    return assess(rows, engine().run(engine().prepare(rows, {})))


def test_every_student_gets_text_strengths_and_suggestions(assessed):
    for skills in assessed:
        for assessment in skills.values():
            reasoning, fused = assessment.reasoning, assessment.fused
            observed = [item for item in fused.evidence if item.source != "ml_inference"]
            # What was hardly seen is no strength.
            assert len(reasoning.strengths) == min(2, sum(item.score >= 0.1 for item in observed))
            assert len(reasoning.growth_suggestions) == 2
            assert len(set(reasoning.growth_suggestions)) == 2
            assert f"{fused.score:.2f}" in reasoning.text
            assert fused.band in reasoning.text
            if observed:
                quoted = observed[0].content.removesuffix(".")
                assert quoted[1:] in reasoning.text


def test_it_never_speaks_of_deficits_or_in_clinical_words(assessed):
    everything = " ".join(all_text(a.reasoning) for skills in assessed for a in skills.values())
    everything += " ".join(
        f"{phrase.doing} {phrase.next_step}" for words in WORDS.values() for phrase in words.features.values()
    )
    everything += " ".join(text for words in WORDS.values() for text in (*words.general, *words.stretch))
    assert NEVER.findall(everything) == []


def test_all_bands_are_worded_differently():
    texts = set()
    for estimate in (0.1, 0.4, 0.6, 0.95):
        prediction = Prediction("empathy", estimate, estimate, 0.0, (0.0,) * 26, 0.1, 0.9, "v", synthetic=True)
        texts.add(explain(fuse(FeatureSet((None,) * 25), {"empathy": prediction})["empathy"]).text.split(":")[0])
    assert len(texts) == 4


def test_nothing_observed_names_no_strength():
    prediction = Prediction("empathy", 0.5, 0.5, 0.0, (0.0,) * 26, 0.3, 0.9, "v", synthetic=True)
    reasoning = explain(fuse(FeatureSet((None,) * 25), {"empathy": prediction})["empathy"])
    assert reasoning.strengths == ()
    assert len(reasoning.growth_suggestions) == 2
    assert "first impression" in reasoning.text


def test_one_who_shows_a_skill_already_is_given_something_harder():
    row = FeatureSet(tuple(min(feature.high, 3600) for feature in FEATURES))
    prediction = Prediction("self_regulation", 0.95, 0.95, 0.0, (0.0,) * 26, 0.05, 0.9, "v", synthetic=True)
    reasoning = explain(fuse(row, {"self_regulation": prediction})["self_regulation"])
    assert reasoning.growth_suggestions == WORDS["self_regulation"].stretch


def test_without_the_model_the_words_say_so():
    row = FeatureSet(tuple((feature.low + min(feature.high, 2)) / 2 for feature in FEATURES))
    assert "The skill model took no part" in explain(fuse(row, {"empathy": None})["empathy"]).text


def test_a_strength_is_put_as_strongly_as_it_was_observed():
    def strength(value):
        row = FeatureSet(tuple(value if f.name == "recovery_rate" else None for f in FEATURES))
        prediction = Prediction("resilience", 0.5, 0.5, 0.0, (0.0,) * 26, 0.1, 0.9, "v", synthetic=True)
        return explain(fuse(row, {"resilience": prediction})["resilience"]).strengths[0]

    assert strength(0.9).startswith("Shows strength in")
    assert strength(0.5).startswith("Shows some strength in")
    assert strength(0.1).startswith("Takes first steps in")


@pytest.mark.parametrize("skill", SKILLS)
def test_every_feature_that_can_be_evidence_has_words(skill):
    assert set(WORDS[skill].features) == {rule.feature for rules in RULES[skill].values() for rule in rules}


def test_the_same_assessment_gets_the_same_words(assessed):
    fused = assessed[0]["empathy"].fused
    assert explain(fused) == explain(pickle.loads(pickle.dumps(fused)))


def test_the_skill_object_has_the_contract_s_fields(assessed):
    for skill in SKILLS:
        body = to_json(assessed[0][skill])
        assert set(body) >= CONTRACT
        assert set(body) - CONTRACT == {
            "source_agreement", "sources_missing", "missing_reasons", "warnings", "weights", "model_estimate",
        }  # fmt: skip
        assert body["skill_type"] == skill
        assert body["synthetic_model"] is True
        assert set(body["confidence_parts"]) == {"calibrated_spread", "extremity", "completeness"}
        assert set(body["interval"]) == {"lower", "upper", "level"}
        assert all(set(item) == EVIDENCE for item in body["evidence"])
        assert set(body["reasoning"]) == REASONING | ADDED
        assert (body["reasoning"]["source"], body["reasoning"]["model"]) == ("template", None)
        assert (body["reasoning"]["tokens"], body["reasoning"]["cost_usd"]) == (0, 0.0)
        assert tuple(body["feature_importance"]) == vector_names(skill)
        assert json.loads(json.dumps(body, allow_nan=False)) == body


def test_the_interval_holds_the_score_also_after_rounding(assessed):
    for skills in assessed:
        for assessment in skills.values():
            body = to_json(assessment)
            assert 0 <= body["interval"]["lower"] <= body["score"] <= body["interval"]["upper"] <= 1
