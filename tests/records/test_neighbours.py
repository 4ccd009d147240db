"""A record's verdict is its own: the same alone and among others, however the bytes are cut."""

import functools
import hashlib
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hostile import (
    AFTER,
    BEFORE,
    DEVICE,
    MARK,
    ODD,
    Odd,
    as_line,
    convert,
    element,
    exported,
    plain_times,
    write,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHORT = plain_times(ODD)
DEVICES = (DEVICE, "another", "é")
CHUNKS = st.sampled_from([1, 7, 100, 1000, 1 << 20])
any_mix = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def odds(found: list[Odd]) -> st.SearchStrategy[Odd]:
    """As many good ones as odd ones."""
    return st.sampled_from([BEFORE, AFTER]) | st.sampled_from(found)


@functools.cache
def line_alone(record: bytes) -> tuple[str, str | None] | bytes:
    """The fault of a record that is the only line of a file, or its text in the export."""
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), as_line(record))
    if written.faults:
        return written.faults[0][1:]
    opening, _, closing = exported(b"?").partition(b"?")
    return written.data.removeprefix(opening).removesuffix(closing)


@functools.cache
def record_alone(record: bytes) -> tuple[str, str | None] | dict[str, Any]:
    """The fault of a record that is the only one of a file, or its row."""
    with tempfile.TemporaryDirectory() as folder:
        done = convert(Path(folder), b"[%s]" % element(record))
    return done.faults[0][2:] if done.faults else done.rows[0]


LINES = st.lists(
    st.tuples(
        odds([odd for odd in SHORT if odd.is_line]),
        st.sampled_from(DEVICES),
        st.sampled_from([b"", b"", b"\n", b" \t\r\n\n", MARK]),
        st.sampled_from([b"\n", b"\r\n"]),
    ),
    max_size=15,
)


@any_mix
@given(lines=LINES, chunk=CHUNKS, block=st.sampled_from([1, 300, 1000, 1 << 19]))
def test_given_any_lines_when_written_then_each_verdict_is_its_own(tmp_path, lines, chunk, block) -> None:
    data, number, faults = b"", 0, []
    texts: dict[str, list[bytes]] = {}
    for odd, device, before, end in lines:
        data += before + as_line(odd.record, device) + end
        number += before.count(b"\n") + 1
        alone = line_alone(odd.record)
        if isinstance(alone, bytes):
            texts.setdefault(device, []).append(alone)
        else:
            faults.append((number, *alone))
    with patch("mobexport.records.lines.BLOCK_BYTES", block):
        written = write(tmp_path, data, chunk=chunk)
    assert written.faults == faults
    assert written.counts.exported == len(lines) - len(faults)
    order = sorted(texts, key=lambda device: hashlib.md5(device.encode()).digest())
    elements = [element(*texts[device], group=f'"deviceId":"{device}",') for device in order]
    assert written.data == (b"[\n%s\n]\n" % b",\n".join(elements) if elements else b"[]")


ELEMENTS = st.lists(
    st.tuples(
        st.lists(odds(SHORT), max_size=6),
        st.sampled_from(["first", "last", "comma at the end", "NaN beside", "no group", "no object"]),
    ),
    max_size=6,
)


@any_mix
@given(
    elements=ELEMENTS,
    chunk=CHUNKS,
    between=st.sampled_from([b",", b" ,\n", b"\r\n,\t"]),
    block=st.sampled_from([20, 300, 1 << 20]),
)
def test_given_any_elements_when_converted_then_each_verdict_is_its_own(
    tmp_path, elements, chunk, between, block
) -> None:
    texts, faults, rows = [], [], []
    for number, (records, kind) in enumerate(elements, start=1):
        given_records = [odd.record for odd in records]
        if kind == "no object":
            texts.append(b"5")
            faults.append((number, 1, "not-an-object", None))
            continue
        found = element(*given_records)
        if kind == "last":
            found = b'{"events":[%s],"deviceId":"%s"}' % (b",".join(given_records), DEVICE.encode())
        elif kind == "comma at the end" and records:
            found = found[:-1] + b",}"
        elif kind == "NaN beside" and records:
            found = b'{"x":NaN,' + found[1:]
        elif kind == "no group":
            given_records = [BEFORE.record] * len(records)
            found = element(*given_records, group="")
        texts.append(found)
        for place, record in enumerate(given_records, start=1):
            alone = ("missing", "deviceId") if kind == "no group" else record_alone(record)
            if isinstance(alone, dict):
                rows.append(alone)
            else:
                faults.append((number, place, *alone))
    data = b"[" + between.join(texts) + b"]"
    with patch.multiple("mobexport.records.elements", BLOCK_BYTES=block, LARGE_BYTES=2 * block):
        done = convert(tmp_path, data, chunk=chunk)
    assert done.faults == faults
    assert done.rows == rows
