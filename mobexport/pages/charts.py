"""Pictures of numbers, drawn on the server: geometry for SVG templates, each with its table; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from mobexport.pages import words
from mobexport.pipeline.account import total_rejected
from mobexport.pipeline.registry.export_row import COMMITTED
from mobexport.pipeline.registry.states import State

WIDTH: Final = 700
HEIGHT: Final = 120
_LEFT: Final = 46
_BOTTOM: Final = 18
_TOP: Final = 8
_WIDEST: Final = 24
"""Of a column: two days are no wall."""

Export = Mapping[str, Any]


PHASES: Final = (("create", "quiet"), ("job", "quiet2"), ("collect", "quiet3"), ("process", "quiet4"))
"""The phases of the durations, with their colours."""
# The moments between which each lies.
_BETWEEN: Final = (
    (State.REQUESTED, State.SUBMITTED),
    (State.SUBMITTED, State.COLLECTING),
    (State.COLLECTING, State.PROCESSING),
    (State.PROCESSING, COMMITTED),
)


@dataclass(frozen=True)
class Column:
    """A bar of a column chart."""

    label: str
    text: str
    """Its number, for people."""
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """Columns over a line of labels."""

    title: str
    columns: tuple[Column, ...]
    most: str
    """The number at the top of the scale."""
    first: str
    last: str

    @property
    def summary(self) -> str:
        """The picture in a sentence."""
        return (
            f"{self.title}: {len(self.columns)} columns from {self.first} to {self.last}, at most {self.most}"
        )


@dataclass(frozen=True)
class Piece:
    """A part of a horizontal bar."""

    name: str
    seconds: float
    tone: str
    x: float
    width: float


@dataclass(frozen=True)
class Line:
    """A horizontal bar of parts: one export and its phases."""

    export: Export
    total: float
    pieces: tuple[Piece, ...]


def columns(title: str, points: Sequence[tuple[str, float, str]]) -> Chart | None:
    """A chart of (label, number, its text); None of no points. Zero has no height, all else can be seen."""
    if not points:
        return None
    top = max(value for _, value, _ in points)
    step = (WIDTH - _LEFT) / len(points)
    room = HEIGHT - _TOP - _BOTTOM
    made = []
    for number, (label, value, text) in enumerate(points):
        height = max(room * value / top, 1.5) if value > 0 else 0.0
        width = min(step * 0.8, _WIDEST)
        box = (_LEFT + number * step + (step - width) / 2, _TOP + room - height, width, height)
        made.append(Column(label, text, *(round(one, 2) for one in box)))
    most = next(text for _, value, text in points if value == top)
    return Chart(title, tuple(made), most, points[0][0], points[-1][0])


def rows_by_day(kind: Mapping[str, Any]) -> Chart | None:
    """Rows of each day of a type, as the API's map of days has them; None without any."""
    days = kind["days"]
    if not any(one["rows"] for one in days):
        return None
    title = f"{kind['exportType']}: rows by day"
    return columns(title, [(one["day"], one["rows"], words.number(one["rows"])) for one in days])


def reject_rates(exports: Sequence[Export]) -> Chart | None:
    """Share of rejects by the day on which exports were requested, oldest first."""
    days: dict[str, list[int]] = {}
    for export in exports:
        if export["counts"]:
            rejected, records = total_rejected(export["counts"])
            total = days.setdefault(export["attemptBeganAt"][:10], [0, 0])
            total[0] += rejected
            total[1] += records
    points = [
        (day, 100 * bad / all_, words.percent(bad / all_))
        for day, (bad, all_) in sorted(days.items())
        if all_
    ]
    return columns("Rejected records by day of request", points)


def durations(exports: Sequence[Export]) -> list[Line]:
    """The phases of ended exports, newest first, all in one scale."""
    found = []
    for export in exports:
        moments = export["moments"]
        spans = []
        for (name, tone), (begin, end) in zip(PHASES, _BETWEEN, strict=True):
            if begin in moments and end in moments:
                taken = datetime.fromisoformat(moments[end]) - datetime.fromisoformat(moments[begin])
                spans.append((name, max(taken.total_seconds(), 0), tone))
        if spans and State(export["state"]).terminal:
            found.append((export, sum(seconds for _, seconds, _ in spans), spans))
    longest = max((total for _, total, _ in found), default=0) or 1
    return [Line(export, total, _pieces(spans, longest)) for export, total, spans in found]


def _pieces(spans: Sequence[tuple[str, float, str]], longest: float) -> tuple[Piece, ...]:
    ends = [0.0]
    for _, seconds, _ in spans:
        ends.append(ends[-1] + 100 * seconds / longest)
    return tuple(
        Piece(name, seconds, tone, round(begin, 2), round(end - begin, 2))
        for (name, seconds, tone), (begin, end) in zip(spans, pairwise(ends), strict=True)
    )
