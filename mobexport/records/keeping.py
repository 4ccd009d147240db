"""Keep the raw records that are selected, sorted by group and instant.

A group's key orders an export file. It is the MD5 of the group's values, joined by U+001F, then the values as
JSON, joined by U+001F; absent ones are empty. Source: design, section 3, "Order".
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress, repeat
from operator import attrgetter
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mobexport.export_types.model import Collected, ExportType
from mobexport.records import times
from mobexport.records.json_text import quote
from mobexport.records.raw_records import Rows
from mobexport.records.sorting import Sorter, SpillFile
from mobexport.records.structs import attribute

DIGEST: Final = 16
Bounds = tuple[int, int] | None
_NEVER: Final = -(1 << 62)

_encode_lines = msgspec.json.Encoder().encode_lines


def is_merged(export_type: ExportType) -> bool:
    """Whether several records may become one."""
    return bool(export_type.merge) or isinstance(export_type.shape, Collected)


class Keeper:
    """Keeps the records of a type.

    `bounds`: of the time, microseconds since 1970, both included. `only`: for fields of the group, the values
    that are selected.
    """

    def __init__(
        self, export_type: ExportType, bounds: Bounds, only: Mapping[str, Sequence[Any]], spill: SpillFile
    ) -> None:
        merge = export_type.merge
        # What is merged has its time when it is whole.
        self._bounds = None if merge and export_type.historical else bounds
        self._time = export_type.time
        self._by = merge.by if merge else export_type.time
        self._only = [(attrgetter(attribute(name)), frozenset(values)) for name, values in only.items()]
        self._names = list(map(attribute, export_type.group))
        self._group = attrgetter(*self._names)
        self._is_single = len(self._names) == 1
        self._sorter = Sorter(spill, _key_of_text if self._is_single else _key_of_json)
        self.outside = 0
        """Records that were not selected."""

    def add(self, rows: Rows) -> None:
        """Takes usable records in their order. Raises DataError (`TooLarge`) beyond the limits."""
        records, at = rows.records, rows.instants[self._time].cast(pa.int64())
        by = at if self._by == self._time else rows.instants[self._by].cast(pa.int64())
        if by.null_count:
            by = by.fill_null(_NEVER)
        if (good := self._selected(rows, at)) is not None:
            records, by = list(compress(records, good)), by.filter(pa.array(good, pa.bool_()))
            self.outside += len(good) - len(records)
        if not records:
            return
        groups: list[Any] = list(map(self._group, records))
        if not self._is_single:
            groups = _encode_lines(groups).decode().split("\n")[:-1]
        for name in self._names:
            deque(map(setattr, records, repeat(name), repeat(msgspec.UNSET)), maxlen=0)
        self._sorter.add(groups, by, _encode_lines(records))

    def spill(self) -> None:
        """Writes all that is in memory to the spill file."""
        self._sorter.spill()

    def rows(self) -> Iterator[pa.RecordBatch]:
        """All that was kept, sorted. Nothing may be added after that."""
        return self._sorter.batches()

    def _selected(self, rows: Rows, at: pa.Array) -> list[bool] | None:
        """Whether each record is selected, by its time and its values; None: all are."""
        mask = times.within(at, self._bounds)
        if mask is None and not self._only:
            return None
        good = [True] * len(rows.records) if mask is None else mask.to_pylist()
        for value, allowed in self._only:
            good = [
                is_good and value(record) in allowed
                for is_good, record in zip(good, rows.records, strict=True)
            ]
        return good


def _key_of_text(text: str) -> bytes:
    """The key of a group of one text."""
    return hashlib.md5(text.encode(), usedforsecurity=False).digest() + quote(text)


def _key_of_json(text: str) -> bytes:
    """The key of a group, from its values as a JSON array."""
    values = msgspec.json.decode(text)
    joined = "\x1f".join("" if value is None else str(value) for value in values)
    digest = hashlib.md5(joined.encode(), usedforsecurity=False).digest()
    return digest + b"\x1f".join(b"" if value is None else quote(value) for value in values)


def members_of_keys(export_type: ExportType) -> Callable[[bytes], bytes]:
    """Tells a group's fields as members of an object, from its key."""
    first, *others = names = [quote(name) + b":" for name in export_type.group]
    if not others:
        return lambda key: first + key[DIGEST:]

    def members(key: bytes) -> bytes:
        tokens = key[DIGEST:].split(b"\x1f")
        return b",".join([name + token for name, token in zip(names, tokens, strict=True) if token])

    return members


def group_values(key: bytes) -> list[Any]:
    """The values of a group, from its key."""
    return [msgspec.json.decode(token) if token else None for token in key[DIGEST:].split(b"\x1f")]


def slices(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[bytes, bytes, int]]:
    """(key, texts, rows) of consecutive rows of one group; a comma stands between texts.

    A group may come in several slices.
    """
    for batch in batches:
        runs = pc.run_end_encode(batch["key"])
        texts = batch["text"]
        ends = memoryview(texts.buffers()[1]).cast("i")
        data = memoryview(texts.buffers()[2])
        row = 0
        for key, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            first, last = ends[texts.offset + row], ends[texts.offset + end]
            yield key, bytes(data[first : last - 1]), end - row
            row = end
