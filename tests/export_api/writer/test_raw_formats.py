"""Raw files as gzip and Parquet: the same bytes as the lines would give, and clear words for broken files."""

import gzip
import json
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport import export_types
from mobexport.errors import DataError, Truncated
from mobexport.export_api.writer.export_file import ExportCounts, RawFile, write_export
from mobexport.records.gunzip import gunzip
from mobexport.records.limits import Limits

pytestmark = pytest.mark.long

DAY = date(2025, 3, 23)
Write = Callable[..., tuple[bytes, ExportCounts, list[dict[str, Any]]]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def run(name: str, data: bytes, type_: str = "Event") -> tuple[bytes, ExportCounts, list[dict[str, Any]]]:
        declared = export_types.get(type_)
        counts = write_export(
            declared,
            [RawFile(name, lambda: iter([data]))],
            window=(DAY, DAY) if declared.historical else None,
            target=tmp_path / "target",
            rejects=tmp_path / "rejects",
            workdir=tmp_path / "work",
            limits=Limits(),
        )
        assert counts.balances()
        rejects = (tmp_path / "rejects").read_text("utf-8").splitlines() if counts.rejected else []
        assert [path.name for path in (tmp_path / "work").iterdir() if path.name.endswith("parquet")] == []
        return (tmp_path / "target").read_bytes(), counts, [json.loads(line) for line in rejects]

    return run


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[[str], bytes]:
    """A Parquet file of a query's rows, in row groups of 2,048."""

    def make(query: str) -> bytes:
        with duckdb.connect() as connection:
            connection.execute("SET timezone = 'UTC'")
            connection.execute(
                f"COPY ({query}) TO '{tmp_path}/made.parquet' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
            )
        return (tmp_path / "made.parquet").read_bytes()

    return make


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    members=st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    zeros=st.integers(0, 20),
    chunk=st.integers(1, 500),
)
def test_given_gzip_members_and_padding_then_the_bytes_wherever_cut(members, zeros, chunk) -> None:
    data = b"".join(gzip.compress(one) for one in members) + b"\0" * zeros
    chunks = (data[at : at + chunk] for at in range(0, len(data), chunk))
    assert b"".join(gunzip(chunks, "f.ndjson.gz")) == b"".join(members)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(content=st.binary(min_size=1, max_size=2000), at=st.integers(0, 5000), chunk=st.integers(1, 500))
def test_given_a_file_cut_short_when_unpacked_then_truncated_by_name(content, at, chunk) -> None:
    data = gzip.compress(content)
    data = data[: at % len(data)]
    chunks = (data[at : at + chunk] for at in range(0, len(data), chunk))
    with pytest.raises(Truncated, match=r"f\.ndjson\.gz ends within"):
        list(gunzip(chunks, "f.ndjson.gz"))


@pytest.mark.parametrize(
    "data",
    [
        b"no gzip",
        b"\0" * 9 + gzip.compress(b"x"),
        gzip.compress(b"x") + b"garbage",
        gzip.compress(b"x") + b"?",
        gzip.compress(b"x" * 99)[:-8] + b"12345678",
        zlib.compress(b"x"),
    ],
    ids=["text", "zeros first", "garbage last", "one byte too many", "wrong checksum", "zlib"],
)
def test_given_no_intact_gzip_when_unpacked_then_a_data_error_by_name(data) -> None:
    with pytest.raises(DataError, match=r"f\.gz is no intact gzip file .*: replace it"):
        list(gunzip([data], "f.gz"))


@pytest.mark.long
def test_given_a_small_gzip_that_unpacks_to_much_then_in_small_chunks() -> None:
    data = gzip.compress(b"a" * 300_000_000, 1)
    sizes = [len(chunk) for chunk in gunzip([data], "f.gz")]
    assert sum(sizes) == 300_000_000
    assert max(sizes) <= 1 << 18


RECORDS = [
    {"deviceId": "d1", "name": "a", "timestamp": "2025-03-23T10:00:00.000Z", "extras": {"n": 1, "s": "x"}},
    {"deviceId": "d2", "name": 'q"\n', "timestamp": "2025-03-23T09:00:00.123456Z", "infoId": "i"},
    {
        "deviceId": "d1",
        "name": "b",
        "timestamp": "2025-03-23T08:00:00.500Z",
        "extras": {"n": 2.5},
        "colour": 1,
    },
    {"name": "nobody", "timestamp": "2025-03-23T08:00:00.000Z"},
    {"deviceId": "d1", "name": "late", "timestamp": "2025-03-24T08:00:00.000Z"},
]
LINES = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)


def values(*extra: str) -> str:
    """The records as SQL rows; `extra`: an expression of the column `extras` for each."""
    rows = []
    for record, extras in zip(RECORDS, extra, strict=True):
        cells = [
            "NULL" if record.get(name) is None else f"'{record[name]}'"
            for name in ("deviceId", "name", "timestamp", "infoId")
        ]
        rows.append(f"({', '.join(cells)}, {record.get('colour', 'NULL')}, {extras})")
    return f'(VALUES {", ".join(rows)}) r("deviceId", name, timestamp, "infoId", colour, extras)'


TEXTS = values('\'{"n": 1, "s": "x"}\'', "NULL", "'{\"n\":2.5}'", "NULL", "NULL")
STRUCTS = values("{'n': 1.0::DOUBLE, 's': 'x'}", "NULL", "{'n': 2.5::DOUBLE, 's': NULL}", "NULL", "NULL")
MAPS = values("MAP {'n': '1'}", "NULL", "MAP {'n': '2'}", "NULL", "NULL")


@pytest.mark.parametrize(
    ("query", "first"),
    [
        (f"SELECT * FROM {TEXTS}", '{"n":1,"s":"x"}'),
        (f"SELECT * REPLACE (extras::JSON AS extras) FROM {TEXTS}", '{"n":1,"s":"x"}'),
        (f"SELECT * REPLACE (timestamp::TIMESTAMPTZ AS timestamp) FROM {TEXTS}", '{"n":1,"s":"x"}'),
        (f"SELECT * REPLACE (timestamp::TIMESTAMP AS timestamp) FROM {TEXTS}", '{"n":1,"s":"x"}'),
        (f"SELECT * REPLACE (timestamp::TIMESTAMP_NS AS timestamp) FROM {TEXTS}", '{"n":1,"s":"x"}'),
        (f'SELECT * REPLACE (encode("deviceId") AS "deviceId") FROM {TEXTS}', '{"n":1,"s":"x"}'),
        (f"SELECT * FROM {STRUCTS}", '{"n":1.0,"s":"x"}'),
        (f"SELECT * FROM {MAPS}", '{"n":"1"}'),
    ],
)
def test_given_columns_of_other_types_then_the_same_bytes_as_from_lines(write, parquet, query, first) -> None:
    lines = LINES.replace(b'{"n": 1, "s": "x"}', first.encode())
    lines = lines.replace(b'{"n": 2.5}', b'{"n":"2"}') if query.endswith(MAPS) else lines
    wanted, wanted_counts, wanted_rejects = write("a.ndjson", lines)
    data, counts, rejects = write("a.parquet", parquet(query))
    assert data == wanted
    assert counts == wanted_counts
    assert counts.unknown_fields == {"colour": 1}
    places = [(one["line"], one["rule"], one["field"]) for one in rejects]
    assert places == [(one["line"], one["rule"], one["field"]) for one in wanted_rejects]
    assert json.loads(rejects[0]["original"])["name"] == "nobody"


def test_given_many_row_groups_then_reject_places_are_those_of_the_file(write, parquet) -> None:
    made = """SELECT 'd' || (i % 7) AS "deviceId", i::VARCHAR AS name,
    CASE WHEN i = 4321 THEN 'soon' ELSE '2025-03-23T10:00:00.000Z' END AS timestamp FROM range(10000) t(i)"""
    with duckdb.connect() as connection:
        rows = connection.execute(made).fetchall()
    lines = b"".join(
        json.dumps({"deviceId": device, "name": name, "timestamp": time}).encode() + b"\n"
        for device, name, time in rows
    )
    wanted, wanted_counts, _ = write("a.ndjson", lines)
    data, counts, rejects = write("a.parquet", parquet(made))
    assert data == wanted
    assert counts == wanted_counts
    assert [(one["line"], one["rule"]) for one in rejects] == [(4322, "bad-time")]


@pytest.mark.parametrize("raw", ["gold", "42", '{"a":1}', ""])
def test_given_a_tag_whose_value_is_a_string_when_written_then_it_is_one(write, parquet, raw) -> None:
    query = f"""SELECT 'd' AS "deviceId", 'k' AS key, '{raw}' AS value, '2025-03-23T10:00:00Z' AS timestamp"""
    data, _, _ = write("a.parquet", parquet(query), "Tag")
    assert json.loads(data)[0]["appInfo"] == {"k": raw}


def test_given_missing_columns_then_each_row_is_rejected(write, parquet) -> None:
    _, counts, rejects = write("a.parquet", parquet("SELECT 'n' AS name FROM range(3)"))
    assert counts.rejected == 3
    assert {(one["rule"], one["field"]) for one in rejects} == {("missing", "deviceId")}


def test_given_extras_that_are_no_json_then_those_rows_are_rejected(write, parquet) -> None:
    query = """SELECT 'd' AS "deviceId", 'n' AS name, '2025-03-23T10:00:00.000Z' AS timestamp, extras
    FROM (VALUES ('{"a":1e3}'), ('{nope'), ('{"a":1} '), ('7'), ('{"a":NaN}'),
        ('{"b":1},"name":"x"')) t(extras)
    """
    data, _, rejects = write("a.parquet", parquet(query))
    assert [(one["line"], one["rule"]) for one in rejects] == [
        (2, "not-json"),
        (4, "wrong-type"),
        (5, "not-json"),
        (6, "not-json"),
    ]
    assert b'"extras":{"a":1e3}' in data


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all" * 99], ids=["empty", "mark", "text"])
def test_given_no_parquet_when_written_then_a_data_error_by_name(write, data) -> None:
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet .*: replace it"):
        write("a.parquet", data)


def test_given_damaged_parquet_pages_then_a_data_error_by_name(write, parquet) -> None:
    data = bytearray(parquet(f"SELECT * FROM {TEXTS}"))
    data[4:200] = b"\xff" * 196
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        write("a.parquet", bytes(data))
