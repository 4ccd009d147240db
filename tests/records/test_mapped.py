"""Records under other names: both ways of reading them say the same, and times, lists and `where`."""

import json
from pathlib import Path

import pytest
from hostile import cases

from mobexport import export_types
from mobexport.export_api.writer.export_file import RawFile, write_export
from mobexport.raw_mapping import RawMapping
from mobexport.records.limits import Limits
from mobexport.records.mapped import MappedRecords, NotSelected

MAPPING = RawMapping.model_validate(
    {
        "where": {"type": ["track", "page"]},
        "time_zone": "Europe/Berlin",
        "fields": {
            "deviceId": ["context.device.id", "anonymousId"],
            "name": "event",
            "timestamp": {"path": "at", "as": "epoch-ms"},
            "sessionId": {"path": "properties.session", "as": "text"},
            "infoId": {"constant": "fixed"},
            "extras": "properties",
        },
    }
)
AT = "2025-03-23T10:00:00Z"
GOOD = {
    "type": "track",
    "anonymousId": "a1",
    "event": "Buy",
    "at": 1742740658184,
    "context": {"device": {"id": "d1"}, "os": {"name": "iOS"}},
    "properties": {"session": 7, "sku": "A-17"},
}


def exported(tmp_path: Path, mapping: RawMapping, *lines: object, kind: str = "Event", raw=None) -> tuple:
    data = raw or b"".join(
        (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines
    )
    declared = export_types.get(kind)
    rejects = tmp_path / "rejects"
    rejects.unlink(missing_ok=True)
    counts = write_export(
        declared,
        [RawFile(f"{declared.kind}/2025-03-23/a.ndjson", lambda: iter([data]))],
        target=tmp_path / "target",
        rejects=rejects,
        workdir=tmp_path / "work",
        limits=Limits(),
        mappings={declared.kind: mapping},
    )
    assert counts.balances()
    told = [json.loads(one) for one in rejects.read_text().splitlines()] if rejects.exists() else []
    return counts, json.loads((tmp_path / "target").read_bytes()), told


def records(elements: list) -> list[dict]:
    return [{"deviceId": one["deviceId"], **event} for one in elements for event in one["events"]]


def test_given_a_mapping_when_exported_then_declared_names(tmp_path) -> None:
    counts, elements, _ = exported(tmp_path, MAPPING, GOOD, {**GOOD, "type": "identify"})
    assert records(elements) == [
        {
            "deviceId": "d1", "name": "Buy", "timestamp": "2025-03-23T14:37:38.184Z", "infoId": "fixed",
            "sessionId": "7", "extras": {"session": 7, "sku": "A-17"},
        }
    ]  # fmt: skip
    assert (counts.read, counts.exported, counts.outside_window) == (2, 1, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    cases(
        ("no device: the second path", {"context": {"device": {}}}, {"deviceId": "a1"}),
        ("a null on the way", {"context": None}, {"deviceId": "a1"}),
        ("no context", {"context": ...}, {"deviceId": "a1"}),
        ("a text for an object", {"context": "x"}, {"deviceId": "a1"}),
        ("no properties", {"properties": ...}, {"sessionId": None, "extras": None}),
        ("null properties", {"properties": None}, {"sessionId": None, "extras": None}),
        ("seconds as text", {"at": "1742740658184"}, {"timestamp": "2025-03-23T14:37:38.184Z"}),
        (
            "a fraction of a millisecond",
            {"at": 1742740658184.5},
            {"timestamp": "2025-03-23T14:37:38.184500Z"},
        ),
        ("another spelling of where", b'"type":"tr\\u0061ck"', {}),
        ("no name", {"event": ...}, "missing:name"),
        ("a blank name", {"event": " "}, "blank:name"),
        ("a number for a name", {"event": 5}, "wrong-type:name"),
        ("no time", {"at": None}, "missing:timestamp"),
        ("a word for a time", {"at": "soon"}, "bad-time:timestamp"),
        ("a time beyond all years", {"at": 10**18}, "bad-time:timestamp"),
        ("properties that are a list", {"properties": [1]}, "wrong-type:extras"),
        ("a session that is an object", {"properties": {"session": {}}}, "wrong-type:sessionId"),
        ("another type", {"type": "identify"}, None),
        ("no type", {"type": ...}, None),
        ("broken", b"{oops", "not-json:"),
        ("a list", b"[1]", "not-an-object:"),
    ),
)
def test_given_an_odd_record_when_mapped_then_only_it_is_told(tmp_path, change, expected) -> None:
    if isinstance(change, bytes):
        line = change if not change.startswith(b'"') else (
            json.dumps(GOOD, separators=(",", ":")).encode().replace(b'"type":"track"', change)
        )  # fmt: skip
    else:
        line = {key: value for key, value in {**GOOD, **change}.items() if value is not ...}
    odd = line if isinstance(line, bytes) else json.dumps(line).encode()
    beside = {**GOOD, "event": "beside"}
    counts, elements, rejects = exported(tmp_path, MAPPING, beside, odd, beside)
    others = [one for one in records(elements) if one["name"] != "beside"]
    assert counts.exported - len(others) == 2
    if isinstance(expected, str):
        assert [f"{one['rule']}:{one.get('field', '')}" for one in rejects] == [expected]
        assert (rejects[0]["line"], rejects[0]["original"].encode()) == (2, odd)
    elif expected is None:
        assert (others, rejects, counts.outside_window) == ([], [], 1)
    else:
        assert {name: others[0].get(name) for name in expected} == expected
        # The slow path says the same of it.
        slow = json.loads(MappedRecords(export_types.get("Event"), MAPPING).line(odd))
        exact = {"extras": "properties", "timestamp": "at"}
        for name in expected.keys() - exact.keys():
            assert slow.get(name) == expected[name], name


def test_given_a_line_of_another_type_when_slow_then_not_selected() -> None:
    with pytest.raises(NotSelected):
        MappedRecords(export_types.get("Event"), MAPPING).line(b'{"type":"identify"}')


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    cases(
        ("seconds", "epoch-s", 1742740658, "2025-03-23T14:37:38.000Z"),
        ("seconds with a fraction", "epoch-s", 1742740658.184, "2025-03-23T14:37:38.184Z"),
        (
            "microseconds, as BigQuery writes them",
            "epoch-us",
            "1742740658184001",
            "2025-03-23T14:37:38.184001Z",
        ),
        ("local, winter", "local", "2025-01-23 14:37:38", "2025-01-23T13:37:38.000Z"),
        ("local, summer", "local", "2025-07-23T14:37:38.5", "2025-07-23T12:37:38.500Z"),
        ("local, twice on the clock", "local", "2025-10-26 02:30:00", "2025-10-26T00:30:00.000Z"),
        ("local, never on the clock", "local", "2025-03-30 02:30:00", "2025-03-30T01:30:00.000Z"),
        ("local, with UTC", "local", "2025-07-23 14:37:38.5 UTC", "2025-07-23T14:37:38.500Z"),
        ("local, with an offset", "local", "2025-07-23 14:37:38+01:00", "2025-07-23T13:37:38.000Z"),
        ("local, without seconds", "local", "2025-07-23 14:37", "2025-07-23T12:37:00.000Z"),
    ),
)
def test_given_times_of_other_forms_when_mapped_then_utc(tmp_path, form, value, expected) -> None:
    mapping = RawMapping.model_validate(
        {
            "time_zone": "Europe/Berlin",
            "fields": {"deviceId": "d", "name": "n", "timestamp": {"path": "t", "as": form}},
        }
    )
    usual = {"d": "x", "n": "usual", "t": "2025-07-23 00:00:00" if form == "local" else 0}
    for others in ([], [usual]):
        _, elements, rejects = exported(tmp_path, mapping, {"d": "x", "n": "n", "t": value}, *others)
        found = {one["name"]: one["timestamp"] for one in records(elements)}
        assert (found.get("n"), rejects) == (expected, [])


def test_given_lists_by_key_when_mapped_then_objects_and_members(tmp_path) -> None:
    mapping = RawMapping.model_validate(
        {
            "fields": {
                "deviceId": "user_pseudo_id",
                "name": "event_name",
                "timestamp": {"path": "event_timestamp", "as": "epoch-us"},
                "sessionId": {"path": "event_params[ga_session_id]", "as": "text"},
                "extras": {"path": "event_params", "as": "pairs"},
            }
        }
    )
    params = [
        {"key": "ga_session_id", "value": {"int_value": "1742740"}},
        {"key": "page", "value": {"string_value": "Home", "int_value": None}},
    ]
    row = {"user_pseudo_id": "u", "event_name": "e", "event_timestamp": "1742740658184001"}
    _, elements, _ = exported(tmp_path, mapping, {**row, "event_params": params}, row)
    found = [(one.get("sessionId"), one.get("extras")) for one in records(elements)]
    assert found == [("1742740", {"ga_session_id": 1742740, "page": "Home"}), (None, None)]


def test_given_members_of_objects_when_mapped_then_nested(tmp_path) -> None:
    mapping = RawMapping.model_validate(
        {
            "fields": {
                "deviceId": "id",
                "timestamp": "at",
                "info.phoneModel": "device.model",
                "info.locale": "device.locale",
                "meta.firstSeen": "first",
            }
        }
    )
    full = {"id": "a", "at": "2025-03-23T10:00:00Z", "device": {"model": "Pixel", "locale": "de"}, "first": 5}
    _, elements, _ = exported(
        tmp_path, mapping, full, {"id": "b", "at": "2025-03-23T10:00:00Z"}, kind="Device"
    )
    found = {one["deviceId"]: (one.get("info"), one.get("meta")) for one in elements}
    assert found == {"a": ({"phoneModel": "Pixel", "locale": "de"}, {"firstSeen": 5}), "b": (None, None)}


def test_given_several_records_on_one_line_when_mapped_then_all(tmp_path) -> None:
    line = json.dumps(GOOD).encode() * 2 + json.dumps({**GOOD, "type": "x"}).encode()
    counts, _, _ = exported(tmp_path, MAPPING, line)
    assert (counts.read, counts.exported, counts.outside_window) == (3, 2, 1)


def test_given_names_with_dots_when_mapped_then_both_ways_find_them(tmp_path) -> None:
    fields = {
        "deviceId": r"user\.id",
        "name": r"a.b\.c",
        "timestamp": r"x\[0\]",
        "sessionId": r"list[0].s\.id",
        "extras": "per%cent",
    }
    mapping = RawMapping.model_validate({"fields": fields, "where": {r"is\.on": True}})
    record = {
        "user.id": "d", "user": {"id": "no"}, "a": {"b.c": "n", "b": {"c": "no"}}, "x[0]": AT, "is.on": True,
        "list": [{"s.id": "s", "s": {"id": "no"}}], "per%cent": {"k": 1},
    }  # fmt: skip
    found = {"deviceId": "d", "name": "n", "timestamp": "2025-03-23T10:00:00.000Z", "sessionId": "s"}
    # The second line takes the slow path: of two members with one name the last counts.
    slow = json.dumps(record).replace('"user.id": "d"', '"user.id": 5, "user.id": "d"').encode()
    _, elements, told = exported(tmp_path, mapping, record, slow, {**record, "is.on": False})
    assert (records(elements), told) == ([{**found, "extras": {"k": 1}}] * 2, [])


def test_given_self_describing_items_then_the_first_of_a_schema_counts(tmp_path) -> None:
    item = "contexts[schema=iglu:com.example/session/jsonschema/1-*].data"
    fields = {
        "deviceId": f"{item}.user",
        "name": "contexts[schema=iglu:x].data",
        "timestamp": "at",
        "extras": item,
    }
    mapping = RawMapping.model_validate({"fields": fields})
    session = {"schema": "iglu:com.example/session/jsonschema/1-0-2", "data": {"user": "u"}}
    contexts = [
        5, {"schema": 7}, {"schema": "iglu:com.example/session/jsonschema/2-0-0", "data": {"user": "no"}},
        session, {**session, "data": {"user": "later"}}, {"schema": "iglu:xy", "data": "no"},
        {"schema": "iglu:x", "data": "n"},
    ]  # fmt: skip
    _, elements, told = exported(
        tmp_path, mapping, {"at": AT, "contexts": contexts}, {"at": AT, "contexts": contexts[:3]}
    )
    [found] = records(elements)
    assert (found["deviceId"], found["name"], found["extras"]) == ("u", "n", {"user": "u"})
    assert [(one["line"], one["rule"], one["field"]) for one in told] == [(2, "missing", "deviceId")]
