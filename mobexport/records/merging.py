"""Merge the sorted records of each group into those that are exported; count what became of the others."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import pyarrow as pa

from mobexport.export_types.model import Collected, ExportType, FieldKind
from mobexport.records.keeping import Bounds, slices
from mobexport.records.structs import ABSENT, attribute, struct_of
from mobexport.records.times import text_of

Groups = Iterator[tuple[bytes, list[Any]]]
"""Keys and records, by key; of shape Collected, one list of values; of what is not merged, a group may come
in several parts."""


@dataclass
class Tally:
    """Counts of one part of the work."""

    superseded: int = 0
    removed: int = 0
    outside: int = 0
    exported: int = 0
    elements: int = 0


@dataclass(frozen=True)
class _Extreme:
    """A field of which the least or the greatest value counts."""

    outer: str
    """The object that has it; empty: the record."""
    name: str
    choose: Any
    """`min` or `max`."""
    is_time: bool

    @classmethod
    def of(cls, export_type: ExportType, name: str, choose: Any) -> _Extreme:
        outer, _, inner = name.rpartition(".")
        is_time = not outer and export_type.field(name).kind is FieldKind.TIME
        return cls(attribute(outer), attribute(inner), choose, is_time)

    def value(self, records: list[Any]) -> Any:
        """The value that counts of some records; None if none has any."""
        if self.outer:
            records = [held for one in records if (held := getattr(one, self.outer)) is not None]
        values = [value for one in records if (value := getattr(one, self.name)) is not None]
        return self.choose(values, default=None, key=(lambda text: text[:-1]) if self.is_time else None)


def records_of(export_type: ExportType, batches: Iterator[pa.RecordBatch]) -> Groups:
    """The records of sorted rows as structs, without the group's fields."""
    struct = struct_of("Row", export_type.record_fields)
    decode = msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type]
    return ((key, decode(b"[%b]" % texts)) for key, texts, _ in slices(batches))


class Merger:
    """Merges the records of one type; what became of them goes to `tally`."""

    def __init__(self, export_type: ExportType, bounds: Bounds, tally: Tally) -> None:
        self._type = export_type
        self._tally = tally
        # Times are compared as text: without their Z, the longer one of two is the later one.
        self._bounds = [text_of(bound)[:-1] for bound in bounds or ()] if export_type.historical else []
        self._time = attrgetter(attribute(export_type.time))
        shown = {column.name.partition(".")[0] for column in export_type.columns}
        self._hidden = [attribute(name.name) for name in export_type.record_fields if name.name not in shown]
        if merge := export_type.merge:
            self._merge = merge
            own = [attribute(name) for name in merge.identity if name not in export_type.group]
            self._identity = attrgetter(*own) if own else None
            self._present = attrgetter(attribute(merge.present)) if merge.present else None
            self._is_first = merge.keep == "first"
            self._each = list(map(attribute, merge.each))
            self._extremes = [_Extreme.of(export_type, name, min) for name in merge.least]
            self._extremes += [_Extreme.of(export_type, name, max) for name in merge.greatest]

    def groups(self, batches: Iterator[pa.RecordBatch]) -> Groups:
        """All groups, also those of which nothing is left."""
        make = self._collected if isinstance(self._type.shape, Collected) else self._merged
        for key, parts in groupby(records_of(self._type, batches), itemgetter(0)):
            yield key, make(records for _, records in parts)

    def _collected(self, parts: Iterator[list[Any]]) -> list[Any]:
        assert isinstance(self._type.shape, Collected)
        value = attrgetter(attribute(self._type.shape.field))
        first: dict[Any, None] = {}
        for records in parts:
            self._tally.superseded += len(records)
            first |= dict.fromkeys(map(value, records))
        self._tally.superseded -= 1
        self._tally.exported += 1
        return [list(first)]

    def _merged(self, parts: Iterator[list[Any]]) -> list[Any]:
        found: dict[Any, Any] = {}
        for records in parts:
            self._tally.superseded += len(records)
            for identity, own in self._by_identity(records).items():
                before = found.get(identity) if self._is_first else found.pop(identity, None)
                together = own if before is None else [before, *own]
                found[identity] = self._one(together) if len(together) > 1 else together[0]
        self._tally.superseded -= len(found)
        left = [record for record in found.values() if self._is_left(record)]
        if self._merge.by != self._type.time:
            left.sort(key=lambda record: self._time(record)[:-1])
        for record in left:
            for name in self._hidden:
                setattr(record, name, msgspec.UNSET)
        return left

    def _by_identity(self, records: list[Any]) -> dict[Any, list[Any]]:
        """Records by identity, in the order of those that are kept."""
        if self._identity is None:
            return {None: records}
        found: dict[Any, list[Any]] = {}
        for record, identity in zip(records, map(self._identity, records), strict=True):
            own = found.setdefault(identity, []) if self._is_first else found.pop(identity, [])
            own.append(record)
            found[identity] = own
        return found

    def _one(self, records: list[Any]) -> Any:
        """The record that those of one identity, in their order, become."""
        kept = records[0 if self._is_first else -1]
        extremes = [(one, one.value(records)) for one in self._extremes]
        for name in self._each:
            having = (value for one in reversed(records) if (value := getattr(one, name)) is not None)
            setattr(kept, name, next(having, None))
        for one, value in extremes:
            if value is not None:
                setattr(getattr(kept, one.outer) if one.outer else kept, one.name, value)
        return kept

    def _is_left(self, record: Any) -> bool:
        value = self._present(record) if self._present else True
        if value is ABSENT or value is None or value is False:
            self._tally.removed += 1
        elif self._bounds and not self._bounds[0] <= self._time(record)[:-1] <= self._bounds[1]:
            self._tally.outside += 1
        else:
            self._tally.exported += 1
            return True
        return False


def joined(own: Groups, others: Groups, tally: Tally) -> Iterator[tuple[bytes, list[Any], list[Any]]]:
    """Each group with the records that the joined type has for it.

    Those are merged into the element (superseded); those of groups without one are outside.
    """
    merged = heapq.merge(
        ((key, 0, records) for key, records in own),
        ((key, 1, records) for key, records in others),
        key=itemgetter(0, 1),
    )
    for key, parts in groupby(merged, itemgetter(0)):
        found = {which: records for _, which, records in parts}
        others_of = found.get(1, [])
        if 0 in found:
            tally.superseded += len(others_of)
            yield key, found[0], others_of
        else:
            tally.outside += len(others_of)
