"""``muster skills``: what it says and does, in a folder of its own."""

import json
import shutil

import pytest
from test_training_table import row, write
from trained_skills import report, skills_dir
from typer.testing import CliRunner

from deployments.errors import UnusableData
from deployments.skills.registry import PromotionRefused
from model_store import canary
from model_store.skill_aliases import read_alias
from serve_app.cli.skills import app
from tests.skill_versions import another_version


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(canary, "predict_in_child_process", lambda bundle: None)
    folder = shutil.copytree(skills_dir(), tmp_path / "skills")
    another_version(folder, report().version, "second")
    return folder


def muster(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_promote_list_and_roll_back(folder):
    muster("promote", "second", "--models", folder, "--reason", "try it")
    rows = {row["version"]: row["alias"] for row in json.loads(muster("ls", "--models", folder, "--json"))["versions"]}
    assert rows == {"second": "champion", report().version: "before"}
    muster("rollback", "--models", folder)
    assert read_alias(folder).version == report().version
    told = json.loads(muster("ls", "--history", "--json", "--models", folder))
    assert [entry["action"] for entry in told] == ["rollback", "promote"]
    assert told[1]["why"] == "try it"
    assert "champion" in muster("ls", "--models", folder)


def test_a_challenger_is_set_and_ended(folder):
    muster("promote", "second", "--challenger", "--models", folder)
    assert read_alias(folder).challenger.version == "second"
    muster("rollback", "--challenger", "--models", folder)
    assert read_alias(folder).challenger is None


def test_the_card_and_the_evaluation_are_the_champion_s(folder, tmp_path):
    assert report().version in muster("card", "--models", folder)
    told = muster("evaluate", "--models", folder, "--out", tmp_path / "report", "--json")
    assert report().version in told
    assert (tmp_path / "report" / "reliability.svg").exists()


def test_a_bad_file_is_refused_before_anything_is_trained(folder, tmp_path):
    path = write(tmp_path / "bad.csv", [row(word_count="many")])
    with pytest.raises(UnusableData, match="line 2, column word_count"):
        muster("train", "--data", path, "--out", folder)


def test_training_does_not_replace_a_champion_that_serves(folder):
    made = json.loads(muster("train", "--rows", 1200, "--out", folder, "--json"))
    assert made["champion"] is False
    assert read_alias(folder).version == report().version
    manifest = json.loads((folder / made["version"] / "bundle.json").read_text())
    assert manifest["parent"] == report().version


def test_where_nothing_serves_the_first_training_does(tmp_path, folder):
    made = json.loads(muster("train", "--rows", 1200, "--out", tmp_path / "new", "--json"))
    assert made["champion"] is True
    assert read_alias(tmp_path / "new").version == made["version"]
    assert muster("train", "--if-missing", "--out", tmp_path / "new") == ""


def test_force_without_a_reason_is_refused(folder):
    with pytest.raises(PromotionRefused, match="--reason"):
        muster("promote", "second", "--force", "--models", folder)
