"""Where time and steps went: what replicas tell with their answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time went, milliseconds; the longest over the pieces of a request.

    Of generated text: waiting for a place in the batch, reading the prompt, and from joining the batch to the first token
    (in the first delta) or to the last one (in the last).
    """

    queue_ms: float = 0.0
    tokenize_ms: float = 0.0
    compute_ms: float = 0.0

    def longest(self, other: "Timing") -> "Timing":
        """The longer of each."""
        return Timing(
            max(self.queue_ms, other.queue_ms),
            max(self.tokenize_ms, other.tokenize_ms),
            max(self.compute_ms, other.compute_ms),
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of a generator that made tokens, and the generations that had one each, summed. Nobody's in particular:
    one step serves both lanes."""

    steps: int
    rows: int
