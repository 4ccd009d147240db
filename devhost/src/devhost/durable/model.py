"""Records of the engine: instance, message, activity call, outcome of an episode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from devhost.durable.history import Event

PENDING, RUNNING, SUSPENDED = "Pending", "Running", "Suspended"
COMPLETED, FAILED, TERMINATED, CANCELED = "Completed", "Failed", "Terminated", "Canceled"
TERMINAL = frozenset({COMPLETED, FAILED, TERMINATED, CANCELED})


@dataclass(frozen=True)
class Instance:
    """One row of the instance table. Texts are JSON as stored, or plain for failures and reasons."""

    id: str
    name: str
    version: str | None
    execution_id: str
    status: str
    input: str | None
    output: str | None
    custom_status: str | None
    created: datetime
    updated: datetime
    generation: int
    parent: Event | None = None
    seeded: bool = False
    """Whether it is a new generation (continue-as-new) whose first episode has not run yet."""

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


@dataclass(frozen=True)
class Message:
    """An event in an instance's inbox; one with an execution id counts for that execution only."""

    seq: int
    execution_id: str | None
    event: Event


@dataclass(frozen=True)
class ActivityCall:
    """An activity to run at least once; `input` is JSON text."""

    seq: int
    instance_id: str
    execution_id: str
    task_id: int
    name: str
    input: str | None


@dataclass(frozen=True)
class NewActivity:
    task_id: int
    name: str
    input: str | None


@dataclass(frozen=True)
class NewTimer:
    timer_id: int
    fire_at: datetime
    fired: Event
    """The TimerFired event to deliver."""


@dataclass(frozen=True)
class NewChild:
    instance_id: str
    execution_id: str
    started: Event


@dataclass(frozen=True)
class NextGeneration:
    """Execution that follows a continue-as-new."""

    execution_id: str
    input: str | None
    history: list[Event]
    created: datetime


@dataclass
class Outcome:
    """All changes of one episode, written in one transaction."""

    events: list[Event]
    """New events of the history, marked as played."""
    status: str
    output: str | None
    custom_status: str | None
    updated: datetime
    activities: list[NewActivity] = field(default_factory=list)
    timers: list[NewTimer] = field(default_factory=list)
    children: list[NewChild] = field(default_factory=list)
    to_parent: Event | None = None
    next_generation: NextGeneration | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class EpisodeReport:
    """Input and outcome of one episode, for tests and checks."""

    instance: Instance
    past: Sequence[Event]
    messages: Sequence[Event]
    outcome: Outcome
