"""The one tree of errors.

    MobexportError                 code, kind, retryable, message for the user
    ├── ConfigError                a setting or exports.toml is wrong: nothing to retry
    ├── RequestError               the caller's request is wrong (HTTP 400)
    │   ├── Unauthorized           no good token (401)
    │   ├── Forbidden              a good token of somebody who may not do this (403)
    │   ├── NotFound               no such export, task or app (404)
    │   ├── Conflict               it exists in a state that forbids this (409)
    │   ├── TooManyRequests        try again, not before `retry_after` seconds (429)
    │   └── UnknownExportType      names the types there are
    ├── Unavailable                this half is off or not ready here (503)
    ├── RemoteError                the Export API, a webhook, or storage answered badly
    │   ├── Transient              try again (timeouts, 5xx, broken connections)
    │   ├── Throttled              try again, not before `retry_after` seconds
    │   └── Rejected               the same call would be refused again (4xx, nonsense)
    ├── DataError                  the data cannot be used
    │   ├── UnreadableRow          a row of a table that holds what no row can
    │   ├── Truncated              a file is structurally incomplete
    │   ├── SourceChanged          an input was replaced or deleted while it was read
    │   └── OutOfMemory            a step would take more memory than it may
    ├── WorkerLost                 a step that killed its worker again and again
    ├── Cancelled                  the export's cancel flag is set
    ├── AttemptEnded               a step of an attempt that has ended: nothing to do
    ├── DestinationGone            the container URL of an attempt is not there any more
    └── OtherVersion               a message on Durable's wire that this version does not know

Messages are written for the person who must act and never carry a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Self

MAX_PROBLEMS: Final = 20
"""Problems of one request that are named; the others are counted."""
_MAX_FIELD: Final = 100
_MAX_MESSAGE: Final = 500


class MobexportError(Exception):
    """Base of all expected failures.

    `code` is stable and for programs, the message is for people, `kind` says whose turn it is
    (`mobexport.wire.Failure` lists them), `retryable` whether the same step may work later.
    """

    code: ClassVar[str] = "Error"
    kind: ClassVar[str] = "bug"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.own_code = code or self.code


class ConfigError(MobexportError):
    """A setting or `exports.toml` is wrong; the message names it and the remedy, `problems` are its parts."""

    code = "Configuration"
    kind = "config"

    def __init__(self, message: str, *, code: str | None = None, problems: Sequence[str] = ()) -> None:
        super().__init__(message, code=code)
        self.problems = tuple(problems) or (message,)

    @classmethod
    def of(cls, problems: Sequence[str]) -> Self:
        """An error that lists every problem."""
        return cls("; ".join(problems), problems=problems)


class RequestError(MobexportError):
    """The caller's request cannot be served as it is; `problems` are the first reasons, `more` counts."""

    code = "BadRequest"
    kind = "request"
    status: ClassVar[int] = 400

    def __init__(self, message: str, *, code: str | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, code=code)
        self.problems = tuple(problems[:MAX_PROBLEMS])
        self.more = len(problems) - len(self.problems)

    @classmethod
    def of(cls, problems: Sequence[Problem], *, code: str | None = None) -> Self:
        """An error whose message names the problems."""
        named = [f"{field}: {message}" for field, message in problems[:MAX_PROBLEMS]]
        rest = [f"and {len(problems) - len(named)} more"] if len(problems) > len(named) else []
        return cls("; ".join(named + rest), code=code, problems=problems)


class Unauthorized(RequestError):
    """No good token; `challenge` is the answer's WWW-Authenticate header."""

    code = "AuthenticationFailed"
    status = 401

    def __init__(self, message: str, *, challenge: str = "Bearer") -> None:
        super().__init__(message)
        self.challenge = challenge


class Forbidden(RequestError):
    code = "AuthorizationFailed"
    status = 403


class NotFound(RequestError):
    code = "NotFound"
    status = 404


class Conflict(RequestError):
    code = "Conflict"
    status = 409


class TooManyRequests(RequestError):
    """The caller must wait; `retry_after` is in seconds."""

    code = "TooManyRequests"
    status = 429

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnknownExportType(RequestError):
    code = "UnknownExportType"


class Unavailable(MobexportError):
    """This half of the app is switched off or not ready; the message names the setting."""

    code = "ServiceUnavailable"
    kind = "config"


class RemoteError(MobexportError):
    """Another service failed or refused; `status` is its HTTP status, if any."""

    code = "Remote"
    kind = "remote"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.retry_after = retry_after


class Transient(RemoteError):
    code = "Transient"
    retryable = True


class Throttled(RemoteError):
    code = "Throttled"
    retryable = True


class Rejected(RemoteError):
    code = "Rejected"


class DataError(MobexportError):
    code = "Data"
    kind = "data"


class UnreadableRow(DataError):
    """A row of one of this app's tables does not hold what it should; the others are not concerned."""

    code = "UnreadableRow"

    def __init__(self, table: str, key: str, why: BaseException) -> None:
        super().__init__(
            f"row {key[:150]!r} of table {table} cannot be read ({type(why).__name__}):"
            " mend it there, or delete it"
        )


class Truncated(DataError):
    """A file ends before its structure does; it must be fetched again, whole."""

    code = "Truncated"


class SourceChanged(DataError):
    """A raw file was replaced or deleted after the plan was fixed."""

    code = "SourceChanged"


class OutOfMemory(DataError):
    """A step would take more memory than it may; names the step and the setting that helps."""

    code = "OutOfMemory"


class WorkerLost(MobexportError):
    """A step that killed its worker so often that it is not begun again; names the step and what helps."""

    code = "WorkerLost"
    kind = "data"


class Cancelled(MobexportError):
    """The cancel flag is set: the run ends the attempt as Cancelled."""

    code = "Cancelled"
    kind = "cancelled"


class AttemptEnded(MobexportError):
    """A step that is repeated after the end does nothing."""

    code = "Ended"
    kind = "ended"


class DestinationGone(MobexportError):
    """The request has to be made again, with its container URL."""

    code = "ContainerUrlGone"
    kind = "request"


class OtherVersion(MobexportError):
    """The app was deployed while something was running; docs/upgrade.md says what to do."""

    code = "OtherVersion"


class Problem(tuple[str, str]):
    """One thing that is wrong with a request: (field, what to do), cut to what an answer may hold."""

    __slots__ = ()

    def __new__(cls, field: str, message: str) -> Problem:
        return super().__new__(cls, (field[:_MAX_FIELD], message[:_MAX_MESSAGE]))

    def to_json(self) -> dict[str, str]:
        return {"field": self[0], "message": self[1]}
