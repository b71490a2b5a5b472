"""What crosses the process boundary between a dispatcher and a replica. One call carries pieces of many requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.call import Lane
from deployments.timing import Timing
from model_store.errors import MusterError


@dataclass(frozen=True, slots=True)
class Piece:
    """Some inputs of one request. ``remaining_s``: seconds until its deadline when the call was sent; ``age_s``: seconds
    since the request came. ``owner``: the tenant, whom an outcome computed just now may serve again; empty: nobody."""

    request_id: str
    inputs: Sequence[Any]
    options: Mapping[str, Any]
    remaining_s: float
    age_s: float = 0.0
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One handle call: pieces of one lane. ``waiting_s``: predicted work still waiting in the sending dispatcher."""

    lane: Lane
    pieces: Sequence[Piece]
    sender: str = ""
    waiting_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PieceReply:
    """Outcomes of one piece, in its order: ``values[i]`` is None where ``errors`` has ``i``."""

    values: Sequence[Any]
    costs: Sequence[int]
    errors: Mapping[int, MusterError] = field(default_factory=dict)
    cut: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class BatchRun:
    """One batch that an engine computed. ``items`` and ``cost`` are those of clients; ``padding``: what was computed beside
    them, in tokens. A batch that failed as a whole is none; its items' own batches are."""

    lane: Lane
    items: int
    cost: int
    padding: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WordsAsked:
    """One attempt at a language model, or, with ``writer``, one assessment whose words are written: ``llm``, ``kept``, or the
    reason why the template wrote them."""

    model: str
    skill: str
    outcome: str = ""
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    usd: float = 0.0
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a call. ``rate``: cost units a second, full batches; ``backlog_s``: the replica's queue in seconds;
    ``backend``: what the replica computes with; ``details``: what else the engine says of itself. ``batches``: what the
    replica has computed since its last reply to anybody: each batch is told once."""

    pieces: Sequence[PieceReply]
    revision: str
    rate: float
    backlog_s: float
    backend: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    batches: Sequence[BatchRun | WordsAsked] = ()


class ReplicaDied(Exception):
    """The replica that had accepted the call is gone; its pieces may be sent again."""


class Transport(Protocol):
    """The dispatcher's way to one application's replicas."""

    async def send(self, call: Call) -> Reply:
        """Send to some replica. Raises ``ReplicaDied`` or a ``MusterError``."""

    async def cancel(self, request_ids: Sequence[str]) -> None:
        """Tell every replica that nobody waits for these requests any more; best effort."""

    def replicas(self) -> int:
        """Running replicas, at least 1."""
