"""An event loop whose clock only moves when nothing else can happen: no test sleeps, and every run is the same.

Also a counter of executed bytecodes, which tells linear work from quadratic without a stopwatch.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import settings

patient = settings(deadline=None)
"""Generated tests on a busy machine: slowness is no failure."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of waiting for it; waiting for nothing at all is an error, not a hang."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._poll = self._selector.select
        self._selector.select = self._jump

    def time(self) -> float:
        return self.now

    def _jump(self, timeout):
        if timeout is None:
            raise RuntimeError("Deadlock: every task waits and no timer is set.")
        self.now += max(0.0, timeout)
        return self._poll(0)


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a scenario to its end in a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario())


async def settle(turns: int = 12) -> None:
    """Let everything happen that can happen without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


def bytecodes(action: Callable[[], Any]) -> int:
    """How many bytecodes the packages under test execute during an action."""
    executed = 0

    def count(frame, event, _):
        nonlocal executed
        if event == "call":
            if "/deployments/" not in frame.f_code.co_filename:
                return None
            frame.f_trace_opcodes = True
        executed += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        action()
    finally:
        sys.settrace(before)
    return executed
