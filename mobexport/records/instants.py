"""Instants as whole numbers: microseconds since 1970."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros_of(at: datetime) -> int:
    """An instant in microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


def days_around(first: date, last: date, more: int) -> tuple[date, date]:
    """The days from `more` days before the first to as many behind the last, within the calendar."""
    start = max(first.toordinal() - more, date.min.toordinal())
    end = min(last.toordinal() + more, date.max.toordinal())
    return date.fromordinal(start), date.fromordinal(end)


def bounds_of(first: date, last: date) -> tuple[int, int]:
    """From the first microsecond of a UTC day up to the last one of another."""
    return (
        micros_of(datetime.combine(first, time.min, UTC)),
        micros_of(datetime.combine(last, time.max, UTC)),
    )
