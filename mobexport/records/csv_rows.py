"""Rows of a CsvBlob as checked columns. Source: RFC 4180; what a cell says: docs/data-layout.md.

Blocks of whole rows go through Arrow's parser. An empty cell is absent, `""` the empty string.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import compress
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from mobexport.errors import DataError, Truncated
from mobexport.export_types.model import Field, FieldKind
from mobexport.records import json_text, times
from mobexport.records.arrow import places, values_of
from mobexport.records.checks import Fault, Rule, is_utf8
from mobexport.records.columns import Checked, FileChecks, Reject
from mobexport.records.export_text import csv_row
from mobexport.records.json_text import NotJson, quote
from mobexport.records.lines import MARK

BLOCK_BYTES: Final = 1024 * 1024
MAX_ROW_BYTES: Final = 32 * 1024 * 1024
_ROW = re.compile(rb'(?:[^"\n]++|"[^"]*+"?)*+\n?')
_NO_UTF8 = re.compile("[\udc80-\udcff]")
_INTEGER = r"^-?(?:0|[1-9][0-9]{0,17})$"


def csv_columns(chunks: Iterable[bytes], checks: FileChecks, reject: Reject) -> Iterator[Checked]:
    """The rows without a fault; `reject` gets the others, by the number of the row.

    Raises DataError if the header names no column of the type, and Truncated if a quote is open at the end.
    """
    reader: _Reader | None = None
    number = 1
    for block in _blocks(chunks):
        data = block
        if reader is None:
            first = _ROW.match(data.removeprefix(MARK))
            assert first is not None
            reader = _Reader(_header(first[0], checks), checks)
            data = data.removeprefix(MARK)[first.end() :]
        if data.strip(b"\r\n"):
            parsed = reader.parse(data, number)
            number += parsed.total
            if (checked := reader.checked(parsed, reject)) is not None:
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
            cut = _last_end(piece, is_open=is_open)
            is_open ^= piece.count(b'"') % 2 == 1
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


def _last_end(piece: bytes, *, is_open: bool) -> int | None:
    """Where the last row that ends in a piece ends; `is_open`: whether the piece begins within quotes."""
    quotes = piece.count(b'"')
    end = len(piece)
    while (newline := piece.rfind(b"\n", 0, end)) >= 0:
        quotes -= piece.count(b'"', newline, end)
        if (quotes % 2 == 1) == is_open:
            return newline + 1
        end = newline
    return None


@dataclass(frozen=True)
class _Parsed:
    columns: dict[str, pa.Array]
    """The cells by name of the column, as text."""
    numbers: Sequence[int]
    """The numbers of their rows."""
    wrong: list[tuple[int, Fault, bytes]]
    """Rows that have no columns."""
    total: int


class _Reader:
    """Reads blocks of rows below one header."""

    def __init__(self, header: list[str], checks: FileChecks) -> None:
        self._header = header
        self._checks = checks
        self._leaves = list(checks.export_type.columns)
        self._known = [leaf.name for leaf in self._leaves if leaf.name in header]
        # Of columns with one name the last counts.
        last = {name: n for n, name in enumerate(header)}
        self._names = [f"{n}" for n in range(len(header))]
        self._places = {name: self._names[last[name]] for name in self._known}

    def parse(self, data: bytes, number: int) -> _Parsed:
        """The cells of a block whose first row has that number."""
        mark = ""
        if not is_utf8(data):
            data, mark = _marked(data)
        skipped: dict[int, str] = {}

        def skip(row: Any) -> str:
            skipped[int(row.number)] = row.text
            return "skip"

        wanted = self._names if mark else list(self._places.values())
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
        total = len(table) + len(skipped)
        numbers: Sequence[int] = range(number, number + total)
        if skipped:
            numbers = [n for place, n in enumerate(numbers, start=1) if place not in skipped]
        wrong = [
            (number + place - 1, *_refused(text, mark, Rule.NOT_A_ROW)) for place, text in skipped.items()
        ]
        if mark:
            is_bad = _any(
                [pc.match_substring(_flat(column), mark).fill_null(False) for column in table.columns]
            )
            for place, cells in zip(places(is_bad), table.filter(is_bad).to_pylist(), strict=True):
                text = csv_row(list(cells.values())).decode().removesuffix("\r\n")
                wrong.append((numbers[place], *_refused(text, mark, Rule.NOT_UTF8)))
            sound = pc.invert(is_bad)
            table = table.filter(sound)
            numbers = list(compress(numbers, sound.to_pylist()))
        columns = {name: _flat(table[place]) for name, place in self._places.items()}
        return _Parsed(columns, numbers, wrong, total)

    def checked(self, parsed: _Parsed, reject: Reject) -> Checked | None:
        """The rows without a fault."""
        rejects = list(parsed.wrong)
        checked = None
        if parsed.numbers:
            suspects: set[int] = set()
            leaves: dict[str, pa.Array] = {}
            for leaf in self._leaves:
                cells = parsed.columns.get(leaf.name)
                if cells is None:
                    cells = pa.nulls(len(parsed.numbers), pa.string())
                leaves[leaf.name], bad = self._values(leaf, cells)
                suspects.update(bad)
            there = {
                field.name: _any([pc.is_valid(leaves[leaf.name]) for leaf in field.leaves()])
                for field in self._checks.export_type.fields
                if field.members
            }

            def text_of(row: int) -> dict[str, str | None]:
                return {
                    leaf.name: parsed.columns[leaf.name][row].as_py() if leaf.name in parsed.columns else None
                    for leaf in self._leaves
                }

            def judge(row: int) -> None:
                self._checks.rules.judge(self._as_json(text_of(row)))

            def refuse(row: int, fault: Fault) -> None:
                shown = csv_row(list(text_of(row).values())).removesuffix(b"\r\n")
                rejects.append((parsed.numbers[row], fault, shown))

            checked = self._checks.check(leaves, suspects, judge, refuse, there)
        for number, fault, text in sorted(rejects, key=lambda one: one[0]):
            reject(number, 1, fault, text)
        return checked

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
        if _are_as_they_should_be(cells.drop_null(), leaf):
            return cells, self._checks.look_at_lists(cells)
        found: list[str | None] = cells.to_pylist()
        bad = []
        for place, text in enumerate(found):
            if text is None:
                continue
            try:
                value = json_text.minified(_value(text.encode(), leaf)).decode()
                found[place] = None if value == "null" else value
            except (NotJson, RecursionError):
                bad.append(place)
        array = pa.array(found, pa.string())
        return array, bad + self._checks.look_at_lists(array)

    def _as_json(self, cells: dict[str, str | None]) -> bytes:
        """The record that a row says. Raises Fault if a cell that holds JSON is none."""
        members: dict[str, list[bytes]] = {}
        for leaf in self._leaves:
            text = cells[leaf.name]
            if text is None:
                continue
            token = quote(text)
            if leaf.is_raw_json:
                try:
                    _value(text.encode(), None)
                except (NotJson, RecursionError):
                    raise Fault(Rule.NOT_JSON) from None
                token = text.encode()
            elif leaf.kind in (FieldKind.INTEGER, FieldKind.BOOLEAN) and _is_token(text):
                token = text.encode()
            outer, _, inner = leaf.name.rpartition(".")
            members.setdefault(outer, []).append(quote(inner) + b":" + token)
        parts = members.pop("", [])
        parts += [b"%b:{%b}" % (quote(outer), b",".join(own)) for outer, own in members.items()]
        return b"{" + b",".join(parts) + b"}"


def _are_as_they_should_be(cells: pa.Array, leaf: Field) -> bool:
    """Whether all cells are JSON of the right kind, without whitespace between tokens, and none is null."""
    joined = values_of(pc.binary_join_element_wise(cells, "", ","))
    lengths = pc.binary_length(cells).to_pylist()
    text = b"[%b]" % joined[:-1]
    try:
        # As long as the cells, so each value is one of them.
        if list(map(len, json_text.raw_items(text))) != lengths or len(json_text.minified(text)) != len(text):
            return False
    except (msgspec.DecodeError, RecursionError):
        return False
    if max(lengths, default=0) > 2 * json_text.MAX_DEPTH or b",null," in b"," + joined:
        return False
    return leaf.kind is not FieldKind.OBJECT or pc.all(pc.starts_with(cells, "{")).as_py() is not False


def _value(text: bytes, leaf: Field | None) -> bytes:
    """A JSON value. Raises NotJson if it is none, or no object where one must be; RecursionError."""
    tamed = json_text.tame(text)
    found = json_text.members(tamed)
    if leaf is not None and (tamed != text or json_text.is_too_deep(text)):
        raise NotJson
    if leaf is not None and leaf.kind is FieldKind.OBJECT and found is None and text.strip() != b"null":
        raise NotJson
    return text


def _is_token(text: str) -> bool:
    """Whether a cell is a JSON token as it stands: a flag or a number."""
    try:
        json_text.items(b"[%b]" % text.encode())
    except NotJson:
        return False
    return text[:1] not in ('"', "[", "{") and "," not in text and text == text.strip()


def _marked(data: bytes) -> tuple[bytes, str]:
    """The text with bytes that are no UTF-8 as a mark and two digits, so that Arrow alone says what a row is.

    And the mark: a private character that is nowhere in it. Raises DataError if there is none.
    """
    text = data.decode(errors="surrogateescape")
    present = set(text)
    mark = next((char for char in map(chr, range(0xF0000, 0xFFFFE)) if char not in present), "")
    if not mark:
        raise DataError("the CSV file is not UTF-8", code="BadCsv")
    return _NO_UTF8.sub(lambda found: f"{mark}{ord(found[0]) & 0xFF:02x}", text).encode(), mark


def _refused(text: str, mark: str, rule: Rule) -> tuple[Fault, bytes]:
    """Why a row is refused, and its text with marks as `\\xNN`."""
    if not mark or mark not in text:
        return Fault(rule), text.encode()
    return Fault(Rule.NOT_UTF8), text.replace(mark, "\\x").encode()


def _any(masks: Iterable[pa.Array]) -> pa.Array:
    return reduce(pc.or_, masks)


def _flat(array: Any) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
