"""A model call on behalf of a client: dropped when the client leaves, counted, and its timing told in headers."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from deployments.call import Answer, CallContext
from deployments.errors import Cancelled
from deployments.timing import Timing
from model_store.errors import MusterError
from serve_app.api.exchange import exchange_of
from serve_app.api.services import Services

T = TypeVar("T")
Ask = Callable[[str, Sequence[Any], Mapping[str, Any], CallContext], Awaitable[Answer]]


async def call_model(
    services: Services,
    request: Request,
    application: str,
    inputs: Sequence[Any],
    options: Mapping[str, Any],
    ask: Ask | None = None,
) -> Answer:
    """Run inputs on an application. Raises ``Cancelled`` when the client leaves before the answer.

    ``ask``: how the fleet is asked, where that takes more than one call.
    """
    exchange = exchange_of(request)
    context = exchange.context(len(inputs))
    exchange.asked = (application, context.lane)
    try:
        work = (ask or services.fleet.call)(application, inputs, options, context)
        answer = await while_connected(request.receive, work)
    except (Exception, asyncio.CancelledError):
        services.metrics.inferences(application, 0, len(inputs), 0)
        raise
    failed = len(answer.errors)
    services.metrics.inferences(application, len(inputs) - failed, failed, sum(answer.costs))
    return answer


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """Wait for ``work``, but cancel it when the client disconnects; then raise ``Cancelled``."""
    task = asyncio.current_task()
    assert task is not None
    watch = asyncio.create_task(_cancel_on_disconnect(receive, task))
    try:
        return await work
    except asyncio.CancelledError:
        if watch.done() and not watch.cancelled() and task.uncancel() == 0:
            raise Cancelled() from None
        raise
    finally:
        watch.cancel()


async def _cancel_on_disconnect(receive: Receive, task: asyncio.Task[Any]) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except Exception:  # noqa: BLE001 - a channel that breaks tells nothing about the client; the deadline still holds
        return
    task.cancel()


def first_error(answer: Answer, param: str | None) -> MusterError | None:
    """The error of the first input that failed, its ``param`` set to the caller's own name of that input.

    ``param`` is a template with ``{}`` for the index; the engine only knew the input's place in its own batch.
    """
    if not answer.errors:
        return None
    index = min(answer.errors)
    error = copy.copy(answer.errors[index])
    if param is not None and hasattr(error, "param"):
        error.param = param.format(index)
    return error


def timing_headers(timing: Timing, hits: int = 0) -> dict[str, str]:
    """Where the time went, milliseconds."""
    return {
        "X-Queue-Ms": f"{timing.queue_ms:.2f}",
        "X-Tokenize-Ms": f"{timing.tokenize_ms:.2f}",
        "X-Compute-Ms": f"{timing.compute_ms:.2f}",
        "X-Cache-Hits": str(hits),
    }


def answer_headers(answer: Answer) -> dict[str, str]:
    """The same of an answer, and whether it came from elsewhere."""
    return {**timing_headers(answer.timing, answer.hits), **({"X-Fallback": "true"} if answer.remote else {})}


def model_headers(answer: Answer, model: str) -> dict[str, str]:
    """Who answered, for bodies whose shape has no place for it."""
    return {"X-Model": model, "X-Model-Revision": answer.revision, "X-Fallback": "false", **answer_headers(answer)}
