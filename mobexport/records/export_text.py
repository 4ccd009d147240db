"""The text of export files from sorted records: JsonBlob and CsvBlob.

JsonBlob is one top-level array, UTF-8, one element a line, `[]` when there is nothing; CsvBlob is RFC 4180
(CRLF, header always, absent empty, the empty string `""`), a row for each innermost record. Source: design,
section 3, and docs/data-layout.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import pyarrow as pa

from mobexport.export_types.model import Collected, ExportType, Field, FieldKind, Latest
from mobexport.records.formats import ExportFormat
from mobexport.records.json_text import quote
from mobexport.records.keeping import Bounds, group_members, group_values, is_merged, slices
from mobexport.records.merging import Merger, Tally, joined, records_of
from mobexport.records.structs import ABSENT, attribute

_CHUNK = 256 * 1024


@dataclass(frozen=True)
class ExportText:
    """The text of one type in one format."""

    export_type: ExportType
    output: ExportFormat

    @property
    def opening(self) -> bytes:
        """Beginning of a file that has elements, or of any CSV file."""
        if self.output is ExportFormat.CSV:
            return ",".join(column.name for column in self.export_type.columns).encode() + b"\r\n"
        return b"[\n"

    @property
    def ending(self) -> bytes:
        """End of a file that has elements."""
        return b"" if self.output is ExportFormat.CSV else b"\n]\n"

    @property
    def empty(self) -> bytes:
        """A whole file without elements."""
        return self.opening if self.output is ExportFormat.CSV else b"[]"

    @property
    def separator(self) -> bytes:
        """What stands between two elements."""
        return b"" if self.output is ExportFormat.CSV else b",\n"

    def elements(
        self,
        own: Iterator[pa.RecordBatch],
        joined: Iterator[pa.RecordBatch] | None,
        bounds: Bounds,
        tally: Tally,
    ) -> Iterator[bytes]:
        """The elements of sorted rows and their separators, in chunks.

        `joined`: sorted rows of the joined type. What became of the rows goes to `tally`. No separator stands
        in front or behind.
        """
        pending: list[bytes] = []
        size = 0
        for text in self._texts(own, joined, bounds, tally):
            pending.append(text)
            size += len(text)
            if size >= _CHUNK:
                yield b"".join(pending)
                pending, size = [], 0
        if pending:
            yield b"".join(pending)

    def _texts(
        self,
        own: Iterator[pa.RecordBatch],
        others: Iterator[pa.RecordBatch] | None,
        bounds: Bounds,
        tally: Tally,
    ) -> Iterator[bytes]:
        if not is_merged(self.export_type):
            yield from self._rows(own, tally) if self.output is ExportFormat.CSV else self._nested(own, tally)
            return
        merged = Merger(self.export_type, bounds, tally).groups(own)
        groups: Iterator[tuple[bytes, list[Any], list[Any]]] = ((*group, []) for group in merged)
        theirs = Tally()
        if others is not None and self.export_type.joined:
            groups = joined(merged, Merger(self.export_type.joined, None, theirs).groups(others), tally)
        texts_of = self._csv if self.output is ExportFormat.CSV else self._json
        separator = b""
        for group in groups:
            for text in texts_of(*group):
                yield separator + text
                separator = self.separator
                tally.elements += 1
        tally.superseded += theirs.superseded
        tally.removed += theirs.removed

    # --- JSON ---------------------------------------------------------------------------------------------

    def _nested(self, batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[bytes]:
        separator = b""
        for key, parts in groupby(slices(batches), itemgetter(0)):
            tally.elements += 1
            head = group_members(self.export_type, key)
            before = b"%b{%b,%b:[" % (separator, head, quote(self.export_type.inner))
            for _, texts, rows in parts:
                tally.exported += rows
                yield before + texts
                before = b","
            yield b"]}"
            separator = self.separator

    def _json(self, key: bytes, records: list[Any], others: list[Any]) -> Iterator[bytes]:
        """The elements of a group."""
        shape = self.export_type.shape
        head = group_members(self.export_type, key)
        if isinstance(shape, Collected):
            yield _object(head, _member(shape.field, records[0]))
        elif isinstance(shape, Latest):
            if records:
                yield _object(head, _member(shape.into, _map(self.export_type, records)))
        else:
            bag = self._bag(others)
            tail = _member(self.export_type.joined.inner, bag) if self.export_type.joined and bag else b""
            for record in records:
                yield _object(head, quote(record)[1:-1], tail)

    def _bag(self, others: list[Any]) -> dict[str, Any] | None:
        """The map of the joined type, if a group has any."""
        return _map(self.export_type.joined, others) if self.export_type.joined and others else None

    # --- CSV ----------------------------------------------------------------------------------------------

    @cached_property
    def _cells(self) -> list[Callable[[Any], Any]]:
        """What reads the cells of a record behind those of its group."""
        joined = self.export_type.joined.inner if self.export_type.joined else None
        return [
            _reader(column)
            for column in self.export_type.columns
            if column.name not in self.export_type.group and column.name != joined
        ]

    def _rows(self, batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[bytes]:
        for key, parts in groupby(records_of(self.export_type, batches), itemgetter(0)):
            tally.elements += 1
            head = group_values(key)
            for _, records in parts:
                tally.exported += len(records)
                yield b"".join(
                    csv_row([*head, *(cell(record) for cell in self._cells)]) for record in records
                )

    def _csv(self, key: bytes, records: list[Any], others: list[Any]) -> Iterator[bytes]:
        """The rows of a group, as many texts as JSON has elements."""
        head = group_values(key)
        if isinstance(self.export_type.shape, Collected):
            yield csv_row([*head, quote(records[0]).decode()])
            return
        bag = self._bag(others)
        tail = [quote(bag).decode() if bag else None] if self.export_type.joined else []
        rows = [csv_row([*head, *(cell(record) for cell in self._cells), *tail]) for record in records]
        if isinstance(self.export_type.shape, Latest):
            rows = [b"".join(rows)] if rows else []
        yield from rows


def _object(*members: bytes) -> bytes:
    return b"{%b}" % b",".join(filter(None, members))


def _member(name: str, value: Any) -> bytes:
    return b"%b:%b" % (quote(name), quote(value))


def _map(export_type: ExportType, records: list[Any]) -> dict[str, Any]:
    """The map that records of shape Latest are."""
    assert isinstance(export_type.shape, Latest)
    return dict(
        map(attrgetter(attribute(export_type.shape.key), attribute(export_type.shape.value)), records)
    )


def csv_row(cells: list[Any]) -> bytes:
    """A row by RFC 4180; None is an empty cell, the empty string `""`."""
    return (",".join(map(_cell, cells)) + "\r\n").encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    if not text or any(sign in text for sign in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _reader(column: Field) -> Callable[[Any], Any]:
    """What reads a column's cell from a struct."""
    outer, _, inner = column.name.rpartition(".")
    own, holder = attribute(inner), attribute(outer)

    def read(record: Any) -> Any:
        if outer and (record := getattr(record, holder)) is None:
            return None
        value = getattr(record, own)
        if column.is_raw_json:
            return None if value is ABSENT else bytes(value).decode()
        if column.kind is FieldKind.BOOLEAN and value is not None:
            return "true" if value else "false"
        return value

    return read
