"""A replica without Ray: promotions under load, broken ones among them, and a challenger in the shadow."""

import asyncio
import shutil

import numpy as np
import pytest
from trained_skills import fresh_students, report, skills_dir

from deployments.batching import BatchPolicy
from deployments.engines.boosting import HELD_S, BoostingEngine, SkillRow
from deployments.errors import ModelNotReady
from deployments.host import EngineHost
from deployments.skills.alias_store import AliasStore
from deployments.skills.features import SKILLS, FeatureSet
from deployments.skills.following import Follower, load_newest
from deployments.skills.registry import Registry
from deployments.skills.shadow import MOST_WAITING, Shadow, added_up
from deployments.skills.train import train_skills
from deployments.wire import Call, Piece
from model_store import canary
from model_store.errors import MusterError, TamperedModel
from model_store.skill_aliases import read_alias, write_alias
from model_store.skills import prove
from tests.skill_versions import another_version

GOOD = [f"good-{n}" for n in range(5)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The store's folder with another bundle of other models, ``other``."""
    folder = shutil.copytree(skills_dir(), tmp_path_factory.mktemp("following") / "skills")
    made = train_skills(folder, rows=1200, seed=9, threads=2)
    made.path.rename(folder / "made")
    another_version(folder, "made", "other")
    shutil.rmtree(folder / "made")
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "skills")


@pytest.fixture
def no_children(monkeypatch):
    monkeypatch.setattr(canary, "predict_in_child_process", lambda bundle: None)


@pytest.fixture
def engine(folder):
    loaded = BoostingEngine(folder, threads=2)
    loaded.load()
    return loaded


def follower(engine, folder, **options):
    return Follower(engine, AliasStore(folder, None), "r1", **options)


def registry(folder):
    return Registry(folder, AliasStore(folder, None), by="test")


def versions_of(values):
    return {prediction.model_version for value in values for prediction in value.values()}


async def test_ten_promotions_and_five_broken_ones_under_load(engine, folder, no_children, monkeypatch):
    first, broken = report().version, [f"broken-{n}" for n in range(5)]
    for version in broken:
        made = another_version(folder, first, version)
        (made / "resilience.ubj").write_bytes(b"not what it was")
    host = EngineHost(engine, BatchPolicy(budget=32, padded=False), FeatureSet((None,) * 25))
    following = follower(engine, folder, switched=host.describe_again)
    students, stop = fresh_students()[1][:70], asyncio.Event()
    seen, failed, answers = set(), [], 0

    async def load(number):
        nonlocal answers
        while not stop.is_set():
            piece = Piece(f"{number}-{answers}", students, {}, 30.0)
            (reply,) = (await host.answer(Call("interactive", [piece]))).pieces
            failed.extend(reply.errors.values())
            # 70 rows are three batches of 32, and one assessment: one version throughout.
            found = versions_of(reply.values)
            assert len(found) == 1
            seen.update(found)
            answers += 1

    clients = [asyncio.create_task(load(number)) for number in range(3)]
    refused = []
    for number in range(10):
        version = ("other", first)[number % 2]
        await registry(folder).promote(version, force=True, reason="test")
        await following.step()
        assert engine.serving.version == version
        if number % 2:
            with pytest.raises(TamperedModel) as caught:
                await registry(folder).promote(broken[number // 2], force=True, reason="test")
            refused.append(str(caught.value))
            await following.step()
            assert engine.serving.version == version
        await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*clients)
    await host.close()
    assert failed == []
    assert len(refused) == 5
    assert all("resilience.ubj: its sha256 is not the recorded one" in reason for reason in refused)
    assert seen == {first, "other"}
    assert following.switches == 10
    assert (await following_revision(engine)) == first


async def following_revision(engine):
    return engine.describe().revision


async def test_a_bundle_that_cannot_be_loaded_here_leaves_the_old_one_and_is_told(engine, folder):
    # As on a node where the promoted bundle is damaged: the alias is right, the file is not.
    _, target = prove(folder, "other")
    held = read_alias(folder)
    (folder / "other" / "empathy.lower.ubj").write_bytes(b"{")
    write_alias(folder, held.model_copy(update={**target.model_dump(), "generation": 7}))
    now = [0.0]
    following = follower(engine, folder, clock=lambda: now[0])
    await following.step()
    state = following.state()
    assert state["serving"] == report().version
    assert state["champion"] == "other"
    assert "empathy.lower.ubj" in state["troubles"]["champion"]
    assert state["failures"] == 1
    await following.step()
    assert following.failures == 1, "it is tried again later, not every second"
    shutil.copy(folder.parents[0] / "skills" / "other" / "empathy.ubj", folder / "spare")
    now[0] = 60.0
    await following.step()
    assert following.failures == 2


async def test_a_start_falls_back_to_what_loads_and_says_why_nothing_does(folder, no_children):
    class Two(AliasStore):
        async def candidates(self):
            held = read_alias(folder)
            _, target = prove(folder, "other")
            return [held.model_copy(update={**target.model_dump(), "generation": 9}), held]

    aliases = Two(folder, None)
    engine = BoostingEngine(folder, threads=1)
    await load_newest(engine, aliases)
    assert engine.serving.version == "other"
    another_version(folder, "other", "spare")
    (folder / "other" / "empathy.ubj").write_bytes(b"{")

    class Damaged(AliasStore):
        async def candidates(self):
            held = read_alias(folder)
            gone = held.model_copy(update={"version": "gone", "generation": 9})
            return [gone, held]

    fallen = BoostingEngine(folder, threads=1)
    await load_newest(fallen, Damaged(folder, None))
    assert fallen.serving.version == report().version
    (folder / report().version / "empathy.ubj").write_bytes(b"{")
    with pytest.raises(MusterError, match="skills gone"):
        await load_newest(BoostingEngine(folder, threads=1), Damaged(folder, None))


async def test_a_damaged_alias_changes_nothing(engine, folder):
    (folder / "champion").write_text("{")
    following = follower(engine, folder)
    await following.step()
    assert "champion" in following.state()["troubles"]["aliases"]
    assert engine.serving.version == report().version


async def test_rows_keep_the_version_they_were_read_with(engine, folder, no_children):
    row = fresh_students()[1][0]
    (before,) = engine.prepare([row], {})
    old = engine.serving.version
    await registry(folder).promote("other", force=True, reason="test")
    await follower(engine, folder).step()
    (after,) = engine.prepare([row], {})
    (pinned,) = engine.prepare([row], {"version": old})
    assert before.key == pinned.key != after.key
    together = engine.run([before, after, pinned])
    assert [versions_of([value]) for value in together] == [{old}, {"other"}, {old}]
    assert together[0] == together[2]
    assert together[0] == engine.run([before])[0]


async def test_a_version_is_held_for_a_minute_after_it_served(engine, folder, no_children, monkeypatch):
    old = engine.serving.version
    engine.serve(engine.open(prove(folder, "other")[1]))
    assert not isinstance(engine.prepare([FeatureSet((None,) * 25)], {"version": old})[0], Exception)
    engine._before = (engine._before[0], engine._before[1] - HELD_S - 1)
    (error,) = engine.prepare([FeatureSet((None,) * 25)], {"version": old})
    assert isinstance(error, ModelNotReady)


# --- the shadow ------------------------------------------------------------------------------------------------------


async def test_a_challenger_is_compared_and_changes_no_answer(engine, folder, no_children):
    rows = fresh_students()[1][:200]
    plain = engine.run(engine.prepare(rows, {}))
    await registry(folder).challenge("other")
    following = follower(engine, folder)
    await following.step()
    assert engine.run(engine.prepare(rows, {})) == plain
    engine.run(engine.prepare([FeatureSet((None,) * 25)], {}))
    shadow = following._shadow
    assert shadow.waiting == 200
    while shadow.compare():
        pass
    other = engine.open(prove(folder, "other")[1])
    base = fresh_students()[0].base[:200]
    found = added_up([following.state()["shadow"]])
    assert (found["champion"], found["challenger"]) == (report().version, "other")
    for skill in SKILLS:
        apart = other.estimates(skill, base) - np.array([value[skill].estimate for value in plain])
        held = found["skills"][skill]
        assert held["rows"] == 200
        assert held["mean_difference"] == pytest.approx(apart.mean(), abs=1e-5)
        assert held["mean_absolute_difference"] == pytest.approx(np.abs(apart).mean(), abs=1e-5)
        assert held["largest_difference"] == pytest.approx(np.abs(apart).max(), abs=1e-5)
    await registry(folder).challenge(None)
    await following.step()
    assert following.state()["shadow"] is None


async def test_the_shadow_waits_while_somebody_waits_for_an_answer(engine, folder, no_children):
    await registry(folder).challenge("other")
    idle = [False]
    following = follower(engine, folder, idle=lambda: idle[0])
    await following.step()
    engine.run(engine.prepare(fresh_students()[1][:10], {}))
    await following._shadow_until(following._clock() + 0.2)
    assert following._shadow.waiting == 10
    idle[0] = True
    await following._shadow_until(following._clock() + 0.2)
    assert following._shadow.waiting == 0


def test_a_challenger_that_fails_is_counted_and_disturbs_nobody(engine, folder):
    champion = engine.serving
    shadow = Shadow(champion, champion)
    rows = [SkillRow(row, SKILLS, champion) for row in fresh_students()[1][:5]]
    results = engine.run(engine.prepare([row.features for row in rows], {}))

    class Broken:
        version, skills = "broken", champion.skills

        def estimates(self, skill, base):
            raise RuntimeError("no")

    shadow.challenger = Broken()
    shadow.offer(rows, results)
    assert shadow.compare() == 5
    assert shadow.summary()["failed"] == 5
    for _ in range(MOST_WAITING):
        shadow.offer(rows[:1], results[:1])
    shadow.offer(rows, results)
    assert shadow.waiting == MOST_WAITING
    assert shadow.dropped == 5
