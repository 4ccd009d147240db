"""Export files to Parquet and rejects: every formatting, every kind of bad record, strict and lenient."""

import json
from datetime import date
from itertools import accumulate
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport import export_types
from mobexport.errors import DataError, Truncated
from mobexport.pipeline.process.conversion import Conversion, convert_file
from mobexport.records.elements import elements
from mobexport.records.limits import Limits

GUID = "9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f"
DAY = date(2025, 3, 23)
AT = "2025-03-23T10:00:00.123Z"


def convert(
    tmp_path: Path, value: object, *, type_: str = "Event", strict: bool = False, **more
) -> Conversion:
    tmp_path.joinpath("work").mkdir(exist_ok=True)
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    snapshot = not export_types.get(type_).historical
    options = {"window": None if snapshot else (DAY, DAY), "snapshot_day": DAY if snapshot else None, **more}
    return convert_file(
        export_types.get(type_),
        [raw[i : i + 7] for i in range(0, len(raw), 7)],
        app="shop",
        strict=strict,
        stem="s",
        out_dir=tmp_path / "out",
        workdir=tmp_path / "work",
        limits=Limits(),
        **options,
    )


def rejects(conversion: Conversion) -> list[dict]:
    assert conversion.rejects is not None
    return [json.loads(line) for line in conversion.rejects.read_text("utf-8").splitlines()]


def event(**changes) -> list[dict]:
    full = {"name": "n", "timestamp": AT, "infoId": GUID, "sessionId": GUID, "locationId": GUID, **changes}
    return [{"deviceId": GUID, "events": [{k: v for k, v in full.items() if v is not ...}]}]


@pytest.mark.parametrize(
    ("file", "rule", "field"),
    [
        (event(name=...), "missing", "name"),
        (event(name=5), "wrong-type", "name"),
        (event(timestamp="soon"), None, "timestamp"),
        (event(timestamp="2025-03-23T10:00:00"), None, "timestamp"),
        (event(timestamp="2025-03-24T00:00:00Z"), "outside-window", None),
        ([{"events": [{"name": "n", "timestamp": AT}]}], "missing", "deviceId"),
        ([{"deviceId": GUID, "events": [5]}], None, None),
        ([{"deviceId": GUID}], None, None),
        ([7], None, None),
    ],
)
def test_given_a_bad_record_when_converted_then_rejected_with_its_reason(tmp_path, file, rule, field) -> None:
    done = convert(tmp_path, file)
    assert (done.records, done.rows, done.rejected) == (1, 0, 1)
    (reject,) = rejects(done)
    assert reject["element"] == 1
    assert rule in (None, reject["rule"])
    assert field in (None, reject.get("field"))
    assert reject["original"]


@pytest.mark.parametrize(
    ("file", "count"),
    [
        (event(sessionId=...), "missing:sessionId"),
        (event(infoId="abc"), "not-a-guid:infoId"),
        ([{**event()[0], "deviceId": "abc"}], "not-a-guid:deviceId"),
    ],
)
def test_given_a_weak_id_then_lenient_counts_and_strict_rejects(tmp_path, file, count) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lenient, strict = convert(tmp_path / "a", file), convert(tmp_path / "b", file, strict=True)
    assert (lenient.rows, dict(lenient.lenient)) == (1, {count: 1})
    assert (strict.rows, dict(strict.rules)) == (0, {count: 1})


def test_given_a_tag_file_then_one_row_per_key_in_its_snapshot(tmp_path) -> None:
    done = convert(
        tmp_path, [{"deviceId": "d", "appInfo": {"plan": "gold", "n": 12345678901234567890}}], type_="Tag"
    )
    (output,) = done.outputs
    assert "snapshot=2025-03-23" in str(output.path)
    rows = duckdb.sql(f"SELECT app, deviceId, key, value FROM '{output.path}' ORDER BY key").fetchall()
    assert rows == [("shop", "d", "n", "12345678901234567890"), ("shop", "d", "plan", '"gold"')]


def test_given_several_days_when_converted_then_a_file_each_with_utc_times(tmp_path) -> None:
    file = event() + event(timestamp="2025-03-24T00:30:00+01:00") + event(timestamp="2025-03-24T00:30:00Z")
    done = convert(tmp_path, file, window=(DAY, date(2025, 3, 24)))
    assert [(output.date, output.rows) for output in done.outputs] == [(DAY, 2), (date(2025, 3, 24), 1)]
    schema = dict(
        duckdb.sql(f"SELECT name, logical_type FROM parquet_schema('{done.outputs[0].path}')").fetchall()
    )
    assert "isAdjustedToUTC=1" in str(schema["timestamp"]).replace("true", "1").replace(" ", "")


def test_given_a_file_cut_off_anywhere_then_never_taken_for_whole(tmp_path) -> None:
    whole = json.dumps(event(extras={"t": "]}"}), indent=1).encode()
    for end in range(len(whole)):
        with pytest.raises(DataError):
            list(elements([whole[:end]]))
    with pytest.raises(Truncated):
        convert(tmp_path, whole[:-1])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    values=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=6,
    ),
    indent=st.sampled_from([None, 0, 2]),
    size=st.integers(1, 50),
)
def test_given_any_array_however_written_then_the_same_elements(values, indent, size) -> None:
    raw = json.dumps(values, indent=indent, ensure_ascii=False).encode()
    found = list(elements(raw[i : i + size] for i in range(0, len(raw), size)))
    assert [value for item in found for value in json.loads(b"[%b]" % item.text)] == values
    assert [item.number for item in found] == list(
        accumulate((item.count for item in found[:-1]), initial=1)
    )[: len(found)]
