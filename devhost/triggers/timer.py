"""Runs a timer function at its times, and once after a start when a time was missed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from azure.functions.meta import Datum

from devhost.timestamps import utc_now
from devhost.triggers.background import BackgroundTrigger
from devhost.triggers.ncrontab import Schedule, is_shorter_than_a_minute

_log = logging.getLogger("devhost")
_NEVER = "0001-01-01T00:00:00+00:00"
_LONGEST_WAIT = 60.0
"""The clock may be set, or the machine sleep: look again after this many seconds."""


class StatusStore(Protocol):
    def timer_status(self, function: str) -> dict[str, Any] | None: ...
    def save_timer_status(self, function: str, status: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Plan:
    """What to do at a start."""

    next: datetime | None
    past_due: bool = False


def timer_datum(status: dict[str, Any] | None, *, past_due: bool) -> Datum:
    body = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": past_due}
    return Datum(json.dumps(body), "json")


def _text(moment: datetime | None) -> str:
    return _NEVER if moment is None else moment.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if not text or text.startswith("0001-") else datetime.fromisoformat(text)


def status_of(last: datetime | None, following: datetime | None, updated: datetime | None) -> dict[str, Any]:
    return {"Last": _text(last), "Next": _text(following), "LastUpdated": _text(updated)}


def plan_start(schedule: Schedule, status: dict[str, Any] | None, now: datetime) -> Plan:
    """Compare a stored status with the schedule: was a time missed, or the schedule changed meanwhile?"""
    following = schedule.next_after(now)
    if status is None:
        return Plan(following)
    stored = _moment(status.get("Next"))
    base = _moment(status.get("Last")) or _moment(status.get("LastUpdated"))
    if stored is None:
        return Plan(following)
    if base is not None:
        expected = schedule.next_after(base)
        if expected != stored:
            return Plan(expected if expected is not None and expected > now else following)
    return Plan(stored, past_due=stored < now)


class TimerTrigger(BackgroundTrigger):
    """`run(datum, reason)` runs the function to its end; whatever it raises, the schedule goes on."""

    def __init__(
        self,
        function: str,
        schedule: Schedule,
        store: StatusStore,
        run: Callable[[Datum, str], None],
        *,
        run_on_startup: bool = False,
        monitor: bool = True,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(f"devhost-timer-{function}")
        self._function = function
        self._schedule = schedule
        self._store = store
        self._run = run
        self._run_on_startup = run_on_startup
        self._monitor = monitor and not is_shorter_than_a_minute(schedule, clock())
        self._clock = clock

    def status(self) -> dict[str, Any] | None:
        return self._store.timer_status(self._function) if self._monitor else None

    def _loop(self) -> None:
        following = self.begin()
        while following is not None and not self._stopping.is_set():
            left = (following - self._clock()).total_seconds()
            if left > 0:
                self._stopping.wait(min(left, _LONGEST_WAIT))
            else:
                following = self.fire(following)

    def begin(self) -> datetime | None:
        """The run at the start, if there is one; gives the next time."""
        now = self._clock()
        status = self.status()
        plan = plan_start(self._schedule, status, now)
        if self._monitor and not plan.past_due and (status is None or status["Next"] != _text(plan.next)):
            last = _moment(status["Last"]) if status else None
            self._store.save_timer_status(self._function, status_of(last, plan.next, now if status else None))
        if plan.past_due or self._run_on_startup:
            return self.fire(None, past_due=plan.past_due)
        return plan.next

    def fire(self, due: datetime | None, *, past_due: bool = False) -> datetime | None:
        """Run once; gives the next time. It may have passed: one run catches up, not one per missed time."""
        began = self._clock()
        last = began if due is None else max(began, due)
        try:
            self._run(timer_datum(self.status(), past_due=past_due), f"Timer fired at {began.isoformat()}")
        except Exception:
            _log.info("timer '%s': the run failed, the schedule goes on", self._function)
        following = self._schedule.next_after(last)
        if self._monitor:
            self._store.save_timer_status(self._function, status_of(last, following, last))
        return following
