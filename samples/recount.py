"""The independent count of raw files: plain Python, no DuckDB, nothing of the app, so that it can judge both.

It reads the files as a person would, line by line, with the documented rules alone. What the app says about
an export has to agree with it, number by number.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NoReturn

MAX_LINE = 16 * 1024 * 1024
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")
DAY = re.compile(r"\d{4}-\d\d-\d\d")

Record = dict[str, object]


@dataclass(frozen=True)
class Rules:
    """What counts for one export type: the folder, the fields a record must have, and how records group."""

    kind: str
    required: tuple[str, ...]
    group: tuple[str, ...]
    strict_guids: tuple[str, ...]


RULES = {
    "Event": Rules(
        "events",
        ("deviceId", "name", "timestamp"),
        ("deviceId",),
        ("deviceId", "infoId", "sessionId", "locationId"),
    ),
    "Activity": Rules(
        "activities", ("deviceId", "name", "timestamp"), ("sessionId", "deviceId"), ("deviceId", "sessionId")
    ),
    "Tag": Rules("tags", ("deviceId", "key", "timestamp"), ("deviceId",), ("deviceId",)),
}


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
    names: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """The rows that the Parquet files have to have."""
        return self.exported - self.conversion_rejects


class BadLineError(ValueError):
    """A line that is no usable record; the text says why."""


def recount(
    root: Path, app: str, export_type: str, window: tuple[date, date] | None, *, strict: bool
) -> Count:
    """Count what one export of `app` has to contain. `window` (both days included) is None for a snapshot."""
    rules = RULES[export_type]
    count = Count()
    kept: list[Record] = []
    for raw in _lines(root / app / rules.kind, window):
        count.read += 1
        try:
            record, instant = _record(raw, rules)
        except BadLineError as error:
            count.rejected += 1
            count.reasons[str(error)] += 1
            continue
        if window and not window[0] <= instant.date() <= window[1]:
            count.outside_window += 1
        else:
            kept.append(record | {"timestamp": instant})
    if export_type == "Tag":
        kept = _latest(kept, count)
    _finish(kept, rules, strict=strict, count=count)
    return count


def _finish(kept: list[Record], rules: Rules, *, strict: bool, count: Count) -> None:
    count.exported = len(kept)
    count.elements = len({tuple(record.get(name) for name in rules.group) for record in kept})
    count.names = Counter(str(record.get("name", record.get("key"))) for record in kept)
    if strict:
        count.conversion_rejects = sum(1 for record in kept if not _all_guids(record, rules.strict_guids))


def _latest(records: list[Record], count: Count) -> list[Record]:
    """The newest record of each device and key, the later place winning a tie; removed keys are left out."""
    newest: dict[tuple[object, object], Record] = {}
    for record in records:
        key = record["deviceId"], record["key"]
        before = newest.get(key)
        if before is None or _instant(record) >= _instant(before):
            newest[key] = record
    count.superseded = len(records) - len(newest)
    there = [record for record in newest.values() if record.get("value") is not None]
    count.removed = len(newest) - len(there)
    return there


def _instant(record: Record) -> datetime:
    instant = record["timestamp"]
    assert isinstance(instant, datetime)
    return instant


def _all_guids(record: Record, names: tuple[str, ...]) -> bool:
    return all(isinstance(value := record.get(name), str) and GUID.fullmatch(value) for name in names)


# --- files and lines


def _lines(folder: Path, window: tuple[date, date] | None) -> Iterator[bytes]:
    """The lines that are not blank, in the order of the places: by file name, then by line."""
    for file in sorted(folder.glob("*/*"), key=lambda file: file.relative_to(folder).as_posix()):
        if not _is_scanned(file.parent.name, window):
            continue
        if file.name.endswith(".parquet"):
            raise ValueError(f"{file}: only NDJSON can be counted here, not Parquet")
        content = file.read_bytes()
        if file.name.endswith(".ndjson.gz"):
            content = gzip.decompress(content)
        elif not file.name.endswith(".ndjson"):
            continue
        yield from (line for line in content.split(b"\n") if line.strip())


def _is_scanned(folder: str, window: tuple[date, date] | None) -> bool:
    if not DAY.fullmatch(folder):
        return False
    if window is None:
        return True
    slack = timedelta(days=1)
    return window[0] - slack <= date.fromisoformat(folder) <= window[1] + slack


def _record(raw: bytes, rules: Rules) -> tuple[Record, datetime]:
    if len(raw) > MAX_LINE:
        raise BadLineError("too long")
    try:
        record = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise BadLineError("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BadLineError("not JSON") from error
    if not isinstance(record, dict):
        raise BadLineError("not an object")
    for name in rules.required:
        if record.get(name) is None:
            raise BadLineError(f"no {name}")
    return record, _time(record["timestamp"])


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _time(text: object) -> datetime:
    """The instant in UTC, to the microsecond."""
    found = TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise BadLineError("bad time")
    day, clock, fraction, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone
    try:
        return datetime.fromisoformat(
            f"{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}{zone}"
        ).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadLineError("bad time") from error
