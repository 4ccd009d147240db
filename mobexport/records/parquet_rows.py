"""Rows of a raw Parquet file as the JSON lines that would say the same, so that one reader reads both.

A column holds what its field of a line would: JSON text in string or binary columns of fields that pass
through as objects (`extras`), structs, lists and maps as JSON, timestamps as RFC 3339 in UTC (UTC where
they have no zone), cut to microseconds. Null is absent, also in structs, where it cannot be told from a
member that only other rows have. Source of the types: the Apache Arrow columnar format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import IO, Any
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mobexport.errors import DataError
from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.records.json_text import NotJson, members, tame
from mobexport.records.lines import BLOCK_BYTES, LineBlock
from mobexport.records.raw_records import Names

_MAX_ROWS = 4096
_TO_MICROS = {"s": 1_000_000, "ms": 1000, "us": 1}
_encode = msgspec.json.Encoder(decimal_format="number").encode


class _NoValue:
    """Stands for a value that JSON cannot say: NaN, infinities, bytes that are no text."""


_NO_VALUE = _NoValue()


def open_parquet(source: IO[bytes] | Any, name: str) -> pq.ParquetFile:
    """The file, of which only the footer is read so far. Raises DataError if it is no Parquet file."""
    try:
        return pq.ParquetFile(source, pre_buffer=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise bad_parquet(name, error) from None


def bad_parquet(name: str, error: Exception) -> DataError:
    """What to say of a file that cannot be read."""
    reason = (str(error).splitlines() or ["no reason given"])[0][:200]
    return DataError(f"{name} cannot be read as Parquet ({reason}): replace it", code="BadParquet")


def row_groups(source: IO[bytes] | Any, name: str) -> list[tuple[int, int]]:
    """(rows, bytes) of each row group. Raises DataError if it is no Parquet file."""
    metadata = open_parquet(source, name).metadata
    groups = (metadata.row_group(n) for n in range(metadata.num_row_groups))
    return [
        (group.num_rows, sum(group.column(n).total_compressed_size for n in range(group.num_columns)))
        for group in groups
    ]


def row_blocks(
    source: IO[bytes] | Any, name: str, export_type: ExportType, rows: tuple[int, int] | None, names: Names
) -> Iterator[LineBlock]:
    """Rows (from the first up to before the second, which are bounds of row groups; all) as blocks of lines.

    Lines are numbered by row, from 1. Values that JSON cannot say are counted in `names` as
    `{column}:not-json`. Raises DataError if the file cannot be read, and what reading `source` raises.
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
                    lines = _lines(batch, export_type, names)
                    yield LineBlock(line, lines, max(map(len, lines), default=0))
                    line += len(batch)
            start += group.num_rows
    except (pa.ArrowException, ValueError) as error:
        raise bad_parquet(name, error) from None
    except OSError as error:
        # Arrow's own say what is wrong with the file and have no number; others come from reading it.
        if error.errno is not None:
            raise
        raise bad_parquet(name, error) from None


def _lines(batch: pa.RecordBatch, export_type: ExportType, names: Names) -> list[bytes]:
    """The rows as JSON objects; a row that no JSON can say becomes bytes that a reader of lines rejects."""
    fields = {field.name: field for field in export_type.fields}
    columns: list[tuple[str, list[Any]]] = []
    for column, array in zip(batch.schema.names, batch.columns, strict=True):
        lost = _Lost()
        # What nobody declared need not be text, as what is nested need not.
        values = _values(array, fields.get(column), lost, nested=column not in fields)
        columns.append((column, values))
        names.add([f"{column}:not-json"], lost.count)
    if not columns:
        return [b"{}"] * len(batch)
    own = [name for name, _ in columns]
    lines = []
    for row in zip(*(values for _, values in columns), strict=True):
        # Of columns with one name the last counts, as it does in a line.
        record = {n: v for n, v in dict(zip(own, row, strict=True)).items() if v is not None}
        broken = [value for value in record.values() if isinstance(value, _NotUtf8)]
        if broken:
            shown = {n: "" if isinstance(v, _NotUtf8) else v for n, v in record.items()}
            lines.append(_encode(shown)[:-1] + b"," + broken[0].data.replace(b"\n", b" ") + b"}")
        else:
            lines.append(_encode({n: v for n, v in record.items() if v is not _NO_VALUE}))
    return lines


class _Lost:
    """Counts values that JSON cannot say."""

    count = 0


class _NotUtf8:
    """Text of a field that is no text."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def _values(array: pa.Array, field: Field | None, lost: _Lost, *, nested: bool = False) -> list[Any]:
    """The values of a column as Python says JSON, None for null."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        if str(kind.extension_name) == "arrow.uuid":
            return [None if one is None else str(UUID(bytes=one)) for one in array.storage.to_pylist()]
        return _values(array.storage, field, lost, nested=nested)
    if pa.types.is_dictionary(kind):
        return _values(array.dictionary_decode(), field, lost, nested=nested)
    if pa.types.is_run_end_encoded(kind):
        return _values(pc.run_end_decode(array), field, lost, nested=nested)
    if pa.types.is_null(kind):
        return [None] * len(array)
    if pa.types.is_struct(kind):
        return _structs(array, field, lost)
    if pa.types.is_map(kind):
        return _maps(array, lost)
    if _is_list(kind):
        return _lists(array, lost)
    if pa.types.is_timestamp(kind):
        return _timestamps(array)
    if _is_text(kind):
        return _texts(array, field, lost, nested=nested)
    if pa.types.is_floating(kind):
        return _floats(array, field, lost)
    if pa.types.is_decimal(kind):
        whole = field is not None and field.kind is FieldKind.INTEGER
        return [_whole(value) if whole else value for value in array.to_pylist()]
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        found: list[Any] = array.to_pylist()
        return found
    return [None if one is None else str(one) for one in array.cast(pa.string()).to_pylist()]


def _is_list(kind: pa.DataType) -> bool:
    tests = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view", "is_large_list_view")
    return any(getattr(pa.types, test)(kind) for test in tests)


def _is_text(kind: pa.DataType) -> bool:
    tests = ("is_string", "is_large_string", "is_string_view", "is_binary", "is_large_binary",
             "is_binary_view", "is_fixed_size_binary")  # fmt: skip
    return any(getattr(pa.types, test)(kind) for test in tests)


def _structs(array: pa.Array, field: Field | None, lost: _Lost) -> list[Any]:
    members = {member.name: member for member in field.members} if field else {}
    names = [array.type.field(n).name for n in range(array.type.num_fields)]
    children = [
        _values(child, members.get(name), lost, nested=True)
        for name, child in zip(names, array.flatten(), strict=True)
    ]
    rows = zip(*children, strict=True) if children else iter([()] * len(array))
    return [
        {n: v for n, v in zip(names, row, strict=True) if v is not None and v is not _NO_VALUE}
        if there
        else None
        for there, row in zip(array.is_valid().to_pylist(), rows, strict=True)
    ]


def _maps(array: pa.Array, lost: _Lost) -> list[Any]:
    keys = array.keys if _is_text(array.keys.type) else array.keys.cast(pa.string())
    pairs = list(
        zip(
            _values(keys, None, lost, nested=True), _values(array.items, None, lost, nested=True), strict=True
        )
    )
    offsets = array.offsets.to_pylist()
    found: list[Any] = []
    for place, there in enumerate(array.is_valid().to_pylist()):
        held = pairs[offsets[place] : offsets[place + 1]] if there else []
        found.append(
            {str(k): v for k, v in held if v is not _NO_VALUE and k is not _NO_VALUE} if there else None
        )
    return found


def _lists(array: pa.Array, lost: _Lost) -> list[Any]:
    items = [None if one is _NO_VALUE else one for one in _values(array.flatten(), None, lost, nested=True)]
    found: list[Any] = []
    at = 0
    for length in pc.list_value_length(array).to_pylist():
        found.append(None if length is None else items[at : at + length])
        at += length or 0
    return found


def _timestamps(array: pa.Array) -> list[Any]:
    unit = array.type.unit
    numbers = array.cast(pa.timestamp(unit)).cast(pa.int64()) if array.type.tz else array.cast(pa.int64())
    micros = [
        None if one is None else (one // 1000 if unit == "ns" else one * _TO_MICROS[unit])
        for one in numbers.to_pylist()
    ]
    try:
        texts = pa.array(micros, pa.int64()).cast(pa.timestamp("us")).cast(pa.string()).to_pylist()
    except (pa.ArrowException, OverflowError):
        # Beyond what can be said in microseconds: no time of any year that counts.
        return [None if one is None else str(one) for one in numbers.to_pylist()]
    return [None if one is None else f"{one.replace(' ', 'T')}Z" for one in texts]


def _texts(array: pa.Array, field: Field | None, lost: _Lost, *, nested: bool) -> list[Any]:
    as_json = field is not None and field.kind is FieldKind.OBJECT
    if not as_json:
        try:
            if not (pa.types.is_fixed_size_binary(array.type) or pa.types.is_binary_view(array.type)):
                found: list[Any] = array.cast(pa.string()).to_pylist()
                return found
        except (pa.ArrowInvalid, UnicodeDecodeError):
            pass
    return [
        None if data is None else _text(data, lost, as_json=as_json, nested=nested) for data in _bytes(array)
    ]


def _bytes(array: pa.Array) -> list[bytes | None]:
    """The bytes of texts, whether they are UTF-8 or not."""
    kind = array.type
    if pa.types.is_string(kind):
        array = array.view(pa.binary())
    elif pa.types.is_large_string(kind):
        array = array.view(pa.large_binary())
    elif pa.types.is_string_view(kind):
        array = array.view(pa.binary_view())
    found: list[bytes | None] = array.to_pylist()
    return found


def _text(data: bytes, lost: _Lost, *, as_json: bool, nested: bool) -> Any:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        if not nested:
            return _NotUtf8(data)
        lost.count += 1
        return _NO_VALUE
    if not as_json:
        return text
    if not text.strip():
        return None
    tamed = tame(data)
    try:
        members(tamed)
    except NotJson:
        # What is no JSON by itself must not become part of the line's structure: it spoils the line.
        return msgspec.Raw(b"not JSON: " + _encode(text))
    return msgspec.Raw(data)


def _floats(array: pa.Array, field: Field | None, lost: _Lost) -> list[Any]:
    whole = field is not None and field.kind is FieldKind.INTEGER
    if array.type != pa.float64():
        # The shortest text that is the same number, not that of the next double.
        shortest = array.cast(pa.float32()).cast(pa.string()).to_pylist()
        values = [None if one is None else float(one) for one in shortest]
    else:
        values = array.to_pylist()
    found: list[Any] = []
    for value in values:
        if value is None or (whole and value != value):
            found.append(None)
        elif value - value != 0:
            lost.count += 1
            found.append(_NO_VALUE if not whole else str(value))
        else:
            found.append(_whole(value) if whole else value)
    return found


def _whole(value: float | Decimal | None) -> Any:
    """A number without a fraction as a whole one."""
    return int(value) if value is not None and value == int(value) else value


class Ranged:
    """A seekable file over `read(from, to)`."""

    closed = False
    mode = "rb"

    def __init__(self, read: Callable[[int, int], Iterator[bytes]], size: int) -> None:
        self._read = read
        self._size = size
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        end = self._size if size < 0 else min(self._at + size, self._size)
        data = b"".join(self._read(self._at, end)) if end > self._at else b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to a place."""
        self._at = (0, self._at, self._size)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is held open."""
