"""Timer trigger: a run at each due time, and one after a start when a time was missed.

Sources: TimerListener and ScheduleMonitor of the WebJobs Timers extension, and recordings of the real host.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Protocol

from devhost.errors import NoWorkerError
from devhost.invoker import CALLED, Call
from devhost.timestamps import parse_stamp, utc_now
from devhost.triggers.background import BackgroundTrigger
from devhost.triggers.ncrontab import Schedule, has_monitor
from devhost.worker.messages import Datum

_log = logging.getLogger("devhost")
_NOT_YET = "0001-01-01T00:00:00+00:00"
_NEVER = "9999-12-31T23:59:59.9999999+00:00"
_LONGEST_WAIT = 60.0
"""Look at the clock again after this many seconds: it may be set, or the machine sleep."""


class StatusStore(Protocol):
    def timer_status(self, function: str) -> dict[str, Any] | None: ...
    def save_timer_status(self, function: str, status: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Status:
    """Status of a timer; `next` is None for a schedule that never comes."""

    last: datetime | None
    next: datetime | None
    updated: datetime | None

    def as_json(self, zone: tzinfo | None) -> dict[str, str]:
        """As .NET writes local times: up to seven digits of a second, with the offset."""
        return {
            "Last": _text(self.last, zone, _NOT_YET),
            "Next": _text(self.next, zone, _NEVER),
            "LastUpdated": _text(self.updated, zone, _NOT_YET),
        }


def read_status(found: dict[str, Any]) -> Status:
    return Status(*(_moment(found[name]) for name in ("Last", "Next", "LastUpdated")))


def _text(moment: datetime | None, zone: tzinfo | None, instead: str) -> str:
    if moment is None:
        return instead
    head, dot, rest = moment.astimezone(zone).isoformat(timespec="microseconds").partition(".")
    digits, offset = rest[:6].rstrip("0"), rest[6:]
    return head + (dot + digits if digits else "") + offset


def _moment(text: str) -> datetime | None:
    return None if text.startswith(("0001-", "9999-12-31T23:59")) else parse_stamp(text)


@dataclass(frozen=True)
class Start:
    """Plan for a start."""

    status: Status
    """Status shown to the first run."""
    stored: Status | None
    """Status to store first, if any."""
    past_due: bool


def plan_start(schedule: Schedule, stored: Status | None, now: datetime) -> Start:
    """Compare a stored status with the schedule for a missed time or a changed schedule."""
    if stored is None:
        following = schedule.next_after(now)
        return Start(Status(None, following, None), Status(None, following, now), False)
    updated = stored.last or stored.updated or now
    expected = schedule.next_after(updated)
    if expected == stored.next:
        return Start(stored, None, expected is not None and now > expected)
    if expected is not None and now > expected:
        expected, updated = schedule.next_after(now), now
    changed = Status(None, expected, updated)
    return Start(changed, changed, False)


class TimerTrigger(BackgroundTrigger):
    """`run` runs the function to its end; whatever it raises, the schedule goes on."""

    def __init__(
        self,
        function: str,
        schedule: Schedule,
        store: StatusStore,
        run: Callable[[Call], object],
        *,
        run_on_startup: bool = False,
        monitor: bool = True,
        zone: tzinfo | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(f"devhost-timer-{function}")
        self._function = function
        self._schedule = schedule
        self._store = store
        self._run = run
        self._run_on_startup = run_on_startup
        self._monitor = monitor and has_monitor(schedule, clock())
        self._zone = zone
        self._clock = clock
        self._status = Status(None, None, None)

    def run_by_hand(self, text: str | None) -> None:  # noqa: ARG002 - as every trigger
        """Run once, whatever the text; schedule and status do not change."""
        self._run(self._call(self._stored(), CALLED, {}, past_due=False))

    def _loop(self) -> None:
        self.begin()
        while self._status.next is not None and not self._stopping.is_set():
            left = (self._status.next - self._clock()).total_seconds()
            if left > 0:
                self._stopping.wait(min(left, _LONGEST_WAIT))
            else:
                self.fire()

    def begin(self) -> None:
        """Start from the stored status; catch up a missed run, or run at the start."""
        start = plan_start(self._schedule, self._stored() if self._monitor else None, self._clock())
        self._status = start.status
        if start.stored and self._monitor:
            self._save(start.stored)
        if start.past_due:
            self.fire(unscheduled="IsPastDue")
        elif self._run_on_startup:
            self.fire(unscheduled="RunOnStartup")

    @property
    def next(self) -> datetime | None:
        return self._status.next

    def fire(self, unscheduled: str = "") -> None:
        """Run once and set the next time; one run catches up for all times missed meanwhile."""
        began, due = self._clock(), self._status.next
        details = {"UnscheduledInvocationReason": unscheduled} if unscheduled else {}
        past_due = unscheduled == "IsPastDue"
        if past_due:
            details["OriginalSchedule"] = _round_trip(due or began, self._zone)
        reason = f"Timer fired at {_round_trip(began, self._zone)}"
        status = self._status if self._monitor else None

        try:
            self._run(self._call(status, reason, details, past_due=past_due))
        except NoWorkerError:
            self._stopping.wait(1.0)  # the host ends; the next one catches up
            return
        except Exception:
            _log.info("timer '%s': the run failed, the schedule goes on", self._function)
        last = began if unscheduled or due is None else max(began, due)
        self._status = Status(last, self._schedule.next_after(last), last)
        if self._monitor:
            self._save(self._status)

    def _call(self, status: Status | None, reason: str, details: dict[str, str], *, past_due: bool) -> Call:
        body = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": status and status.as_json(self._zone),
            "IsPastDue": past_due,
        }
        now = self._clock().astimezone(self._zone).strftime("%m/%d/%Y %H:%M:%S")
        metadata = {"TimerTrigger": Datum(now, "string")}
        return Call(Datum(json.dumps(body), "json"), metadata, reason, details)

    def _stored(self) -> Status | None:
        found = self._store.timer_status(self._function) if self._monitor else None
        return read_status(found) if found else None

    def _save(self, status: Status) -> None:
        self._store.save_timer_status(self._function, status.as_json(self._zone))


def _round_trip(moment: datetime, zone: tzinfo | None) -> str:
    """.NET's format "o": seven digits, offset."""
    text = moment.astimezone(zone).isoformat(timespec="microseconds")
    return f"{text[:26]}0{text[26:]}"
