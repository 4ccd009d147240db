"""Conversion against plain Python that knows the documented rules alone: rows, rejects and counts agree."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mobexport import export_types
from mobexport.duck import DuckLimits
from mobexport.pipeline.converting import Conversion, convert_file

WINDOW = (date(2025, 3, 22), date(2025, 3, 24))
GUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FLAGS = {"!": "required", "?": "strict", "": ""}
SHAPES = {
    # inner list or map, fields of the element, columns: kind, name, and ! required or ? asked for when strict
    "Event": (
        "events",
        ["deviceId"],
        "id deviceId!, text name!, time timestamp!, id infoId?, id sessionId?, id locationId?, object extras",
    ),
    "Activity": (
        "activities",
        ["sessionId", "deviceId"],
        "id sessionId?, id deviceId, text name!, time timestamp!, object extras",
    ),
    "Tag": ("appInfo", ["deviceId"], "id deviceId!, text key!, json value"),
}


@dataclass
class Expected:
    """What the conversion of a file has to give."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: list[tuple[int, int, str, Any]] = field(default_factory=list)
    lenient: Counter[str] = field(default_factory=Counter)


def columns(type_: str) -> list[tuple[str, str, str]]:
    found = re.findall(r"(\w+) (\w+)([!?]?)", SHAPES[type_][2])
    return [(kind, name, FLAGS[flag]) for kind, name, flag in found]


def records(type_: str, element: Any) -> Iterator[tuple[Any, str | None]]:
    """(record, None), or (element, its fault)."""
    inner, _group, _ = SHAPES[type_]
    if not isinstance(element, dict):
        yield element, "not-an-object"
    elif element.get(inner) is None:
        yield element, f"missing:{inner}"
    elif not isinstance(element[inner], dict if type_ == "Tag" else list):
        yield element, f"wrong-type:{inner}"
    elif type_ == "Tag":
        yield from (({"key": key, "value": value}, None) for key, value in element[inner].items())
    else:
        yield from ((record, None) for record in element[inner])


def instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if TIME.fullmatch(text) else None
    except ValueError:
        return None


def fault_of(type_: str, values: dict[str, Any]) -> str | None:
    for kind, name, flag in columns(type_):
        value = values.get(name)
        if value is None:
            if flag == "required":
                return f"missing:{name}"
            continue
        wanted = {"object": dict, "json": object}.get(kind, str)
        if not isinstance(value, wanted):
            return f"wrong-type:{name}"
        if flag == "required" and not value.strip():
            return f"blank:{name}"
        if kind == "time" and instant(value) is None:
            return f"bad-time:{name}"
    if type_ != "Tag":
        at = instant(values["timestamp"])
        assert at
        if not WINDOW[0] <= at.date() <= WINDOW[1]:
            return "outside-window:timestamp"
    return None


def notes_of(type_: str, values: dict[str, Any]) -> list[str]:
    """In the order in which they are looked at: what is missing, then what is no GUID."""
    there = columns(type_)
    missing = [f"missing:{name}" for _, name, flag in there if flag == "strict" and values.get(name) is None]
    return missing + [
        f"not-a-guid:{name}"
        for kind, name, _ in there
        if kind == "id" and values.get(name) is not None and not GUID.fullmatch(values[name])
    ]


def row_of(type_: str, values: dict[str, Any]) -> tuple[Any, ...]:
    row: list[Any] = ["shop"]
    for kind, name, _ in columns(type_):
        value = values.get(name)
        if value is not None and kind == "time":
            at = instant(value)
            assert at
            value = (at - EPOCH) // timedelta(microseconds=1)
        elif value is not None and kind in ("object", "json"):
            value = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        row.append(value)
    return tuple(row)


def reference(type_: str, file: list[Any], *, strict: bool) -> Expected:
    expected = Expected()
    group = SHAPES[type_][1]
    for number, element in enumerate(file, start=1):
        for place, (record, given) in enumerate(records(type_, element), start=1):
            fault, values = given, {}
            if not fault and not isinstance(record, dict):
                fault = "not-an-object"
            if not fault:
                values = {**record, **{name: element.get(name) for name in group}}
                fault = fault_of(type_, values)
            notes = [] if fault else notes_of(type_, values)
            if strict and notes:
                fault = notes[0]
            if fault:
                expected.rejects.append((number, place, fault, record))
            else:
                expected.lenient.update(notes)
                expected.rows.append(row_of(type_, values))
    return expected


class Dice:
    """Files with something of everything, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, *usual: Any, odd: tuple[Any, ...] = ()) -> Any:
        return self.random.choice(odd if odd and self.random.random() < 0.06 else usual)

    def guid(self) -> Any:
        text = f"{self.random.getrandbits(128):032x}"
        dashed = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        return self.one(dashed, text, text.upper(), odd=(None, "", " ", "0", text[1:], text + "0", 7, [], {}))

    def time(self) -> Any:
        hour, day = self.random.randrange(24), self.random.randrange(22, 25)
        fraction = self.one("", ".5", ".123", ".123456", ".1234567")
        zone = self.one("Z", "Z", "+00:00", "-03:30", "+14:00")
        good = f"2025-03-{day}T{hour:02}:59:00{fraction}{zone}"
        bad = (None, "", "soon", 5, "2025-02-30T00:00:00Z", good[:19], "2024-03-23T00:00:00Z", [good])
        return self.one(good, odd=bad)

    def value(self) -> Any:
        return self.one({}, {"a b": [1, None, "x, y"]}, {"n": 2**70, "é": '\n\\"{[', "": {"z": 1, "a": -2}})

    def record(self) -> Any:
        given = {
            "name": self.one("open", 'é, "q" \\', "日本", odd=(None, "", "\t", 3, ["open"])),
            "timestamp": self.time(),
            "extras": self.one(self.value(), None, odd=([], "text", 1, True)),
            "colour": self.one("unknown", ["to", "us"]),
            **{name: self.guid() for name in ("infoId", "sessionId", "locationId")},
        }
        kept = {name: value for name, value in given.items() if self.random.random() < 0.97}
        return self.one(kept, odd=(None, 1, "text", [kept], {}))

    def inner(self, type_: str) -> Any:
        count = self.random.randrange(6)
        if type_ != "Tag":
            return [self.record() for _ in range(count)]
        keys = [self.one("plan", f"k {n}", f"é{n}", odd=("", " ")) for n in range(count)]
        return {key: self.one(self.value(), None, 1, 2**70, "text", [True]) for key in keys}

    def element(self, type_: str) -> Any:
        inner, group, _ = SHAPES[type_]
        given = {**{name: self.guid() for name in group}, inner: self.inner(type_)}
        wrong = [] if type_ == "Tag" else {}
        return self.one(given, odd=(None, 5, [given], {}, {**given, inner: None}, {**given, inner: wrong}))


def convert(tmp_path: Path, type_: str, raw: bytes, *, strict: bool) -> Conversion:
    snapshot = type_ == "Tag"
    return convert_file(
        export_types.get(type_),
        (raw[at : at + 4099] for at in range(0, len(raw), 4099)),
        app="shop",
        window=None if snapshot else WINDOW,
        snapshot_day=WINDOW[0] if snapshot else None,
        strict=strict,
        stem="s",
        out_dir=tmp_path / "out",
        workdir=tmp_path / "work",
        limits=DuckLimits(),
    )


def written(done: Conversion) -> list[tuple[Any, ...]]:
    """Rows by day, in the order of the file; instants as microseconds since 1970."""
    found = []
    for output in done.outputs:
        types = duckdb.execute("DESCRIBE FROM read_parquet(?, hive_partitioning = false)", [str(output.path)])
        for name, kind, *_ in types.fetchall():
            assert kind == ("TIMESTAMP WITH TIME ZONE" if name == "timestamp" else "VARCHAR")
        time = "" if "snapshot=" in str(output.path) else "REPLACE (epoch_us(timestamp) AS timestamp)"
        query = f"SELECT * {time} FROM read_parquet(?, hive_partitioning = false)"
        found += duckdb.execute(query, [str(output.path)]).fetchall()
    return found


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize("indent", [None, 1], ids=["one line", "pretty"])
@pytest.mark.parametrize("type_", SHAPES)
def test_given_something_of_everything_when_converted_then_as_plain_python_says(
    tmp_path, type_, indent, strict
) -> None:
    dice = Dice(20180331)
    file = [dice.element(type_) for _ in range(600)]
    done = convert(
        tmp_path, type_, json.dumps(file, indent=indent, ensure_ascii=False).encode(), strict=strict
    )
    expected = reference(type_, file, strict=strict)
    assert len(expected.rows) > 100
    assert len(expected.rejects) > 50
    at = [name for _, name, _ in columns(type_)].index("timestamp") + 1 if type_ != "Tag" else 0
    by_day = sorted(expected.rows, key=lambda row: row[at] // 86_400_000_000 if at else 0)
    assert written(done) == by_day
    assert done.rejects is not None
    found = [json.loads(line) for line in done.rejects.read_text("utf-8").splitlines()]
    assert [
        (
            reject["element"],
            reject["record"],
            ":".join(filter(None, (reject["rule"], reject.get("field")))),
            json.loads(reject["original"]),
        )
        for reject in found
    ] == expected.rejects
    assert dict(done.lenient) == ({} if strict else dict(expected.lenient))
    assert dict(done.rules) == dict(Counter(fault for _, _, fault, _ in expected.rejects))
    assert done.records == len(expected.rows) + len(expected.rejects) == done.rows + done.rejected
