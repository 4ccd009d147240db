"""One export for its page: timeline, account of counts, what can be done; pure.

Made of what `GET /api/exports/{id}` answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mobexport.pipeline.registry.export_row import COMMITTED, CONVERTED, PENDING
from mobexport.pipeline.registry.states import State

Export = Mapping[str, Any]

# Step, its moment, and what it means.
_STEPS: Final = (
    ("requested", State.REQUESTED, "the request was taken"),
    ("created", State.SUBMITTED, "the Export API has the job"),
    ("queued", State.QUEUED, "the job waits there"),
    ("running", State.RUNNING, "the job runs there"),
    ("collected", State.PROCESSING, "the files were copied"),
    ("processed", CONVERTED, "each record is a row or a reject"),
    ("committed", COMMITTED, "the rows are in the table"),
)
_HANDED_OVER: Final = ("delivered", State.HANDED_OVER, "the files are in the caller's container")
# A job that is faster than the looks at it is never seen there.
_SEEN_BY_POLLS: Final = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class Step:
    """A step of the timeline."""

    name: str
    about: str
    at: str | None
    status: str
    """`done`, `now`, `skipped` or `ahead`."""
    seconds: float | None = None
    """Since the step before."""


@dataclass(frozen=True)
class Part:
    """A part of one bar of the account."""

    name: str
    count: int
    tone: str
    """Its colour, by a class of the style sheet."""
    x: float = 0
    width: float = 0


@dataclass(frozen=True)
class Bar:
    """What one step made of what it got: all parts together are its records."""

    title: str
    total: int
    parts: tuple[Part, ...]


def is_live(export: Export) -> bool:
    """Whether anything on its page may still change by itself."""
    return not State(export["state"]).terminal or _is_waiting(export)


def _is_waiting(export: Export) -> bool:
    """Whether a notification is still to be delivered."""
    return any(one["state"] in PENDING for one in export["deliveries"].values())


def seconds(export: Export, now: datetime) -> float:
    """How long its attempt took, or has been under way."""
    ended = datetime.fromisoformat(export["endedAt"]) if export["endedAt"] else now
    return max((ended - datetime.fromisoformat(export["attemptBeganAt"])).total_seconds(), 0)


def progress(export: Export) -> str:
    """How far the present phase is, in words."""
    made: Mapping[str, Any] = export["progress"]
    if State(export["state"]).terminal:
        return ""
    if "converted" in made and "files" in made:
        return f"{made['converted']} of {made['files']} files converted"
    if "files" in made:
        return f"{made['files']} files"
    return f"looked at {made['polls']} times" if "polls" in made else ""


def timeline(export: Export) -> list[Step]:
    """The steps of the newest attempt, in their order."""
    moments: Mapping[str, str] = export["moments"] or _of_phases(export["phases"])
    state = State(export["state"])
    steps = [*_STEPS[:4], _HANDED_OVER] if export["destination"] else list(_STEPS)
    times = {key: moments.get(key) for _, key, _ in steps}
    last = max((number for number, (_, key, _) in enumerate(steps) if times[key]), default=0)
    found = []
    before = None
    for number, (name, key, about) in enumerate(steps):
        at = times[key]
        if at:
            status = "done"
        elif number < last or (key in _SEEN_BY_POLLS and state in (State.SUCCEEDED, State.EMPTY)):
            status = "skipped"
            about = "not seen: it was over before the next look" if key in _SEEN_BY_POLLS else "not known"
        else:
            status = "ahead"
        found.append(Step(name, about, at, status, _between(before, at)))
        before = at or before
    if state.terminal and state.restartable:
        found = [one for one in found if one.status != "ahead"]
        found.append(
            Step(_word(state), _why(export), export["endedAt"], "failed", _between(before, export["endedAt"]))
        )
    elif not state.terminal:
        found[last] = Step(**{**vars(found[last]), "status": "now"})
    return [*found, *_notified(export, before)]


def _of_phases(phases: Mapping[str, str]) -> dict[str, str]:
    """The moments that the phases tell: rows of earlier versions have no others."""
    known = {"create": State.REQUESTED, "poll": State.SUBMITTED, "process": State.PROCESSING}
    return {moment: phases[phase] for phase, moment in known.items() if phase in phases}


def _notified(export: Export, before: str | None) -> list[Step]:
    deliveries = export["deliveries"].values()
    if not deliveries:
        return []
    made = [one for one in deliveries if one["state"] == "Delivered"]
    about = f"{len(made)} of {len(deliveries)} notifications"
    if _is_waiting(export):
        return [Step("notified", about, None, "now")]
    at = max(one["at"] for one in deliveries)
    return [
        Step(
            "notified", about, at, "done" if len(made) == len(deliveries) else "failed", _between(before, at)
        )
    ]


def _between(before: str | None, at: str | None) -> float | None:
    if not before or not at:
        return None
    return (datetime.fromisoformat(at) - datetime.fromisoformat(before)).total_seconds()


def _word(state: State) -> str:
    return {State.FAILED: "failed", State.TIMED_OUT: "timed out", State.CANCELLED: "cancelled"}[state]


def _why(export: Export) -> str:
    return export["error"]["message"] if export["error"] else ""


def account(export: Export) -> list[Bar]:
    """The bars of the account: raw records, then records of the export file. Those that are known."""
    counts = export["counts"]
    if not counts:
        return []
    bars = []
    if raw := counts["raw"]:
        names = (
            ("exported", "good"),
            ("outside", "quiet"),
            ("superseded", "quiet2"),
            ("removed", "quiet3"),
            ("rejected", "bad"),
        )
        bars.append(_bar("raw records read", raw["read"], [(name, raw[name], tone) for name, tone in names]))
    if counts["records"] is not None:
        parts = [("rows", counts["rows"], "good"), ("rejected", counts["rejected"], "bad")]
        bars.append(_bar("records of the export file", counts["records"], parts))
    return bars


def _bar(title: str, total: int, parts: list[tuple[str, int, str]]) -> Bar:
    """Widths in percent; what is there at all can be seen."""
    wanted = sum(count for _, count, _ in parts)
    least = 0.6
    given = [max(100 * count / wanted, least) if count else 0.0 for _, count, _ in parts] if wanted else []
    scale = 100 / sum(given) if given else 0
    made, x = [], 0.0
    for (name, count, tone), width in zip(parts, given or [0.0] * len(parts), strict=True):
        made.append(Part(name, count, tone, round(x, 2), round(width * scale, 2)))
        x += width * scale
    return Bar(title, total, tuple(made))


def rules(export: Export) -> list[tuple[str, str, int]]:
    """(half, reason, records) of the rejects, most first."""
    counts = export["counts"] or {"raw": None}
    both = (
        ("raw data", (counts["raw"] or {}).get("rules") or {}),
        ("export file", counts.get("rules") or {}),
    )
    found = [(half, rule, count) for half, named in both for rule, count in named.items()]
    return sorted(found, key=lambda one: (-one[2], one[0], one[1]))


def can_cancel(export: Export) -> bool:
    """Whether a cancel still has an effect."""
    return State(export["state"]).cancellable and not export["cancelRequested"]


def can_rerun(export: Export) -> bool:
    """Whether the same request can begin another attempt: its container URL is not kept."""
    return State(export["state"]).terminal and export["destination"] is None
