"""What a replica has just computed, kept for a moment: two gateways that ask the same at once may come one after the other.

The first one's pass may be over, and its answer still on the way, when the second one asks. Bounded by age and by count;
an owner never meets another's outcomes.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

KEEP_S, MOST = 2.0, 4096


class RecentOutcomes:
    """Outcomes by owner and key. The clock counts seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, bytes], tuple[float, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, owner: str, key: bytes | None) -> Any:
        """The outcome, or None. Nobody's work (no ``owner``) and work without a key are never kept."""
        at, outcome = self._kept.get((owner, key or b""), (0.0, None))
        return outcome if outcome is not None and self._clock() - at <= KEEP_S else None

    def put(self, owner: str, key: bytes | None, outcome: Any) -> None:
        """Keep an outcome; those that are too old go, and the oldest where there are too many."""
        now = self._clock()
        if owner and key:
            self._kept.pop((owner, key), None)
            self._kept[owner, key] = (now, outcome)
        while self._kept and (len(self._kept) > MOST or now - next(iter(self._kept.values()))[0] > KEEP_S):
            self._kept.popitem(last=False)
