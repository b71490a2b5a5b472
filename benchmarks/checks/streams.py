"""Generated text over HTTP: clients that die in the middle of a stream leave nothing behind; many write beside each other.

The model is a small GPT-2 with random weights, deployed beside the starter fleet for the time of the check.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence

import psutil

from benchmarks import metrics_page
from benchmarks.checks.quality import openai_client
from benchmarks.checks.verdict import Verdict
from benchmarks.generation import LENGTHS, quantiles
from benchmarks.server import Server, private_bytes
from benchmarks.streams import Streamed, chat_body, drop_many, read_all, stream
from benchmarks.writing_model import beside_the_fleet, prompt
from deployments.generator_host import MOST_AT_A_TIME

TOKENS = 100
"""Of an answer; it takes about a second, so that a client that reads five events leaves in the middle."""
CLIENTS, AT_A_TIME = 8, 16
SETTLE_S, IDLE_S, MIB = 20.0, 3.0, 2**20
GROWTH_MIB = 64
"""What the gateways and the model's replica may have grown by, all together."""


def measure(server: Server, drops: int = 1000, answers: int = 48, firsts: int = 40) -> Verdict:
    """``drops`` clients leave; before and after, ``answers`` chats are read to the end. ``firsts``: short prompts whose
    first token is timed alone and beside long ones; 0 leaves the timing of generations out."""
    verdict = Verdict(f"{drops} clients leave in the middle of a stream")
    with beside_the_fleet(server) as model:
        _sdk(server.port, model, verdict)
        before = _whole(server.port, model, answers, verdict)
        _storm(server, model, drops, verdict)
        _nothing_left(server, model, verdict)
        after = _whole(server.port, model, answers, verdict)
        verdict.figures |= {"tokens/s before": round(before, 1), "tokens/s after": round(after, 1)}
        verdict.at_least("tokens/s after / before", after / before, 0.9)
        if firsts:
            _together(server.port, model, verdict)
            _first_tokens(server.port, model, firsts, verdict)
    return verdict


def _sdk(port: int, model: str, verdict: Verdict) -> None:
    """The ``openai`` SDK's streams, joined, are what it gets in one piece."""
    chats = openai_client(port).chat.completions
    for number in range(3):
        asked = {"model": model, "messages": [{"role": "user", "content": prompt(5 + 9 * number, number)}]}
        options = {"max_tokens": 20 + number, "temperature": 0}
        whole = chats.create(**asked, **options).choices[0]
        pieces = [chunk.choices[0] for chunk in chats.create(**asked, **options, stream=True) if chunk.choices]
        joined = "".join(piece.delta.content or "" for piece in pieces)
        same = joined == whole.message.content and pieces[-1].finish_reason == whole.finish_reason
        verdict.require(f"streamed chat {number} equals the whole one", same and bool(joined))


def _whole(port: int, model: str, count: int, verdict: Verdict) -> float:
    """Tokens a second of ``count`` chats read to the end; the first few only warm up."""
    bodies = [chat_body(model, prompt(20, number), TOKENS) for number in range(count)]
    asyncio.run(read_all(port, bodies[:CLIENTS], CLIENTS))
    started = time.perf_counter()
    found = asyncio.run(read_all(port, bodies, CLIENTS))
    seconds = time.perf_counter() - started
    _require_whole(verdict, "every chat was read to its end", found)
    return sum(each.tokens for each in found) / seconds


def _require_whole(verdict: Verdict, what: str, found: Sequence[Streamed]) -> None:
    verdict.require(what, all(each.status == 200 and each.whole for each in found))


def _storm(server: Server, model: str, drops: int, verdict: Verdict) -> None:
    processes = [*server.replicas("gateway"), *server.replicas(model)]
    bodies = [chat_body(model, prompt(20, 5000 + number), TOKENS) for number in range(drops)]
    faults, memory = _faults(server.port), private_bytes(processes)
    started = time.perf_counter()
    found = asyncio.run(drop_many(server.port, bodies, AT_A_TIME))
    verdict.figures |= {
        "seconds of the storm": round(time.perf_counter() - started, 1),
        "left in the middle": sum(not each.whole for each in found),
        "gateways and replica, MiB before": round(memory / MIB),
    }
    verdict.require("every stream had begun", all(each.status == 200 and each.events for each in found))
    verdict.require("none had ended", not any(each.whole for each in found))
    verdict.require("the gauge goes back to zero", _settled(server.port, verdict))
    verdict.require("no request was answered with 5xx", _faults(server.port) == faults)
    grown = (private_bytes(processes) - memory) / MIB
    verdict.require_at_most("growth of gateways and replica, MiB", grown, GROWTH_MIB)
    alive = [*server.replicas("gateway"), *server.replicas(model)]
    verdict.require("no replica was replaced", {each.pid for each in alive} == {each.pid for each in processes})


def _faults(port: int) -> float:
    return metrics_page.read(port).total("muster_requests_total", route="/v1/chat/completions", status="5")


def _settled(port: int, verdict: Verdict) -> bool:
    """Whether ``muster_streams_open`` is 0; gateways tell each other every two seconds."""
    started = time.perf_counter()
    while time.perf_counter() - started < SETTLE_S:
        if metrics_page.read(port).total("muster_streams_open") == 0:
            verdict.figures["gauge at zero after, s"] = round(time.perf_counter() - started, 1)
            return True
        time.sleep(0.2)
    return False


def _nothing_left(server: Server, model: str, verdict: Verdict) -> None:
    """The replica computes nothing, and takes as many generations as it takes at most: none of its places is lost."""
    before = _cpu(server.replicas(model))
    time.sleep(IDLE_S)
    share = (_cpu(server.replicas(model)) - before) / IDLE_S
    verdict.require_at_most("cores that the replica uses afterwards", share, 0.25)
    bodies = [chat_body(model, prompt(12, number), TOKENS) for number in range(MOST_AT_A_TIME)]
    found = asyncio.run(read_all(server.port, bodies, len(bodies)))
    _require_whole(verdict, f"{len(bodies)} at once, all that a replica takes, are answered", found)


def _cpu(processes: Sequence[psutil.Process]) -> float:
    """Seconds of processor time so far."""
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


def _together(port: int, model: str, verdict: Verdict) -> None:
    """Sixteen chats of different lengths together against one after another; the median of three rounds counts."""
    bodies = [chat_body(model, prompt(8 + 3 * number, number), length) for number, length in enumerate(LENGTHS)]
    shares = []
    for _ in range(3):
        seconds = []
        for at_a_time in (len(bodies), 1):
            started = time.perf_counter()
            found = asyncio.run(read_all(port, bodies, at_a_time))
            seconds.append(time.perf_counter() - started)
            _require_whole(verdict, f"sixteen, {at_a_time} at a time, were read", found)
        shares.append(seconds[0] / seconds[1])
        verdict.figures |= {"16 together, s": round(seconds[0], 2), "16 one after another, s": round(seconds[1], 2)}
    verdict.at_most("16 together / one after another", statistics.median(shares), 0.5)


def _first_tokens(port: int, model: str, count: int, verdict: Verdict) -> None:
    """Milliseconds to the first token of a short prompt, alone and beside prompts of 900 tokens."""
    alone, beside = asyncio.run(_timed_firsts(port, model, count))
    verdict.figures |= {
        "first token of a short prompt alone, p50 and p99 ms": quantiles(alone),
        "the same beside prompts of 900 tokens, p50 and p99 ms": quantiles(beside),
    }


async def _timed_firsts(port: int, model: str, count: int) -> tuple[list[float], list[float]]:
    async def first(number: int) -> float:
        return (await stream(port, chat_body(model, prompt(12, number), 2))).first_s * 1e3

    async def keep_busy() -> None:
        number = 0
        while not over:
            number += 1
            await stream(port, chat_body(model, prompt(900, 1000 + number), 4))

    over = False
    alone = [await first(number) for number in range(count)]
    busy = asyncio.ensure_future(keep_busy())
    beside = []
    for number in range(count):
        await asyncio.sleep(0.02 * (number % 5))
        beside.append(await first(number))
    over = True
    await busy
    return alone, beside
