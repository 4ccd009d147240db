"""Read raw files of any format but Parquet as blocks of lines, one JSON record a line.

Arrays are numbered by element, Avro files by record, both from 1. Sources: Apache Avro 1.11, object container
files; Event Hubs Capture, whose schema has the event in `Body`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from itertools import chain
from typing import Any, Final

import msgspec

from mobexport.errors import DataError
from mobexport.records.elements import elements
from mobexport.records.gunzip import unpacked
from mobexport.records.json_text import raw_items
from mobexport.records.lines import BLOCK_BYTES, MARK, LineBlock, line_blocks
from mobexport.records.raw_formats import RawFormat
from mobexport.records.streams import stream_of

_BODY: Final = "Body"
_encode = msgspec.json.Encoder(decimal_format="number").encode


def record_blocks(form: RawFormat, chunks: Iterable[bytes], name: str) -> Iterator[LineBlock]:
    """The records of a whole file. Raises DataError if it cannot be read, and what reading raises."""
    match form:
        case RawFormat.AVRO:
            return _blocks(_avro_records(chunks, name))
        case RawFormat.JSON:
            return _json_blocks(unpacked(chunks, name))
        case _:
            return line_blocks(unpacked(chunks, name))


def _json_blocks(chunks: Iterator[bytes]) -> Iterator[LineBlock]:
    """An array's elements, or lines, by the first byte that is no whitespace."""
    begun: list[bytes] = []
    for chunk in chunks:
        begun.append(chunk)
        if start := chunk.removeprefix(MARK).lstrip():
            whole = chain(begun, chunks)
            if start.startswith(b"["):
                yield from _blocks(_one_line(text) for found in elements(whole) for text in found.texts)
            else:
                yield from line_blocks(whole)
            return


def _blocks(records: Iterable[bytes]) -> Iterator[LineBlock]:
    lines: list[bytes] = []
    first, size = 1, 0
    for record in records:
        lines.append(record)
        size += len(record)
        if size >= BLOCK_BYTES:
            yield LineBlock(first, lines, max(map(len, lines)))
            first, size, lines = first + len(lines), 0, []
    if lines:
        yield LineBlock(first, lines, max(map(len, lines)))


def _one_line(text: bytes) -> bytes:
    """JSON over several lines as one: outside of strings a line end is whitespace, inside there is none."""
    return text.replace(b"\n", b" ") if b"\n" in text else text


def _avro_records(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    import fastavro

    try:
        reader = fastavro.reader(stream_of(chunks))
        for record in reader:
            if isinstance(record, dict) and isinstance(body := record.get(_BODY), bytes | str):
                yield from _bodies(body.encode() if isinstance(body, str) else body)
            else:
                yield _encode(_plain(record))
    except (ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{name} cannot be read as Avro ({reason}): replace it", code="BadAvro") from None


def _bodies(body: bytes) -> list[bytes]:
    """The records in the body of an event: one, those of an array, or those of its lines."""
    text = body.strip()
    if text.startswith(b"["):
        try:
            return [_one_line(bytes(item)) for item in raw_items(text)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [_one_line(text)]
    if b"\n" in text:
        lines = [line for line in text.split(b"\n") if line.strip()]
        if all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
            return lines
    return [_one_line(text)]


def _plain(value: Any) -> Any:
    """A value of Avro as JSON says it; bytes that are no text are left out as null."""
    match value:
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return value
