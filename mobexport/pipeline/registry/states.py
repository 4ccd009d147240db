"""States of an export's attempt as one table: phases, moves, the API's words, how an attempt ends; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class State(StrEnum):
    """What an export's attempt is doing, or how it ended."""

    REQUESTED = "Requested"
    SUBMITTED = "Submitted"
    QUEUED = "Queued"
    RUNNING = "Running"
    COLLECTING = "Collecting"
    PROCESSING = "Processing"
    SUCCEEDED = "Succeeded"
    EMPTY = "Empty"
    DELIVERED = "Delivered"
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
        """What the attempt's run is at: create, poll, collect, process, done."""
        return TABLE[self].phase

    @property
    def event(self) -> str | None:
        """What those who are notified hear of an attempt that ends here; None: nothing."""
        return TABLE[self].event


@dataclass(frozen=True)
class Rule:
    """All that is to know of one state."""

    phase: str
    next: frozenset[State] = frozenset()
    """Where an attempt may go from here; nowhere: it has ended."""
    job: str | None = None
    """The Export API's word for a job that brings an attempt here."""
    cancellable: bool = False
    restartable: bool = False
    event: str | None = None


_S = State
_ENDS = {_S.FAILED, _S.TIMED_OUT, _S.CANCELLED}
TABLE: Final[Mapping[State, Rule]] = {
    _S.REQUESTED: Rule("create", frozenset({_S.SUBMITTED, *_ENDS}), cancellable=True),
    # A fast job may have run, or ended, before its first poll.
    _S.SUBMITTED: Rule("poll", frozenset({_S.QUEUED, _S.RUNNING, _S.COLLECTING, *_ENDS}), cancellable=True),
    _S.QUEUED: Rule("poll", frozenset({_S.RUNNING, _S.COLLECTING, *_ENDS}), "Queued", cancellable=True),
    _S.RUNNING: Rule("poll", frozenset({_S.COLLECTING, *_ENDS}), "Started", cancellable=True),
    _S.COLLECTING: Rule(
        "collect", frozenset({_S.PROCESSING, _S.DELIVERED, *_ENDS}), "Succeeded", cancellable=True
    ),
    _S.PROCESSING: Rule("process", frozenset({_S.SUCCEEDED, _S.EMPTY, _S.FAILED, _S.TIMED_OUT})),
    _S.SUCCEEDED: Rule("done", event="completed"),
    _S.EMPTY: Rule("done", event="completed"),
    _S.DELIVERED: Rule("done", event="completed"),
    _S.FAILED: Rule("done", job="Failed", restartable=True, event="failed"),
    _S.TIMED_OUT: Rule("done", restartable=True, event="failed"),
    _S.CANCELLED: Rule("done", restartable=True),
}

JOB_STATES: Final[Mapping[str, State]] = {rule.job: state for state, rule in TABLE.items() if rule.job}
"""States of an export job, as the API names them; any other is an error, never "still running"."""


def can_move(before: State, after: State) -> bool:
    """Whether an attempt may go from one state to the other; staying is always allowed until the end."""
    return after in TABLE[before].next or (before is after and not before.terminal)


def end_state(
    before: State, error: Mapping[str, Any] | None, *, cancelled: bool, committed: bool, records: int
) -> State:
    """The state in which an attempt ends whose last step had that outcome.

    What was committed succeeded, whatever the last step said; and a cancel that was accepted (a flag can
    only be set, and is only found, in a cancellable state) is never turned into something else.
    """
    if committed:
        return State.SUCCEEDED if records else State.EMPTY
    if cancelled and before.cancellable:
        return State.CANCELLED
    if error is None:
        return State.DELIVERED if State.DELIVERED in TABLE[before].next else State.FAILED
    return State.TIMED_OUT if error["code"] == "TimedOut" else State.FAILED
