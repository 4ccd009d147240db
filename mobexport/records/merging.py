"""What merging makes of a group's states: the records that are exported, and what became of the others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from mobexport.export_types.model import Collected, ExportType, FieldKind, Latest
from mobexport.records import times
from mobexport.records.keeping import Bounds, StateLayout, States
from mobexport.records.structs import ABSENT, attribute


@dataclass
class Tally:
    """What one part of the work adds to the counts."""

    superseded: int = 0
    removed: int = 0
    outside: int = 0
    exported: int = 0
    elements: int = 0


@dataclass(frozen=True)
class Merged:
    """What merging left of a group."""

    key: bytes
    records: list[Any]
    """Structs in their order; of shape Collected, one list of values."""


class Merger:
    """Merges the states of one type; what became of the records goes to `tally`."""

    def __init__(self, export_type: ExportType, bounds: Bounds, tally: Tally) -> None:
        self._type = export_type
        self._bounds = bounds if export_type.historical else None
        self._tally = tally
        shown = {column.name.partition(".")[0] for column in export_type.columns}
        self._hidden = [attribute(field.name) for field in export_type.fields if field.name not in shown]
        if merge := export_type.merge:
            self._merge = merge
            self._present = attrgetter(attribute(merge.present)) if merge.present else None
            self._identity = attrgetter(*map(attribute, merge.identity))
            self._layout = StateLayout.of(export_type)

    def groups(self, states: Iterator[States]) -> Iterator[Merged]:
        """All groups, also those of which nothing is left."""
        make = self._collected if isinstance(self._type.shape, Collected) else self._merged
        return (Merged(key, make(own)) for key, own in states)

    def _collected(self, states: list[Any]) -> list[Any]:
        first: dict[Any, tuple[int, int]] = {}
        for state in states:
            for value, place in state.first.items():
                first[value] = min(first.get(value, place), place)
        self._tally.superseded += sum(state.n for state in states) - 1
        self._tally.exported += 1
        return [sorted(first, key=first.__getitem__)]

    def _merged(self, states: list[Any]) -> list[Any]:
        if len(states) > 1:
            by_identity: dict[Hashable, Any] = {}
            for state in states:
                before = by_identity.setdefault(self._identity(state.record), state)
                if before is not state:
                    self._fold(before, state)
            states = list(by_identity.values())
        left = [state for state in states if self._is_left(state)]
        if len(left) > 1:
            left.sort(key=attrgetter("at", "place"))
        if isinstance(self._type.shape, Latest):
            return [state.record for state in left]
        return list(map(self._finished, left))

    def _fold(self, state: Any, later: Any) -> None:
        """Merges a state of the same identity whose records all came later."""
        state.n += later.n
        if later.by < state.by if self._merge.keep == "first" else later.by >= state.by:
            state.by, state.at, state.place, state.record = later.by, later.at, later.place, later.record
        for _, by, own in self._layout.each:
            before, after = getattr(state, by), getattr(later, by)
            if after is not None and (before is None or after >= before):
                setattr(state, by, after)
                setattr(state, own, getattr(later, own))
        for _, own, is_least in self._layout.extremes:
            before, after = getattr(state, own), getattr(later, own)
            if after is not None and (before is None or (after < before) is is_least):
                setattr(state, own, after)

    def _is_left(self, state: Any) -> bool:
        self._tally.superseded += state.n - 1
        if self._present:
            value = self._present(state.record)
            if value is ABSENT or value is None or value is False:
                self._tally.removed += 1
                return False
        if self._bounds and not self._bounds[0] <= state.at <= self._bounds[1]:
            self._tally.outside += 1
            return False
        self._tally.exported += 1
        return True

    def _finished(self, state: Any) -> Any:
        """The record with what others have to say of it, and without what is not exported."""
        record = state.record
        for name, _, own in self._layout.each:
            setattr(record, name, getattr(state, own))
        for name, own, _ in self._layout.extremes:
            if (value := getattr(state, own)) is not None:
                outer, _, inner = name.rpartition(".")
                holder = getattr(record, attribute(outer)) if outer else record
                is_time = not outer and self._type.field(name).kind is FieldKind.TIME
                setattr(holder, attribute(inner), times.text_of(value) if is_time else value)
        for name in self._hidden:
            setattr(record, name, msgspec.UNSET)
        return record


def pair_reader(export_type: ExportType) -> Callable[[Any], tuple[str, msgspec.Raw]]:
    """What gives key and value (JSON) of a record of shape Latest."""
    shape = export_type.shape
    assert isinstance(shape, Latest)
    return attrgetter(attribute(shape.key), attribute(shape.value))
