"""Records of export files as checked Arrow columns, block by block.

Fast path: msgspec decodes all elements of a block, and a few looks over whole columns tell which records
may be at fault. Slow path: those, and elements that do not decode, go one by one, record by record, as they
stand in the file. So nothing depends on a record's neighbours.

JSON values (`extras`, a tag's `value`) become text as they stand in the file, character by character, but for
whitespace between tokens. Of two members with one name the last counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, chain, repeat
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mobexport.export_types.model import Collected, ExportType, Field, FieldKind, Grouped, Latest
from mobexport.records import json_text, times
from mobexport.records.checks import GUID, MAX_TEXT, Fault, Rule, Rules, check_list, is_utf8
from mobexport.records.elements import Elements
from mobexport.records.json_text import NotJson, quote
from mobexport.records.raw_records import look_at_json
from mobexport.records.structs import ABSENT, attribute, element_struct, file_fields, is_needed, struct_of

_TYPES = {FieldKind.TIME: times.INSTANT, FieldKind.INTEGER: pa.int64(), FieldKind.BOOLEAN: pa.bool_()}
_GUID = 36
_HEX = b"0123456789abcdefABCDEF-"
_RAW = msgspec.json.Decoder(list[msgspec.Raw]).decode
_FAILS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

Reject = Callable[[int, int, Fault, bytes], None]
"""What takes a reject: element and record (both from 1), what is wrong, the record as it stands."""


@dataclass(frozen=True)
class Checked:
    """Records without a fault, in the order of the file."""

    batch: pa.RecordBatch
    """Columns of `schema_of`."""
    days: pa.Array
    """DATE32: the day of each; of a snapshot, its day."""


def schema_of(export_type: ExportType) -> pa.Schema:
    """The columns of curated data: `app`, then the type's; objects with declared members are structs."""
    found = [pa.field("app", pa.string())]
    for field in file_fields(export_type):
        kind = _TYPES.get(field.kind, pa.string())
        if field.members:
            kind = pa.struct(
                [(member.name, _TYPES.get(member.kind, pa.string())) for member in field.members]
            )
        found.append(pa.field(field.name, kind))
    return pa.schema(found)


class FileChecks:
    """Checks records of export files of one type, and counts what lenient checks let pass."""

    def __init__(
        self,
        export_type: ExportType,
        *,
        app: str,
        bounds: tuple[int, int] | None,
        snapshot_day: date | None,
        strict: bool,
    ) -> None:
        self.export_type = export_type
        self.rules = Rules.of_file(export_type)
        self._schema = schema_of(export_type)
        self._fields = file_fields(export_type)
        self._app = app
        self._bounds = bounds if export_type.historical else None
        self._snapshot_day = snapshot_day
        self._strict = strict
        self._listed = _ListChecks(export_type.field(export_type.shape.field)) if isinstance(
            export_type.shape, Collected
        ) else None  # fmt: skip
        self.lenient: Counter[str] = Counter()

    def check(
        self,
        leaves: dict[str, pa.Array],
        suspects: set[int],
        judge: Callable[[int], Any],
        reject: Callable[[int, Fault], None],
        there: Mapping[str, pa.Array],
    ) -> Checked:
        """The records whose columns these are, without those at fault.

        `suspects`: places of records that may be. `judge`: raises the Fault of one of them, if it has one.
        `there`: for objects with members, which records have them.
        """
        rows = len(next(iter(leaves.values())))
        outside: set[int] = set()
        for field in self._fields:
            array = leaves.get(field.name)
            if array is None:
                continue
            if array.null_count and is_needed(field):
                suspects.update(_places(pc.is_null(array)))
            if field.kind not in (FieldKind.ID, FieldKind.TEXT) or not field.required:
                continue
            # What is blank begins with a space or a control character, if with anything.
            if (low := pc.min_max(array)["min"].as_py()) is not None and low < "!":
                suspects.update(_places(pc.less(array, "!")))
        for leaf in self.export_type.columns:
            array = leaves[leaf.name]
            if leaf.kind in (FieldKind.ID, FieldKind.TEXT) and array.nbytes > MAX_TEXT:
                suspects.update(_places(pc.greater(pc.binary_length(array), MAX_TEXT)))
        if self._bounds is not None:
            inside = times.within(leaves[self.export_type.time].cast(pa.int64()), self._bounds)
            if inside is not None:
                outside = set(_places(pc.invert(inside)))
        noted = self._noted(leaves) if self._strict else {}
        bad = []
        for place in sorted(suspects | outside | noted.keys()):
            try:
                if place in suspects:
                    judge(place)
                if place in outside:
                    raise Fault(Rule.OUTSIDE_WINDOW, self.export_type.time)
                if place in noted:
                    raise noted[place]
            except Fault as fault:
                reject(place, fault)
                bad.append(place)
        if bad:
            good = [True] * rows
            for place in bad:
                good[place] = False
            mask = pa.array(good)
            leaves = {name: array.filter(mask) for name, array in leaves.items()}
            there = {name: array.filter(mask) for name, array in there.items()}
            rows -= len(bad)
        if not self._strict:
            for label, mask in self._notes(leaves):
                self.lenient[label] += mask if isinstance(mask, int) else pc.sum(mask).as_py() or 0
        arrays = [pa.repeat(pa.scalar(self._app, pa.string()), rows)]
        for field in self._fields:
            if field.members:
                parts = [leaves[leaf.name] for leaf in field.leaves()]
                kinds = [self._schema.field(field.name).type.field(n) for n in range(len(parts))]
                arrays.append(
                    pa.StructArray.from_arrays(parts, fields=kinds, mask=pc.invert(there[field.name]))
                )
            else:
                arrays.append(leaves[field.name])
        if self._bounds is None and not self.export_type.historical:
            days = pa.repeat(pa.scalar(self._snapshot_day, pa.date32()), rows)
        else:
            days = leaves[self.export_type.time].cast(pa.date32())
        return Checked(pa.RecordBatch.from_arrays(arrays, schema=self._schema), days)

    def look_at_lists(self, array: pa.Array) -> list[int]:
        """Places of JSON texts that are no list of distinct values, where the type has such lists."""
        if self._listed is None:
            return []
        return [at for at, text in enumerate(array.to_pylist()) if text and not self._listed.is_good(text)]

    def _notes(self, leaves: Mapping[str, pa.Array]) -> Iterable[tuple[str, int | pa.Array]]:
        """What the published schema asks for and real devices do not do: label, and where it is so."""
        for field in self._fields:
            if field.strict:
                array = leaves[field.name]
                yield f"missing:{field.name}", pc.is_null(array) if self._strict else array.null_count
        for field in self._fields:
            if field.kind is FieldKind.ID and (mask := _no_guids(leaves[field.name])) is not None:
                yield f"not-a-guid:{field.name}", mask

    def _noted(self, leaves: Mapping[str, pa.Array]) -> dict[int, Fault]:
        """The first of the notes by record."""
        found: dict[int, Fault] = {}
        for label, mask in self._notes(leaves):
            rule, _, name = label.partition(":")
            for place in _places(mask):
                found.setdefault(place, Fault(Rule(rule), name))
        return found


class _ListChecks:
    """Judges lists of distinct values; there are few different ones."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._known: dict[str, bool] = {}

    def is_good(self, text: str) -> bool:
        if (known := self._known.get(text)) is not None:
            return known
        try:
            check_list(self._field, text.encode())
        except (Fault, NotJson, RecursionError):
            is_good = False
        else:
            is_good = True
        if len(self._known) < 10_000:
            self._known[text] = is_good
        return is_good


def _places(mask: pa.Array) -> list[int]:
    """Where a mask is true."""
    found: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return found


def _no_guids(array: pa.Array) -> pa.Array | None:
    """Which strings are no GUIDs; None if all are."""
    data = times.values_of(array)
    count = len(array) - array.null_count
    usual = len(data) == count * _GUID and data.count(b"-") == 4 * count
    if (
        usual
        and all(data[at::_GUID] == b"-" * count for at in (8, 13, 18, 23))
        and not data.translate(None, _HEX)
    ):
        return None
    return pc.invert(pc.match_substring_regex(array, f"^(?:{GUID.pattern})$"))


@dataclass(frozen=True)
class _Entry:
    """Records of one element, as they were decoded."""

    number: int
    first_record: int
    head: Any
    """A struct that has the group's fields."""
    records: list[Any]
    text: bytes | None = None
    """Of a record that was judged by itself, the record as it stands."""


class JsonColumns:
    """Reads elements of export files."""

    def __init__(self, checks: FileChecks) -> None:
        self._checks = checks
        self._type = checks.export_type
        element, record = element_struct(self._type)
        self._record = record
        self._elements = msgspec.json.Decoder(list[element]).decode  # type: ignore[valid-type]
        self._element = msgspec.json.Decoder(element).decode
        self._fields = file_fields(self._type)
        self._row = msgspec.json.Decoder(struct_of("Row", self._fields)).decode
        self._inner = attrgetter(attribute(self._type.inner)) if self._type.inner else None
        self._own = set(self._type.group) if self._type.inner else set()

    def read(self, found: Elements, reject: Reject) -> Checked | None:
        """The records of some elements without a fault; None if there are none at all."""
        rejects: list[tuple[int, int, Fault, bytes]] = []
        entries = self._decoded(found, rejects)
        checked = self._checked(entries, found, rejects) if entries else None
        rejects.sort(key=lambda one: one[:2])
        for one in rejects:
            reject(*one)
        return checked

    # --- decoding -----------------------------------------------------------------------------------------

    def _decoded(self, found: Elements, rejects: list[tuple[int, int, Fault, bytes]]) -> list[_Entry]:
        if found.is_sound and is_utf8(found.text):
            try:
                elements = self._elements(b"[%b]" % found.text)
            except _FAILS:
                pass
            else:
                return [
                    _Entry(number, found.first_record, element, self._records(element))
                    for number, element in enumerate(elements, start=found.number)
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

    def _salvaged(
        self, number: int, first: int, text: bytes, rejects: list[tuple[int, int, Fault, bytes]]
    ) -> list[_Entry]:
        """The records of an element that does not decode, each judged by itself."""
        try:
            texts = self._texts_of(text)
        except Fault as fault:
            rejects.append((number, first, fault, text))
            return []
        entries = []
        for place, (shown, whole) in enumerate(texts, start=first):
            try:
                row = self._row(self._checks.rules.judge(whole).text)
            except Fault as fault:
                rejects.append((number, place, fault, shown))
            else:
                entries.append(_Entry(number, place, row, [row], shown))
        return entries

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

    def _checked(
        self, entries: list[_Entry], found: Elements, rejects: list[tuple[int, int, Fault, bytes]]
    ) -> Checked | None:
        heads = [entry.head for entry in entries]
        counts = [len(entry.records) for entry in entries]
        records = list(chain.from_iterable(entry.records for entry in entries))
        if not records:
            return None
        suspects: set[int] = set()
        leaves: dict[str, pa.Array] = {}
        there: dict[str, pa.Array] = {}
        owners = None
        for field in self._fields:
            own = attrgetter(attribute(field.name))
            if field.name in self._own:
                if owners is None:
                    owners = pa.array(
                        list(chain.from_iterable(map(repeat, range(len(counts)), counts))), pa.int32()
                    )
                array = pa.array(list(map(own, heads)), _TYPES.get(field.kind, pa.string()))
                leaves[field.name] = pc.take(array, owners)
                continue
            values = list(map(own, records))
            if field.members:
                there[field.name] = pa.array([value is not None for value in values])
                for member in field.members:
                    name = attribute(member.name)
                    leaves[f"{field.name}.{member.name}"] = pa.array(
                        [None if value is None else getattr(value, name) for value in values],
                        _TYPES.get(member.kind, pa.string()),
                    )
            elif field.is_raw_json:
                leaves[field.name], bad = self._json(values, field)
                suspects.update(bad)
            elif field.kind is FieldKind.TIME:
                array = times.usual_instants(pa.array(values, pa.string()))
                if array is None:
                    array, bad = times.instants(values)
                    suspects.update(bad)
                leaves[field.name] = array
            else:
                leaves[field.name] = pa.array(values, _TYPES.get(field.kind, pa.string()))
        ends = list(accumulate(counts))
        texts = _LazyTexts(found, self._texts_of)

        def place_of(row: int) -> tuple[_Entry, int]:
            at = bisect_right(ends, row)
            return entries[at], row - (ends[at] - counts[at])

        def judge(row: int) -> None:
            entry, at = place_of(row)
            if entry.text is None:
                self._checks.rules.judge(texts.of(entry.number, at)[1])

        def reject(row: int, fault: Fault) -> None:
            entry, at = place_of(row)
            shown = entry.text if entry.text is not None else texts.of(entry.number, at)[0]
            rejects.append((entry.number, entry.first_record + at, fault, shown))

        return self._checks.check(leaves, suspects, judge, reject, there)

    def _json(self, values: list[Any], field: Field) -> tuple[pa.Array, list[int]]:
        """JSON that passes through as text, and the places of values that may be at fault."""
        changed, bad = look_at_json(values, field, is_deep=True)
        for at, value in changed.items():
            values[at] = value
        joined = b"\0".join(values)
        offsets = pa.array([0, len(joined)], pa.int32()).buffers()[1]
        whole = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(joined)])
        array = pc.split_pattern(whole, b"\0").values.cast(pa.string())
        if ABSENT in values:
            array = pc.if_else(pc.equal(pc.binary_length(array), 0), pa.scalar(None, pa.string()), array)
        bad += self._checks.look_at_lists(array)
        return array, bad


class _LazyTexts:
    """The records of a block's elements as they stand, for those that are asked for."""

    def __init__(self, found: Elements, texts_of: Callable[[bytes], list[tuple[bytes, bytes]]]) -> None:
        self._found = found
        self._texts_of = texts_of
        self._elements: list[bytes] | None = None
        self._known: dict[int, list[tuple[bytes, bytes]]] = {}

    def of(self, number: int, record: int) -> tuple[bytes, bytes]:
        """A record by its element's number and its place in it."""
        if self._elements is None:
            self._elements = _texts(self._found)
        if number not in self._known:
            self._known = {number: self._texts_of(self._elements[number - self._found.number])}
        return self._known[number][record]


def _texts(found: Elements) -> list[bytes]:
    """The elements as they stand."""
    if not found.is_sound or found.count == 1:
        return [found.text]
    try:
        return [bytes(text) for text in _RAW(b"[%b]" % found.text)]
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
