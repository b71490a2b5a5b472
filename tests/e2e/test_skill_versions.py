"""Promotions under load, broken ones among them: no request fails, and every answer is of one version."""

import asyncio
import copy
import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.checks.assessment import student_bodies
from benchmarks.server import Server
from benchmarks.topology import deploy_topology
from deployments.skills.alias_store import AliasStore
from deployments.skills.registry import Registry
from deployments.skills.train import train_skills
from model_store.skill_aliases import history, read_alias
from model_store.skill_records import TamperedSkills
from tests.e2e.clients import Clients
from tests.e2e.test_fleet import topology_with
from tests.e2e.test_operations import muster
from tests.hostile_trees import moved_leaf, tampered
from tests.skill_versions import another_version

PROMOTIONS, BROKEN = 10, 5


class Assessors(Clients):
    """They have one student, one skill and a hundred students assessed. ``versions``: of the models that answered."""

    def __init__(self, server: Server) -> None:
        rows = [{"features": features} for features in student_bodies(100, seed=5)]
        one = rows[0]
        questions = {"ada": one, "ada/resilience": one, "batch": {"rows": rows}}
        super().__init__(server, {f"/api/v1/infer/{whom}": question for whom, question in questions.items()})
        self.versions: set[str] = set()

    def judge(self, path: str, answer: Any) -> None:
        if path.endswith("/batch") and answer["successful"] != 100:
            raise AssertionError(f"{answer['failed']} of 100 failed")
        skills = [skill for result in answer.get("results", [answer]) for skill in result.get("skills", [result])]
        found = {skill["model_version"] for skill in skills} | set(answer.get("model_versions", {}).values())
        if len(found) != 1:
            raise AssertionError(f"versions {sorted(found)} in one answer")
        self.versions |= found


@pytest.fixture(scope="module")
def folder(home: Path, server: Server) -> Path:
    """The store's skill models, with a second version and five broken ones."""
    folder = home / "store" / "skills"
    made = train_skills(folder, rows=1200, seed=11, threads=2)
    for number in range(BROKEN):
        files = {}
        if number % 2:
            files = {"empathy.ubj": tampered((made.path / "empathy.ubj").read_bytes(), moved_leaf)}
        broken = another_version(folder, made.version, f"broken-{number}", files)
        if not number % 2:
            (broken / "resilience.upper.ubj").write_bytes(b"cut off")
    made.path.rename(folder / "spare")
    another_version(folder, "spare", "second")
    return folder


def skill_models(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/health/detailed", timeout=10) as answer:
        return json.load(answer)["components"]["skill_models"]


def wait_until(server: Server, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if wanted(found := skill_models(server)):
            return found
        time.sleep(0.2)
    raise AssertionError(f"the replicas say {found}")


def all_serve(version: str, replicas: int = 1) -> Callable[[dict[str, Any]], bool]:
    return lambda found: (
        len(found["replicas"]) >= replicas and {one["serving"] for one in found["replicas"]} == {version}
    )


def promote(server: Server, folder: Path, version: str) -> str:
    """As the command does, in this process: the reason of a refusal, or nothing."""

    async def change() -> str:
        aliases = AliasStore(folder, f"unix://{server.runtime / 'redis.sock'}")
        try:
            await Registry(folder, aliases, by="test").promote(version, force=True, reason="test")
        except TamperedSkills as error:
            return str(error)
        finally:
            await aliases.close()
        return ""

    return asyncio.run(change())


def test_ten_promotions_and_five_broken_ones_under_load(server: Server, home: Path, folder: Path) -> None:
    first, refused = read_alias(folder).version, []
    wait_until(server, all_serve(first))
    with Assessors(server) as clients:
        for number in range(PROMOTIONS):
            version = ("second", first)[number % 2]
            assert promote(server, folder, version) == ""
            wait_until(server, all_serve(version))
            if number % 2:
                refused.append(promote(server, folder, f"broken-{number // 2}"))
        time.sleep(1)
    told = muster("skills", "promote", "broken-0", "--force", "--reason", "test", home=home)
    assert (told.returncode, "resilience.upper.ubj: its sha256" in told.stderr) == (4, True)
    assert clients.failures == []
    assert clients.versions == {first, "second"}
    assert min(clients.answers.values()) > 5
    assert ["resilience.upper.ubj" in reason for reason in refused] == [True, False, True, False, True]
    assert ["a canary prediction moved" in reason for reason in refused] == [False, True, False, True, False]
    assert skill_models(server)["status"] == "healthy"
    assert [one["outcome"] for one in history(folder)].count("refused") == BROKEN + 1
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        assert f'muster_skill_replicas{{version="{first}"}} 1.0' in answer.read().decode()


def test_a_deployment_does_not_undo_a_promotion(server: Server, home: Path, folder: Path) -> None:
    before = read_alias(folder).version
    assert muster("skills", "promote", "second", "--force", "--reason", "test", home=home).returncode == 0
    wait_until(server, all_serve("second"))
    topology = copy.deepcopy(topology_with(server))
    skills = next(application for application in topology["applications"] if application["name"] == "skills")
    inference = next(one for one in skills["deployments"] if one["name"] == "inference")
    inference["autoscaling_config"] = {**inference["autoscaling_config"], "min_replicas": 2, "initial_replicas": 2}
    try:
        deploy_topology(server, topology)
        wait_until(server, all_serve("second", replicas=2))
    finally:
        deploy_topology(server, topology_with(server))
        assert muster("skills", "rollback", "--reason", "test", home=home).returncode == 0
    wait_until(server, all_serve(before))


def test_a_challenger_is_compared_in_the_shadow(server: Server, home: Path, folder: Path) -> None:
    serving = read_alias(folder).version
    assert muster("skills", "promote", "second", "--challenger", home=home).returncode == 0
    wait_until(server, lambda found: found["shadow"] is not None)
    with Assessors(server) as clients:
        found = wait_until(
            server, lambda found: found["shadow"] is not None and found["shadow"]["skills"]["empathy"]["rows"] > 200
        )
    assert clients.failures == []
    assert clients.versions == {serving}
    assert found["shadow"]["challenger"] == "second"
    assert found["shadow"]["skills"]["empathy"]["mean_absolute_difference"] > 0
    listed = muster("skills", "ls", "--json", home=home)
    assert {row["skill"] for row in json.loads(listed.stdout)["shadow"]} >= {"empathy", "resilience"}
    assert "Shadowing the champion" in muster("skills", "card", "second", home=home).stdout
    assert muster("skills", "rollback", "--challenger", home=home).returncode == 0
    wait_until(server, lambda found: found["shadow"] is None)
