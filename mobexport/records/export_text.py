"""The text of export files from sorted records: JsonBlob and CsvBlob.

JsonBlob is one top-level array, UTF-8, one element a line, `[]` when there is nothing; CsvBlob is RFC 4180
(CRLF, header always, absent empty, the empty string `""`), a row for each innermost record. Source: design,
section 3, and docs/data-layout.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from mobexport.export_types.model import Collected, ExportType, Field, FieldKind, Latest
from mobexport.records.formats import ExportFormat
from mobexport.records.groups import group_members, group_values
from mobexport.records.json_text import quote
from mobexport.records.keeping import Bounds, States, is_merged, slices
from mobexport.records.merging import Merged, Merger, Tally, pair_reader
from mobexport.records.structs import ABSENT, attribute, struct_of

_CHUNK = 256 * 1024
_encode = msgspec.json.Encoder().encode


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
        self, own: Iterator[Any], joined: Iterator[States] | None, bounds: Bounds, tally: Tally
    ) -> Iterator[bytes]:
        """The elements of sorted rows (batches, or states of merged types) and their separators, in chunks.

        `joined`: sorted states of the joined type. What became of the rows goes to `tally`. No separator
        stands in front or behind.
        """
        if is_merged(self.export_type):
            texts = self._merged(own, joined, bounds, tally)
        else:
            texts = self._grouped(own, tally)
        pending: list[bytes] = []
        size = 0
        for text in texts:
            pending.append(text)
            size += len(text)
            if size >= _CHUNK:
                yield b"".join(pending)
                pending, size = [], 0
        if pending:
            yield b"".join(pending)

    def _grouped(self, batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[bytes]:
        inner = quote(self.export_type.inner)
        as_rows = self._rows_of_group() if self.output is ExportFormat.CSV else None
        before = b""
        for key, texts, rows in slices(batches):
            tally.exported += rows
            is_new = key != before
            if is_new:
                tally.elements += 1
            if as_rows:
                yield as_rows(key, texts)
            elif is_new:
                head = b"{%b,%b:[%b" % (group_members(self.export_type, key), inner, texts[:-1])
                yield b"]}" + self.separator + head if before else head
            else:
                yield b"," + texts[:-1]
            before = key
        if before and not as_rows:
            yield b"]}"

    def _merged(
        self, own: Iterator[States], joined: Iterator[States] | None, bounds: Bounds, tally: Tally
    ) -> Iterator[bytes]:
        merger = Merger(self.export_type, bounds, tally)
        groups: Iterator[tuple[Merged, bytes | None]] = ((group, None) for group in merger.groups(own))
        if joined is not None and self.export_type.joined:
            groups = with_joined(self.export_type.joined, merger.groups(own), joined, tally)
        text_of = self._csv if self.output is ExportFormat.CSV else self._json
        has_elements = False
        for group, bag in groups:
            for text in text_of(group, bag):
                yield self.separator + text if has_elements else text
                has_elements = True
                tally.elements += 1

    # --- JSON ---------------------------------------------------------------------------------------------

    def _json(self, group: Merged, bag: bytes | None) -> Iterator[bytes]:
        shape = self.export_type.shape
        if isinstance(shape, Collected):
            listed = _encode(group.records[0])
            yield b"{%b,%b:%b}" % (group_members(self.export_type, group.key), quote(shape.field), listed)
        elif isinstance(shape, Latest):
            if group.records:
                head = group_members(self.export_type, group.key)
                pairs = map(pair_reader(self.export_type), group.records)
                yield b"{%b,%b:%b}" % (head, quote(shape.into), _encode(dict(pairs)))
        else:
            for record in group.records:
                text = _encode(record)
                if bag is not None and self.export_type.joined:
                    text = b"%b,%b:%b}" % (text[:-1], quote(self.export_type.joined.inner), bag)
                yield text

    # --- CSV ----------------------------------------------------------------------------------------------

    def _csv(self, group: Merged, bag: bytes | None) -> Iterator[bytes]:
        """All rows of a group as one text, if there are any."""
        shape = self.export_type.shape
        if isinstance(shape, Collected):
            rows = [[*group_values(group.key), _encode(values).decode()] for values in group.records]
        else:
            columns = [column for column in self.export_type.columns if not self._is_bag(column)]
            read = [_reader(column) for column in columns]
            tail = [bag.decode() if bag is not None else None] if self.export_type.joined else []
            rows = [[*(value(record) for value in read), *tail] for record in group.records]
        if isinstance(shape, Latest):
            if rows:
                yield b"".join(map(csv_row, rows))
        else:
            yield from map(csv_row, rows)

    def _is_bag(self, column: Field) -> bool:
        return self.export_type.joined is not None and column.name == self.export_type.joined.inner

    def _rows_of_group(self) -> Callable[[bytes, bytes], bytes]:
        """What makes rows of the records of a group, given as its key and JSON texts."""
        group = self.export_type.group
        # Their groups' fields were taken out.
        struct = struct_of("Row", self.export_type.record_fields)
        decode = msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type]
        read = [_reader(column) for column in self.export_type.columns if column.name not in group]

        def rows(key: bytes, texts: bytes) -> bytes:
            head = group_values(key)
            return b"".join(
                csv_row([*head, *(value(record) for value in read)])
                for record in decode(b"[%b]" % texts[:-1])
            )

        return rows


def with_joined(
    joined: ExportType, own: Iterator[Merged], states: Iterator[States], tally: Tally
) -> Iterator[tuple[Merged, bytes | None]]:
    """Each group with the map that the joined type has for it.

    Records of the map are merged into the element (superseded); those of groups without one are outside.
    """
    merged = Tally()
    others = Merger(joined, None, merged).groups(states)
    other = next(others, None)
    pair_of = pair_reader(joined)
    for group in own:
        while other is not None and other.key < group.key:
            tally.outside += len(other.records)
            other = next(others, None)
        bag = None
        if other is not None and other.key == group.key:
            tally.superseded += len(other.records)
            if other.records:
                bag = _encode(dict(map(pair_of, other.records)))
            other = next(others, None)
        yield group, bag
    while other is not None:
        tally.outside += len(other.records)
        other = next(others, None)
    tally.superseded += merged.superseded
    tally.removed += merged.removed


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
