"""The result cache as clients see it, with a real Redis behind it."""

import pytest
from http_fakes import FakeFleet, build_services

from deployments.cache import ResultCache
from deployments.cached_fleet import CachedFleet
from deployments.shared_cache import SharedCache

URL = "/v1/embeddings"


def cached(services, worth_s=0.0):
    """Services whose fleet keeps answers, as the gateway builds them."""
    metrics, state = services.metrics, services.state
    shared = SharedCache(state, 1000, 60, worth_s)
    fleet = CachedFleet(services.fleet, ResultCache(1 << 20, 60), shared, state.salt, len, metrics.items)
    object.__setattr__(services, "fleet", fleet)
    return services


@pytest.fixture
async def keeping(redis_server, open_client):
    async with open_client(cached(build_services(FakeFleet(), redis_server.url))) as client:
        yield client


async def embed(client, texts, **headers):
    return await client.post(URL, json={"model": "embedding", "input": texts}, headers=headers)


async def test_hits_are_told_and_answers_stay_the_same(keeping):
    first = await embed(keeping, ["a", "b"])
    again = await embed(keeping, ["b", "c", "a"])
    assert (first.headers["x-cache-hits"], again.headers["x-cache-hits"]) == ("0", "2")
    old, new = ([row["embedding"] for row in answer.json()["data"]] for answer in (first, again))
    assert (new[0], new[2]) == (old[1], old[0])
    page = (await keeping.get("/metrics")).text
    assert 'muster_items_total{application="minilm",lane="interactive",source="memory"} 2.0' in page
    assert 'muster_items_total{application="minilm",lane="interactive",source="computed"} 3.0' in page


async def test_no_store_is_honoured(keeping):
    for _ in range(2):
        assert (await embed(keeping, "a", **{"Cache-Control": "No-Store"})).headers["x-cache-hits"] == "0"
    assert (await embed(keeping, "a")).headers["x-cache-hits"] == "0"
    assert (await embed(keeping, "a")).headers["x-cache-hits"] == "1"


async def test_another_gateway_finds_it_in_redis_and_redis_holds_no_text(keeping, redis_server, open_client):
    await embed(keeping, "a very private text")
    await keeping.services.fleet._shared.settle()
    async with open_client(cached(build_services(FakeFleet(), redis_server.url, replica="other"))) as other:
        await embed(other, "to learn the revision")
        assert (await embed(other, "a very private text")).headers["x-cache-hits"] == "1"
    keys = redis_server.command("KEYS", "*")
    assert keys.count(b":cache:") >= 1
    assert b"private" not in keys
    for key in keys.split(b"\r\n"):
        if b":cache:" in key:
            assert b"private" not in redis_server.command("GET", key.decode())


async def test_a_dead_redis_costs_no_answer(keeping, redis_server):
    await embed(keeping, "a")
    redis_server.kill()
    assert (await embed(keeping, ["a", "b"])).status_code == 200
    assert (await embed(keeping, ["b"])).headers["x-cache-hits"] == "1"
