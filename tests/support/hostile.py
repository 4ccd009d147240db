"""Hostile input with the verdict on each, and what takes it through the two halves.

`ODD` are single records: a verdict is the same in a raw line and in an element, whatever stands beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as declared_field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mobexport import export_types
from mobexport.export_api.writer.export_file import ExportCounts, RawFile, write_export
from mobexport.pipeline.process.conversion import Conversion, convert_file
from mobexport.records.formats import ExportFormat
from mobexport.records.limits import Limits

DAY = date(2025, 3, 23)
AT = "2025-03-23T10:00:00.000Z"
DEVICE = "9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f"
MARK = b"\xef\xbb\xbf"
LONGEST = 256 * 1024
"""Characters that an id, a name or a time may have."""
DEEPEST = 512

Fault = tuple[int, str, str | None]
"""A place, the rule, and the field where one is at fault."""


def cases(*rows: tuple[Any, ...]) -> list[Any]:
    """Parameters; the first value of each is its id."""
    return [pytest.param(*values, id=name) for name, *values in rows]


# -- taking bytes through the halves -----------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """A written export file."""

    counts: ExportCounts
    data: bytes
    rejects: list[dict[str, Any]]

    @property
    def faults(self) -> list[Fault]:
        return [(one["line"], one["rule"], one.get("field")) for one in self.rejects]

    @property
    def rules(self) -> list[tuple[int, str]]:
        return [fault[:2] for fault in self.faults]

    @property
    def records(self) -> list[Any]:
        """Innermost records in the file's order, of types that group them."""
        return [record for element in json.loads(self.data) for record in list(element.values())[-1]]

    @property
    def names(self) -> list[str]:
        return [record["name"] for record in self.records]


@dataclass(frozen=True)
class Converted:
    """A converted export file."""

    done: Conversion
    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]

    @property
    def faults(self) -> list[tuple[int, int, str, str | None]]:
        return [(one["element"], one["record"], one["rule"], one.get("field")) for one in self.rejects]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    @property
    def names(self) -> list[str]:
        return self.column("name")


def write(
    folder: Path,
    raw: bytes | Mapping[str, bytes],
    export_type: str = "Event",
    *,
    window: tuple[date, date] | None = (DAY, DAY),
    chunk: int = 1 << 20,
    output: ExportFormat = ExportFormat.JSON,
) -> Written:
    """Writes raw bytes (lines, or files by name) as an export; checks what holds for every export."""
    declared = export_types.get(export_type)
    contents = {f"{declared.kind}/{DAY}/a.ndjson": raw} if isinstance(raw, bytes) else raw

    def kind(name: str) -> str:
        folder = name.partition("/")[0]
        return folder if folder in declared.kinds else ""

    rejects = folder / "rejects.ndjson"
    rejects.unlink(missing_ok=True)
    counts = write_export(
        declared,
        [RawFile(name, lambda data=data: cut(data, chunk), kind(name)) for name, data in contents.items()],
        window=window if declared.historical else None,
        output=output,
        target=folder / "target",
        rejects=rejects,
        workdir=folder / "work",
        limits=Limits(),
    )
    assert counts.balances(), counts
    found = read_rejects(rejects) if rejects.exists() else []
    assert len(found) == counts.rejected
    assert all(one["file"] in contents for one in found)
    assert len(counts.unknown_fields) <= 51
    return Written(counts, (folder / "target").read_bytes(), found)


def convert(
    folder: Path,
    data: bytes,
    export_type: str = "Event",
    *,
    window: tuple[date, date] | None = (DAY, DAY),
    chunk: int = 1 << 20,
    file_format: ExportFormat = ExportFormat.JSON,
) -> Converted:
    """Converts an export file; checks what holds for every conversion."""
    declared = export_types.get(export_type)
    done = convert_file(
        declared,
        cut(data, chunk),
        app="app",
        window=window if declared.historical else None,
        snapshot_day=None if declared.historical else DAY,
        strict=False,
        stem="s",
        out_dir=folder / "out",
        workdir=folder / "work",
        limits=Limits(),
        file_format=file_format,
    )
    assert done.records == done.rows + done.rejected
    assert done.rejected == sum(done.rules.values())
    assert (done.input_bytes, done.input_sha256) == (len(data), hashlib.sha256(data).hexdigest())
    found = read_rejects(done.rejects) if done.rejects else []
    assert len(found) == done.rejected
    # One file after another: `read_table` would take the folder's name for a column.
    rows = [row for output in done.outputs for row in pq.ParquetFile(output.path).read().to_pylist()]
    assert len(rows) == done.rows == sum(output.rows for output in done.outputs)
    return Converted(done, rows, found)


def chain(folder: Path, written: Written, export_type: str = "Event", **options: Any) -> Converted:
    """What the pipeline makes of a file that the server wrote: every record of it is a row."""
    converted = convert(folder, written.data, export_type, **options)
    assert converted.faults == []
    assert converted.done.records == converted.done.rows == written.counts.exported
    return converted


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read_rejects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def shows(original: str, text: bytes) -> bool:
    """Whether a reject shows that text: whole, or the beginning of a long one."""
    whole = text.decode(errors="backslashreplace")
    if len(whole) <= LONGEST:
        return original == whole
    return len(original) < 2000 and original.startswith(whole[:400])


def brief(text: bytes | str) -> str:
    """Something to compare that can be printed: long texts by their length and digest."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) < 5000:
        return data.decode(errors="backslashreplace")
    return f"{data[:200]!r} … {len(data)} bytes, {hashlib.sha256(data).hexdigest()}"


def shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row to compare."""
    return {name: brief(value) if isinstance(value, str) else value for name, value in row.items()}


# -- making lines and elements -----------------------------------------------------------------------------


def members(base: Mapping[str, str | None], more: str = "", **changes: str | None) -> bytes:
    """A JSON object: names to the JSON text of their values. None leaves a member out."""
    pairs = [f'"{name}":{text}' for name, text in {**base, **changes}.items() if text is not None]
    return ("{" + ",".join(pairs) + more + "}").encode()


def event(name: str | None = '"odd"', more: str = "", **changes: str | None) -> bytes:
    """An Event as an element has it, without its device."""
    return members({"name": name, "timestamp": f'"{AT}"'}, more, **changes)


def with_extras(text: str) -> bytes:
    return event(extras=text)


def as_line(record: bytes, device: str = DEVICE) -> bytes:
    """The raw line that says what `record` says of that device."""
    if not record.startswith(b"{"):
        return record
    comma = b"" if record == b"{}" else b","
    return b'{"deviceId":"%s"%s%s' % (device.encode(), comma, record[1:])


def as_lines(*records: bytes) -> bytes:
    return b"".join(as_line(record) + b"\n" for record in records)


def element(*records: bytes, group: str = f'"deviceId":"{DEVICE}",') -> bytes:
    return b'{%s"events":[%s]}' % (group.encode(), b",".join(records))


def listed(*elements: bytes) -> bytes:
    return b"[" + b",\n".join(elements) + b"]"


def exported(*records: bytes) -> bytes:
    """The file that the server writes of those records of one device."""
    return b"[\n%s\n]\n" % element(*records) if records else b"[]"


BASES: Mapping[str, Mapping[str, str]] = {
    "Event": {"deviceId": '"d"', "name": '"n"', "timestamp": f'"{AT}"'},
    "Device": {"deviceId": '"d"', "timestamp": f'"{AT}"'},
    "Push": {"deviceId": '"d"', "campaignType": '"Poll"', "campaignId": "1", "timestamp": f'"{AT}"',
             "status": '"Queued"'},
    "Tag": {"deviceId": '"d"', "timestamp": f'"{AT}"', "key": '"k"', "value": "1"},
    "Token": {"deviceId": '"d"', "timestamp": f'"{AT}"', "token": '"t"', "type": '"apns"', "valid": "true"},
    "Job": {"jobId": '"j"', "deviceId": '"d"', "name": '"n"', "start": f'"{AT}"'},
    "Session": {"sessionId": '"s"', "deviceId": '"d"', "start": f'"{AT}"'},
}  # fmt: skip


def raw(export_type: str, more: str = "", **changes: str | None) -> bytes:
    """A raw line of any type."""
    return members(BASES[export_type], more, **changes)


# -- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Odd:
    """A record of Event, without its device, and what must come of it."""

    id: str
    record: bytes = declared_field(repr=False)
    rule: str | None = None
    """None: it is odd, but good."""
    field: str | None = None
    text: bytes = declared_field(default=b"", repr=False)
    """How a good one is exported; empty: as it is."""
    unknown: Mapping[str, int] = declared_field(default_factory=dict)
    """Undeclared names that a good one has."""
    is_line: bool = True
    """Whether it can be a raw line."""

    @property
    def line(self) -> bytes:
        return as_line(self.record)

    @property
    def kept(self) -> bytes:
        return self.text or self.record

    @property
    def row(self) -> dict[str, Any]:
        """What its row has to say."""
        values = dict.fromkeys(("infoId", "sessionId", "locationId"))
        # Python refuses to read integers of more than 4,300 digits.
        values |= json.loads(self.kept, parse_int=len)
        at = datetime.fromisoformat(values.pop("timestamp"))
        inner = self.kept.decode().partition(',"extras":')[2].removesuffix("}")
        return {"app": "app", "deviceId": DEVICE, **values, "timestamp": at, "extras": inner or None}


def in_order(*odds: Odd) -> list[Odd]:
    """As they are exported: by instant, then by place."""
    return sorted(odds, key=lambda odd: odd.row["timestamp"])


BEFORE = Odd("before", event('"before"', extras='{"n":1}'))
AFTER = Odd("after", event('"after"', infoId='"i"'))


def _nested(levels: int, opening: str = "[", closing: str = "]", inner: str = "1") -> str:
    return opening * levels + inner + closing * levels


def _not_json() -> Iterator[Odd]:
    def odd(name: str, record: bytes, **more: Any) -> Odd:
        return Odd(name, record, "not-json", **more)

    for spelling in (
        "NaN", "nan", "-nan", "NAN", "nAn", "nan(0x1)", "inf", "-inf", "INF", "-INF", "Inf", "+inf",
        "Infinity", "-Infinity", "infinity", "-infinity", "INFINITY", "1.#INF", "1.#QNAN",
    ):  # fmt: skip
        yield odd(f"number: {spelling}", with_extras(f'{{"v":{spelling}}}'))
    yield odd("number: NaN in a list", with_extras('{"v":[1,NaN]}'))
    yield odd("number: nan for a name", event("nan"))
    yield odd("number: NaN for an id", event(infoId="NaN"))
    yield odd("number: NaN for extras", with_extras("NaN"))
    yield odd("number: NaN undeclared", event(x="NaN"))
    yield odd("number: -inf undeclared, nested", event(x='{"y":[-inf]}'))
    for spelling in ("01", "-01", "+1", ".5", "1.", "1e", "1e+", "0x1F", "1_000", "--1", "-", "\u0661"):
        yield odd(f"number: {spelling}", with_extras(f'{{"v":{spelling}}}'))
    yield odd("number: 01 undeclared", event(x="01"))
    for spelling in ("True", "None", "undefined", "tru", "nul", "TRUE"):
        yield odd(f"word: {spelling}", with_extras(f'{{"v":{spelling}}}'))

    yield odd("comma: behind the last member", event(more=","))
    yield odd("comma: before the first member", b"{," + event()[1:])
    yield odd("comma: two", event(more=',,"x":1'))
    yield odd("comma: none", event(more='"x":1'))
    yield odd("comma: at the end of extras", with_extras('{"a":1,}'))
    yield odd("comma: at the end of a list", with_extras('{"a":[1,]}'))
    yield odd("comma: only one in a list", with_extras('{"a":[,]}'))
    yield odd("comma: at the end of an undeclared list", event(x="[1,]"))
    yield odd("colon: none", event(more=',"x" 1'))
    yield odd("colon: and no value", event(more=',"x":'))
    yield odd("colon: two", event(more=',"x"::1'))
    yield odd("quotes: single", b"{'name':'odd','timestamp':'2025'}")
    yield odd("quotes: single in extras", with_extras("{'a':1}"))
    yield odd("quotes: none around a name", event(more=",x:1"))
    yield odd("quotes: none around a value", event("odd"))
    yield odd("comment: /* */", event(more=" /* why */"))
    yield odd("comment: //", event(more=" // why"))
    yield odd("comment: #", event(more=" # why"))
    yield odd("comment: in extras", with_extras('{"a":1/**/}'))

    for name, text in (("x41", r"\x41"), ("'", r"\'"), ("u12", r"\u12"), ("u{41}", r"\u{41}"),
                       ("U0001F600", r"\U0001F600"), ("a", r"\a"), ("0", r"\0")):  # fmt: skip
        yield odd(f"escape: \\{name}", event(f'"{text}"'))
    yield odd("escape: \\x41 undeclared", event(x=r'"\x41"'))
    for name, text in (("NUL", "\0"), ("tab", "\t"), ("CR", "\r"), ("U+0001", "\1"), ("U+001F", "\x1f")):
        yield odd(f"control: raw {name} in a name", event(f'"a{text}b"'))
    yield odd("control: raw newline in a name", event('"a\nb"'), is_line=False)
    yield odd("control: raw newline in extras", with_extras('{"a":"b\nc"}'), is_line=False)
    yield odd("control: raw NUL in extras", with_extras('{"a":"\0"}'))
    yield odd("control: raw tab undeclared", event(x='"a\tb"'))
    yield odd("control: raw NUL undeclared", event(x='"a\0b"'))
    for name, text in (("NUL", "\0"), ("NBSP", "\xa0"), ("form feed", "\f"), ("vertical tab", "\v"),
                       ("U+2028", "\u2028"), ("byte order mark", "\ufeff")):  # fmt: skip
        yield odd(f"space: {name} between tokens", event(more=f'{text},"x":1'))
    yield Odd("word: a scalar that is none", b"tru", "not-json")
    yield Odd("number: NaN alone", b"NaN", "not-json")


def _not_utf8() -> Iterator[Odd]:
    for name, spoilt in (
        ("Latin-1", b"caf\xe9"), ("CESU-8", b"\xed\xa0\xbd\xed\xb8\x80"), ("overlong NUL", b"\xc0\x80"),
        ("cut sequence", b"\xe2\x82"), ("byte FF", b"\xff"), ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
    ):  # fmt: skip
        yield Odd(f"utf-8: {name}", event('"?"').replace(b"?", spoilt), "not-utf8")
    for name, record in (
        ("in extras", with_extras('{"a":"?"}')), ("in a name of extras", with_extras('{"?":1}')),
        ("undeclared", event(x='"?"')), ("in an undeclared name", event(more=',"?":1')),
        ("and no JSON", event("?")), ("and NaN", event('"?"', x="NaN")), ("in infoId", event(infoId='"?"')),
    ):  # fmt: skip
        yield Odd(f"utf-8: Latin-1 {name}", record.replace(b"?", b"\xe9"), "not-utf8")


def _surrogates() -> Iterator[Odd]:
    lone = {
        "high": r"\ud83d", "low": r"\ude00", "upper case": r"\uD83D", "two high": r"\ud83d\ud83d",
        "turned round": r"\ude00\ud83d", "cut off": r"\ud83dx", "split by text": r"\ud83d \ude00",
        "behind a backslash": r"\\\ud83d", "before an escaped backslash": r"\ud83d\\ude00",
        "behind a pair": r"\ud83d\ude00\ud83d",
    }  # fmt: skip
    for name, text in lone.items():
        yield Odd(f"surrogate: {name}", event(f'"{text}"'), "lone-surrogate")
    for name, record in (
        ("in infoId", event(infoId=r'"\ud83d"')),
        ("in the time", event(timestamp=r'"\ud83d"')),
        ("in extras", with_extras(r'{"a":["\udc00"]}')),
        ("in a name of extras", with_extras(r'{"\ud83d":1}')),
        ("in two members of extras", with_extras(r'{"a":"\ud83d","b":"\ude00"}')),
        ("in a name, time missing", event(r'"\ud83d"', timestamp=None)),
    ):
        yield Odd(f"surrogate: {name}", record, "lone-surrogate")
    yield Odd("surrogate: a pair", event(r'"\ud83d\ude00"'), text=event('"😀"'))
    yield Odd("surrogate: a pair in extras", with_extras(r'{"\uD83D\uDE00":"\ud83d\ude00"}'))
    yield Odd("surrogate: only looks so", event(r'"\\ud83d"', extras=r'{"a":"\\ud83d \\\\ude00"}'))
    yield Odd("surrogate: undeclared", event(x=r'"\ud83d"'), "lone-surrogate")
    yield Odd("surrogate: undeclared, nested", event(x=r'[{"\ud83d":1}]'), "lone-surrogate")


def _depth() -> Iterator[Odd]:
    for levels in (511, 512, 513, 5000, 120_000):
        for name, plain in (("", '"odd"'), (", with an escape", r'"o\u0064d"')):
            inside = f'{{"v":{_nested(levels - 1)}}}'
            deep = f"depth: {levels}{name}"
            if levels <= DEEPEST:
                yield Odd(f"{deep}", event(plain, extras=inside), text=with_extras(inside))
            else:
                yield Odd(f"{deep}", event(plain, extras=inside), "too-deep")
            undeclared = event(plain, x=_nested(levels))
            yield Odd(f"{deep}, undeclared", undeclared, text=event(), unknown={"x": 1})
    for levels in (512, 513):
        inside = _nested(levels, '{"a":', "}")
        yield Odd(f"depth: {levels} objects", with_extras(inside), "too-deep" if levels > DEEPEST else None)
    yield Odd("depth: a name of 600 levels", event(_nested(600)), "too-deep")
    yield Odd("depth: an id of 600 levels", event(infoId=_nested(600)), "too-deep")
    yield Odd("depth: 600 levels, then missing", event(None, extras=f'{{"v":{_nested(600)}}}'), "too-deep")
    yield Odd("depth: only in a string", with_extras(f'{{"a":"{_nested(600)}"}}'))
    yield Odd("depth: wide, not deep", with_extras(f'{{"a":[{",".join(["[]"] * 700)}]}}'))


def _sizes() -> Iterator[Odd]:
    for letter, name in (("x", "ASCII"), ("é", "two bytes each")):
        for count in (LONGEST - 1, LONGEST, LONGEST + 1):
            fault = ("too-long", "name") if count > LONGEST else (None, None)
            yield Odd(f"size: name of {count}, {name}", event(f'"{letter * count}"'), *fault)
    escaped = [event('"' + r"\u0041" * count + '"') for count in (LONGEST, LONGEST + 1)]
    yield Odd("size: most, as escapes", escaped[0], text=event(f'"{"A" * LONGEST}"'))
    yield Odd("size: one more, as escapes", escaped[1], "too-long", "name")
    long = f'"{"x" * (LONGEST + 1)}"'
    yield Odd("size: infoId", event(infoId=long), "too-long", "infoId")
    yield Odd("size: time", event(timestamp=long), "too-long", "timestamp")
    yield Odd("size: name, time missing", event(long, timestamp=None), "too-long", "name")
    yield Odd("size: extras", with_extras(f'{{"a":{long},{long}:1}}'))
    yield Odd("size: undeclared", event(x=long), text=event(), unknown={"x": 1})


def _fields() -> Iterator[Odd]:
    for name in ("name", "timestamp"):
        yield Odd(f"missing: {name}", event(**{name: None}), "missing", name)
        yield Odd(f"missing: {name} is null", event(**{name: "null"}), "missing", name)
        for text in ("7", "1.5", "true", "[]", "{}"):
            yield Odd(f"wrong-type: {name} is {text}", event(**{name: text}), "wrong-type", name)
        for label, text in (("empty", ""), ("spaces", "  "), ("escapes", r"\t\n\r\u0020")):
            yield Odd(f"blank: {name}, {label}", event(**{name: f'"{text}"'}), "blank", name)
    yield Odd("missing: name before time", event(None, timestamp=None), "missing", "name")
    yield Odd("wrong-type: name before a bad time", event("1", timestamp='""'), "wrong-type", "name")
    yield Odd("wrong-type: infoId is 7", event(infoId="7"), "wrong-type", "infoId")
    yield Odd("wrong-type: sessionId is a list", event(sessionId='["s"]'), "wrong-type", "sessionId")
    yield Odd("wrong-type: locationId is false", event(locationId="false"), "wrong-type", "locationId")
    for text in ('"{}"', "[]", "1", '""', "true"):
        yield Odd(f"wrong-type: extras is {text}", with_extras(text), "wrong-type", "extras")
    yield Odd("wrong-type: extras, then more", event(extras="1", x="[2]"), "wrong-type", "extras")
    yield Odd("null: every optional field", event(infoId="null", sessionId="null", locationId="null",
                                                  extras="null"), text=event())  # fmt: skip
    yield Odd("blank: an optional id", event(infoId='""'))
    yield Odd("type: null for a record", b"null", "not-an-object")
    yield Odd("type: a number for a record", b"1.5e1", "not-an-object")
    yield Odd("type: a string for a record", b'"{}"', "not-an-object")
    yield Odd("type: a list for a record", b'[{"name":"odd"}]', "not-an-object")
    yield Odd("type: an empty list for a record", b"[]", "not-an-object")
    yield Odd("type: 5000 lists for a record", _nested(5000).encode(), "not-an-object")


def _times() -> Iterator[Odd]:
    for text in (
        "2025-03-23T24:00:00.000Z", "2025-03-23T10:60:00.000Z", "2025-03-23T10:00:60.000Z",
        "2025-02-30T10:00:00.000Z", "2025-00-23T10:00:00.000Z", "0000-03-23T10:00:00.000Z",
        "2025-03-23T10:00: 1.000Z", "2025-03-23T10:00:00. 00Z", "2025-03-23T-1:00:00.000Z",
        "2025-03-23T10:00:00.00xZ", "2025-03-23X10:00:00.000Z", "2025-03-23T10:00:00.000+",
        "2025-03-23T10:00:00", "2025-03-23 10:00:00Z", "2025-03-23", "1742724000", "2025-02-29T10:00:00Z",
        "2025-03-23T24:00:00Z", "2025-03-23T10:00:60Z", "2025-03-23T10:60:00Z", "2025-13-01T00:00:00Z",
        "2025-03-23T10:00:00.Z", "2025-03-23T10:00:00,5Z", "2025-03-23T10:00:00+24:00", "2025-03-23T10:00Z",
        "2025-03-23T10:00:00+0100", "2025-03-23T10:00:00+01", "20250323T100000Z", " 2025-03-23T10:00:00Z",
        "2025-03-23T10:00:00Z ", "+2025-03-23T10:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00", "2025-03-23T10:00:00Z[UTC]", "\uff12025-03-23T10:00:00Z",
        r"2025-03-23T10:00:00Z\n", r"2025-03-23T10:00:00Z\u0000", "now", "Sun, 23 Mar 2025 10:00:00 GMT",
    ):  # fmt: skip
        yield Odd(f"bad-time: {text}", event(timestamp=f'"{text}"'), "bad-time", "timestamp")
    for text, kept in (
        ("2025-03-23t10:00:00z", "2025-03-23T10:00:00.000Z"),
        ("2025-03-23T10:00:00.1234567891234Z", "2025-03-23T10:00:00.123456Z"),
        ("2025-03-23T10:00:00.9999999999Z", "2025-03-23T10:00:00.999999Z"),
        ("2025-03-23T10:00:00.000000Z", "2025-03-23T10:00:00.000Z"),
        ("2025-03-23T10:00:00.10000+00:00", "2025-03-23T10:00:00.100Z"),
        ("2025-03-23T15:30:00+05:30", "2025-03-23T10:00:00.000Z"),
        ("2025-03-22T10:00:01-23:59", "2025-03-23T09:59:01.000Z"),
        (r"\u0032025-03-23T10:00:00Z", "2025-03-23T10:00:00.000Z"),
    ):
        yield Odd(f"time: {text}", event(timestamp=f'"{text}"'), text=event(timestamp=f'"{kept}"'))


def _names() -> Iterator[Odd]:
    twice = {
        "the same": ('"odd"', '"odd"'), "another": ('"first"', '"odd"'), "number first": ("5", '"odd"'),
        "null first": ("null", '"odd"'), "object first": ("{}", '"odd"'), "blank first": ('""', '"odd"'),
        "number last": ('"odd"', "5"), "null last": ('"odd"', "null"), "blank last": ('"odd"', '""'),
    }  # fmt: skip
    faults = {"number last": "wrong-type", "null last": "missing", "blank last": "blank"}
    for name, (first, last) in twice.items():
        record = event(first, more=f',"name":{last}')
        rule = faults.get(name)
        yield Odd(f"twice: {name}", record, rule, "name" if rule else None, text=b"" if rule else event())
    yield Odd("twice: once with an escape", event('"first"', more=r',"n\u0061me":"odd"'), text=event())
    yield Odd("twice: the time", event(timestamp="0", more=f',"timestamp":"{AT}"'), text=event())
    yield Odd("twice: extras", event(extras="5", more=',"extras":{"a":2}'), text=with_extras('{"a":2}'))
    yield Odd("twice: extras, null last", event(extras='{"a":1}', more=',"extras":null'), text=event())
    yield Odd("twice: in extras", with_extras('{"a":1,"a":"x","a":null,"a":1}'))
    yield Odd("twice: undeclared", event(more=',"x":1,"x":2,"x":null'), text=event(), unknown={"x": 1})
    yield Odd("case: of a name", event(Name="1", NAME="[]"), text=event(), unknown={"Name": 1, "NAME": 1})
    yield Odd("case: of the only name", event(None, Name='"odd"'), "missing", "name")
    yield Odd("case: of all", event(None, timestamp=None, NAME='"n"', TimeStamp=f'"{AT}"'), "missing", "name")
    yield Odd("case: in extras", with_extras('{"id":1,"Id":2,"ID":3}'))
    escaped = rb'{"\u006eame":"odd","t\u0069mestamp":"%s","\u0065xtras":{"a":1}}' % AT.encode()
    yield Odd("escape: every member's name", escaped, text=with_extras('{"a":1}'))
    yield Odd("escape: an undeclared name", event(more=r',"f\u006fo":1'), text=event(), unknown={"foo": 1})
    yield Odd("name: empty", event(more=',"":1'), text=event(), unknown={"": 1})
    yield Odd("name: quotes and newlines", event(more=r',"\"\n":1'), text=event(), unknown={'"\n': 1})
    for letter, length in (("x", 64), ("x", 65), ("x", 3000), ("é", 3000)):
        told = letter * 64 + ("…" if length > 64 else "")
        record = event(**{letter * length: "1"})
        yield Odd(f"name: {length} times {letter}", record, text=event(), unknown={told: 1})
    for name in ("line", "part", "text", "file_row_number", "app", "date", "__proto__", "select", "*"):
        yield Odd(f"name: {name}", event(**{name: "1"}), text=event(), unknown={name: 1})


def _spellings() -> Iterator[Odd]:
    for name, text in (
        ("exponents", '{"a":1e3,"b":1E+2,"c":1e-400,"d":1e400,"e":-0,"f":-0.0}'),
        ("big whole numbers", f'{{"a":9007199254740993,"b":{"7" * 5000},"c":-{"9" * 400}}}'),
        ("decimals", '{"a":0.10,"b":1000.0,"c":0.1234567890123456789012345}'),
        ("escapes", r'{"a":"\u00e9 \/ \u0041 \ud83d\ude00 \\ud800 é 😀","\u0062":"\u0000\b\f"}'),
        ("words in strings", '{"NaN":"Infinity, [1,] {","nan":"//","b":"null"}'),
        ("spaces in strings", '{"a b":" x  y ","":""}'),
        ("objects in lists", '{"a":[[[{"b":[]}]],{}],"c":{}}'),
        ("nothing", "{}"),
        ("U+2028", '{"a":"\u2028\u2029\x85\x7f"}'),
    ):
        yield Odd(f"extras: {name}", with_extras(text))
    spaced = with_extras('{ "a" :\t[ 1 , 2.0 ] ,\r"b c" : " d  e " }')
    yield Odd("extras: spaces", spaced, text=with_extras('{"a":[1,2.0],"b c":" d  e "}'))
    for written, kept in ((r"a\/b", "a/b"), (r"caf\u00e9", "café"), (r"\u0041", "A"), (r"\u0022", r"\"")):
        yield Odd(f"text: {written}", event(f'"{written}"'), text=event(f'"{kept}"'))
    for name, text in (
        ("U+2028", "\u2028"), ("DEL", "\x7f"), ("mark", "\ufeffx"), ("NBSP", "\xa0"),
        ("NaN", "NaN"), ("null", "null"),
        ("NUL", r"a\u0000b"), ("quote and backslash", r"\"\\"), ("comma", r"a,\"b"),
        ("newlines", r"a\nb\r\n"), ("brackets", "]}],[{"), ("formula", "=1+1"), ("apostrophes", "it's"),
    ):  # fmt: skip
        yield Odd(f"text: {name}", event(f'"{text}"'))
    spaced = b'{ "name" : "odd" ,\t"timestamp":\r"%s" }' % AT.encode()
    yield Odd("spaces: between all tokens", spaced, text=event())
    yield Odd("order: another one", members({}, extras='{"a":1}', timestamp=f'"{AT}"', name='"odd"'),
              text=with_extras('{"a":1}'))  # fmt: skip
    alike = event(x='[{"events":[{}]},{"deviceId":"d"}, {"name":"n"}]')
    yield Odd("undeclared: what looks like elements", alike, text=event(), unknown={"x": 1})
    unknown = event(x='{"a":[1e400,"é"],"b":{}}', y="null", z='"\\ud83d\\ude00"')
    yield Odd("undeclared: objects", unknown, text=event(), unknown={"x": 1, "y": 1, "z": 1})


ODD: tuple[Odd, ...] = (
    *_not_json(), *_not_utf8(), *_surrogates(), *_depth(), *_sizes(), *_fields(), *_times(), *_names(),
    *_spellings(),
)  # fmt: skip
HOSTILE = tuple(odd for odd in ODD if odd.rule)
GOOD = tuple(odd for odd in ODD if not odd.rule)


def odd_cases(odds: Iterable[Odd]) -> list[Any]:
    """Parameters; large ones take longer."""
    return [
        pytest.param(odd, id=odd.id, marks=[pytest.mark.long] if len(odd.record) > 100_000 else [])
        for odd in odds
    ]


def plain_times(odds: Iterable[Odd]) -> list[Odd]:
    """Those that are short and, if exported, at the usual time: they keep their order among each other."""
    return [odd for odd in odds if len(odd.record) < 20_000 and (odd.rule or AT.encode() in odd.kept)]
