"""CSV export files, the server's own and other programs': rows by RFC 4180, each with its own verdict."""

import csv
import io
import json
from typing import Any

import pytest
from hostile import AT, DEEPEST, DEVICE, LONGEST, as_lines, cases, convert, event, raw, write

from mobexport.errors import DataError, Truncated
from mobexport.records.formats import ExportFormat

HEADER = ("deviceId", "name", "timestamp", "infoId", "sessionId", "locationId", "extras")
ENDS = "\r\n"


def cell(value: str | None) -> str:
    """None is absent, the rest is quoted."""
    return "" if value is None else '"' + value.replace('"', '""') + '"'


def row(**changes: str | None) -> str:
    values = {"deviceId": DEVICE, "name": "odd", "timestamp": AT, **changes}
    return ",".join(cell(values.get(name)) for name in HEADER)


def file(*rows: str | bytes, header: str = ",".join(HEADER), ends: str = ENDS) -> bytes:
    found = [one if isinstance(one, bytes) else one.encode() for one in (header, *rows)]
    return b"".join(one + ends.encode() for one in found)


def read(folder, data: bytes, export_type: str = "Event", **options: Any):
    return convert(folder, data, export_type, file_format=ExportFormat.CSV, **options)


BEFORE, AFTER = row(name="before"), row(name="after", infoId="i", extras='{"a":1e3}')


@pytest.mark.parametrize(
    ("text", "rule", "field"),
    cases(
        ("cells: one less", ",".join(BEFORE.split(",")[:-1]), "not-a-row", None),
        ("cells: one more", BEFORE + ",", "not-a-row", None),
        ("cells: only one", "x", "not-a-row", None),
        ("cells: a comma that is not quoted", BEFORE.replace("before", 'be","fore'), "not-a-row", None),
        ("utf-8: and one cell only", b"x\xe9", "not-utf8", None),
        ("utf-8: Latin-1", row(name="?").encode().replace(b"?", b"\xe9"), "not-utf8", None),
        ("utf-8: in extras", row(extras='{"a":"?"}').encode().replace(b"?", b"\xff"), "not-utf8", None),
        ("utf-8: surrogate", row(infoId="?").encode().replace(b"?", b"\xed\xa0\x80"), "not-utf8", None),
        ("missing: name", row(name=None), "missing", "name"),
        ("missing: device", row(deviceId=None), "missing", "deviceId"),
        ("missing: time", row(timestamp=None), "missing", "timestamp"),
        ("missing: all", ",,,,,,", "missing", "deviceId"),
        ("blank: name", row(name=""), "blank", "name"),
        ("blank: device", row(deviceId=" \t"), "blank", "deviceId"),
        ("blank: a newline for a name", row(name="\r\n"), "blank", "name"),
        ("time: text", row(timestamp="soon"), "bad-time", "timestamp"),
        ("time: of a spreadsheet", row(timestamp="23.03.2025 10:00"), "bad-time", "timestamp"),
        ("time: a number", row(timestamp="1742724000"), "bad-time", "timestamp"),
        ("time: outside", row(timestamp="2025-03-24T00:00:00Z"), "outside-window", "timestamp"),
        ("size: name", row(name="x" * (LONGEST + 1)), "too-long", "name"),
        ("extras: a list", row(extras="[1]"), "wrong-type", "extras"),
        ("extras: a number", row(extras="5"), "wrong-type", "extras"),
        ("extras: text", row(extras='"{}"'), "wrong-type", "extras"),
        ("extras: too deep", row(extras='{"v":' + "[" * DEEPEST + "]" * DEEPEST + "}"), "too-deep", None),
        ("extras: lone surrogate", row(extras=r'{"a":"\ud83d"}'), "lone-surrogate", None),
    ),
)
def test_given_a_hostile_row_when_converted_then_it_alone_goes(tmp_path, text, rule, field) -> None:
    done = read(tmp_path, file(BEFORE, text, AFTER))
    assert done.faults == [(2, 1, rule, field)]
    assert done.names == ["before", "after"]


@pytest.mark.parametrize(
    "text", ["{nope", "", " ", "tru", '{"a":1,}', '{"a":NaN}', '{"a":nan}', "{}{}", "{'a':1}"]
)
def test_given_extras_that_are_no_json_when_converted_then_that_row_goes(tmp_path, text) -> None:
    done = read(tmp_path, file(BEFORE, row(extras=text), AFTER))
    assert [fault[:3] for fault in done.faults] == [(2, 1, "not-json")]
    assert done.faults[0][3] in (None, "extras")
    assert done.names == ["before", "after"]


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize(
    ("changes", "wanted"),
    cases(
        ("quotes", {"name": 'a"b""c'}, {}),
        ("commas", {"name": ",a,,b,"}, {}),
        ("newlines", {"name": "a\nb\r\nc\rd"}, {}),
        ("only a quote", {"name": '"'}, {}),
        ("spaces around", {"name": " a "}, {}),
        ("absent and empty", {"infoId": None, "sessionId": ""}, {}),
        ("a formula", {"name": "=1+1"}, {}),
        ("a word", {"name": "null"}, {}),
        ("a number", {"name": "007"}, {}),
        ("NUL", {"name": "a\0b"}, {}),
        ("U+2028 and NEL", {"name": "a\u2028b\x85c"}, {}),
        ("a mark", {"name": "\ufeffa"}, {}),
        ("the longest name", {"name": "x" * LONGEST}, {}),
        ("extras as written", {"extras": r'{"a":0.10,"b":"\u00e9","a":"x, \"y\""}'}, {}),
        ("extras with spaces", {"extras": ' { "a" : [ 1 ,\n2 ] } '}, {"extras": '{"a":[1,2]}'}),
        ("extras that are null", {"extras": "null"}, {"extras": None}),
    ),
)
def test_given_odd_cells_when_converted_then_their_text(tmp_path, changes, wanted, chunk) -> None:
    done = read(tmp_path, file(BEFORE, row(**changes), AFTER), chunk=chunk)
    assert done.faults == []
    assert {name: done.rows[1][name] for name in changes} == {**changes, **wanted}
    assert done.rows[2]["extras"] == '{"a":1e3}'


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    "data",
    cases(
        ("CRLF", file(BEFORE, AFTER)),
        ("LF", file(BEFORE, AFTER, ends="\n")),
        ("both", file(BEFORE, AFTER).replace(b"\r", b"", 1)),
        ("none at the end", file(BEFORE, AFTER).rstrip()),
        ("cells not quoted", file(f"{DEVICE},before,{AT},,,,", AFTER)),
        ("header quoted", file(BEFORE, AFTER, header=",".join(map(cell, HEADER)))),
    ),
)
def test_given_ends_of_any_kind_when_converted_then_the_same_rows(tmp_path, data, chunk) -> None:
    done = read(tmp_path, data, chunk=chunk)
    assert (done.faults, done.names) == ([], ["before", "after"])


def test_given_newlines_in_cells_when_a_row_is_bad_then_rows_are_counted(tmp_path) -> None:
    done = read(tmp_path, file(row(name="a\nb"), row(name=None), row(name="c\r\n\r\nd"), "x"))
    assert done.faults == [(2, 1, "missing", "name"), (4, 1, "not-a-row", None)]


# -- headers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "text", "wanted"),
    cases(
        ("other order", "extras,timestamp,name,deviceId", f"{{}},{AT},n,d", ("d", "n", "{}")),
        (
            "unknown columns",
            "x,deviceId,y,name,z,timestamp,extras,",
            f"1,d,,n,{{,{AT},{{}},",
            ("d", "n", "{}"),
        ),
        ("optional ones missing", "deviceId,name,timestamp", f"d,n,{AT}", ("d", "n", None)),
        ("one in other case", "deviceId,name,timestamp,Extras", f"d,n,{AT},5", ("d", "n", None)),
    ),
)
def test_given_another_header_when_converted_then_columns_by_name(tmp_path, header, text, wanted) -> None:
    done = read(tmp_path, file(text, header=header))
    assert done.faults == []
    assert [(one["deviceId"], one["name"], one["extras"]) for one in done.rows] == [wanted]


@pytest.mark.parametrize(
    ("header", "field"),
    cases(
        ("no device", "name,timestamp", "deviceId"),
        ("no time", "deviceId,name", "timestamp"),
        ("only an optional one", "extras,x", "deviceId"),
        ("in other case", "DeviceId,name", "deviceId"),
    ),
)
def test_given_a_required_column_missing_when_converted_then_all_rows_go(tmp_path, header, field) -> None:
    done = read(tmp_path, file("{},{}", "{},{}", header=header))
    assert done.faults == [(1, 1, "missing", field), (2, 1, "missing", field)]


@pytest.mark.parametrize("name", ['"a,b"', '"a""b"', '"deviceId,"', '""', "", '"a\nb"'])
def test_given_odd_names_in_a_header_when_converted_then_columns_by_name(tmp_path, name) -> None:
    done = read(tmp_path, file(f"x,d,n,{AT}", header=f"{name},deviceId,name,timestamp"))
    assert (done.faults, done.names) == ([], ["n"])


def test_given_ends_of_only_cr_when_converted_then_no_row_is_lost(tmp_path) -> None:
    data = file(BEFORE, AFTER, ends="\r")
    try:
        done = read(tmp_path, data)
    except DataError:
        return
    assert done.names == ["before", "after"]


@pytest.mark.parametrize(
    "odd",
    cases(("CR within", "a\rb"), ("CR before", "\ra"), ("quotes within", 'a"b\nc"d'), ("blank", "\r\r\r")),
)
def test_given_odd_row_ends_and_a_non_utf8_row_then_others_stay_intact(tmp_path, odd) -> None:
    bad = row(name="?").encode().replace(b"?", b"\xe9")
    done = read(tmp_path, file(BEFORE, odd, bad, odd, AFTER))
    assert done.names == ["before", "after"]
    rules = [rule for _, _, rule, _ in done.faults]
    assert rules.count("not-utf8") == 1
    assert set(rules) <= {"not-utf8", "not-a-row"}
    assert len(done.faults) + len(done.names) == done.done.records


@pytest.mark.long
@pytest.mark.parametrize("chunk", [1000, 1 << 16, 1 << 20])
def test_given_many_blocks_when_rows_are_bad_then_their_numbers(tmp_path, chunk) -> None:
    rows: list[str | bytes] = [row(name=str(n)) for n in range(20_000)]
    rows[0] = "x"
    rows[9_999] = row(name=None)
    rows[10_000] = row(name="?").encode().replace(b"?", b"\xe9")
    rows[10_001] = "x,y"
    rows[19_999] = row(extras="[]")
    done = read(tmp_path, file(*rows), chunk=chunk)
    assert [fault[0] for fault in done.faults] == [1, 10_000, 10_001, 10_002, 20_000]
    assert done.done.rows == 19_995


def test_given_only_a_header_when_converted_then_nothing(tmp_path) -> None:
    for data in (file(), file().strip(), file(ends="\n")):
        done = read(tmp_path, data)
        assert (done.done.records, done.rows) == (0, [])


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize(
    ("data", "error"),
    cases(
        ("no bytes", b"", DataError),
        ("only newlines", b"\r\n\r\n", DataError),
        ("rows without a header", file(BEFORE, AFTER, header=BEFORE), DataError),
        ("columns that nobody knows", file("1,2", header="a,b"), DataError),
        ("JSON", b"[]", DataError),
        ("UTF-16", file(BEFORE).decode().encode("utf-16"), DataError),
        ("header of noise", b"\xff\xfe\x00\n1", DataError),
        ("open quote at the end", file(BEFORE, row(name="x"))[:-6] + b'"', Truncated),
        (
            "open quote in the middle",
            file(BEFORE, '"a', "b", "c"),
            Truncated,
        ),
        ("open quote in the header", b'deviceId,"name', Truncated),
    ),
)
def test_given_no_whole_csv_when_converted_then_raises(tmp_path, data, error, chunk) -> None:
    with pytest.raises(error):
        read(tmp_path, data, chunk=chunk)


# -- other types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    cases(
        ("whole number", "meta.firstSeen", "5", 5),
        ("minus zero", "meta.firstSeen", "-0", 0),
        ("18 digits", "meta.firstSeen", "9" * 18, 10**18 - 1),
        ("19 digits", "meta.firstSeen", "9" * 19, "wrong-type"),
        ("fraction", "meta.firstSeen", "1.0", "wrong-type"),
        ("exponent", "meta.firstSeen", "1e3", "wrong-type"),
        ("leading zero", "meta.firstSeen", "01", "wrong-type"),
        ("leading space", "meta.firstSeen", " 5", "wrong-type"),
        ("space behind", "meta.firstSeen", "5 ", "wrong-type"),
        ("newline behind", "meta.firstSeen", '"5\n"', "wrong-type"),
        ("true and a space", "meta.nativePushEnabled", "true ", "wrong-type"),
        ("plus", "meta.firstSeen", "+5", "wrong-type"),
        ("NaN", "meta.firstSeen", "NaN", "wrong-type"),
        ("Arabic digits", "meta.firstSeen", "\u0665", "wrong-type"),
        ("quoted number", "meta.firstSeen", '"5"', 5),
        ("true", "meta.nativePushEnabled", "true", True),
        ("false", "meta.nativePushEnabled", "false", False),
        ("True", "meta.nativePushEnabled", "True", "wrong-type"),
        ("1 for true", "meta.nativePushEnabled", "1", "wrong-type"),
        ("empty", "meta.nativePushEnabled", "", None),
        ("text", "info.phoneModel", '"Pixel, ""4a"""', 'Pixel, "4a"'),
        ("empty text", "location.region", '""', ""),
        ("text too long", "info.locale", "x" * (LONGEST + 1), "too-long"),
    ),
)
def test_given_dotted_columns_when_converted_then_members_by_their_text(tmp_path, name, text, wanted) -> None:
    outer, inner = name.split(".")
    other = "info.locale" if outer == "meta" else "meta.lastSeen"
    good = "fr" if outer == "meta" else "7"
    rows = f"a,,{good}", f"b,{text},", f"c,,{good}"
    done = read(tmp_path, file(*rows, header=f"deviceId,{name},{other}"), "Device")
    if isinstance(wanted, str) and wanted in ("wrong-type", "too-long"):
        assert done.faults == [(2, 1, wanted, name)]
        assert done.column("deviceId") == ["a", "c"]
    else:
        assert done.faults == []
        assert (done.rows[1][outer] or {}).get(inner) == wanted
        assert done.rows[0][outer] is None


@pytest.mark.parametrize(
    ("export_type", "header", "texts", "faults", "columns"),
    cases(
        ("tags", "Tag", "deviceId,key,value",
         ['d,a,"""gold"""', "d,b,gold", "d,c,1e3", 'd,d,"[1, 2]"', "d,,1", 'd,"",1', "d,g,nan"],
         [(2, "not-json"), (5, "missing"), (6, "blank"), (7, "not-json")],
         {"key": ["a", "c", "d"], "value": ['"gold"', "1e3", "[1,2]"]}),
        ("pushes", "Push", "deviceId,campaignType,campaignId,status",
         ['d,Poll,1,"[""Queued""]"', "d,Poll,1.0,[]", "d,poll,1,[]", "d,Poll,1,Queued",
          'd,Poll,1,"{""a"":1}"', 'd,Poll,1,"[""Queued"",""Queued""]"'],
         [(2, "wrong-type"), (3, "unknown-value"), (4, "not-json"), (5, "wrong-type"), (6, "twice")],
         {"campaignId": [1], "status": ['["Queued"]']}),
        ("devices", "Device", "deviceId,appInfo",
         ['a,"{""x"": 1.50}"', "b,", "c,[]", "d,{"],
         [(3, "wrong-type"), (4, "not-json")],
         {"deviceId": ["a", "b"], "appInfo": ['{"x":1.50}', None]}),
        ("jobs", "Job", "jobId,deviceId,name,start,end",
         [f"j,d,n,{AT},", f'j,d,n,{AT},""', f"j,d,n,{AT},soon", f"j,d,n,{AT},{AT}"],
         [(2, "bad-time"), (3, "bad-time")],
         {"jobId": ["j", "j"]}),
        ("tokens", "Token", "deviceId,token,type",
         ["d,t,apns", "d,,apns"], [(2, "missing")], {"token": ["t"]}),
    ),
)  # fmt: skip
def test_given_other_types_when_converted_then_cells_as_declared(
    tmp_path, export_type, header, texts, faults, columns
) -> None:
    done = read(tmp_path, file(*texts, header=header), export_type)
    assert [(one[0], one[2]) for one in done.faults] == faults
    assert {name: done.column(name) for name in columns} == columns


def test_given_our_own_devices_when_converted_then_the_rows_of_the_json(tmp_path) -> None:
    lines = b"\n".join(
        raw("Device", deviceId=f'"{name}"', **changes)
        for name, changes in {
            "a": {"meta": '{"firstSeen":-0,"nativePushEnabled":false}', "info": '{"locale":"a,\\"b"}'},
            "b": {"location": '{"region":""}'},
            "c": {},
        }.items()
    )
    as_json, as_csv = (write(tmp_path, lines, "Device", output=output) for output in ExportFormat)
    rows = read(tmp_path, as_csv.data, "Device").rows
    assert rows == convert(tmp_path, as_json.data, "Device").rows
    assert len(rows) == as_csv.counts.exported == 3


def test_given_our_own_file_when_read_by_another_program_then_its_cells(tmp_path) -> None:
    lines = as_lines(event('"a,\\"b\\r\\n"', extras='{"x":1e3}'), event('"n"', infoId='""'))
    data = write(tmp_path, lines, output=ExportFormat.CSV).data
    cells = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert [one["name"] for one in cells] == ['a,"b\r\n', "n"]
    assert json.loads(cells[0]["extras"]) == {"x": 1000.0}
    assert read(tmp_path, data).names == ['a,"b\r\n', "n"]
