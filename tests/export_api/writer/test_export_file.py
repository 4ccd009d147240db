"""What an export file contains, and where every raw line went: hostile lines, ties, windows, values."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mobexport import export_types
from mobexport.errors import DataError
from mobexport.export_api.writer.export_file import ExportCounts, RawFile, write_export
from mobexport.records.limits import Limits

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
RAW = ROOT.parent / "shared" / "data" / "engagement-raw"
SCHEMA = json.loads((ROOT / "tests/data/export-files.schema.json").read_text("utf-8"))
DAY = date(2025, 3, 23)
DEVICE = "9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f"


@dataclass
class Written:
    counts: ExportCounts
    data: bytes
    rejects: list[dict[str, Any]]

    @property
    def elements(self) -> list[Any]:
        return json.loads(self.data)

    @property
    def records(self) -> list[Any]:
        return [record for element in self.elements for record in element["events"]]

    @property
    def rules(self) -> list[tuple[int, str, str | None]]:
        return [(reject["line"], reject["rule"], reject.get("field")) for reject in self.rejects]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Written]:
    """Writes raw bytes (one file, or several by name) as an export; checks that the counts balance."""

    def run(
        raw: bytes | dict[str, bytes],
        export_type: str = "Event",
        window: tuple[date, date] | None = (DAY, DAY),
        chunk: int = 1 << 20,
        **limits: int,
    ) -> Written:
        contents = {"events/2025-03-23/a.ndjson": raw} if isinstance(raw, bytes) else raw
        declared = export_types.get(export_type)
        rejects = tmp_path / "rejects.ndjson"
        rejects.unlink(missing_ok=True)
        counts = write_export(
            declared,
            [RawFile(name, lambda data=data: _chunks(data, chunk)) for name, data in contents.items()],
            window=window if declared.historical else None,
            target=tmp_path / "target.json",
            rejects=rejects,
            workdir=tmp_path / "work",
            limits=Limits(**limits),
        )
        assert counts.balances(), counts
        lines = rejects.read_text("utf-8").splitlines() if rejects.exists() else []
        assert len(lines) == counts.rejected
        return Written(counts, (tmp_path / "target.json").read_bytes(), [json.loads(line) for line in lines])

    return run


def _chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def event(**changes: Any) -> dict[str, Any]:
    values = {"deviceId": DEVICE, "name": "tap", "timestamp": "2025-03-23T10:00:00.000Z", **changes}
    return {name: value for name, value in values.items() if value is not ...}


def ndjson(*records: Any) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def with_extras(raw: str) -> bytes:
    return ndjson(event())[:-2] + b', "extras": ' + raw.encode() + b"}\n"


def test_given_events_when_written_then_one_element_a_device_and_a_line(write) -> None:
    other = "f0000000-0000-0000-0000-000000000004"
    written = write(ndjson(event(), event(deviceId=other, infoId="i"), event(name="x", extras={"a": 1})))
    # By the MD5 of the device's id: 297d… is before 9677…, though f000… is after 9f1c….
    assert written.data.decode() == (
        "[\n"
        f'{{"deviceId":"{other}","events":['
        '{"name":"tap","timestamp":"2025-03-23T10:00:00.000Z","infoId":"i"}]},\n'
        f'{{"deviceId":"{DEVICE}","events":['
        '{"name":"tap","timestamp":"2025-03-23T10:00:00.000Z"},'
        '{"name":"x","timestamp":"2025-03-23T10:00:00.000Z","extras":{"a":1}}]}\n'
        "]\n"
    )
    assert written.counts == ExportCounts(3, 0, 0, 0, 0, 3, 2, {})


@pytest.mark.parametrize("raw", [b"", b"\n \n\r\n\t\n", {}, ndjson(event(timestamp="2025-03-24T00:00:00Z"))])
@pytest.mark.parametrize("export_type", ["Event", "Tag"])
def test_given_nothing_to_export_when_written_then_an_empty_array(write, raw, export_type) -> None:
    if export_type == "Tag" and raw:
        raw = b"\n"
    assert write(raw, export_type).data == b"[]"


HOSTILE = [
    (b"{", "not-json", None),
    (b'{"a":1}{"b":2}', "not-json", None),
    (b'{"deviceId":"d","name":"n","timestamp":"2025-03-23T10:00:00Z","extras":{"x":NaN}}', "not-json", None),
    (b'{"deviceId":"d","name":"n","timestamp":"2025-03-23T10:00:00Z",}', "not-json", None),
    (b'{"deviceId":"d","name":"n","timestamp":"2025-03-23T10:00:00Z","x":[Infinity]}', "not-json", None),
    (b'{"deviceId":"d","name":"a\rb","timestamp":"2025-03-23T10:00:00Z"}', "not-json", None),
    (b'{"deviceId":"d","name":"\\ud83d","timestamp":"2025-03-23T10:00:00Z"}', "lone-surrogate", None),
    (b'{"deviceId":"d","name":"a\0b","timestamp":"2025-03-23T10:00:00Z"}', "not-json", None),
    (b'\xff{"deviceId":"d"}', "not-utf8", None),
    (b'{"deviceId":"\xed\xa0\x80"}', "not-utf8", None),
    (b"[1]", "not-an-object", None),
    (b"null", "not-an-object", None),
    (b'"text"', "not-an-object", None),
    (b"1e3", "not-an-object", None),
    (ndjson(event(deviceId=...)), "missing", "deviceId"),
    (ndjson(event(deviceId=None)), "missing", "deviceId"),
    (ndjson(event(deviceId=7)), "wrong-type", "deviceId"),
    (ndjson(event(deviceId=" \t")), "blank", "deviceId"),
    (ndjson(event(name="")), "blank", "name"),
    (ndjson(event(name=["n"])), "wrong-type", "name"),
    (ndjson(event(timestamp=1742724000)), "wrong-type", "timestamp"),
    (ndjson(event(timestamp="2025-03-23 10:00:00Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-03-23T10:00:00")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-02-29T10:00:00Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-03-23T24:00:00Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-03-23T10:00:00+24:00")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-03-23T10:00:00.Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="0000-03-23T10:00:00.000Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-03-23T10:00: 5.000Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-03-23T10:00:05. 01Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-3-023T10:00:05.001Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="-025-03-23T10:00:05.001Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-03-23T10:00:60.000Z")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="2025-03-23T10:00:05.001+")), "bad-time", "timestamp"),
    (ndjson(event(timestamp="9999-12-31T23:59:59-01:00")), "bad-time", "timestamp"),
    (ndjson(event(extras="{}")), "wrong-type", "extras"),
    (ndjson(event(sessionId={"a": 1})), "wrong-type", "sessionId"),
    (b'{"deviceId":"d","extras":' + b"[" * 5000 + b"1.0e0" + b"]" * 5000 + b"}", "too-deep", None),
]


@pytest.mark.parametrize(("line", "rule", "field"), HOSTILE)
def test_given_a_hostile_line_when_written_then_it_alone_is_rejected(write, line, rule, field) -> None:
    good = ndjson(event())
    written = write(good + line.rstrip(b"\n") + b"\n" + good)
    assert written.rules == [(2, rule, field)]
    assert written.counts.exported == 2


def test_given_all_hostile_lines_at_once_then_each_keeps_line_and_text(write) -> None:
    lines = [line.rstrip(b"\n") for line, _, _ in HOSTILE]
    written = write(b"\r\n".join(lines) + b"\r\n" + ndjson(event()))
    assert written.rules == [(n, rule, field) for n, (_, rule, field) in enumerate(HOSTILE, start=1)]
    for line, reject in zip(lines, written.rejects, strict=True):
        assert reject["original"] == line.decode(errors="backslashreplace")
        assert reject["file"] == "events/2025-03-23/a.ndjson"
    assert written.data.count(b"tap") == 1


@pytest.mark.long
def test_given_a_line_over_16_mib_then_rejected_with_its_beginning(write) -> None:
    long = with_extras('{"a":"' + "x" * (16 << 20) + '"}')
    most = with_extras('{"a":"' + "x" * ((16 << 20) - len(with_extras('{"a":""}')) + 1) + '"}')
    assert len(most) == (16 << 20) + 1  # and a newline, which is not counted
    written = write(ndjson(event()) + long + most + long[:-1])
    assert written.rules == [(2, "too-long", None), (4, "too-long", None)]
    assert written.counts.exported == 2
    assert written.rejects[0]["original"].startswith(long[:1000].decode())
    assert written.rejects[0]["original"].endswith("… [cut: the line is longer than 16777216 bytes]")


@pytest.mark.parametrize("export_type", ["Event", "Tag"])
def test_given_long_values_then_untouched_in_little_memory(write, export_type) -> None:
    long = '{"a":1e3,"b":"' + "é" * 3_000_000 + '"}'
    lines = ndjson(event(), tag("small", 1))
    lines += with_extras(long) + ndjson(tag("long", ...))[:-2] + b', "value": ' + long.encode() + b"}\n"
    written = write(lines, export_type, memory_mb=128, disk_mb=100)
    assert written.counts.exported == 2
    assert written.data.decode().count(long) == 1
    assert written.elements[0]


def test_given_a_long_line_at_fault_when_written_then_its_text_is_cut(write) -> None:
    faults = [
        event(name="x" * 300_000),
        event(timestamp="soon", extras={"a": "x" * 300_000}),
        ["y" * 300_000],
    ]
    written = write(ndjson(*faults, event(other="x" * 300_000)))
    assert written.rules == [
        (1, "too-long", "name"),
        (2, "bad-time", "timestamp"),
        (3, "not-an-object", None),
    ]
    assert all(1000 < len(reject["original"]) < 1100 for reject in written.rejects)
    assert written.counts.unknown_fields == {"other": 1}
    assert written.counts.exported == 1


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 20])
def test_given_line_endings_a_mark_and_blanks_then_numbers_are_exact(write, chunk) -> None:
    raw = b"\xef\xbb\xbf" + ndjson(event(name="first")).replace(b"\n", b"\r\n")
    raw += b"\n  \n\r\n" + b"bad\r\n" + ndjson(event(name="sixth")) + b"worse"
    written = write(raw, chunk=chunk)
    assert written.rules == [(5, "not-json", None), (7, "not-json", None)]
    assert [reject["original"] for reject in written.rejects] == ["bad", "worse"]
    assert [record["name"] for record in written.records] == ["first", "sixth"]


EXACT = [
    '{"a":1e3,"b":1000.0,"c":1E+2,"d":0.10,"e":-0,"f":-0.0,"g":1e400}',
    '{"a":9007199254740993,"b":123456789012345678901234567890,"c":0.1234567890123456789012345}',
    '{"z":1,"a":2,"m":null}',
    '{"a":1,"a":2,"a":1}',
    '{"a":"\\u00e9 \\/ \\u0041 \\ud83d\\ude00 \\\\ud800 é 😀"}',
    '{"a":"NaN","b":"Infinity, [1,] {"}',
    '{"a":[[[[[{"b":[]}]]]]],"c":{}}',
    '{"":"","\\"":"\\n\\t\\u0000","a b":" x  y "}',
    "{}",
    '{"n":' + "7" * 5000 + "}",
]


@pytest.mark.parametrize("extras", EXACT)
def test_given_extras_when_written_then_their_text_is_untouched(write, extras) -> None:
    written = write(with_extras(extras))
    assert f'"extras":{extras}}}]}}\n]\n'.encode() in written.data
    assert write(with_extras(extras), "Activity").data.count(extras.encode()) == 1


def test_given_whitespace_in_extras_then_removed_only_between_tokens(write) -> None:
    written = write(
        with_extras('{ "a" :\t[ 1 , 2.0 ] ,\r"b c" : " d  e " }') + with_extras('{ "a" : 1.50, "b" : " " }')
    )
    assert b'"extras":{"a":[1,2.0],"b c":" d  e "}' in written.data
    assert b'"extras":{"a":1.50,"b":" "}' in written.data


def test_given_a_name_twice_in_a_record_when_written_then_the_last_counts(write) -> None:
    line = ndjson(event())[:-2] + b',"name":"last","extras":{"a":1},"extras":{"a":2}}\n'
    written = write(line)
    assert written.records == [{"name": "last", "timestamp": "2025-03-23T10:00:00.000Z", "extras": {"a": 2}}]
    assert written.counts.unknown_fields == {}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("2025-03-23T10:00:00Z", "2025-03-23T10:00:00.000Z"),
        ("2025-03-23t10:00:00.1z", "2025-03-23T10:00:00.100Z"),
        ("2025-03-23T10:00:00.123000Z", "2025-03-23T10:00:00.123Z"),
        ("2025-03-23T10:00:00.123001Z", "2025-03-23T10:00:00.123001Z"),
        ("2025-03-23T10:00:00.1230009999Z", "2025-03-23T10:00:00.123Z"),
        ("2025-03-23T10:00:00.999999999Z", "2025-03-23T10:00:00.999999Z"),
        ("2025-03-24T01:29:59.5+01:30", "2025-03-23T23:59:59.500Z"),
        ("2025-03-22T22:00:00-02:00", "2025-03-23T00:00:00.000Z"),
        ("2025-03-23T23:59:59.999999-00:00", "2025-03-23T23:59:59.999999Z"),
    ],
)
def test_given_a_time_then_written_in_utc_and_windowed_by_its_utc_day(write, raw, text) -> None:
    assert [record["timestamp"] for record in write(ndjson(event(timestamp=raw))).records] == [text]


@pytest.mark.parametrize("raw", ["2025-03-23T01:00:00+01:30", "2025-03-23T23:00:00-01:00"])
def test_given_a_time_of_another_utc_day_when_written_then_outside(write, raw) -> None:
    written = write(ndjson(event(timestamp=raw)))
    assert written.counts.outside_window == 1
    assert written.data == b"[]"


def test_given_ties_and_disorder_then_by_instant_then_file_then_line(write) -> None:
    late = event(timestamp="2025-03-23T11:00:00Z")
    names = write(
        {
            "events/b": ndjson({**late, "name": "5"}, event(name="3"), event(name="4"), event(name="4")),
            "events/a": ndjson(event(name="2"), event(name="1", timestamp="2025-03-23T11:59:59+02:00")),
        }
    )
    assert [record["name"] for record in names.records] == ["1", "2", "3", "4", "4", "5"]


def test_given_activities_without_a_session_then_a_group_per_device(write) -> None:
    raw = ndjson(
        event(deviceId="d1"), event(deviceId="d2"), event(deviceId="d1", name="b"),
        event(deviceId="d1", sessionId="s"), event(deviceId="d2", sessionId="s"),
        event(deviceId="d1", sessionId=None, name="c"),
    )  # fmt: skip
    groups = {
        (group.get("sessionId", "-"), group["deviceId"]): [record["name"] for record in group["activities"]]
        for group in write(raw, "Activity").elements
    }
    assert groups == {
        ("-", "d1"): ["tap", "b", "c"], ("-", "d2"): ["tap"], ("s", "d1"): ["tap"], ("s", "d2"): ["tap"],
    }  # fmt: skip


def test_given_groups_whose_keys_read_alike_then_they_stay_apart(write) -> None:
    raw = ndjson(event(sessionId="", deviceId="d"), event(deviceId="d"), event(sessionId="a\x1fb"),
                 event(sessionId="a", deviceId=f"b\x1f{DEVICE}"))  # fmt: skip
    assert write(raw, "Activity").counts.elements == 4


def tag(key: str, value: Any, time: str = "10:00:00", **changes: Any) -> dict[str, Any]:
    values = {"deviceId": DEVICE, "key": key, "timestamp": f"2025-03-23T{time}Z", "value": value, **changes}
    return {name: item for name, item in values.items() if item is not ...}


def test_given_tags_then_the_latest_of_each_key_and_no_removed_ones(write) -> None:
    written = write(
        {
            "tags/b": ndjson(tag("plan", "tie wins by place"), tag("gone", None, "12:00:00")),
            "tags/a": ndjson(
                tag("plan", "old", "09:00:00"), tag("plan", "tie"), tag("gone", 1), tag("n", 1, "08:00:00"),
                tag("left", ...), tag("x", "y", deviceId="d2"), tag("x", None, "11:00:00", deviceId="d2"),
            ),
        },
        "Tag",
    )  # fmt: skip
    assert written.data.decode() == (
        f'[\n{{"deviceId":"{DEVICE}","appInfo":{{"n":1,"plan":"tie wins by place"}}}}\n]\n'
    )
    assert written.counts == ExportCounts(9, 0, 0, 4, 3, 2, 1, {})


def test_given_tags_that_tie_in_one_file_then_the_later_line_wins(write) -> None:
    written = write(ndjson(tag("plan", "a"), tag("plan", "b"), tag("gone", 1), tag("gone", None)), "Tag")
    assert written.elements == [{"deviceId": DEVICE, "appInfo": {"plan": "b"}}]
    assert (written.counts.superseded, written.counts.removed) == (2, 1)


def test_given_many_long_bad_lines_when_written_then_each_reject_is_cut(write) -> None:
    written = write(b"".join([b"\xff" * 300_000 + b"\n", b"\0" * 300_000 + b"\n"]) + ndjson(event()))
    assert written.rules == [(1, "not-utf8", None), (2, "not-json", None)]
    assert all(len(reject["original"]) < 2000 for reject in written.rejects)
    assert written.counts.exported == 1


@pytest.mark.parametrize("value", ["1e3", '"a\\u00e9"', "[1, 2.50]", "12345678901234567890123", "false"])
def test_given_a_tag_value_when_written_then_its_text_is_untouched(write, value) -> None:
    line = ndjson(tag("k", ...))[:-2] + b', "value": ' + value.encode() + b"}\n"
    assert f'"appInfo":{{"k":{value.replace(", ", ",")}}}'.encode() in write(line, "Tag").data


@pytest.mark.slow
def test_given_unknown_fields_when_written_then_left_out_and_counted(write) -> None:
    written = write(
        ndjson(event(foo=1, bar=None), event(foo=2), event(foo=1, deviceId=...), event(Name="other case"))
    )
    assert written.counts.unknown_fields == {"foo": 2, "bar": 1, "Name": 1}
    assert b"foo" not in written.data
    many = write(ndjson(*(event(**{f"f{n:03}": 1}) for n in range(60))))
    assert len(many.counts.unknown_fields) == 51
    assert many.counts.unknown_fields["*"] == 10


@pytest.mark.long
def test_given_blocks_listed_and_cut_otherwise_then_the_same_bytes(
    write, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {
        f"events/{n}": ndjson(
            *(event(deviceId=f"d{i % 7}", name=f"{n}-{i}", extras={"f": i / 7}) for i in range(150)), 5
        )
        for n in range(12)
    }
    once = write(contents)
    assert once.counts.exported == 1800
    assert once.counts.rejected == 12
    backwards = dict(reversed(contents.items()))
    assert write(backwards, chunk=13).data == once.data
    monkeypatch.setattr("mobexport.records.lines.BLOCK_BYTES", 700)
    monkeypatch.setattr("mobexport.records.sorting.BATCH_BYTES", 5000)
    again = write(backwards, chunk=999)
    assert again.data == once.data
    assert again.rejects == once.rejects


@pytest.mark.parametrize("text", ['"5"', '"x"', "1.5", "1e3", "true", "[5]", "{}", "1" * 19, "-" + "1" * 19])
def test_given_a_number_of_another_kind_then_the_line_is_rejected(write, text: str) -> None:
    line = '{"deviceId":"%s","timestamp":"2025-03-23T10:00:00.000Z","meta":{"firstSeen":%s}}\n'
    raw = "".join(line % (name, value) for name, value in (("a", "5"), ("b", text), ("c", "1" * 18)))
    written = write(raw.encode(), "Device")
    assert written.rules == [(2, "wrong-type", "meta.firstSeen")]
    assert [element["deviceId"] for element in written.elements] == ["a", "c"]


@pytest.mark.parametrize("late", [3, 700])
def test_given_fields_missing_in_the_first_lines_then_they_are_written(
    write, monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    monkeypatch.setattr("mobexport.records.lines.BLOCK_BYTES", 20_000)
    found = {"sessionId": "s", "infoId": "i", "locationId": "l", "extras": {"a": 1}}
    records = [event(name=f"{n}", **(found if 100 <= n < 100 + late else {})) for n in range(1000)]
    written = write(ndjson(*records))
    expected = [{name: value for name, value in one.items() if name != "deviceId"} for one in records]
    assert written.records == expected
    assert written.counts == ExportCounts(1000, 0, 0, 0, 0, 1000, 1, {})


def test_given_limits_that_are_too_small_then_a_data_error_names_them(write) -> None:
    noise = random.Random(1)
    lines = [with_extras('{"a":"' + noise.randbytes(50_000).hex() + '"}') for _ in range(60)]
    with pytest.raises(DataError, match="WORK_DISK_MB") as caught:
        write(b"".join(lines), memory_mb=1, disk_mb=1)
    assert caught.value.own_code == "TooLarge"


@pytest.mark.slow
def test_given_little_memory_when_much_is_written_then_it_is_right(write) -> None:
    text = "".join(chr(97 + n % 26) for n in range(2000))
    raw = ndjson(*(event(name=f"{n}", extras={"t": f"{n}{text}"}) for n in range(40_000)))
    written = write(raw, memory_mb=160, disk_mb=400)
    assert written.counts.exported == 40_000
    assert [record["name"] for record in written.records[:3]] == ["0", "1", "2"]


@pytest.mark.skipif(not RAW.is_dir(), reason="no ../shared/data/engagement-raw beside the project")
@pytest.mark.parametrize("export_type", ["Event", "Activity", "Tag"])
@pytest.mark.parametrize("app", ["org.wikimedia.wikipedia", "org.wikipedia.dev", "sh.measure.sample"])
@pytest.mark.long
def test_given_real_data_then_all_of_it_in_the_contracts_shape(write, app, export_type) -> None:
    kind = export_types.get(export_type).kind
    paths = sorted((RAW / app / kind).rglob("*.ndjson"))
    contents = {str(path.relative_to(RAW / app)): path.read_bytes() for path in paths}
    written = write(contents, export_type, (date(2025, 1, 1), date(2025, 12, 31)))
    assert written.counts.read == sum(data.count(b"\n") for data in contents.values())
    assert written.counts.rejected == 0
    if export_type == "Event":
        # Real extras have lists and objects, which the published property bag does not foresee.
        schema = {**SCHEMA["$defs"], "propertyBag": {"type": "object"}}
    else:
        schema = SCHEMA["$defs"]
    check = jsonschema.Draft202012Validator({"$defs": schema, "$ref": f"#/$defs/{export_type.lower()}Export"})
    assert not list(check.iter_errors(written.elements))
    for line in contents.values():
        for raw in line.decode().splitlines()[:20]:
            if '"extras":' in raw and export_type != "Tag":
                assert raw[raw.index('"extras":') :].rstrip("}") in written.data.decode()
