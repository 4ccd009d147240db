"""What an export must be, in plain Python over lists: the rules of the design, written a second time.

It shares nothing with the declarations and never reads JSON: it gets the values that raw lines were made of.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from type_table import NESTED, TYPES


def columns_of(type_: str) -> list[str]:
    """Names of the columns of a CSV."""
    return [column.name for column in TYPES[type_].columns]


class RawText(str):
    """JSON that passes through as it is."""


@dataclass
class Line:
    """A raw line: its values by name (absent ones are not there), or that it is to be rejected."""

    file: str
    text: bytes
    values: dict[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    rejected: bool = False
    number: int = 0
    """From 1, within its file."""

    @property
    def place(self) -> tuple[bytes, int]:
        return self.file.encode(), self.number


@dataclass
class Expected:
    data: bytes
    counts: dict[str, Any]
    rejects: list[tuple[str, int]]


def expect(type_: str, lines: list[Line], only: Callable[[dict[str, Any]], bool],
           window: tuple[date, date] | None, csv: bool) -> Expected:  # fmt: skip
    """The file and the counts. `only`: whether a request selects a record's values."""
    good = [line for line in lines if not line.rejected]
    own = [line for line in good if not (type_ == "Device" and line.file.startswith("tags/"))]
    counts = Counter(read=len(lines), rejected=len(lines) - len(good))
    time = TYPES[type_].time or "timestamp"

    def inside(values: dict[str, Any]) -> bool:
        return window is None or window[0] <= values[time].astimezone(UTC).date() <= window[1]

    late = type_ in ("Session", "Job")
    chosen = [line for line in own if only(line.values) and (late or inside(line.values))]
    counts["outsideWindow"] = len(own) - len(chosen)
    chosen.sort(key=lambda line: (line.values[time], line.place))
    records = [(line.values, line.values[time], line.place) for line in chosen]
    if type_ in MERGES:
        records, superseded, removed = MERGES[type_](chosen)
        counts["superseded"] += superseded
        counts["removed"] += removed
    if late:
        before = len(records)
        records = [record for record in records if inside(record[0])]
        counts["outsideWindow"] += before - len(records)
    if type_ == "Device":
        tags = [line for line in good if line not in own]
        tags.sort(key=lambda line: (line.values["timestamp"], line.place))
        kept, superseded, removed = merge_tags(tags)
        known = {values["deviceId"]: values for values, _, _ in records}
        counts["superseded"] += superseded
        counts["removed"] += removed
        for values, _, _ in kept:
            device = known.get(values["deviceId"])
            if device is None:
                counts["outsideWindow"] += 1
                continue
            counts["superseded"] += 1
            device.setdefault("appInfo", {})[values["key"]] = values["value"]
    counts["exported"] = len(records)
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for values, at, place in records:
        key = tuple(values.get(name) for name in TYPES[type_].group)
        groups.setdefault(key, []).append((at, place, values))
    order = sorted(groups, key=lambda key: (md5(key), joined(key)))
    rows = [[values for _, _, values in sorted(groups[key], key=lambda one: one[:2])] for key in order]
    unknown = Counter(name for line in good for name in line.unknown)
    total = {name: counts[name] for name in
             ("read", "rejected", "outsideWindow", "superseded", "removed", "exported")}  # fmt: skip
    flat = [values for group in rows for values in group]
    if csv:
        data = "".join(
            ",".join(cells) + "\r\n" for cells in [columns_of(type_), *(cells_of(type_, v) for v in flat)]
        )
        elements = len(rows) if type_ in NESTED or type_ == "Tag" else len(flat)
    else:
        if type_ in NESTED:
            texts = [nested(type_, group) for group in rows]
        elif type_ == "Tag":
            texts = [
                written({"deviceId": g[0]["deviceId"], "appInfo": {v["key"]: v["value"] for v in g}})
                for g in rows
            ]
        else:
            texts = [written(ordered(type_, values)) for values in flat]
        elements = len(texts)
        data = "[\n" + ",\n".join(texts) + "\n]\n" if texts else "[]"
    rejects = [(line.file, line.number) for line in sorted(lines, key=lambda one: one.place) if line.rejected]
    return Expected(data.encode(), {**total, "elements": elements, "unknownFields": dict(unknown)}, rejects)


def joined(key: tuple[Any, ...]) -> bytes:
    return "\x1f".join("" if part is None else str(part) for part in key).encode()


def md5(key: tuple[Any, ...]) -> str:
    return hashlib.md5(joined(key)).hexdigest()


# -- merging: (values, instant, place) of what is left, and two counts ----------------


def merge_sessions(lines: list[Line]) -> tuple[list[Any], int, int]:
    merged: dict[str, list[Line]] = {}
    for line in lines:
        merged.setdefault(line.values["sessionId"], []).append(line)
    left = []
    for same in merged.values():
        first = min(same, key=lambda line: (line.values["start"], line.place))
        values = dict(first.values)
        values.pop("end", None)
        if ends := [line.values["end"] for line in same if "end" in line.values]:
            values["end"] = max(ends)
        left.append((values, values["start"], first.place))
    return left, len(lines) - len(left), 0


def merge_jobs(lines: list[Line]) -> tuple[list[Any], int, int]:
    never = datetime(1, 1, 1, tzinfo=UTC)
    left: dict[str, Line] = {}
    for line in sorted(lines, key=lambda one: (one.values.get("end", never), one.place)):
        left[line.values["jobId"]] = line
    return [(one.values, one.values["start"], one.place) for one in left.values()], len(lines) - len(left), 0


def merge_tags(lines: list[Line]) -> tuple[list[Any], int, int]:
    left = {(line.values["deviceId"], line.values["key"]): line for line in lines}
    shown = [line for line in left.values() if "value" in line.values]
    shown.sort(key=lambda line: (line.values["timestamp"], line.place))
    records = [(line.values, line.values["timestamp"], line.place) for line in shown]
    return records, len(lines) - len(left), len(left) - len(shown)


def merge_tokens(lines: list[Line]) -> tuple[list[Any], int, int]:
    left = {(line.values["deviceId"], line.values["type"]): line for line in lines}
    shown = [line for line in left.values() if line.values["valid"]]
    records = [(line.values, line.values["timestamp"], line.place) for line in shown]
    return records, len(lines) - len(left), len(left) - len(shown)


def merge_pushes(lines: list[Line]) -> tuple[list[Any], int, int]:
    left: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        key = tuple(line.values[name] for name in ("deviceId", "campaignType", "campaignId"))
        values = left.setdefault(key, {**line.values, "status": []})
        if line.values["status"] not in values["status"]:
            values["status"].append(line.values["status"])
    return [(values, 0, 0) for values in left.values()], len(lines) - len(left), 0


def merge_devices(lines: list[Line]) -> tuple[list[Any], int, int]:
    left: dict[str, dict[str, Any]] = {}
    for line in lines:
        values = left.setdefault(line.values["deviceId"], {"deviceId": line.values["deviceId"]})
        for name in ("meta", "info", "location"):
            if name in line.values:
                values[name] = dict(line.values[name])
    for device, values in left.items():
        for name, choose in (("firstSeen", min), ("lastSeen", max)):
            told = [line.values["meta"][name] for line in lines
                    if line.values["deviceId"] == device and name in line.values.get("meta", {})]  # fmt: skip
            if told:
                values["meta"][name] = choose(told)
    return [(values, 0, 0) for values in left.values()], len(lines) - len(left), 0


MERGES: dict[str, Any] = {
    "Session": merge_sessions, "Job": merge_jobs, "Tag": merge_tags, "Token": merge_tokens,
    "Push": merge_pushes, "Device": merge_devices,
}  # fmt: skip


# -- writing -----------------------------------------------------------------------------------------------


def nested(type_: str, group: list[dict[str, Any]]) -> str:
    names = TYPES[type_].group
    head = {name: group[0][name] for name in names if name in group[0]}
    columns = [name for name in columns_of(type_) if name not in names]
    records = [{name: values[name] for name in columns if name in values} for values in group]
    return written({**head, NESTED[type_]: records})


def ordered(type_: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a flat element in the order of its columns."""
    found: dict[str, Any] = {}
    for column in columns_of(type_):
        outer, _, inner = column.partition(".")
        if outer not in values:
            continue
        if not inner:
            found[outer] = values[outer]
            continue
        found.setdefault(outer, {})
        if inner in values[outer]:
            found[outer][inner] = values[outer][inner]
    return found


def written(value: Any) -> str:
    """JSON without spaces."""
    if isinstance(value, RawText):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{quoted(name)}:{written(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return quoted(time_text(value)) if isinstance(value, datetime) else quoted(value)


def quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def time_text(value: datetime) -> str:
    digits = "microseconds" if value.microsecond % 1000 else "milliseconds"
    return value.astimezone(UTC).isoformat(timespec=digits).replace("+00:00", "Z")


def cells_of(type_: str, values: dict[str, Any]) -> list[str]:
    cells = []
    for column in columns_of(type_):
        outer, _, inner = column.partition(".")
        value = values.get(outer, {}).get(inner) if inner else values.get(outer)
        cells.append(cell(value))
    return cells


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = time_text(value)
    elif isinstance(value, str) and not isinstance(value, RawText):
        text = value
    else:
        text = written(value)
    if text == "" or any(sign in text for sign in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
