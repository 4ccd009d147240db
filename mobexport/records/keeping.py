"""What is kept of raw records until they are written: selected, and one state for all that are merged.

Rows and states are kept in memory, and spilled when it is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from operator import attrgetter
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mobexport.export_types.model import Collected, ExportType, Merge
from mobexport.records import times
from mobexport.records.arrow import numbers
from mobexport.records.groups import key_of
from mobexport.records.raw_records import Rows
from mobexport.records.sorting import Sorter, SpillFile
from mobexport.records.structs import attribute, raw_struct

States = tuple[bytes, list[Any]]
"""A group's key, and the states of its identities; several of one identity in the order of their records."""
Bounds = tuple[int, int] | None
_NEVER: Final = -(1 << 62)
_CHUNK = 4096
_STATE_BYTES = 500

_encode_lines = msgspec.json.Encoder().encode_lines


def keeper(
    export_type: ExportType, bounds: Bounds, only: Mapping[str, Sequence[Any]], spill: SpillFile
) -> Keeper:
    """What keeps the records of a type.

    `bounds`: of the time, microseconds since 1970, both included. `only`: for fields of the group, the values
    that are selected.
    """
    if isinstance(export_type.shape, Collected):
        return _Collecting(export_type, bounds, only, spill)
    if export_type.merge:
        return _Merging(export_type, bounds, only, spill, export_type.merge)
    return Keeper(export_type, bounds, only, spill)


@dataclass(frozen=True)
class StateLayout:
    """The struct of a state, and what it holds besides the kept record."""

    struct: Any
    """Of a type that merges: `n` records, `by` what they are ordered, `at` and `place` the kept `record` is,
    then `each` and `extremes`. Of one that collects: `n`, and `first`: instant and place by value."""
    each: tuple[tuple[str, str, str], ...] = ()
    """(attribute of a record, what orders it, the value) of objects that are the last one's that has them."""
    extremes: tuple[tuple[str, str, bool], ...] = ()
    """(field, its value, whether the least counts) of least and greatest values."""

    @classmethod
    def of(cls, export_type: ExportType) -> StateLayout:
        """The layout for a type whose records are merged or collected."""
        merge = export_type.merge
        if merge is None:
            first: Any = msgspec.field(default_factory=dict)
            members: list[Any] = [("n", int, 0), ("first", dict[str, tuple[int, int]], first)]
            return cls(msgspec.defstruct("State", members, array_like=True, gc=False))
        record: Any = raw_struct(export_type, {}, closed=False)
        kinds: dict[str, Any] = {one.name: one.type for one in msgspec.structs.fields(record)}
        each = tuple((attribute(name), f"by_{n}", f"each_{n}") for n, name in enumerate(merge.each))
        chosen = [(name, True) for name in merge.least] + [(name, False) for name in merge.greatest]
        extremes = tuple((name, f"extreme_{n}", least) for n, (name, least) in enumerate(chosen))
        members = [("n", int, 0), ("by", int | None, None), ("at", int, 0), ("place", int, 0)]
        members.append(("record", record | None, None))
        for name, by, own in each:
            members += [(by, int | None, None), (own, kinds[name], None)]
        members += [(own, int | None, None) for _, own, _ in extremes]
        return cls(msgspec.defstruct("State", members, array_like=True, gc=False), each, extremes)


def is_merged(export_type: ExportType) -> bool:
    """Whether its records are kept as states."""
    return bool(export_type.merge) or isinstance(export_type.shape, Collected)


class Keeper:
    """Keeps records that all count, each a row of its group."""

    def __init__(
        self, export_type: ExportType, bounds: Bounds, only: Mapping[str, Sequence[Any]], spill: SpillFile
    ) -> None:
        self._type = export_type
        self._bounds = bounds
        self._only = [(attrgetter(attribute(name)), frozenset(values)) for name, values in only.items()]
        self._group = attrgetter(*map(attribute, export_type.group))
        self._is_single = len(export_type.group) == 1
        self._sorter = Sorter(spill, _key_of_value if self._is_single else _key_of_json)
        self.outside = 0
        """Records that were not selected."""

    def add(self, rows: Rows, part: int) -> None:  # noqa: ARG002 - rows keep the order in which they come
        """Takes the usable records of a part; parts come in their order."""
        records, at, _ = self._selected(rows)
        if not records:
            return
        groups = list(map(self._group, records))
        for name in map(attribute, self._type.group):
            deque(map(setattr, records, repeat(name), repeat(msgspec.UNSET)), maxlen=0)
        self._sorter.add(self._texts(groups), at, _encode_lines(records))

    def _texts(self, groups: list[Any]) -> list[str]:
        """Texts that tell groups apart: the one value, or several as JSON."""
        if self._is_single:
            return groups
        return _encode_lines(groups).decode().split("\n")[:-1]

    def spill(self) -> None:
        """Writes all that is in memory to the spill file."""
        self._sorter.spill()

    def rows(self) -> Iterator[Any]:
        """All that was kept, sorted: batches of rows, or states. Nothing may be added after that."""
        return self._sorter.batches()

    def _selected(self, rows: Rows) -> tuple[list[Any], pa.Array, Sequence[int]]:
        """Records, their instants and lines, without those that are not selected."""
        records, lines = rows.records, rows.lines
        at = rows.instants[self._type.time].cast(pa.int64())
        mask = times.within(at, self._bounds)
        if mask is None and not self._only:
            return records, at, lines
        good = [True] * len(records) if mask is None else mask.to_pylist()
        for value, allowed in self._only:
            good = [
                is_good and value(record) in allowed for is_good, record in zip(good, records, strict=True)
            ]
        if all(good):
            return records, at, lines
        kept = list(compress(records, good))
        self.outside += len(records) - len(kept)
        return kept, at.filter(pa.array(good)), list(compress(lines, good))


class _WithStates(Keeper):
    """Keeps states in memory."""

    def spill(self) -> None:
        found = list(self._take().items())
        for start in range(0, len(found), _CHUNK):
            chunk = found[start : start + _CHUNK]
            groups = [group for group, states in chunk for _ in states]
            texts = _encode_lines([state for _, states in chunk for state in states])
            self._sorter.add(self._texts(groups), pa.array([0] * len(groups), pa.int64()), texts)
        self._sorter.spill()

    def rows(self) -> Iterator[States]:
        if self._sorter.is_empty:
            by_group = self._take()
            keys = {key_of([group] if self._is_single else list(group)): group for group in by_group}
            return ((key, by_group[keys[key]]) for key in sorted(keys))
        self.spill()
        return states_of(self._type, self._sorter.batches())

    def _take(self) -> dict[Any, list[Any]]:
        """All states by group; none is left."""
        raise NotImplementedError


class _Merging(_WithStates):
    """Makes one state of the records of each identity."""

    def __init__(
        self,
        export_type: ExportType,
        bounds: Bounds,
        only: Mapping[str, Sequence[Any]],
        spill: SpillFile,
        merge: Merge,
    ) -> None:
        super().__init__(export_type, None if export_type.historical else bounds, only, spill)
        self._spill_bytes = spill.limits.memory_bytes
        self._merge = merge
        self._layout = StateLayout.of(export_type)
        self._identity = attrgetter(*map(attribute, merge.identity))
        self._states: dict[Hashable, Any] = {}
        self._seen = self._seen_bytes = 0

    def add(self, rows: Rows, part: int) -> None:
        records, at, lines = self._selected(rows)
        if not records:
            return
        orders = instants = numbers(at)
        if self._merge.by != self._type.time:
            orders = numbers(rows.instants[self._merge.by].cast(pa.int64()).fill_null(_NEVER))
        known, new = self._states, self._layout.struct
        states = []
        for identity in map(self._identity, records):
            state = known.get(identity)
            if state is None:
                state = known[identity] = new()
            states.append(state)
        first = part << 40
        is_first = self._merge.keep == "first"
        # One aspect after the other: a block's states are in the processor's caches.
        for state, order, instant, line, record in zip(states, orders, instants, lines, records, strict=True):
            state.n += 1
            before = state.by
            if before is None or (order < before if is_first else order >= before):
                state.by, state.at, state.place, state.record = order, instant, first + line, record
        for name, by, own in self._layout.each:
            values = list(map(attrgetter(name), records))
            if any(values):
                befores = map(attrgetter(by), states)
                for state, order, before, value in zip(states, orders, befores, values, strict=True):
                    if value is not None and (before is None or order >= before):
                        setattr(state, by, order)
                        setattr(state, own, value)
        for name, own, is_least in self._layout.extremes:
            values = self._values(name, rows, records)
            for state, before, number in zip(states, map(attrgetter(own), states), values, strict=True):
                if number is not None and (before is None or (number < before) is is_least):
                    setattr(state, own, number)
        self._seen += len(rows.records)
        self._seen_bytes += rows.size
        if len(known) * (_STATE_BYTES + 2 * self._seen_bytes // self._seen) > self._spill_bytes:
            self.spill()

    def _values(self, name: str, rows: Rows, records: list[Any]) -> list[int | None]:
        """Of each record a whole number: the value, or a time as microseconds since 1970."""
        outer, _, inner = name.rpartition(".")
        if outer:
            own, holder = attribute(inner), attrgetter(attribute(outer))
            return [None if held is None else getattr(held, own) for held in map(holder, records)]
        if name in rows.instants:
            found: list[int | None] = rows.instants[name].cast(pa.int64()).to_pylist()
            return found
        return list(map(attrgetter(attribute(name)), records))

    def _take(self) -> dict[Any, list[Any]]:
        found: dict[Any, list[Any]] = {}
        for state in self._states.values():
            for name, _, _ in self._layout.each:
                setattr(state.record, name, None)  # they stand beside it
            found.setdefault(self._group(state.record), []).append(state)
        self._states.clear()
        return found


class _Collecting(_WithStates):
    """Makes one state of the records of each group."""

    def __init__(
        self, export_type: ExportType, bounds: Bounds, only: Mapping[str, Sequence[Any]], spill: SpillFile
    ) -> None:
        super().__init__(export_type, bounds, only, spill)
        assert isinstance(export_type.shape, Collected)
        self._value = attrgetter(attribute(export_type.shape.field))
        self._spill_states = spill.limits.memory_bytes // _STATE_BYTES
        self._new = StateLayout.of(export_type).struct
        self._states: dict[Hashable, Any] = {}

    def add(self, rows: Rows, part: int) -> None:
        records, at, lines = self._selected(rows)
        first = part << 40
        known = self._states
        for group, value, instant, line in zip(
            map(self._group, records), map(self._value, records), numbers(at), lines, strict=True
        ):
            state = known.get(group)
            if state is None:
                state = known[group] = self._new()
            state.n += 1
            place = (instant, first + line)
            if value not in state.first or place < state.first[value]:
                state.first[value] = place
        if len(known) > self._spill_states:
            self.spill()

    def _take(self) -> dict[Any, list[Any]]:
        found = {group: [state] for group, state in self._states.items()}
        self._states.clear()
        return found


def _key_of_value(text: str) -> bytes:
    return key_of([text])


def _key_of_json(text: str) -> bytes:
    return key_of(msgspec.json.decode(text))


def states_of(export_type: ExportType, batches: Iterator[pa.RecordBatch]) -> Iterator[States]:
    """The states that sorted rows say, group by group."""
    decode = msgspec.json.Decoder(list[StateLayout.of(export_type).struct]).decode  # type: ignore[misc]
    key = b""
    parts: list[bytes] = []
    for found, text, _ in slices(batches):
        if found != key and parts:
            yield key, decode(b"[%b]" % b"".join(parts)[:-1])
            parts = []
        key = found
        parts.append(text)
    if parts:
        yield key, decode(b"[%b]" % b"".join(parts)[:-1])


def slices(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[bytes, bytes, int]]:
    """(key, texts, rows) of consecutive rows of one group; each text ends with a comma.

    A group may come in several slices.
    """
    for batch in batches:
        runs = pc.run_end_encode(batch["key"])
        texts = batch["text"]
        ends = memoryview(texts.buffers()[1]).cast("i")
        data = memoryview(texts.buffers()[2])
        row = 0
        for key, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            first, last = ends[texts.offset + row], ends[texts.offset + end]
            yield key, bytes(data[first:last]), end - row
            row = end
