"""Prometheus counters of several gateway processes, one of which dies, with Redis and without it."""

import asyncio
import json
import time

import pytest
from http_fakes import FakeFleet, build_services
from prometheus_client.parser import text_string_to_metric_families

from deployments import meter
from deployments.errors import InvalidInput, Overloaded
from deployments.generation import Delta
from deployments.timing import Steps, Timing
from deployments.wire import BatchRun, PieceReply
from serve_app import metrics
from serve_app.metrics import GatewayMetrics, SharedMetrics, merge

EMBED = {"model": "minilm", "input": ["a", "b", "c"]}


async def samples(client):
    text = (await client.get("/metrics")).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found, name, **labels):
    return found.get((name, tuple(sorted(labels.items()))))


def inferences(found, outcome="success"):
    return value(found, "muster_inferences_total", application="minilm", outcome=outcome)


async def embed(client, times):
    for _ in range(times):
        await client.post("/v1/embeddings", json=EMBED)


async def test_one_gateway_counts(client, fleet):
    await embed(client, 2)
    fleet.error = Overloaded(1)
    await embed(client, 1)
    found = await samples(client)
    assert (inferences(found), inferences(found, "error")) == (6, 3)
    assert value(found, "muster_inference_cost_total", application="minilm") == 18
    assert value(found, "muster_refusals_total", application="minilm", lane="interactive", code="overloaded") == 1
    requests = dict(route="/v1/embeddings", method="POST")
    assert value(found, "muster_requests_total", status="200", **requests) == 2
    assert value(found, "muster_requests_total", status="429", **requests) == 1
    assert value(found, "muster_request_seconds_count", route="/v1/embeddings") == 3
    assert value(found, "muster_state_up") == 0


async def test_whichever_answers_the_counters_are_complete(open_client, redis_server, monkeypatch):
    monkeypatch.setattr(metrics, "PUBLISH_EVERY_S", 0.05)
    async with (
        open_client(build_services(redis_url=redis_server.url, replica="one")) as one,
        open_client(build_services(redis_url=redis_server.url, replica="two")) as two,
    ):
        await asyncio.gather(embed(one, 3), embed(two, 4))
        await asyncio.sleep(0.2)
        first, second = await samples(one), await samples(two)
        assert inferences(first) == inferences(second) == 21
        assert value(first, "muster_request_seconds_count", route="/v1/embeddings") == 7
        assert value(first, "muster_request_seconds_bucket", route="/v1/embeddings", le="+Inf") == 7
        assert value(first, "muster_state_up") == 1
        names = {
            dict(labels)["replica"]
            for found in (first, second)
            for name, labels in found
            if name == "muster_gateway_info"
        }
        assert {name.partition("-")[0] for name in names} == {"one", "two"}


async def test_counters_survive_the_death_of_a_gateway(open_client, redis_server):
    async with open_client(build_services(redis_url=redis_server.url)) as one:
        await embed(one, 1)
        dead = build_services(redis_url=redis_server.url)
        async with open_client(dead) as two:
            await embed(two, 5)
            await dead.shared_metrics.exchange()
        assert inferences(await samples(one)) == 18
        async with open_client(build_services(redis_url=redis_server.url)) as reborn:
            assert inferences(await samples(reborn)) == 18


async def test_the_last_requests_before_a_stop_are_published(open_client, redis_server, monkeypatch):
    monkeypatch.setattr(metrics, "PUBLISH_EVERY_S", 60)
    async with open_client(build_services(redis_url=redis_server.url)) as one:
        await embed(one, 2)
    async with open_client(build_services(redis_url=redis_server.url)) as two:
        assert inferences(await samples(two)) == 6


async def test_without_redis_the_numbers_do_not_go_backwards(open_client, redis_server):
    async with (
        open_client(build_services(redis_url=redis_server.url)) as one,
        open_client(build_services(redis_url=redis_server.url)) as two,
    ):
        await embed(two, 2)
        await samples(two)
        assert inferences(await samples(one)) == 6
        redis_server.kill()
        await embed(one, 1)
        found = await samples(one)
        assert inferences(found) == 9
        assert value(found, "muster_state_up") == 0
        assert any(name == "muster_state_errors_total" for name, _ in found)
        redis_server.start()
        until = time.monotonic() + 6
        while value(await samples(one), "muster_state_up") != 1:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        await two.services.shared_metrics.exchange()
        assert inferences(await samples(one)) == 9


async def test_snapshots_of_the_dead_are_folded_into_one(redis_server, open_client, monkeypatch):
    async with open_client(build_services(redis_url=redis_server.url)) as one:
        state = one.services.state
        for name in ("old1", "old2", "old3"):
            old = GatewayMetrics(name)
            old.inferences("minilm", 10, 0, 1)
            snapshot = {**old.snapshot(), "at": time.time() - 2 * metrics.FOLD_AFTER_S}
            await state.share("gateway-metrics", old.boot, json.dumps(snapshot).encode())
        await embed(one, 1)
        assert inferences(await samples(one)) == 33
        assert inferences(await samples(one)) == 33
        held = await state.share(
            "gateway-metrics", one.services.metrics.boot, json.dumps({"at": 0, "families": {}}).encode()
        )
        assert set(held) == {metrics.RETIRED, one.services.metrics.boot}
        late = SharedMetrics(GatewayMetrics("late"), state)
        await state.fold("gateway-metrics", metrics.RETIRED, ["old1-gone"], lambda values: values[0])
        assert b'muster_inferences_total{application="minilm",outcome="success"} 30.0' in await late.render()


async def test_open_streams_are_those_of_all_gateways_that_live(redis_server, open_client):
    async with (
        open_client(build_services(redis_url=redis_server.url)) as one,
        open_client(build_services(redis_url=redis_server.url)) as two,
    ):
        one.services.metrics.streams_open.inc(2)
        two.services.metrics.streams_open.inc(3)
        await samples(two)
        assert value(await samples(one), "muster_streams_open") == 5
        dead = GatewayMetrics("dead")
        dead.streams_open.inc(7)
        snapshot = {**dead.snapshot(), "at": time.time() - metrics.FRESH_S - 1}
        await one.services.state.share("gateway-metrics", dead.boot, json.dumps(snapshot).encode())
        assert value(await samples(one), "muster_streams_open") == 5


def test_merging_adds_sample_by_sample():
    one, two = GatewayMetrics("a"), GatewayMetrics("b")
    one.inferences("m", 2, 1, 5)
    two.inferences("m", 3, 0, 5)
    two.inferences("n", 1, 0, 1)
    family = merge([one.snapshot(), two.snapshot()])["families"]["muster_inferences"]
    assert family["samples"] == [
        ["muster_inferences_total", {"application": "m", "outcome": "success"}, 5.0],
        ["muster_inferences_total", {"application": "m", "outcome": "error"}, 1.0],
        ["muster_inferences_total", {"application": "n", "outcome": "success"}, 1.0],
    ]


@pytest.mark.parametrize("method", ["GET", "BREW"])
async def test_labels_stay_few(open_client, method):
    async with open_client(build_services(FakeFleet())) as client:
        for i in range(5):
            await client.request(method, f"/none/{i}")
        found = await samples(client)
    routes = {dict(labels).get("route") for name, labels in found if name == "muster_requests_total"}
    assert routes <= {"unmatched", "/metrics"}


def work(application="minilm", lane="interactive", items=3):
    """What a call of one piece brings back: the batch, and the call."""
    timing = Timing(10.0, 20.0, 30.0)
    failed = PieceReply([None], [0], {0: Overloaded(1)})
    return [
        (application, BatchRun(lane, items, 10 * items, 7, 0.03)),
        (application, meter.served(lane, [PieceReply([1] * items, [10] * items, timing=timing), failed])),
    ]


async def test_what_replicas_did_is_complete_whichever_gateway_answers(open_client, redis_server):
    async with (
        open_client(build_services(redis_url=redis_server.url)) as one,
        open_client(build_services(redis_url=redis_server.url)) as two,
    ):
        for client, events in ((one, work() + work(lane="bulk", items=40)), (two, work() + work("skills"))):
            for event in events:
                client.services.metrics.served(*event)
        await samples(one)
        first, second = await samples(two), await samples(one)
        for found in (first, second):
            mine = dict(application="minilm", lane="interactive")
            assert value(found, "muster_batch_items_sum", **mine) == 6
            assert value(found, "muster_batch_items_count", **mine) == 2
            assert value(found, "muster_batch_tokens_sum", **mine) == 60
            assert value(found, "muster_padding_tokens_total", **mine) == 14
            assert value(found, "muster_queue_seconds_sum", **mine) == pytest.approx(0.02)
            assert value(found, "muster_queue_seconds_count", **mine) == 2
            assert value(found, "muster_tokenize_seconds_sum", **mine) == pytest.approx(0.04)
            assert value(found, "muster_compute_seconds_sum", **mine) == pytest.approx(0.06)
            assert value(found, "muster_item_errors_total", code="overloaded", **mine) == 2
            assert value(found, "muster_batch_items_sum", application="minilm", lane="bulk") == 40
            assert value(found, "muster_batch_items_sum", application="skills", lane="interactive") == 3


async def test_generated_tokens_and_steps_are_counted(open_client):
    first = Delta("a", 5, 1, timing=Timing(100.0, 200.0, 300.0))
    last = Delta("b", 5, 8, "stop", timing=Timing(100.0, 200.0, 900.0))
    async with open_client(build_services()) as client:
        client.services.metrics.served("talker", meter.GenerationServed("interactive", first, last))
        client.services.metrics.served("talker", Steps(7, 20))
        found = await samples(client)
    mine = dict(application="talker", lane="interactive")
    assert value(found, "muster_prompt_tokens_total", **mine) == 5
    assert value(found, "muster_generated_tokens_total", **mine) == 8
    assert value(found, "muster_first_token_seconds_sum", **mine) == pytest.approx(0.6)
    assert value(found, "muster_compute_seconds_sum", **mine) == pytest.approx(0.9)
    assert value(found, "muster_generation_steps_total", application="talker") == 7
    assert value(found, "muster_generation_rows_total", application="talker") == 20


class Mirror:
    """Instruments that keep what they are given."""

    def __init__(self):
        self.counts = {}

    def count(self, name, application, labels, by):
        assert len(labels) == len(metrics.MIRRORED[name].labels)
        key = (name, application, *labels)
        self.counts[key] = self.counts.get(key, 0) + by


def test_what_only_a_gateway_knows_goes_to_serves_metrics_too():
    mirror = Mirror()
    own = GatewayMetrics("a", mirror)
    own.items("minilm", "bulk", "memory", 3)
    own.items("minilm", "bulk", "redis", 0)
    own.fallback("emotion", "minilm", "bulk")
    own.refused("minilm", "interactive", "overloaded")
    assert mirror.counts == {
        ("muster_items", "minilm", "bulk", "memory"): 3,
        ("muster_fallbacks", "minilm", "bulk", "emotion"): 1,
        ("muster_refusals", "minilm", "interactive", "overloaded"): 1,
    }


async def test_refusals_name_the_model_and_the_lane_or_neither(client, fleet):
    fleet.errors = {1: InvalidInput("no")}
    await client.post("/v1/embeddings", json=EMBED, headers={"X-Lane": "bulk"})
    await client.post("/v1/embeddings", json={"model": "words of a client", "input": "a"})
    await client.get("/nowhere")
    found = await samples(client)
    refusals = {labels: count for (name, labels), count in found.items() if name == "muster_refusals_total"}
    assert refusals == {
        (("application", "minilm"), ("code", "invalid_value"), ("lane", "bulk")): 1,
        (("application", ""), ("code", "model_not_found"), ("lane", "")): 1,
    }
