"""The parts of a flow: each may fail by itself, and is then named instead of failing the whole."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from starlette.requests import Request
from starlette.types import Message

from deployments.call import CallContext
from deployments.errors import Cancelled
from model_store.errors import MusterError
from serve_app.api.errors import describe_defect

T = TypeVar("T")
RESERVE_SHARE, RESERVE_S = 0.1, 0.25
"""Of the time that is left: kept for the way back, so that a slow part costs a part and not the answer."""
_log = logging.getLogger("ray.serve.muster")


class Parts:
    """What failed, in the order it did. ``deadline``: of every part, a little before the request's own."""

    def __init__(self, context: CallContext) -> None:
        left = context.deadline - time.monotonic()
        self.deadline = context.deadline - max(min(RESERVE_S, left / 2), RESERVE_SHARE * left)
        self.failed: list[str] = []

    def fail(self, name: str) -> None:
        """Name a part that did not work; once."""
        if name not in self.failed:
            self.failed.append(name)

    async def take(self, name: str, work: Callable[[], Awaitable[T]], seconds: float | None = None) -> T | None:
        """The part's result within its time; None when it failed. Raises only what ends the whole request."""
        left = self.deadline - time.monotonic()
        try:
            async with asyncio.timeout(left if seconds is None else min(left, seconds)):
                return await work()
        except Cancelled:
            raise
        except (MusterError, TimeoutError):
            self.fail(name)
        except Exception as error:  # noqa: BLE001 - a defect in a part is logged and costs that part only
            _log.error("the part %s failed: %s", name, describe_defect(error))
            self.fail(name)
        return None


def detached(request: Request) -> Request:
    """The request for calls side by side: only one of all may listen for the client's leaving, and that is the flow."""
    return Request(request.scope, _nothing)


async def _nothing() -> Message:
    await asyncio.get_running_loop().create_future()
    _never()


def _never() -> NoReturn:
    raise AssertionError("nobody ends this future")
