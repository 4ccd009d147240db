"""The calendar of an app: for each day and type whether it is there, exported, or missing; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from mobexport.pages import words

MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "both": ("✓", "raw data, exported"),
    "missing": ("!", "raw data, not exported"),
    "table": ("○", "exported, no raw data of this day"),
    "raw": ("•", "raw data; snapshots read the whole history"),
    "none": ("·", "nothing"),
}
"""Sign and meaning of each mark; the sign alone is enough, without its colour."""


@dataclass(frozen=True)
class Cell:
    """One type on one day."""

    mark: str
    sign: str
    text: str
    asks: bool
    """Whether an export of this day can be asked for."""


@dataclass(frozen=True)
class Day:
    """A line of the calendar."""

    day: str
    cells: tuple[Cell, ...]


def calendar(shown: Mapping[str, Any]) -> list[Day]:
    """The days, newest first, a cell for each type that could be read."""
    types = readable(shown)
    count = len(types[0]["days"]) if types else 0
    return [
        Day(types[0]["days"][number]["day"], tuple(_cell(one, one["days"][number]) for one in types))
        for number in reversed(range(count))
    ]


def readable(shown: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The types without an error."""
    return [one for one in shown["types"] if one["error"] is None]


def missing(shown: Mapping[str, Any]) -> int:
    """Days with raw data that no export has covered, of all types with dates."""
    return sum(cell.mark == "missing" for day in calendar(shown) for cell in day.cells)


def pages(shown: Mapping[str, Any]) -> tuple[str, str]:
    """Last days of the earlier and of the later page."""
    first, last = (date.fromisoformat(shown[name]) for name in ("first", "last"))
    length = last - first + timedelta(days=1)
    return str(first - timedelta(days=1)), str(last + length)


def _cell(kind: Mapping[str, Any], day: Mapping[str, Any]) -> Cell:
    has_raw = bool(day["files"])
    if kind["historical"]:
        mark = ("both" if has_raw else "table") if day["exported"] else ("missing" if has_raw else "none")
    else:
        mark = "raw" if has_raw else "table" if day["exported"] else "none"
    sign, meaning = MARKS[mark]
    files = day["files"]
    there = f"{files} file{'s' if files != 1 else ''}, {words.size(day['bytes'])}; " if has_raw else ""
    rows = f"; {words.number(day['rows'])} rows" if day["exported"] else ""
    text = f"{kind['kind']} {day['day']}: {there}{meaning.partition(';')[0]}{rows}"
    return Cell(mark, sign, text, mark == "missing")
