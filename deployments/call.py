"""What travels with every piece of work between the gateway, the dispatcher and a replica: small frozen objects.

Deadlines are ``time.monotonic()`` instants of the process that holds the object; only the remaining seconds cross a
process boundary, because monotonic clocks of two processes (or nodes) need not agree.
"""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from deployments.generation import Delta, GenerationRequest
from deployments.timing import Timing
from model_store.errors import MusterError

Lane = Literal["interactive", "bulk"]
INTERACTIVE_MAX_ITEMS = 16
"""More items than this are always bulk (the HTTP contract)."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who asks, how urgently and until when. ``deadline`` is this process's monotonic clock, seconds.

    ``no_store``: neither take from the result cache nor put into it.
    """

    request_id: str
    tenant: str
    lane: Lane
    deadline: float
    no_store: bool = False

    def remaining(self) -> float:
        """Seconds left; negative when the deadline has passed."""
        return self.deadline - time.monotonic()


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to one request: one value per input, None where ``errors`` holds that index.

    ``details``: what the engine says of itself, a classifier's ``labels`` for example. ``hits``: values from the cache.
    ``remote``: no replica of ours gave it but a remote provider's model of the same name. ``rate``: cost units that the
    replica computes a second in full batches, 0 while it does not know.
    """

    values: Sequence[Any]
    costs: Sequence[int]
    revision: str
    errors: Mapping[int, MusterError] = field(default_factory=dict)
    truncated: Sequence[Mapping[str, int]] = ()
    timing: Timing = field(default_factory=Timing)
    details: Mapping[str, Any] = field(default_factory=dict)
    hits: int = 0
    remote: bool = False
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelState:
    """State of one Serve application: ``ready``, ``loading``, ``not_pulled`` or ``failed`` (with the reason).

    ``given_up``: Serve does not try to start it any more.
    """

    state: Literal["ready", "loading", "not_pulled", "failed"]
    reason: str | None = None
    replicas: int = 0
    given_up: bool = False


class Fleet(Protocol):
    """All model applications as the HTTP layer sees them; the gateway implements it with dispatchers."""

    async def call(
        self, application: str, inputs: Sequence[Any], options: Mapping[str, Any], context: CallContext
    ) -> Answer:
        """Run inputs on an application. Raises ``Overloaded``, ``DeadlineExceeded``, ``ModelNotReady``."""

    def stream(self, application: str, request: GenerationRequest, context: CallContext) -> AsyncGenerator[Delta, None]:
        """Generate on an application; closing the generator stops the generation at the replica.

        Raised by its first step: ``InvalidInput``, ``ContextLengthExceeded``, ``Overloaded``, ``DeadlineExceeded``,
        ``ModelNotReady``; ``DeadlineExceeded``, ``ModelNotReady`` and ``EngineFault`` by any.
        """

    async def states(self) -> Mapping[str, ModelState]:
        """State of every application by name."""

    async def backend(self, application: str) -> str | None:
        """What a running application computes with (``onnxruntime-cpu``); None when no replica says so in time."""

    async def about(self, application: str) -> Mapping[str, Any]:
        """What a running application's replica says of itself beside that; empty when none says so in time."""
