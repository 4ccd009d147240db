"""Every type and format against the oracle: whatever lines come, the bytes and counts of the rules."""

import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import export_oracle as oracle
import jsonschema
import local_ports as ports
import pytest
from export_oracle import Line, RawText
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from type_table import HISTORICAL, TYPES

from mobexport import export_types
from mobexport.export_api.writer import scale_out
from mobexport.export_api.writer.export_file import ExportFormat, RawFile, Selection, write_export
from mobexport.records.limits import Limits

SCHEMA = json.loads((Path(__file__).parents[2] / "data/export-files.schema.json").read_text("utf-8"))["$defs"]
WINDOW = (date(2025, 3, 1), date(2025, 3, 2))
KINDS = {
    "id": "s", "text": "s", "time": "t", "object": "o", "json": "j", "int": "i", "bool": "b", "campaign": "c",
    "flag": "f", "meta": "m", "info": "n", "location": "l",
}  # fmt: skip
OBJECTS = [
    "{}", '{"a":1}', '{"a":1e3}', '{"b":null,"a":-0,"b":0.10}', '{"\\u00e9":"\\/ é 😀"}',
    '{"n":123456789012345678901}',
    '{"x":"NaN, Infinity","deep":[[{"extras":{}}]]}', '{"s":"a  b","q":"\\"\\\\"}', '{"a,b":"c\\r\\nd"}',
]  # fmt: skip
ANY = [*OBJECTS, "1", "1.50", "true", '"text"', '""', "[1,[]]", "12345678901234567890123", "-1E-7"]
TEXTS = ["n", "é\n", "\\", 'k"', " x", "a,b", "😀", "\t.", "x" * 40, "\x7f", "null"]
IDS = ["d1", "d2", "d3", "dé", 'd"4', "9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f"]
BAD_LINES = [
    b"{", b"[]", b"5", b'{"a":NaN}', b"nope", b"\x00", b'\xff{"deviceId":"d"}', b'"x"',
    b'{"a":"\\ud83d"}', b"{}}",
    b'{"deviceId":"d"}', b"\x01", b"null",
]  # fmt: skip
WRONG: dict[str, list[str]] = {
    "s": ["5", "{}", "1e15", "[1]", "true"],
    "t": ['"soon"', "1742724000", '"2025-03-01"', '"2025-02-30T00:00:00Z"'],
    "o": ['"{}"', "1", "[]"], "b": ["1", '"true"'],
    "i": ['"7"', "true", "{}", "[1]", "1.0", "1e3", "1234567890123456789"],
    "c": ['"Fax"', "1"], "f": ['"Seen"', '"queued"'],
    "m": ["1", '"x"', '{"firstSeen":"now"}', '{"lastSeen":1.5}'],
    "n": ["[]", '{"phoneModel":1}'], "l": ['{"region":{}}'],
}  # fmt: skip


@st.composite
def times(draw: st.DrawFn) -> tuple[datetime, str]:
    """An instant around the window and one of the ways to write it; few of them, so that ties are common."""
    micro = draw(st.sampled_from([0, 0, 5_000, 999_999]))
    seconds = draw(st.sampled_from([-1, 0, 1, 3600, 86_400, 2 * 86_400 - 1, 2 * 86_400]))
    at = datetime(2025, 3, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micro)
    offset = draw(st.sampled_from([None, None, 0, 90, -345]))
    local = at if offset is None else at.astimezone(timezone(timedelta(minutes=offset)))
    fraction = [f".{micro:06}", f".{micro:06}9"]
    if micro % 1000 == 0:
        fraction.append(f".{micro // 1000:03}")
    text = local.strftime("%Y-%m-%dT%H:%M:%S") + draw(st.sampled_from(fraction))
    if offset is None:
        return at, text + draw(st.sampled_from("ZZz"))
    sign = "-" if offset < 0 else "+"
    return at, f"{text}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"


def members(draw: st.DrawFn, kind: str) -> tuple[dict[str, Any], str, list[str], bool]:
    """An object of a device: its values, its text, names in it that nobody declared, whether it is faulty."""
    choices: dict[str, list[Any]] = {
        "m": [("firstSeen", 5), ("firstSeen", 17), ("lastSeen", 3), ("lastSeen", 99), ("lastInfo", 0),
              ("nativePushEnabled", True), ("nativePushEnabled", False)],
        "n": [("phoneModel", "Pixel, 4"), ("phoneModel", ""), ("androidAPILevel", 33), ("locale", "é"),
              ("timeZoneOffset", -90)],
        "l": [("countrycode", "in"), ("region", 'K"A')],
    }  # fmt: skip
    values = dict(draw(st.lists(st.sampled_from(choices[kind]), max_size=4)))
    unknown = draw(st.sampled_from([[], [], [], ["colour"]]))
    pairs = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in values.items()]
    pairs += [f'"{name}":[1.50]' for name in unknown]
    if faulty := draw(st.integers(0, 8)) == 0:
        name, type_ = {"m": ("lastLocation", "i"), "n": ("serviceVersion", "s"), "l": ("locality", "s")}[kind]
        pairs.append(f'"{name}":{draw(st.sampled_from(WRONG[type_]))}')
    outer = {"m": "meta", "n": "info", "l": "location"}[kind]
    return values, "{" + ",".join(pairs) + "}", [f"{outer}.{name}" for name in unknown], faulty


@st.composite
def raw_lines(draw: st.DrawFn, type_: str, files: list[str]) -> Line:
    file = draw(st.sampled_from(files))
    if draw(st.integers(0, 12)) == 0:
        return Line(file, draw(st.sampled_from(BAD_LINES)), rejected=True)
    values: dict[str, Any] = {}
    unknown: list[str] = []
    pairs: list[tuple[str, str]] = []
    rejected = False
    wrong = draw(st.integers(0, 60))
    for n, field in enumerate(TYPES[type_].raw):
        name, required, kind = field.name, field.raw == "!", KINDS[field.kind]
        if (n == wrong and kind != "j") or (required and draw(st.integers(0, 60)) == 0):
            pairs.append(
                (name, draw(st.sampled_from([*WRONG[kind], *(["null", '""', '" \\t"'] if required else [])])))
            )
            rejected = True
            continue
        if not required and draw(st.integers(0, 2)) == 0:
            if draw(st.booleans()):
                pairs.append((name, "null"))
            continue
        if kind == "t":
            values[name], time = draw(times())
            text = json.dumps(time)
        elif kind in "oj":
            values[name] = RawText(draw(st.sampled_from(OBJECTS if kind == "o" else ANY)))
            text = str(values[name])
        elif kind in "mnl":
            values[name], text, more, faulty = members(draw, kind)
            unknown += more
            rejected |= faulty
        else:
            values[name] = draw(st.sampled_from({
                "s": IDS if name.endswith("Id") else TEXTS, "c": ["Poll", "DataPush"], "i": [1, 7, -3],
                "f": ["None", "Queued", "ContentExited"], "b": [True, False],
            }[kind]))  # fmt: skip
            text = json.dumps(values[name], ensure_ascii=draw(st.booleans()))
        pairs.append((name, text))
    if draw(st.integers(0, 3)) == 0:
        pairs.append(("more", draw(st.sampled_from(["1", "null", '{"a":[1.50]}', '"x"', '{"extras":{}}']))))
        unknown.append("more")
    if draw(st.integers(0, 15)) == 0 and pairs:
        pairs = [(pairs[0][0], '"an earlier one"'), *pairs]
    else:
        pairs = draw(st.permutations(pairs)) if draw(st.booleans()) else pairs
    colon, comma = draw(st.sampled_from([(":", ","), (":", ","), (": ", ", "), ("\t:", " ,\r")]))
    text = "{" + comma.join(f'"{name}"{colon}{value}' for name, value in pairs) + "}"
    if rejected:
        values, unknown = {}, []
    return Line(file, text.encode(), values, tuple(unknown), rejected)


def laid_out(lines: list[Line], endings: Callable[[], bytes]) -> dict[str, bytes]:
    """Files of the lines; numbers the lines."""
    contents: dict[str, bytes] = {}
    for line in lines:
        before = contents.get(line.file, b"")
        line.number = before.count(b"\n") + 1
        contents[line.file] = before + line.text + endings()
    return contents


def packed(name: str, data: bytes, cut: int) -> bytes:
    """The bytes of the file: gzip files have two members."""
    if not name.endswith(".gz"):
        return data
    at = min(cut * 7, len(data))
    return gzip.compress(data[:at], 1) + gzip.compress(data[at:], 6)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, list[Line], dict[str, bytes], Selection]:
    """A type, lines of it, the files that hold them, and what is asked for."""
    type_ = draw(st.sampled_from(sorted(TYPES)))
    files = ["x/1.ndjson", "x/10.ndjson.gz", "x/2.ndjson", "é.ndjson"]
    lines = draw(st.lists(raw_lines(type_, files), max_size=25))
    if type_ == "Device":
        lines += draw(st.lists(raw_lines("Tag", ["tags/1.ndjson"]), max_size=10))
    contents = laid_out(lines, lambda: draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n", b"\n \n"])))
    cut = draw(st.integers(0, 99))
    selection = Selection(WINDOW if type_ in HISTORICAL else None)
    if type_ == "Push":
        selection = Selection(
            draw(
                st.sampled_from(
                    [None, (datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 1, 1, tzinfo=UTC))]
                )
            ),
            {"campaignType": ("Poll",), "campaignId": draw(st.sampled_from([(1,), (1, 7), (-3,)]))},
        )
    return type_, lines, {name: packed(name, data, cut) for name, data in contents.items()}, selection


def expected(type_: str, lines: list[Line], selection: Selection, *, csv: bool) -> Any:
    def only(values: dict[str, Any]) -> bool:
        if type_ != "Push":
            return True
        first, last = selection.window or (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
        return (
            values["campaignType"] in selection.only["campaignType"]
            and values["campaignId"] in selection.only["campaignId"]
            and first <= values["timestamp"] <= last
        )

    window = None if type_ == "Push" else selection.window
    return oracle.expect(type_, lines, only, window, csv)


def raw_files(contents: dict[str, bytes], chunk: int, own: str) -> list[RawFile]:
    return [
        RawFile(
            name,
            lambda data=data: (data[at : at + chunk] for at in range(0, len(data), chunk)),
            "tags" if name.startswith("tags/") else own,
        )
        for name, data in contents.items()
    ]


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(case=cases(), chunk=st.integers(1, 99), csv=st.booleans())
def test_given_any_raw_lines_then_bytes_and_counts_as_the_rules_say(case, chunk, csv) -> None:
    check(case, chunk, csv)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(case=cases(), chunk=st.integers(1, 99), csv=st.booleans())
@pytest.mark.long
def test_given_some_raw_lines_then_bytes_and_counts_as_the_rules_say(case, chunk, csv) -> None:
    check(case, chunk, csv)


def check(case: Any, chunk: int, csv: bool) -> None:
    type_, lines, contents, selection = case
    declared = export_types.get(type_)
    wanted = expected(type_, lines, selection, csv=csv)
    with TemporaryDirectory() as folder:
        target, rejects = Path(folder, "target"), Path(folder, "rejects")
        counts = write_export(
            declared,
            raw_files(contents, chunk, declared.kind),
            selection=selection,
            output=ExportFormat.CSV if csv else ExportFormat.JSON,
            target=target,
            rejects=rejects,
            workdir=Path(folder, "work"),
            limits=Limits(),
        )
        assert target.read_bytes().decode() == wanted.data.decode()
        compare_counts(counts.to_json(), wanted.counts)
        assert counts.balances()
        found = rejects.read_text("utf-8").splitlines() if rejects.exists() else []
        assert [(one["file"], one["line"]) for one in map(json.loads, found)] == wanted.rejects
        if not csv:
            schema = {**SCHEMA, "propertyBag": {"type": "object"}, "guid": {"type": "string"}}
            judge = jsonschema.Draft202012Validator(
                {"$defs": schema, "$ref": f"#/$defs/{type_.lower()}Export"}
            )
            assert not list(judge.iter_errors(json.loads(target.read_bytes())))


@pytest.mark.slow
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(
    case=cases(),
    chunk=st.integers(1, 99),
    cut=st.integers(1, 300),
    buckets=st.integers(1, 9),
    csv=st.booleans(),
)
def test_given_any_cuts_when_scaled_out_then_result_as_the_rules_say(case, chunk, cut, buckets, csv) -> None:
    check_scaled_out(case, chunk, cut, buckets, csv)


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(
    case=cases(),
    chunk=st.integers(1, 99),
    cut=st.integers(20, 300),
    buckets=st.integers(1, 3),
    csv=st.booleans(),
)
@pytest.mark.long
def test_given_some_cuts_when_scaled_out_then_result_as_the_rules_say(case, chunk, cut, buckets, csv) -> None:
    check_scaled_out(case, chunk, cut, buckets, csv)


def compare_counts(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The oracle counts rejects without their rules: those must add up."""
    assert sum(found.pop("rules").values()) == found["rejected"]
    assert found == wanted


def check_scaled_out(case: Any, chunk: int, cut: int, buckets: int, csv: bool) -> None:
    type_, lines, contents, selection = case
    wanted = expected(type_, lines, selection, csv=csv)
    names = sorted(contents)
    own = export_types.get(type_).kind
    entries = [
        scale_out.RawEntry(name, len(contents[name]), "tags" if name.startswith("tags/") else own)
        for name in names
    ]
    output = ExportFormat.CSV if csv else ExportFormat.JSON
    source = ports.MemorySource([contents[name] for name in names], chunk)
    store, target, rejects = ports.MemoryStore(), ports.MemoryTarget(), io.BytesIO()
    with TemporaryDirectory() as folder:
        given = {"workdir": Path(folder), "limits": Limits()}
        spec = scale_out.Spec(type_, output, selection, tuple(entries))
        total = sum(entry.size for entry in entries)
        spec = scale_out.plan(spec, source, slice_bytes=cut, bucket_bytes=max(total // buckets, 1))
        spec = scale_out.Spec.from_json(json.loads(json.dumps(spec.to_json())))
        numbers = [one.number for one in spec.slices]
        outcomes = {n: scale_out.partition_slice(spec, n, source, store, **given) for n in reversed(numbers)}
        if numbers:
            outcomes[0] = scale_out.partition_slice(spec, 0, source, store, **given)
        tokens = [outcomes[n]["token"] for n in numbers]
        written = [
            scale_out.write_bucket(spec, bucket, tokens, store, target)
            for bucket in reversed(range(spec.buckets))
        ]
        staged = dict(target.blocks)
        again = scale_out.write_bucket(spec, 0, tokens, store, target)
        assert again == written[-1]
        assert target.blocks == staged
        counts = scale_out.commit(spec, tokens, written, store, target, rejects)
        assert not [path for path in Path(folder).iterdir() if path.name != "spill"]
    assert target.data is not None
    assert target.data.decode() == wanted.data.decode()
    compare_counts(counts.to_json(), wanted.counts)
    found = map(json.loads, rejects.getvalue().splitlines())
    assert [(one["file"], one["line"]) for one in found] == wanted.rejects


def test_given_an_empty_string_and_no_value_then_they_differ_in_csv(tmp_path) -> None:
    line = b'{"deviceId":"d,1","timestamp":"2025-03-01T00:00:00.000Z",'
    line += b'"info":{"phoneModel":"","locale":"e\\"n"}}\n'
    write_export(
        export_types.get("Device"),
        raw_files({"devices/a.ndjson": line}, 99, "devices"),
        output=ExportFormat.CSV,
        target=tmp_path / "target",
        rejects=tmp_path / "rejects",
        workdir=tmp_path / "work",
        limits=Limits(),
    )
    row = (tmp_path / "target").read_bytes().split(b"\r\n")[1]
    assert row == b'"d,1",,,,,,"",,,,,,"e""n",,,,,,,,,,,'
