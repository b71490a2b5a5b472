"""``/v1/capabilities``, ``muster capabilities`` and ``muster ping`` against a running server and a fake router."""

import json

import pytest
from fake_router import routing
from http_fakes import TOKEN, FakeFleet, build_services, serving
from language_fakes import connected, language_model
from starlette.responses import Response
from typer.testing import CliRunner

from deployments.call import ModelState
from deployments.errors import EngineFault
from serve_app.cli.main import app
from serve_app.remote import provider

READY = ModelState("ready", None, 1)
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def router():
    with routing() as router:
        yield router


@pytest.fixture
def fleet(router, monkeypatch):
    monkeypatch.setattr(provider, "BACKOFF_S", 0.001)
    router.always = None
    router.asked.clear()
    fleet = FakeFleet()
    fleet.known = {name: READY for name in ("minilm", "skills", "moods")}
    return fleet


@pytest.fixture
def url(fleet, router):
    with serving(build_services(fleet, remote_models=("minilm", "entails"), remote_url=router.url)) as url:
        yield url


async def test_what_is_here_and_what_is_there(fleet, router, open_client, redis_server):
    fleet.known["moods"] = ModelState("loading", "waits for a GPU")
    services = build_services(fleet, redis_server.url, remote_models=("entails",), remote_url=router.url)
    async with open_client(services) as client:
        body = (await client.get("/v1/capabilities")).json()
    assert body["tasks"] == {
        "embedding": [{"model": "minilm", "state": "ready", "reason": None}],
        "classification": [
            {"model": "moods", "state": "loading", "reason": "waits for a GPU"},
            {"model": "feels", "state": "ready", "reason": None},
        ],
    }
    assert body["roles"]["embedding"] == {"state": "ready", "local": ["minilm"], "remote": []}
    assert body["roles"]["zero-shot"] == {"state": "ready", "local": ["minilm"], "remote": ["entails"]}
    assert body["roles"]["chat"] == {"state": "unavailable", "local": [], "remote": []}
    assert (body["reasoning"]["provider"], body["store"]) == ("template", {"state": "ready"})
    (remote,) = body["remote"]["models"]
    assert (remote["model"], remote["breaker"], "answers" in remote) == ("entails", "closed", False)
    assert (router.asked, TOKEN in str(body)) == ([], False)


async def test_without_redis_and_provider(client):
    body = (await client.get("/v1/capabilities?probe=true")).json()
    assert (body["remote"], body["store"]) == ({"configured": False, "models": []}, {"state": "not_configured"})


async def test_a_probe_asks_and_teaches_the_breaker(fleet, router, open_client):
    async with open_client(build_services(fleet, remote_models=("minilm", "talker"), remote_url=router.url)) as client:
        told = (await client.get("/v1/capabilities?probe=true")).json()["remote"]["models"]
        assert [each["answers"] for each in told] == [True, True]
        row, _ = (await client.get("/v1/capabilities?probe=true")).json()["remote"]["models"]
        assert (row["answers"], row["breaker"]) == (True, "closed")
        router.always = Response("", 402)
        row, _ = (await client.get("/v1/capabilities?probe=true")).json()["remote"]["models"]
    assert (row["answers"], row["breaker"]) == (False, "open")
    assert row["reason"] == row["problem"] == "the account's credits are used up"


def cli(*words):
    return RUNNER.invoke(app, words)


def test_muster_capabilities(url):
    shown = cli("capabilities", "--url", url)
    assert shown.exit_code == 0, shown.output
    assert "remote zero-shot" in shown.output
    assert json.loads(cli("capabilities", "--json", "--url", url).stdout)["remote"]["configured"] is True


def test_muster_ping_asks_everything(url, fleet, router):
    answer = cli("ping", "--json", "--url", url)
    rows = {(row["what"], row["where"]): row["answers"] for row in json.loads(answer.stdout)}
    assert answer.exit_code == 0, answer.output
    local = {"gateway", "minilm", "moods", "feels", "empathy", "problem_solving", "self_regulation", "resilience"}
    assert set(rows) == {(name, "local") for name in local} | {("minilm", "remote"), ("entails", "remote")}
    assert all(rows.values())
    assert len(router.asked) == 2
    assert {call[0] for call in fleet.calls} == {"minilm", "moods", "skills"}
    assert "gateway" in cli("ping", "--no-remote", "--url", url).stdout
    assert len(router.asked) == 2


def test_muster_ping_fails_with_what_it_asks(url, fleet, router):
    fleet.down = {"moods": EngineFault("broken")}
    router.always = Response("", 404)
    answer = cli("ping", "--json", "--url", url)
    rows = {(row["what"], row["where"]): row for row in json.loads(answer.stdout)}
    assert answer.exit_code == 1
    assert rows["minilm", "local"]["answers"] is True
    assert (rows["moods", "local"]["answers"], rows["moods", "local"]["problem"][:3]) == (False, "500")
    assert "does not serve this model" in rows["entails", "remote"]["problem"]


def test_an_answer_by_a_fallback_is_none_of_the_model(url, fleet):
    fleet.down = {"minilm": EngineFault("broken")}
    rows = {(row["what"], row["where"]): row for row in json.loads(cli("ping", "--json", "--url", url).stdout)}
    assert (rows["minilm", "local"]["answers"], rows["minilm", "remote"]["answers"]) == (False, True)


async def test_the_language_model_of_the_skill_graph_is_told(client, fleet):
    told = {
        "provider": "llm",
        "mode": "optional",
        "model": "m",
        "key": "accepted",
        "breaker": "open",
        "status": "degraded",
    }
    told |= {"reason": "the provider is not asked for now: timeout", "limits": {"minute_left": 3, "hour_left": 400}}
    told |= {"budget": {"day_usd": 0.1}, "secrets": {"openai-api-key": {"source": "file", "problems": []}}}
    fleet.told["skills"] = {"reasoning": told}
    body = (await client.get("/v1/capabilities")).json()["reasoning"]
    assert body == {name: told[name] for name in body}
    health = (await client.get("/health/detailed")).json()
    assert health["components"]["reasoning"] == told
    assert health["components"]["fusion_weights"]["store"] == "memory"
    assert health["status"] == "degraded"


async def test_the_language_model_of_the_flows_is_told_with_its_breaker(open_client, redis_server):
    fleet = FakeFleet()
    with language_model() as fake:
        async with open_client(build_services(fleet, redis_server.url, language=connected(fake))) as client:
            health = (await client.get("/health/detailed")).json()
            assert health["status"] == "healthy"
            assert health["components"]["flow_words"] == {
                "status": "healthy", "reason": None, "configured": True, "model": "m", "breaker": "closed",
            }  # fmt: skip
            flows = (await client.get("/v1/capabilities")).json()["flows"]
            assert flows["chat"] == {"available": True, "stores": True, "writers": ["llm", "template"], "reason": None}
            fake.status = 500
            for _ in range(3):
                await client.post("/api/v1/chat/enhanced", json={"user_id": "u", "message": "a long day"})
            health = (await client.get("/health/detailed")).json()
            told = (await client.get("/v1/capabilities")).json()
    part = health["components"]["flow_words"]
    assert (health["status"], part["status"], part["breaker"]) == ("degraded", "degraded", "open")
    assert part["reason"] == "the provider is not asked for now: server_error"
    assert told["flows"]["clinical"] == {
        "available": True, "stores": True, "writers": ["template"], "reason": part["reason"],
    }  # fmt: skip
    assert fake.url not in json.dumps([health, told])


async def test_a_language_model_whose_limits_need_redis_is_no_writer_without_it(open_client, fleet):
    with language_model() as fake:
        unlimited = connected(fake)
        unlimited._settings = unlimited._settings.model_copy(update={"limiter": "redis"})
        async with open_client(build_services(fleet, language=unlimited)) as client:
            health = (await client.get("/health/detailed")).json()["components"]
    assert health["flow_words"]["reason"] == "it cannot be asked: limiter_unavailable"
    for word in ("students", "journals", "chats", "reports"):
        assert word in health["redis"]["reason"]


async def test_every_flow_says_whether_it_answers_and_keeps(client, fleet):
    flows = (await client.get("/v1/capabilities")).json()["flows"]
    assert flows["journal"]["available"] is False, "this fleet has no journal"
    assert flows["journal"]["reason"]
    assert (flows["chat"]["writers"], flows["chat"]["stores"]) == (["template"], False)
    fleet.known |= {"journal": READY, "talker": READY}
    flows = (await client.get("/v1/capabilities")).json()["flows"]
    assert (flows["journal"]["available"], flows["chat"]["writers"]) == (True, ["model", "template"])
