"""Lines of tab-separated cells as JSON of the cells that a mapping names, for the reader of mapped records.

A line has a cell for each of the mapping's `columns`. Quotes and backslashes say nothing in it; an empty cell
is absent. A line that repeats the names of the columns is a header, and no record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter, methodcaller
from typing import Any, Final

from mobexport.export_types.model import ExportType, FieldKind
from mobexport.raw_mapping import RawMapping
from mobexport.raw_paths import parse_path
from mobexport.records.checks import Fault, Rule, is_utf8
from mobexport.records.json_text import FAILS, quote, raw_items
from mobexport.records.lines import MARK, LineBlock

Cells = Sequence[bytes]
_NOT_PLAIN: Final = re.compile(rb'[\x00-\x1f"\\]')
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_FLAGS: Final = {b"1": b"true", b"0": b"false", b"true": b"true", b"false": b"false"}
_ABSENT: Final = b"null"


@dataclass(frozen=True)
class TsvBlock(LineBlock):
    """Lines as JSON; empty where a line is no record."""

    originals: Sequence[bytes] = ()
    faults: dict[int, Fault] = field(default_factory=dict)
    """What is wrong with lines that cannot be told as JSON, by their place in the block."""


class TsvLines:
    """Makes JSON of the lines of one mapping."""

    def __init__(self, export_type: ExportType, mapping: RawMapping) -> None:
        self._columns = len(mapping.columns)
        self._header = b"\t".join(name.encode() for name in mapping.columns)
        self._tokens = _tokens_by_column(export_type, mapping)
        self._cells = _taken([mapping.columns.index(name) for name in self._tokens], self._columns)
        self._form = b"{%b}" % b",".join(quote(name).replace(b"%", b"%%") + b":%b" for name in self._tokens)

    def block(self, block: LineBlock) -> TsvBlock:
        """The block with JSON for its lines."""
        faults: dict[int, Fault] = {}
        lines = self._sound(block, faults)
        at = [place for place, line in enumerate(lines) if line]
        rows = map(self._cells, filter(None, lines))
        columns = []
        for (name, tokens), cells in zip(self._tokens.items(), zip(*rows, strict=True), strict=bool(at)):
            bad: list[int] = []
            columns.append(tokens(cells, bad))
            for one in bad:
                faults[at[one]] = Fault(Rule.NOT_JSON, name)
        found = [b""] * len(lines)
        for place, row in zip(at, zip(*columns, strict=True), strict=True):
            found[place] = self._form % row
        for place in faults:
            found[place] = b""
        longest = max(map(len, found), default=0)
        return TsvBlock(block.first_line, found, longest, block.too_long, block.lines, faults)

    def _sound(self, block: LineBlock, faults: dict[int, Fault]) -> list[bytes]:
        """The lines that have the right number of cells; the others empty, and why."""
        lines = list(block.lines)
        whole = b"\n".join(lines)
        if b"\r" in whole or not whole.isascii():
            lines = [line.removeprefix(MARK).removesuffix(b"\r") for line in lines]
        all_text = is_utf8(whole)
        tabs = self._columns - 1
        counts = list(map(methodcaller("count", b"\t"), lines))
        if all_text and not block.too_long and counts.count(tabs) == len(lines) and self._header not in lines:
            return lines
        for place, line in enumerate(lines):
            if line == self._header or not line or place in block.too_long:
                lines[place] = b""
            elif not (all_text or is_utf8(line)):
                lines[place], faults[place] = b"", Fault(Rule.NOT_UTF8)
            elif counts[place] != tabs:
                lines[place], faults[place] = b"", Fault(Rule.NOT_A_ROW)
        return lines


def _taken(places: Sequence[int], columns: int) -> Callable[[bytes], Sequence[bytes]]:
    """Takes the cells at some places of a line of so many.

    Most of the time goes by cutting: what lies in the widest gap between two of the places stays whole.
    """
    ordered = sorted({-1, *places, columns})
    last, first = max(pairwise(ordered), key=lambda one: one[1] - one[0])
    if first == last + 1:
        last = first = columns
    # Of a single place itemgetter gives no tuple.
    one_more = [*places, places[0]]
    take: Callable[[list[bytes]], tuple[bytes, ...]] = itemgetter(
        *(at if at <= last else last + 2 + at - first for at in one_more)
    )

    def cells(line: bytes) -> Sequence[bytes]:
        parts = line.split(b"\t", last + 1)
        if first < columns:
            parts += parts.pop().rsplit(b"\t", columns - first)
        return take(parts)[:-1]

    return cells


def _tokens_by_column(
    export_type: ExportType, mapping: RawMapping
) -> dict[str, Callable[[Cells, list[int]], list[bytes]]]:
    """For each column that the mapping reads, what makes JSON of its cells."""
    leaves = {leaf.name: leaf for leaf in export_type.leaves}
    uses: dict[str, set[Any]] = {}
    paths = [(text, leaves[name].kind) for name, source in mapping.fields.items() for text in source.path]
    for text, kind in (*paths, *((text, FieldKind.TEXT) for text in mapping.where)):
        path = parse_path(text)
        is_json = path.steps or len(path.members) > 1 or kind in (FieldKind.JSON, FieldKind.OBJECT)
        uses.setdefault(path.members[0], set()).add(FieldKind.JSON if is_json else kind)
    return {name: _TOKENS.get(_first(kinds), _texts) for name, kinds in uses.items()}


def _first(kinds: set[Any]) -> Any:
    """JSON if anything reads the column as such; numbers and flags only if nothing else reads it."""
    if FieldKind.JSON in kinds:
        return FieldKind.JSON
    return next(iter(kinds)) if len(kinds) == 1 else FieldKind.TEXT


def _texts(cells: Cells, _bad: list[int]) -> list[bytes]:
    if _NOT_PLAIN.search(b"".join(cells)):
        return [quote(cell.decode()) if cell else _ABSENT for cell in cells]
    return [b'"%b"' % cell if cell else _ABSENT for cell in cells]


def _numbers(cells: Cells, bad: list[int]) -> list[bytes]:
    texts = _texts(cells, bad)
    pairs = zip(cells, texts, strict=True)
    return [cell if _NUMBER.fullmatch(cell) else text for cell, text in pairs]


def _flags(cells: Cells, bad: list[int]) -> list[bytes]:
    return [_FLAGS.get(cell, text) for cell, text in zip(cells, _texts(cells, bad), strict=True)]


def _json(cells: Cells, bad: list[int]) -> list[bytes]:
    there = [cell for cell in cells if cell]
    try:
        # As long as the cells, so each value is one of them.
        sound = list(map(len, raw_items(b"[%b]" % b",".join(there)))) == list(map(len, there))
    except FAILS:
        sound = False
    if sound:
        return [cell or _ABSENT for cell in cells]
    return [_one_value(cell, place, bad) if cell else _ABSENT for place, cell in enumerate(cells)]


def _one_value(cell: bytes, place: int, bad: list[int]) -> bytes:
    try:
        items = raw_items(b"[%b]" % cell)
    except FAILS:
        items = []
    if len(items) == 1 and len(items[0]) == len(cell.strip(b" ")):
        return cell
    bad.append(place)
    return _ABSENT


_TOKENS: Final = {FieldKind.JSON: _json, FieldKind.INTEGER: _numbers, FieldKind.BOOLEAN: _flags}
