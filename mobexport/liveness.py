"""Liveness of orchestrations, by what Durable says of them; pure.

The platform can fail or lose an instance at any moment, and lose a message that an instance waits for. So
each instance says in its custom status until when it will have moved on (`durable_app/calls.py`), and whoever
looks at it later knows that it never will.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

GRACE: Final = timedelta(minutes=2)
"""Beyond its own word an instance is given this long: queues are polled, clocks differ."""
YOUNG: Final = timedelta(minutes=1)
"""The instance of a row that was written within this time may be just starting, or just ended."""
SILENT: Final = timedelta(minutes=35)
"""For an instance that has said nothing of itself: longer than any function may run (host.json)."""
MAX_RESTARTS: Final = 20
"""Restarts of one attempt or task before it is ended: something is wrong for good."""

_GOING: Final = frozenset({"Running", "Pending", "ContinuedAsNew", "Suspended"})
_KILLED: Final = frozenset({"Failed", "Terminated", "Canceled"})


class Verdict(StrEnum):
    """Whether an instance is to be left alone."""

    ALIVE = "alive"
    GONE = "gone"
    """It has ended, or never began, and its work is not done."""
    STUCK = "stuck"
    """It waits for a message that is lost."""


@dataclass(frozen=True)
class Instance:
    """One instance, as Durable shows it."""

    state: str
    updated: datetime
    until: datetime | None = None
    """By then it will have moved on; None: it has not said."""
    lanes: tuple[str, ...] = ()
    """Instances that it waits for."""

    @property
    def going(self) -> bool:
        """Whether it has not ended."""
        return self.state in _GOING

    @classmethod
    def of(cls, state: str, updated: datetime, status: Any) -> Self:
        """From the runtime status, its time and the custom status; whatever is no word of ours is none."""
        if updated.tzinfo is None:
            updated = updated.replace(tzinfo=UTC)
        until, lanes = None, ()
        if isinstance(status, Mapping):
            if isinstance(status.get("until"), str):
                until = datetime.fromisoformat(status["until"])
            lanes = tuple(status.get("lanes") or ())
        return cls(state, updated, until, lanes)


def word(until: datetime | None, lanes: tuple[str, ...] = ()) -> dict[str, Any]:
    """An instance's custom status: `{"until"}` or `{"lanes"}`."""
    return {"until": until.isoformat()} if until else {"lanes": list(lanes)}


def judge(
    instance: Instance | None, changed: datetime, now: datetime, lanes: tuple[Instance | None, ...] = ()
) -> Verdict:
    """The verdict on the instance of a row with work left, which was last written at `changed`.

    `lanes` are the instances that it waits for: it is stuck if all of them have ended and it does not notice.
    """
    if instance is None or not instance.going:
        killed = instance is not None and instance.state in _KILLED
        return Verdict.GONE if killed or now - changed > YOUNG else Verdict.ALIVE
    if instance.state == "Suspended":
        return Verdict.ALIVE  # An operator's hand.
    if instance.lanes and any(lane and lane.going for lane in lanes):
        return Verdict.ALIVE
    wanted = instance.updated if instance.lanes else instance.until or instance.updated + SILENT
    return Verdict.STUCK if now > max(wanted, instance.updated) + GRACE else Verdict.ALIVE
