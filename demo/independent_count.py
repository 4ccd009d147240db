"""The independent count of an export: plain Python over the raw files, without any code of the app.

It groups, merges and counts by the documented rules alone. The app's numbers for an export must agree with it
one by one, and the rows of its Parquet with the values here.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from demo.raw_reading import BadLineError, Record, records

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONG_BEFORE = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Rules:
    """The rules of one export type."""

    kind: str
    group: tuple[str, ...]
    """Fields that records of one element share."""
    ids: tuple[str, ...]
    """Fields that strict checks want to be GUIDs where they are."""
    asked: tuple[str, ...] = ()
    """Fields that strict checks want to be there."""
    shown: tuple[str, ...] = ("deviceId", "name", "timestamp")
    """Columns whose values are compared, row by row."""
    time: str | None = "timestamp"
    """The time field that the window selects by; None for a snapshot."""


RULES = {
    "Activity": Rules(
        "activities", ("sessionId", "deviceId"), ids=("sessionId", "deviceId"), asked=("sessionId",)
    ),
    "Crash": Rules(
        "crashes",
        ("deviceId",),
        ids=("deviceId", "crashId", "infoId", "sessionId"),
        shown=("crashId", "name", "timestamp"),
    ),
    "Device": Rules(
        "devices",
        ("deviceId",),
        ids=("deviceId",),
        shown=("deviceId", "meta.firstSeen", "meta.lastSeen", "info.phoneModel", "location.region"),
        time=None,
    ),
    "Error": Rules("errors", ("deviceId",), ids=("deviceId", "infoId", "sessionId", "jobId")),
    "Event": Rules(
        "events",
        ("deviceId",),
        ids=("deviceId", "infoId", "sessionId", "locationId"),
        asked=("infoId", "sessionId", "locationId"),
    ),
    "Job": Rules(
        "jobs",
        ("jobId",),
        ids=("jobId", "deviceId", "infoId"),
        asked=("infoId",),
        shown=("jobId", "deviceId", "name", "start", "end"),
        time="start",
    ),
    "Push": Rules(
        "pushes",
        ("deviceId", "campaignType", "campaignId"),
        ids=("deviceId",),
        shown=("deviceId", "campaignType", "campaignId", "status"),
        time=None,
    ),
    "Session": Rules(
        "sessions",
        ("sessionId",),
        ids=("sessionId", "deviceId", "infoId", "locationId"),
        shown=("sessionId", "deviceId", "start", "end"),
        time="start",
    ),
    "Tag": Rules("tags", ("deviceId",), ids=("deviceId",), shown=("deviceId", "key"), time=None),
    "Token": Rules(
        "tokens", ("deviceId", "type"), ids=("deviceId",), shown=("deviceId", "token", "type"), time=None
    ),
}


@dataclass(frozen=True)
class Feedback:
    """Selection of pushes: those of some campaigns, or of a time (both instants included)."""

    campaign_type: str
    campaign_ids: tuple[int, ...] = ()
    window: tuple[datetime, datetime] | None = None

    def has(self, record: Record) -> bool:
        """Whether a record is one of them."""
        return record["campaignType"] == self.campaign_type and (
            self.window[0] <= record["timestamp"] <= self.window[1]
            if self.window
            else record["campaignId"] in self.campaign_ids
        )


@dataclass
class Count:
    """The terms of both equations, and what else can be compared."""

    read: int = 0
    rejected: int = 0
    outside_window: int = 0
    superseded: int = 0
    removed: int = 0
    exported: int = 0
    conversion_rejects: int = 0
    elements: int = 0
    values: Counter[tuple[object, ...]] = field(default_factory=Counter)
    """Number of rows by their values in the columns `shown`; instants as microseconds since 1970."""
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """The rows that the Parquet files have to have."""
        return self.exported - self.conversion_rejects


def count_records(
    root: Path,
    app: str,
    export_type: str,
    window: tuple[date, date] | None,
    *,
    strict: bool,
    feedback: Feedback | None = None,
) -> Count:
    """Count what one export of `app` has to contain.

    `window` (both days included) is None for a snapshot, `feedback` is for Push.
    """
    rules = RULES[export_type]
    count = Count()
    days = window
    if feedback and feedback.window:
        days = feedback.window[0].date(), feedback.window[1].date()
    kept = _usable(records(root / app / rules.kind, days), count)
    if feedback:
        kept = _only(kept, feedback.has, count)
    if merge := MERGES.get(export_type):
        kept = merge(kept, count)
    if export_type == "Device":
        _join_tags(kept, _usable(records(root / app / "tags", None), count), count)
    if window and rules.time:
        time, (first, last) = rules.time, window
        kept = _only(kept, lambda record: first <= record[time].date() <= last, count)
    count.exported = len(kept)
    count.elements = len(_by(kept, rules.group))
    passed = [record for record in kept if not strict or _is_strict(record, rules)]
    count.conversion_rejects = len(kept) - len(passed)
    count.values = Counter(tuple(_shown(record, name) for name in rules.shown) for record in passed)
    return count


def _usable(found: Iterable[Record | BadLineError], count: Count) -> list[Record]:
    kept = []
    for record in found:
        count.read += 1
        if isinstance(record, BadLineError):
            count.rejected += 1
            count.reasons[str(record)] += 1
        else:
            kept.append(record)
    return kept


def _only(found: list[Record], wanted: Callable[[Record], bool], count: Count) -> list[Record]:
    kept = [record for record in found if wanted(record)]
    count.outside_window += len(found) - len(kept)
    return kept


def _by(found: list[Record], names: Sequence[str]) -> list[list[Record]]:
    """Records of one identity together, in the order of their places."""
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in found:
        groups.setdefault(tuple(record.get(name) for name in names), []).append(record)
    return list(groups.values())


# --- how records of one identity become one; they come in the order of their places


def _sessions(found: list[Record], count: Count) -> list[Record]:
    """The earliest start, and what stands with it; the latest end."""
    merged = []
    for same in _by(found, ["sessionId"]):
        ends = [record["end"] for record in same if record.get("end")]
        merged.append(min(same, key=lambda record: record["start"]) | {"end": max(ends, default=None)})
    count.superseded += len(found) - len(merged)
    return merged


def _jobs(found: list[Record], count: Count) -> list[Record]:
    """The one with the latest end; without an end comes before any."""
    return _newest(found, ["jobId"], lambda record: record.get("end") or LONG_BEFORE, count)


def _pushes(found: list[Record], count: Count) -> list[Record]:
    """The distinct flags, in time order."""
    merged = []
    for same in _by(found, ["deviceId", "campaignType", "campaignId"]):
        flags = [record["status"] for record in sorted(same, key=_timestamp)]
        merged.append(same[0] | {"status": list(dict.fromkeys(flags))})
    count.superseded += len(found) - len(merged)
    return merged


def _tags(found: list[Record], count: Count) -> list[Record]:
    newest = _newest(found, ["deviceId", "key"], _timestamp, count)
    return _there(newest, lambda record: record.get("value") is not None, count)


def _tokens(found: list[Record], count: Count) -> list[Record]:
    newest = _newest(found, ["deviceId", "type"], _timestamp, count)
    return _there(newest, lambda record: record["valid"] is True, count)


def _newest(
    found: list[Record], names: Sequence[str], time: Callable[[Record], datetime], count: Count
) -> list[Record]:
    """The newest of each identity; of one instant, the one at the later place."""
    newest = [max(reversed(same), key=time) for same in _by(found, names)]
    count.superseded += len(found) - len(newest)
    return newest


def _there(newest: list[Record], wanted: Callable[[Record], bool], count: Count) -> list[Record]:
    """Without those that take back what they are about."""
    there = [record for record in newest if wanted(record)]
    count.removed += len(newest) - len(there)
    return there


def _timestamp(record: Record) -> datetime:
    at = record["timestamp"]
    assert isinstance(at, datetime)
    return at


def _devices(found: list[Record], count: Count) -> list[Record]:
    """The newest meta, info and location that there is; first and last seen of all."""
    merged = []
    for same in _by(found, ["deviceId"]):
        device: Record = {"deviceId": same[0]["deviceId"]}
        for record in sorted(same, key=_timestamp):
            told = {name: record.get(name) for name in ("meta", "info", "location")}
            device |= {name: value for name, value in told.items() if value is not None}
        metas = [record["meta"] for record in same if record.get("meta")]
        first = [meta["firstSeen"] for meta in metas if meta.get("firstSeen") is not None]
        last = [meta["lastSeen"] for meta in metas if meta.get("lastSeen") is not None]
        seen = {"firstSeen": min(first, default=None), "lastSeen": max(last, default=None)}
        merged.append(device | {"meta": device.get("meta", {}) | seen})
    count.superseded += len(found) - len(merged)
    return merged


def _join_tags(devices: list[Record], tags: list[Record], count: Count) -> None:
    """A tag becomes a part of its device; of a device without a record it is outside of the export."""
    known = {device["deviceId"] for device in devices}
    left = _tags(tags, count)
    joined = sum(tag["deviceId"] in known for tag in left)
    count.superseded += joined
    count.outside_window += len(left) - joined


MERGES: dict[str, Callable[[list[Record], Count], list[Record]]] = {
    "Session": _sessions,
    "Job": _jobs,
    "Push": _pushes,
    "Tag": _tags,
    "Token": _tokens,
    "Device": _devices,
}


def _is_strict(record: Record, rules: Rules) -> bool:
    ids = [record.get(name) for name in rules.ids]
    there = all(record.get(name) is not None for name in rules.asked)
    return there and all(value is None or GUID.fullmatch(value) for value in ids)


def _shown(record: Record, name: str) -> object:
    outer, _, inner = name.rpartition(".")
    value = (record.get(outer) or {}).get(inner) if outer else record.get(name)
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list) else value
