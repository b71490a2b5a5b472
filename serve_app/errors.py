"""The top floor's errors; extends ``deployments.errors``.

    MusterError
    └── ServeError
        ├── SettingsError            a setting or the keys file is wrong; the process refuses to start
        ├── MalformedBody            not JSON, or not UTF-8
        ├── Unauthenticated          no key, a wrong one, or an expired one
        ├── Forbidden                the key lacks the scope
        │   └── OriginRefused        a host name or a web page that may not drive this server
        ├── NotFound                 no such thing
        │   ├── UnknownStudent
        │   ├── UnknownJournal
        │   ├── UnknownVersion
        │   ├── UnknownReport
        │   └── UnknownSkill
        ├── RemoteFailed             the remote provider was asked, as the last resort, and failed
        ├── BodyTooLarge             more bytes than the limit
        └── UnsupportedMedia         not ``application/json``, or a compressed body

What each becomes on the wire is one table: ``serve_app/api/errors.py``.
"""

from model_store.errors import MusterError


class ServeError(MusterError):
    """Base of the top floor's errors."""


class SettingsError(ServeError):
    """The configuration is wrong; the message names the setting and the fix."""


class MalformedBody(ServeError):
    """The body is not the JSON it claims to be."""


class Unauthenticated(ServeError):
    """No valid key came with the request."""

    def __init__(self, message: str = "Send a valid key: Authorization: Bearer <key>.") -> None:
        super().__init__(message)


class Forbidden(ServeError):
    """The key is valid and has not got the scope."""


class OriginRefused(Forbidden):
    """The Host or Origin header names a place that may not drive this server."""


class NotFound(ServeError):
    """No such thing."""


class UnknownStudent(NotFound):
    """Nothing is stored for this student."""

    def __init__(self, message: str = "No features are stored for this student.") -> None:
        super().__init__(message)


class UnknownJournal(NotFound):
    """This user has no entries."""

    def __init__(self, message: str = "No journal entries are stored for this user.") -> None:
        super().__init__(message)


class UnknownReport(NotFound):
    """No report of this id is held for this tenant (any more)."""

    def __init__(self, message: str = "There is no such report; reports are kept for a limited time.") -> None:
        super().__init__(message)


class UnknownVersion(NotFound):
    """The model has no such version."""

    def __init__(self, known: str) -> None:
        super().__init__(known)
        self.known = known

    def __str__(self) -> str:
        return f"The model has one version at a time, {self.known}."


class UnknownSkill(NotFound):
    """No such skill type. ``known`` are the valid ones."""

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        super().__init__(known)
        self.known = known

    def __str__(self) -> str:
        return f"There is no such skill type; use one of: {', '.join(self.known)}."


class BodyTooLarge(ServeError):
    """The body is larger than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    @property
    def code(self) -> str:
        """The limit is part of the code, so that a program can split its request by it."""
        return f"body_larger_than_{self.limit}_bytes"

    def __str__(self) -> str:
        return f"The body is larger than {self.limit} bytes; send the items in several requests."


class RemoteFailed(ServeError):
    """The local model cannot answer and the remote provider, which was asked instead, failed. ``reason`` is our own
    words: nothing of the provider's answer is in it."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(model, reason)
        self.model, self.reason = model, reason

    def __str__(self) -> str:
        return f"Model {self.model!r} cannot answer here, and the remote provider did not either: {self.reason}."


class UnsupportedMedia(ServeError):
    """The body's type or encoding is not read here."""
