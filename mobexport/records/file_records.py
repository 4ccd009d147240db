"""Reads the records of export files in JSON: elements become checked columns, block by block.

Fast path: msgspec decodes all elements of a block at once. Slow path: elements that do not decode go record
by record, as they stand in the file, so that only what is at fault becomes a reject.

JSON values (`extras`, a tag's `value`) become text as they stand in the file, character by character, but for
whitespace between tokens. Of two members with one name the last counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mobexport.errors import DataError
from mobexport.export_types.model import Field, FieldKind, Grouped, Latest
from mobexport.records import json_text, times
from mobexport.records.arrow import split
from mobexport.records.checks import Fault, Rule, is_utf8
from mobexport.records.columns import ARROW_TYPES, Checked, FileChecks, Reject
from mobexport.records.elements import Elements, elements
from mobexport.records.json_text import NotJson, quote
from mobexport.records.raw_records import look_at_json
from mobexport.records.structs import ABSENT, attribute, element_struct, file_fields, struct_of

_FAILS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_Rejects = list[tuple[int, int, Fault, bytes]]


@dataclass(frozen=True)
class _Entry:
    """Records of one element, as they were decoded."""

    number: int
    first_record: int
    head: Any
    """A struct that has the group's fields."""
    records: list[Any]
    texts: tuple[bytes, bytes] | None = None
    """Of a record that was read by itself: as it stands, and with the group's fields."""


class JsonColumns:
    """Reads elements of export files."""

    def __init__(self, checks: FileChecks) -> None:
        self._checks = checks
        self._type = checks.export_type
        element, record = element_struct(self._type)
        self._record = record
        self._decode_all = msgspec.json.Decoder(list[element]).decode  # type: ignore[valid-type]
        self._element = msgspec.json.Decoder(element).decode
        self._fields = file_fields(self._type)
        self._row = msgspec.json.Decoder(struct_of("Row", self._fields)).decode
        self._inner = attrgetter(attribute(self._type.inner)) if self._type.inner else None
        self._of_head = frozenset(self._type.group if self._type.inner else ())

    def read(self, found: Sequence[Elements], reject: Reject) -> Checked | None:
        """The records of some elements without a fault; None if there are none at all."""
        rejects: _Rejects = []
        entries = [entry for one in found for entry in self._decoded(one, rejects)]
        checked = self._checked(entries, found, rejects) if entries else None
        rejects.sort(key=itemgetter(0, 1))
        for one in rejects:
            reject(*one)
        return checked

    # --- decoding -----------------------------------------------------------------------------------------

    def _decoded(self, found: Elements, rejects: _Rejects) -> list[_Entry]:
        if found.is_sound and is_utf8(found.text):
            try:
                all_of_them = self._decode_all(b"[%b]" % found.text)
            except _FAILS:
                pass
            else:
                return [
                    _Entry(number, found.first_record, element, self._records(element))
                    for number, element in enumerate(all_of_them, start=found.number)
                ]
        entries: list[_Entry] = []
        for number, text in enumerate(_texts(found), start=found.number):
            try:
                if not is_utf8(text):
                    raise NotJson
                element = self._element(text)
                entries.append(_Entry(number, found.first_record, element, self._records(element)))
            except (*_FAILS, NotJson):
                entries += self._salvaged(number, found.first_record, text, rejects)
        return entries

    def _records(self, element: Any) -> list[Any]:
        """The innermost records of an element."""
        if self._inner is None:
            return [element]
        records: Any = self._inner(element)
        if isinstance(self._type.shape, Latest):
            shape = self._type.shape
            key, value = attribute(shape.key), attribute(shape.value)
            return [self._record(**{key: name, value: text}) for name, text in records.items()]
        listed: list[Any] = records
        return listed

    def _salvaged(self, number: int, first: int, text: bytes, rejects: _Rejects) -> list[_Entry]:
        """The records of an element that does not decode, each judged by itself."""
        try:
            texts = self._texts_of(text)
        except Fault as fault:
            rejects.append((number, first, fault.with_traceback(None), text))
            return []
        entries = []
        for place, (shown, whole) in enumerate(texts, start=first):
            try:
                row = self._row_of(whole)
            except Fault as fault:
                rejects.append((number, place, fault.with_traceback(None), shown))
            else:
                entries.append(_Entry(number, place, row, [row], (shown, whole)))
        return entries

    def _row_of(self, text: bytes) -> Any:
        """A record with its group's fields. Raises Fault."""
        if is_utf8(text):
            try:
                return self._row(text)
            except _FAILS:
                pass
        return self._row(self._checks.rules.judge(text).text)

    def _texts_of(self, text: bytes) -> list[tuple[bytes, bytes]]:
        """An element's records, as they stand and with the group's fields. Raises Fault if it has none."""
        if self._inner is None:
            return [(text, text)]
        is_broken = False
        try:
            if not is_utf8(text):
                raise NotJson
            tokens = json_text.members(text)
        except NotJson:
            is_broken = True
            try:
                tokens = json_text.loose_members(text)
            except NotJson:
                raise _unreadable(text) from None
        if tokens is None:
            raise Fault(Rule.NOT_AN_OBJECT)
        inner = self._type.inner
        nested = tokens.get(inner, b"null")
        opening = b"[" if isinstance(self._type.shape, Grouped) else b"{"
        if not nested.startswith(opening):
            if is_broken:
                raise _unreadable(text)
            raise Fault(Rule.MISSING if nested == b"null" else Rule.WRONG_TYPE, inner)
        records = self._nested(nested)
        if is_broken and not records:
            raise _unreadable(text)
        group = b",".join(
            b'"%b":%b' % (name.encode(), tokens.get(name, b"null")) for name in self._type.group
        )
        return [(record, _with_group(record, group)) for record in records]

    def _nested(self, nested: bytes) -> list[bytes]:
        shape = self._type.shape
        if isinstance(shape, Grouped):
            try:
                return json_text.items(nested) or []
            except (NotJson, RecursionError):
                pass
            try:
                return [text for found in elements([nested]) for text in _texts(found)]
            except DataError:
                # Commas too many; or a bracket within what is no JSON.
                return json_text.loose_items(nested)
        assert isinstance(shape, Latest)
        try:
            # Of two members with one name the last counts.
            pairs = dict(json_text.loose_pairs(nested))
        except NotJson:
            raise Fault(Rule.NOT_JSON) from None
        key, value = quote(shape.key), quote(shape.value)
        return [b"{%b:%b,%b:%b}" % (key, name, value, text) for name, text in pairs.items()]

    # --- columns ------------------------------------------------------------------------------------------

    def _checked(self, entries: list[_Entry], found: Sequence[Elements], rejects: _Rejects) -> Checked | None:
        heads = [entry.head for entry in entries]
        counts = [len(entry.records) for entry in entries]
        records = list(chain.from_iterable(entry.records for entry in entries))
        if not records:
            return None
        suspects: set[int] = set()
        leaves: dict[str, pa.Array] = {}
        there: dict[str, pa.Array] = {}
        owners = pa.array(list(chain.from_iterable(map(repeat, range(len(counts)), counts))), pa.int32())
        for field in self._fields:
            own = attrgetter(attribute(field.name))
            if field.name in self._of_head:
                array = pa.array(list(map(own, heads)), ARROW_TYPES.get(field.kind, pa.string()))
                leaves[field.name] = pc.take(array, owners)
                continue
            values = list(map(own, records))
            if field.members:
                there[field.name] = pa.array([value is not None for value in values])
                for member in field.members:
                    name = attribute(member.name)
                    leaves[f"{field.name}.{member.name}"] = pa.array(
                        [None if value is None else getattr(value, name) for value in values],
                        ARROW_TYPES.get(member.kind, pa.string()),
                    )
            elif field.is_raw_json:
                leaves[field.name], bad = self._json(values, field)
                suspects.update(bad)
            elif field.kind is FieldKind.TIME:
                _, leaves[field.name], bad = times.read(pa.array(values, pa.string()))
                suspects.update(bad)
            else:
                leaves[field.name] = pa.array(values, ARROW_TYPES.get(field.kind, pa.string()))
        ends = list(accumulate(counts))
        texts = _LazyTexts(found, self._texts_of)

        def place_of(row: int) -> tuple[_Entry, int]:
            at = bisect_right(ends, row)
            return entries[at], row - (ends[at] - counts[at])

        def judge(row: int) -> None:
            entry, at = place_of(row)
            self._checks.rules.judge((entry.texts or texts.of(entry, at))[1])

        def reject(row: int, fault: Fault) -> None:
            entry, at = place_of(row)
            shown = (entry.texts or texts.of(entry, at))[0]
            rejects.append((entry.number, entry.first_record + at, fault, shown))

        return self._checks.check(leaves, suspects, judge, reject, there)

    def _json(self, values: list[Any], field: Field) -> tuple[pa.Array, list[int]]:
        """JSON that passes through as text, and the places of values that may be at fault."""
        changed, bad = look_at_json(values, field)
        for at, value in changed.items():
            values[at] = value
        array = split(b"\0".join(values), b"\0").cast(pa.string())
        if ABSENT in values:
            array = pc.if_else(pc.equal(pc.binary_length(array), 0), pa.scalar(None, pa.string()), array)
        bad += self._checks.look_at_lists(array)
        return array, bad


class _LazyTexts:
    """The records of elements as they stand, for those that are asked for."""

    def __init__(
        self, found: Sequence[Elements], texts_of: Callable[[bytes], list[tuple[bytes, bytes]]]
    ) -> None:
        self._found = found
        self._texts_of = texts_of
        self._known: tuple[tuple[int, int], list[tuple[bytes, bytes]]] = ((0, 0), [])

    def of(self, entry: _Entry, record: int) -> tuple[bytes, bytes]:
        """A record by its element and its place in it."""
        wanted = entry.number, entry.first_record
        if self._known[0] != wanted:
            own = next(
                one
                for one in self._found
                if one.number <= entry.number < one.number + one.count and one.first_record == wanted[1]
            )
            self._known = wanted, self._texts_of(_texts(own)[entry.number - own.number])
        return self._known[1][record]


def _texts(found: Elements) -> list[bytes]:
    """The elements as they stand."""
    if not found.is_sound or found.count == 1:
        return [found.text]
    try:
        return [bytes(text) for text in json_text.raw_items(b"[%b]" % found.text)]
    except RecursionError:
        return json_text.loose_items(b"[%b]" % found.text)


def _unreadable(text: bytes) -> Fault:
    return Fault(Rule.NOT_JSON if is_utf8(text) else Rule.NOT_UTF8)


def _with_group(record: bytes, group: bytes) -> bytes:
    """A record with the group's fields behind its own, so that they count."""
    body = record.strip(b" \t\n\r")
    if not (body.startswith(b"{") and body.endswith(b"}")):
        return record
    separator = b"," if body[1:-1].strip(b" \t\n\r") else b""
    return b"%b%b%b}" % (body[:-1], separator, group)
