"""States of an export's attempt in one table: phases, moves, job states, ends; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mobexport.wire import Failure


class JobState(StrEnum):
    """State of an export job, whatever its source calls it."""

    QUEUED = "Queued"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class State(StrEnum):
    """State of an export's attempt: its present work, or how it ended."""

    REQUESTED = "Requested"
    SUBMITTED = "Submitted"
    QUEUED = "Queued"
    RUNNING = "Running"
    COLLECTING = "Collecting"
    PROCESSING = "Processing"
    SUCCEEDED = "Succeeded"
    EMPTY = "Empty"
    HANDED_OVER = "Delivered"
    """The files are in the container that the caller named."""
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"

    @property
    def terminal(self) -> bool:
        """Whether an attempt ends here."""
        return not TABLE[self].next

    @property
    def restartable(self) -> bool:
        """Whether the same request begins a new attempt."""
        return TABLE[self].restartable

    @property
    def cancellable(self) -> bool:
        """Whether a cancel still has an effect: not once the files are collected."""
        return TABLE[self].cancellable

    @property
    def phase(self) -> str:
        """Phase of the attempt's run: create, poll, collect, process, done."""
        return TABLE[self].phase

    @property
    def event(self) -> str | None:
        """Event sent when an attempt ends here, if any."""
        return TABLE[self].event


@dataclass(frozen=True)
class Rule:
    """Properties of one state."""

    phase: str
    next: frozenset[State] = frozenset()
    """States that may follow; none: the attempt has ended."""
    job: JobState | None = None
    """State of the export job that brings an attempt here."""
    cancellable: bool = False
    restartable: bool = False
    event: str | None = None


_S = State
_ENDS = {_S.FAILED, _S.TIMED_OUT, _S.CANCELLED}
TABLE: Final[Mapping[State, Rule]] = {
    _S.REQUESTED: Rule("create", frozenset({_S.SUBMITTED, *_ENDS}), cancellable=True),
    # A fast job may have run, or ended, before its first poll.
    _S.SUBMITTED: Rule("poll", frozenset({_S.QUEUED, _S.RUNNING, _S.COLLECTING, *_ENDS}), cancellable=True),
    _S.QUEUED: Rule(
        "poll", frozenset({_S.RUNNING, _S.COLLECTING, *_ENDS}), JobState.QUEUED, cancellable=True
    ),
    _S.RUNNING: Rule("poll", frozenset({_S.COLLECTING, *_ENDS}), JobState.RUNNING, cancellable=True),
    _S.COLLECTING: Rule(
        "collect", frozenset({_S.PROCESSING, _S.HANDED_OVER, *_ENDS}), JobState.SUCCEEDED, cancellable=True
    ),
    _S.PROCESSING: Rule("process", frozenset({_S.SUCCEEDED, _S.EMPTY, _S.FAILED, _S.TIMED_OUT})),
    _S.SUCCEEDED: Rule("done", event="completed"),
    _S.EMPTY: Rule("done", event="completed"),
    _S.HANDED_OVER: Rule("done", event="completed"),
    _S.FAILED: Rule("done", job=JobState.FAILED, restartable=True, event="failed"),
    _S.TIMED_OUT: Rule("done", restartable=True, event="failed"),
    _S.CANCELLED: Rule("done", restartable=True),
}

STATE_OF_JOB: Final[Mapping[JobState, State]] = {rule.job: state for state, rule in TABLE.items() if rule.job}
"""State of an attempt by the state of its job."""


def can_move(before: State, after: State) -> bool:
    """Whether an attempt may go from one state to the other; staying is always allowed until the end."""
    return after in TABLE[before].next or (before is after and not before.terminal)


def end_state(
    before: State, failure: Failure | None, *, cancelled: bool, committed: bool, records: int
) -> State:
    """The final state of an attempt whose last step had that outcome.

    A committed attempt succeeded, whatever the last step reported; an accepted cancel (the flag can only be
    set, and is only found, in a cancellable state) is never turned into something else.
    """
    if committed:
        return State.SUCCEEDED if records else State.EMPTY
    if cancelled and before.cancellable:
        return State.CANCELLED
    if failure is None:
        return State.HANDED_OVER if State.HANDED_OVER in TABLE[before].next else State.FAILED
    return State.TIMED_OUT if failure.code == "TimedOut" else State.FAILED
