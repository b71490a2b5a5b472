"""What a request costs stands at ``/metrics`` and in Ray's own exporter, and both say the same."""

import json
import time
import urllib.request
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.server import Server
from benchmarks.texts import Texts

KEY = "all-minilm-l6-v2"
LANE = "bulk"
PATIENCE_S = 60
Numbers = dict[str, float]


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def numbers(text: str, prefix: str, whose: str) -> Numbers:
    """Samples of the model in the lane without their buckets, by name and what other labels say, over all replicas."""
    found: Numbers = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            if labels.get(whose) != KEY or labels.get("lane") != LANE or "le" in labels:
                continue
            name = " ".join(
                [sample.name.removeprefix(prefix), *filter(None, [labels.get("source"), labels.get("code")])]
            )
            found[name] = found.get(name, 0.0) + sample.value
    return found


def told(server: Server) -> Numbers:
    return numbers(page(f"{server.url}/metrics"), "", "application")


def exported(server: Server) -> Numbers:
    """From where Ray tells Prometheus to look."""
    (file,) = (server.runtime / "ray").glob("prom_metrics_service_discovery.json")
    targets = [target for group in json.loads(file.read_text()) for target in group["targets"]]
    text = "\n".join(page(f"http://{target}/metrics") for target in targets)
    return numbers(text, "ray_", "model")


def grown(look: Callable[[Server], Numbers], server: Server, before: Numbers, items: float) -> Numbers:
    """What has come on top, once it is there."""
    until = time.monotonic() + PATIENCE_S
    while True:
        now = look(server)
        more = {name: value - before.get(name, 0.0) for name, value in now.items()}
        if more.get("muster_batch_items_sum", 0.0) >= items and more.get("muster_items_total computed", 0.0) >= items:
            return {name: value for name, value in more.items() if value}
        assert time.monotonic() < until, more
        time.sleep(0.5)


def settled(look: Callable[[Server], Numbers], server: Server) -> Numbers:
    """What stands there once two looks, further apart than both sides take to tell, agree."""
    before = look(server)
    while True:
        time.sleep(12)
        now = look(server)
        if now == before:
            return now
        before = now


def test_one_requests_numbers_agree(server: Server) -> None:
    texts = Texts(71).mixed(96)
    there, here = settled(exported, server), told(server)
    body = json.dumps({"model": KEY, "input": texts}).encode()
    request = urllib.request.Request(f"{server.url}/v1/embeddings", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        tokens = json.load(answer)["usage"]["total_tokens"]
    more = grown(told, server, here, len(texts))
    assert more["muster_batch_items_sum"] == more["muster_items_total computed"] == len(texts)
    assert more["muster_batch_tokens_sum"] == tokens
    assert more["muster_queue_seconds_count"] >= more["muster_tokenize_seconds_count"] >= 1
    assert more["muster_compute_seconds_count"] == more["muster_batch_items_count"] >= 1
    seen = grown(exported, server, there, len(texts))
    for name, value in more.items():
        assert abs(seen.get(name, 0.0) - value) <= 1e-6 * max(1.0, value), (name, seen.get(name), value)
