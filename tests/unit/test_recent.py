"""Work done a moment ago is not done again for the same owner; for nobody else, and not for long."""

import asyncio

from virtual_time import in_virtual_time

from deployments.batching import Batcher, BatchPolicy
from deployments.engines.base import Prepared
from deployments.errors import PoisonousItem
from deployments.recent import KEEP_S, MOST, RecentOutcomes


def batcher_of(batches):

    async def run(items):
        batches.append([item.payload for item in items])
        if "poison" in batches[-1]:
            raise RuntimeError
        return [item.payload.upper() for item in items]

    return Batcher(run, BatchPolicy(), clock=asyncio.get_running_loop().time)


def item(text):
    return Prepared(text, 1, text.encode())


def test_equal_work_right_after_the_pass_is_answered_by_it():
    async def scenario():

        batches = []
        batcher, now = batcher_of(batches), asyncio.get_running_loop().time

        async def ask(text, owner):
            return (await batcher.submit([item(text), item(text)], "interactive", now() + 60, owner=owner)).outcomes

        assert await ask("a", "north") == await ask("a", "north") == ["A", "A"]
        assert batches == [["a"]]
        assert await ask("a", "south") == ["A", "A"], "another owner's is another's"
        assert await ask("a", "") == ["A", "A"], "nobody's is computed"
        assert batches == [["a"]] * 3
        await asyncio.sleep(KEEP_S * 1.01)
        await ask("a", "north")
        assert batches == [["a"]] * 4
        for _ in range(2):
            assert isinstance((await ask("poison", "north"))[0], PoisonousItem), "a failure is no outcome"
        assert batches[4:] == [["poison"]] * 2
        await batcher.close()

    in_virtual_time(scenario)


def test_what_is_kept_is_bounded_by_count_and_age():
    now = 0.0
    recent = RecentOutcomes(lambda: now)
    for number in range(MOST + 10):
        recent.put("north", str(number).encode(), number + 1)
    assert len(recent) == MOST
    assert recent.get("north", b"0") is None
    assert recent.get("north", str(MOST).encode()) == MOST + 1
    now = KEEP_S * 1.5
    assert recent.get("north", str(MOST).encode()) is None
    recent.put("", b"x", 1)
    recent.put("north", None, 1)
    assert len(recent) == 0
