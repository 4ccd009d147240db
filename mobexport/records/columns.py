"""Columns of curated data, and the checks of records over them.

A few looks over whole columns tell which records may be at fault; those are judged one by one (`checks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mobexport.export_types.model import Collected, ExportType, Field, FieldKind
from mobexport.records import times
from mobexport.records.arrow import places, split, values_of
from mobexport.records.checks import GUID, MAX_TEXT, Fault, Rule, Rules, check_list, is_blank
from mobexport.records.json_text import FAILS
from mobexport.records.raw_records import look_at_json
from mobexport.records.structs import ABSENT, file_fields, is_needed

_TYPES = {FieldKind.TIME: times.INSTANT, FieldKind.INTEGER: pa.int64(), FieldKind.BOOLEAN: pa.bool_()}
_GUID = 36
_HEX = b"0123456789abcdefABCDEF"

Reject = Callable[[int, int, Fault, bytes], None]
"""Takes a reject: element and record (both from 1), what is wrong, the record as it stands."""


@dataclass(frozen=True)
class Checked:
    """Records without a fault, in the order of the file."""

    batch: pa.RecordBatch
    """Columns of `schema_of`."""
    days: pa.Array
    """DATE32: the day of each; of a snapshot, its day."""


def arrow_type(field: Field) -> pa.DataType:
    """The type of a field's column; an object with declared members is a struct."""
    if field.members:
        return pa.struct([(member.name, arrow_type(member)) for member in field.members])
    return _TYPES.get(field.kind, pa.string())


def schema_of(export_type: ExportType) -> pa.Schema:
    """The columns of curated data: `app`, then the type's."""
    own = [(field.name, arrow_type(field)) for field in file_fields(export_type)]
    return pa.schema([("app", pa.string()), *own])


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
        self.rules = Rules(export_type, is_file=True)
        self._schema = schema_of(export_type)
        self._fields = file_fields(export_type)
        self._app = app
        self._bounds = bounds if export_type.historical else None
        self._snapshot_day = snapshot_day
        self._strict = strict
        shape = export_type.shape
        self._listed = export_type.field(shape.field) if isinstance(shape, Collected) else None
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
        faults: dict[int, Fault] = {}
        for place in sorted(suspects | self._suspects(leaves)):
            try:
                judge(place)
            except Fault as fault:
                faults[place] = fault.bare()
        if self._bounds:
            inside = times.within(leaves[self.export_type.time].cast(pa.int64()), self._bounds)
            for place in places(pc.invert(inside)) if inside is not None else ():
                faults.setdefault(place, Fault(Rule.OUTSIDE_WINDOW, self.export_type.time))
        for rule, name, mask in self._notes(leaves) if self._strict else ():
            for place in places(mask):
                faults.setdefault(place, Fault(rule, name))
        if faults:
            for place in sorted(faults):
                reject(place, faults[place])
            rows = len(next(iter(leaves.values())))
            kept = pa.array([place not in faults for place in range(rows)])
            leaves = {name: array.filter(kept) for name, array in leaves.items()}
            there = {name: array.filter(kept) for name, array in there.items()}
        for rule, name, mask in self._notes(leaves) if not self._strict else ():
            self.lenient[f"{rule}:{name}"] += pc.sum(mask).as_py() or 0
        return self._assembled(leaves, there)

    def _suspects(self, leaves: Mapping[str, pa.Array]) -> set[int]:
        """Places of records that lack what they need, or whose texts are blank or too long."""
        suspects: set[int] = set()
        for field in self._fields:
            array = leaves.get(field.name)
            if array is None:
                continue
            if array.null_count and is_needed(field):
                suspects.update(places(pc.is_null(array)))
            if field.kind not in (FieldKind.ID, FieldKind.TEXT) or not field.required:
                continue
            # What is blank begins with a space or a control character, if with anything.
            if (low := pc.min_max(array)["min"].as_py()) is not None and low < "!":
                suspects.update(at for at in places(pc.less(array, "!")) if is_blank(array[at].as_py()))
        for leaf in self.export_type.columns:
            array = leaves[leaf.name]
            if leaf.kind in (FieldKind.ID, FieldKind.TEXT) and array.nbytes > MAX_TEXT:
                suspects.update(places(pc.greater(pc.binary_length(array), MAX_TEXT)))
        return suspects

    def _assembled(self, leaves: Mapping[str, pa.Array], there: Mapping[str, pa.Array]) -> Checked:
        rows = len(next(iter(leaves.values())))
        arrays = [pa.repeat(pa.scalar(self._app, pa.string()), rows)]
        for field in self._fields:
            if field.members:
                parts = [leaves[leaf.name] for leaf in field.leaves()]
                mask = pc.invert(there[field.name])
                arrays.append(pa.StructArray.from_arrays(parts, fields=list(arrow_type(field)), mask=mask))
            else:
                arrays.append(leaves[field.name])
        days = pa.repeat(pa.scalar(self._snapshot_day, pa.date32()), rows)
        if self.export_type.historical:
            days = leaves[self.export_type.time].cast(pa.date32())
        return Checked(pa.RecordBatch.from_arrays(arrays, schema=self._schema), days)

    def json_column(
        self, values: list[Any], field: Field, column: pa.Array | None = None
    ) -> tuple[pa.Array, list[int]]:
        """JSON that passes through as text, and the places of values that may be at fault.

        `column`: the values as a column, if that is there already.
        """
        found, bad = look_at_json(values, field)
        if column is None or found is not values:
            column = split(b"\0".join(found), b"\0").cast(pa.string())
            if ABSENT in found:
                is_absent = pc.equal(pc.binary_length(column), 0)
                column = pc.if_else(is_absent, pa.scalar(None, pa.string()), column)
        if self._listed:
            texts = enumerate(column.to_pylist())
            bad += [at for at, text in texts if text and not _is_list(self._listed, text)]
        return column, bad

    def _notes(self, leaves: Mapping[str, pa.Array]) -> Iterable[tuple[Rule, str, pa.Array]]:
        """What the published schema asks for and real devices do not do: rule, field, and where it is so."""
        for field in self._fields:
            if field.strict:
                yield Rule.MISSING, field.name, pc.is_null(leaves[field.name])
        for field in self._fields:
            if field.kind is FieldKind.ID and (mask := _no_guids(leaves[field.name])) is not None:
                yield Rule.NOT_A_GUID, field.name, mask


@lru_cache(10_000)
def _is_list(field: Field, text: str) -> bool:
    """Whether a JSON text is a list of distinct values of a field; there are few different ones."""
    try:
        check_list(field, text.encode())
    except (Fault, *FAILS):
        return False
    return True


def _no_guids(array: pa.Array) -> pa.Array | None:
    """Which strings are no GUIDs; None if all are."""
    data = values_of(array)
    count = len(array) - array.null_count
    if (
        len(data) == count * _GUID
        and all(data[at::_GUID] == b"-" * count for at in (8, 13, 18, 23))
        and data.translate(None, _HEX) == b"-" * 4 * count
    ):
        return None
    return pc.invert(pc.match_substring_regex(array, f"^(?:{GUID.pattern})$"))
