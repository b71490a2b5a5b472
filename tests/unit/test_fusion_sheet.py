"""Fusion against a spreadsheet of twenty cases; each column is a step of the arithmetic, worked out by other code."""

import csv
import math
from pathlib import Path

import pytest

from deployments.skills.assessment import Prediction
from deployments.skills.features import FEATURES, FeatureSet
from deployments.skills.fusion import fuse
from deployments.skills.weights import Weights

SHEET = Path(__file__).parents[1] / "data" / "fusion_cases.csv"
CASES = list(csv.DictReader(SHEET.open()))
PLACES = [f"{kind}{n}" for kind in ("ling", "beh") for n in (1, 2, 3)]
SPARE = ("noun_count", "verb_count", "adj_count", "adv_count", "readability_score", "unique_word_count", "event_count")
"""Features that are evidence of no skill: they only make the row more complete."""


def observed(case):
    given = {case[f"{p}_feature"]: float(case[f"{p}_value"]) for p in PLACES if case[f"{p}_value"]}
    used = {case[f"{p}_feature"] for p in PLACES}
    spare = [f.name for f in FEATURES if f.name in SPARE] + [f.name for f in FEATURES if f.name not in (*SPARE, *used)]
    return given, dict.fromkeys(_harmless(case["skill"], spare)[: int(case["other_features"])], 0.0)


def _harmless(skill, names):
    from deployments.skills.normalization import RULES

    evidence = {rule.feature for rules in RULES[skill].values() for rule in rules}
    return [name for name in names if name not in evidence]


def fused(case):
    given, spare = observed(case)
    row = FeatureSet(tuple({**spare, **given}.get(f.name) for f in FEATURES))
    skill, prediction = case["skill"], None
    if case["ml"]:
        ml = float(case["ml"])
        prediction = Prediction(skill, ml, ml, ml, (0.0,) * 26, float(case["half_width"]), 0.9, "v1", synthetic=True)
    weights = Weights(*(float(case[f"w_{name}"]) for name in ("ml", "ling", "beh", "conf")))
    return fuse(row, {skill: prediction}, {skill: weights})[skill]


def test_there_are_twenty_cases():
    assert len(CASES) == 20
    assert {case["skill"] for case in CASES} == {"empathy", "problem_solving", "self_regulation", "resilience"}


@pytest.mark.parametrize("case", CASES, ids=[f"{case['skill']}: {case['case']}" for case in CASES])
def test_fusion_equals_the_spreadsheet(case):
    result = fused(case)
    assert result.score == pytest.approx(float(case["score"]), abs=6e-5)
    assert result.confidence == pytest.approx(float(case["confidence"]), abs=6e-5)
    assert result.parts.calibrated_spread == pytest.approx(float(case["spread"]), abs=1e-6)
    assert result.parts.extremity == pytest.approx(float(case["extremity"]), abs=1e-6)
    assert result.parts.completeness == pytest.approx(float(case["completeness"]), abs=1e-6)
    scores = {item.feature: item for item in result.evidence}
    for place in PLACES:
        item = scores.get(case[f"{place}_feature"])
        if item is not None and case[f"{place}_value"]:
            assert item.score == pytest.approx(float(case[f"{place}_normalised"]), abs=1e-6)
            source = float(case["w_ling"] if place.startswith("ling") else case["w_beh"])
            weight = source / float(case["weight_sum"]) * float(case[f"{place}_share"])
            assert item.weight == pytest.approx(weight, abs=2e-6)


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_spreadsheet_s_own_columns_agree(case):
    """Whoever changes a figure in the sheet has to change those that follow from it."""
    shares = {"ling": "w_ling", "beh": "w_beh"}
    parts = [(float(case[w]), float(case[f"{kind}_score"])) for kind, w in shares.items() if case[f"{kind}_score"]]
    parts += [(float(case["w_ml"]), float(case["ml"]))] if case["ml"] else []
    base = math.fsum(w * s for w, s in parts) / math.fsum(w for w, _ in parts)
    assert base == pytest.approx(float(case["base"]), abs=2e-6)
    factor = 1 + float(case["w_conf"]) * (float(case["confidence"]) - 0.5)
    assert min(1.0, base * factor) == pytest.approx(float(case["score"]), abs=2e-6)
