"""Raw Parquet files as other programs write them: the records that the same lines would be."""

import gzip
import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import AT, BASES, DEEPEST, MARK, Written, cases, chain, raw, write

from mobexport import export_types
from mobexport.errors import DataError

pytestmark = pytest.mark.long

NAN, INF = float("nan"), float("inf")
MIDNIGHT = int(datetime(2025, 3, 23, tzinfo=UTC).timestamp())


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def write_parquet(
    folder: Path, table: pa.Table | bytes, export_type: str = "Event", *, window: Any = ..., **options: Any
) -> Written:
    name = f"{export_types.get(export_type).kind}/2025-03-23/a.parquet"
    data = table if isinstance(table, bytes) else parquet(table, **options)
    limits = {} if window is ... else {"window": window}
    return write(folder, {name: data}, export_type, chunk=1000, **limits)


def columns(export_type: str, rows: int, changes: Mapping[str, pa.Array | None]) -> pa.Table:
    """The usual columns, each of another group, with some changed, added or (None) left out."""
    group = next(iter(BASES[export_type]))
    usual = {name: pa.array([json.loads(text)] * rows) for name, text in BASES[export_type].items()}
    usual[group] = pa.array([f"g{n}" for n in range(rows)])
    return pa.table({name: column for name, column in {**usual, **changes}.items() if column is not None})


def rows_as_lines(export_type: str, rows: list[Mapping[str, str | None]]) -> bytes:
    group = next(iter(BASES[export_type]))
    lines = [raw(export_type, **{group: f'"g{n}"', **changes}) for n, changes in enumerate(rows)]
    return b"\n".join(lines)


def check_as_lines(
    folder: Path,
    export_type: str,
    changes: Mapping[str, pa.Array | None],
    lines: list[Mapping[str, str | None]],
    **options: Any,
) -> Written:
    """Writes columns, and the lines that say the same: bytes, counts and faults must not differ."""
    wanted = write(folder, rows_as_lines(export_type, lines), export_type, **options)
    found = write_parquet(folder, columns(export_type, len(lines), changes), export_type, **options)
    assert found.faults == wanted.faults
    assert found.data == wanted.data
    assert found.counts == wanted.counts
    chain(folder, found, export_type, **options)
    return found


def texts(*values: str) -> list[Mapping[str, str | None]]:
    """Rows that differ in their name."""
    return [
        {"name": json.dumps(value, ensure_ascii=False) if value is not None else None} for value in values
    ]


# -- times -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30", "America/New_York", "Etc/GMT-14"])
@pytest.mark.parametrize(("unit", "digits"), [("s", 0), ("ms", 3), ("us", 6), ("ns", 9)])
def test_given_timestamps_of_any_unit_when_written_then_cut_in_utc(tmp_path, unit, digits, zone) -> None:
    second = 10**digits
    values = [MIDNIGHT * second, (MIDNIGHT + 36_000) * second, (MIDNIGHT + 86_400) * second - 1, None]
    column = pa.array(values, pa.timestamp(unit, tz=zone))
    last = "2025-03-23T23:59:59" + ("." + "9" * digits if digits else "") + "Z"
    lines = [{"timestamp": f'"{text}"'} for text in ("2025-03-23T00:00:00Z", AT, last)]
    found = check_as_lines(tmp_path, "Event", {"timestamp": column}, [*lines, {"timestamp": None}])
    assert found.faults == [(4, "missing", "timestamp")]
    assert found.counts.outside_window == 0


@pytest.mark.parametrize(("unit", "digits"), [("ms", 3), ("us", 6), ("ns", 9)])
def test_given_a_time_before_1970_when_written_then_cut_as_in_a_line(tmp_path, unit, digits) -> None:
    column = pa.array([-1, -(10**digits)], pa.timestamp(unit))
    lines = [{"timestamp": f'"1969-12-31T23:59:59.{text}Z"'} for text in ("9" * digits, "0")]
    check_as_lines(tmp_path, "Event", {"timestamp": column}, lines, window=None)


@pytest.mark.parametrize("value", [316_516_204_800, -62_200_000_000, 9_000_000_000_000])
def test_given_a_time_of_no_year_when_written_then_that_row_alone_goes(tmp_path, value) -> None:
    column = pa.array([MIDNIGHT * 10**6, value * 10**6, MIDNIGHT * 10**6], pa.timestamp("us", tz="UTC"))
    found = write_parquet(tmp_path, columns("Event", 3, {"timestamp": column}))
    assert found.faults == [(2, "bad-time", "timestamp")]
    assert found.counts.exported == 2


def test_given_int96_timestamps_when_written_then_cut_as_in_a_line(tmp_path) -> None:
    values = [MIDNIGHT * 10**9 + 123_456_789, (MIDNIGHT + 86_400) * 10**9 - 1]
    table = columns("Event", 2, {"timestamp": pa.array(values, pa.timestamp("ns"))})
    found = write_parquet(tmp_path, table, use_deprecated_int96_timestamps=True)
    assert found.faults == []
    times = {record["timestamp"] for record in found.records}
    assert times == {"2025-03-23T00:00:00.123456Z", "2025-03-23T23:59:59.999999Z"}


@pytest.mark.parametrize(
    ("column", "lines"),
    cases(
        ("strings", pa.array([AT, "soon", "", "2025-03-23T11:00:00.123456789+01:00"]),
         [{}, {"timestamp": '"soon"'}, {"timestamp": '""'},
          {"timestamp": '"2025-03-23T11:00:00.123456789+01:00"'}]),
        ("date32", pa.array([date(2025, 3, 23)]), [{"timestamp": '"2025-03-23"'}]),
        ("whole numbers", pa.array([1_742_724_000_000]), [{"timestamp": "1742724000000"}]),
        ("dictionary of strings", pa.array([AT, "soon"]).dictionary_encode(), [{}, {"timestamp": '"soon"'}]),
        ("binary", pa.array([AT.encode(), b"soon"]), [{}, {"timestamp": '"soon"'}]),
        ("null type", pa.nulls(2), [{"timestamp": None}] * 2),
        ("missing", None, [{"timestamp": None}]),
    ),
)  # fmt: skip
def test_given_times_of_other_types_when_written_then_as_in_lines(tmp_path, column, lines) -> None:
    check_as_lines(tmp_path, "Event", {"timestamp": column}, lines)


# -- whole numbers and flags -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "wanted"),
    cases(
        ("doubles", pa.array([5.0, -0.0, 1e17, -3.0]), ["5", "0", "100000000000000000", "-3"]),
        ("doubles with a fraction", pa.array([5.0, 5.5, 1e-300]), ["5", "wrong-type", "wrong-type"]),
        ("doubles that are too large", pa.array([1e18, 1e300]), ["wrong-type", "wrong-type"]),
        ("doubles with infinity", pa.array([1.0, INF, -INF]), ["1", "wrong-type", "wrong-type"]),
        ("doubles with NaN", pa.array([1.0, NAN, None]), ["1", "missing", "missing"]),
        ("floats", pa.array([5.0, NAN, 5.5], pa.float32()), ["5", "missing", "wrong-type"]),
        ("half floats", pa.array([5.0, 5.5], pa.float16()), ["5", "wrong-type"]),
        ("bytes", pa.array([1, -2], pa.int8()), ["1", "-2"]),
        ("uint64", pa.array([1, 2**64 - 1], pa.uint64()), ["1", "wrong-type"]),
        ("int64", pa.array([10**18 - 1, 10**18, -(10**18)]), [str(10**18 - 1), "wrong-type", "wrong-type"]),
        ("decimal of no digits", pa.array([Decimal(5)], pa.decimal128(10, 0)), ["5"]),
        ("decimal of 2 digits", pa.array([Decimal("5.00"), Decimal("5.50")], pa.decimal128(10, 2)),
         ["5", "wrong-type"]),
        ("decimal256", pa.array([Decimal(5), Decimal(10**40)], pa.decimal256(50, 0)), ["5", "wrong-type"]),
        ("dictionary", pa.array([7, 7, 8]).dictionary_encode(), ["7", "7", "8"]),
        ("strings", pa.array(["5"]), ["wrong-type"]),
        ("booleans", pa.array([True]), ["wrong-type"]),
        ("structs", pa.array([{"a": 1}]), ["wrong-type"]),
        ("null type", pa.nulls(1), ["missing"]),
    ),
)  # fmt: skip
def test_given_numbers_of_any_type_when_written_then_whole_ones(tmp_path, column, wanted) -> None:
    found = write_parquet(tmp_path, columns("Push", len(wanted), {"campaignId": column}), "Push")
    faults = [
        (n, what, "campaignId") for n, what in enumerate(wanted, 1) if what.isalpha() or "-" in what[1:]
    ]
    assert found.faults == faults
    numbers = {one["deviceId"]: one["campaignId"] for one in json.loads(found.data)}
    good = {f"g{n}": int(what) for n, what in enumerate(wanted) if (n + 1, what, "campaignId") not in faults}
    assert numbers == good
    chain(tmp_path, found, "Push")


@pytest.mark.parametrize(
    ("column", "lines"),
    cases(
        ("booleans", pa.array([True, False, None]), [{}, {"valid": "false"}, {"valid": "null"}]),
        ("whole numbers", pa.array([1]), [{"valid": "1"}]),
        ("strings", pa.array(["true"]), [{"valid": '"true"'}]),
        ("dictionary of strings", pa.array(["true"]).dictionary_encode(), [{"valid": '"true"'}]),
    ),
)
def test_given_flags_of_any_type_when_written_then_as_in_lines(tmp_path, column, lines) -> None:
    check_as_lines(tmp_path, "Token", {"valid": column}, lines)


# -- text --------------------------------------------------------------------------------------------------

NAMES = ("a", 'é"\n', "a", "\0", None, "")
BYTES = [None if name is None else name.encode() for name in NAMES]


@pytest.mark.parametrize(
    "column",
    cases(
        ("string", pa.array(NAMES)),
        ("large string", pa.array(NAMES, pa.large_string())),
        ("string view", pa.array(NAMES, pa.string_view())),
        ("dictionary", pa.array(NAMES).dictionary_encode()),
        ("dictionary of large strings", pa.array(NAMES, pa.large_string()).dictionary_encode()),
        ("binary", pa.array(BYTES)),
        ("large binary", pa.array(BYTES, pa.large_binary())),
        ("binary view", pa.array(BYTES, pa.binary_view())),
        ("dictionary of binary", pa.array(BYTES).dictionary_encode()),
    ),
)
def test_given_text_of_any_type_when_written_then_as_in_lines(tmp_path, column) -> None:
    found = check_as_lines(tmp_path, "Event", {"name": column}, texts(*NAMES))
    assert found.faults == [(5, "missing", "name"), (6, "blank", "name")]


@pytest.mark.parametrize(
    ("column", "lines"),
    cases(
        ("fixed-size binary", pa.array([b"abc", b"\xc3\xa9x"], pa.binary(3)), texts("abc", "éx")),
        ("whole numbers", pa.array([5, None]), [{"name": "5"}, {"name": None}]),
        ("doubles", pa.array([5.5]), [{"name": "5.5"}]),
        ("booleans", pa.array([True]), [{"name": "true"}]),
        ("lists", pa.array([["a"]]), [{"name": '["a"]'}]),
        ("structs", pa.array([{"a": "b"}]), [{"name": '{"a":"b"}'}]),
        ("null type", pa.nulls(1), [{"name": None}]),
        ("a mark in it", pa.array([MARK.decode() + "a"]), texts("\ufeffa")),
    ),
)
def test_given_a_name_of_another_type_when_written_then_as_in_lines(tmp_path, column, lines) -> None:
    check_as_lines(tmp_path, "Event", {"name": column}, lines)


def no_utf8(*values: bytes) -> pa.Array:
    """A column of strings that says less of them than it should."""
    made = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), made.buffers())


@pytest.mark.parametrize(
    ("changes", "field"),
    cases(
        ("a string", {"name": no_utf8(b"a", b"\xff", b"c")}, "name"),
        ("an id", {"deviceId": no_utf8(b"a", b"caf\xe9", b"c")}, "deviceId"),
        ("half a letter", {"name": no_utf8(b"a", b"\xc3", b"c")}, "name"),
        ("a surrogate", {"name": no_utf8(b"a", b"\xed\xa0\x80", b"c")}, "name"),
        ("binary", {"name": pa.array([b"a", b"\xff", b"c"])}, "name"),
        ("fixed-size binary", {"infoId": pa.array([b"a", b"\xff", b"c"], pa.binary(1))}, "infoId"),
        ("dictionary of binary", {"name": pa.array([b"a", b"\xff", b"c"]).dictionary_encode()}, "name"),
        ("extras", {"extras": no_utf8(b"{}", b'{"a":"\xff"}', b"{}")}, "extras"),
        ("extras as binary", {"extras": pa.array([b"{}", b'{"a":"\xff"}', b"{}"])}, "extras"),
    ),
)
def test_given_one_value_that_is_no_utf8_when_written_then_its_row_goes(tmp_path, changes, field) -> None:
    found = write_parquet(tmp_path, columns("Event", 3, changes))
    assert found.rules == [(2, "not-utf8")]
    assert found.faults[0][2] in (None, field)
    assert found.counts.exported == 2
    chain(tmp_path, found)


# -- extras and tags ---------------------------------------------------------------------------------------

TEXT = '{"a":1e3,"b":"\\u00e9","a":0.10}'


@pytest.mark.parametrize(
    "kind",
    cases(
        ("string", pa.string()),
        ("large string", pa.large_string()),
        ("string view", pa.string_view()),
        ("dictionary", pa.dictionary(pa.int32(), pa.string())),
        ("binary", pa.binary()),
        ("large binary", pa.large_binary()),
        ("binary view", pa.binary_view()),
        ("fixed-size binary", pa.binary(len(TEXT))),
        ("JSON", pa.json_()),
    ),
)
def test_given_extras_as_text_of_any_type_when_written_then_untouched(tmp_path, kind) -> None:
    values = [TEXT, None]
    column = pa.array(values, kind) if kind != pa.json_() else pa.array(values).cast(pa.string()).cast(kind)
    check_as_lines(tmp_path, "Event", {"extras": column}, [{"extras": TEXT}, {}])


@pytest.mark.parametrize("as_bytes", [False, True], ids=["strings", "binary"])
@pytest.mark.parametrize(
    ("text", "rule"),
    cases(
        ("no JSON", "{nope", "not-json"),
        ("NaN", '{"a":NaN}', "not-json"),
        ("nan", '{"a":nan}', "not-json"),
        ("comma at the end", '{"a":1,}', "not-json"),
        ("two objects", "{}{}", "not-json"),
        ("members of the row", '{"b":1},"name":"x"', "not-json"),
        ("single quotes", "{'a':1}", "not-json"),
        ("raw newline in a string", '{"a":"\n"}', "not-json"),
        ("a list", "[1]", "wrong-type"),
        ("a number", "7", "wrong-type"),
        ("text", '"{}"', "wrong-type"),
        ("lone surrogate", r'{"a":"\ud83d"}', "lone-surrogate"),
        ("too deep", '{"v":' + "[" * DEEPEST + "]" * DEEPEST + "}", "too-deep"),
        ("far too deep", '{"v":' + "[" * 5000 + "]" * 5000 + "}", "too-deep"),
        ("null", "null", None),
        ("spaces", ' {"a": 1 ,\n"b":\t"x y"}\r\n', None),
        ("long", json.dumps({"a": "x" * 300_000}), None),
    ),
)
def test_given_odd_text_in_extras_when_written_then_its_row_alone(tmp_path, text, rule, as_bytes) -> None:
    column = pa.array(["{}", text, "{}"])
    found = write_parquet(
        tmp_path, columns("Event", 3, {"extras": column.cast("binary") if as_bytes else column})
    )
    assert found.rules == ([(2, rule)] if rule else [])
    assert found.counts.exported == (2 if rule else 3)
    chain(tmp_path, found)


def extras_of(found: Written) -> Any:
    """The extras of the only record, numbers as they stand there."""
    element = json.loads(found.data, parse_float=str)[0]
    return element["events"][0].get("extras")


def one(kind: Any, value: Any) -> pa.Table:
    return columns("Event", 1, {"extras": pa.array([value], kind)})


INT, LONG, DOUBLE, STRING, BINARY = pa.int8(), pa.int64(), pa.float64(), pa.string(), pa.binary()
STRUCT = pa.struct([("a", DOUBLE), ("b", STRING), ("c", pa.list_(DOUBLE))])
NESTED = cases(
    # (id, type, value, extras, how many values cannot be JSON)
    ("struct", STRUCT, {"a": 1.5, "b": "é", "c": [1.0]}, {"a": "1.5", "b": "é", "c": ["1.0"]}, 0),
    ("struct: null members", STRUCT, {"a": None, "b": None, "c": [None]}, {"c": [None]}, 0),
    ("struct: only null members", STRUCT, {}, {}, 0),
    ("struct: null", STRUCT, None, None, 0),
    ("struct: NaN", STRUCT, {"a": NAN, "b": "x"}, {"b": "x"}, 1),
    ("struct: infinity", STRUCT, {"a": -INF, "b": "x"}, {"b": "x"}, 1),
    ("struct: NaN in a list", STRUCT, {"c": [1.0, NAN, INF]}, {"c": ["1.0", None, None]}, 2),
    ("struct: nested", pa.struct([("s", pa.struct([("t", pa.struct([("u", INT)]))]))]),
     {"s": {"t": {"u": 1}}}, {"s": {"t": {"u": 1}}}, 0),
    ("struct: nested nulls", pa.struct([("s", pa.struct([("t", INT)])), ("n", pa.null())]),
     {"s": {"t": None}, "n": None}, {"s": {}}, 0),
    ("struct: names in other case", pa.struct([("id", INT), ("Id", INT), ("ID", INT)]),
     {"id": 1, "Id": 2, "ID": 3}, {"id": 1, "Id": 2, "ID": 3}, 0),
    *((f"struct: member called {name!r}", pa.struct([(name, INT)]), {name: 1}, {name: 1}, 0)
      for name in ("", 'q"\n', "a.b", "é", "line", "part", "file_row_number", "name", "element")),
    ("struct: binary", pa.struct([("a", BINARY), ("b", BINARY)]), {"a": b"caf\xc3\xa9", "b": b"\xff"},
     {"a": "café"}, 1),
    ("struct: whole numbers", pa.struct([("a", pa.uint64()), ("b", LONG), ("c", pa.bool_())]),
     {"a": 2**64 - 1, "b": -(2**63), "c": False}, {"a": 2**64 - 1, "b": -(2**63), "c": False}, 0),
    ("struct: decimal", pa.struct([("a", pa.decimal128(10, 2))]), {"a": Decimal("1.50")}, {"a": "1.50"}, 0),
    ("struct: date", pa.struct([("a", pa.date32())]), {"a": date(2025, 3, 23)}, {"a": "2025-03-23"}, 0),
    *((f"struct: {kind}", pa.struct([("a", kind)]), {"a": value}, {"a": value}, 0) for kind, value in (
        (pa.dictionary(INT, STRING), "x"), (pa.large_list(pa.large_string()), ["x"]),
        (pa.list_(INT, 2), [1, 2]), (pa.list_(INT), []), (pa.string_view(), "x"), (pa.list_view(INT), [1]),
    )),
    ("struct: list of lists", pa.struct([("a", pa.list_(pa.list_(INT)))]), {"a": [[1], None, []]},
     {"a": [[1], None, []]}, 0),
    ("struct: list of structs", pa.struct([("a", pa.list_(pa.struct([("x", INT), ("y", INT)])))]),
     {"a": [{"x": 1}, None, {"x": None, "y": 2}]}, {"a": [{"x": 1}, None, {"y": 2}]}, 0),
    ("struct: binary in a list", pa.struct([("a", pa.list_(BINARY))]), {"a": [b"x", b"\xff"]},
     {"a": ["x", None]}, 1),
    ("struct: NUL and escapes", pa.struct([("a", STRING)]), {"a": '\0"\\\n\x7f'}, {"a": '\0"\\\n\x7f'}, 0),
    ("map", pa.map_(STRING, LONG), [("a", 1), ("b", None)], {"a": 1, "b": None}, 0),
    ("map: empty", pa.map_(STRING, LONG), [], {}, 0),
    ("map: null", pa.map_(STRING, LONG), None, None, 0),
    ("map: odd keys", pa.map_(STRING, LONG), [("", 1), ('q"\n', 2), ("é", 3), ("null", 4)],
     {"": 1, 'q"\n': 2, "é": 3, "null": 4}, 0),
    ("map: key twice", pa.map_(STRING, LONG), [("a", 1), ("a", 2)], {"a": 2}, 0),
    ("map: whole numbers as keys", pa.map_(LONG, STRING), [(1, "x"), (-2, "y")],
     {"1": "x", "-2": "y"}, 0),
    ("map: NaN", pa.map_(STRING, DOUBLE), [("a", NAN), ("b", 1.5), ("c", INF)], {"b": "1.5"}, 2),
    ("map: binary", pa.map_(STRING, BINARY), [("a", b"\xff"), ("b", b"x")], {"b": "x"}, 1),
    ("map: of structs", pa.map_(STRING, pa.struct([("x", DOUBLE)])),
     [("a", {"x": NAN}), ("b", None)], {"a": {}, "b": None}, 1),
    ("map: of maps", pa.map_(STRING, pa.map_(STRING, LONG)), [("a", [("b", 1)])],
     {"a": {"b": 1}}, 0),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "extras", "dropped"), NESTED)
def test_given_nested_extras_when_written_then_their_json(tmp_path, kind, value, extras, dropped) -> None:
    found = write_parquet(tmp_path, one(kind, value))
    assert found.faults == []
    assert extras_of(found) == extras
    counted = dict(found.counts.unknown_fields)
    assert set(counted) == ({"extras:not-json"} if dropped else set())
    assert 0 <= counted.get("extras:not-json", 0) <= dropped
    chain(tmp_path, found)


def test_given_times_within_extras_when_written_then_rfc_3339(tmp_path) -> None:
    kind = pa.struct([("s", pa.timestamp("s")), ("us", pa.timestamp("us", tz="Europe/Berlin")),
                      ("ns", pa.timestamp("ns", tz="UTC")), ("time", pa.time64("us"))])  # fmt: skip
    at = datetime(2025, 3, 23, 10, tzinfo=UTC)
    value = {"s": at, "us": at, "ns": MIDNIGHT * 10**9 + 999, "time": time(1, 2, 3)}
    extras = extras_of(write_parquet(tmp_path, one(kind, value)))
    assert extras.pop("time").startswith("01:02:03")
    assert all(text.endswith("Z") for text in extras.values())
    assert [datetime.fromisoformat(text) for text in extras.values()] == [at, at, at.replace(hour=0)]


@pytest.mark.parametrize(
    ("column", "lines"),
    cases(
        ("a list", pa.array([[1]]), [{"extras": "[1]"}]),
        ("a number", pa.array([1]), [{"extras": "1"}]),
        ("a flag", pa.array([True]), [{"extras": "true"}]),
        ("null type", pa.nulls(1), [{}]),
    ),
)
def test_given_extras_that_are_no_object_when_written_then_as_in_lines(tmp_path, column, lines) -> None:
    check_as_lines(tmp_path, "Event", {"extras": column}, lines)


@pytest.mark.parametrize(
    ("column", "lines"),
    cases(
        ("strings", pa.array(["gold", "", '{"a":1}', "\0", None]),
         [{"value": text} for text in ('"gold"', '""', r'"{\"a\":1}"', r'"\u0000"', "null")]),
        ("dictionary", pa.array(["gold"]).dictionary_encode(), [{"value": '"gold"'}]),
        ("whole numbers", pa.array([5, None]), [{"value": "5"}, {"value": "null"}]),
        ("flags", pa.array([False]), [{"value": "false"}]),
        ("doubles", pa.array([1.5]), [{"value": "1.5"}]),
        ("structs", pa.array([{"a": 1}]), [{"value": '{"a":1}'}]),
        ("lists", pa.array([["x", None]]), [{"value": '["x",null]'}]),
        ("null type", pa.nulls(1), [{"value": "null"}]),
    ),
)  # fmt: skip
def test_given_tags_of_any_type_when_written_then_as_in_lines(tmp_path, column, lines) -> None:
    check_as_lines(tmp_path, "Tag", {"value": column}, lines)


# -- objects whose members are declared --------------------------------------------------------------------

REGION = pa.struct([("region", pa.large_string())])
META = pa.struct([("firstSeen", pa.float64()), ("nativePushEnabled", pa.bool_()), ("x", pa.int8())])


@pytest.mark.parametrize(
    ("changes", "lines"),
    cases(
        ("members", {"meta": pa.array([{"firstSeen": 5.0, "nativePushEnabled": True}, {}, None], META)},
         [{"meta": '{"firstSeen":5,"nativePushEnabled":true}'}, {"meta": "{}"}, {}]),
        ("NaN and a fraction", {"meta": pa.array([{"firstSeen": NAN}, {"firstSeen": 5.5}], META)},
         [{"meta": "{}"}, {"meta": '{"firstSeen":5.5}'}]),
        ("texts", {"info": pa.array([{"locale": "é", "carrierName": ""}, {"locale": None}])},
         [{"info": '{"locale":"é","carrierName":""}'}, {"info": "{}"}]),
        ("texts of another type", {"info": pa.array([{"locale": 5}])}, [{"info": '{"locale":5}'}]),
        ("large text", {"location": pa.array([{"region": "a"}], REGION)}, [{"location": '{"region":"a"}'}]),
        ("meta is a number", {"meta": pa.array([5])}, [{"meta": "5"}]),
        ("meta is a list", {"meta": pa.array([[5]])}, [{"meta": "[5]"}]),
        ("meta is of null type", {"meta": pa.nulls(1)}, [{}]),
        ("members in other case", {"location": pa.array([{"Region": "A", "region": "a"}])},
         [{"location": '{"region":"a"}'}]),
    ),
)  # fmt: skip
def test_given_devices_with_structs_when_written_then_as_in_lines(tmp_path, changes, lines) -> None:
    wanted = write(tmp_path, rows_as_lines("Device", lines), "Device")
    found = write_parquet(tmp_path, columns("Device", len(lines), changes), "Device")
    assert (found.faults, found.data) == (wanted.faults, wanted.data)
    chain(tmp_path, found, "Device")


# -- names of columns --------------------------------------------------------------------------------------


def test_given_columns_in_other_case_when_written_then_they_stay_apart(tmp_path) -> None:
    changes = {"Name": pa.array(["wrong"]), "NAME": pa.array([5]), "deviceid": pa.array(["wrong"])}
    found = write_parquet(tmp_path, columns("Event", 1, changes))
    assert found.names == ["n"]
    assert found.counts.unknown_fields == {"Name": 1, "NAME": 1, "deviceid": 1}


def test_given_only_a_column_in_other_case_when_written_then_missing(tmp_path) -> None:
    found = write_parquet(tmp_path, columns("Event", 1, {"name": None, "NAME": pa.array(["n"])}))
    assert found.faults == [(1, "missing", "name")]


def test_given_a_column_twice_when_written_then_the_last_counts(tmp_path) -> None:
    usual = columns("Event", 1, {})
    for first in (5, "first", None):
        table = pa.table(
            [pa.array([first]), *usual.columns[:1], *usual.columns[2:], pa.array(["last"])],
            names=["name", "deviceId", "timestamp", "name"],
        )
        found = write_parquet(tmp_path, table)
        assert (found.names, found.counts.unknown_fields) == (["last"], {})


def test_given_a_member_twice_when_written_then_the_last_counts(tmp_path) -> None:
    column = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    assert extras_of(write_parquet(tmp_path, columns("Event", 1, {"extras": column}))) == {"x": 2}


RESERVED = (
    "line",
    "part",
    "text",
    "file_row_number",
    "app",
    "date",
    "filename",
    "rowid",
    "select",
    'q"',
    "a b",
    "é",
)


@pytest.mark.parametrize("name", RESERVED)
def test_given_a_reserved_name_when_written_then_an_unknown_field(tmp_path, name) -> None:
    found = write_parquet(tmp_path, columns("Event", 3, {name: pa.array([7, None, 9])}))
    assert found.counts.exported == 3
    assert found.counts.unknown_fields in ({name: 2}, {name: 3})


def test_given_long_and_many_names_when_written_then_few_are_told(tmp_path) -> None:
    changes = {f"{n:02}".ljust(3000, "k"): pa.array([n]) for n in range(60)}
    unknown = write_parquet(tmp_path, columns("Event", 1, changes)).counts.unknown_fields
    assert unknown["*"] == 10
    assert all(len(name) <= 65 for name in unknown)


# -- files -------------------------------------------------------------------------------------------------


def no_groups() -> bytes:
    out = io.BytesIO()
    pq.ParquetWriter(out, columns("Event", 1, {}).schema).close()
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    cases(
        ("no row groups", no_groups()),
        ("no rows", parquet(columns("Event", 1, {}).slice(0, 0))),
        ("no columns", parquet(pa.table({}))),
        ("no rows, null types", parquet(pa.table({name: pa.nulls(0) for name in BASES["Event"]}))),
    ),
)
def test_given_a_file_of_nothing_when_written_then_an_empty_array(tmp_path, data) -> None:
    written = write_parquet(tmp_path, data)
    assert (written.data, written.counts.read) == (b"[]", 0)


def test_given_only_unknown_columns_when_written_then_each_row_goes(tmp_path) -> None:
    written = write_parquet(tmp_path, pa.table({"x": [1, 2, 3]}))
    assert written.faults == [(n, "missing", "deviceId") for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "options",
    cases(
        *((name, {"compression": name}) for name in ("none", "snappy", "gzip", "zstd", "brotli", "lz4")),
        ("pages of version 2", {"data_page_version": "2.0"}),
        ("Parquet 1.0", {"version": "1.0"}),
        ("small pages", {"data_page_size": 10, "row_group_size": 7}),
        ("no dictionaries", {"use_dictionary": False, "write_statistics": False}),
        ("deltas", {"use_dictionary": False, "column_encoding": {"name": "DELTA_BYTE_ARRAY"}}),
        ("no Arrow schema", {"store_schema": False}),
    ),
)
def test_given_any_encoding_when_written_then_the_same_records(tmp_path, options) -> None:
    names = [None if n == 17 else f"{n:03}" for n in range(100)]
    changes = {
        "name": pa.array(names),
        "deviceId": pa.array(["d"] * 100),
        "extras": pa.array([{"n": n} for n in range(100)]),
    }
    found = write_parquet(tmp_path, columns("Event", 100, changes), **options)
    assert found.faults == [(18, "missing", "name")]
    assert found.names == [name for name in names if name]
    assert [record["extras"]["n"] for record in found.records][-1] == 99


def test_given_many_row_groups_when_one_row_is_bad_then_its_place(tmp_path) -> None:
    rows = 10_000
    names = pa.array(["" if n in (0, 4321, rows - 1) else "n" for n in range(rows)])
    found = write_parquet(tmp_path, columns("Event", rows, {"name": names}), row_group_size=100)
    assert found.faults == [(n + 1, "blank", "name") for n in (0, 4321, rows - 1)]
    assert found.counts.exported == rows - 3


def test_given_nested_columns_in_many_batches_when_written_then_as_lines(tmp_path) -> None:
    kind = pa.struct(
        [
            ("m", pa.map_(pa.string(), pa.int64())),
            ("l", pa.list_(pa.string())),
            ("f", pa.list_(pa.int8(), 2)),
            ("s", pa.struct([("t", pa.int64())])),
        ]
    )
    values: list[Any] = []
    lines: list[Mapping[str, str | None]] = []
    for n in range(3000):
        extras = {
            "m": None if n % 3 == 0 else {f"k{i}": i if i != 1 else None for i in range(n % 4)},
            "l": None if n % 5 == 0 else ["x" * (n % 300), None][: n % 3],
            "f": None if n % 7 == 0 else [1, 2],
            "s": None if n % 2 == 0 else {"t": n},
        }
        values.append({**extras, "m": list(extras["m"].items()) if extras["m"] is not None else None})
        there = {name: value for name, value in extras.items() if value is not None}
        lines.append({"extras": json.dumps(there, separators=(",", ":"))})
    check_as_lines(tmp_path, "Event", {"extras": pa.array(values, kind)}, lines)


@pytest.mark.parametrize(
    "column",
    cases(
        ("durations", pa.array([timedelta(1), None])),
        ("seconds of a day", pa.array([5, None], pa.time32("s"))),
        ("nanoseconds of a day", pa.array([5, None], pa.time64("ns"))),
        ("dates in milliseconds", pa.array([0, None], pa.date64())),
        ("infinity", pa.array([INF, NAN])),
        ("structs of nothing", pa.array([{"a": None}, None], pa.struct([("a", pa.null())]))),
        ("wide decimals", pa.array([Decimal(10**70), None], pa.decimal256(76, 0))),
    ),
)
def test_given_undeclared_columns_of_odd_types_when_written_then_rows(tmp_path, column) -> None:
    found = write_parquet(tmp_path, columns("Event", 2, {"x": column}))
    assert (found.faults, found.counts.exported) == ([], 2)


def test_given_chunked_and_sliced_columns_when_written_then_the_same(tmp_path) -> None:
    parts = [
        columns("Event", n, {"extras": pa.array([{"a": i} for i in range(n)])}).slice(1) for n in (2, 5, 3)
    ]
    found = write_parquet(tmp_path, pa.concat_tables(parts))
    assert sorted(record["extras"]["a"] for record in found.records) == [1, 1, 1, 2, 2, 3, 4]


WHOLE = parquet(columns("Event", 50, {"extras": pa.array(['{"a":1}'] * 50)}))


@pytest.mark.parametrize(
    "data",
    cases(
        ("no bytes", b""),
        ("only the mark", b"PAR1"),
        ("two marks", b"PAR1PAR1"),
        ("text", b"no parquet at all" * 99),
        ("lines", raw("Event")),
        ("gzip around it", gzip.compress(WHOLE, mtime=0)),
        ("encrypted", WHOLE[:-4] + b"PARE"),
        ("cut at the end", WHOLE[:-1]),
        ("cut in half", WHOLE[: len(WHOLE) // 2]),
        ("cut at the start", WHOLE[100:]),
        ("footer too long", WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1"),
        ("footer of nothing", WHOLE[:-8] + b"\0\0\0\0PAR1"),
        ("footer of noise", WHOLE[:-108] + bytes(range(100)) + WHOLE[-8:]),
        ("pages of noise", b"PAR1" + b"\xff" * 200 + WHOLE[204:]),
        ("pages of zeros", b"PAR1" + b"\0" * 200 + WHOLE[204:]),
        ("bytes behind it", WHOLE + b"\n"),
    ),
)
def test_given_a_broken_parquet_file_when_written_then_it_is_named(tmp_path, data) -> None:
    with pytest.raises(DataError, match=r"a\.parquet"):
        write_parquet(tmp_path, data)
