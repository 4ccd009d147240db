"""Bytes of any kind through both halves: our own errors only, and every record accounted for.

`FUZZ_EXAMPLES` says how many examples each test tries; without it they are few, and always the same.
"""

import contextlib
import gzip
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hostile import (
    BASES,
    MARK,
    ODD,
    as_lines,
    chain,
    convert,
    element,
    listed,
    plain_times,
    raw,
    write,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobexport.errors import MobexportError
from mobexport.records.formats import ExportFormat

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
SECONDS = 30
"""More than any example takes, unless it hangs."""

fuzz = settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

SHORT = [odd for odd in plain_times(ODD) if len(odd.record) < 2000]
TOKENS = (
    b"\0", b"\n", b"\r", b" ", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"0", b"1e999",
    b"NaN", b"nan", b"-Infinity", b"null", b"true", b"{}", b"[]", b"\\u0000", b"\\ud83d", b"\\udc00", b"\xff",
    b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xa8", MARK, b'""', b'"deviceId":5,', b'"extras":', b'"events":[',
    b"}{", b"[" * 600, b"]" * 600, b"x" * 5000,
)  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "token", "token", "double", "drop"]),
        st.integers(0, 1 << 20),
        st.integers(1, 300),
        st.integers(0, len(TOKENS) - 1),
        st.binary(max_size=20),
    ),
    min_size=1,
    max_size=6,
)
CHUNKS = st.sampled_from([1 << 20, 1000, 13])
Edit = tuple[str, int, int, int, bytes]


def mutated(data: bytes, edits: list[Edit]) -> bytes:
    for kind, place, size, token, noise in edits:
        at = place % (len(data) + 1)
        before, after = data[:at], data[at:]
        match kind:
            case "flip" if after:
                data = before + bytes([after[0] ^ (1 << size % 8)]) + after[1:]
            case "cut":
                data = before
            case "insert":
                data = before + noise + after
            case "token":
                data = before + TOKENS[token] + after
            case "double":
                data = before + after[:size] + after
            case "drop":
                data = before + after[size:]
    return data


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    """Fails what takes longer than anything should."""

    def stop(*_: Any) -> None:
        raise AssertionError(f"still at it after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def server(folder: Path, name: str, data: bytes, export_type: str, chunk: int) -> None:
    """What the server exports of any bytes is a file of which the pipeline makes a row each."""
    with no_hang():
        try:
            written = write(folder, {name: data}, export_type, chunk=chunk)
        except MobexportError:
            return
        chain(folder, written, export_type)


def pipeline(folder: Path, data: bytes, export_type: str, chunk: int, file_format: ExportFormat) -> None:
    with no_hang(), contextlib.suppress(MobexportError):
        convert(folder, data, export_type, chunk=chunk, file_format=file_format)


def typed_lines(export_type: str) -> bytes:
    more = {
        "Device": {"meta": '{"firstSeen":5,"nativePushEnabled":true}', "info": r'{"locale":"a\u00e9"}'},
        "Tag": {"value": '{"a":[1e3,"x"]}'},
    }
    group = next(iter(BASES[export_type]))
    lines = [raw(export_type, **{group: f'"g{n}"'}, **more.get(export_type, {})) for n in range(3)]
    return b"\n".join(lines)


EVENTS = st.lists(st.sampled_from(SHORT), min_size=1, max_size=5)
LINES = EVENTS.map(lambda odds: ("Event", as_lines(*(odd.record for odd in odds)))) | st.sampled_from(
    [(name, typed_lines(name)) for name in BASES]
)
FILES = EVENTS.map(
    lambda odds: ("Event", listed(element(odds[0].record), element(*(odd.record for odd in odds))))
) | st.sampled_from(
    [
        ("Device", b'[{"deviceId":"d","meta":{"firstSeen":5},"info":{"locale":"x"},"appInfo":{"a":1e3}}]'),
        ("Tag", rb'[{"deviceId":"d","appInfo":{"a":1,"b":"\u00e9","c":[{}]}},{"deviceId":"e","appInfo":{}}]'),
        ("Push", b'[{"deviceId":"d","campaignType":"Poll","campaignId":1,"status":["Queued","Dropped"]}]'),
        (
            "Job",
            b'[{"jobId":"j","deviceId":"d","name":"n","start":"2025-03-23T10:00:00Z","extras":{"a":1e3}}]',
        ),
        ("Activity", b'[{"sessionId":"s","activities":[{"name":"n","timestamp":"2025-03-23T10:00:00Z"}]}]'),
    ]
)
CSV = st.sampled_from(
    [
        (
            "Event",
            b'deviceId,name,timestamp,extras\r\nd,"a""b\r\n",2025-03-23T10:00:00Z,"{""a"":1}"\r\nd,,x,\r\n',
        ),
        ("Device", b"deviceId,meta.firstSeen,meta.nativePushEnabled,appInfo\r\nd,5,true,{}\r\ne,,,\r\n"),
        ("Push", b'deviceId,campaignType,campaignId,status\r\nd,Poll,1,"[""Queued""]"\r\nd,Poll,2,[]\r\n'),
        ("Tag", b'deviceId,key,value\nd,k,"""v"""\nd,"",1e3\n'),
    ]
)


def noise_or(valid: st.SearchStrategy[tuple[str, bytes]]) -> st.SearchStrategy[tuple[str, bytes]]:
    """Files of a type: noise, or valid ones that were damaged."""
    damaged = st.tuples(valid, EDITS).map(lambda one: (one[0][0], mutated(one[0][1], one[1])))
    noise = st.tuples(st.sampled_from([*BASES]), st.binary(max_size=500))
    return damaged | damaged | damaged | noise


@fuzz
@given(file=noise_or(LINES), chunk=CHUNKS)
def test_given_any_lines_when_written_then_every_record_is_accounted_for(tmp_path, file, chunk) -> None:
    export_type, data = file
    server(tmp_path, "a.ndjson", data, export_type, chunk)


@fuzz
@given(file=noise_or(LINES), edits=EDITS, inside=st.booleans(), chunk=CHUNKS)
def test_given_any_gzip_when_written_then_every_record_is_accounted_for(
    tmp_path, file, edits, inside, chunk
) -> None:
    export_type, data = file
    zipped = gzip.compress(data, mtime=0)
    data = zipped + gzip.compress(data[:50], mtime=0) if inside else mutated(zipped, edits)
    server(tmp_path, "a.ndjson.gz", data, export_type, chunk)


def parquet(nested: bool) -> bytes:
    names = ["a", 'b"', None, "é"] * 5
    extras: list[Any] = [{"a": 1.5, "l": ["x", None]}, None] * 10 if nested else ['{"a":1e3}', None] * 10
    table = pa.table(
        {
            "deviceId": pa.array(["d", "e"] * 10),
            "name": pa.array(names).dictionary_encode(),
            "timestamp": pa.array(
                [1_742_724_000_000_000_000 + n for n in range(20)], pa.timestamp("ns", "UTC")
            ),
            "extras": pa.array(extras),
            "x": pa.array(range(20)),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=7, compression="none")
    return out.getvalue()


PARQUET = st.sampled_from([("Event", parquet(False)), ("Event", parquet(True))])


@fuzz
@given(file=noise_or(PARQUET), chunk=CHUNKS)
def test_given_any_parquet_when_written_then_every_record_is_accounted_for(tmp_path, file, chunk) -> None:
    export_type, data = file
    server(tmp_path, "a.parquet", data, export_type, chunk)


@fuzz
@given(file=noise_or(FILES), chunk=CHUNKS)
def test_given_any_elements_when_converted_then_every_record_is_told(tmp_path, file, chunk) -> None:
    export_type, data = file
    pipeline(tmp_path, data, export_type, chunk, ExportFormat.JSON)


@fuzz
@given(file=noise_or(CSV), chunk=CHUNKS)
def test_given_any_csv_when_converted_then_every_row_is_told(tmp_path, file, chunk) -> None:
    export_type, data = file
    pipeline(tmp_path, data, export_type, chunk, ExportFormat.CSV)
