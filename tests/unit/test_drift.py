"""Drift: no alarm without drift, an alarm for every planted one, and the parts against their textbook values."""

import numpy as np
import pytest
from trained_skills import engine, feature_set, report, skills_dir

from deployments.multiple_tests import holm
from deployments.served import ServedRow
from deployments.skills.drift import (
    MIN_ROWS,
    SAMPLE,
    compare,
    psi,
    reference,
    reference_bins,
)
from deployments.skills.features import FEATURES, INDEX, SKILLS
from deployments.skills.synthetic import generate
from model_store.skill_manifest import read_manifest
from model_store.skill_records import DriftRecord

TRAINED = generate(2800, 1)
RECORD = reference(TRAINED.base, 1)
ESTIMATES = {skill: reference_bins(TRAINED.targets[skill][:600]) for skill in SKILLS}
VERSION = "v1"


def served(rows, seed, change=lambda base: None, shift=0.0):
    """Students like those of the training, changed in place by ``change``; estimates shifted by ``shift``."""
    data = generate(rows, seed)
    change(data.base)
    said = np.column_stack([np.clip(data.targets[skill] + shift, 0, 1) for skill in SKILLS])
    return [
        ServedRow(VERSION, [None if np.isnan(v) else v for v in given], answers)
        for given, answers in zip(data.base.tolist(), said.tolist(), strict=True)
    ]


def judged(rows, **options):
    return compare(rows, RECORD, ESTIMATES, VERSION, **options)


@pytest.mark.parametrize(("rows", "trials"), [(MIN_ROWS, 60), (1000, 30), (5000, 6)])
def test_without_drift_there_is_no_alarm(rows, trials):
    """At most 1 false alarm in 100 windows is meant, over all features and skills together."""
    alarms = [judged(served(rows, 1000 + trial)).alarms for trial in range(trials)]
    assert sum(map(bool, alarms)) <= 1, alarms


def _plant(name, change):
    def plant(base):
        column = base[:, INDEX[name]]
        column[:] = change(column)

    return plant


def _hide(share):
    def hide(column):
        return np.where(np.random.default_rng(5).random(len(column)) < share, np.nan, column)

    return hide


PLANTED = {
    "minutes for seconds": ("focus_duration", lambda column: column / 60),
    "counts for rates": ("empathy_markers", lambda column: column * 140),
    "the other sign": ("negative_sentiment", lambda column: -column),
    "a grade for an ease": ("readability_score", lambda column: (100 - column) / 10),
    "one and the same": ("time_efficiency", lambda column: column * 0 + 1.0),
    "a moderate shift": ("word_count", lambda column: column * 1.35),
    "often missing": ("recovery_rate", _hide(0.3)),
    "always missing": ("syntactic_complexity", lambda column: column * np.nan),
    "zero for missing": ("noun_count", lambda column: np.nan_to_num(column) * 0),
}


@pytest.mark.parametrize("plant", PLANTED)
@pytest.mark.parametrize("rows", [400, 5000])
def test_planted_drift_is_found_and_only_there(plant, rows):
    name, change = PLANTED[plant]
    found = judged(served(rows, 77, _plant(name, change)))
    assert found.alarms == [name]
    assert found.features[name].shift in ("moderate", "major")


def test_drifted_estimates_are_found():
    assert judged(served(600, 77, shift=0.15)).alarms == list(SKILLS)


def test_estimates_of_another_version_are_not_compared():
    rows = [ServedRow("v0", row.features, row.estimates) for row in served(600, 77, shift=0.3)]
    found = judged(rows)
    assert found.alarms == []
    assert {one.shift for one in found.estimates.values()} == {"unknown"}


def test_few_rows_are_not_judged():
    found = judged(served(MIN_ROWS - 1, 3, _plant("focus_duration", lambda column: column / 60)))
    assert (found.judged, found.alarms) == (False, [])
    assert {one.shift for one in found.features.values()} == {"unknown"}


def test_no_rows_at_all():
    assert judged([]).rows == 0


def test_a_trifle_in_many_rows_is_no_alarm():
    found = judged(served(8000, 5, _plant("word_count", lambda column: column * 1.15)))
    assert found.features["word_count"].ks_p < 0.01
    assert 0 < found.features["word_count"].psi < 0.1
    assert found.alarms == []


def test_psi_of_known_shares():
    assert psi([0.5, 0.5], [0.5, 0.5]) == 0
    assert psi([0.6, 0.4], [0.5, 0.5]) == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8))
    assert np.isfinite(psi([1.0, 0.0], [0.5, 0.5]))


def test_holm_as_in_the_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_bins_of_many_equal_values():
    bins = reference_bins(np.float32([0.1] * 60 + [0.7] * 40 + [np.nan] * 100))
    assert bins.missing == 0.5
    assert sum(bins.shares) == pytest.approx(1)
    assert len(bins.shares) == len(bins.edges) + 1
    again = reference_bins(np.array([0.1] * 60 + [0.7] * 40))
    assert (again.edges, again.shares) == (bins.edges, bins.shares), "float32 and float64 fall into the same bins"


def test_a_column_that_is_never_there():
    base = TRAINED.base.copy()
    base[:, INDEX["adv_count"]] = np.nan
    record = reference(base, 1)
    assert record.features["adv_count"].missing == 1
    found = compare(served(500, 9), record, ESTIMATES, VERSION).features["adv_count"]
    assert (found.alarm, found.psi, found.ks) == (True, None, None)


def test_the_reference_is_small_and_survives_json():
    body = RECORD.model_dump_json()
    assert len(body) < 200_000
    assert DriftRecord.model_validate_json(body) == RECORD
    assert all(len(sample) <= SAMPLE for sample in RECORD.samples.values())
    assert list(RECORD.features) == [feature.name for feature in FEATURES]


def test_a_bundle_carries_its_reference_and_its_models_stay_true_to_it():
    manifest = read_manifest(skills_dir(), report().version)
    estimates = {skill: one.estimates for skill, one in manifest.skills.items()}
    assert list(estimates) == list(SKILLS)
    found = {}
    for share in (1.0, 0.4):
        students = [
            feature_set(row) for row in generate(600, 4321).base * np.where(COUNTS, share, 1).astype(np.float32)
        ]
        said = engine().run(engine().prepare(students, {}))
        rows = [
            ServedRow(manifest.version, student.values, [one[skill].estimate for skill in SKILLS])
            for student, one in zip(students, said, strict=True)
        ]
        found[share] = compare(rows, manifest.drift, estimates, manifest.version)
    assert found[1.0].alarms == []
    assert {"word_count", "event_count", "focus_duration"} <= set(found[0.4].alarms)


COUNTS = np.array([feature.high > 200 for feature in FEATURES])


def test_a_manifest_that_is_not_there_or_not_ours(tmp_path):
    assert read_manifest(tmp_path, "v1") is None
    assert read_manifest(tmp_path, "../v1") is None
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "bundle.json").write_text("{}")
    assert read_manifest(tmp_path, "v1") is None
