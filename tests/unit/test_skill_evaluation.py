"""Measures against scipy and by hand, the evaluation of a bundle, its report, tuning without optuna, the cards."""

import builtins
import json
import re
import xml.dom.minidom
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from trained_skills import engine, report

from deployments.errors import UnusableData
from deployments.skills.evaluate import evaluate, held_out
from deployments.skills.evaluation_report import write_report
from deployments.skills.features import SCHEMA_HASH, SKILLS
from deployments.skills.hyperparameters import PRESETS, read_parameters
from deployments.skills.measures import QUALITY, SMALLEST_GROUP, Judged, baseline, measure, measure_groups, shortfalls
from deployments.skills.model_card import model_card
from deployments.skills.training_data import synthetic_data
from deployments.skills.tune import TunerMissing, tune

ROOT = Path(__file__).parents[2]


def judged(n=500, seed=3):
    rng = np.random.default_rng(seed)
    target = rng.random(n).round(2)
    estimate = (target + rng.normal(0, 0.1, n)).clip(0, 1)
    return Judged(estimate, target, (estimate - 0.15).clip(0, 1), (estimate + 0.15).clip(0, 1))


def test_figures_equal_those_of_scipy():
    one = judged()
    found = measure(one)
    assert found["pearson"] == pytest.approx(stats.pearsonr(one.estimate, one.target)[0], abs=1e-4)
    assert found["spearman"] == pytest.approx(stats.spearmanr(one.estimate, one.target)[0], abs=1e-4)
    assert found["mae"] == pytest.approx(np.abs(one.estimate - one.target).mean(), abs=1e-4)
    assert found["coverage"] == pytest.approx(np.mean(np.abs(one.estimate - one.target) <= 0.15), abs=0.02)


def test_small_groups_are_not_told():
    one = judged()
    column = np.array(["large"] * (500 - SMALLEST_GROUP + 1) + ["small"] * (SMALLEST_GROUP - 1))
    found = measure_groups(one, {"school": column, "band": np.array(["", "x"] * 250)})
    assert set(found) == {"school: large", "band: x"}
    assert found["band: x"]["rows"] == 250


def test_the_mean_predictor_explains_nothing():
    target = judged().target
    assert baseline(float(target.mean()), target)["r2"] == 0.0


def test_targets_are_met_or_named():
    assert shortfalls("empathy", {"r2": 0.8, "mae": 0.08}) == []
    assert shortfalls("empathy", {"r2": 0.7, "mae": 0.12}) == ["R2 0.700 is below 0.75", "MAE 0.120 is above 0.10"]


def test_a_bundle_is_judged_on_rows_it_has_not_seen():
    found = evaluate(engine().serving)
    assert found.version == report().version
    assert found.data["rows"] == "test rows of its own training data"
    for skill in SKILLS:
        one = found.skills[skill]
        assert one.rows == 600
        # The figures of the training run, by another way: the engine's predictions.
        recorded = report().metrics[skill]
        assert {name: one.metrics[name] for name in recorded} == pytest.approx(dict(recorded), abs=2e-4)
        assert one.target == {"r2": QUALITY[skill][0], "mae": QUALITY[skill][1]}
        assert list(one.reliability) == ["0.5", "0.6", "0.7", "0.8", "0.9", "0.95"]
        for level, share in one.reliability.items():
            assert share == pytest.approx(float(level), abs=0.09)
        assert one.unknown_grade_coverage >= one.metrics["coverage"] - 0.02
        spread = one.parts["calibrated_spread"]
        assert len(spread) == 10
        assert spread[0][1] > spread[-1][1], "where the interval is narrow the error is small"


def test_another_file_is_judged_whole():
    found = evaluate(engine().serving, synthetic_data(1500, seed=77))
    assert found.data["rows"] == "other data than it was trained on"
    assert found.skills["empathy"].rows == 1500
    assert found.skills["empathy"].metrics["coverage"] == pytest.approx(0.9, abs=0.05)


def test_rated_models_are_judged_by_a_file_only():
    with pytest.raises(UnusableData, match="--data"):
        held_out(engine().record.model_copy(update={"synthetic_model": False}), None)


def test_the_data_it_was_trained_on_are_split_again():
    assert evaluate(engine().serving, synthetic_data(4000, seed=42)).skills["empathy"].rows == 600


def test_the_report_is_written_and_can_be_read(tmp_path):
    paths = write_report(evaluate(engine().serving), tmp_path / "report")
    names = {path.name for path in paths}
    assert {"evaluation.json", "evaluation.md", "reliability.svg", "confidence-extremity.svg"} <= names
    told = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert set(told["skills"]) == set(SKILLS)
    text = (tmp_path / "report" / "evaluation.md").read_text()
    for image in re.findall(r"\]\(([\w-]+\.svg)\)", text):
        assert image in names
    for path in paths:
        if path.suffix == ".svg":
            document = xml.dom.minidom.parse(str(path))
            assert len(document.getElementsByTagName("polyline")) == len(SKILLS)
    assert "{" not in text


# --- tuning and settings ---------------------------------------------------------------------------------------------


def test_tuning_without_optuna_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TunerMissing, match=r"pip install 'muster\[tune\]'"):
        tune(synthetic_data(1200, 1), trials=2, seed=1)


def test_a_parameters_file_is_read_and_its_mistakes_are_named(tmp_path):
    path = tmp_path / "params.json"
    chosen = {"rounds": 120, "max_depth": 4, "eta": 0.05}
    path.write_text(json.dumps({"schema_hash": SCHEMA_HASH, "skills": {"empathy": chosen}}))
    found = read_parameters(path)["empathy"]
    assert (found.rounds, found.max_depth, found.subsample) == (120, 4, PRESETS["light"].subsample)
    for content, part in (
        ({"schema_hash": SCHEMA_HASH, "skills": {"empathy": {"max_depth": 30}}}, "skills.empathy.max_depth"),
        ({"schema_hash": SCHEMA_HASH, "skills": {"charm": {}}}, "skills.charm"),
        ({"schema_hash": "0" * 64, "skills": {}}, "another feature schema"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(UnusableData, match=part):
            read_parameters(path)
    path.write_text("{")
    with pytest.raises(UnusableData, match="not JSON"):
        read_parameters(path)


# --- cards -----------------------------------------------------------------------------------------------------------


def headings(text):
    return [line for line in text.splitlines() if line.startswith("## ")]


def test_the_card_has_metadata_figures_and_the_template_s_sections():
    text = (report().path / "MODEL_CARD.md").read_text()
    _, metadata, body = text.split("---\n", 2)
    held = yaml.safe_load(metadata)
    assert held["pipeline_tag"] == "tabular-regression"
    assert "synthetic" in held["tags"]
    assert len(held["model-index"]) == len(SKILLS)
    assert "Synthetic models, not for decisions" in body
    assert "What scores may not be used for" in body
    assert "grade_band: 3-5" in body
    assert "{" not in body
    assert headings(body) == headings((ROOT / "docs" / "model-card-template.md").read_text())


def test_the_card_of_rated_models_does_not_call_them_synthetic():
    record = engine().record.model_copy(update={"synthetic_model": False})
    assert "ynthetic" not in model_card(record)
