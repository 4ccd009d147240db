"""Tab-separated raw files: every line one record, one reject with its original, or none."""

import json
from pathlib import Path
from typing import Any

import pytest
from hostile import cases

from mobexport import export_types
from mobexport.export_api.writer.export_file import RawFile, write_export
from mobexport.raw_mapping import RawMapping
from mobexport.records.limits import Limits
from mobexport.records.lines import MARK

AT = "2025-03-23T10:00:00Z"
COLUMNS = ["device", "event", "at", "props", "note", "kind", "a.b"]
MAPPING = RawMapping.model_validate(
    {
        "format": "tsv",
        "columns": COLUMNS,
        "where": {"kind": "track"},
        "fields": {
            "deviceId": "device",
            "name": "event",
            "timestamp": "at",
            "sessionId": r"a\.b",
            "infoId": "props.info",
            "extras": "props.more",
        },
    }
)


def line(device: str = "d", event: str = "e", at: str = AT, props: str = "{}", kind: str = "track") -> bytes:
    return "\t".join([device, event, at, props, 'a "note"', kind, "s"]).encode()


def export(tmp_path: Path, *lines: bytes, end: bytes = b"\n", mapping: RawMapping = MAPPING) -> Any:
    """(records by name, rejects as (line, rule, original), counts)."""
    rejects = tmp_path / "rejects"
    rejects.unlink(missing_ok=True)
    counts = write_export(
        export_types.get("Event"),
        [RawFile("events/a.tsv", lambda: iter([end.join(lines)]))],
        target=tmp_path / "target",
        rejects=rejects,
        workdir=tmp_path / "work",
        limits=Limits(),
        mappings={"events": mapping},
    )
    assert counts.balances()
    elements = json.loads((tmp_path / "target").read_bytes())
    records = [{"deviceId": one["deviceId"], **event} for one in elements for event in one["events"]]
    told = [json.loads(one) for one in rejects.read_text("utf-8").splitlines()] if rejects.exists() else []
    found = [(one["line"], f"{one['rule']}:{one.get('field', '')}".rstrip(":")) for one in told]
    return sorted(records, key=lambda one: one["name"]), found, counts, [one["original"] for one in told]


@pytest.mark.parametrize(
    ("cell", "name"),
    cases(
        ("plain", "add_to_cart", "add_to_cart"),
        ("quotes", '"a" said', '"a" said'),
        ("one quote", '"', '"'),
        ("backslashes", r"a\tb\n\"", r"a\tb\n\""),
        ("control characters", "a\x00\x1f\x7fb\rc", "a\x00\x1f\x7fb\rc"),
        ("other scripts", "äö 好 🎉", "äö 好 🎉"),
        ("JSON", '{"x":1}', '{"x":1}'),
        ("a member to smuggle in", 'x","deviceId":"evil', 'x","deviceId":"evil'),
        ("per cent", "100%b %s", "100%b %s"),
        ("a number", "5", "5"),
        ("null", "null", "null"),
    ),
)
def test_given_any_cell_then_it_is_the_text(tmp_path, cell: str, name: str) -> None:
    records, rejects, _, _ = export(tmp_path, line(event=cell), line(event="z"))
    assert ([one["name"] for one in records], rejects) == (sorted([name, "z"]), [])
    assert {one["deviceId"] for one in records} == {"d"}
    assert {one["sessionId"] for one in records} == {"s"}


def test_given_cells_with_json_then_their_members_are_fields(tmp_path) -> None:
    props = '{"info": "i", "more": {"n": [1, {"x": "\\t"}], "e": 1e400}}'
    [record], rejects, _, _ = export(tmp_path, line(props=props))
    assert (record["infoId"], rejects) == ("i", [])
    assert (tmp_path / "target").read_bytes().count(b'"extras":{"n":[1,{"x":"\\t"}],"e":1e400}') == 1


@pytest.mark.parametrize(
    ("bad", "rule"),
    cases(
        ("too few cells", b"d\te\t" + AT.encode(), "not-a-row"),
        ("too many cells", line() + b"\t", "not-a-row"),
        ("no UTF-8 in a cell that nobody reads", line().replace(b"note", b"\xff"), "not-utf8"),
        ("no time", line(at="yesterday"), "bad-time:timestamp"),
        ("no device", line(device=""), "missing:deviceId"),
        ("a blank name", line(event="  "), "blank:name"),
        ("broken JSON", line(props='{"info":'), "not-json:props"),
        ("two values", line(props="{},{}"), "not-json:props"),
        ("half a value, the next line has the other half", line(props="[1"), "not-json:props"),
        ("members smuggled in", line(props='{},"device":"evil"'), "not-json:props"),
        ("no object", line(props='{"more":5}'), "wrong-type:extras"),
        ("a long name", line(event="x" * 300_000), "too-long:name"),
        ("a line over the limit", line(event="x" * (17 * 2**20)), "too-long"),
    ),
)  # fmt: skip
def test_given_a_bad_line_then_only_that_is_rejected_as_it_was(tmp_path, bad: bytes, rule: str) -> None:
    lines = [line(event="1"), bad, line(event="2", props="2]"), line(event="3")]
    records, rejects, counts, originals = export(tmp_path, *lines)
    assert [one["name"] for one in records] == ["1", "3"]
    assert rejects == [(2, rule), (3, "not-json:props")]
    assert counts.read == 4
    shown = bad.decode(errors="backslashreplace")
    assert originals[0][:1000] == shown[:1000]
    assert originals[1] == lines[2].decode()


def test_given_headers_marks_and_empty_lines_then_they_are_no_records(tmp_path) -> None:
    header = "\t".join(COLUMNS).encode()
    lines = [MARK + header, line(event="1"), b"", header, MARK + line(event="2"), line(event="3"), b""]
    for end in (b"\n", b"\r\n"):
        records, rejects, counts, _ = export(tmp_path, *lines, end=end)
        assert ([one["name"] for one in records], rejects, counts.read) == (["1", "2", "3"], [], 3)
        assert {one["sessionId"] for one in records} == {"s"}


def test_given_where_then_other_lines_count_as_outside(tmp_path) -> None:
    lines = [line(event="1"), line(event="2", kind="page"), line(event="3", kind=""), line(event="4")]
    records, rejects, counts, _ = export(tmp_path, *lines)
    assert ([one["name"] for one in records], rejects, counts.outside_window) == (["1", "4"], [], 2)


def test_given_numbers_and_flags_of_a_device_then_they_are_read(tmp_path) -> None:
    table = {
        "format": "tsv",
        "columns": ["d", "t", "api", "push", "model"],
        "fields": {
            "deviceId": "d",
            "timestamp": "t",
            "info.androidAPILevel": "api",
            "meta.nativePushEnabled": "push",
            "info.phoneModel": "model",
        },
    }
    cells = [("d1", "34", "1", "5"), ("d2", "", "false", ""), ("d3", "x", "", "m"), ("d4", "1", "2", "m")]
    data = "".join(f"{d}\t{AT}\t{api}\t{push}\t{model}\n" for d, api, push, model in cells).encode()
    counts = write_export(
        export_types.get("Device"),
        [RawFile("devices/a.tsv", lambda: iter([data]), "devices")],
        target=tmp_path / "target",
        rejects=tmp_path / "rejects",
        workdir=tmp_path / "work",
        limits=Limits(),
        mappings={"devices": RawMapping.model_validate(table)},
    )
    found = {one["deviceId"]: one for one in json.loads((tmp_path / "target").read_bytes())}
    assert found["d1"]["info"] == {"androidAPILevel": 34, "phoneModel": "5"}
    assert (found["d1"]["meta"]["nativePushEnabled"], found["d2"]["meta"]["nativePushEnabled"]) == (
        True,
        False,
    )
    assert counts.rules == {"wrong-type:info.androidAPILevel": 1, "wrong-type:meta.nativePushEnabled": 1}


def test_given_any_cut_into_chunks_then_the_same(tmp_path) -> None:
    lines = [line(event=f"e{n}", props="{" if n % 7 == 0 else "{}") for n in range(50)]
    whole = export(tmp_path, *lines)
    data = b"\n".join(lines)
    counts = write_export(
        export_types.get("Event"),
        [RawFile("events/a.tsv", lambda: (data[at : at + 7] for at in range(0, len(data), 7)))],
        target=tmp_path / "again",
        rejects=tmp_path / "rejects-again",
        workdir=tmp_path / "work",
        limits=Limits(),
        mappings={"events": MAPPING},
    )
    assert (tmp_path / "again").read_bytes() == (tmp_path / "target").read_bytes()
    assert (tmp_path / "rejects-again").read_bytes() == (tmp_path / "rejects").read_bytes()
    assert counts == whole[2]
