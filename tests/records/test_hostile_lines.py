"""Raw lines that are not what they should be: exactly the record at fault goes, the others are exported."""

import gzip
import json
import zlib

import pytest
from hostile import (
    AFTER,
    AT,
    BASES,
    BEFORE,
    DEEPEST,
    DEVICE,
    GOOD,
    HOSTILE,
    LONGEST,
    MARK,
    Odd,
    as_line,
    as_lines,
    brief,
    cases,
    chain,
    convert,
    element,
    event,
    exported,
    in_order,
    members,
    odd_cases,
    raw,
    shortened,
    shows,
    with_extras,
    write,
)

from mobexport.errors import DataError, Truncated
from mobexport.records.formats import ExportFormat

pytestmark = pytest.mark.long

A, B, C = (event(f'"{name}"') for name in "abc")
LINE = as_line(A)
MAX_LINE = 16 << 20


@pytest.mark.parametrize("odd", odd_cases(odd for odd in HOSTILE if odd.is_line))
def test_given_a_hostile_record_when_written_then_it_alone_goes(tmp_path, odd: Odd) -> None:
    written = write(tmp_path, as_lines(BEFORE.record, odd.record, AFTER.record))
    assert written.faults == [(2, odd.rule, odd.field)]
    assert shows(written.rejects[0]["original"], odd.line)
    assert brief(written.data) == brief(exported(BEFORE.kept, AFTER.kept))
    assert written.counts.unknown_fields == {}


@pytest.mark.parametrize("output", ExportFormat)
@pytest.mark.parametrize("odd", odd_cases(GOOD))
def test_given_an_odd_but_good_record_when_written_then_a_row(tmp_path, odd: Odd, output) -> None:
    given = (BEFORE, odd, AFTER)
    written = write(tmp_path, as_lines(*(one.record for one in given)), output=output)
    assert (written.faults, written.counts.unknown_fields) == ([], odd.unknown)
    if output is ExportFormat.JSON:
        assert brief(written.data) == brief(exported(*(one.kept for one in in_order(*given))))
    rows = chain(tmp_path, written, file_format=output).rows
    assert [shortened(row) for row in rows] == [shortened(one.row) for one in in_order(*given)]


@pytest.mark.parametrize(
    ("line", "rule", "field"),
    cases(
        ("object: not closed", LINE[:-1], "not-json", None),
        ("object: only opened", b"{", "not-json", None),
        ("object: closed twice", LINE + b"}", "not-json", None),
        ("object: text behind it", LINE + b" x", "not-json", None),
        ("object: comma behind it", LINE + b",", "not-json", None),
        ("object: comma between two", LINE + b"," + LINE, "not-json", None),
        ("object: empty", b"{}", "missing", "deviceId"),
        ("object: a string not closed", LINE[:-2] + b"}", "not-json", None),
        ("object: undeclared member not closed", as_line(event(x="[" * 120_000)), "not-json", None),
        ("object: NUL behind it", LINE + b"\0", "not-json", None),
        ("UTF-16: without a mark", LINE.decode().encode("utf-16-le"), "not-json", None),
        ("UTF-16: with a mark", LINE.decode().encode("utf-16"), "not-utf8", None),
        ("UTF-16: big end first", LINE.decode().encode("utf-16-be"), "not-json", None),
        ("space: only a form feed", b"\f", "not-json", None),
        ("space: only NBSP", "\xa0".encode(), "not-json", None),
        ("space: only NUL", b"\0", "not-json", None),
        ("mark: within the line", b"{" + MARK + LINE[1:], "not-json", None),
        ("mark: behind the line", LINE + MARK, "not-json", None),
        ("mark: behind a space", b" " + MARK + LINE, "not-json", None),
        ("device: absent", A, "missing", "deviceId"),
        ("device: null", raw("Event", deviceId="null"), "missing", "deviceId"),
        ("device: a number", raw("Event", deviceId="7"), "wrong-type", "deviceId"),
        ("device: blank", raw("Event", deviceId='"\\t "'), "blank", "deviceId"),
        ("device: lone surrogate", raw("Event", deviceId=r'"\udc00"'), "lone-surrogate", None),
        ("device: too long", raw("Event", deviceId=f'"{"d" * (LONGEST + 1)}"'), "too-long", "deviceId"),
        ("device: other case", raw("Event", deviceId=None, DeviceId='"d"'), "missing", "deviceId"),
        ("two faults: UTF-8 first", LINE[:-1] + b"\xff", "not-utf8", None),
        ("two faults: surrogate first", raw("Event", deviceId="1", name=r'"\ud83d"'), "lone-surrogate", None),
        ("two faults: depth first", raw("Event", deviceId="1", name="[" * 513 + "]" * 513), "too-deep", None),
        ("two faults: length first", raw("Event", deviceId=None, name=f'"{"n" * (LONGEST + 1)}"'),
         "too-long", "name"),
        ("two faults: by the declaration", raw("Event", deviceId="1", name=None), "wrong-type", "deviceId"),
    ),
)  # fmt: skip
def test_given_a_hostile_line_when_written_then_it_alone_goes(tmp_path, line, rule, field) -> None:
    written = write(tmp_path, as_lines(A) + line + b"\n" + as_lines(B))
    assert written.faults == [(2, rule, field)]
    assert shows(written.rejects[0]["original"], line)
    assert written.data == exported(A, B)


# -- other types: members of objects, whole numbers, flags, choices, JSON values ---------------------------


def inside(**values: str) -> str:
    return members(values).decode()


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


TYPED = cases(
    *((f"number: {text}", "Device", {"meta": inside(firstSeen=text)}, None, None)
      for text in ("5", "-0", "999999999999999999", "-999999999999999999", "null")),
    *((f"number: {text}", "Device", {"meta": inside(firstSeen=text)}, "not-json", None)
      for text in ("01", "NaN", "-inf")),
    *((f"number: {text}", "Device", {"meta": inside(firstSeen=text)}, "wrong-type", "meta.firstSeen")
      for text in ("1.0", "1e3", "1E0", "1e-1", '"5"', "true", "[5]", "{}", "1000000000000000000",
                   "-1000000000000000000", "9" * 5000)),
    *((f"flag: {text}", "Device", {"meta": inside(nativePushEnabled=text)}, rule,
       "meta.nativePushEnabled" if rule else None)
      for text, rule in (("true", None), ("null", None), ("1", "wrong-type"), ('"true"', "wrong-type"),
                         ("0", "wrong-type"))),
    *((f"object: meta is {text}", "Device", {"meta": text}, "wrong-type", "meta")
      for text in ("5", '"{}"', "[]", "true")),
    ("object: meta is null", "Device", {"meta": "null"}, None, None),
    ("object: location is a list", "Device", {"location": "[{}]"}, "wrong-type", "location"),
    ("object: before the device", "Device", {"deviceId": "5", "location": "5"}, "wrong-type", "location"),
    ("object: before a member", "Device", {"meta": '{"firstSeen":"x"}', "info": "5"}, "wrong-type", "info"),
    ("object: member is a number", "Device", {"info": '{"locale":7}'}, "wrong-type", "info.locale"),
    ("object: member too long", "Device", {"info": inside(locale=f'"{"x" * (LONGEST + 1)}"')},
     "too-long", "info.locale"),
    ("object: member longest", "Device", {"info": inside(locale=f'"{"x" * LONGEST}"')}, None, None),
    ("object: member twice", "Device", {"meta": '{"firstSeen":"x","firstSeen":5}'}, None, None),
    ("object: member twice, bad last", "Device", {"meta": '{"firstSeen":5,"firstSeen":"x"}'},
     "wrong-type", "meta.firstSeen"),
    ("object: member with a lone surrogate", "Device", {"info": r'{"locale":"\ud83d"}'},
     "lone-surrogate", None),
    ("object: lone surrogate undeclared", "Device", {"info": r'{"x":"\ud83d"}'}, "lone-surrogate", None),
    ("object: undeclared, deep", "Device", {"meta": inside(x=deep(5000))}, None, None),
    ("object: member deep", "Device", {"info": inside(locale=deep(5000))}, "too-deep", None),
    ("object: member's name escaped", "Device", {"meta": r'{"first\u0053een":5}'}, None, None),
    ("object: member in other case", "Device", {"meta": '{"FirstSeen":"x"}'}, None, None),
    ("choice: other case", "Push", {"status": '"queued"'}, "unknown-value", "status"),
    ("choice: a list", "Push", {"status": '["Queued"]'}, "wrong-type", "status"),
    ("choice: with an escape", "Push", {"status": r'"\u0051ueued"'}, None, None),
    ("choice: campaign of no kind", "Push", {"campaignType": '"poll"'}, "unknown-value", "campaignType"),
    ("choice: blank", "Push", {"campaignType": '""'}, "blank", "campaignType"),
    ("campaign: 5.0", "Push", {"campaignId": "5.0"}, "wrong-type", "campaignId"),
    ("campaign: 5e0", "Push", {"campaignId": "5e0"}, "wrong-type", "campaignId"),
    ("campaign: text", "Push", {"campaignId": '"5"'}, "wrong-type", "campaignId"),
    ("campaign: 19 digits", "Push", {"campaignId": "1610521604143693812"}, "wrong-type", "campaignId"),
    ("campaign: negative", "Push", {"campaignId": "-1"}, None, None),
    ("campaign: null", "Push", {"campaignId": "null"}, "missing", "campaignId"),
    ("token: valid is text", "Token", {"valid": '"true"'}, "wrong-type", "valid"),
    ("token: valid is 1", "Token", {"valid": "1"}, "wrong-type", "valid"),
    ("token: valid is null", "Token", {"valid": "null"}, "missing", "valid"),
    *((f"tag: {name}", "Tag", {"value": text}, rule, None) for name, text, rule in (
        ("1e3", "1e3", None), ("a string", r'"\u00e9\/"', None), ("false", "false", None),
        ("a list", '[1,{"a":2.50}]', None), ("nan", "nan", "not-json"), ("[1,]", "[1,]", "not-json"),
        ("long", f'"{"x" * (LONGEST + 1)}"', None), ("lone surrogate", r'"\ud83d"', "lone-surrogate"),
        (f"{DEEPEST} levels", deep(DEEPEST), None), (f"{DEEPEST + 1} levels", deep(DEEPEST + 1), "too-deep"),
    )),
    ("tag: key is blank", "Tag", {"key": '" "'}, "blank", "key"),
    ("tag: key is a lone surrogate", "Tag", {"key": r'"\udc00"'}, "lone-surrogate", None),
    ("job: end is no time", "Job", {"end": '"soon"'}, "bad-time", "end"),
    ("job: end is empty", "Job", {"end": '""'}, "bad-time", "end"),
    ("job: end is a number", "Job", {"end": "1742724000"}, "wrong-type", "end"),
    ("job: end is null", "Job", {"end": "null"}, None, None),
    ("session: start is missing", "Session", {"start": None}, "missing", "start"),
)  # fmt: skip


@pytest.mark.parametrize(("export_type", "changes", "rule", "field"), TYPED)
def test_given_odd_values_of_any_type_when_written_then_its_rule(
    tmp_path, export_type, changes, rule, field
) -> None:
    group = next(iter(BASES[export_type]))
    groups = ["before", "odd", "after"]
    lines = [
        raw(export_type, **{group: f'"{name}"', **(changes if name == "odd" else {})}) for name in groups
    ]
    written = write(tmp_path, b"\n".join(lines), export_type)
    assert written.faults == ([(2, rule, field)] if rule else [])
    if rule:
        groups.remove("odd")
        assert shows(written.rejects[0]["original"], lines[1])
    assert written.counts.exported == len(groups)
    rows = chain(tmp_path, written, export_type).rows
    assert sorted(row[group] for row in rows) == sorted(groups)


# -- whole files: ends of lines, marks, several objects on a line ------------------------------------------

BAD = event(timestamp='"soon"')
FAULT = ("bad-time", "timestamp")


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "faults", "names"),
    cases(
        ("mark: first in the file", MARK + as_lines(A, B), [], "ab"),
        ("mark: first in joined files", MARK + as_lines(A) + MARK + as_lines(B) + MARK + as_lines(BAD),
         [(3, *FAULT)], "ab"),
        ("mark: only one", MARK, [], ""),
        ("mark: only one, and a newline", MARK + b"\n" + as_lines(A, BAD), [(3, *FAULT)], "a"),
        ("mark: before blanks", MARK + b" \t\r\n" + as_lines(A), [], "a"),
        ("ends: CRLF", as_lines(A, BAD, B).replace(b"\n", b"\r\n"), [(2, *FAULT)], "ab"),
        ("ends: two CR and LF", as_lines(A, B).replace(b"\n", b"\r\r\n"), [], "ab"),
        ("ends: blank lines count", b"\n \r\n" + as_lines(A) + b"\t\n\n" + as_lines(BAD), [(6, *FAULT)], "a"),
        ("ends: none at the end", as_lines(A, BAD)[:-1], [(2, *FAULT)], "a"),
        ("ends: only CR", as_lines(A, B, C).replace(b"\n", b"\r"), [], "abc"),
        ("ends: only CR, one bad", as_lines(A, BAD, C).replace(b"\n", b"\r"), [(1, *FAULT)], "ac"),
        ("ends: none, only blanks", b" \t\r", [], ""),
        ("objects: two on a line", LINE + as_lines(B, C), [], "abc"),
        ("objects: spaces between", LINE + b" \t" + as_lines(B, C), [], "abc"),
        ("objects: one is bad", LINE + as_line(BAD) + as_lines(B, C), [(1, *FAULT)], "abc"),
        ("objects: the first is bad", as_line(BAD) + as_lines(A, C), [(1, *FAULT)], "ac"),
        ("objects: one of another type", LINE + b"{}" + as_lines(B), [(1, "missing", "deviceId")], "ab"),
        ("objects: none is good", as_line(BAD) + as_lines(BAD, A), [(1, "not-json", None)], "a"),
        ("objects: all empty", b"{}{}{}\n" + as_lines(A), [(1, "not-json", None)], "a"),
        ("objects: escaped, then another", as_line(event('"a"', x=r'"}{\"}{"')) + as_lines(B), [], "ab"),
        ("objects: the last is cut", LINE + LINE[:40] + b"\n" + as_lines(B), [(1, "not-json", None)], "b"),
        ("objects: NaN in one", LINE + as_lines(event(x="NaN"), B), [(1, "not-json", None)], "ab"),
        ("scalars: two on a line", b"1 2\n" + as_lines(A), [(1, "not-json", None)], "a"),
        ("lists: two on a line", b"[][]\n" + as_lines(A), [(1, "not-json", None)], "a"),
        ("newline: raw in a string", as_lines(A, event('"x\ny"'), B),
         [(2, "not-json", None), (3, "not-json", None)], "ab"),
        ("object: over lines", json.dumps(json.loads(LINE), indent=1).encode() + b"\n" + as_lines(B),
         [(n, "not-json", None) for n in range(1, 6)], "b"),
        ("list: a JSON array, compact", b"[" + LINE + b"," + as_line(B) + b"]",
         [(1, "not-an-object", None)], ""),
        ("list: a JSON array over lines", b"[\n" + LINE + b",\n" + as_lines(B) + b"]\n",
         [(1, "not-json", None), (2, "not-json", None), (4, "not-json", None)], "b"),
        ("UTF-16: a whole file", as_lines(A, B).decode().encode("utf-16"),
         [(1, "not-utf8", None), (2, "not-json", None), (3, "not-json", None)], ""),
        ("NUL: behind the last line", as_lines(A, B) + b"\0" * 9, [(3, "not-json", None)], "ab"),
        ("nothing: no bytes", b"", [], ""),
        ("other: HTML", b"<p>404</p>\n" + as_lines(A), [(1, "not-json", None)], "a"),
        ("other: CSV", b"deviceId,name\n" + as_lines(A), [(1, "not-json", None)], "a"),
        ("other: JSON text sequence", b"\x1e" + as_lines(A, B), [(1, "not-json", None)], "b"),
    ),
)  # fmt: skip
def test_given_odd_layouts_when_written_then_each_line_by_itself(
    tmp_path, data, faults, names, chunk
) -> None:
    written = write(tmp_path, data, chunk=chunk)
    assert written.faults == faults
    assert written.names == list(names) if names else written.data == b"[]"
    assert written.counts.read == len(faults) + len(names)
    if names:
        assert chain(tmp_path, written).names == list(names)


def test_given_several_objects_when_one_is_bad_then_its_own_text_is_told(tmp_path) -> None:
    bad = as_line(BAD)
    written = write(tmp_path, LINE + bad + LINE)
    assert bad.decode() in written.rejects[0]["original"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "rule"),
    cases(
        ("as long as can be", 0, None),
        ("one byte more", 1, "too-long"),
    ),
)
def test_given_the_longest_line_when_written_then_one_byte_decides(tmp_path, more, rule) -> None:
    short = as_line(with_extras('{"a":""}'))
    line = short.replace(b'""', b'"%s"' % (b"x" * (MAX_LINE - len(short) + more)))
    written = write(tmp_path, as_lines(A) + line + b"\n" + as_lines(B))
    assert written.faults == ([(2, rule, None)] if rule else [])
    assert written.counts.exported == (2 if rule else 3)
    if rule:
        assert written.rejects[0]["original"].startswith(line[:500].decode())
        assert len(written.rejects[0]["original"]) < 2000
    else:
        assert chain(tmp_path, written).done.rows == 3


def test_given_a_long_line_with_other_faults_when_written_then_too_long(tmp_path) -> None:
    written = write(tmp_path, b"\xff" * (MAX_LINE + 1) + b"\n" + as_lines(A) + b"[" * (MAX_LINE + 1))
    assert written.faults == [(1, "too-long", None), (3, "too-long", None)]
    assert written.data == exported(A)


# -- names that nobody declared ----------------------------------------------------------------------------


def test_given_60_undeclared_names_when_written_then_50_are_told(tmp_path) -> None:
    more = {f"f{n:02}": "1" for n in range(60)}
    counts = write(tmp_path, as_lines(event(**more), A)).counts
    assert len(counts.unknown_fields) == 51
    assert counts.unknown_fields["*"] == 10
    assert sum(counts.unknown_fields.values()) == 60


@pytest.mark.parametrize("length", [4, 3000])
def test_given_other_names_in_every_line_when_written_then_few_are_told(tmp_path, length) -> None:
    lines = as_lines(*(event(common="1", **{f"{n:04}".ljust(length, "k"): "1"}) for n in range(300)))
    counts = write(tmp_path, lines).counts
    assert counts.exported == 300
    assert counts.unknown_fields["common"] == 300
    assert counts.unknown_fields["*"] == 300 - 49
    assert sum(counts.unknown_fields.values()) == 600
    assert all(len(name) <= 65 for name in counts.unknown_fields)
    assert len(json.dumps(counts.to_json())) < 10_000


def test_given_12000_undeclared_names_when_written_then_none_is_lost(tmp_path) -> None:
    lines = as_lines(*(event(**{f"n{n}": "1"}) for n in range(12_000)), event(**{"*": "1"}))
    unknown = write(tmp_path, lines).counts.unknown_fields
    assert (len(unknown), sum(unknown.values())) == (51, 12_001)


def test_given_long_names_that_begin_alike_when_written_then_one_name(tmp_path) -> None:
    lines = as_lines(*(event(**{"k" * 100 + str(n): "1"}) for n in range(3)))
    assert write(tmp_path, lines).counts.unknown_fields == {"k" * 64 + "…": 3}


def test_given_undeclared_names_when_counted_then_of_usable_records_only(tmp_path) -> None:
    outside = event(timestamp='"2025-03-24T00:00:00Z"', x="1", y="1")
    counts = write(tmp_path, as_lines(event(x="1"), outside, event(None, x="1"), A)).counts
    assert (counts.unknown_fields, counts.outside_window, counts.rejected) == ({"x": 2, "y": 1}, 1, 1)


# -- what the halves must agree on, whatever they say ------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    cases(
        ("name: only NBSP", event('"\xa0"')),
        ("name: only U+2003", event('"\u2003"')),
        ("name: only NUL", event(r'"\u0000"')),
        ("name: only a form feed", event(r'"\f"')),
        ("name: zero-width space", event('"\u200b"')),
        ("name: lone surrogate, then good", event(r'"\ud83d"', more=',"name":"good"')),
        ("extras: deep, then good", event(extras=f'{{"v":{deep(600)}}}', more=',"extras":{}')),
        ("name: 200,000 astral characters", event(f'"{"😀" * 200_000}"')),
        ("name: 300,000 astral units", event(f'"{"😀" * 150_000}"')),
        ("time: year 1", event(timestamp='"0001-01-01T00:00:00Z"')),
        ("time: year 9999", event(timestamp='"9999-12-31T23:59:59.999999Z"')),
    ),
)
def test_given_what_the_server_lets_pass_when_converted_then_a_row(tmp_path, record) -> None:
    written = write(tmp_path, as_lines(A, record, B), window=None)
    assert written.counts.rejected + written.counts.exported == 3
    assert chain(tmp_path, written, window=None).done.rows == written.counts.exported


@pytest.mark.long
def test_given_any_depth_at_which_parsers_stop_when_taken_then_as_any(tmp_path) -> None:
    # A parser's own limit depends on who calls it, so it is looked for.
    for levels in range(860, 1010):
        odd = event(extras=f'{{"v":{deep(levels)}}}')
        lines = as_lines(A, odd, event('"u"', x=deep(levels)))
        written = write(tmp_path, lines)
        assert (written.faults, written.names) == ([(2, "too-deep", None)], ["a", "u"]), levels
        done = convert(tmp_path, b"[%s]" % element(A, odd, event('"u"', x=deep(levels))))
        assert (done.faults, done.names) == ([(1, 2, "too-deep", None)], ["a", "u"]), levels


def test_given_devices_and_their_tags_when_both_have_bad_lines_then_those(tmp_path) -> None:
    files = {
        "devices/2025-03-23/a.ndjson": raw("Device") + b"\n" + raw("Device", meta="[]"),
        "tags/2025-03-23/a.ndjson": b"\n".join(
            [raw("Tag"), raw("Tag", value="nan"), raw("Tag", key='"l"', value='{"a":1e3}'), raw("Tag", x="1")]
        ),
    }
    written = write(tmp_path, files, "Device")
    assert written.faults == [(2, "wrong-type", "meta"), (2, "not-json", None)]
    assert [one["file"] for one in written.rejects] == sorted(files)
    assert json.loads(written.data)[0]["appInfo"] == {"k": 1, "l": {"a": 1000.0}}
    assert written.counts.unknown_fields == {"x": 1}
    assert chain(tmp_path, written, "Device").column("appInfo") == ['{"l":{"a":1e3},"k":1}']


# -- gzip --------------------------------------------------------------------------------------------------


def zipped(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def write_gzip(folder, data: bytes, chunk: int = 1 << 20):
    return write(folder, {"events/2025-03-23/a.ndjson.gz": data}, chunk=chunk)


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize(
    ("data", "faults", "names"),
    cases(
        ("one member", zipped(as_lines(A, BAD, B)), [(2, *FAULT)], "ab"),
        ("several members", zipped(as_lines(A), as_lines(BAD), as_lines(B)), [(2, *FAULT)], "ab"),
        ("cut within a line", zipped(as_lines(A)[:20], as_lines(A)[20:] + as_lines(B)), [], "ab"),
        ("each with a mark", zipped(MARK + as_lines(A), MARK + as_lines(B)), [], "ab"),
        ("empty members", zipped(b"", as_lines(A), b"", b"", as_lines(B), b""), [], "ab"),
        ("only an empty member", zipped(b""), [], ""),
        ("zeros at the end", zipped(as_lines(A)) + b"\0" * 512, [], "a"),
        ("objects across members", zipped(LINE, as_line(B)), [], "ab"),
        ("no newline at the end", zipped(as_lines(A, B)[:-1]), [], "ab"),
        ("zipped twice", zipped(zipped(as_lines(A))), None, ""),
    ),
)
def test_given_gzip_members_when_written_then_the_lines_of_all(tmp_path, data, faults, names, chunk) -> None:
    written = write_gzip(tmp_path, data, chunk)
    assert written.data == exported(*(event(f'"{name}"') for name in names))
    if faults is not None:
        assert written.faults == faults


@pytest.mark.parametrize(
    ("data", "error"),
    cases(
        ("cut in the middle", zipped(as_lines(A, B))[:-20], Truncated),
        ("cut in the checksum", zipped(as_lines(A))[:-3], Truncated),
        ("cut in the second header", zipped(as_lines(A)) + zipped(as_lines(B))[:5], Truncated),
        ("no bytes", b"", Truncated),
        ("plain lines", as_lines(A), DataError),
        ("zlib", zlib.compress(as_lines(A)), DataError),
        ("garbage behind", zipped(as_lines(A)) + b"garbage", DataError),
        ("zeros before", b"\0\0" + zipped(as_lines(A)), DataError),
        ("wrong checksum", zipped(as_lines(A))[:-8] + b"12345678", DataError),
        ("Parquet", b"PAR1" * 9, DataError),
    ),
)
def test_given_a_broken_gzip_file_when_written_then_it_is_named(tmp_path, data, error) -> None:
    with pytest.raises(error, match=r"a\.ndjson\.gz"):
        write_gzip(tmp_path, data)


def test_given_devices_on_one_line_when_written_then_an_element_each(tmp_path) -> None:
    lines = b"".join(as_line(A, f"d{n}") for n in range(50))
    written = write(tmp_path, lines)
    assert (written.counts.read, written.counts.exported, written.counts.elements) == (50, 50, 50)
    assert {row["deviceId"] for row in chain(tmp_path, written).rows} == {f"d{n}" for n in range(50)}


def test_given_reserved_words_for_groups_when_written_then_they_stay_apart(tmp_path) -> None:
    devices = ["null", "", '\\"', "a\\u001fb", "NaN", DEVICE.upper(), DEVICE, f" {DEVICE}"]
    written = write(tmp_path, b"\n".join(as_line(A, device) for device in devices))
    assert written.faults == [(2, "blank", "deviceId")]
    assert written.counts.elements == len(devices) - 1
    assert AT.encode() in written.data
    assert len({row["deviceId"] for row in chain(tmp_path, written).rows}) == len(devices) - 1
