"""Conversion against plain Python that knows the documented rules alone: rows, rejects and counts agree."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from type_table import TYPES

from mobexport import export_types
from mobexport.pipeline.process.conversion import Conversion, convert_file
from mobexport.records.limits import Limits

pytestmark = pytest.mark.long

WINDOW = (date(2025, 3, 22), date(2025, 3, 24))
GUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MUST = {"!": "required", "?": "strict", ".": ""}
CAMPAIGNS = ["Announcement", "DataPush", "NativePush", "Poll"]
STATES = ["None", "Queued", "Dropped"]
STATES += [
    f"{where}{what}"
    for where in ("InAppNotification", "SystemNotification", "Content")
    for what in ("Displayed", "Actioned", "Exited")
]
WRITINGS = ["one line", "pretty", "escaped"]
PARQUET = {"time": "TIMESTAMP WITH TIME ZONE", "int": "BIGINT", "bool": "BOOLEAN"}


@dataclass
class Expected:
    """What the conversion of a file has to give."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: list[tuple[int, int, str, Any]] = field(default_factory=list)
    lenient: Counter[str] = field(default_factory=Counter)


def columns(type_: str) -> list[tuple[str, str, str]]:
    return [(column.kind, column.name, MUST[column.file]) for column in TYPES[type_].columns]


def shared(type_: str) -> tuple[str, ...]:
    """Fields of an element that its records share."""
    return TYPES[type_].group if TYPES[type_].inner else ()


def records(type_: str, element: Any) -> Iterator[tuple[Any, str | None]]:
    """(record, None), or (element, its fault)."""
    inner = TYPES[type_].inner
    if not isinstance(element, dict):
        yield element, "not-an-object"
    elif not inner:
        yield element, None
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


def value_of(record: dict[str, Any], name: str) -> Any:
    outer, _, inner = name.rpartition(".")
    return (record.get(outer) or {}).get(inner) if outer else record.get(name)


def is_of(kind: str, value: Any) -> bool:
    match kind:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and len(str(abs(value))) <= 18
        case "bool":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "states":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case _:
            return kind == "json" or isinstance(value, str)


def fault_of(type_: str, values: dict[str, Any]) -> str | None:
    later = None
    for outer in dict.fromkeys(name.partition(".")[0] for _, name, _ in columns(type_) if "." in name):
        if values.get(outer) is not None and not isinstance(values[outer], dict):
            return f"wrong-type:{outer}"
    for kind, name, flag in columns(type_):
        value = value_of(values, name)
        if value is None:
            if flag == "required":
                return f"missing:{name}"
            continue
        if kind == "states":
            later = f"{states_fault(value)}:{name}" if states_fault(value) else None
            continue
        if not is_of(kind, value):
            return f"wrong-type:{name}"
        if flag == "required" and isinstance(value, str) and not value.strip():
            return f"blank:{name}"
        if kind == "time" and instant(value) is None:
            return f"bad-time:{name}"
        if kind == "campaign" and value not in CAMPAIGNS:
            return f"unknown-value:{name}"
    if name := TYPES[type_].time:
        at = instant(values[name])
        assert at
        if not WINDOW[0] <= at.date() <= WINDOW[1]:
            return f"outside-window:{name}"
    return later


def states_fault(value: Any) -> str | None:
    if not is_of("states", value):
        return "wrong-type"
    if len(set(value)) != len(value):
        return "twice"
    return None if set(value) <= set(STATES) else "unknown-value"


def notes_of(type_: str, values: dict[str, Any]) -> list[str]:
    """In the order in which they are looked at: what is missing, then what is no GUID."""
    there = columns(type_)
    missing = [f"missing:{name}" for _, name, flag in there if flag == "strict" and values.get(name) is None]
    return missing + [
        f"not-a-guid:{name}"
        for kind, name, _ in there
        if kind == "id" and values.get(name) is not None and not GUID.fullmatch(values[name])
    ]


def row_of(type_: str, values: dict[str, Any], *, escaped: bool) -> tuple[Any, ...]:
    row: list[Any] = ["shop"]
    for kind, name, _ in columns(type_):
        value = value_of(values, name)
        if value is not None and kind == "time":
            at = instant(value)
            assert at
            value = (at - EPOCH) // timedelta(microseconds=1)
        elif value is not None and kind in ("object", "json", "states"):
            value = json.dumps(value, separators=(",", ":"), ensure_ascii=escaped)
        row.append(value)
    return tuple(row)


def reference(type_: str, file: list[Any], *, strict: bool, escaped: bool) -> Expected:
    expected = Expected()
    group = shared(type_)
    for number, element in enumerate(file, start=1):
        for place, (record, fault_given) in enumerate(records(type_, element), start=1):
            fault, values = fault_given, {}
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
                expected.rows.append(row_of(type_, values, escaped=escaped))
    return expected


class Dice:
    """Files with something of everything, the same for the same seed."""

    def __init__(self, chance: random.Random) -> None:
        self.random = chance

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

    def number(self) -> Any:
        good = (0, -1, 1742741263479, 10**18 - 1)
        return self.one(*good, odd=(None, 10**18, -(10**18), 2**70, 1.0, 1e3, True, "7", [7]))

    def states(self) -> Any:
        some = self.random.sample(STATES, self.random.randrange(4))
        odd = (
            None,
            "Queued",
            {},
            ["Lost"],
            ["queued"],
            [1],
            [None],
            ["Queued", "Dropped", "Queued"],
            [["Poll"]],
        )
        return self.one(some, odd=odd)

    def of(self, kind: str, name: str) -> Any:
        match kind:
            case "id":
                return self.guid()
            case "text":
                # A device has many of them: nearly all would be rejected.
                rare = (None, "", "\t", 3, ["open"]) if "." not in name or self.random.random() < 0.1 else ()
                return self.one("open", 'é, "q" \\', "日本", odd=rare)
            case "time":
                return self.time()
            case "int":
                return self.number() if "." not in name or self.random.random() < 0.2 else 7
            case "bool":
                return self.one(True, False, odd=(None, 0, "true"))
            case "campaign":
                return self.one(*CAMPAIGNS, odd=(None, "poll", "", 4))
            case "states":
                return self.states()
            case _:
                return self.one(self.value(), None, odd=([], "text", 1, True))

    def record(self, type_: str) -> Any:
        """What is innermost: all columns that are not the element's."""
        group = shared(type_)
        kept: dict[str, Any] = {"colour": self.one("unknown", ["to", "us"])}
        for kind, name, _ in columns(type_):
            if name in group or self.random.random() > 0.97:
                continue
            outer, _, inner = name.rpartition(".")
            if outer:
                kept.setdefault(outer, {})[inner] = self.of(kind, name)
            else:
                kept[name] = self.of(kind, name)
        for outer in ("meta", "info", "location"):
            if outer in kept and self.random.random() < 0.02:
                kept[outer] = self.one(None, {}, [], "text", 0)
        if not TYPES[type_].inner:
            return kept
        return self.one(kept, odd=(None, 1, "text", [kept], {}))

    def inner(self, type_: str) -> Any:
        count = self.random.randrange(6)
        if type_ != "Tag":
            return [self.record(type_) for _ in range(count)]
        keys = [self.one("plan", f"k {n}", f"é{n}", odd=("", " ")) for n in range(count)]
        return {key: self.one(self.value(), None, 1, 2**70, "text", [True]) for key in keys}

    def element(self, type_: str) -> Any:
        inner, group = TYPES[type_].inner, shared(type_)
        if not inner:
            given = self.record(type_)
            return self.one(given, odd=(None, 5, "text", [given], {}))
        given = {**{name: self.guid() for name in group}, inner: self.inner(type_)}
        wrong = [] if type_ == "Tag" else {}
        return self.one(given, odd=(None, 5, [given], {}, {**given, inner: None}, {**given, inner: wrong}))


def convert(tmp_path: Path, type_: str, raw: bytes, *, strict: bool) -> Conversion:
    snapshot = TYPES[type_].time is None
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
        limits=Limits(),
    )


def column(name: str) -> str:
    """A column in SQL; members of objects are members of a struct."""
    return ".".join(f'"{part}"' for part in name.split("."))


def written(type_: str, done: Conversion) -> list[tuple[Any, ...]]:
    """Rows by day, in the order of the file; instants as microseconds since 1970."""
    found = []
    expected = [
        ("app", "VARCHAR"),
        *((name, PARQUET.get(kind, "VARCHAR")) for kind, name, _ in columns(type_)),
    ]
    times = [name for kind, name, _ in columns(type_) if kind == "time"]
    for output in done.outputs:
        file = [str(output.path)]
        cells = [f'{column(name)} AS "{name}"' for name, _ in expected]
        described = f"DESCRIBE SELECT {', '.join(cells)} FROM read_parquet(?, hive_partitioning = false)"
        assert [(name, kind) for name, kind, *_ in duckdb.execute(described, file).fetchall()] == expected
        cells = [f'epoch_us("{name}")' if name in times else column(name) for name, _ in expected]
        query = f"SELECT {', '.join(cells)}"
        found += duckdb.execute(f"{query} FROM read_parquet(?, hive_partitioning = false)", file).fetchall()
    return found


def judge(tmp_path: Path, type_: str, file: list[Any], writing: str, *, strict: bool) -> Expected:
    # Escapes make elements be read exactly, beside DuckDB.
    escaped, indent = writing == "escaped", 1 if writing == "pretty" else None
    raw = json.dumps(file, indent=indent, ensure_ascii=escaped).encode()
    done = convert(tmp_path, type_, raw, strict=strict)
    expected = reference(type_, file, strict=strict, escaped=escaped)
    names = ["app", *(name for _, name, _ in columns(type_))]
    at = names.index(time) if (time := TYPES[type_].time) else 0
    by_day = sorted(expected.rows, key=lambda row: row[at] // 86_400_000_000 if at else 0)
    assert written(type_, done) == by_day
    found = (
        [json.loads(line) for line in done.rejects.read_text("utf-8").splitlines()] if done.rejects else []
    )
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
    return expected


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("type_", TYPES)
def test_given_something_of_everything_then_as_plain_python_converts(
    tmp_path, type_, writing, strict
) -> None:
    dice = Dice(random.Random(20180331))
    file = [dice.element(type_) for _ in range(400 if TYPES[type_].inner else 900)]
    expected = judge(tmp_path, type_, file, writing, strict=strict)
    assert len(expected.rows) > 100
    assert len(expected.rejects) > 50


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    type_=st.sampled_from(sorted(TYPES)),
    writing=st.sampled_from(WRITINGS),
    strict=st.booleans(),
    chance=st.randoms(use_true_random=False),
    size=st.integers(0, 12),
)
@pytest.mark.long
def test_given_any_file_when_converted_then_as_plain_python_says(
    type_, writing, strict, chance, size
) -> None:
    dice = Dice(chance)
    with TemporaryDirectory() as folder:
        judge(Path(folder), type_, [dice.element(type_) for _ in range(size)], writing, strict=strict)
