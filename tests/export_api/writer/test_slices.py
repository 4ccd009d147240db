"""Slices: every line of a file in exactly one of them, wherever it is cut; large tasks as small inputs."""

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import local_ports as ports
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport import export_types
from mobexport.errors import DataError, SourceChanged
from mobexport.export_api.writer import scale_out
from mobexport.export_api.writer.export_file import ExportFormat, RawFile, Selection, write_export
from mobexport.export_api.writer.slices import PIECES, RawEntry, Slice, lines_of_range, plan_slices
from mobexport.records.limits import Limits

pytestmark = pytest.mark.long

DAY = date(2025, 3, 23)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(
    lines=st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    open_end=st.booleans(),
    cut=st.integers(1, 20),
    chunk=st.integers(1, 9),
)
def test_given_any_cuts_when_ranges_are_read_then_each_line_once_and_whole(
    lines, open_end, cut, chunk
) -> None:
    data = b"\n".join(lines) + (b"" if open_end else b"\n")

    def read(first: int, end: int) -> Iterator[bytes]:
        assert 0 <= first <= end <= len(data)
        return (data[at : min(at + chunk, end)] for at in range(first, end, chunk))

    found = [
        b"".join(lines_of_range(read, first, min(first + cut, len(data)), len(data)))
        for first in range(0, len(data), cut)
    ]
    assert b"".join(found) == data
    at = 0
    for part in found:
        assert not part or at == 0 or data[at - 1 : at] == b"\n"
        at += len(part)


def test_given_no_raw_data_when_planned_then_there_is_still_a_bucket(tmp_path) -> None:
    spec = scale_out.Spec("Event", ExportFormat.JSON, Selection((DAY, DAY)), ())
    planned = scale_out.plan(spec, None)
    assert (planned.slices, planned.buckets) == ((), 1)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    files=st.lists(
        st.tuples(st.sampled_from([".ndjson", ".ndjson.gz", ".parquet"]), st.integers(0, 5000)), max_size=300
    ),
    size=st.integers(1, 3000),
)
def test_given_files_then_planned_whole_in_order_with_no_slice_too_large(files, size) -> None:
    named = [(f"{n:03}{ending}", length) for n, (ending, length) in enumerate(files)]
    groups = [(10, 700)] * 3
    slices = plan_slices([RawEntry(name, length) for name, length in named], size, lambda _: groups)
    pieces = [piece for one in slices for piece in one.pieces]
    assert [piece.number for piece in pieces] == list(range(len(pieces)))
    for index, (name, length) in enumerate(named):
        own = [piece for piece in pieces if piece.file == index]
        assert [piece.first for piece in own] == [0, *(piece.end for piece in own[:-1])][: len(own)]
        if name.endswith(".parquet"):
            assert own[-1].end == (30 if length > size else -1)
        elif length or own:
            assert own[-1].end == length
    for one in slices:
        assert len(one.pieces) <= PIECES
        assert len(json.dumps(one.to_json())) < 16_000
        assert Slice.from_json(json.loads(json.dumps(one.to_json()))) == one
        plain = sum(piece.end - piece.first for piece in one.pieces if named[piece.file][0].endswith("n"))
        assert plain <= size


class Large:
    """One export of some files by both ways."""

    def __init__(self, tmp_path: Path, contents: dict[str, bytes], type_: str = "Event") -> None:
        self.contents = dict(sorted(contents.items()))
        self.folder = tmp_path
        self.type = type_
        self.selection = Selection((DAY, DAY) if export_types.get(type_).historical else None)
        self.source = ports.MemorySource(list(self.contents.values()), 1000)
        self.store, self.target, self.rejects = ports.MemoryStore(), ports.MemoryTarget(), io.BytesIO()
        self.given = {"workdir": tmp_path / "work", "limits": Limits()}

    def plan(self, slice_bytes: int, bucket_bytes: int) -> scale_out.Spec:
        entries = tuple(
            scale_out.RawEntry(name, len(data), name.split("/")[0]) for name, data in self.contents.items()
        )
        spec = scale_out.Spec(self.type, ExportFormat.JSON, self.selection, entries)
        return scale_out.plan(spec, self.source, slice_bytes=slice_bytes, bucket_bytes=bucket_bytes)

    def run(self, spec: scale_out.Spec) -> tuple[bytes, dict, bytes]:
        tokens = [
            scale_out.partition_slice(spec, one.number, self.source, self.store, **self.given)["token"]
            for one in spec.slices
        ]
        written = [
            scale_out.write_bucket(spec, bucket, tokens, self.store, self.target)
            for bucket in range(spec.buckets)
        ]
        counts = scale_out.commit(spec, tokens, written, self.store, self.target, self.rejects)
        return self.target.data, counts.to_json(), self.rejects.getvalue()

    def small(self) -> tuple[bytes, dict, bytes]:
        target, rejects = self.folder / "target", self.folder / "rejects"
        counts = write_export(
            export_types.get(self.type),
            [
                RawFile(name, lambda data=data: iter([data]), name.split("/")[0])
                for name, data in self.contents.items()
            ],
            selection=self.selection,
            target=target,
            rejects=rejects,
            **self.given,
        )
        return target.read_bytes(), counts.to_json(), rejects.read_bytes() if rejects.exists() else b""


def event(n: int) -> bytes:
    time = f"2025-03-23T10:{n % 60:02}:00.000Z"
    return json.dumps({"deviceId": f"d{n % 97}", "name": f"n{n}", "timestamp": time, "x": n}).encode() + b"\n"


def test_given_row_groups_in_many_slices_then_bytes_of_the_small_path(
    tmp_path: Path,
) -> None:
    made = """SELECT 'd' || (i % 97) AS "deviceId", 'n' || i AS name, i AS x,
    CASE WHEN i % 4000 = 7 THEN 'soon' ELSE '2025-03-23T10:00:00.000Z' END AS timestamp
    FROM range(20000) t(i)"""
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({made}) TO '{tmp_path}/a' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
    large = Large(
        tmp_path,
        {
            "events/1.parquet": (tmp_path / "a").read_bytes(),
            "events/2.ndjson": b"".join(map(event, range(300))) + b"bad\n",
        },
    )
    spec = large.plan(len(large.contents["events/1.parquet"]) // 4, 50_000)
    assert len(spec.slices) > 3
    assert spec.buckets > 1
    data, counts, rejects = large.run(spec)
    assert (data, counts, rejects) == large.small()
    assert counts["rejected"] == 6
    assert [json.loads(line)["line"] for line in rejects.splitlines()] == [8, 4008, 8008, 12008, 16008, 301]


def test_given_a_device_in_many_slices_then_merged_with_its_tags(tmp_path: Path) -> None:
    devices = b"".join(
        json.dumps(
            {
                "deviceId": f"d{n % 7}",
                "timestamp": f"2025-03-{1 + n % 28:02}T00:00:00Z",
                "meta": {"firstSeen": 1000 - n, "lastSeen": n},
                **({"info": {"locale": f"l{n}"}} if n % 3 else {}),
            }
        ).encode()
        + b"\n"
        for n in range(200)
    )
    tags = b"".join(
        json.dumps(
            {
                "deviceId": f"d{n % 9}",
                "timestamp": f"2025-03-{1 + n % 28:02}T00:00:00Z",
                "key": f"k{n % 5}",
                "value": n if n % 4 else None,
            }
        ).encode()
        + b"\n"
        for n in range(200)
    )
    large = Large(tmp_path, {"devices/1.ndjson": devices, "tags/1.ndjson": tags}, "Device")
    found = large.run(large.plan(2000, 4000))
    assert found == large.small()
    assert found[1]["outsideWindow"] > 0
    assert json.loads(found[0])[0]["meta"]["firstSeen"] < 820


@pytest.mark.parametrize("member", [300, 2111, 1 << 20])
def test_given_gzip_members_when_scaled_out_then_bytes_of_the_small_path(tmp_path: Path, member: int) -> None:
    lines = b"".join(b"{oops\n" if n % 50 == 7 else event(n) for n in range(900))
    packed = b"".join(gzip.compress(lines[at : at + member]) for at in range(0, len(lines), member))
    contents = {"events/2025-03-23/a.ndjson.gz": packed, "events/2025-03-23/b.ndjson": event(901)}
    large = Large(tmp_path, contents)
    spec = large.plan(12_000, 4000)
    pieces = [piece for one in spec.slices for piece in one.pieces if piece.file == 0]
    assert len(pieces) == 1 if member > len(lines) else len(pieces) > 5
    found, expected = large.run(spec), large.small()
    assert found == expected
    assert [json.loads(line)["line"] for line in found[2].splitlines()] == list(range(8, 901, 50))


def test_given_blocks_of_few_bytes_when_scaled_out_then_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobexport.export_api.writer.blocks.TARGET_BLOCK_BYTES", 1000)
    monkeypatch.setattr("mobexport.records.sorting.BATCH_BYTES", 700)
    large = Large(tmp_path, {"events/1.ndjson": b"".join(map(event, range(500)))})
    found = large.run(large.plan(3000, 9000))
    assert found == large.small()
    assert len(large.target.blocks) > 30


def test_given_nothing_to_export_when_scaled_out_then_an_empty_array(tmp_path: Path) -> None:
    for contents in ({}, {"events/1.ndjson": b"", "events/2.ndjson": b"\n\n"}):
        large = Large(tmp_path, contents)
        assert large.run(large.plan(10, 10)) == large.small()
        assert large.target.data == b"[]"


def test_given_a_lost_attempt_at_a_slice_then_its_blobs_do_not_count(
    tmp_path: Path,
) -> None:
    large = Large(tmp_path, {"events/1.ndjson": b"".join(map(event, range(100)))})
    spec = large.plan(3000, 9000)
    for _ in range(2):
        lost = scale_out.partition_slice(spec, 0, large.source, large.store, **large.given)
        del large.store.blobs[f"{lost['token']}.events"]
    assert large.run(spec) == large.small()


def test_given_a_file_that_changes_mid_slice_then_the_reason_is_raised(tmp_path: Path) -> None:
    large = Large(tmp_path, {"events/1.ndjson": b"".join(map(event, range(100)))})
    spec = large.plan(3000, 9000)

    def read(_file: int, _first: int, _end: int) -> Iterator[bytes]:
        raise SourceChanged("events/1.ndjson was replaced")

    large.source.read = read
    with pytest.raises(SourceChanged, match="was replaced"):
        scale_out.partition_slice(spec, 1, large.source, large.store, **large.given)
    assert large.store.blobs == {}


def test_given_a_parquet_file_without_a_footer_then_a_data_error_by_name(
    tmp_path: Path,
) -> None:
    large = Large(tmp_path, {"events/1.parquet": b"x" * 5000})
    with pytest.raises(DataError, match=r"events/1\.parquet cannot be read as Parquet"):
        large.plan(1000, 1000)


def test_given_a_large_task_when_its_steps_pass_inputs_then_they_are_small(tmp_path: Path) -> None:
    large = Large(tmp_path, {f"events/{n:04}.ndjson": event(n) for n in range(300)})
    spec = large.plan(100_000, 64)
    assert spec.buckets == scale_out.MAX_BUCKETS
    outcome = scale_out.partition_slice(spec, 0, large.source, large.store, **large.given)
    tokens = [outcome["token"]]
    others = [
        scale_out.partition_slice(spec, one.number, large.source, large.store, **large.given)["token"]
        for one in spec.slices[1:]
    ]
    written = [
        scale_out.write_bucket(spec, bucket, tokens + others, large.store, large.target)
        for bucket in range(spec.buckets)
    ]
    assert len(json.dumps(outcome)) < 200
    assert len(json.dumps(written)) < 16_000
    scale_out.commit(spec, tokens + others, written, large.store, large.target, large.rejects)
    assert large.target.data == large.small()[0]
    assert replace(spec, slices=()) == replace(scale_out.Spec.from_json(spec.to_json()), slices=())
