"""Read the rows of a CsvBlob as checked columns. Source: RFC 4180; what a cell says: docs/data-layout.md.

Blocks of whole rows go through Arrow's parser. An empty cell is absent, `""` the empty string.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import reduce
from itertools import compress
from operator import itemgetter
from typing import Any, Final
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from mobexport.errors import DataError, Truncated
from mobexport.export_types.model import Field, FieldKind
from mobexport.records import json_text, times
from mobexport.records.arrow import places, values_of
from mobexport.records.checks import FORMS, Fault, Rule, is_utf8
from mobexport.records.columns import Checked, FileChecks, Reject
from mobexport.records.export_text import csv_row
from mobexport.records.json_text import NotJson, quote
from mobexport.records.lines import MARK
from mobexport.records.structs import ABSENT

BLOCK_BYTES: Final = 1024 * 1024
MAX_ROW_BYTES: Final = 32 * 1024 * 1024
_ROW = re.compile(rb'(?:[^"\n]++|"[^"]*+"?)*+\n?')
_NO_UTF8 = re.compile("[\udc80-\udcff]")
_MARK = uuid4().hex
"""Stands in no file."""
_INTEGER = r"^-?(?:0|[1-9][0-9]{0,17})$"


def csv_columns(chunks: Iterable[bytes], checks: FileChecks, reject: Reject) -> Iterator[Checked]:
    """The rows without a fault; `reject` gets the others, by the number of the row.

    Raises DataError if the header names no column of the type, and Truncated if a quote is open at the end.
    """
    reader: _Reader | None = None
    for block in _blocks(chunks):
        data = block
        if reader is None:
            data = data.removeprefix(MARK)
            first = _ROW.match(data)
            assert first is not None
            reader = _Reader(_header(first[0], checks), checks)
            data = data[first.end() :]
        if data.strip(b"\r\n") and (checked := reader.read(data, reject)) is not None:
            yield checked
    if reader is None:
        raise Truncated("the file is empty: a CSV file has at least its header")


def _header(row: bytes, checks: FileChecks) -> list[str]:
    text = row.decode(errors="replace").removesuffix("\n").removesuffix("\r")
    # Python's reader would refuse it in other words.
    if "\r" in re.sub(r'"[^"]*"', "", text):
        raise DataError("the lines of the CSV file end with CR alone: write CRLF, or LF", code="BadCsv")
    try:
        names = next(csv.reader([text]), [])
    except csv.Error as error:
        raise DataError(f"the first line of the CSV file is no row ({error})", code="NoHeader") from None
    known = {column.name for column in checks.export_type.columns}
    if not known & set(names):
        raise DataError(
            f"the first line of the CSV file names no column of {checks.export_type.name}"
            f" (such as {checks.export_type.columns[0].name})",
            code="NoHeader",
        )
    return names


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole rows: up to a line's end before which all quotes are closed."""
    held: list[bytes] = []
    size = 0
    is_open = False
    for chunk in chunks:
        for start in range(0, len(chunk), BLOCK_BYTES):
            piece = chunk[start : start + BLOCK_BYTES]
            quotes = piece.count(b'"')
            cut = _last_end(piece, quotes + is_open)
            is_open ^= quotes % 2 == 1
            if cut is None:
                held.append(piece)
                size += len(piece)
                if size > MAX_ROW_BYTES:
                    raise DataError(f"a row is larger than {MAX_ROW_BYTES} bytes", code="TooLarge")
                continue
            yield b"".join([*held, piece[:cut]])
            held, size = [piece[cut:]], len(piece) - cut
    if is_open:
        raise Truncated("the file ends within a quoted cell: fetch it again")
    if rest := b"".join(held):
        yield rest


def _last_end(piece: bytes, quotes: int) -> int | None:
    """Where the last row that ends in a piece ends; `quotes`: those in it, and one that opened before."""
    end = len(piece)
    while (newline := piece.rfind(b"\n", 0, end)) >= 0:
        quotes -= piece.count(b'"', newline, end)
        if quotes % 2 == 0:
            return newline + 1
        end = newline
    return None


class _Reader:
    """Reads blocks of rows below one header."""

    def __init__(self, header: list[str], checks: FileChecks) -> None:
        self._checks = checks
        self._leaves = checks.export_type.columns
        self._names = [f"{n}" for n in range(len(header))]
        # Of columns with one name the last counts.
        last = dict(zip(header, self._names, strict=True))
        self._places = {leaf.name: last[leaf.name] for leaf in self._leaves if leaf.name in last}
        self._number = 1
        """Of the next row."""

    def read(self, data: bytes, reject: Reject) -> Checked | None:
        """The rows of a block that have no fault."""
        rejects: list[tuple[int, Fault, bytes]] = []
        table, numbers = self._parsed(data, rejects)
        checked = self._checked(table, numbers, rejects) if numbers else None
        for number, fault, text in sorted(rejects, key=itemgetter(0)):
            reject(number, 1, fault, text)
        return checked

    def _parsed(self, data: bytes, rejects: list[tuple[int, Fault, bytes]]) -> tuple[pa.Table, list[int]]:
        """The cells of a block as text, and the numbers of their rows."""
        is_marked = not is_utf8(data)
        if is_marked:
            data = _marked(data)
        skipped: dict[int, str] = {}

        def skip(row: Any) -> str:
            skipped[self._number + int(row.number) - 1] = row.text
            return "skip"

        wanted = self._names if is_marked else list(self._places.values())
        try:
            table = pacsv.read_csv(
                pa.BufferReader(data),
                read_options=pacsv.ReadOptions(
                    use_threads=False, block_size=len(data) + 2, column_names=self._names
                ),
                parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(wanted, pa.string()),
                    include_columns=wanted,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise DataError(f"the CSV file cannot be read ({str(error)[:200]})", code="BadCsv") from None
        first, self._number = self._number, self._number + len(table) + len(skipped)
        numbers = list(range(first, self._number))
        if skipped:
            numbers = [number for number in numbers if number not in skipped]
        for number, text in skipped.items():
            rejects.append((number, *_refused(text)))
        if is_marked:
            is_bad = _any(pc.match_substring(column, _MARK).fill_null(False) for column in table.columns)
            for place, cells in zip(places(is_bad), table.filter(is_bad).to_pylist(), strict=True):
                text = csv_row(list(cells.values())).decode().removesuffix("\r\n")
                rejects.append((numbers[place], *_refused(text)))
            sound = pc.invert(is_bad)
            table, numbers = table.filter(sound), list(compress(numbers, sound.to_pylist()))
        return table, numbers

    def _checked(
        self, table: pa.Table, numbers: list[int], rejects: list[tuple[int, Fault, bytes]]
    ) -> Checked:
        texts = {
            leaf.name: table[self._places[leaf.name]].combine_chunks()
            if leaf.name in self._places
            else pa.nulls(len(numbers), pa.string())
            for leaf in self._leaves
        }
        suspects: set[int] = set()
        leaves: dict[str, pa.Array] = {}
        for leaf in self._leaves:
            leaves[leaf.name], bad = self._values(leaf, texts[leaf.name])
            suspects.update(bad)
        there = {
            field.name: _any(pc.is_valid(leaves[leaf.name]) for leaf in field.leaves())
            for field in self._checks.export_type.fields
            if field.members
        }

        def judge(row: int) -> None:
            self._checks.rules.judge(
                _as_json([(leaf, texts[leaf.name][row].as_py()) for leaf in self._leaves])
            )

        def refuse(row: int, fault: Fault) -> None:
            shown = csv_row([texts[leaf.name][row].as_py() for leaf in self._leaves])
            rejects.append((numbers[row], fault, shown.removesuffix(b"\r\n")))

        return self._checks.check(leaves, suspects, judge, refuse, there)

    def _values(self, leaf: Field, cells: pa.Array) -> tuple[pa.Array, list[int]]:
        """What cells say, null where they may be at fault, and the places of those."""
        if leaf.kind is FieldKind.TIME:
            return times.read(cells)[1:]
        if leaf.is_raw_json:
            return self._json(leaf, cells)
        if leaf.kind is FieldKind.INTEGER:
            good = pc.match_substring_regex(cells, _INTEGER)
            return pc.if_else(good, cells, None).cast(pa.int64()), places(pc.invert(good))
        if leaf.kind is FieldKind.BOOLEAN:
            good = pc.is_in(cells, pa.array(["true", "false", None]))
            return pc.if_else(pc.is_valid(cells), pc.equal(cells, "true"), None), places(pc.invert(good))
        if leaf.choices:
            return cells, places(pc.invert(pc.is_in(cells, pa.array([*leaf.choices, None]))))
        return cells, []

    def _json(self, leaf: Field, cells: pa.Array) -> tuple[pa.Array, list[int]]:
        """JSON as text without whitespace between tokens."""
        there = cells.drop_null()
        joined = values_of(pc.binary_join_element_wise(there, "", ","))
        bad: list[int] = []
        values: list[msgspec.Raw] = []
        with suppress(msgspec.DecodeError, RecursionError):
            values = json_text.raw_items(b"[%b]" % joined[:-1])
        # As long as the cells, so each value is one of them.
        if list(map(len, values)) != pc.binary_length(there).to_pylist():
            texts = [_json_of(text) for text in there.to_pylist()]
            values = [msgspec.Raw(text or b"{}") for text in texts]
            bad = [at for at, text in zip(places(pc.is_valid(cells)), texts, strict=True) if text is None]
        if cells.null_count:
            following = iter(values)
            values = [next(following) if valid else ABSENT for valid in cells.is_valid().to_pylist()]
        array, others = self._checks.json_column(values, leaf, cells if not bad else None)
        return array, bad + others


def _as_json(cells: list[tuple[Field, str | None]]) -> bytes:
    """The record that a row says. Raises Fault if a cell that holds JSON is none."""
    members: dict[str, list[bytes]] = {}
    for leaf, text in cells:
        if text is None:
            continue
        token = text.encode()
        if leaf.is_raw_json:
            try:
                json_text.members(json_text.tame(token))
            except NotJson:
                raise Fault(Rule.NOT_JSON) from None
        elif leaf.kind not in FORMS or not (text == "null" or FORMS[leaf.kind].match(token)):
            token = quote(text)
        outer, _, inner = leaf.name.rpartition(".")
        members.setdefault(outer, []).append(quote(inner) + b":" + token)
    parts = members.pop("", [])
    parts += [b"%b:{%b}" % (quote(outer), b",".join(own)) for outer, own in members.items()]
    return b"{" + b",".join(parts) + b"}"


def _json_of(text: str) -> bytes | None:
    """A cell as JSON; None if it is none, or has halves of surrogate pairs."""
    token = text.encode().strip(b" \t\n\r")
    try:
        json_text.members(json_text.tame(token))
    except NotJson:
        return None
    return token if json_text.tame(token) == token else None


def _marked(data: bytes) -> bytes:
    """The text with bytes that are no UTF-8 as a mark and two digits: Arrow alone says what a row is."""
    text = data.decode(errors="surrogateescape")
    return _NO_UTF8.sub(lambda found: f"{_MARK}{ord(found[0]) & 0xFF:02x}", text).encode()


def _refused(text: str) -> tuple[Fault, bytes]:
    """Why a row is refused, and its text with marks as `\\xNN`."""
    rule = Rule.NOT_UTF8 if _MARK in text else Rule.NOT_A_ROW
    return Fault(rule), text.replace(_MARK, "\\x").encode()


def _any(masks: Iterable[pa.Array]) -> pa.Array:
    return reduce(pc.or_, masks)
