"""Read rows of a raw Parquet file as the JSON lines that would say the same, so that one reader reads both.

A column holds what its field of a line would: JSON text in string or binary columns of fields that pass
through as objects (`extras`), structs, lists and maps as JSON, timestamps as RFC 3339 in UTC (UTC where
they have no zone), cut to microseconds. Null is absent, also in structs, where it cannot be told from a
member that only other rows have. Source of the types: the Apache Arrow columnar format.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import IO, Any
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mobexport.errors import DataError
from mobexport.export_types.model import Field, FieldKind
from mobexport.records.json_text import NotJson, members, tame
from mobexport.records.lines import BLOCK_BYTES, LineBlock
from mobexport.records.names import Names

_MAX_ROWS = 4096
_TO_MICROS = {"s": 1_000_000, "ms": 1000, "us": 1}
_encode = msgspec.json.Encoder(decimal_format="number").encode


def open_parquet(source: IO[bytes], name: str) -> pq.ParquetFile:
    """The file, of which only the footer is read so far. Raises DataError if it is no Parquet file."""
    try:
        return pq.ParquetFile(source, pre_buffer=False)
    except MemoryError:
        raise  # Of Arrow's own kind, too.
    except (pa.ArrowException, OSError, ValueError) as error:
        raise bad_parquet(name, error) from None


def bad_parquet(name: str, error: Exception) -> DataError:
    """The error for a file that cannot be read."""
    reason = (str(error).splitlines() or ["no reason given"])[0][:200]
    return DataError(f"{name} cannot be read as Parquet ({reason}): replace it", code="BadParquet")


def row_groups(source: IO[bytes], name: str) -> list[tuple[int, int]]:
    """(rows, bytes) of each row group. Raises DataError if it is no Parquet file."""
    metadata = open_parquet(source, name).metadata
    groups = (metadata.row_group(n) for n in range(metadata.num_row_groups))
    return [
        (group.num_rows, sum(group.column(n).total_compressed_size for n in range(group.num_columns)))
        for group in groups
    ]


def row_blocks(
    source: IO[bytes],
    name: str,
    fields: Mapping[str, Field],
    rows: tuple[int, int] | None,
    names: Names,
) -> Iterator[LineBlock]:
    """Rows (from the first up to before the second, which are bounds of row groups; all) as blocks of lines.

    `fields` are those that columns hold, by the column's name. Lines are numbered by row, from 1. Values that
    JSON cannot say are counted in `names` as `{column}:not-json`. Raises DataError if the file cannot be
    read, and what reading `source` raises.
    """
    file = open_parquet(source, name)
    try:
        start = 0
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            if rows is None or rows[0] <= start < rows[1]:
                average = max(group.total_byte_size // max(group.num_rows, 1), 1)
                size = max(min(BLOCK_BYTES // average, _MAX_ROWS), 1)
                line = start + 1
                for batch in file.iter_batches(size, row_groups=[number], use_threads=False):
                    lines = _lines(batch, fields, names)
                    yield LineBlock(line, lines, max(map(len, lines), default=0))
                    line += len(batch)
            start += group.num_rows
    except MemoryError:
        raise  # Of Arrow's own kind, too.
    except (pa.ArrowException, ValueError) as error:
        raise bad_parquet(name, error) from None
    except OSError as error:
        # Arrow's own say what is wrong with the file and have no number; others come from reading it.
        if error.errno is not None:
            raise
        raise bad_parquet(name, error) from None


class _NotUtf8:
    """Text of a field that is no text."""

    def __init__(self, data: bytes) -> None:
        self.data = data


_NO_VALUE = object()
"""Stands for a value that JSON cannot say: NaN, infinities, bytes that are no text."""


def _lines(batch: pa.RecordBatch, fields: Mapping[str, Field], names: Names) -> list[bytes]:
    """The rows as JSON objects; a row that no JSON can say becomes bytes that a reader of lines rejects."""
    columns: list[list[Any]] = []
    for column, array in zip(batch.schema.names, batch.columns, strict=True):
        reader = _Values()
        # What nobody declared need not be text, as what is nested need not.
        columns.append(reader.read(array, fields.get(column), nested=column not in fields))
        names.add([f"{column}:not-json"], reader.lost)
    lines = []
    for row in zip(*columns, strict=True) if columns else [()] * len(batch):
        # Of columns with one name the last counts, as it does in a line.
        record = {n: v for n, v in dict(zip(batch.schema.names, row, strict=True)).items() if v is not None}
        broken = [value for value in record.values() if isinstance(value, _NotUtf8)]
        if broken:
            shown = {n: "" if isinstance(v, _NotUtf8) else v for n, v in record.items()}
            lines.append(_encode(shown)[:-1] + b"," + broken[0].data.replace(b"\n", b" ") + b"}")
        else:
            lines.append(_encode({n: v for n, v in record.items() if v is not _NO_VALUE}))
    return lines


class _Values:
    """Reads a column."""

    lost = 0
    """Values that JSON cannot say."""

    def read(self, array: pa.Array, field: Field | None = None, *, nested: bool = True) -> list[Any]:
        """The values as Python says JSON, None for null."""
        kind, types = array.type, pa.types
        is_whole = field is not None and field.kind is FieldKind.INTEGER
        if isinstance(kind, pa.BaseExtensionType):
            if str(kind.extension_name) == "arrow.uuid":
                return [one and str(UUID(bytes=one)) for one in array.storage.to_pylist()]
            return self.read(array.storage, field, nested=nested)
        if types.is_dictionary(kind):
            return self.read(array.dictionary_decode(), field, nested=nested)
        if types.is_run_end_encoded(kind):
            return self.read(pc.run_end_decode(array), field, nested=nested)
        if types.is_struct(kind):
            return self._structs(array, field)
        if types.is_map(kind):
            return self._maps(array)
        if any(getattr(types, f"is_{one}")(kind) for one in _LISTS):
            items = [None if one is _NO_VALUE else one for one in self.read(array.flatten())]
            return _parts(items, pc.list_value_length(array).to_pylist())
        if types.is_timestamp(kind):
            return _timestamps(array)
        if _is_text(kind):
            return self._texts(array, field, nested=nested)
        if types.is_floating(kind):
            return self._floats(array, is_whole=is_whole)
        if types.is_decimal(kind) and is_whole:
            return list(map(_whole, array.to_pylist()))
        if any(getattr(types, f"is_{one}")(kind) for one in ("null", "decimal", "integer", "boolean")):
            return list(array.to_pylist())
        return list(array.cast(pa.string()).to_pylist())

    def _structs(self, array: pa.Array, field: Field | None) -> list[Any]:
        members = {member.name: member for member in field.members} if field else {}
        names = [one.name for one in array.type]
        children = [
            self.read(child, members.get(name)) for name, child in zip(names, array.flatten(), strict=True)
        ]
        rows = zip(*children, strict=True) if children else [()] * len(array)
        return [
            {n: v for n, v in zip(names, row, strict=True) if v is not None and v is not _NO_VALUE}
            if there
            else None
            for there, row in zip(array.is_valid().to_pylist(), rows, strict=True)
        ]

    def _maps(self, array: pa.Array) -> list[Any]:
        keys = array.keys if _is_text(array.keys.type) else array.keys.cast(pa.string())
        pairs = list(zip(self.read(keys), self.read(array.items), strict=True))
        offsets = array.offsets.to_pylist()
        return [
            {str(k): v for k, v in pairs[first:end] if v is not _NO_VALUE and k is not _NO_VALUE}
            if there
            else None
            for first, end, there in zip(offsets[:-1], offsets[1:], array.is_valid().to_pylist(), strict=True)
        ]

    def _texts(self, array: pa.Array, field: Field | None, *, nested: bool) -> list[Any]:
        is_json = field is not None and field.kind is FieldKind.OBJECT
        if not is_json:
            try:
                return list(array.cast(pa.string()).to_pylist())
            except MemoryError:
                raise  # Of Arrow's own kind, too.
            except (pa.ArrowException, UnicodeDecodeError):
                pass
        for text, data in ((pa.string(), pa.binary()), (pa.large_string(), pa.large_binary()),
                           (pa.string_view(), pa.binary_view())):  # fmt: skip
            if array.type == text:
                array = array.view(data)
        return [
            None if data is None else self._text(data, is_json=is_json, nested=nested)
            for data in array.to_pylist()
        ]

    def _text(self, data: bytes, *, is_json: bool, nested: bool) -> Any:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            if not nested:
                return _NotUtf8(data)
            self.lost += 1
            return _NO_VALUE
        if not is_json:
            return text
        if not text.strip():
            return None
        try:
            members(tame(data))
        except NotJson:
            # What is no JSON by itself must not become part of the line's structure: it spoils the line.
            return msgspec.Raw(b"not JSON: " + _encode(text))
        return msgspec.Raw(data)

    def _floats(self, array: pa.Array, *, is_whole: bool) -> list[Any]:
        if array.type != pa.float64():
            # The shortest text that is the same number, not that of the next double.
            array = array.cast(pa.float32()).cast(pa.string()).cast(pa.float64())
        found: list[Any] = []
        for value in array.to_pylist():
            if value is None or (is_whole and value != value):
                found.append(None)
            elif value - value != 0:
                self.lost += 1
                found.append(str(value) if is_whole else _NO_VALUE)
            else:
                found.append(_whole(value) if is_whole else value)
        return found


_LISTS = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
_TEXTS = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view",
          "fixed_size_binary")  # fmt: skip


def _is_text(kind: pa.DataType) -> bool:
    return any(getattr(pa.types, f"is_{one}")(kind) for one in _TEXTS)


def _parts(items: list[Any], lengths: list[int | None]) -> list[Any]:
    """Lists of those lengths, one behind the other."""
    following = iter(items)
    return [None if length is None else list(islice(following, length)) for length in lengths]


def _timestamps(array: pa.Array) -> list[Any]:
    unit = array.type.unit
    numbers = array.cast(pa.timestamp(unit)).cast(pa.int64()).to_pylist()
    micros = [
        None if one is None else (one // 1000 if unit == "ns" else one * _TO_MICROS[unit]) for one in numbers
    ]
    try:
        texts = pa.array(micros, pa.int64()).cast(pa.timestamp("us")).cast(pa.string()).to_pylist()
    except MemoryError:
        raise  # Of Arrow's own kind, too.
    except (pa.ArrowException, OverflowError):
        # Beyond what can be said in microseconds: no time of any year that counts.
        return [None if one is None else str(one) for one in numbers]
    return [None if one is None else f"{one.replace(' ', 'T')}Z" for one in texts]


def _whole(value: float | Decimal | None) -> Any:
    """A number without a fraction as a whole one."""
    return int(value) if value is not None and value == int(value) else value


def open_range(
    read: Callable[[int, int], Iterator[bytes]], first: int, end: int, *, buffer: int = io.DEFAULT_BUFFER_SIZE
) -> io.BufferedReader:
    """A seekable file of what `read(from, to)` gives from `first` up to before `end`."""
    return io.BufferedReader(_Range(read, first, end), buffer)


class _Range(io.RawIOBase):
    def __init__(self, read: Callable[[int, int], Iterator[bytes]], first: int, end: int) -> None:
        self._read = read
        self._first = self._at = first
        self._end = end

    def readinto(self, buffer: Any) -> int:
        size = max(min(len(buffer), self._end - self._at), 0)
        data = b"".join(self._read(self._at, self._at + size)) if size else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = (self._first, self._at, self._end)[whence] + offset
        return self._at - self._first

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
