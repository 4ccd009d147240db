"""When a timer is due: six-field NCRONTAB expressions and intervals, with the rules of the real host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Protocol

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
_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d+):([0-5]?\d)(?::([0-5]?\d)(?:\.(\d{1,7}))?)?")
_HORIZON = timedelta(days=9 * 366)
"""A leap day on a given weekday can be far away, but an expression that never matches must end too."""


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
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    zone: tzinfo | None = None
    """None: the local time of the process."""

    def _matches(self, day: date) -> bool:
        # Day and weekday must both match, unlike in Vixie cron.
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def next_after(self, moment: datetime) -> datetime | None:
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        day, end = local.date(), local.date() + _HORIZON
        while day <= end:
            if self._matches(day):
                for at in self._times(local.time() if day == local.date() else None):
                    wall = datetime.combine(day, at)
                    aware = wall.replace(tzinfo=self.zone) if self.zone else wall.astimezone()
                    if aware.astimezone(UTC) > moment:
                        return aware.astimezone(UTC)
            day += timedelta(days=1)
        return None

    def _times(self, after: time | None) -> list[time]:
        """Times of day in order, from the hour before `after` on: a clock set back repeats times."""
        first_hour = 0 if after is None else max(0, after.hour - 1)
        return [
            time(h, m, s) for h in self.hours if h >= first_hour for m in self.minutes for s in self.seconds
        ]


def parse_schedule(text: str, zone: tzinfo | None = None) -> Schedule:
    """Read `{second} {minute} {hour} {day} {month} {weekday}`, five fields (second 0) or `[d.]hh:mm:ss`.

    Raises ValueError.
    """
    failure = ValueError(
        f"The schedule expression '{text}' was not recognized as a valid cron expression or timespan string."
    )
    span = _TIME_SPAN.fullmatch(text.strip())
    if span:
        days, hours, minutes, seconds, fraction = span.groups()
        every = timedelta(
            days=int(days or 0),
            hours=int(hours),
            minutes=int(minutes),
            seconds=int(seconds or 0),
            microseconds=int((fraction or "0").ljust(6, "0")[:6]),
        )
        if every <= timedelta(0):
            raise failure
        return Interval(every)
    parts = text.split()
    if len(parts) == 5:
        parts.insert(0, "0")
    if len(parts) != 6:
        raise failure
    try:
        sets = [_field(part, *limits) for part, limits in zip(parts, _FIELDS, strict=True)]
    except ValueError:
        raise failure from None
    seconds_, minutes_, hours_ = (tuple(sorted(s)) for s in sets[:3])
    return Cron(seconds_, minutes_, hours_, frozenset(sets[3]), frozenset(sets[4]), frozenset(sets[5]), zone)


def _field(text: str, low: int, high: int, names: Sequence[str]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        base, slash, step_text = part.partition("/")
        step = _number(step_text) if slash else 1
        if step < 1:
            raise ValueError(text)
        if base == "*":
            first, last = low, high
        else:
            begin, dash, end = base.partition("-")
            first = _value(begin, low, high, names)
            last = _value(end, low, high, names) if dash else (high if slash else first)
        # A range the wrong way round is read the right way round, as NCrontab does.
        found.update(range(min(first, last), max(first, last) + 1, step))
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


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


def is_shorter_than_a_minute(schedule: Schedule, moment: datetime) -> bool:
    """Such timers get no monitor: whether the next two occurrences are less than a minute apart."""
    first = schedule.next_after(moment)
    second = schedule.next_after(first) if first else None
    return first is not None and second is not None and second - first < timedelta(minutes=1)
