"""Time spans as .NET writes them in settings: `00:05:00`."""

from __future__ import annotations

import re
from datetime import timedelta

_TIME_SPAN = re.compile(r"(-)?(?:(\d+)\.)?(\d+(?::\d+){0,3})(?:\.(\d{1,7}))?", re.ASCII)


def parse_time_span(text: str) -> timedelta | None:
    """`[d.]hh:mm[:ss[.fffffff]]`, `d:hh:mm[:ss]` or days, as .NET's TimeSpan.TryParse; None if it is none.

    Three numbers of which the first is over 23 are days, hours and minutes.
    """
    found = _TIME_SPAN.fullmatch(text.strip())
    if not found:
        return None
    sign, day_part, numbers, fraction = found.groups()
    values, days = [int(number) for number in numbers.split(":")], int(day_part or 0)
    if not day_part and (len(values) in (1, 4) or (len(values) == 3 and values[0] > 23 and not fraction)):
        days = values.pop(0)
    hours, minutes, seconds = (*values, 0, 0, 0)[:3]
    if len(values) in (1, 4) or (fraction and len(values) < 3) or hours > 23 or max(minutes, seconds) > 59:
        return None
    micros = int((fraction or "0").ljust(6, "0")[:6])
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)
    return -span if sign else span
