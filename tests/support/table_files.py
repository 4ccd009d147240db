"""Parquet files for commits to tables: a few rows that say which file they came from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
from delta_log import CURATED, rows_of

from mobexport.records.columns import schema_of
from mobexport.storage import DataStorage
from mobexport.tables.commit import TableCommit


def with_rows(storage: DataStorage, commit: TableCommit, rows: int = 1) -> TableCommit:
    """The commit with its files in place: so many rows each, whose `name` is the file's."""
    files = []
    for number, file in enumerate(commit.files):
        at = datetime(file.day.year, file.day.month, file.day.day, 10, tzinfo=UTC)
        table = pa.Table.from_pylist(
            [
                {
                    "app": commit.app,
                    "deviceId": f"d{number:02}",
                    "name": file.path.rpartition("/")[2],
                    "timestamp": at + timedelta(minutes=number, seconds=row, microseconds=1),
                    "extras": "{}",
                }
                for row in range(rows)
            ],
            schema=schema_of(commit.export_type),
        )
        data = BytesIO()
        pq.write_table(table, data)
        storage.container(CURATED).upload_blob(file.path, data.getvalue(), overwrite=True)
        files.append(replace(file, rows=rows, bytes=len(data.getvalue())))
    return replace(commit, files=files)


def names_of(storage: DataStorage, folder: str, day: str) -> list[str]:
    """Names of the files whose rows a day has; of a row that is there twice, twice."""
    found = rows_of(storage.container(CURATED), folder, "SELECT name FROM files", day)
    return sorted(name for (name,) in found)
