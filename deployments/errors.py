"""The middle floor's errors; extends ``model_store.errors``.

MusterError
└── DeploymentError
    ├── InvalidInput             the caller's data is wrong; ``param`` names the field
    │   └── ContextLengthExceeded    a text is longer than the model reads
    ├── UnusableData             a file of the user's has a wrong line; the message names line and column
    ├── Overloaded               refused now; ``retry_after_s`` is computed from the backlog
    ├── DeadlineExceeded         the deadline passed before an answer
    ├── Cancelled                the client left
    ├── PoisonousItem            this item made the engine fail, or was present at two replica deaths
    ├── ModelNotReady            no replica of the model answers (yet)
    ├── DoesNotFit               a model needs more memory than the machine, or its share of a GPU, has left
    ├── OutOfMemory              a pass over one item found no memory
    ├── StateUnavailable         Redis does not answer and the operation needs a record
    └── EngineFault              the engine broke its own promises (wrong count, non-finite output)
"""

from typing import ClassVar

from model_store.errors import MusterError


class DeploymentError(MusterError):
    """Base of the middle floor's errors. ``code``: what answers and metrics call it."""

    code: ClassVar[str] = "internal_error"


class InvalidInput(DeploymentError):
    """The caller's data is wrong. ``param`` is the field's path, for example ``input[3]``."""

    code = "invalid_value"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.message, self.param = message, param

    def __str__(self) -> str:
        return self.message


class ContextLengthExceeded(InvalidInput):
    """A text has more tokens than the model reads."""

    code = "context_length_exceeded"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)


class UnusableData(DeploymentError):
    """A file that accuracy was to be measured with is not of the form it should be. The message quotes nothing of it."""


class Overloaded(DeploymentError):
    """Refused at once because the queue is full. ``retry_after_s``: seconds until the backlog is worked off."""

    code = "overloaded"

    def __init__(self, retry_after_s: float = 1.0, message: str = "Too much work is queued; try again later.") -> None:
        super().__init__(retry_after_s, message)
        self.retry_after_s, self.message = retry_after_s, message

    def __str__(self) -> str:
        return self.message


class DeadlineExceeded(DeploymentError):
    """The request's deadline passed."""

    code = "deadline_exceeded"

    def __init__(self, message: str = "The deadline passed before the answer was ready.") -> None:
        super().__init__(message)


class Cancelled(DeploymentError):
    """The client went away; nobody reads this."""

    code = "client_closed_request"


class PoisonousItem(DeploymentError):
    """This one item makes the engine fail; the others of its batch were answered."""

    code = "poisonous_item"

    def __init__(
        self, message: str = "This item makes the model fail and was refused.", param: str | None = None
    ) -> None:
        super().__init__(message, param)
        self.message, self.param = message, param

    def __str__(self) -> str:
        return self.message


class ModelNotReady(DeploymentError):
    """No replica of the model answers at the moment."""

    code = "model_not_ready"

    def __init__(self, model: str, reason: str = "it is still loading", retry_after_s: float = 5.0) -> None:
        super().__init__(model, reason, retry_after_s)
        self.model, self.reason, self.retry_after_s = model, reason, retry_after_s

    def __str__(self) -> str:
        return f"Model {self.model!r} is not ready: {self.reason}."


class DoesNotFit(DeploymentError):
    """A model was not loaded because the memory of ``place`` would not do; figures in bytes."""

    code = "model_refused"

    def __init__(self, model: str, needed: int, free: int, place: str = "this machine") -> None:
        super().__init__(model, needed, free, place)
        self.model, self.needed, self.free, self.place = model, needed, free, place

    def __str__(self) -> str:
        return (
            f"Model {self.model!r} needs {self.needed / 2**20:.0f} MiB to load and {self.place} has "
            f"{self.free / 2**20:.0f} MiB left; see `muster plan` for what fits."
        )


class OutOfMemory(DeploymentError):
    """A pass over this item, alone, found no memory. The replica serves on."""

    code = "out_of_memory"

    def __init__(
        self, message: str = "The model had no memory left for this item; try again, or send it in shorter pieces."
    ) -> None:
        super().__init__(message)


class StateUnavailable(DeploymentError):
    """Redis did not answer in time and the operation needs a stored record."""

    code = "state_unavailable"

    def __init__(self, message: str = "Stored data is unavailable at the moment.", retry_after_s: float = 2.0) -> None:
        super().__init__(message, retry_after_s)
        self.message, self.retry_after_s = message, retry_after_s

    def __str__(self) -> str:
        return self.message


class EngineFault(DeploymentError):
    """The engine broke its contract: wrong number of results, non-finite values, a golden output that moved."""


def code_of(error: BaseException) -> str:
    """What metrics call an error."""
    return getattr(error, "code", DeploymentError.code) if isinstance(error, MusterError) else DeploymentError.code
