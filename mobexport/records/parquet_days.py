"""Write checked records to Parquet files, one a day, row group by row group, in memory that does not grow.

A row group is a fixed number of rows (or of bytes, where rows are long), so that the bytes of a file depend
on its rows only. It is written when its rows are there; rows of days that have few of them wait, in memory
and then in temporary files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mobexport.records.columns import Checked
from mobexport.records.limits import Limits

GROUP_ROWS: Final = 65_536
GROUP_BYTES: Final = 16 * 1024 * 1024
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 998_000)  # noqa: DTZ001 - compared without a zone
MAX_BOUND: Final = 64
"""Characters of the longest text that is kept as a bound of a column."""


@dataclass(frozen=True)
class ParquetFile:
    """One written file."""

    date: date
    """Day of its partition (UTC); of a snapshot, the snapshot's day."""
    path: Path
    rows: int
    bytes: int
    sha256: str
    stats: Mapping[str, Any]
    """Statistics of ids and times by the Delta protocol: `minValues`, `maxValues`, `nullCount`."""


@dataclass
class _Day:
    """A day's rows that wait for their row group, and its file."""

    held: list[pa.RecordBatch] = field(default_factory=list)
    spilled: list[tuple[int, int]] = field(default_factory=list)
    """(temporary file, batch) of rows that came before those held."""
    rows: int = 0
    bytes: int = 0
    """Of all rows that wait."""
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

    def finish(self) -> Iterator[ParquetFile]:
        """The files by day, each when it is whole."""
        self._sort_out()
        for n, day in enumerate(sorted(self._days)):
            own = self._days[day]
            self._write_groups(day, own, is_last=True)
            assert own.writer is not None
            own.writer.close()
            path = self._part(day).rename(self._part(day).with_name(f"{self._stem}-{n}.parquet"))
            with path.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            yield ParquetFile(
                day, path, own.written, path.stat().st_size, digest, statistics_of(pq.read_metadata(path))
            )

    def _part(self, day: date) -> Path:
        """Where the file of a day is written."""
        return self._out_dir / f"{self._label}={day}" / f"{self._stem}.part"

    def _sort_out(self) -> None:
        """Gives pending rows to their days."""
        if not self._pending_rows:
            return
        rows = pa.concat_batches([checked.batch for checked in self._pending])
        days = pa.concat_arrays([checked.days for checked in self._pending])
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        if pc.count_distinct(days).as_py() > 1:
            order = pc.sort_indices(days)
            rows, days = rows.take(order), days.take(order)
        runs = pc.run_end_encode(days)
        start = 0
        for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            own = self._days.setdefault(day, _Day())
            own.held.append(rows.slice(start, end - start))
            own.rows += end - start
            size = own.held[-1].nbytes
            own.bytes += size
            self._in_memory += size
            start = end
            if own.rows >= GROUP_ROWS or own.bytes >= GROUP_BYTES:
                self._write_groups(day, own, is_last=False)
        if self._in_memory > self._limits.memory_bytes:
            self._spill()

    def _write_groups(self, day: date, own: _Day, *, is_last: bool) -> None:
        """Writes the row groups that are complete; the last one may have fewer rows."""
        back = [self._parts[part].get_batch(number) for part, number in own.spilled]
        rest = pa.Table.from_batches([*back, *own.held], schema=self._schema)
        self._in_memory -= sum(batch.nbytes for batch in own.held)
        while (rows := _cut(rest)) or (is_last and (rows := len(rest))):
            if own.writer is None:
                self._part(day).parent.mkdir(parents=True, exist_ok=True)
                own.writer = pq.ParquetWriter(self._part(day), self._schema, compression="zstd")
            own.writer.write_table(rest.slice(0, rows).combine_chunks(), row_group_size=rows)
            own.written += rows
            rest = rest.slice(rows)
        own.held = rest.combine_chunks().to_batches() if len(rest) else []
        own.spilled = []
        own.rows, own.bytes = len(rest), sum(batch.nbytes for batch in own.held)
        self._in_memory += own.bytes

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


def statistics_of(footer: pq.FileMetaData) -> dict[str, Any]:
    """Bounds and nulls of the columns that readers look for records by, from a file's footer.

    Times are in milliseconds there: the greatest one is rounded up, so that no reader skips its record.
    """
    found: dict[str, dict[str, Any]] = {"minValues": {}, "maxValues": {}, "nullCount": {}}
    for column in footer.schema.to_arrow_schema():
        at = next((n for n in range(footer.num_columns) if footer.schema.column(n).path == column.name), None)
        if at is None or not (pa.types.is_timestamp(column.type) or column.name.endswith("Id")):
            continue
        chunks = [footer.row_group(group).column(at).statistics for group in range(footer.num_row_groups)]
        if any(chunk is None or chunk.null_count is None for chunk in chunks):
            continue
        found["nullCount"][column.name] = sum(chunk.null_count for chunk in chunks)
        known = [chunk for chunk in chunks if chunk.has_min_max]
        if not known:
            continue
        least, most = min(chunk.min for chunk in known), max(chunk.max for chunk in known)
        if isinstance(least, datetime):
            found["minValues"][column.name] = _milliseconds(least)
            if most.replace(tzinfo=None) <= _LAST:
                found["maxValues"][column.name] = _milliseconds(most + timedelta(microseconds=999))
        elif not isinstance(least, str) or max(len(least), len(most)) <= MAX_BOUND:
            found["minValues"][column.name], found["maxValues"][column.name] = least, most
    return found


def _milliseconds(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(table: pa.Table) -> int:
    """How many of the rows make a row group; 0 if they are too few."""
    rows = min(len(table), GROUP_ROWS)
    if table.nbytes > GROUP_BYTES:
        texts = [column for column in table.slice(0, rows).columns if pa.types.is_string(column.type)]
        sizes = [pc.fill_null(pc.binary_length(column), 0).cast(pa.int64()) for column in texts]
        total = pc.cumulative_sum(reduce(pc.add, sizes, 64))
        over = pc.index_in(pa.scalar(True), pc.greater_equal(total, GROUP_BYTES)).as_py()
        if over is not None:
            return int(over) + 1
    return rows if rows == GROUP_ROWS else 0
