"""Export files that are not what they should be: exactly the record at fault goes, the others are rows."""

import gzip
import json
from typing import Any

import pytest
from hostile import (
    AFTER,
    AT,
    BEFORE,
    DEVICE,
    GOOD,
    HOSTILE,
    LONGEST,
    MARK,
    Odd,
    cases,
    convert,
    element,
    event,
    listed,
    odd_cases,
    shortened,
    shows,
)

from mobexport.errors import DataError, Truncated

pytestmark = pytest.mark.long

A, B, C = (event(f'"{name}"') for name in "abc")
SOUND = element(event('"good"'))
GROUP = f'"deviceId":"{DEVICE}",'


@pytest.mark.parametrize("odd", odd_cases(HOSTILE))
def test_given_a_hostile_record_when_converted_then_it_alone_goes(tmp_path, odd: Odd) -> None:
    done = convert(tmp_path, listed(element(BEFORE.record, odd.record, AFTER.record), SOUND))
    assert done.faults == [(1, 2, odd.rule, odd.field)]
    assert shows(done.rejects[0]["original"], odd.record)
    assert [shortened(row) for row in done.rows[:2]] == [BEFORE.row, AFTER.row]
    assert done.names == ["before", "after", "good"]


@pytest.mark.parametrize("odd", odd_cases(GOOD))
def test_given_an_odd_but_good_record_when_converted_then_a_row(tmp_path, odd: Odd) -> None:
    done = convert(tmp_path, listed(element(BEFORE.record, odd.record, AFTER.record)))
    assert done.faults == []
    assert [shortened(row) for row in done.rows] == [shortened(one.row) for one in (BEFORE, odd, AFTER)]


def lists(levels: int) -> str:
    return "[" * levels + "]" * levels


def group(text: str) -> bytes:
    return element(A, B, group=f'"deviceId":{text},')


def with_list(text: str) -> bytes:
    return f'{{{GROUP}"events":{text}}}'.encode()


def beside(*pairs: str) -> bytes:
    """An element of those members and its list of `A` and `B`, where `LIST` stands."""
    return b"{%s}" % ",".join(pairs).encode().replace(b"LIST", b'"events":[%s,%s]' % (A, B))


def each(rule: str, field: str | None = "deviceId") -> list[Any]:
    """Both records are rejects for that reason."""
    return [(1, rule, field), (2, rule, field)]


ELEMENTS = cases(
    # (id, element, faults within it, names of its rows)
    *((f"element: {name}", text.encode(), [(1, "not-an-object", None)], "") for name, text in (
        ("number", "5"), ("null", "null"), ("true", "true"), ("string", '"text"'), ("empty list", "[]"),
        ("list with an object", '[{"name":"x"}]'), ("5000 lists", lists(5000)), ("1.0e1", "[1.0e1]"),
    )),
    *((f"element: {name}", text, [(1, "not-json", None)], "") for name, text in (
        ("NaN", b"NaN"), ("half a word", b"tru"), ("raw newline in a string", b'"a\nb"'),
        ("leading zero", b"01"), ("NUL in a string", b'"\0"'), ("raw NUL", b"\0"),
    )),
    ("element: not UTF-8", b'"\xe9"', [(1, "not-utf8", None)], ""),
    ("list: missing", b'{"deviceId":"d"}', [(1, "missing", "events")], ""),
    ("list: in other case", b'{"deviceId":"d","Events":[%s]}' % A, [(1, "missing", "events")], ""),
    *((f"list: {text}", with_list(text), [(1, rule, "events")], "") for text, rule in (
        ("null", "missing"), ("5", "wrong-type"), ('"[]"', "wrong-type"), ("{}", "wrong-type"),
        ("true", "wrong-type"),
    )),
    *((f"list: {text}", with_list(text), [(1, "not-json", None)], "")
      for text in ("NaN", "tru", "[tru]", "[nan]")),
    ("list: empty", with_list("[]"), [], ""),
    ("list: empty, with spaces", with_list("[ \n ]"), [], ""),
    ("list: empty, comma behind it", b'{%s"events":[],}' % GROUP.encode(), [(1, "not-json", None)], ""),
    ("list: of scalars", with_list('[5,null,"x"]'), [(n, "not-an-object", None) for n in (1, 2, 3)], ""),
    ("list: of lists", with_list(f"[[{A.decode()}]]"), [(1, "not-an-object", None)], ""),
    ("list: name with an escape", element(A, B).replace(b'"events"', rb'"\u0065vents"'), [], "ab"),
    ("list: twice", beside(GROUP + '"events":[{"name":5}]', "LIST"), [], "ab"),
    ("list: twice, null first", beside(GROUP + '"events":null', "LIST"), [], "ab"),
    ("list: twice, number first", beside(GROUP + '"events":5', "LIST"), [], "ab"),
    ("list: twice, null last", beside("LIST", GROUP + '"events":null'), [(1, "missing", "events")], ""),
    ("list: twice, object last", beside("LIST", GROUP + '"events":{}'), [(1, "wrong-type", "events")], ""),
    ("list: twice, empty last", beside("LIST", GROUP + '"events":[]'), [], ""),

    ("order: group behind the list", beside("LIST", GROUP[:-1]), [], "ab"),
    ("order: group behind, undeclared between", beside("LIST", '"x":{"events":[5]}', GROUP[:-1]), [], "ab"),
    ("order: undeclared first", beside('"x":[{"events":[]}]', GROUP[:-1], "LIST"), [], "ab"),
    ("order: undeclared last", beside(GROUP[:-1], "LIST", '"x":"]}"'), [], "ab"),

    ("beside: comma at the end", beside(GROUP[:-1], "LIST,"), [], "ab"),
    ("beside: comma, group behind", beside("LIST", GROUP), [], "ab"),
    *((f"beside: {name}, {place}", beside(*order), [], "ab")
      for name, text in (
          ("NaN", '"x":NaN'), ("nan in a list", '"x":[nan]'), ("leading zero", '"x":01'),
          ("[1,]", '"x":[1,]'), ("half a word", '"x":tru'), ("raw newline", '"x":"a\nb"'),
          ("raw NUL", '"x":"\0"'),
          ("bad escape", '"x":"\\x41"'), ("lone surrogate", r'"x":"\ud83d"'),
          ("lone surrogate in a name", r'"\ud83d":1'), ("5000 levels", f'"x":{lists(5000)}'),
          ("120000 levels", f'"x":{lists(120_000)}'), ("long text", f'"x":"{"x" * (LONGEST + 1)}"'),
          ("comment", '"x":1/**/'),
      )
      for place, order in (("before", [text, GROUP[:-1], "LIST"]), ("between", [GROUP[:-1], text, "LIST"]),
                           ("behind", [GROUP[:-1], "LIST", text]))),
    ("beside: not UTF-8", beside(GROUP[:-1], "LIST", '"x":"?"').replace(b"?", b"\xe9"), [], "ab"),
    ("beside: and a bad record",
     element(A, event(x="nan"), C, group=f'"x":NaN,{GROUP}'), [(2, "not-json", None)], "ac"),

    ("group: missing", element(A, B, group=""), each("missing"), ""),
    ("group: in other case", element(A, B, group='"DeviceId":"d",'), each("missing"), ""),
    ("group: null", group("null"), each("missing"), ""),
    ("group: number", group("5"), each("wrong-type"), ""),
    ("group: list", group('["d"]'), each("wrong-type"), ""),
    ("group: object", group("{}"), each("wrong-type"), ""),
    ("group: empty", group('""'), each("blank"), ""),
    ("group: blank", group(r'" \t"'), each("blank"), ""),
    ("group: too long", group(f'"{"d" * (LONGEST + 1)}"'), each("too-long"), ""),
    ("group: longest", group(f'"{"d" * LONGEST}"'), [], "ab"),
    ("group: lone surrogate", group(r'"\ud83d"'), each("lone-surrogate", None), ""),
    ("group: too deep", group(lists(600)), each("too-deep", None), ""),
    ("group: NaN", group("NaN"), each("not-json", None), ""),
    ("group: bad escape", group(r'"\x41"'), each("not-json", None), ""),
    ("group: number, behind the list", beside("LIST", '"deviceId":5'), each("wrong-type"), ""),
    ("group: twice", beside('"deviceId":5', GROUP[:-1], "LIST"), [], "ab"),
    ("group: twice, number last", beside(GROUP[:-1], "LIST", '"deviceId":5'), each("wrong-type"), ""),
    ("group: with escapes", group(r'"\u0064\/"'), [], "ab"),
    ("group: not UTF-8", group('"?"').replace(b"?", b"\xe9"), each("not-utf8", None), ""),
    ("group: number, a record without a name", element(event(None), A, group='"deviceId":5,'),
     each("wrong-type"), ""),
    ("group: number, no records", element(group='"deviceId":5,'), [], ""),
    ("records: all bad", element(event(None), event("nan")),
     [(1, "missing", "name"), (2, "not-json", None)], ""),
    ("records: first and last bad", element(event("nan"), A, event(more=",")),
     [(1, "not-json", None), (3, "not-json", None)], "a"),
    ("records: with the group's field", element(event('"a"', deviceId='"other"'), event('"b"', deviceId="5")),
     [], "ab"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "faults", "names"), ELEMENTS)
def test_given_an_odd_element_when_converted_then_its_good_records(tmp_path, text, faults, names) -> None:
    done = convert(tmp_path, listed(SOUND, text, SOUND))
    assert done.faults == [(2, *fault) for fault in faults]
    assert done.names == ["good", *names, "good"]
    assert len(set(done.column("deviceId"))) <= 2


def test_given_groups_of_other_types_when_converted_then_each_apart(tmp_path) -> None:
    groups = ('"d"', "5", '"5"', "null", "true", '"true"', "{}")
    done = convert(tmp_path, listed(*(element(A, group=f'"deviceId":{one},') for one in groups)))
    assert done.column("deviceId") == ["d", "5", "true"]
    assert [(n, rule) for n, _, rule, _ in done.faults] == [
        (2, "wrong-type"), (4, "missing"), (5, "wrong-type"), (7, "wrong-type")
    ]  # fmt: skip


def test_given_a_comma_behind_the_last_record_when_converted_then_rows(tmp_path) -> None:
    done = convert(tmp_path, listed(SOUND, b'{%s"events":[%s,%s,]}' % (GROUP.encode(), A, B), SOUND))
    assert done.names == ["good", "a", "b", "good"]
    assert done.faults in ([], [(2, 3, "not-json", None)])


@pytest.mark.long
@pytest.mark.parametrize("behind", [False, True], ids=["group first", "group last"])
def test_given_a_huge_element_when_records_are_bad_then_only_those(tmp_path, behind) -> None:
    records = [event(f'"{n}"', extras='{"t":"' + "x" * 200 + '"}') for n in range(20_000)]
    bad = {1: event("nan"), 9_999: event(None), 10_000: b"5", 20_000: event(r'"\ud83d"')}
    for number, text in bad.items():
        records[number - 1] = text
    huge = element(*records)
    if behind:
        huge = b'{"events":[%s],"x":NaN,%s}' % (b",".join(records), GROUP[:-1].encode())
    done = convert(tmp_path, listed(SOUND, huge, SOUND))
    assert done.faults == [
        (2, 1, "not-json", None), (2, 9_999, "missing", "name"), (2, 10_000, "not-an-object", None),
        (2, 20_000, "lone-surrogate", None),
    ]  # fmt: skip
    assert [shows(one["original"], bad[one["record"]]) for one in done.rejects] == [True] * 4
    assert done.names == ["good", *(str(n) for n in range(20_000) if n + 1 not in bad), "good"]


@pytest.mark.long
def test_given_a_huge_element_without_its_group_when_converted_then_all_go(tmp_path) -> None:
    huge = element(*[event(extras='{"t":"' + "x" * 500 + '"}')] * 10_000, group="")
    done = convert(tmp_path, listed(huge, SOUND))
    assert done.done.rules == {"missing:deviceId": 10_000}
    assert done.names == ["good"]


# -- layouts, and what makes a file as a whole unusable ----------------------------------------------------

FILE = [
    {"deviceId": DEVICE, "events": [{"name": "a", "timestamp": AT, "extras": {"x": [1, 2], "t": "]}"}}]},
    {"deviceId": DEVICE, "events": [{"name": "b", "timestamp": AT}, {"name": "c", "timestamp": AT}]},
]


def laid_out(**options: Any) -> bytes:
    return json.dumps(FILE, **options).encode()


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "data",
    cases(
        ("one line", laid_out(separators=(",", ":"))),
        ("tabs", laid_out(indent="\t")),
        ("spaces", laid_out(indent=4)),
        ("comma first", laid_out(indent=1).replace(b",\n", b"\n, ")),
        ("colon on a line of its own", laid_out(indent=0).replace(b": ", b"\n:\n")),
        ("CRLF", laid_out(indent=1).replace(b"\n", b"\r\n")),
        ("CR", laid_out(indent=1).replace(b"\n", b"\r")),
        ("byte order mark", MARK + laid_out()),
        ("spaces around", b" \r\n\t" + laid_out() + b"\n \r\n"),
        ("members sorted backwards", json.dumps([dict(reversed(one.items())) for one in FILE]).encode()),
        ("escapes in names", laid_out().replace(b'"name"', rb'"n\u0061me"')),
    ),
)
def test_given_any_legal_layout_when_converted_then_the_same_rows(tmp_path, data, chunk) -> None:
    done = convert(tmp_path, data, chunk=chunk)
    assert done.faults == []
    assert done.names == ["a", "b", "c"]
    assert done.column("extras") == ['{"x":[1,2],"t":"]}"}', None, None]


WHOLE = listed(SOUND, SOUND)


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize(
    ("data", "error"),
    cases(
        ("no bytes", b"", Truncated),
        ("only spaces", b" \n", Truncated),
        ("only a mark", MARK, Truncated),
        ("cut: after the bracket", b"[", Truncated),
        ("cut: before the bracket", WHOLE[:-1], Truncated),
        ("cut: in a string", WHOLE[:-9], Truncated),
        ("cut: behind a comma", WHOLE[:-1] + b",", Truncated),
        ("cut: behind an element", b"[" + SOUND, Truncated),
        ("no array: an object", SOUND, DataError),
        ("no array: null", b"null", DataError),
        ("no array: a string", b'"[]"', DataError),
        ("no array: lines", SOUND + b"\n" + SOUND, DataError),
        ("no array: XML", b"<Error><Code>NotFound</Code></Error>", DataError),
        ("no array: UTF-16", WHOLE.decode().encode("utf-16"), DataError),
        ("no array: an object in gzip", gzip.compress(SOUND, mtime=0), DataError),
        ("behind: text", WHOLE + b"x", DataError),
        ("behind: another array", WHOLE + b"\n" + WHOLE, DataError),
        ("behind: NUL", WHOLE + b"\0", DataError),
        ("behind: a bracket", WHOLE + b"]", DataError),
        ("behind: a comma", WHOLE + b",", DataError),
        ("behind: an empty array", b"[]" + WHOLE, DataError),
        ("comma: at the end", WHOLE[:-1] + b",]", DataError),
        ("comma: only one", b"[,]", DataError),
        ("comma: first", b"[," + WHOLE[1:], DataError),
        ("comma: two", listed(SOUND, b"", SOUND), DataError),
        ("comma: none", b"[" + SOUND + SOUND + b"]", DataError),
        ("comma: a colon", b"[%s:%s]" % (SOUND, SOUND), DataError),
        ("brackets: ] for }", listed(SOUND[:-1] + b"]"), DataError),
        ("brackets: } for ]", listed(SOUND.replace(b"]", b"}")), DataError),
        ("brackets: } for the file's", WHOLE[:-1] + b"}", DataError),
        ("brackets: one closed too early", listed(SOUND[:-2] + b"}"), DataError),
        ("quotes: one too many", listed(SOUND.replace(b'"good"', b'"good""'), SOUND), Truncated),
    ),
)
def test_given_a_file_that_is_no_whole_array_when_converted_then_raises(tmp_path, data, error, chunk) -> None:
    with pytest.raises(error) as caught:
        convert(tmp_path, data, chunk=chunk)
    assert type(caught.value) is error


def test_given_a_file_without_elements_when_converted_then_nothing(tmp_path) -> None:
    for data in (b"[]", b" [ \n ] \r\n"):
        done = convert(tmp_path, data)
        assert (done.done.records, done.rows, done.done.outputs) == (0, [], ())


# -- elements that are their own records -------------------------------------------------------------------


def job(text: str = "", more: str = "") -> bytes:
    return f'{{"jobId":"j","deviceId":"d","name":"n","start":"{AT}"{text}{more}}}'.encode()


def device(text: str) -> bytes:
    return f'{{"deviceId":"d"{text}}}'.encode()


def push(status: str, number: str = "1", kind: str = '"Poll"') -> bytes:
    return f'{{"deviceId":"d","campaignType":{kind},"campaignId":{number},"status":{status}}}'.encode()


FLAT = cases(
    ("job: NaN undeclared", "Job", job(), job(',"x":NaN'), "not-json", None),
    ("job: comma at the end", "Job", job(), job(","), "not-json", None),
    ("job: end is no time", "Job", job(), job(',"end":"soon"'), "bad-time", "end"),
    ("job: end on the next day", "Job", job(), job(f',"end":"{AT.replace("23T", "24T")}"'), None, None),
    ("job: lone surrogate undeclared", "Job", job(), job(r',"x":"\ud83d"'), "lone-surrogate", None),
    ("job: deep extras", "Job", job(), job(f',"extras":{{"v":{lists(512)}}}'), "too-deep", None),
    ("job: outside", "Job", job(), job().replace(b"03-23", b"03-24"), "outside-window", "start"),
    ("job: not UTF-8", "Job", job(), job(',"x":"?"').replace(b"?", b"\xe9"), "not-utf8", None),
    *((f"device: firstSeen {text}", "Device", device(""), device(f',"meta":{{"firstSeen":{text}}}'), rule,
       "meta.firstSeen" if rule == "wrong-type" else None)
      for text, rule in (
          ("-0", None), ("9" * 18, None), ("1.0", "wrong-type"), ("1e3", "wrong-type"),
          ("9" * 19, "wrong-type"), ("NaN", "not-json"),
      )),
    ("device: meta is a list", "Device", device(""), device(',"meta":[]'), "wrong-type", "meta"),
    ("device: location before the device", "Device", device(""), b'{"deviceId":5,"location":5}',
     "wrong-type", "location"),
    ("device: appInfo is text", "Device", device(""), device(',"appInfo":"{}"'), "wrong-type", "appInfo"),
    ("device: appInfo deep", "Device", device(""), device(f',"appInfo":{{"v":{lists(512)}}}'),
     "too-deep", None),
    ("device: undeclared member deep", "Device", device(""), device(f',"meta":{{"x":{lists(600)}}}'),
     None, None),
    ("device: text too long", "Device", device(""), device(f',"info":{{"locale":"{"x" * (LONGEST + 1)}"}}'),
     "too-long", "info.locale"),
    ("push: flag twice", "Push", push('["Queued"]'), push(r'["Queued","\u0051ueued"]'), "twice", "status"),
    ("push: flag of no kind", "Push", push('["Queued"]'), push('["queued"]'), "unknown-value", "status"),
    ("push: flag is a number", "Push", push('["Queued"]'), push("[1]"), "wrong-type", "status"),
    ("push: flags are text", "Push", push('["Queued"]'), push('"Queued"'), "wrong-type", "status"),
    ("push: no flags", "Push", push('["Queued"]'), push("null"), "missing", "status"),
    ("push: no flag", "Push", push('["Queued"]'), push("[]"), None, None),
    ("push: flags deep", "Push", push('["Queued"]'), push(lists(5000)), "too-deep", None),
    ("push: comma in flags", "Push", push('["Queued"]'), push('["Queued",]'), "not-json", None),
    ("push: campaign 5.0", "Push", push('["Queued"]'), push("[]", "5.0"), "wrong-type", "campaignId"),
    ("push: kind of campaign", "Push", push('["Queued"]'), push("[]", kind='"poll"'),
     "unknown-value", "campaignType"),
)  # fmt: skip


@pytest.mark.parametrize(("export_type", "good", "text", "rule", "field"), FLAT)
def test_given_odd_flat_elements_when_converted_then_each_alone(
    tmp_path, export_type, good, text, rule, field
) -> None:
    done = convert(tmp_path, listed(good, text, good), export_type)
    assert done.faults == ([(2, 1, rule, field)] if rule else [])
    assert done.done.rows == (2 if rule else 3)
    assert done.done.records == 3
    if rule:
        assert shows(done.rejects[0]["original"], text)


def tags(*pairs: str) -> bytes:
    return f'{{"deviceId":"d","appInfo":{{{",".join(pairs)}}}}}'.encode()


@pytest.mark.parametrize(
    ("text", "faults", "rows"),
    cases(
        ("value: nan", tags('"a":1', '"b":nan', '"c":1e3'), [(2, "not-json", None)], {"a": "1", "c": "1e3"}),
        ("value: [1,]", tags('"a":[1,]', '"b":2'), [(1, "not-json", None)], {"b": "2"}),
        ("value: lone surrogate", tags(r'"a":"\ud83d"', '"b":2'), [(1, "lone-surrogate", None)], {"b": "2"}),
        ("value: too deep", tags(f'"a":{lists(513)}', '"b":2'), [(1, "too-deep", None)], {"b": "2"}),
        ("value: not UTF-8", tags('"a":"?"', '"b":2').replace(b"?", b"\xe9"),
         [(1, "not-utf8", None)], {"b": "2"}),
        ("key: lone surrogate", tags(r'"\ud83d":1', '"b":2'), [(1, "lone-surrogate", None)], {"b": "2"}),
        ("key: blank", tags('" ":1', '"b":2'), [(1, "blank", "key")], {"b": "2"}),
        ("key: empty", tags('"":1', '"b":2'), [(1, "blank", "key")], {"b": "2"}),
        ("key: too long", tags(f'"{"k" * (LONGEST + 1)}":1', '"b":2'), [(1, "too-long", "key")], {"b": "2"}),
        ("key: with escapes", tags(r'"\u0061\"\/":1'), [], {'a"/': "1"}),
        ("key: of a member", tags('"deviceId":1', '"appInfo":{}'), [], {"deviceId": "1", "appInfo": "{}"}),
        ("map: null", b'{"deviceId":"d","appInfo":null}', [(1, "missing", "appInfo")], {}),
        ("map: missing", b'{"deviceId":"d"}', [(1, "missing", "appInfo")], {}),
        ("map: list", b'{"deviceId":"d","appInfo":[]}', [(1, "wrong-type", "appInfo")], {}),
        ("map: empty", tags(), [], {}),
        ("group: number", tags('"a":1', '"b":2').replace(b'"d"', b"5"),
         [(1, "wrong-type", "deviceId"), (2, "wrong-type", "deviceId")], {}),
        ("element: number", b"5", [(1, "not-an-object", None)], {}),
        ("element: NaN undeclared", tags('"a":1')[:-1] + b',"x":NaN}', [], {"a": "1"}),
    ),
)  # fmt: skip
def test_given_odd_tags_when_converted_then_each_alone(tmp_path, text, faults, rows) -> None:
    good = tags('"good":true')
    done = convert(tmp_path, listed(good, text, good), "Tag")
    assert done.faults == [(2, *fault) for fault in faults]
    found = [(row["key"], row["value"]) for row in done.rows]
    assert found == [("good", "true"), *rows.items(), ("good", "true")]


@pytest.mark.parametrize("pair", [":2", '"b"', "2", '"b" 2', r'"\x41":2', '"b\n":2', '{"b":2}'])
def test_given_a_tag_that_is_no_pair_when_converted_then_one_reject(tmp_path, pair) -> None:
    good = tags('"good":true')
    done = convert(tmp_path, listed(good, tags('"a":1', pair, '"c":3'), good), "Tag")
    assert done.done.rules == {"not-json": 1}
    assert done.faults[0][0] == 2
    # Either the pair alone, or the element, if nothing tells its pairs apart.
    assert done.column("key") in (["good", "a", "c", "good"], ["good", "good"])


def test_given_devices_when_converted_then_objects_are_struct_columns(tmp_path) -> None:
    texts = (
        ',"meta":{"firstSeen":-0,"nativePushEnabled":true,"x":[1]},"location":{"region":"a"}',
        ',"meta":{},"info":null,"appInfo":{"a":1e3, "b":"\\u00e9"}',
        "",
    )
    rows = convert(tmp_path, listed(*map(device, texts)), "Device").rows
    first = rows[0]["meta"]
    assert (first["firstSeen"], first["lastSeen"], first["nativePushEnabled"]) == (0, None, True)
    assert rows[0]["location"] == {"countrycode": None, "region": "a", "locality": None}
    assert rows[1]["meta"] == dict.fromkeys(first)
    assert (rows[0]["info"], rows[1]["info"], rows[2]["meta"]) == (None, None, None)
    assert [row["appInfo"] for row in rows] == [None, '{"a":1e3,"b":"\\u00e9"}', None]
    assert [*rows[0]] == ["app", "deviceId", "meta", "info", "location", "appInfo"]


def test_given_activities_when_a_group_is_broken_then_all_of_its_records(tmp_path) -> None:
    session = "a" * 32
    heads = (
        b'"sessionId":"%s",' % session.encode(),
        b'"sessionId":5,',
        b"",
        b'"sessionId":null,"deviceId":5,',
    )
    texts = [b'{%s"activities":[%s]}' % (head, A) for head in heads]
    done = convert(tmp_path, listed(*texts), "Activity")
    assert done.faults == [(2, 1, "wrong-type", "sessionId"), (4, 1, "wrong-type", "deviceId")]
    assert done.column("sessionId") == [session, None]
    assert done.done.lenient == {"missing:sessionId": 1}
