"""Schedules of timers: six-field NCRONTAB expressions and intervals, by the rules of the real host.

Sources: NCrontab (its fields), CronSchedule and TimerSchedule of the WebJobs Timers extension (clock changes,
monitor).
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Protocol

from devhost.errors import EXTENSIONS, IndexingError
from devhost.time_spans import parse_time_span

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_FIELDS: tuple[tuple[int, int, Sequence[str]], ...] = (
    (0, 59, ()),
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_CALENDAR_YEARS = 400
"""The calendar repeats after this many years: a time that has not come by then never comes."""


class Schedule(Protocol):
    def next_after(self, moment: datetime) -> datetime | None:
        """The first occurrence after an aware moment, in UTC; None if there is none."""


@dataclass(frozen=True)
class Interval:
    every: timedelta

    def next_after(self, moment: datetime) -> datetime | None:
        return moment.astimezone(UTC) + self.every


@dataclass(frozen=True)
class Cron:
    """Sets of allowed values, in the order of the fields; both day and weekday must match."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: frozenset[int]
    zone: tzinfo | None = None
    """None: the local time of the process."""

    def next_after(self, moment: datetime) -> datetime | None:
        """As CronSchedule of the Timers extension: on the wall clock, then put right around its changes.

        A time that the clock skips comes later by what it skips. Of a time that comes twice, a point in time
        (`0 30 1 * * *`) means the first; an interval (`0 */15 * * * *`) runs through both.
        """
        now = moment.astimezone(self.zone)
        wall = self.next_wall(now.replace(tzinfo=None, microsecond=0, fold=0))
        if wall is None:
            return None
        following = self._instant(wall)
        change = _offset(following) - _offset(now)
        if self._is_interval:
            twice = self._is_twice(wall) or self._is_twice(now.replace(tzinfo=None, fold=0))
            return _utc(following) + (change if twice else timedelta(0))
        if self._is_twice(wall):
            if change:
                return _utc(following) + change
            # The clock has been set back already: this is the second time, which the real host leaves out.
            # It takes any start in winter for that, so what comes once a year can be left out for a year.
            later: datetime | None = wall
            while later is not None and self._is_twice(later):
                later = self.next_wall(later)
            return None if later is None else _utc(self._instant(later))
        return _utc(following)

    def next_wall(self, wall: datetime) -> datetime | None:
        """The first match after a naive local time of whole seconds, on a clock that is never changed."""
        first_of_day = time(self.hours[0], self.minutes[0], self.seconds[0])
        for day in self._days_from(wall.date()):
            at = self._time_after(wall.time()) if day == wall.date() else first_of_day
            if at is not None:
                return datetime.combine(day, at)
        return None

    def _days_from(self, start: date) -> Iterator[date]:
        for year in range(start.year, min(start.year + _CALENDAR_YEARS, MAXYEAR) + 1):
            for month in self.months:
                if (year, month) < (start.year, start.month):
                    continue
                for number in self.days:
                    if number <= monthrange(year, month)[1]:
                        day = date(year, month, number)
                        if day >= start and day.isoweekday() % 7 in self.weekdays:
                            yield day

    def _time_after(self, at: time) -> time | None:
        """The next time of the same day."""
        if at.hour in self.hours:
            if at.minute in self.minutes:
                second = _above(self.seconds, at.second)
                if second is not None:
                    return time(at.hour, at.minute, second)
            minute = _above(self.minutes, at.minute)
            if minute is not None:
                return time(at.hour, minute, self.seconds[0])
        hour = _above(self.hours, at.hour)
        return None if hour is None else time(hour, self.minutes[0], self.seconds[0])

    @property
    def _is_interval(self) -> bool:
        """Whether a part of the time of day, once written out, holds a run: `*`, `0-9`, but not `*/15`."""
        return any(
            b - a == 1 for field in (self.seconds, self.minutes, self.hours) for a, b in pairwise(field)
        )

    def _at(self, wall: datetime, fold: int) -> datetime:
        # timestamp() and not astimezone(): that one turns `fold` round for a local time the clock skips.
        return datetime.fromtimestamp(wall.replace(tzinfo=self.zone, fold=fold).timestamp(), UTC)

    def _is_twice(self, wall: datetime) -> bool:
        return self._at(wall, 0) < self._at(wall, 1)

    def _instant(self, wall: datetime) -> datetime:
        """In winter time where both would do, and where neither would: as .NET reads a local time."""
        return max(self._at(wall, 0), self._at(wall, 1)).astimezone(self.zone)


def _above(values: tuple[int, ...], value: int) -> int | None:
    index = bisect_right(values, value)
    return values[index] if index < len(values) else None


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta(0)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def parse_schedule(text: str, zone: tzinfo | None = None) -> Schedule:
    """Read `{second} {minute} {hour} {day} {month} {weekday}`, five fields (second 0) or an interval.

    Raises IndexingError.
    """
    failure = IndexingError(
        f"The schedule expression '{text}' was not recognized as a valid cron expression or timespan string.",
        EXTENSIONS,
    )
    parts = text.split(" ")
    parts = [part for part in parts if part]
    if len(parts) == 5:
        parts.insert(0, "0")
    if len(parts) == 6:
        try:
            sets = [sorted(_field(part, *limits)) for part, limits in zip(parts, _FIELDS, strict=True)]
        except ValueError:
            raise failure from None
        seconds, minutes, hours, days, months, weekdays = (tuple(values) for values in sets)
        return Cron(seconds, minutes, hours, days, months, frozenset(weekdays), zone)
    every = parse_time_span(text)
    if every is None:
        raise failure
    if every <= timedelta(0):
        raise IndexingError(
            f"The schedule expression '{text}' leaves no time between runs: the real host runs it without a"
            " pause.",
            EXTENSIONS,
        )
    return Interval(every)


def _field(text: str, low: int, high: int, names: Sequence[str]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        base, slash, step_text = part.partition("/")
        step = max(1, int(step_text)) if slash else 1  # NCrontab reads */0 as * too
        if base == "*":
            first, last = low, high
        else:
            begin, dash, end = base.partition("-")
            first = _value(begin, low, high, names)
            last = _value(end, low, high, names) if dash else (high if slash else first)
        # A range the wrong way round is read the right way round, as NCrontab does.
        found.update(range(min(first, last), max(first, last) + 1, step))
    return found


def _value(text: str, low: int, high: int, names: Sequence[str]) -> int:
    if text.isascii() and text.isdigit():
        value = int(text)
    else:
        value = next(
            (low + i for i, name in enumerate(names) if text and name.lower().startswith(text.lower())), -1
        )
    if not low <= value <= high:
        raise ValueError(text)
    return value


def has_monitor(schedule: Schedule, now: datetime) -> bool:
    """Whether the schedule is worth a stored status: not if it runs several times in any minute."""
    if isinstance(schedule, Interval):
        return schedule.every >= timedelta(minutes=1)
    if not isinstance(schedule, Cron):
        return True
    fields = (schedule.minutes, schedule.hours, schedule.days, schedule.months, sorted(schedule.weekdays))
    if any(len(values) <= high - low for values, (low, high, _) in zip(fields, _FIELDS[1:], strict=True)):
        return True
    wall = now.astimezone(schedule.zone).replace(tzinfo=None, fold=0)
    first = schedule.next_wall(wall.replace(microsecond=0))
    second = None if first is None else schedule.next_wall(first)
    return second is None or second >= wall + timedelta(minutes=1)
