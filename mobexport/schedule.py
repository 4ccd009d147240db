"""Schedules: `[apps."name".schedule]`, and the days that are due; pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

CATCH_UP_DAYS = 7
"""Missed days that one run makes up for, oldest first; the next run goes on."""


class Schedule(BaseModel):
    """`[apps."name".schedule]`: what is exported every day, and when.

    The time zone decides when it runs and which day "yesterday" is. Days themselves are UTC days, as in
    every export: east of Greenwich choose a time at which the UTC day is over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: time = time(3, 0)
    """Local time of day."""
    time_zone: str = "UTC"
    types: tuple[str, ...] = ()
    """Export types; none: all of them. Push: one export for each kind of campaign."""
    digest: bool = False
    """One notification for all exports of a day, instead of one for each."""
    late_days: Annotated[int, Field(ge=1, le=31)] | None = None
    """Days up to yesterday that are exported each time, since data comes late; none: LATE_DAYS."""

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a time zone such as Europe/Berlin") from None
        return value

    @field_validator("at")
    @classmethod
    def _plain(cls, value: time) -> time:
        if value.tzinfo is not None or value.microsecond:
            raise ValueError("must be a local time such as 03:00; the zone is time_zone")
        return value

    def due_at(self, day: date) -> datetime:
        """Due time of that day's export: at the local time of the day after it, in UTC.

        A local time that a clock change skips counts from before the change (02:30 is then 03:30), one that
        comes twice counts the first time.
        """
        local = datetime.combine(day + timedelta(days=1), self.at, ZoneInfo(self.time_zone))
        return local.astimezone(UTC)

    def latest_day(self, now: datetime) -> date:
        """The newest day whose export is due."""
        day = now.astimezone(ZoneInfo(self.time_zone)).date() - timedelta(days=1)
        return day if self.due_at(day) <= now else day - timedelta(days=1)

    def next_run(self, now: datetime) -> datetime:
        """The next due time after `now`, in UTC."""
        return self.due_at(self.latest_day(now) + timedelta(days=1))

    def due_days(self, done: date | None, now: datetime) -> tuple[date, ...]:
        """Days to export now, oldest first: those after `done` up to the latest, at most CATCH_UP_DAYS.

        `done` is the last day that was exported; None (never yet) makes the latest alone due.
        """
        latest = self.latest_day(now)
        first = latest if done is None else done + timedelta(days=1)
        count = min((latest - first).days + 1, CATCH_UP_DAYS)
        return tuple(first + timedelta(days=number) for number in range(max(count, 0)))

    def day_is_over_at(self) -> time | None:
        """The local time at which the UTC day that a run exports is over, if the run comes before; else None.

        On 1 January and on 1 July, since clocks change in between.
        """
        for day in (date(2026, 1, 1), date(2026, 7, 1)):
            over = datetime.combine(day + timedelta(days=1), time(0), UTC)
            if self.due_at(day) < over:
                return over.astimezone(ZoneInfo(self.time_zone)).time()
        return None
