"""A bundle that was changed does not serve, and no changed model reaches XGBoost inside this process."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xgboost
from trained_skills import skills_dir

from deployments.engines.boosting import BoostingEngine
from deployments.skills.features import SCHEMA_HASH
from model_store.boosted_trees import BOUND, UnsafeModel, inspect_model
from model_store.errors import ModelNotPulled, TamperedModel
from model_store.skill_records import NoSkillModels, TamperedSkills
from model_store.skills import open_champion, publish, set_champion
from model_store.ubjson import MalformedUbjson, parse_ubjson
from tests.hostile_trees import TAMPERED, point_at, relock, tampered

ROOT = Path(__file__).parents[2]
CANARY = """
import sys, xgboost, numpy
for path in sys.argv[1:]:
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(path)
        rows = xgboost.DMatrix(numpy.random.default_rng(0).random((5, 26)), nthread=1)
        booster.feature_names = None
        print(booster.predict(rows, pred_contribs=True).shape)
    except xgboost.core.XGBoostError:
        print("refused by xgboost")
"""


def open_it(folder):
    return open_champion(folder, schema_hash=SCHEMA_HASH, num_feature=26)


@pytest.fixture
def copy(tmp_path):
    """A private copy of the trained store: the store's folder and its bundle's."""
    shutil.copytree(skills_dir(), tmp_path / "skills")
    folder = tmp_path / "skills"
    return folder, folder / json.loads((folder / "champion").read_text())["version"]


# --- files -----------------------------------------------------------------------------------------------------------


def test_an_untouched_bundle_opens(copy):
    assert set(open_it(copy[0]).models) == {"empathy", "problem_solving", "self_regulation", "resilience"}


def test_no_models_says_what_to_run(tmp_path):
    with pytest.raises(NoSkillModels, match="muster skills train") as caught:
        open_it(tmp_path)
    assert isinstance(caught.value, ModelNotPulled)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), NoSkillModels)


@pytest.mark.parametrize("name", ["empathy.ubj", "resilience.upper.ubj", "MODEL_CARD.md", "bundle.json"])
def test_one_changed_byte_is_refused_with_the_file_s_name(copy, name):
    content = bytearray((copy[1] / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy[1] / name).write_bytes(content)
    with pytest.raises(TamperedModel, match=name) as caught:
        open_it(copy[0])
    assert pickle.loads(pickle.dumps(caught.value)).file == name
    with pytest.raises(TamperedModel, match=name):
        BoostingEngine(copy[0], threads=1).load()


@pytest.mark.parametrize("name", ["empathy.ubj", "MODEL_CARD.md", "bundle.json"])
def test_a_missing_file_is_refused(copy, name):
    (copy[1] / name).unlink()
    with pytest.raises(TamperedSkills, match=name):
        open_it(copy[0])


def test_links_and_things_that_are_no_files_are_refused(copy, tmp_path):
    model = copy[1] / "empathy.ubj"
    model.rename(tmp_path / "elsewhere")
    model.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TamperedSkills, match=r"empathy\.ubj"):
        open_it(copy[0])
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(TamperedSkills, match="plain file"):
        open_it(copy[0])


def test_a_linked_bundle_folder_is_refused(copy, tmp_path):
    copy[1].rename(tmp_path / "elsewhere")
    copy[1].symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TamperedSkills, match="missing"):
        open_it(copy[0])


@pytest.mark.parametrize("version", ["../skills", "/etc", "", "a/b", ".hidden", "x" * 65, 7])
def test_an_alias_that_leaves_the_store_is_refused(copy, version):
    (copy[0] / "champion").write_text(json.dumps({"version": version, "bundle_sha256": "0" * 64}))
    with pytest.raises(TamperedSkills, match="champion"):
        open_it(copy[0])


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_an_unreadable_alias_is_refused(copy, content):
    (copy[0] / "champion").write_bytes(content)
    with pytest.raises(TamperedSkills, match="champion"):
        open_it(copy[0])


def test_another_feature_schema_is_refused(copy):
    with pytest.raises(TamperedSkills, match="feature schema"):
        open_champion(copy[0], schema_hash="0" * 64, num_feature=26)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b.ubj", "\0"])
def test_a_record_cannot_name_files_elsewhere(copy, name):
    record = json.loads((copy[1] / "bundle.json").read_text())
    record["files"][name] = "0" * 64
    (copy[1] / "bundle.json").write_text(json.dumps(record))
    point_at(*copy)
    with pytest.raises(TamperedSkills, match=r"bundle\.json"):
        open_it(copy[0])


def test_a_model_without_a_hash_is_refused(copy):
    record = json.loads((copy[1] / "bundle.json").read_text())
    del record["files"]["empathy.ubj"]
    (copy[1] / "bundle.json").write_text(json.dumps(record))
    point_at(*copy)
    with pytest.raises(TamperedSkills, match=r"no sha256 of empathy\.ubj"):
        open_it(copy[0])


def test_a_record_of_another_version_is_refused(copy):
    relock(*copy, version="other")
    with pytest.raises(TamperedSkills, match="version other"):
        open_it(copy[0])


def test_a_failed_publish_leaves_the_champion_and_no_rubbish(copy):
    bundle = open_it(copy[0])
    before = sorted(path.name for path in copy[0].iterdir())
    files = {name: (copy[1] / name).read_bytes() for name in bundle.record.files}
    with pytest.raises(OSError, match="not empty"):
        publish(copy[0], bundle.record, files)
    with pytest.raises(TamperedSkills, match=r"empathy\.ubj: its sha256"):
        publish(copy[0], bundle.record, files | {"empathy.ubj": b""})
    assert sorted(path.name for path in copy[0].iterdir()) == before
    assert open_it(copy[0]).version == bundle.version


def test_a_new_bundle_replaces_the_champion(copy):
    bundle = open_it(copy[0])
    record = bundle.record.model_copy(update={"version": "next"})
    files = {name: (copy[1] / name).read_bytes() for name in record.files}
    publish(copy[0], record, files)
    assert open_it(copy[0]).version == bundle.version
    set_champion(copy[0], "next")
    assert open_it(copy[0]).version == "next"
    set_champion(copy[0], bundle.version)
    assert open_it(copy[0]).version == bundle.version


# --- structure -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_model():
    """Five trees on 26 features, as bytes."""
    rng = np.random.default_rng(0)
    inputs = rng.random((400, 26))
    matrix = xgboost.DMatrix(inputs, label=inputs[:, 0] + inputs[:, 3], nthread=1)
    return bytes(xgboost.train({"max_depth": 3, "nthread": 1}, matrix, 5).save_raw("ubj"))


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_structure_is_refused(small_model, name):
    with pytest.raises(UnsafeModel):
        inspect_model(tampered(small_model, TAMPERED[name]), num_feature=26)


def test_the_trained_models_pass(copy):
    bundle = open_it(copy[0])
    for content in bundle.models.values():
        inspect_model(content, num_feature=26)
    for content in (model for bounds in bundle.bounds.values() for model in bounds):
        inspect_model(content, num_feature=26, objective=BOUND)


def test_a_bound_model_is_no_estimate_and_the_other_way_round(copy):
    bundle = open_it(copy[0])
    with pytest.raises(UnsafeModel, match="objective"):
        inspect_model(bundle.bounds["empathy"][0], num_feature=26)
    with pytest.raises(UnsafeModel, match="objective"):
        inspect_model(bundle.models["empathy"], num_feature=26, objective=BOUND)


def test_a_tree_deeper_than_allowed_is_refused(small_model):
    def deepen(_, tree):
        count = 41
        inner = np.arange(count) % 2 == 0
        inner[-1] = False
        left = np.where(inner, np.arange(count) + 1, -1)
        right = np.where(inner, np.arange(count) + 2, -1)
        parents = np.array([2147483647, *((i - 1) // 2 * 2 for i in range(1, count))])
        tree.update(left_children=left.astype("i4"), right_children=right.astype("i4"), parents=parents.astype("i4"))
        for name in ("split_indices", "split_type", "default_left"):
            tree[name] = np.zeros(count, tree[name].dtype)
        for name in ("split_conditions", "base_weights", "loss_changes", "sum_hessian"):
            tree[name] = np.ones(count, "f4")
        tree["tree_param"]["num_nodes"] = str(count)

    with pytest.raises(UnsafeModel, match="levels"):
        inspect_model(tampered(small_model, deepen), num_feature=26)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle",
        b"{" * 200_000,
        b"[#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"[$d#i\xff",
        b"[$S#i\x01",
        b"[i\x01]",
        b"{i\x01aTi\x01aT}",
        b"{i\x01aN}",
        b"TT",
        b"Si\x01\xff",
        b"SSi\x01",
        b'{"learner": {}}',
    ],
)
def test_what_is_not_the_expected_format_is_refused(content):
    with pytest.raises(MalformedUbjson):
        parse_ubjson(content)
    with pytest.raises(UnsafeModel):
        inspect_model(content, num_feature=26)


def test_every_cut_is_refused(small_model):
    for length in range(0, len(small_model), 97):
        with pytest.raises(UnsafeModel):
            inspect_model(small_model[:length], num_feature=26)


def canary(*paths):
    """Load and explain with XGBoost in a process of its own; its exit status and output."""
    return subprocess.run([sys.executable, "-c", CANARY, *map(str, paths)], capture_output=True, text=True, timeout=120)


def test_xgboost_itself_dies_of_what_the_inspection_refuses(small_model, tmp_path):
    # Were XGBoost to check its files one day, the inspection could go.
    (tmp_path / "killer.ubj").write_bytes(tampered(small_model, TAMPERED["child index out of range"]))
    assert canary(tmp_path / "killer.ubj").returncode < 0


def test_whatever_passes_the_inspection_is_safe_for_xgboost(small_model, tmp_path):
    rng = np.random.default_rng(7)
    accepted = [tmp_path / "original.ubj"]
    accepted[0].write_bytes(small_model)
    for number in range(600):
        content = bytearray(small_model)
        for position in rng.integers(0, len(content), rng.integers(1, 4)):
            content[position] = rng.integers(0, 256)
        try:
            inspect_model(bytes(content), num_feature=26)
        except UnsafeModel:
            continue
        accepted.append(tmp_path / f"{number}.ubj")
        accepted[-1].write_bytes(content)
    assert len(accepted) > 20
    done = canary(*accepted)
    assert done.returncode == 0, done.stderr[-500:]
    assert len(done.stdout.splitlines()) == len(accepted)


def test_a_tampered_model_with_fitting_hashes_does_not_kill_the_loader(copy):
    folder, bundle = copy
    killer = tampered((bundle / "empathy.ubj").read_bytes(), TAMPERED["feature index out of range"])
    (bundle / "empathy.ubj").write_bytes(killer)
    relock(folder, bundle)
    code = (
        "from pathlib import Path; from deployments.engines.boosting import BoostingEngine\n"
        f"try: BoostingEngine(Path({str(folder)!r}), 1).load()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0
    assert done.stdout.startswith("TamperedSkills")
    assert "empathy.ubj: tree 0: a feature index is out of range" in done.stdout
