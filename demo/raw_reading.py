"""Read raw files as a person would: line by line, by the documented rules, without any code of the app.

DuckDB only opens Parquet files here; what a row means is decided in plain Python, as for a line.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import duckdb

MAX_LINE = 16 * 1024 * 1024
MAX_INTEGER = 10**18
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
CAMPAIGN_TYPES = ("Announcement", "DataPush", "NativePush", "Poll")
FLAGS = (
    *("None", "Queued", "Dropped", "ContentDisplayed", "ContentActioned", "ContentExited"),
    *("InAppNotificationDisplayed", "InAppNotificationActioned", "InAppNotificationExited"),
    *("SystemNotificationDisplayed", "SystemNotificationActioned", "SystemNotificationExited"),
)

# Kind and name of every field that is looked at; ! says that a record must have it.
FIELDS = {
    "activities": "id deviceId!, id sessionId, text name!, time timestamp!, object extras",
    "events": """id deviceId!, id sessionId, text name!, time timestamp!, id infoId, id locationId,
        object extras""",
    "sessions": "id sessionId!, id deviceId!, time start!, time end, id infoId, id locationId",
    "jobs": "id jobId!, id deviceId!, text name!, time start!, time end, id infoId, object extras",
    "errors": "id deviceId!, id sessionId, id jobId, text name!, time timestamp!, id infoId, object extras",
    "crashes": """id deviceId!, id sessionId, id crashId!, text name!, time timestamp!, id infoId,
        object extras""",
    "pushes": "id deviceId!, type campaignType!, int campaignId!, time timestamp!, flag status!",
    "tokens": "id deviceId!, time timestamp!, text token!, text type!, bool valid!",
    "tags": "id deviceId!, time timestamp!, text key!",
    "devices": """id deviceId!, time timestamp!, object meta, int meta.firstSeen, int meta.lastSeen,
        int meta.lastInfo, int meta.lastLocation, bool meta.nativePushEnabled, object info,
        text info.phoneModel, text info.phoneManufacturer, text info.firmwareVersion, text info.firmwareName,
        int info.androidAPILevel, text info.carrierCountry, text info.locale, text info.carrierName,
        text info.networkType, text info.networkSubtype, text info.applicationVersionName,
        int info.applicationVersionCode, int info.timeZoneOffset, text info.serviceVersion,
        object location, text location.countrycode, text location.region, text location.locality""",
}
TYPES: Mapping[str, type] = {"object": dict, "int": int, "bool": bool}
CHOICES = {"type": CAMPAIGN_TYPES, "flag": FLAGS}

Record = dict[str, Any]


class BadLineError(ValueError):
    """A line that is not a usable record; the text says why."""


@dataclass(frozen=True)
class Rule:
    """Rule of one field."""

    kind: str
    name: str
    required: bool


RULES = {
    kind: [Rule(*field) for field in ((k, n, bool(m)) for k, n, m in re.findall(r"(\w+) ([\w.]+)(!?)", told))]
    for kind, told in FIELDS.items()
}


def records(folder: Path, days: tuple[date, date] | None) -> Iterator[Record | BadLineError]:
    """Every record of one kind in the order of the places (file name, then line), or what is wrong with it.

    `days`: only the folders of those days and of the day before and after. Times are datetimes in UTC.
    """
    rules = RULES[folder.name]
    for raw in _raw(folder, days):
        try:
            yield _checked(raw if isinstance(raw, dict) else _parsed(raw), rules)
        except BadLineError as error:
            yield error


def _raw(folder: Path, days: tuple[date, date] | None) -> Iterator[bytes | Record]:
    """Lines that are not blank, and rows of Parquet files."""
    for file in sorted(folder.glob("*/*"), key=lambda file: file.relative_to(folder).as_posix()):
        if not _is_scanned(file.parent.name, days):
            continue
        if file.name.endswith(".parquet"):
            yield from _rows(file)
        elif file.name.endswith((".ndjson", ".ndjson.gz")):
            content = file.read_bytes()
            content = gzip.decompress(content) if file.name.endswith(".gz") else content
            yield from (line for line in content.split(b"\n") if line.strip())


def _is_scanned(folder: str, days: tuple[date, date] | None) -> bool:
    if not DAY.fullmatch(folder):
        return False
    slack = timedelta(days=1)
    return days is None or days[0] - slack <= date.fromisoformat(folder) <= days[1] + slack


def _rows(file: Path) -> list[Record]:
    """Rows as lines would say them: JSON texts parsed, times with their zone."""
    found = duckdb.execute("SELECT * FROM read_parquet($1, hive_partitioning = false)", [str(file)])
    columns = [(name, str(kind)) for name, kind, *_ in found.description or []]
    rows = []
    for row in found.fetchall():
        record = {}
        for (name, kind), value in zip(columns, row, strict=True):
            is_json = kind == "JSON" or name == "extras"
            given = json.loads(value) if is_json and isinstance(value, str) else value
            record[name] = given.replace(tzinfo=UTC) if isinstance(given, datetime) else given
        rows.append(record)
    return rows


def _parsed(raw: bytes) -> Record:
    if len(raw) > MAX_LINE:
        raise BadLineError("too long")
    try:
        record = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadLineError("not UTF-8") from error
    except UnicodeEncodeError as error:
        raise BadLineError("half a character") from error
    except (ValueError, RecursionError) as error:
        raise BadLineError("not JSON") from error
    if not isinstance(record, dict):
        raise BadLineError("not an object")
    return record


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _checked(record: Record, rules: list[Rule]) -> Record:
    """The record, times read."""
    read = dict(record)
    for rule in rules:
        outer, _, inner = rule.name.rpartition(".")
        value = (record.get(outer) or {}).get(inner) if outer else record.get(rule.name)
        if value is None:
            if rule.required:
                raise BadLineError(f"no {rule.name}")
        elif rule.kind == "time":
            read[rule.name] = value if isinstance(value, datetime) else time_of(value)
        elif not _is(rule.kind, value) or (rule.required and isinstance(value, str) and not value.strip()):
            raise BadLineError(f"bad {rule.name}")
    return read


def _is(kind: str, value: object) -> bool:
    if not isinstance(value, TYPES.get(kind, str)):
        return False
    if kind == "int":
        return not isinstance(value, bool) and isinstance(value, int) and abs(value) < MAX_INTEGER
    return kind not in CHOICES or value in CHOICES[kind]


def time_of(text: object) -> datetime:
    """The instant in UTC, to the microsecond. Raises BadLineError."""
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
