"""An event as people read it: title, facts, reasons, a link; pure. Each service's module renders it.

Every text of an event may come from outside: here it is cut and made one line, escaping is the renderer's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from mobexport.untrusted import prose

_ID: Final = re.compile(r"[a-z0-9-]{1,150}")
MAX_TITLE: Final = 140
MAX_VALUE: Final = 300
MAX_TEXT: Final = 1000
MAX_FACTS: Final = 20
MAX_LINES: Final = 25


class Mood(StrEnum):
    """How a card looks; the sign stands before its title, since colours are not seen by all."""

    GOOD = "\N{WHITE HEAVY CHECK MARK}"
    WARNING = "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}"
    BAD = "\N{CROSS MARK}"
    PLAIN = "\N{INFORMATION SOURCE}\N{VARIATION SELECTOR-16}"


@dataclass(frozen=True)
class Card:
    """What is told of one event."""

    title: str
    mood: Mood = Mood.PLAIN
    facts: tuple[tuple[str, Any], ...] = ()
    """Label and value; those that `make_card` returns are texts."""
    lines: tuple[str, ...] = ()
    """Reasons, and items of a list."""
    link: str | None = None
    """URL of the status."""

    @property
    def heading(self) -> str:
        return f"{self.mood} {self.title}"


def make_card(event: Mapping[str, Any], base_url: str) -> Card:
    """The card of an event of `pipeline/notify` or of a schedule; of any other one its plain values.

    `base_url`: where this app's links for people begin.
    """
    data = _mapping(event.get("data"))
    kind = str(event.get("type", "")).removeprefix("mobexport.")
    card = _MAKERS.get(kind, _other)(event, data)
    facts = tuple((label, prose(value, MAX_VALUE)) for label, value in card.facts if value not in (None, ""))
    given = [line for line in card.lines if line]
    lines = [prose(line, MAX_TEXT) for line in given[:MAX_LINES]]
    if left := len(given[MAX_LINES:]):
        lines.append(f"… and {left} more")
    return Card(
        prose(card.title, MAX_TITLE), card.mood, facts[:MAX_FACTS], tuple(lines), _link(data, base_url)
    )


def days_of(data: Mapping[str, Any]) -> str | None:
    """`2025-03-23`, `2025-03-23 to 2025-03-25`, or the day of a snapshot."""
    window = data.get("window")
    if isinstance(window, Sequence) and len(window) == 2:
        first, last = window
        return str(first) if first == last else f"{first} to {last}"
    snapshot = data.get("snapshotDay")
    return f"snapshot of {snapshot}" if snapshot else None


def share(part: Any, whole: Any) -> str | None:
    """`3 of 1,200 (0.25 %)`; None where they are not known."""
    if not isinstance(part, int) or not isinstance(whole, int):
        return None
    percent = f" ({100 * part / whole:.3g} %)" if whole else ""
    return f"{part:,} of {whole:,}{percent}"


def duration(begin: Any, end: Any) -> str | None:
    """`42 s`, `4 min 12 s`, `3 h 5 min` between two RFC 3339 times; None if one is missing."""
    try:
        seconds = round((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
    except (TypeError, ValueError):
        return None
    hours, rest = divmod(max(seconds, 0), 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


_ENDS: Final[Mapping[str, tuple[str, Mood]]] = {
    "Succeeded": ("succeeded", Mood.GOOD),
    "Delivered": ("delivered its files", Mood.GOOD),
    "Empty": ("found nothing to export", Mood.WARNING),
    "Failed": ("failed", Mood.BAD),
    "TimedOut": ("timed out", Mood.BAD),
    "Cancelled": ("was cancelled", Mood.WARNING),
}


def _ended(_: Mapping[str, Any], data: Mapping[str, Any]) -> Card:
    state = str(data.get("state"))
    how, mood = _ENDS.get(state, (f"ended as {state}", Mood.PLAIN))
    counts = _mapping(data.get("counts"))
    error = _mapping(data.get("error"))
    rejected = share(data.get("rejected"), data.get("records"))
    return Card(
        f"{_subject(data)} {how}",
        Mood.WARNING if mood is Mood.GOOD and data.get("rejected") else mood,
        (
            *_about(data),
            ("State", state),
            ("Rows", _number(counts.get("rows"))),
            ("Rejects", rejected),
            ("Duration", duration(data.get("beganAt"), data.get("endedAt"))),
        ),
        (
            f"{error.get('code')}: {error.get('message')}" if error else "",
            f"Empty: {data['empty']}" if data.get("empty") else "",
        ),
    )


def _reject_rate(_: Mapping[str, Any], data: Mapping[str, Any]) -> Card:
    alert = data.get("alert")
    above = f"; the alert is at {100 * alert:.3g} %" if isinstance(alert, int | float) else ""
    return Card(
        f"{_subject(data)} has many rejects",
        Mood.WARNING,
        (*_about(data), ("Rejects", share(data.get("rejected"), data.get("records")))),
        (f"More records than usual could not be used{above}. Their reasons: the manifest and the rejects.",),
    )


_DRIFT: Final = {
    "newUndeclared": "New fields that no column takes",
    "newExtras": "New extras",
    "missingExtras": "Extras that are missing",
}


def _drift(_: Mapping[str, Any], data: Mapping[str, Any]) -> Card:
    lines = [f"{label}: {', '.join(_texts(data[name]))}" for name, label in _DRIFT.items() if data.get(name)]
    facts = (*_about(data), ("Compared with", data.get("comparedWith")))
    return Card(f"{_subject(data)}: its fields have changed", Mood.WARNING, facts, tuple(lines))


def _unread(_: Mapping[str, Any], data: Mapping[str, Any]) -> Card:
    return Card(
        f"{_subject(data)}: raw files were not read",
        Mood.WARNING,
        (*_about(data), ("Files", _number(data.get("files")))),
        ("They lie in its raw folders, under names that raw files do not have: see `mobexport raw check`.",),
    )


_BAD_ENDS: Final = {"Failed", "TimedOut", "Cancelled"}


def _digest(_: Mapping[str, Any], data: Mapping[str, Any]) -> Card:
    exports = [_mapping(one) for one in data.get("exports") or ()]
    bad = [one for one in exports if one.get("state") in _BAD_ENDS]
    # Failures first: of a long list the end is cut.
    lines = [_told(one) for one in (*bad, *(one for one in exports if one not in bad))]
    return Card(
        f"{data.get('app')}, {data.get('day')}: {len(exports) - len(bad)} of {len(exports)} exports well",
        Mood.BAD if bad else Mood.GOOD,
        (("App", data.get("app")), ("Day", data.get("day")), ("Batch", data.get("batchId"))),
        tuple(lines),
    )


def _told(one: Mapping[str, Any]) -> str:
    rejected = sum(value for value in (one.get("rejected"), one.get("rawRejected")) if isinstance(value, int))
    parts = [str(one.get("state"))]
    parts += [f"{rows} rows"] if (rows := _number(one.get("rows"))) is not None else []
    parts += [f"{rejected:,} rejects"] if rejected else []
    parts += [str(one[name]) for name in ("empty", "error") if one.get(name)]
    return f"{one.get('exportType')}: {', '.join(parts)}"


def _no_data(_: Mapping[str, Any], data: Mapping[str, Any]) -> Card:
    return Card(
        f"{data.get('app')}: no data of {data.get('day')}",
        Mood.WARNING,
        (("App", data.get("app")), ("Day", data.get("day")), ("Batch", data.get("batchId"))),
        ("Every export of that day ended well, and none brought a row: do the collectors still send?",),
    )


def _test(_: Mapping[str, Any], data: Mapping[str, Any]) -> Card:
    return Card(f"Test of the target {data.get('target')}", lines=("Notifications arrive here.",))


def _other(event: Mapping[str, Any], data: Mapping[str, Any]) -> Card:
    plain = [(name, value) for name, value in data.items() if isinstance(value, str | int | float)]
    return Card(str(event.get("type", "")), facts=(("Subject", event.get("subject")), *plain))


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Card]]] = {
    "export.completed": _ended,
    "export.failed": _ended,
    "export.reject-rate": _reject_rate,
    "export.schema-drift": _drift,
    "export.unread-raw-files": _unread,
    "schedule.digest": _digest,
    "schedule.no-data": _no_data,
    "target.test": _test,
}


def _subject(data: Mapping[str, Any]) -> str:
    return f"{data.get('exportType')} export of {data.get('app')}"


def _about(data: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    attempt = data.get("attempt")
    return (
        ("Export", data.get("exportId")),
        ("App", data.get("app")),
        ("Type", data.get("exportType")),
        ("Days", days_of(data)),
        ("Campaigns", _campaigns(data)),
        ("Attempt", attempt if attempt != 1 else None),
    )


def _campaigns(data: Mapping[str, Any]) -> str | None:
    if not data.get("campaignType"):
        return None
    which = ", ".join(_texts(data.get("campaignIds"))[:10])
    which = which or " to ".join(str(data.get(f"campaignWindow{end}")) for end in ("Start", "End"))
    return f"{data['campaignType']} {which}"


def _number(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None


def _link(data: Mapping[str, Any], base_url: str) -> str | None:
    """The status that the event is about."""
    for name, path in (("exportId", "exports"), ("batchId", "batches")):
        if _ID.fullmatch(str(data.get(name))):
            return f"{base_url}/{path}/{data[name]}"
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else []


def cut(text: str, most: int, escape: Callable[[str], str]) -> str:
    """The text escaped, in at most so many characters; no escape is cut in two."""
    whole = escape(text)
    if len(whole) <= most:
        return whole
    return "".join(_within(text, most - 1, escape)) + "…"


def _within(text: str, most: int, escape: Callable[[str], str]) -> Iterator[str]:
    for char in text:
        piece = escape(char)
        most -= len(piece)
        if most < 0:
            return
        yield piece
