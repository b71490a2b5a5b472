"""Training: the synthetic data keep their word, the models reach their targets, and the intervals cover."""

import json

import numpy as np
import pytest
from trained_skills import PROGRESS, engine, fresh_students, report

from deployments.errors import InvalidInput
from deployments.skills.features import FEATURES, INDEX, SCHEMA_HASH, SKILLS, FeatureSet
from deployments.skills.measures import QUALITY
from deployments.skills.normalization import RULES, UNCONSTRAINED, monotone_constraints
from deployments.skills.synthetic import generate
from deployments.skills.train import LEVEL, train_skills
from model_store.skills import open_champion, set_champion


def test_the_same_seed_makes_the_same_students():
    one, again, other = generate(300, 1), generate(300, 1), generate(300, 2)
    np.testing.assert_array_equal(one.base, again.base)
    assert not np.array_equal(one.base, other.base, equal_nan=True)


def test_synthetic_values_lie_in_the_ranges_of_the_schema():
    data = generate(3000, 3)
    for i, feature in enumerate(FEATURES):
        column = data.base[:, i]
        assert np.nanmin(column) >= np.float32(feature.low)
        assert np.nanmax(column) <= np.float32(feature.high)
        assert 0.03 < np.isnan(column).mean() < 0.25
    for target in data.targets.values():
        assert target.min() >= 0
        assert target.max() <= 1


def test_synthetic_means_match_the_normalization_table():
    # The table's means are meant for these units; a generator in other units would train a model nobody can feed.
    data = generate(6000, 4)
    for rules in RULES.values():
        for rule in rules["linguistic_features"]:
            column = data.base[:, INDEX[rule.feature]]
            assert abs(np.nanmean(column) - rule.a) < 0.5 * rule.b
            assert 0.4 < np.nanstd(column) / rule.b < 2.0


def test_the_grades_and_levels_are_all_there_and_matter():
    data = generate(3000, 5)
    assert set(data.grade.tolist()) == set(range(2, 9))
    for target in data.targets.values():
        means = [target[data.level == level].mean() for level in range(3)]
        assert means == sorted(means)
    words = data.base[:, INDEX["word_count"]]
    assert np.nanmean(words[data.grade == 8]) > np.nanmean(words[data.grade == 2])


@pytest.mark.parametrize("skill", SKILLS)
def test_every_skill_reaches_its_target_on_the_test_rows(skill):
    r2, mae = QUALITY[skill]
    metrics = report().metrics[skill]
    assert metrics["r2"] >= r2
    assert metrics["mae"] <= mae
    assert metrics["pearson"] > 0.85


@pytest.mark.parametrize("skill", SKILLS)
def test_intervals_cover_on_fresh_students(skill):
    # 600 calibration rows: coverage has a standard deviation of sqrt(.9 x .1 / 602) = .0122; 3000 fresh rows add .0055.
    # Four of their combined .0134 are .054.
    data, rows = fresh_students()
    predictions = [found[skill] for found in engine().run(engine().prepare(rows, {"skills": [skill]}))]
    middle, half_width = (
        np.array(v) for v in zip(*((p.estimate + p.shift, p.half_width) for p in predictions), strict=True)
    )
    covered = np.abs(data.targets[skill] - middle) <= half_width
    assert abs(covered.mean() - LEVEL) < 0.054
    # These groups are not guaranteed; the bound models must keep them close all the same.
    for column in ("word_count", "event_count"):
        missing = np.isnan(data.base[:, INDEX[column]])
        assert covered[missing].mean() > 0.82
    assert (2 * half_width).mean() < 0.45


@pytest.mark.parametrize("skill", SKILLS)
def test_a_directed_feature_moves_the_estimate_only_its_way(skill):
    rows = fresh_students()[1][:60]
    for rule in (rule for rules in RULES[skill].values() for rule in rules if rule.feature not in UNCONSTRAINED):
        index = INDEX[rule.feature]
        feature = FEATURES[index]
        high = feature.cap or min(feature.high, 20.0)
        steps = np.linspace(feature.low, high, 12).tolist()
        varied = [FeatureSet((*row.values[:index], step, *row.values[index + 1 :])) for row in rows for step in steps]
        found = engine().run(engine().prepare(varied, {"skills": [skill]}))
        margins = np.array([prediction[skill].margin for prediction in found]).reshape(len(rows), len(steps))
        assert (np.diff(margins, axis=1) * rule.direction >= -1e-6).all(), rule.feature


def test_constraints_follow_the_directions_of_the_evidence():
    assert monotone_constraints("problem_solving")[INDEX["retry_count"]] == -1
    assert monotone_constraints("resilience")[INDEX["retry_count"]] == 1
    assert monotone_constraints("resilience")[25] == 1
    assert monotone_constraints("self_regulation")[INDEX["word_count"]] == 0


def test_the_models_depend_on_the_seed_and_not_on_the_threads(tmp_path):
    for name, seed, threads in (("one", 3, 1), ("two", 3, 2), ("other", 4, 2)):
        set_champion(tmp_path / name, train_skills(tmp_path / name, rows=1200, seed=seed, threads=threads).version)
    one, two, other = (
        open_champion(tmp_path / name, schema_hash=SCHEMA_HASH, num_feature=26) for name in ("one", "two", "other")
    )
    assert (one.models, one.bounds) == (two.models, two.bounds)
    assert one.models != other.models


@pytest.mark.parametrize("rows", [0, 1199, 200_001])
def test_too_few_or_too_many_rows_are_refused(tmp_path, rows):
    with pytest.raises(InvalidInput, match="1200"):
        train_skills(tmp_path, rows=rows, threads=1)
    assert not list(tmp_path.iterdir())


def test_the_bundle_says_what_it_is():
    made = report()
    record = json.loads((made.path / "bundle.json").read_text())
    assert record["synthetic_model"] is True
    assert record["schema_hash"] == SCHEMA_HASH
    assert record["version"] == made.version == made.path.name
    assert record["training_data"]["rows"] == {"train": 2800, "calibration": 600, "test": 600}
    assert set(record["libraries"]) == {"python", "numpy", "xgboost"}
    assert set(record["files"]) == {
        "MODEL_CARD.md",
        *(f"{skill}{model}.ubj" for skill in SKILLS for model in ("", ".lower", ".upper")),
    }
    assert record["parent"] is None
    assert record["feature_count"] == 26
    for skill in SKILLS:
        one = record["skills"][skill]
        assert {"mae", "rmse", "r2", "pearson", "spearman", "coverage", "interval_width"} <= set(one["metrics"])
        assert one["baseline"]["mae"] > 2 * one["metrics"]["mae"]
        assert one["cross_validation"]["mae"] == pytest.approx(one["metrics"]["mae"], abs=0.02)
        assert one["samples"] == record["training_data"]["rows"]
        assert {"grade_band: 3-5", "observed: no transcript", "level: high"} <= set(one["groups"])


def test_training_tells_its_progress():
    report()
    assert [line.split(":")[0] for line in PROGRESS if "R2" in line] == list(SKILLS)
    assert report().version in PROGRESS[-1]
