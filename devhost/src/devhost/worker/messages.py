"""Messages on the pipe between host and worker process, pickled.

The host sends a Setup, gets Indexed or Refused, and from then on sends requests, each with a number that its
Answer or Failure repeats. A closed pipe means that the other side is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from devhost.settings import LogLevels

Binding = Mapping[str, Any]
_DURABLE = {
    "orchestrationTrigger": "orchestration",
    "activityTrigger": "activity",
}


class Datum(NamedTuple):
    """A value and its type, as azure.functions.meta.Datum, which the host need not import."""

    value: Any
    type: str | None


@dataclass(frozen=True)
class Function:
    """Declaration of one function; `bindings` are those of function.json, trigger included."""

    name: str
    bindings: tuple[Binding, ...]
    trigger: Binding
    entry_point: str = ""
    """The Python function's own name."""
    retry_policy: Mapping[str, Any] | None = None
    """Arguments of `@app.retry`, all as text."""

    @property
    def trigger_type(self) -> str:
        return str(self.trigger["type"])

    @property
    def methods(self) -> tuple[str, ...]:
        """Upper-case HTTP methods; none means all."""
        return tuple(str(m).upper() for m in self.trigger.get("methods") or ())

    @property
    def route(self) -> str:
        return str(self.trigger.get("route") or self.name).strip("/")

    @property
    def durable_name(self) -> str:
        """The name under which orchestrators and activities are called."""
        return str(self.trigger.get(_DURABLE.get(self.trigger_type, "")) or self.name)


@dataclass(frozen=True)
class Setup:
    """Needs of a worker before it imports the app."""

    root: Path
    log_levels: LogLevels
    client_json: str
    """Value of a durable client."""


@dataclass(frozen=True)
class Indexed:
    """The functions of the app; the worker is ready."""

    functions: tuple[Function, ...]


@dataclass(frozen=True)
class Refused:
    """The app cannot be imported or indexed; the worker ends."""

    why: str


@dataclass(frozen=True)
class Run:
    """Request: run a function to its end; the answer is its encoded result, a Datum or None."""

    function: str
    value: Datum
    metadata: Mapping[str, Datum] = field(default_factory=dict)
    run_id: str = ""


@dataclass(frozen=True)
class Replay:
    """Request: run an orchestrator over an earlier context, its log lines muted; the answer is its text."""

    function: str
    context: str


@dataclass(frozen=True)
class OpenTasks:
    """Request: the tasks that an orchestrator waits for in a context, as `sdk.open_tasks` gives them."""

    function: str
    context: str


Request = Run | Replay | OpenTasks


@dataclass(frozen=True)
class Answer:
    """Result of a request, pickled by itself: the host may not know the classes in it."""

    number: int
    result: bytes


@dataclass(frozen=True)
class Failure:
    """What the request raised; `trace` is the whole text of the exception, for the log."""

    number: int
    exception_type: str
    message: str
    stack: str
    trace: str
