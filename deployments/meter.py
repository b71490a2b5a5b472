"""What replicas did, as small events, and the metrics that these become. Who records them is injected.

Each event is told twice: in the replica, to Serve's metrics, and, out of what its answers bring, in the gateway that sent
the call, whose ``/metrics`` is the sum of all gateways. Both use ``record``, so that both show the same.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, Protocol

from deployments.call import Lane
from deployments.errors import Cancelled, code_of
from deployments.generation import Delta
from deployments.timing import Steps
from deployments.wire import BatchRun, PieceReply, WordsAsked
from model_store.errors import MusterError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
COSTS = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)


@dataclass(frozen=True, slots=True)
class CallServed:
    """One call's pieces, of one lane. ``queue_s``: of each piece that was computed; ``tokenize_s``: all pieces are read
    together, None when none was computed; ``errors``: items by error code."""

    lane: Lane
    queue_s: Sequence[float] = ()
    tokenize_s: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenerationServed:
    """One generation, finished or not; ``first`` and ``last`` as far as it came. ``error``: its code, or empty."""

    lane: Lane
    first: Delta | None
    last: Delta | None
    error: str = ""


Event = BatchRun | CallServed | GenerationServed | Steps | WordsAsked
Observer = Callable[[Event], None]
"""Takes an event of one application, at once and without waiting."""


def unobserved(event: Event) -> None:
    """An observer for those who have none."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric. Names have no ``_total``; ``labels`` come after ``application``."""

    kind: Literal["counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ("lane",)
    buckets: tuple[float, ...] = ()


FAMILIES: Mapping[str, Family] = {
    "muster_queue_seconds": Family(
        "histogram", "Waiting before a batch, a piece of a request at a time", buckets=SECONDS
    ),
    "muster_tokenize_seconds": Family("histogram", "Reading the inputs of a call", buckets=SECONDS),
    "muster_compute_seconds": Family("histogram", "Computing a batch, or writing a whole text", buckets=SECONDS),
    "muster_batch_items": Family("histogram", "Items of a batch", buckets=SIZES),
    "muster_batch_tokens": Family("histogram", "Tokens (skills: rows) of a batch", buckets=COSTS),
    "muster_computed_items": Family("counter", "Items of all batches"),
    "muster_computed_tokens": Family("counter", "Tokens (skills: rows) of all batches"),
    "muster_padding_tokens": Family("counter", "Padding computed beside tokens"),
    "muster_prompt_tokens": Family("counter", "Tokens read to write texts"),
    "muster_generated_tokens": Family("counter", "Tokens written"),
    "muster_first_token_seconds": Family(
        "histogram", "From a prompt to the first token of its answer", buckets=SECONDS
    ),
    "muster_generation_steps": Family("counter", "Steps of a generator that wrote tokens", ()),
    "muster_generation_rows": Family("counter", "Tokens of these steps, one for each text that is written", ()),
    "muster_reasoning_calls": Family(
        "counter", "Attempts at a language model for an assessment's words", ("language_model", "skill", "outcome")
    ),
    "muster_reasoning_tokens": Family(
        "counter",
        "Tokens of these attempts: prompt, cached (a part of prompt), completion",
        ("language_model", "skill", "kind"),
    ),
    "muster_reasoning_usd": Family("counter", "What they cost, US dollars", ("language_model", "skill")),
    "muster_reasoning_texts": Family(
        "counter", "Assessments by who wrote their words: llm, kept, or why the template did", ("skill", "writer")
    ),
    "muster_item_errors": Family("counter", "Items that a replica answered with an error", ("lane", "code")),
}


class Instruments(Protocol):
    """Counters and histograms of ``FAMILIES``; label values in the family's order."""

    def count(self, name: str, application: str, labels: Sequence[str], by: float) -> None: ...
    def observe(self, name: str, application: str, labels: Sequence[str], value: float) -> None: ...


def record(event: Event, application: str, into: Instruments) -> None:
    """Count an event of an application."""
    match event:
        case BatchRun():
            lane = (event.lane,)
            into.observe("muster_batch_items", application, lane, event.items)
            into.observe("muster_batch_tokens", application, lane, event.cost)
            into.observe("muster_compute_seconds", application, lane, event.seconds)
            into.count("muster_computed_items", application, lane, event.items)
            into.count("muster_computed_tokens", application, lane, event.cost)
            into.count("muster_padding_tokens", application, lane, event.padding)
        case CallServed():
            lane = (event.lane,)
            for seconds in event.queue_s:
                into.observe("muster_queue_seconds", application, lane, seconds)
            if event.tokenize_s is not None:
                into.observe("muster_tokenize_seconds", application, lane, event.tokenize_s)
            for code, items in event.errors.items():
                into.count("muster_item_errors", application, (event.lane, code), items)
        case GenerationServed():
            _record_generation(event, application, into)
        case WordsAsked():
            _record_words(event, application, into)
        case Steps():
            into.count("muster_generation_steps", application, (), event.steps)
            into.count("muster_generation_rows", application, (), event.rows)


def _record_words(event: WordsAsked, application: str, into: Instruments) -> None:
    model, skill = event.model, event.skill
    if event.writer:
        into.count("muster_reasoning_texts", application, (skill, event.writer), 1)
        return
    into.count("muster_reasoning_calls", application, (model, skill, event.outcome), 1)
    for kind, tokens in (("prompt", event.prompt), ("cached", event.cached), ("completion", event.completion)):
        if tokens:
            into.count("muster_reasoning_tokens", application, (model, skill, kind), tokens)
    if event.usd:
        into.count("muster_reasoning_usd", application, (model, skill), event.usd)


def _record_generation(event: GenerationServed, application: str, into: Instruments) -> None:
    lane, first, last = (event.lane,), event.first, event.last
    if last is not None:
        into.count("muster_prompt_tokens", application, lane, last.prompt_tokens)
        into.count("muster_generated_tokens", application, lane, last.completion_tokens)
    if first is not None and (timing := first.timing):
        into.observe("muster_queue_seconds", application, lane, timing.queue_ms / 1e3)
        into.observe("muster_tokenize_seconds", application, lane, timing.tokenize_ms / 1e3)
        waited = timing.queue_ms + timing.tokenize_ms + timing.compute_ms
        into.observe("muster_first_token_seconds", application, lane, waited / 1e3)
    if last is not None and last.finish and last.timing:
        into.observe("muster_compute_seconds", application, lane, last.timing.compute_ms / 1e3)
    if event.error:
        into.count("muster_item_errors", application, (event.lane, event.error), 1)


def served(lane: Lane, pieces: Sequence[PieceReply]) -> CallServed:
    """The event of a call, out of its answer."""
    computed = [piece.timing for piece in pieces if len(piece.errors) < len(piece.values)]
    errors = Counter(code_of(error) for piece in pieces for error in piece.errors.values())
    tokenize_s = max((timing.tokenize_ms for timing in computed), default=None)
    return CallServed(
        lane,
        tuple(timing.queue_ms / 1e3 for timing in computed),
        None if tokenize_s is None else tokenize_s / 1e3,
        errors,
    )


async def metered(deltas: AsyncGenerator[Delta, None], lane: Lane, observe: Observer) -> AsyncGenerator[Delta, None]:
    """The deltas; once they end, however they do, their generation is told."""
    first, last, error = None, None, ""
    try:
        async with aclosing(deltas):
            async for last in deltas:
                first = first or last
                yield last
    except MusterError as failed:
        error = code_of(failed)
        raise
    except (GeneratorExit, asyncio.CancelledError):
        error = "" if last is not None and last.finish else Cancelled.code
        raise
    finally:
        observe(GenerationServed(lane, first, last, error))
