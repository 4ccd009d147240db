"""Read raw records: blocks of lines become typed records, rejects and counts.

Fast path: msgspec decodes all lines of a block, and a few looks over all records at once tell which of them
may be at fault. Slow path: those, and lines that do not decode, are judged one by one (`checks`). So nothing
depends on a record's neighbours. From the first name on that nobody declared, names are counted line by line.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.raw_mapping import RawMapping
from mobexport.records import json_text, times
from mobexport.records.checks import MAX_TEXT, Fault, Rule, Rules, is_blank, is_utf8
from mobexport.records.json_text import FAILS
from mobexport.records.lines import MARK, LineBlock
from mobexport.records.mapped import MappedRecords, NotSelected
from mobexport.records.names import Names
from mobexport.records.structs import ABSENT, attribute, struct_of
from mobexport.records.tsv_lines import TsvBlock, TsvLines

Reject = Callable[[int, Fault, bytes], None]
"""Takes a reject: the line's number, what is wrong, the line."""
_HOPELESS = 100  # parts of a line, none of which can be used
_SPACES = (b" ", b"\t", b"\r", b"\n")


@dataclass
class Rows:
    """Usable records of one file, in their order."""

    records: list[Any]
    """Structs; times are canonical, null members absent, JSON minified."""
    instants: dict[str, pa.Array]
    """For each time, its instants; null where it is absent."""


class RawReader:
    """Reads raw records of one type."""

    def __init__(self, export_type: ExportType, mapping: RawMapping | None = None) -> None:
        self._mapped = MappedRecords(export_type, mapping) if mapping and mapping.fields else None
        self._tsv = TsvLines(export_type, mapping) if mapping and mapping.columns else None
        self._fields = export_type.fields
        self._looked_at = [
            field
            for field in export_type.fields
            if field.kind is FieldKind.TIME
            or field.is_raw_json
            or (field.required and field.kind in (FieldKind.ID, FieldKind.TEXT) and not field.choices)
        ]
        self._rules = Rules(export_type)
        required = frozenset(field.name for field in export_type.fields if field.required)
        closed = struct_of(export_type.name, export_type.fields, required=required, closed=True)
        self._decode = msgspec.json.Decoder(closed).decode
        self._open = msgspec.json.Decoder(
            struct_of(export_type.name, export_type.fields, required=required)
        ).decode
        self._is_closed = self._mapped is None
        """Whether no record had a name that nobody declared so far."""
        if self._mapped:
            self._decode = self._mapped.decode
        self.read = 0
        self.passed_over = 0
        """Records that `where` of the mapping leaves out; they are among those read."""
        self.names = Names()

    @property
    def source_fields(self) -> Mapping[str, Field]:
        """The fields that columns of Parquet hold, by the column's name."""
        if self._mapped:
            return self._mapped.columns()
        return {field.name: field for field in self._fields}

    def block(self, block: LineBlock, reject: Reject) -> Rows:
        """The usable records of a block of lines; `reject` gets the others, blank lines are none."""
        if self._tsv:
            block = self._tsv.block(block)
        originals = block.originals if isinstance(block, TsvBlock) else None
        passed_over = self.passed_over
        rejects: dict[int, list[tuple[Fault, bytes]]] = {}
        records, places, judged = self._decoded(block, rejects)
        suspects, instants = self._look(records)
        good = [True] * len(records)
        for at in suspects:
            if places[at] in judged:
                continue
            text = _text(block.lines[places[at]])
            try:
                records[at] = self._judged(text)
                judged.add(places[at])
            except NotSelected:
                good[at] = False
                self.passed_over += 1
            except Fault as error:
                good[at] = False
                rejects[places[at]] = [(error.bare(), text)]
        if not all(good):
            records = list(compress(records, good))
            places = list(compress(places, good))
            mask = pa.array(good)
            instants = {name: array.filter(mask) for name, array in instants.items()}
        if not self._is_closed and not self._mapped:
            self._count_names(block.lines[place] for place in places if place not in judged)
        for place in sorted(rejects):
            for fault, text in rejects[place]:
                shown = _text(originals[place]) if originals and place not in block.too_long else text
                reject(block.first_line + place, fault, shown)
        self.read += len(records) + sum(map(len, rejects.values())) + self.passed_over - passed_over
        return Rows(records, instants)

    # --- fast path ----------------------------------------------------------------------------------------

    def _decoded(
        self, block: LineBlock, rejects: dict[int, list[tuple[Fault, bytes]]]
    ) -> tuple[list[Any], list[int], set[int]]:
        """Records, the places of their lines in the block, and those that were judged one by one."""
        records: list[Any] = []
        places: list[int] = []
        judged: set[int] = set()
        following, at = iter(self._sound(block)), 0
        decode = self._decode
        is_whole = False
        while not is_whole:
            before = len(records)
            try:
                records.extend(map(decode, following))
                is_whole = True
            except FAILS:
                pass
            first, at = at, at + len(records) - before
            if self._mapped:
                records[before:], their = self._run(block, records[before:], first, rejects, judged)
                places += their
            else:
                places += range(first, at)
            if not is_whole:
                found, faults = self._slow(block, at)
                records += found
                places += [at] * len(found)
                judged.add(at)
                if faults:
                    rejects[at] = faults
                at += 1
        return records, places, judged

    def _run(
        self,
        block: LineBlock,
        run: list[Any],
        first: int,
        rejects: dict[int, list[tuple[Fault, bytes]]],
        judged: set[int],
    ) -> tuple[list[Any], Sequence[int]]:
        """Decoded records of consecutive lines under the declared names, and the places of their lines."""
        assert self._mapped
        records, selected, bad = self._mapped.finish(run)
        self.passed_over += len(run) - len(records)
        places = [first + at for at in selected]
        if not bad:
            return records, places
        found: list[Any] = []
        their: list[int] = []
        for at, (record, place) in enumerate(zip(records, places, strict=True)):
            one = [record]
            if at in bad:
                one, faults = self._slow(block, place)
                judged.add(place)
                if faults:
                    rejects[place] = faults
            found += one
            their += [place] * len(one)
        return found, their

    def _sound(self, block: LineBlock) -> Sequence[bytes]:
        """The lines; those that a decoder would not look at closely enough are empty, so that they fail."""
        # What is declared is decoded, or looked at as JSON that passes through; what is not is passed over.
        is_known = self._is_closed or isinstance(block, TsvBlock)
        if block.longest <= MAX_TEXT and (is_known or is_utf8(b"\n".join(block.lines))):
            return block.lines
        return [line if len(line) <= MAX_TEXT and is_utf8(line) else b"" for line in block.lines]

    def _look(self, records: list[Any]) -> tuple[list[int], dict[str, pa.Array]]:
        """The places of records that may be at fault, and the instants of their times.

        Times become canonical, nulls absent, and JSON that passes through is minified.
        """
        suspects: set[int] = set()
        instants: dict[str, pa.Array] = {}
        for field in self._looked_at:
            own = attribute(field.name)
            values = list(map(attrgetter(own), records))
            if field.kind is FieldKind.TIME:
                read = pa.array(values, pa.string())
                texts, instants[field.name], bad = times.read(read)
                suspects.update(bad)
                if texts is not read:
                    deque(map(setattr, records, repeat(own), texts.to_pylist()), maxlen=0)
            elif field.is_raw_json:
                found, bad = look_at_json(values, field)
                suspects.update(bad)
                if found is not values:
                    deque(map(setattr, records, repeat(own), found), maxlen=0)
            elif min(values, default="!") < "!":
                # What is blank begins with a space or a control character, if with anything.
                suspects.update(at for at, name in enumerate(values) if is_blank(name))
        return sorted(suspects), instants

    # --- slow path ----------------------------------------------------------------------------------------

    def _slow(self, block: LineBlock, place: int) -> tuple[list[Any], list[tuple[Fault, bytes]]]:
        """The usable records of a line that did not decode: one, none, or several; its faults."""
        if place in block.too_long:
            return [], [(Fault(Rule.TOO_LONG), block.too_long[place].encode())]
        if isinstance(block, TsvBlock) and place in block.faults:
            return [], [(block.faults[place], b"")]
        text = _text(block.lines[place])
        if not text.strip(b" \t\r"):
            return [], []
        try:
            return [self._judged(text)], []
        except NotSelected:
            self.passed_over += 1
            return [], []
        except Fault as fault:
            first = fault.bare()
        found: list[Any] = []
        faults: list[tuple[Fault, bytes]] = []
        for part in json_text.joined_objects(text) if first.rule is Rule.NOT_JSON else ():
            if len(faults) == _HOPELESS and not found:
                break
            try:
                found.append(self._judged(part))
            except NotSelected:
                self.passed_over += 1
            except Fault as fault:
                faults.append((fault.bare(), part))
        return found, faults if found else [(first, text)]

    def _judged(self, text: bytes) -> Any:
        """The record that a text says. Raises Fault, or NotSelected."""
        record, unknown = self._rules.judge(self._mapped.line(text) if self._mapped else text)
        if unknown and not self._mapped:
            self.names.add(unknown)
            self._is_closed, self._decode = False, self._open
        return self._open(record)

    def _count_names(self, lines: Iterable[bytes]) -> None:
        """Counts the names that nobody declared in lines that hold a record each."""
        objects = list(map(json_text.raw_members, lines))
        self._count("", {field.name for field in self._fields}, objects)
        for field in self._fields:
            if field.members:
                values = (one[field.name] for one in objects if field.name in one)
                inner = [json_text.raw_members(value) for value in values if bytes(value) != b"null"]
                self._count(f"{field.name}.", {member.name for member in field.members}, inner)

    def _count(self, before: str, declared: set[str], objects: list[dict[str, Any]]) -> None:
        for names, count in Counter(map(tuple, objects)).items():
            self.names.add([before + name for name in names if name not in declared], count)


def look_at_json(values: list[msgspec.Raw], field: Field) -> tuple[list[msgspec.Raw], list[int]]:
    """JSON values with nulls absent and without whitespace, and the places of those that may be at fault.

    At fault may be what is no object and should be one, what is no UTF-8, and what nests too deep.
    """
    joined = b"\0%b\0" % b"\0".join(values)
    is_object, there = field.kind is FieldKind.OBJECT, values
    if not (is_object and joined.count(b"\0{") == len(values)):
        if b"\0null\0" in joined:
            values = [ABSENT if len(one) == 4 and bytes(one) == b"null" else one for one in values]
            joined = b"\0%b\0" % b"\0".join(values)
        there = [value for value in values if len(value)]
    if (
        (not is_object or joined.count(b"\0{") == len(there))
        and max(map(len, there), default=0) <= 2 * json_text.MAX_DEPTH
        and is_utf8(joined)
    ):
        if not any(space in joined for space in _SPACES):
            return values, []
        text = b"[%b]" % b",".join(there)
        small = json_text.minified(text)
        if len(small) == len(text):
            return values, []
        each = iter(json_text.raw_items(small))
        return [next(each) if len(value) else value for value in values], []
    bad: list[int] = []
    found: list[msgspec.Raw] = []
    for at, text in enumerate(map(bytes, values)):
        if text and ((is_object and text[:1] != b"{") or json_text.is_too_deep(text) or not is_utf8(text)):
            bad.append(at)
        elif any(space in text for space in _SPACES):
            text = json_text.minified(text)
        found.append(msgspec.Raw(text) if text else ABSENT)
    return found, bad


def _text(line: bytes) -> bytes:
    return line.removeprefix(MARK).removesuffix(b"\r")
