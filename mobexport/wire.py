"""Messages on Durable's wire: their JSON form, the outcome of a step, the key of an attempt; pure.

Messages outlive a deployment: a step that one version of the app scheduled may be run by the next. So every
message has a version, and one of another version is refused, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, Final, Self, TypeVar, get_type_hints

from mobexport.errors import MobexportError, OtherVersion, RemoteError
from mobexport.redact import redact

_T = TypeVar("_T")

MAX_TEXT: Final = 1000
"""Characters of a failure's text: the host repeats it up to four times in the history."""
VERSION: Final = 1
"""To be raised when a message changes its meaning; docs/change-an-orchestrator.md has the other steps."""


@dataclass(frozen=True)
class AttemptRef:
    """One attempt of an export; `str()` is its key in ids of instances, names of blobs and rows."""

    export_id: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.export_id}-{self.attempt}"


@dataclass(frozen=True)
class TaskRef:
    """One export task of the Export API."""

    app: str
    task_id: str


@dataclass(frozen=True)
class Failure:
    """Why a step failed."""

    code: str
    """Stable, for programs."""
    kind: str
    """Cause: `config`, `request`, `remote`, `data`, `deadline`, `cancelled`, `ended`, `bug`."""
    message: str
    """For the person who must act; without secrets."""
    retryable: bool = False
    status: int | None = None
    """HTTP status of the service that refused."""
    retry_after: float | None = None
    """Seconds that it asked to wait."""

    @classmethod
    def of(cls, error: MobexportError) -> Failure:
        """An error without secrets, cut to a size that suits a history."""
        return cls(
            error.own_code,
            error.kind,
            redact(error.message)[:MAX_TEXT],
            error.retryable,
            error.status if isinstance(error, RemoteError) else None,
            error.retry_after if isinstance(error, RemoteError) else None,
        )

    def to_json(self) -> dict[str, Any]:
        return _to_json(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return _from_json(cls, value)


@dataclass(frozen=True)
class Outcome:
    """Result of a step: a value, or an expected failure."""

    value: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None

    @classmethod
    def failed(cls, code: str, message: str, *, kind: str, retryable: bool = False) -> Outcome:
        """An outcome made without a step."""
        return cls(failure=Failure(code, kind, message, retryable))

    def to_json(self) -> dict[str, Any]:
        """`{"ok": value}` or `{"error": failure}`."""
        return {"ok": dict(self.value)} if self.failure is None else {"error": self.failure.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> Outcome:
        """Raises OtherVersion for anything that `to_json` does not make."""
        match value:
            case {"ok": dict() as found}:
                return cls(found)
            case {"error": dict() as error}:
                return cls(failure=Failure.from_json(error))
        raise OtherVersion(_refusal("outcome"))


@dataclass(frozen=True, kw_only=True)
class Message:
    """An input. In JSON: its version, then its members in camelCase; None is left out.

    A member whose type has `to_json` and `from_json` goes through them.
    """

    trace: str | None = None
    """Trace of the first request, as a W3C traceparent."""

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **_to_json(self)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises OtherVersion for a message of another version, or of another form."""
        if not isinstance(value, Mapping) or value.get("version") != VERSION:
            raise OtherVersion(_refusal(cls.__name__))
        return _from_json(cls, {name: item for name, item in value.items() if name != "version"})


@dataclass(frozen=True, kw_only=True)
class Step(Message):
    """Input of an activity."""

    tried: int = 0
    """Earlier tries of the step."""


@dataclass(frozen=True, kw_only=True)
class RunLane(Message):
    """Input of `run_task_lane`: the steps number `next`, `next + stride`, … below `end`."""

    activity: str
    step: Mapping[str, Any]
    """Common members of the steps, in JSON; they differ in `number`."""
    next: int
    stride: int
    end: int


def _to_json(message: Any) -> dict[str, Any]:
    found = {}
    for name, (member, _, _) in _members(type(message)).items():  # type: ignore[arg-type]
        value = getattr(message, member)
        if value is not None:
            found[name] = value.to_json() if hasattr(value, "to_json") else value
    return found


def _from_json(cls: type[_T], value: Mapping[str, Any]) -> _T:
    members = _members(cls)  # type: ignore[arg-type]
    given = {}
    for name, (member, read, needed) in members.items():
        if name in value:
            given[member] = read(value[name]) if read else value[name]
        elif needed:
            raise OtherVersion(_refusal(cls.__name__))
    if not value.keys() <= members.keys():
        raise OtherVersion(_refusal(cls.__name__))
    return cls(**given)


@cache
def _members(cls: type[Any]) -> Mapping[str, tuple[str, Callable[[Any], Any] | None, bool]]:
    """By name in JSON: the attribute, its reader, and whether it is required."""
    found = {}
    types = get_type_hints(cls)
    for one in fields(cls):
        first, *rest = one.name.split("_")
        name = first + "".join(part.capitalize() for part in rest)
        needed = one.default is MISSING and one.default_factory is MISSING
        found[name] = (one.name, getattr(types[one.name], "from_json", None), needed)
    return found


def _refusal(what: str) -> str:
    return (
        f"this {what} was made by another version of the app: deployed while it was running,"
        " see docs/upgrade.md"
    )
