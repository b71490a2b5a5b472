"""Redis away, black-holed, back again, and damaged: what works, what is refused, what it costs."""

import asyncio
import time

import pytest
from http_fakes import build_services

from deployments.call import CallContext
from deployments.errors import StateUnavailable
from deployments.redis_link import Breaker
from deployments.state import State

FEATURES = {"linguistic": {"word_count": 120}}
PATH = "/api/v1/students/s1"
STATELESS = [
    ("GET", "/health", None),
    ("GET", "/readiness", None),
    ("GET", "/health/detailed", None),
    ("GET", "/metrics", None),
    ("GET", "/v1/models", None),
    ("POST", "/v1/embeddings", {"model": "minilm", "input": "a"}),
    ("POST", "/api/v1/infer/s1", {"features": FEATURES}),
    ("POST", "/api/v1/infer/batch", {"rows": [{"features": FEATURES}]}),
    ("GET", "/api/v1/metrics", None),
    ("GET", "/api/v1/metrics/summary", None),
    ("GET", "/api/v1/metrics/drift", None),
]
STORED = [
    ("PUT", f"{PATH}/features", FEATURES),
    ("GET", f"{PATH}/features", None),
    ("DELETE", PATH, None),
    ("POST", "/api/v1/infer/s1", None),
    ("POST", "/api/v1/infer/batch", {"student_ids": ["s1"]}),
    ("POST", f"{PATH}/transcripts", {"texts": ["I asked him."]}),
]


async def statuses(client, requests):
    answers = [await client.request(method, path, json=body) for method, path, body in requests]
    return [answer.status_code for answer in answers]


async def check_away(client):
    """Everything stateless works, everything stored is an honest 503, and the report says so."""
    assert await statuses(client, STATELESS) == [200] * len(STATELESS)
    for method, path, body in STORED:
        answer = await client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    report = (await client.get("/health/detailed")).json()
    assert (report["status"], report["components"]["redis"]["status"]) == ("degraded", "degraded")


async def until_healed(client):
    until = time.monotonic() + 6
    while (await client.get("/health/detailed")).json()["status"] != "healthy":
        assert time.monotonic() < until, "did not heal"
        await asyncio.sleep(0.05)


async def test_a_killed_redis_and_its_return(stored, redis_server):
    await stored.put(f"{PATH}/features", json=FEATURES)
    # Several connections are open when it dies; none of them may spoil a request afterwards.
    await asyncio.gather(*(stored.get(f"{PATH}/features") for _ in range(20)))
    assert (await stored.get("/health/detailed")).json()["status"] == "healthy"
    redis_server.kill()
    await check_away(stored)
    redis_server.start()
    await until_healed(stored)
    got = await asyncio.gather(*(stored.get(f"{PATH}/features") for _ in range(20)))
    assert [answer.status_code for answer in got] == [200] * 20
    assert got[0].json()["linguistic"] == FEATURES["linguistic"]
    assert await statuses(stored, STORED[:1] + STORED[3:]) == [200] * 4


async def test_under_traffic_only_stored_routes_notice(stored, redis_server):
    await stored.put(f"{PATH}/features", json=FEATURES)
    seen = {"stateless": set(), "stored": set()}
    running = True

    async def traffic(kind, method, path, body):
        while running:
            answer = await stored.request(method, path, json=body)
            seen[kind].add(answer.status_code)
            await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(traffic("stateless", *STATELESS[i])) for i in (5, 6, 7, 3)]
    tasks.append(asyncio.create_task(traffic("stored", *STORED[1])))
    await asyncio.sleep(0.2)
    redis_server.kill()
    await asyncio.sleep(0.5)
    redis_server.start()
    await until_healed(stored)
    running = False
    await asyncio.gather(*tasks)
    assert seen["stateless"] == {200}
    assert seen["stored"] == {200, 503}


async def test_a_black_hole_costs_little(stored, redis_server):
    await stored.put(f"{PATH}/features", json=FEATURES)
    redis_server.freeze(frozen=True)
    try:
        started = time.monotonic()
        assert (await stored.get(f"{PATH}/features")).status_code == 503
        assert time.monotonic() - started < 1.3
        for _ in range(3):
            started = time.monotonic()
            assert (await stored.post("/api/v1/infer/s1", json={"features": FEATURES})).status_code == 200
            assert time.monotonic() - started < 0.15
        started = time.monotonic()
        for _ in range(20):
            await stored.post("/api/v1/infer/s1", json={"features": FEATURES})
        assert time.monotonic() - started < 0.5
        answer = await stored.get(f"{PATH}/features", headers={"X-Deadline-Ms": "100"})
        assert answer.status_code in (503, 504)
    finally:
        redis_server.freeze(frozen=False)
    await until_healed(stored)
    assert (await stored.get(f"{PATH}/features")).status_code == 200


async def test_records_wait_in_memory_and_are_stored_later(stored, redis_server):
    await stored.post("/api/v1/infer/before", json={"features": FEATURES})
    redis_server.kill()
    for student in ("during1", "during2"):
        await stored.post(f"/api/v1/infer/{student}", json={"features": FEATURES})
    away = await stored.get("/api/v1/metrics")
    assert [record["student_id"] for record in away.json()] == ["during2", "during1"]
    assert away.headers["x-source"] == "memory"
    redis_server.start()
    await until_healed(stored)
    await asyncio.sleep(0.6)
    await stored.post("/api/v1/infer/after", json={"features": FEATURES})
    back = await stored.get("/api/v1/metrics")
    assert [record["student_id"] for record in back.json()] == ["after", "during2", "during1", "before"]
    assert back.headers["x-source"] == "redis"


async def test_an_erased_student_does_not_come_back_from_memory(open_client, redis_server):
    async with open_client(build_services(redis_url=redis_server.url)) as one:
        state = one.services.state
        redis_server.kill()
        await one.post("/api/v1/infer/gone", json={"features": FEATURES})
        await one.post("/api/v1/infer/stays", json={"features": FEATURES})
        redis_server.start()
        other = State(redis_server.url)
        await other.erase_student(CallContext("r", "default", "interactive", time.monotonic() + 5), "gone")
        await other.close()
        await until_healed(one)
        await asyncio.sleep(0.6)
        await state.record("default", [])
        found = (await one.get("/api/v1/metrics")).json()
        assert [record["student_id"] for record in found] == ["stays"]


async def test_memory_is_bounded():
    state = State(None)
    for start in range(0, 1500, 100):
        await state.record("t", [{"student_id": str(i), "success": True} for i in range(start, start + 100)])
    found, source = await state.records(CallContext("r", "t", "bulk", time.monotonic() + 1), 10_000)
    assert (len(found), found[0]["student_id"], source) == (1000, "1499", "memory")


async def test_without_any_redis_stateless_routes_work(client):
    await check_away(client)


@pytest.mark.parametrize("damage", ["no json", "[]", "7", "{}", '{"linguistic":{"word_count":-1},"behavioral":{}}'])
async def test_a_damaged_record_is_never_served(stored, redis_server, damage):
    redis_server.command("SET", "muster:default:features:s1", damage)
    for method, path, body in STORED[1:2] + STORED[3:]:
        answer = await stored.request(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")


async def test_another_type_under_our_key_is_no_defect(stored, redis_server):
    redis_server.command("LPUSH", "muster:default:inferences", "x")
    assert (await stored.post("/api/v1/infer/s1", json={"features": FEATURES})).status_code == 200
    assert (await stored.get("/api/v1/metrics")).headers["x-source"] == "memory"


def test_the_breaker_lets_one_try_again(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    breaker = Breaker(tolerated=2)
    breaker.failed(surely=False)
    breaker.pass_or_raise()
    breaker.failed(surely=False)
    with pytest.raises(StateUnavailable):
        breaker.pass_or_raise()
    now[0] += 0.3
    breaker.pass_or_raise()
    with pytest.raises(StateUnavailable):
        breaker.pass_or_raise()
    breaker.succeeded()
    breaker.pass_or_raise()
    breaker.failed(surely=True)
    with pytest.raises(StateUnavailable):
        breaker.pass_or_raise()
