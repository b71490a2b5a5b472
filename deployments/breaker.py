"""A circuit breaker: after failures in a row nobody is asked for a while, then one request tries."""

import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]


class Breaker:
    """``failures`` in a row open it for ``rest_s`` seconds; ``trip`` opens it for as long as the reason deserves."""

    def __init__(self, failures: int = 3, rest_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures, self._rest_s, self._clock = failures, rest_s, clock
        self._failed = 0
        self._until: float | None = None
        self._probing = False
        self.reason: str | None = None

    @property
    def state(self) -> State:
        if self._until is None:
            return "closed"
        return "open" if self._clock() < self._until else "half_open"

    @property
    def retry_after_s(self) -> float:
        """Seconds until the next request may try; 0 when one may now."""
        return max(0.0, self._until - self._clock()) if self._until is not None else 0.0

    @property
    def willing(self) -> bool:
        """Whether ``admit`` would let a request through."""
        return self.state == "closed" or (self.state == "half_open" and not self._probing)

    def admit(self) -> bool:
        """Whether to ask now. Every True is answered by ``succeed``, ``fail``, ``trip`` or ``leave``."""
        if not self.willing:
            return False
        self._probing = self.state == "half_open"
        return True

    def succeed(self) -> None:
        """It answered: closed from now on."""
        self._failed, self._until, self._probing, self.reason = 0, None, False, None

    def fail(self, reason: str) -> None:
        """It did not: opens after so many in a row, and at once when this was the one that tried."""
        self._failed += 1
        self.reason = reason
        if self._probing or self._failed >= self._failures:
            self.trip(reason, self._rest_s)

    def trip(self, reason: str, rest_s: float) -> None:
        """Open at once."""
        self._until, self._probing, self.reason = self._clock() + rest_s, False, reason

    def leave(self) -> None:
        """Nothing was learnt: the request went away, or was at fault itself."""
        self._probing = False
