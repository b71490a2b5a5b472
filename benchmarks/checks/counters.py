"""Requirement 7: whichever gateway replica answers, the inference counters at /metrics are the same and complete."""

import asyncio
import re
import time

from benchmarks.checks.verdict import Verdict
from benchmarks.load import Connection, embed_all
from benchmarks.texts import Texts

SETTLE_S, PUBLISH_S = 15, 5
WHO = re.compile(rb'muster_gateway_info\{replica="([^"]+)"\}')
COUNTED = re.compile(rb"^(muster_inferences_total\{[^}]*\}) ([0-9.e+]+)$", re.MULTILINE)


def measure(port: int, texts: int = 200) -> Verdict:
    """Send ``texts`` texts, wait, then ask until both replicas have answered."""
    verdict = Verdict("both gateway replicas report equal inference counters")
    # What was counted just before must have been published by then.
    time.sleep(PUBLISH_S)
    before = asyncio.run(_scrape(port))
    load = asyncio.run(embed_all(port, Texts(23).short(texts), 1, 8))
    wanted = sum(_embeddings(next(iter(before.values()), {}))) + texts
    _settle(port, wanted)
    after = asyncio.run(_scrape(port))
    verdict.require("all requests answered", not load.failures)
    verdict.require(f"two replicas answered ({len(after)})", len(after) == 2)
    seen = list(after.values())
    verdict.require("their counters are equal", all(counters == seen[0] for counters in seen))
    counted = sum(_embeddings(seen[0])) - wanted + texts
    verdict.figures |= {"sent": texts, "counted": counted, "replicas": len(after)}
    verdict.require(f"counted {counted} of {texts}", counted == texts)
    return verdict


def _settle(port: int, wanted: float) -> None:
    """Until all who answer have counted ``wanted``, ``SETTLE_S`` at most; then until what comes too much would be there."""
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        found = asyncio.run(_scrape(port)).values()
        if len(found) == 2 and all(sum(_embeddings(counters)) >= wanted for counters in found):
            break
        time.sleep(0.5)
    time.sleep(PUBLISH_S)


def _embeddings(counters: dict[bytes, float]) -> list[float]:
    return [value for name, value in counters.items() if b"all-minilm-l6-v2" in name]


async def _scrape(port: int) -> dict[bytes, dict[bytes, float]]:
    """Counters by replica. Each scrape has a connection of its own, so that the proxy spreads them."""
    found: dict[bytes, dict[bytes, float]] = {}
    for _ in range(40):
        connection = Connection("127.0.0.1", port, keep_body=True)
        outcome = await connection.ask("GET", "/metrics")
        connection.close()
        who = WHO.search(outcome.body)
        if who:
            found[who[1]] = {name: float(value) for name, value in COUNTED.findall(outcome.body)}
        if len(found) == 2:
            break
    return found
