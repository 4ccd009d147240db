"""Parquet files of checked records, one a day, row group by row group, in memory that does not grow.

A row group is a fixed number of rows (or of bytes, where rows are long), so that the bytes of a file depend
on its rows only. It is written when its rows are there; rows of days that have few of them wait, in memory
and then in temporary files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mobexport.records.columns import Checked
from mobexport.records.limits import Limits

GROUP_ROWS: Final = 65_536
GROUP_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class ParquetFile:
    """One written file."""

    date: date
    """Day of its partition (UTC); of a snapshot, the snapshot's day."""
    path: Path
    rows: int
    bytes: int
    sha256: str


@dataclass
class _Day:
    """A day's rows that wait for their row group, and its file."""

    held: list[pa.RecordBatch] = field(default_factory=list)
    spilled: list[tuple[int, int]] = field(default_factory=list)
    """(temporary file, batch) of rows that came before those held."""
    rows: int = 0
    bytes: int = 0
    """Of all rows that wait."""
    file: _Appended | None = None
    writer: pq.ParquetWriter | None = None
    written: int = 0


class ParquetDays:
    """Writes `{out_dir}/{label}=YYYY-MM-DD/{stem}-{n}.parquet`, n by day from 0."""

    def __init__(
        self, schema: pa.Schema, *, label: str, stem: str, out_dir: Path, workdir: Path, limits: Limits
    ) -> None:
        self._schema = schema
        self._label = label
        self._stem = stem
        self._out_dir = out_dir
        self._workdir = workdir
        self._limits = limits
        self._days: dict[date, _Day] = {}
        self._parts: list[pa.ipc.RecordBatchFileReader] = []
        self._in_memory = self._on_disk = 0
        self._pending: list[Checked] = []
        self._pending_rows = self._pending_bytes = 0

    def add(self, checked: Checked) -> None:
        """Takes rows. Raises DataError (`TooLarge`) beyond the limits."""
        self._pending.append(checked)
        self._pending_rows += len(checked.batch)
        self._pending_bytes += checked.batch.nbytes
        if self._pending_rows >= GROUP_ROWS or self._pending_bytes >= GROUP_BYTES:
            self._sort_out()

    def _sort_out(self) -> None:
        """Gives pending rows to their days."""
        if not self._pending_rows:
            return
        rows = pa.concat_batches([checked.batch for checked in self._pending])
        days = pa.concat_arrays([checked.days for checked in self._pending])
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        ends = pc.min_max(days)
        if ends["min"].as_py() == ends["max"].as_py():
            self._take(ends["min"].as_py(), rows)
        else:
            order = pc.sort_indices(days)
            rows = rows.take(order)
            runs = pc.run_end_encode(days.take(order))
            start = 0
            for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
                self._take(day, rows.slice(start, end - start))
                start = end
        if self._in_memory > self._limits.memory_bytes:
            self._spill()

    def _take(self, day: date, batch: pa.RecordBatch) -> None:
        own = self._days.setdefault(day, _Day())
        own.held.append(batch)
        own.rows += len(batch)
        size = batch.nbytes
        own.bytes += size
        self._in_memory += size
        if own.rows >= GROUP_ROWS or own.bytes >= GROUP_BYTES:
            self._write_groups(day, own, is_last=False)

    def _write_groups(self, day: date, own: _Day, *, is_last: bool) -> None:
        """Writes the row groups that are complete; the last one may have fewer rows."""
        rest = pa.Table.from_batches([*self._read_back(own), *own.held], schema=self._schema)
        self._in_memory -= sum(batch.nbytes for batch in own.held)
        while (cut := _cut(rest)) or (is_last and len(rest)):
            group = rest.slice(0, cut or len(rest)).combine_chunks()
            rest = rest.slice(len(group))
            if own.writer is None:
                folder = self._out_dir / f"{self._label}={day}"
                folder.mkdir(parents=True, exist_ok=True)
                own.file = _Appended(folder / f"{self._stem}.part")
                own.writer = pq.ParquetWriter(own.file, self._schema, compression="zstd")
            own.writer.write_table(group, row_group_size=len(group))
            own.written += len(group)
        own.held = rest.combine_chunks().to_batches() if len(rest) else []
        own.spilled = []
        own.rows, own.bytes = len(rest), sum(batch.nbytes for batch in own.held)
        self._in_memory += own.bytes

    def _read_back(self, own: _Day) -> Iterator[pa.RecordBatch]:
        for part, number in own.spilled:
            yield self._parts[part].get_batch(number)

    def _spill(self) -> None:
        """Writes all rows that wait in memory to a temporary file."""
        path = self._workdir / f"rows-{len(self._parts)}"
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        number = 0
        with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, self._schema, options=options) as file:
            for own in self._days.values():
                for batch in own.held:
                    file.write_batch(batch)
                    own.spilled.append((len(self._parts), number))
                    number += 1
                own.held = []
        self._parts.append(pa.ipc.open_file(pa.OSFile(str(path))))
        self._in_memory = 0
        self._on_disk += path.stat().st_size
        self._limits.check_disk(self._on_disk, "rows")

    def finish(self) -> Iterator[ParquetFile]:
        """The files by day, each when it is whole."""
        self._sort_out()
        for n, day in enumerate(sorted(self._days)):
            own = self._days[day]
            self._write_groups(day, own, is_last=True)
            assert own.writer is not None
            assert own.file is not None
            own.writer.close()
            own.file.flush()
            part = self._out_dir / f"{self._label}={day}" / f"{self._stem}.part"
            path = part.rename(part.with_name(f"{self._stem}-{n}.parquet"))
            with path.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            yield ParquetFile(day, path, own.written, path.stat().st_size, digest)


class _Appended:
    """A file that is open only while something is written: there may be thousands of days."""

    closed = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.write_bytes(b"")
        self._pending: list[bytes] = []
        self._size = self._written = 0

    def write(self, data: bytes) -> int:
        """Appends."""
        self._pending.append(bytes(data))
        self._size += len(data)
        if self._size - self._written >= 1024 * 1024:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Writes what is pending."""
        with self._path.open("ab") as out:
            out.writelines(self._pending)
        self._pending, self._written = [], self._size

    def tell(self) -> int:
        return self._size

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        self.flush()


def _cut(table: pa.Table) -> int:
    """How many of the rows make a row group; 0 if they are too few."""
    rows = min(len(table), GROUP_ROWS)
    if table.nbytes > GROUP_BYTES:
        sizes = pc.cumulative_sum(_sizes(table.slice(0, rows)))
        over = pc.index_in(pa.scalar(True), pc.greater_equal(sizes, GROUP_BYTES)).as_py()
        if over is not None:
            return int(over) + 1
    return rows if rows == GROUP_ROWS else 0


def _sizes(table: pa.Table) -> pa.ChunkedArray:
    """Bytes of each row's strings, about."""
    total = None
    for column in table.columns:
        if pa.types.is_string(column.type):
            size = pc.fill_null(pc.binary_length(column), 0).cast(pa.int64())
            total = size if total is None else pc.add(total, size)
    return pc.add(total, 64)
