"""Write the text of export files from sorted records: JsonBlob and CsvBlob.

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

import msgspec
import pyarrow as pa

from mobexport.export_types.model import Collected, ExportType, Field, Latest
from mobexport.records.formats import ExportFormat
from mobexport.records.json_text import quote
from mobexport.records.keeping import Bounds, group_values, is_merged, members_of_keys, slices
from mobexport.records.merging import Merger, Tally, joined, records_of
from mobexport.records.structs import ABSENT, attribute

_CHUNK = 256 * 1024
_FORMULAS = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class ExportText:
    """The text of one type in one format."""

    export_type: ExportType
    output: ExportFormat
    quote_formulas: bool = False
    """Whether text cells of CSV that a spreadsheet takes for formulas begin with `'`."""

    @property
    def is_csv(self) -> bool:
        return self.output is ExportFormat.CSV

    @property
    def opening(self) -> bytes:
        """Beginning of a file that has elements, or of any CSV file."""
        return csv_row([column.name for column in self.export_type.columns]) if self.is_csv else b"[\n"

    @property
    def ending(self) -> bytes:
        """End of a file that has elements."""
        return b"" if self.is_csv else b"\n]\n"

    @property
    def empty(self) -> bytes:
        """A whole file without elements."""
        return self.opening if self.is_csv else b"[]"

    @property
    def separator(self) -> bytes:
        """What stands between two elements."""
        return b"" if self.is_csv else b",\n"

    def elements(self, own: Batches, joined: Batches | None, bounds: Bounds, tally: Tally) -> Iterator[bytes]:
        """The elements of sorted rows and their separators, in chunks.

        `joined`: sorted rows of the joined type. What became of the rows goes to `tally`. No separator stands
        in front or behind.
        """
        if is_merged(self.export_type):
            texts = self._merged(own, joined, bounds, tally)
        else:
            texts = self._rows(own, tally) if self.is_csv else self._nested(own, tally)
        pending = bytearray()
        for text in texts:
            pending += text
            if len(pending) >= _CHUNK:
                yield bytes(pending)
                pending.clear()
        if pending:
            yield bytes(pending)

    def _merged(self, own: Batches, others: Batches | None, bounds: Bounds, tally: Tally) -> Iterator[bytes]:
        merged = Merger(self.export_type, bounds, tally).groups(own)
        groups: Iterator[tuple[bytes, list[Any], list[Any]]] = ((*group, []) for group in merged)
        theirs = Tally()
        if others is not None and self.export_type.joined:
            groups = joined(merged, Merger(self.export_type.joined, None, theirs).groups(others), tally)
        texts_of = self._csv if self.is_csv else self._json
        separator = b""
        for group in groups:
            for text in texts_of(*group):
                yield separator + text
                separator = self.separator
                tally.elements += 1
        tally.superseded += theirs.superseded
        tally.removed += theirs.removed

    # --- JSON ---------------------------------------------------------------------------------------------

    @cached_property
    def _members(self) -> Callable[[bytes], bytes]:
        return members_of_keys(self.export_type)

    def _nested(self, batches: Batches, tally: Tally) -> Iterator[bytes]:
        inner, end = quote(self.export_type.inner), b"]}" + self.separator
        before, last = b"", None
        for key, texts, rows in slices(batches):
            tally.exported += rows
            if key == last:
                yield b"," + texts
                continue
            tally.elements += 1
            yield b"%b{%b,%b:[%b" % (before, self._members(key), inner, texts)
            before, last = end, key
        if last is not None:
            yield b"]}"

    def _json(self, key: bytes, records: list[Any], others: list[Any]) -> Iterator[bytes]:
        """The elements of a group."""
        shape = self.export_type.shape
        head = self._members(key)
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
        """Readers of the cells of a record, without those of its group."""
        joined = self.export_type.joined.inner if self.export_type.joined else None
        return [
            _reader(column, self._text)
            for column in self.export_type.columns
            if column.name not in self.export_type.group and column.name != joined
        ]

    @property
    def _text(self) -> Callable[[str], str]:
        """A text as its cell says it."""
        return no_formula if self.quote_formulas else str

    def _head(self, key: bytes) -> list[Any]:
        """The cells of a group's key."""
        values = group_values(key)
        return [self._text(value) if isinstance(value, str) else value for value in values]

    def _rows(self, batches: Batches, tally: Tally) -> Iterator[bytes]:
        for key, parts in groupby(records_of(self.export_type, batches), itemgetter(0)):
            tally.elements += 1
            head = self._head(key)
            for _, records in parts:
                tally.exported += len(records)
                yield b"".join(
                    csv_row([*head, *(cell(record) for cell in self._cells)]) for record in records
                )

    def _csv(self, key: bytes, records: list[Any], others: list[Any]) -> Iterator[bytes]:
        """The rows of a group, as many texts as JSON has elements."""
        head = self._head(key)
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


def no_formula(text: str) -> str:
    """The text behind a `'` if a spreadsheet takes it for a formula.

    Source: OWASP, CSV Injection, and ASVS 5.0, 1.2.10 (NUL).
    """
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    if not text or any(sign in text for sign in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _reader(column: Field, text: Callable[[str], str]) -> Callable[[Any], Any]:
    """Reads a column's cell from a struct. JSON is no formula: only its numbers begin with a sign."""
    outer, _, inner = column.name.rpartition(".")
    own, holder = attribute(inner), attribute(outer)

    def read(record: Any) -> Any:
        held = getattr(record, holder) if outer else record
        value = None if held is None else getattr(held, own)
        if isinstance(value, msgspec.Raw):
            return None if value is ABSENT else bytes(value).decode()
        if isinstance(value, str):
            return text(value)
        return str(value).lower() if isinstance(value, bool) else value

    return read
