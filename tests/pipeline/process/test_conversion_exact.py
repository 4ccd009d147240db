"""What conversion keeps to the letter, however an element has to be read: texts, numbers, places, bytes."""

import hashlib
import json
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mobexport import export_types
from mobexport.errors import DataError, Truncated
from mobexport.pipeline.process.conversion import Conversion, convert_file
from mobexport.records import elements, parquet_days
from mobexport.records.limits import Limits

DAY = date(2025, 3, 23)
AT = "2025-03-23T10:00:00Z"


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., Conversion]:
    """Converts bytes; checks the promise that holds for every file."""

    def run(raw: bytes, export_type: str = "Event", chunk: int = 1 << 20, **options: Any) -> Conversion:
        declared = export_types.get(export_type)
        given = {
            "window": (DAY, DAY) if declared.historical else None,
            "snapshot_day": None if declared.historical else DAY,
            "strict": False,
            "limits": Limits(),
            **options,
        }
        done = convert_file(
            declared,
            (raw[at : at + chunk] for at in range(0, len(raw), chunk)),
            app="it's",
            stem="s",
            out_dir=tmp_path / "it's out",
            workdir=tmp_path / "work",
            **given,
        )
        assert done.records == done.rows + done.rejected
        assert done.rows == sum(output.rows for output in done.outputs)
        assert done.rejected == sum(done.rules.values()) == len(rejects(done))
        assert (done.input_bytes, done.input_sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
        return done

    return run


def rows(done: Conversion, columns: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for output in done.outputs:
        found += duckdb.execute(f"SELECT {columns} FROM read_parquet(?)", [str(output.path)]).fetchall()
    return found


def rejects(done: Conversion) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.rejects.read_text("utf-8").splitlines()] if done.rejects else []


def element(*records: str, device: str = '"d"') -> bytes:
    return f'{{"deviceId":{device},"events":[{",".join(records)}]}}'.encode()


def record(name: str = "n", extras: str = "") -> str:
    more = f',"extras":{extras}' if extras else ""
    return f'{{"name":"{name}","timestamp":"{AT}"{more}}}'


EXACT = [
    '{"a":1e3,"b":0.10,"c":-0,"d":123456789012345678901234567890,"e":0.12345678901234567890123}',
    '{"a":"\\u00e9 \\/ \\ud83d\\ude00 \\\\ud800 é 😀","NaN":"Infinity"}',
    '{"a":null,"a":[{"b":[]}]}',
    "{}",
]


@pytest.mark.parametrize("extras", EXACT)
@pytest.mark.parametrize("chunk", [3, 1 << 20])
def test_given_json_values_when_converted_then_their_text_is_untouched(convert, extras, chunk) -> None:
    done = convert(b"[" + element(record("1"), record("2", extras), record("3")) + b"]", chunk=chunk)
    assert rows(done, "name, extras") == [("1", None), ("2", extras), ("3", None)]


def test_given_tag_values_then_their_text_keys_and_order_are_untouched(convert) -> None:
    pairs = {"a.b": "1e3", " k": '"\\u00e9"', 'q"': "[1,2.50]", "é": "true", "z": "null", "a": '{"x":-0}'}
    info = ", ".join(f"{json.dumps(key)} : {value}" for key, value in pairs.items())
    done = convert(f'[{{"deviceId":"d","appInfo":{{ {info} }}}}]'.encode(), "Tag")
    assert rows(done, "key, value") == [
        (key, None if value == "null" else value) for key, value in pairs.items()
    ]
    plain = convert(b'[{"deviceId":"d","appInfo":{"b":1,"a":2,"c/~":{"x":3}}}]', "Tag")
    assert rows(plain, "key, value") == [("b", "1"), ("a", "2"), ("c/~", '{"x":3}')]
    twice = convert(b'[{"deviceId":"d","appInfo":{"b":1,"a":2,"b":3}}]', "Tag")
    assert sorted(rows(twice, "key, value")) == [("a", "2"), ("b", "3")]


def listed(*elements: str) -> bytes:
    return f"[{','.join(elements)}]".encode()


def test_given_flat_elements_then_texts_and_whole_numbers_as_written(convert) -> None:
    head = f'"jobId":"j","deviceId":"d","name":"n","start":"{AT}"'
    jobs = listed(
        f'{{{head},"extras":{EXACT[0]}}}',
        f'{{{head},"end":"\\u0032{AT[1:]}"}}',
        f'{{"extras":{EXACT[1]},{head}}}',
    )
    done = convert(jobs, "Job")
    assert rows(done, 'extras, "end" IS NULL') == [(EXACT[0], True), (None, False), (EXACT[1], True)]
    meta = '"meta":{"firstSeen":-0,"lastSeen":999999999999999999,"nativePushEnabled":true,"more":1e3}'
    device = convert(listed(f'{{"deviceId":"d",{meta},"appInfo":{EXACT[0]}}}'), "Device")
    assert rows(device, "meta.firstSeen, meta.lastSeen, meta.nativePushEnabled, appInfo") == [
        (0, 999999999999999999, True, EXACT[0])
    ]
    wrong = [meta.replace("-0", number) for number in ("1e3", "1.0", "01", "1000000000000000000", '"7"')]
    bad = convert(listed(*(f'{{"deviceId":"d",{one}}}' for one in wrong)), "Device")
    assert dict(bad.rules) == {"wrong-type:meta.firstSeen": 4, "not-json": 1}


def test_given_a_push_then_its_flags_are_checked_and_kept_as_text(convert) -> None:
    head = '{"deviceId":"d","campaignType":"Poll","campaignId":1'
    good = ['["Queued", "Dropped"]', "[]", '["\\u0051ueued"]']
    bad = ['["Queued","\\u0051ueued"]', '["queued"]', "[1]", "null"]
    done = convert(listed(*(f'{head},"status":{flags}}}' for flags in good + bad)), "Push")
    assert rows(done, "campaignId, status") == [(1, '["Queued","Dropped"]'), (1, "[]"), (1, good[2])]
    assert [(r["element"], r["rule"], r["field"]) for r in rejects(done)] == [
        (4, "twice", "status"),
        (5, "unknown-value", "status"),
        (6, "wrong-type", "status"),
        (7, "missing", "status"),
    ]


HOSTILE = [
    (b"5", "not-an-object", None),
    (b"null", "not-an-object", None),
    (b'"text"', "not-an-object", None),
    (b"[1.0e1]", "not-an-object", None),
    (b'{"deviceId":"d"}', "missing", "events"),
    (b'{"deviceId":"d","events":null}', "missing", "events"),
    (b'{"deviceId":"d","events":{},"x":1e0}', "wrong-type", "events"),
    (b'{"deviceId":"d","events":{}}', "wrong-type", "events"),
    (b'{"deviceId":"d","events":[tru]}', "not-json", None),
    (b'{"deviceId":"d","events":[],}', "not-json", None),
    (b'{"deviceId":"d","events":[{"name":NaN}]}', "not-json", None),
    (b'{"deviceId":"\xff","events":[]}', "not-utf8", None),
    (b'{"deviceId":"d\0","events":[]}', "not-json", None),
    (b'{"deviceId":"d","events":[{"name":"a\nb"}]}', "not-json", None),
    (element("7"), "not-an-object", None),
    (element("null"), "not-an-object", None),
    (element("{}"), "missing", "name"),
    (element(record(""), device="1"), "wrong-type", "deviceId"),
    (element(record(""), device="null"), "missing", "deviceId"),
    (element(record(" ")), "blank", "name"),
    (element(record("\\ud83d")), "lone-surrogate", None),
    (element(record("n", "[]")), "wrong-type", "extras"),
    (element(record("n", '"1e3"')), "wrong-type", "extras"),
    (element(record("n", "[1e3]")), "wrong-type", "extras"),
    (element(record().replace(AT, "2025-03-23T10:00:00")), "bad-time", "timestamp"),
    (element(record().replace(AT, "2025-03-24T00:00:00Z")), "outside-window", "timestamp"),
    (element(record().replace(AT, "2025-03-24T00:00:00+00:01")), None, None),
]


def test_given_hostile_elements_among_good_then_each_alone_is_rejected(convert) -> None:
    good = element(record("good"), record("exact", '{"a":1e3}'))
    file = b"[" + b",\n".join(good + b"," + bad for bad, _, _ in HOSTILE) + b"]"
    done = convert(file)
    expected = [(2 * n, 1, rule, field) for n, (_, rule, field) in enumerate(HOSTILE, start=1) if rule]
    assert [(r["element"], r["record"], r["rule"], r.get("field")) for r in rejects(done)] == expected
    assert done.rows == 2 * len(HOSTILE) + 1
    assert [name for (name,) in rows(done, "name")][:4] == ["good", "exact", "good", "exact"]


def test_given_a_bad_record_among_good_then_its_place_and_text_are_kept(convert) -> None:
    bad = record("\\ud83d", '{"a":1e3}')
    exact = convert(b"[" + element(record("1"), bad, record("3")) + b"]")
    assert [name for (name,) in rows(exact, "name")] == ["1", "3"]
    assert rejects(exact) == [{"element": 1, "record": 2, "rule": "lone-surrogate", "original": bad}]


def test_given_the_groups_field_in_a_record_then_the_elements_counts(convert) -> None:
    inner = record()[:-1] + ',"deviceId":"other"}'
    done = convert(b"[" + element(inner) + b',{"events":[' + inner.encode() + b"]}]")
    assert rows(done, "deviceId") == [("d",)]
    assert dict(done.rules) == {"missing:deviceId": 1}


def test_given_activities_of_another_server_then_deviceid_is_optional(convert) -> None:
    file = b'[{"sessionId":"' + b"a" * 32 + b'","activities":[' + record().encode() + b"]}]"
    for strict in (False, True):
        done = convert(file, "Activity", strict=strict)
        assert (rows(done, "sessionId, deviceId, name"), dict(done.lenient)) == ([("a" * 32, None, "n")], {})
    without = file.replace(b'"sessionId":"' + b"a" * 32 + b'",', b"")
    assert dict(convert(without, "Activity").lenient) == {"missing:sessionId": 1}
    assert dict(convert(without, "Activity", strict=True).rules) == {"missing:sessionId": 1}


def test_given_no_window_when_converted_then_the_days_of_the_file(convert) -> None:
    days = [record().replace("2025-03-23", day) for day in ("2025-03-24", "2024-02-29", "2025-03-24")]
    done = convert(b"[" + element(*days) + b"]", window=None)
    assert [(str(output.date), output.rows, output.path.name) for output in done.outputs] == [
        ("2024-02-29", 1, "s-0.parquet"),
        ("2025-03-24", 2, "s-1.parquet"),
    ]
    for output in done.outputs:
        assert output.path.parent.name == f"date={output.date}"
        assert output.bytes == output.path.stat().st_size
        assert output.sha256 == hashlib.sha256(output.path.read_bytes()).hexdigest()


@pytest.mark.long
def test_given_one_file_cut_and_formatted_otherwise_then_the_same_bytes(convert) -> None:
    records = [record(f"{n}", f'{{"a":{n}}}').replace("10:00:00Z", f"10:00:00.{n:06}Z") for n in range(500)]
    value = json.loads(b"[" + b",".join(element(*records, device=f'"{d}"') for d in range(20)) + b"]")
    digests = set()
    for indent, chunk in ((None, 1 << 20), (None, 1000), (1, 777)):
        done = convert(json.dumps(value, indent=indent).encode(), chunk=chunk)
        assert done.rows == 10_000
        digests.add(done.outputs[0].sha256)
    assert len(digests) == 1
    assert [int(name) for (name,) in rows(done, "name")] == [*range(500)] * 20
    assert rows(done, "DISTINCT app") == [("it's",)]


@pytest.mark.parametrize(("limit", "value"), [("GROUP_ROWS", 500), ("GROUP_BYTES", 50_000)])
@pytest.mark.parametrize("memory_mb", [0, 96])
@pytest.mark.long
def test_given_rows_in_many_groups_then_a_file_a_day_in_the_files_order(
    convert, monkeypatch, tmp_path, limit, value, memory_mb
) -> None:
    monkeypatch.setattr(elements, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(parquet_days, limit, value)
    window = (DAY, date(2025, 3, 25))
    records = [record(str(n)).replace("03-23", f"03-{23 + n % 3}") for n in range(6000)]
    exact = record("exact", '{"a":1e3}')
    long = record("long", f'{{"t":"{"x" * 300_000}"}}')
    file = [*(element(*records[at : at + 70]) for at in range(0, 6000, 70)), element(exact), element(long)]
    done = convert(b"[" + b",".join(file) + b"]", window=window, limits=Limits(memory_mb, 100))
    assert [output.rows for output in done.outputs] == [2002, 2000, 2000]
    names = [name for (name,) in rows(done, "name")]
    first, *others = ([str(n) for n in range(6000) if n % 3 == day] for day in range(3))
    assert names == [*first, "exact", "long", *others[0], *others[1]]
    assert rows(done, "max(length(extras))")[0] == (300_008,)
    assert bool(list((tmp_path / "work").iterdir())) is (memory_mb == 0)
    query = "SELECT count(DISTINCT row_group_id) FROM parquet_metadata(?)"
    groups = [duckdb.execute(query, [str(output.path)]).fetchall()[0][0] for output in done.outputs]
    assert min(groups) >= 3


def test_given_more_rows_than_the_disk_limit_then_it_says_what_to_raise(convert) -> None:
    noise = random.Random(1)
    records = [record(str(n), f'{{"t":"{noise.randbytes(500).hex()}"}}') for n in range(5000)]
    with pytest.raises(DataError, match="WORK_DISK_MB") as raised:
        convert(b"[" + element(*records) + b"]", limits=Limits(memory_mb=1, disk_mb=1))
    assert raised.value.own_code == "TooLarge"


@pytest.mark.parametrize("order", ["key first", "key last"])
@pytest.mark.long
def test_given_a_large_element_with_a_long_text_then_all_is_converted(convert, order) -> None:
    records = [record(str(n), f'{{"t":"{"x" * (8_000_000 if n == 5000 else 200)}"}}') for n in range(8000)]
    listed = f'"events":[{",".join(records)}]'
    pairs = ['"deviceId":"d"', listed] if order == "key first" else [listed, '"deviceId":"d"']
    done = convert(f"[{{{','.join(pairs)}}}]".encode())
    assert rows(done, "max(length(extras)), sum(name::INTEGER), count(*)") == [(8_000_008, 31_996_000, 8000)]


@pytest.mark.slow
@pytest.mark.parametrize(("end", "error"), [(-1, Truncated), (-2, Truncated), (None, None)])
def test_given_a_cut_file_when_converted_then_nothing_is_taken_for_whole(convert, end, error) -> None:
    file = b"[" + element(record()) + b"]"
    if error is None:
        assert convert(file[:end]).rows == 1
    else:
        with pytest.raises(error):
            convert(file[:end])


@pytest.mark.long
def test_given_every_cut_of_a_file_then_never_a_row_lost_silently(convert) -> None:
    file = b"[\n" + element(record(), record("2", '{"a":"]}"}')) + b",\n" + element(record()) + b"\n]"
    for end in range(len(file)):
        with pytest.raises(DataError):
            convert(file[:end])
    assert convert(file + b"\n").rows == 3


def test_given_an_empty_array_when_converted_then_no_files(convert) -> None:
    for export_type in ("Event", "Tag"):
        done = convert(b"[]", export_type)
        assert (done.records, done.outputs, done.rejects, dict(done.lenient)) == (0, (), None, {})


def test_given_a_snapshot_without_its_day_when_converted_then_refused(convert) -> None:
    with pytest.raises(ValueError, match="its day"):
        convert(b"[]", "Tag", snapshot_day=None)
