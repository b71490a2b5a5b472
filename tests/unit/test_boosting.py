"""The engine: exact SHAP, batches equal to single rows, errors in place, a golden row that must not move."""

import math
import pickle

import numpy as np
import pytest
import xgboost
from trained_skills import engine, fresh_students, report, skills_dir

from deployments.engines.boosting import BoostingEngine, SkillRow
from deployments.errors import EngineFault, InvalidInput, ModelNotReady
from deployments.skills.assessment import feature_importance
from deployments.skills.features import SKILLS, FeatureSet, matrix, vector_names


def predict(rows, **options):
    prepared = engine().prepare(rows, options)
    assert not [item for item in prepared if isinstance(item, Exception)]
    return engine().run(prepared)


@pytest.mark.parametrize("skill", SKILLS)
def test_shap_values_sum_to_the_model_s_own_output(skill):
    rows = fresh_students()[1][:300]
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(report().path / f"{skill}.ubj")
    expected = booster.predict(xgboost.DMatrix(matrix(rows, skill), feature_names=list(vector_names(skill)), nthread=1))
    for found, margin in zip(predict(rows), expected, strict=True):
        prediction = found[skill]
        assert prediction.baseline + math.fsum(prediction.shap) == pytest.approx(margin, abs=1e-5)
        assert prediction.margin == pytest.approx(margin, abs=1e-5)
        assert prediction.estimate == min(1.0, max(0.0, prediction.margin))
        assert len(prediction.shap) == 26


def test_a_batch_equals_its_rows_alone():
    rows = fresh_students()[1][:40]
    together = predict(rows)
    assert together == [predict([row])[0] for row in rows]


def test_explanations_differ_between_students():
    # The predecessor returned the model's global importances, the same for everyone.
    first, second = (feature_importance(found["empathy"]) for found in predict(fresh_students()[1][:2]))
    assert list(first) == list(vector_names("empathy"))
    assert first != second


def test_a_missing_value_is_not_a_zero():
    # The predecessor wrote zeros where nothing was observed.
    missing, zeros = predict([FeatureSet((None,) * 25), FeatureSet((0.0,) * 25)])
    for skill in SKILLS:
        assert missing[skill].estimate != zeros[skill].estimate
        assert missing[skill].half_width > zeros[skill].half_width * 0.5


def test_only_the_skills_asked_for_are_computed():
    rows = fresh_students()[1][:3]
    assert [list(found) for found in predict(rows, skills=["resilience", "empathy"])] == [["empathy", "resilience"]] * 3
    mixed = [SkillRow(rows[0], ("empathy",)), rows[1], SkillRow(rows[2], ())]
    assert [list(found) for found in predict(mixed)] == [["empathy"], list(SKILLS), []]
    assert predict(mixed)[1] == predict([rows[1]])[0]


def test_a_bad_input_becomes_an_error_in_its_place():
    good = {"linguistic": {"word_count": 10}}
    prepared = engine().prepare([good, {"linguistic": {"word_count": -1}}, good], {})
    assert isinstance(prepared[1], InvalidInput)
    assert prepared[1].param == "input[1].linguistic.word_count"
    assert prepared[0].key == prepared[2].key
    assert prepared[0].cost == 1


def test_an_unknown_skill_is_refused():
    errors = engine().prepare([FeatureSet((None,) * 25)] * 2, {"skills": ["charm"]})
    assert [type(error) for error in errors] == [InvalidInput] * 2


def test_equal_work_has_equal_keys():
    row, other = fresh_students()[1][:2]
    same = FeatureSet.parse(row.to_json())
    a, b, c = engine().prepare([row, same, other], {})
    (d,) = engine().prepare([row], {"skills": ["empathy"]})
    assert a.key == b.key
    assert len({a.key, c.key, d.key}) == 3


def test_items_and_results_survive_pickling():
    prepared = engine().prepare(fresh_students()[1][:5], {})
    assert engine().run(pickle.loads(pickle.dumps(prepared))) == engine().run(prepared)
    results = engine().run(prepared)
    assert pickle.loads(pickle.dumps(results)) == results
    assert len(pickle.dumps(results)) < 5 * 4 * 1000


def test_no_rows_no_answers():
    assert engine().run([]) == []


def test_the_golden_row_has_not_moved():
    engine().warm()


def test_a_golden_output_that_moved_is_a_fault():
    loaded = BoostingEngine(skills_dir(), threads=1)
    loaded.load()
    loaded.serving._boosters["empathy"] = loaded.serving._boosters["empathy"][:100]
    with pytest.raises(EngineFault, match="empathy"):
        loaded.warm()


def test_an_answer_that_is_no_number_is_a_fault(monkeypatch):
    class Broken:
        def predict(self, matrix, pred_contribs):
            return np.full((matrix.num_row(), 27), np.nan, np.float32)

    loaded = BoostingEngine(skills_dir(), threads=1)
    loaded.load()
    loaded.serving._boosters["empathy"] = Broken()
    with pytest.raises(EngineFault, match="not a number"):
        loaded.run(loaded.prepare([FeatureSet((None,) * 25)], {}))


def test_before_loading_it_is_not_ready():
    unloaded = BoostingEngine(skills_dir(), threads=1)
    with pytest.raises(ModelNotReady):
        unloaded.describe()
    with pytest.raises(ModelNotReady):
        unloaded.run([])


def test_the_gate_is_held_while_computing_and_reused():
    class Gate:
        entered = 0

        def __enter__(self):
            self.entered += 1

        def __exit__(self, *error):
            pass

    gate = Gate()
    loaded = BoostingEngine(skills_dir(), 1, gate)
    loaded.load()
    for _ in range(2):
        loaded.run(loaded.prepare(fresh_students()[1][:2], {}))
    assert gate.entered == 2


def test_it_describes_itself():
    described = engine().describe()
    assert described.revision == report().version
    assert described.details["synthetic_model"] is True
    assert described.details["skills"] == list(SKILLS)
    assert described.limits == {"features": 26}
