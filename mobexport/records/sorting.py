"""Sort records by group and instant, in memory that does not grow with them.

Rows are kept as one run of text, sorted, and written to a temporary file each time that memory is full; in
the end the runs are merged, a batch of each at a time. The order is that of the groups' keys, then of the
instants, then of arrival. Keys begin with a digest of 16 bytes; a bucket is a range of its first byte, so
that what one step has sorted can be taken up by several others (`SpillFile.index`).
"""

from __future__ import annotations

import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mobexport.records.arrow import split
from mobexport.records.limits import Limits

BATCH_BYTES: Final = 256 * 1024
_BATCH_ROWS = 8192
_MOST = 2**63 - 1
_ROOM = 128 * 1024 * 1024  # for what is added before it is looked at again; unused, it takes no memory
SCHEMA: Final = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("at", pa.int64(), nullable=False),
        pa.field("text", pa.binary(), nullable=False),
    ]
)

Place = tuple[int, int]
"""First byte and length in a file."""


@dataclass
class SpillFile:
    """A temporary file of sorted runs, each cut at the bounds of buckets; made when it is needed."""

    path: Path
    limits: Limits
    bounds: Sequence[int] = (256,)
    """For each bucket, the first byte of a digest from which on it has none."""
    index: dict[int, list[Place]] = field(default_factory=dict)
    """Where the runs of each bucket are, oldest first: Arrow streams."""
    _out: IO[bytes] | None = None

    def write(self, run: Sorted) -> None:
        """Appends a run. Raises DataError (`TooLarge`) beyond the limit."""
        if self._out is None:
            self._out = self.path.open("wb")
        # What goes to other steps goes over the network; a file that stays here is faster as it is.
        options = pa.ipc.IpcWriteOptions(compression="lz4" if len(self.bounds) > 1 else None)
        row = 0
        for bucket, bound in enumerate(self.bounds):
            end = run.rows_below(bound)
            if end > row:
                start = self._out.tell()
                with pa.ipc.new_stream(pa.PythonFile(self._out, "w"), SCHEMA, options=options) as stream:
                    for batch in run.batches(row, end):
                        stream.write_batch(batch)
                        self.limits.check_disk(self._out.tell(), "records")
                self.index.setdefault(bucket, []).append((start, self._out.tell() - start))
            row = end
        self._out.flush()

    def runs(self, bucket: int) -> list[Iterator[pa.RecordBatch]]:
        """The runs of a bucket, oldest first."""
        return [
            read_run(pa.OSFile(str(self.path)).get_stream(*place)) for place in self.index.get(bucket, ())
        ]

    def close(self) -> None:
        """Closes the file; it stays until its folder goes."""
        if self._out is not None:
            self._out.close()


class Sorter:
    """Takes rows, and gives them back sorted. `key_of` makes the key's bytes of the text of a group."""

    def __init__(self, spill: SpillFile, key_of: Callable[[str], bytes]) -> None:
        self._spill = spill
        self._limit = spill.limits.memory_bytes
        self._key_of = key_of
        # Taken once: growing and freeing tens of MiB again and again costs time, and leaves holes. Shared
        # memory, which is what a map is without being told, takes half as long again to be touched first.
        self._text = mmap.mmap(-1, self._limit + _ROOM, access=mmap.ACCESS_COPY)
        self._clear()

    def _clear(self) -> None:
        self._groups: list[pa.Array] = []
        self._at: list[pa.Array] = []
        self._sizes: list[pa.Array] = []
        self._size = 0
        """Bytes held in memory, about."""
        self._text.seek(0)

    def add(self, groups: Sequence[str], at: pa.Array, text: bytes) -> None:
        """Adds rows: the text of each one's group, its instant (INT64), and their texts, a line each."""
        self._groups.append(pa.array(groups, pa.string()))
        self._at.append(at)
        self._sizes.append(pc.binary_length(split(text, b"\n")).slice(0, len(groups)))
        # The line's end becomes the comma that stands between records in a list.
        self._text.write(text.replace(b"\n", b","))
        self._size += self._groups[-1].nbytes + len(text) + 24 * len(groups)
        if self._size >= self._limit:
            self.spill()

    def spill(self) -> None:
        """Writes all rows that are in memory."""
        if self._size:
            self._spill.write(self._sorted())
            self._clear()
            pa.default_memory_pool().release_unused()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, sorted, in batches; nothing may be added after the first."""
        runs = self._spill.runs(0)
        if not self._size:
            return merged(runs)
        held = self._sorted()
        own = held.batches(0, held.rows)
        return merged([*runs, own]) if runs else own

    def _sorted(self) -> Sorted:
        """The rows in their order, taken out piece by piece: only texts stay where they are."""
        groups = pc.dictionary_encode(pa.chunked_array(self._groups)).combine_chunks()
        self._groups = []
        keys = list(map(self._key_of, groups.dictionary.to_pylist()))
        ranks = pc.subtract(pc.rank(pa.array(keys, pa.binary())), 1).cast(pa.int32())
        by_rank = pc.take(ranks, groups.indices)
        keys.sort()
        at = pa.concat_arrays(self._at)
        del groups, self._at
        rows = in_order(by_rank, at)
        ranks, at = pc.take(by_rank, rows), pc.take(at, rows)
        del by_rank
        ends = pc.cumulative_sum(pc.add(pa.concat_arrays(self._sizes), 1).cast(pa.int32()))
        del self._sizes
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends]).buffers()[1]
        data = pa.py_buffer(memoryview(self._text)[: self._text.tell()])
        text = pa.Array.from_buffers(pa.binary(), len(ends), [None, offsets, data])
        return Sorted(keys, ranks, at, rows, text)


@dataclass(frozen=True)
class Sorted:
    """A sorted run in memory; texts are gathered batch by batch."""

    keys: list[bytes]
    """Distinct keys, ascending."""
    ranks: pa.Array
    """For each row, the place of its key."""
    at: pa.Array
    order: pa.Array
    """For each row, the place of its text."""
    text: pa.Array

    @property
    def rows(self) -> int:
        return len(self.ranks)

    def rows_below(self, bound: int) -> int:
        """How many rows have keys whose first byte is less than `bound`."""
        if bound > 255:
            return self.rows
        rank = bisect_left(self.keys, bytes([bound]))
        return bisect_left(memoryview(self.ranks.buffers()[1]).cast("i")[: self.rows], rank)

    def batches(self, row: int, end: int) -> Iterator[pa.RecordBatch]:
        """Rows from `row` up to before `end`, in batches of about 256 KiB."""
        average = max(len(self.text.buffers()[2]) // max(self.rows, 1), 1)
        step = max(min(BATCH_BYTES // average, _BATCH_ROWS), 1)
        keys = pa.array(self.keys, pa.binary())
        for at in range(row, end, step):
            length = min(step, end - at)
            texts = pc.take(self.text, self.order.slice(at, length))
            ranks = self.ranks.slice(at, length)
            yield pa.RecordBatch.from_arrays(
                [pc.take(keys, ranks), self.at.slice(at, length), texts], schema=SCHEMA
            )


class _Cursor:
    """A run, and how far it was taken."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._next()

    def _next(self) -> None:
        self.batch: pa.RecordBatch | None = next(self._batches, None)
        if self.batch is not None:
            self._keys, self._at = self.batch.column(0), self.batch.column(1)
            self.last = self._row(len(self.batch) - 1)
            """Key and instant of the last row of the batch."""
            self._from = 0

    def _row(self, place: int) -> tuple[bytes, int]:
        return self._keys[place].as_py(), self._at[place].as_py()

    def take(self, bound: tuple[bytes, int], *, inclusive: bool) -> pa.RecordBatch:
        """The rows of the batch below `bound`, or up to and with it."""
        assert self.batch is not None
        bisect = bisect_right if inclusive else bisect_left
        start, rows = self._from, len(self.batch)
        end = bisect(range(rows), bound, lo=start, key=self._row)
        taken = self.batch.slice(start, end - start)
        self._from = end
        if end == rows:
            self._next()
        return taken


def merged(runs: Sequence[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """The rows of sorted runs in one order; of equal ones, those of an earlier run first.

    Memory: a batch of each run. A group of any size passes batch by batch.
    """
    if len(runs) == 1:
        yield from runs[0]
        return
    cursors = [cursor for run in runs if (cursor := _Cursor(run)).batch is not None]
    while cursors:
        # Nothing can come before the least of the last rows, but rows equal to it in the same run.
        bound = min(cursor.last for cursor in cursors)
        holder = next(n for n, cursor in enumerate(cursors) if cursor.last == bound)
        found = [cursor.take(bound, inclusive=n <= holder) for n, cursor in enumerate(cursors)]
        parts = [part for part in found if len(part)]
        cursors = [cursor for cursor in cursors if cursor.batch is not None]
        if len(parts) == 1:
            yield parts[0]
            continue
        rows = pa.concat_batches(parts)
        keys = pc.dictionary_encode(rows["key"])
        yield rows.take(in_order(pc.take(pc.rank(keys.dictionary), keys.indices), rows["at"]))


def in_order(ranks: pa.Array, at: pa.Array) -> pa.Array:
    """The places of rows by rank, then by instant, then by place."""
    least, greatest = pc.min_max(at).as_py().values()
    span = greatest - least + 1
    if pc.max(ranks).as_py() < _MOST // span:
        # Both keys in one number.
        both = pc.add(pc.multiply(ranks.cast(pa.int64()), span), pc.subtract(at, least))
        return pc.sort_indices(both).cast(pa.uint32())
    # The last key first: each sort is stable, and one over whole numbers is fast.
    first = pc.sort_indices(at).cast(pa.uint32())
    return pc.take(first, pc.sort_indices(pc.take(ranks, first)))


def read_run(source: Any) -> Iterator[pa.RecordBatch]:
    """The batches of a run that `SpillFile.write` wrote; `source`: a readable binary file."""
    with pa.ipc.open_stream(source) as stream:
        yield from stream
