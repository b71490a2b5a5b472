"""The contract between the batcher's host and a model, five methods, no Ray and no asyncio.

``prepare`` runs in a tokeniser thread, ``run`` in the one compute thread; both are plain blocking calls. ``prepare``
yields the cost together with the item (tokens are only known after tokenising), which is why there is no separate
``cost(item)``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Description:
    """What an engine says of itself for ``/v1/models`` and logs."""

    model: str
    revision: str
    backend: str
    limits: dict[str, int]
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One item ready to run. ``cost`` is in the engine's unit (tokens, rows); ``key`` is equal for equal work."""

    payload: Any
    cost: int
    key: bytes | None = None
    report: dict[str, int] | None = None
    """What was cut: ``{"tokens": n, "kept": m}``; None when nothing was."""
    finish: Callable[[Any], Any] | None = None
    """Makes this item's own answer of what ``run`` computed, in microseconds. It is no part of the work: items with
    equal keys are computed once, whatever becomes of the result."""


class Engine(Protocol):
    """A model that turns prepared items into results, in order.

    One that pads has an attribute ``padding``: tokens computed beside those of its items since it was loaded.
    """

    def load(self) -> None:
        """Read weights from the store. Raises ``TamperedModel``, ``ModelNotPulled``."""

    def warm(self) -> None:
        """Run the golden input; raises ``EngineFault`` when the answer moved."""

    def prepare(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Prepared | Exception]:
        """Turn raw inputs into items, one outcome per input, in order; a bad input becomes an exception in its place."""

    def run(self, items: Sequence[Prepared]) -> Sequence[Any]:
        """Compute; one result per item, in order. The batched result equals the unbatched one."""

    def describe(self) -> Description: ...
