"""Canary predictions: a bundle that XGBoost dies of, hangs in, or predicts otherwise from is refused; this process lives."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest
import xgboost
from trained_skills import report, skills_dir

from deployments.engines.boosting import BoostingEngine
from deployments.errors import ModelNotReady
from deployments.skills.features import SCHEMA_HASH, SKILLS
from model_store import canary, skills
from model_store.errors import ConversionFailed, TamperedModel
from model_store.skill_records import TamperedSkills
from model_store.skills import has_current_champion, open_champion, publish, set_champion
from tests.hostile_trees import TAMPERED, lattice, moved_leaf, point_at, relock, tampered


def open_it(folder):
    return open_champion(folder, schema_hash=SCHEMA_HASH, num_feature=26)


@pytest.fixture
def copy(tmp_path):
    """A private copy of the trained store: the store's folder and its bundle's."""
    folder = shutil.copytree(skills_dir(), tmp_path / "skills")
    return folder, folder / json.loads((folder / "champion").read_text())["version"]


@pytest.fixture
def children(monkeypatch):
    """The child processes that were run."""
    run, seen = canary.child.run, []

    def counted(*arguments):
        seen.append(arguments)
        run(*arguments)

    monkeypatch.setattr(canary.child, "run", counted)
    return seen


def with_model(bundle, skill, change):
    """The bundle as if it had passed the inspection with a changed model."""
    return replace(bundle, models={**bundle.models, skill: tampered(bundle.models[skill], change)})


def change_on_disk(bundle, skill, change):
    content = tampered((bundle / f"{skill}.ubj").read_bytes(), change)
    (bundle / f"{skill}.ubj").write_bytes(content)


# --- what is recorded ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skill", SKILLS)
def test_the_recorded_margins_are_xgboost_s_own(skill):
    recorded = open_it(skills_dir()).record.skills[skill].canary
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(report().path / f"{skill}.ubj")
    rows = np.array(recorded.rows, dtype=np.float32)
    found = booster.predict(xgboost.DMatrix(rows, feature_names=booster.feature_names, nthread=1))
    np.testing.assert_allclose(found, recorded.margins, atol=1e-6)
    assert np.ptp(found) > 0.3


def test_the_rows_have_extremes_and_missing_values():
    rows = np.array(open_it(skills_dir()).record.skills["resilience"].canary.rows, dtype=np.float32)
    assert rows.shape == (32, 26)
    assert np.isnan(rows).all(axis=1).sum() == 1
    assert (np.isnan(rows[:, :16]).all(axis=1)).sum() >= 2
    assert (np.isnan(rows[:, 16:25]).all(axis=1)).sum() >= 2
    assert np.nanmax(rows) > 1e14
    assert np.nanmin(rows) < -1e14
    assert np.isfinite(rows[~np.isnan(rows)]).all()


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_crash_refuses_the_bundle_and_names_the_file_and_the_signal():
    killer = with_model(open_it(skills_dir()), "problem_solving", TAMPERED["child index out of range"])
    with pytest.raises(TamperedModel, match=r"problem_solving\.ubj: .* was ended by SIG(SEGV|ABRT|BUS)") as caught:
        canary.predict_in_child_process(killer)
    assert "empathy" not in str(caught.value)


def test_a_hang_refuses_the_bundle():
    endless = with_model(open_it(skills_dir()), "resilience", lattice)
    with pytest.raises(TamperedSkills, match=r"resilience\.ubj: .* did not end within 10 s"):
        canary.predict_in_child_process(endless, timeout_s=10)


def test_a_child_that_hangs_dies_with_its_parent(tmp_path):
    model = tampered(open_it(skills_dir()).models["empathy"], lattice)
    (tmp_path / "empathy.ubj").write_bytes(model)
    (tmp_path / "rows.json").write_text(json.dumps({"empathy": [[None] * 26]}))
    code = "import sys; from model_store import child; child.run('model_store.canary', sys.argv[1:], print)"
    with subprocess.Popen([sys.executable, "-uc", code, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "empathy\n"
        (hanging,) = psutil.Process(parent.pid).children()
        parent.kill()
    gone, alive = psutil.wait_procs([hanging], timeout=60)
    for left in alive:
        left.kill()
    assert gone == [hanging]


def test_what_xgboost_itself_refuses_is_refused_without_its_stack():
    garbage = open_it(skills_dir())
    garbage = replace(garbage, models=garbage.models | {"empathy": b"{" * 100})
    with pytest.raises(TamperedSkills, match=r"empathy\.ubj: .* ended with status 1: XGBoostError\. Run"):
        canary.predict_in_child_process(garbage)


def test_a_child_that_cannot_begin_is_no_tampering(monkeypatch):
    def broken(*arguments):
        raise ConversionFailed("no xgboost here")

    monkeypatch.setattr(canary.child, "run", broken)
    with pytest.raises(ConversionFailed, match="no xgboost here"):
        canary.predict_in_child_process(open_it(skills_dir()))


@pytest.mark.parametrize("lines", [[], ['{"empathy": [[], []]}'], ['{"empathy": [[0.5], [0.5]]}']])
def test_missing_answers_are_refused(lines, monkeypatch):
    monkeypatch.setattr(canary.child, "run", lambda module, arguments, progress, seconds: [*map(progress, lines)])
    with pytest.raises(TamperedSkills, match=r"empathy\.ubj: its canary predictions are missing"):
        canary.predict_in_child_process(open_it(skills_dir()))


def test_an_answer_that_is_no_number_is_refused(monkeypatch):
    bundle = open_it(skills_dir())
    margins = {skill: [*one.canary.margins] for skill, one in bundle.record.skills.items()}
    for skill, one in bundle.record.skills.items():
        margins |= {f"{skill}.lower": [*one.lower.margins], f"{skill}.upper": [*one.upper.margins]}
    nothing = [float("nan")] * len(margins["resilience"])
    line = json.dumps({skill: [found, found] for skill, found in margins.items()} | {"resilience": [nothing] * 2})
    monkeypatch.setattr(canary.child, "run", lambda module, arguments, progress, seconds: progress(line))
    with pytest.raises(TamperedSkills, match=r"resilience\.ubj: a canary prediction moved by nan"):
        canary.predict_in_child_process(bundle)


def test_other_leaves_under_fitting_hashes_are_refused_before_the_engine_loads_them(copy):
    change_on_disk(copy[1], "self_regulation", moved_leaf)
    relock(*copy)
    loaded = BoostingEngine(copy[0], threads=1)
    with pytest.raises(TamperedSkills, match=r"self_regulation\.ubj: a canary prediction moved by 0\.1"):
        loaded.load()
    with pytest.raises(ModelNotReady):
        _ = loaded.serving


@pytest.mark.parametrize("change", ["no rows", "short rows", "fewer margins", "narrow rows"])
def test_a_bundle_without_fitting_canary_rows_is_refused(copy, change):
    record = json.loads((copy[1] / "bundle.json").read_text())
    recorded = record["skills"]["empathy"]["canary"]
    match change:
        case "no rows":
            recorded.update(rows=[], margins=[])
        case "short rows":
            recorded["rows"][3].pop()
        case "fewer margins":
            recorded["margins"].pop()
        case "narrow rows":
            recorded["rows"] = [row[:-1] for row in recorded["rows"]]
    (copy[1] / "bundle.json").write_text(json.dumps(record))
    point_at(*copy)
    with pytest.raises(TamperedSkills, match=r"bundle\.json|25 features"):
        open_it(copy[0])


# --- when it is asked ------------------------------------------------------------------------------------------------


def test_a_bundle_is_proved_once_per_xgboost_and_platform(copy, children, monkeypatch):
    for _ in range(2):
        loaded = BoostingEngine(copy[0], threads=1)
        loaded.load()
        loaded.warm()
    assert len(children) == 0, "training has proved it"
    monkeypatch.setattr(canary, "version", lambda name: "99.0")
    for _ in range(2):
        open_it(copy[0])
    assert len(children) == 1
    monkeypatch.setattr(canary.platform, "platform", lambda: "another machine")
    open_it(copy[0])
    assert len(children) == 2


def test_a_folder_that_cannot_be_written_to_is_proved_every_time(copy, children):
    (note,) = copy[0].glob(".proved-*")
    note.unlink()
    note.mkdir()
    for _ in range(2):
        open_it(copy[0])
    assert len(children) == 2


def test_a_refused_bundle_leaves_no_note(copy):
    before = sorted(copy[0].glob(".proved-*"))
    change_on_disk(copy[1], "empathy", moved_leaf)
    relock(*copy)
    for _ in range(2):
        with pytest.raises(TamperedSkills, match="moved"):
            open_it(copy[0])
    assert sorted(copy[0].glob(".proved-*")) == before


def test_a_bundle_that_fails_its_proof_is_not_published(copy):
    champion = open_it(copy[0])
    record = champion.record.model_copy(update={"version": "next"})
    files = {name: (copy[1] / name).read_bytes() for name in record.files}
    files["empathy.ubj"] = tampered(files["empathy.ubj"], moved_leaf)
    digests = record.files | {"empathy.ubj": skills.hashlib.sha256(files["empathy.ubj"]).hexdigest()}
    before = sorted(path.name for path in copy[0].iterdir())
    with pytest.raises(TamperedSkills, match=r"skills next refuses to serve: empathy\.ubj: a canary prediction"):
        publish(copy[0], record.model_copy(update={"files": digests}), files)
    assert sorted(path.name for path in copy[0].iterdir()) == before
    assert open_it(copy[0]).version == champion.version


def test_a_bundle_that_fails_its_proof_is_not_promoted(copy):
    other = shutil.copytree(copy[1], copy[0] / "other")
    change_on_disk(other, "empathy", moved_leaf)
    alias = (copy[0] / "champion").read_bytes()
    relock(copy[0], other, version="other")
    (copy[0] / "champion").write_bytes(alias)
    with pytest.raises(TamperedSkills, match="a canary prediction moved"):
        set_champion(copy[0], "other")
    assert (copy[0] / "champion").read_bytes() == alias


def test_a_champion_of_an_older_format_is_not_current(copy, tmp_path):
    assert not has_current_champion(tmp_path / "nothing")
    assert has_current_champion(copy[0])
    manifest = copy[1] / "bundle.json"
    record = json.loads(manifest.read_text())
    del record["format_version"]
    manifest.write_text(json.dumps(record))
    assert not has_current_champion(copy[0])
    # What is damaged is for the operator to see, and not for a start to replace.
    manifest.write_text("{")
    assert has_current_champion(copy[0])
    shutil.rmtree(copy[1])
    assert has_current_champion(copy[0])
