"""Read the records of export files in JSON: elements become checked columns, block by block.

Fast path: msgspec decodes all elements of a block at once. Slow path: elements that do not decode go record
by record, as they stand in the file, so that only what is at fault becomes a reject.

JSON values (`extras`, a tag's `value`) become text as they stand in the file, character by character, but for
whitespace between tokens. Of two members with one name the last counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, count, repeat
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mobexport.errors import DataError
from mobexport.export_types.model import FieldKind, Grouped, Latest
from mobexport.records import json_text, times
from mobexport.records.checks import Fault, Rule, is_utf8
from mobexport.records.columns import Checked, FileChecks, Reject, arrow_type
from mobexport.records.elements import Elements, Layout, elements
from mobexport.records.json_text import FAILS, NotJson, is_whole, quote
from mobexport.records.structs import attribute, element_structs, file_fields

_Rejects = list[tuple[int, int, Fault, bytes]]


@dataclass
class _Entry:
    """Consecutive records of one element, as they were decoded."""

    found: Elements
    number: int
    first_record: int
    head: Any
    """A struct that has the group's fields."""
    records: list[Any]
    texts: _Texts | None = None
    """Of all records of the element."""
    skipped: int = 0
    """How many of `texts` stand before those records."""


@dataclass
class _Texts:
    """Records of an element as they stand, and the group's fields as members."""

    runs: list[Elements]
    """Consecutive records: sound ones together, others one each."""
    group: bytes = b""

    @classmethod
    def of(cls, records: Iterable[bytes]) -> _Texts:
        return cls([Elements(number, text, is_sound=False) for number, text in enumerate(records, 1)])

    @cached_property
    def records(self) -> list[bytes]:
        """Each record as it stands."""
        return [text for run in self.runs for text in run.texts]

    def whole(self, text: bytes) -> bytes:
        """A record with the group's fields behind its own, so that they count."""
        body = text.strip(b" \t\n\r")
        if not self.group or not (body.startswith(b"{") and body.endswith(b"}")):
            return text
        separator = b"," if body[1:-1].strip(b" \t\n\r") else b""
        return b"%b%b%b}" % (body[:-1], separator, self.group)


class JsonColumns:
    """Reads elements of export files."""

    def __init__(self, checks: FileChecks) -> None:
        self._checks = checks
        self._type = checks.export_type
        element, head, record = element_structs(self._type)
        self._record = record
        self._decode_all = msgspec.json.Decoder(list[element]).decode  # type: ignore[valid-type]
        self._decode_head = msgspec.json.Decoder(head).decode
        self._decode_record = msgspec.json.Decoder(record).decode
        self._decode_records = msgspec.json.Decoder(list[record]).decode  # type: ignore[valid-type]
        self._inner = attrgetter(attribute(self._type.inner)) if self._type.inner else None
        self._layout = Layout.of(self._type)
        self._fields = file_fields(self._type)
        self._of_head = frozenset(self._type.group if self._type.inner else ())

    def read(self, found: Sequence[Elements], reject: Reject) -> Checked | None:
        """The records of some elements without a fault; None if there are none at all."""
        rejects: _Rejects = []
        entries = [entry for one in found for entry in self._decoded(one, rejects)]
        checked = self._checked(entries, rejects) if any(entry.records for entry in entries) else None
        rejects.sort(key=itemgetter(0, 1))
        for one in rejects:
            reject(*one)
        return checked

    # --- decoding -----------------------------------------------------------------------------------------

    def _decoded(self, found: Elements, rejects: _Rejects) -> list[_Entry]:
        if found.is_sound and is_utf8(found.text):
            try:
                return self._entries(found, found.number, found.text)
            except FAILS:
                pass
        entries: list[_Entry] = []
        for number, text in enumerate(found.texts, start=found.number):
            try:
                if not (found.is_sound and is_utf8(text)):
                    raise NotJson
                entries += self._entries(found, number, text)
            except (*FAILS, NotJson):
                entries += self._salvaged(found, number, text, rejects)
        return entries

    def _entries(self, found: Elements, number: int, text: bytes) -> list[_Entry]:
        """Elements that decode; the first has that number."""
        heads = self._decode_all(b"[%b]" % text)
        records: Iterable[Any] = map(self._inner, heads) if self._inner else ([head] for head in heads)
        shape = self._type.shape
        if isinstance(shape, Latest):
            key, value = attribute(shape.key), attribute(shape.value)
            records = ([self._record(**{key: k, value: v}) for k, v in pairs.items()] for pairs in records)
        first = found.first_record
        return [_Entry(found, n, first, *one) for n, *one in zip(count(number), heads, records, strict=False)]

    def _salvaged(self, found: Elements, number: int, text: bytes, rejects: _Rejects) -> list[_Entry]:
        """The records of an element that does not decode, each by itself."""
        first = found.first_record
        try:
            texts = self._texts_of(text, is_sound=found.is_sound)
        except Fault as fault:
            rejects.append((number, first, fault.bare(), text))
            return []
        try:
            head = self._decode_head(b"{%b}" % texts.group) if texts.group else None
        except FAILS:
            head = None
        entries: list[_Entry] = []

        def keep(place: int, own: Any, rows: list[Any]) -> None:
            last = entries[-1] if entries else None
            if last and last.head is own and last.first_record + len(last.records) == first + place:
                last.records += rows
            else:
                entries.append(_Entry(found, number, first + place, own, rows, texts, place))

        begin = 0
        for run in texts.runs:
            place = begin
            for rows in self._rows(run, head):
                if rows:
                    keep(place, head, rows)
                    place += len(rows)
                    continue
                record = run.texts[place - begin]
                try:
                    judged, _ = self._checks.rules.judge(texts.whole(record))
                    keep(place, self._decode_head(judged), [self._decode_record(judged)])
                except Fault as fault:
                    rejects.append((number, first + place, fault.bare(), record))
                place += 1
            begin = place
        return entries

    def _rows(self, run: Elements, head: Any) -> Iterator[list[Any]]:
        """Records that decode, many at once; an empty list for each one between them that must be judged."""
        rows: list[Any] = []
        with suppress(*FAILS):
            if head is not None and is_utf8(run.text):
                rows = self._decode_records(b"[%b]" % run.text)
        if rows or run.count == 1:
            yield rows
            return
        # Empty texts do not decode.
        following = iter([text if head is not None and is_utf8(text) else b"" for text in run.texts])
        left = run.count
        while left:
            rows = []
            with suppress(*FAILS):
                rows.extend(map(self._decode_record, following))
            if rows:
                yield rows
            if left := left - len(rows):
                yield []
                left -= 1

    def _texts_of(self, text: bytes, *, is_sound: bool) -> _Texts:
        """An element's records. Raises Fault if it has none."""
        inner = self._type.inner
        if not inner:
            return _Texts.of([text])
        is_broken = not (is_sound and is_utf8(text))
        try:
            if is_broken:
                raise NotJson
            tokens = json_text.members(text)
        except NotJson:
            is_broken = True
            try:
                tokens = self._loose_members(text)
            except NotJson:
                raise _unreadable(text) from None
        if tokens is None:
            raise Fault(Rule.NOT_AN_OBJECT)
        nested = tokens.get(inner, b"null")
        is_list = nested.startswith(b"[" if isinstance(self._type.shape, Grouped) else b"{")
        if not is_list and not is_broken:
            raise Fault(Rule.MISSING if nested == b"null" else Rule.WRONG_TYPE, inner)
        texts = self._nested(nested) if is_list else _Texts([])
        if is_broken and not texts.runs:
            raise _unreadable(text)
        pairs = (b'"%b":%b' % (name.encode(), tokens.get(name, b"null")) for name in self._type.group)
        texts.group = b",".join(pairs)
        return texts

    def _loose_members(self, text: bytes) -> dict[str, bytes]:
        """The members of a broken element. Raises NotJson."""
        inner = self._type.inner
        opening, end = self._layout.opening.search(text), text.rfind(b"]") + 1
        # The records are nearly all of it: a glance tells where they end.
        if opening and is_whole(nested := text[opening.end() - 1 : end]):
            found = json_text.loose_members(b"%b]%b" % (text[: opening.end()], text[end:]))
            if found.get(inner) == b"[]":
                return {**found, inner: nested}
        return json_text.loose_members(text)

    def _nested(self, nested: bytes) -> _Texts:
        shape = self._type.shape
        if not isinstance(shape, Latest):
            try:
                return _Texts(list(elements([nested])))
            except DataError:
                # A comma too many; or a bracket within what is no JSON.
                return _Texts.of(json_text.loose_items(nested))
        try:
            # Of two members with one name the last counts.
            pairs = dict(json_text.loose_pairs(nested))
        except NotJson:
            raise Fault(Rule.NOT_JSON) from None
        key, value = quote(shape.key), quote(shape.value)
        return _Texts.of(b"{%b:%b,%b:%b}" % (key, name, value, text) for name, text in pairs.items())

    # --- columns ------------------------------------------------------------------------------------------

    def _checked(self, entries: list[_Entry], rejects: _Rejects) -> Checked:
        counts = [len(entry.records) for entry in entries]
        records = list(chain.from_iterable(entry.records for entry in entries))
        owners = pa.array(list(chain.from_iterable(map(repeat, range(len(counts)), counts))), pa.int32())
        suspects: set[int] = set()
        leaves: dict[str, pa.Array] = {}
        there: dict[str, pa.Array] = {}
        for field in self._fields:
            own = attrgetter(attribute(field.name))
            if field.name in self._of_head:
                heads = pa.array([own(entry.head) for entry in entries], arrow_type(field))
                leaves[field.name] = pc.take(heads, owners)
                continue
            values = list(map(own, records))
            bad: list[int] = []
            if field.members:
                there[field.name] = pa.array([value is not None for value in values])
                for member in field.members:
                    name = attribute(member.name)
                    leaves[f"{field.name}.{member.name}"] = pa.array(
                        [None if value is None else getattr(value, name) for value in values],
                        arrow_type(member),
                    )
            elif field.is_raw_json:
                leaves[field.name], bad = self._checks.json_column(values, field)
            elif field.kind is FieldKind.TIME:
                _, leaves[field.name], bad = times.read(pa.array(values, pa.string()))
            else:
                leaves[field.name] = pa.array(values, arrow_type(field))
            suspects.update(bad)
        ends = list(accumulate(counts))

        def place_of(row: int) -> tuple[_Entry, _Texts, int]:
            at = bisect_right(ends, row)
            entry = entries[at]
            if entry.texts is None:
                text = entry.found.texts[entry.number - entry.found.number]
                entry.texts = self._texts_of(text, is_sound=entry.found.is_sound)
            return entry, entry.texts, row - (ends[at] - counts[at])

        def judge(row: int) -> None:
            entry, texts, at = place_of(row)
            self._checks.rules.judge(texts.whole(texts.records[entry.skipped + at]))

        def reject(row: int, fault: Fault) -> None:
            entry, texts, at = place_of(row)
            rejects.append((entry.number, entry.first_record + at, fault, texts.records[entry.skipped + at]))

        return self._checks.check(leaves, suspects, judge, reject, there)


def _unreadable(text: bytes) -> Fault:
    return Fault(Rule.NOT_JSON if is_utf8(text) else Rule.NOT_UTF8)
