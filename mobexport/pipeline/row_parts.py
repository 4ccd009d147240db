"""Rows of one conversion on their way to Parquet, in memory that does not grow with the file.

The table `row_` is written out as a part each time that enough was put in; at the end the parts become one
file a day. Parts are Parquet too: a tenth to a third of the export file's size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from mobexport.duck import DuckLimits
from mobexport.errors import DataError
from mobexport.export_types.model import ExportType
from mobexport.pipeline import conversion_queries as queries

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PART_BYTES = 32 * 1024 * 1024
PART_ROWS = 250_000


@dataclass(frozen=True)
class ParquetFile:
    """One written file."""

    date: date
    """Day of its partition (UTC); of a snapshot, the snapshot's day."""
    path: Path
    rows: int
    bytes: int
    sha256: str


class RowParts:
    """The parts of one conversion, below a folder of its own."""

    def __init__(
        self, connection: DuckDBPyConnection, export_type: ExportType, workdir: Path, limits: DuckLimits
    ) -> None:
        self._connection = connection
        self._type = export_type
        self._folder = workdir / "parts"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._limit = limits.temp_mb * 1_000_000
        self._paths: list[str] = []
        self._written = 0
        self._new_table()

    def added(self, rows: int, size: int) -> None:
        """Says that `row_` got so many rows, of so many bytes of JSON. Raises DataError (`TooLarge`)."""
        self._rows += rows
        self._bytes += size
        if self._rows and (self._bytes >= PART_BYTES or self._rows >= PART_ROWS):
            self._flush()

    def write_days(self, app: str, stem: str, out_dir: Path) -> Iterator[ParquetFile]:
        """By day, `{out_dir}/date=YYYY-MM-DD/{stem}-{n}.parquet` (snapshots: `snapshot=…`), n from 0."""
        if self._rows:
            self._flush()
        if not self._paths:
            return
        label = "date" if self._type.historical else "snapshot"
        for n, (day, rows) in enumerate(self._connection.execute(queries.days(self._paths)).fetchall()):
            path = out_dir / f"{label}={day}" / f"{stem}-{n}.parquet"
            path.parent.mkdir(exist_ok=True)
            self._connection.execute(queries.copy_day(self._type, app, day, self._paths, str(path)))
            with path.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            yield ParquetFile(day, path, rows, path.stat().st_size, digest)

    def _flush(self) -> None:
        path = self._folder / f"{len(self._paths)}.parquet"
        self._connection.execute(queries.copy_part(str(path)))
        self._new_table()
        self._paths.append(str(path))
        self._written += path.stat().st_size
        if self._written > self._limit:
            raise DataError(
                f"the rows do not fit into {self._limit // 1_000_000} MB of temporary disk:"
                " raise DUCKDB_TEMP_MB, or ask for fewer days",
                code="TooLarge",
            )

    def _new_table(self) -> None:
        self._rows = self._bytes = 0
        self._connection.execute(queries.row_table(self._type))
