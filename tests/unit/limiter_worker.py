"""One of several processes that ask the limiter for permits under a clock that they share."""

import asyncio

from deployments.reasoning.ledger import Caps, RedisLedger
from deployments.redis_link import RedisLink


def ask(url, clock, step_s, until_s, granted):
    """Ask until the shared clock has passed ``until_s``; each ask moves it by ``step_s``. Puts the granted times."""
    asyncio.run(_ask(url, clock, step_s, until_s, granted))


async def _ask(url, clock, step_s, until_s, granted):
    link = RedisLink(url, lambda kind: None)
    now = [0.0]
    ledger = RedisLedger(link, Caps(), clock=lambda: now[0])
    times, refused = [], 0
    while True:
        with clock.get_lock():
            clock.value += step_s
            now[0] = clock.value
        if now[0] > until_s:
            break
        permit = await ledger.permit(0)
        if permit.refusal is None:
            times.append(permit.at_us)
        else:
            assert permit.refusal in ("minute_limit", "hour_limit"), permit.refusal
            refused += 1
    granted.put((times, refused))
    await link.close()
