"""A retry budget: retries may be a tenth of the calls that succeed, plus a small reserve (the shape of Finagle's)."""


class RetryBudget:
    """A bucket that successes fill and retries empty, so that retries cannot multiply an outage."""

    def __init__(self, reserve: float = 50.0, ratio: float = 0.1) -> None:
        self._reserve = self._tokens = reserve
        self._ratio = ratio

    def earn(self) -> None:
        self._tokens = min(self._reserve, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take one retry; False when the budget is used up."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
