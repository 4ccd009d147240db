"""Parquet files for commits to tables: a few rows that say which file they came from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from delta_log import CURATED, rows_of

from mobexport.records.columns import schema_of
from mobexport.storage import DataStorage
from mobexport.tables.commit import TableCommit


def with_rows(storage: DataStorage, commit: TableCommit, rows: int = 1) -> TableCommit:
    """The commit with its files in place: so many rows each, whose texts are the file's name."""
    files, schema = [], schema_of(commit.export_type)
    for number, file in enumerate(commit.files):
        day = datetime(file.day.year, file.day.month, file.day.day, 10, tzinfo=UTC)
        name = file.path.rpartition("/")[2]
        found = []
        for row in range(rows):
            at = day + timedelta(minutes=number, seconds=row, microseconds=1)
            value = {field.name: _value(field.type, name, at) for field in schema}
            value |= {"deviceId": f"d{number:02}", "extras": "{}"}
            found.append(value | ({"campaignType": commit.campaign_type} if commit.campaign_type else {}))
        data = BytesIO()
        pq.write_table(pa.Table.from_pylist(found, schema=schema), data)
        storage.container(CURATED).upload_blob(file.path, data.getvalue(), overwrite=True)
        files.append(replace(file, rows=rows, bytes=len(data.getvalue())))
    return replace(commit, files=files)


def _value(kind: pa.DataType, text: str, at: datetime) -> Any:
    if pa.types.is_struct(kind):
        return {kind.field(n).name: _value(kind.field(n).type, text, at) for n in range(kind.num_fields)}
    if pa.types.is_timestamp(kind):
        return at
    if pa.types.is_boolean(kind):
        return True
    return text if pa.types.is_string(kind) else at.second


def names_of(storage: DataStorage, folder: str, day: str) -> list[str]:
    """Names of the files whose rows a day has; of a row that is there twice, twice."""
    found = rows_of(storage.container(CURATED), folder, "SELECT name FROM files", day)
    return sorted(name for (name,) in found)
