"""States of an export and the moves between them, as one table; pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"

    @property
    def terminal(self) -> bool:
        """Whether an attempt ends here."""
        return not TRANSITIONS[self]

    @property
    def restartable(self) -> bool:
        """Whether the same request begins a new attempt."""
        return self in _RESTARTABLE

    @property
    def cancellable(self) -> bool:
        """Whether a cancel still has an effect: not once the files are collected."""
        return self in _CANCELLABLE


_S = State
_ENDS = {_S.FAILED, _S.TIMED_OUT, _S.CANCELLED}
TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    _S.REQUESTED: frozenset({_S.SUBMITTED, *_ENDS}),
    # A fast job may have run, or ended, before its first poll.
    _S.SUBMITTED: frozenset({_S.QUEUED, _S.RUNNING, _S.COLLECTING, *_ENDS}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.COLLECTING, *_ENDS}),
    _S.RUNNING: frozenset({_S.COLLECTING, *_ENDS}),
    _S.COLLECTING: frozenset({_S.PROCESSING, *_ENDS}),
    _S.PROCESSING: frozenset({_S.SUCCEEDED, _S.EMPTY, _S.FAILED, _S.TIMED_OUT}),
    _S.SUCCEEDED: frozenset(),
    _S.EMPTY: frozenset(),
    _S.FAILED: frozenset(),
    _S.TIMED_OUT: frozenset(),
    _S.CANCELLED: frozenset(),
}
_RESTARTABLE = frozenset(_ENDS)
_CANCELLABLE = frozenset({_S.REQUESTED, _S.SUBMITTED, _S.QUEUED, _S.RUNNING, _S.COLLECTING})

JOB_STATES: Final[dict[str, State]] = {
    "Queued": State.QUEUED,
    "Started": State.RUNNING,
    "Succeeded": State.COLLECTING,
    "Failed": State.FAILED,
}
"""States of an export job, as the API names them; any other is an error, never "still running"."""


def can_move(before: State, after: State) -> bool:
    """Whether an attempt may go from one state to the other; staying is always allowed until the end."""
    return after in TRANSITIONS[before] or (before is after and not before.terminal)
