"""Look at a table: its size and days, its columns, its first rows, its history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake import Field as TableField
from deltalake.schema import StructType

from mobexport.clock import stamp
from mobexport.tables.schema import type_name

_DAYS: Final = ("partition.date", "partition.snapshot")


@dataclass(frozen=True)
class Summary:
    """A table's newest version."""

    table: str
    """`{app}/{type}`."""
    rows: int
    files: int
    bytes: int
    first_day: str | None
    """UTC; None of a table without rows."""
    last_day: str | None
    version: int


@dataclass(frozen=True)
class Column:
    """A column, or a member of one under a dotted name."""

    name: str
    type: str
    nullable: bool
    comment: str


@dataclass(frozen=True)
class Change:
    """One version of a table."""

    version: int
    time: str
    """RFC 3339, UTC."""
    operation: str
    """As the Delta log has it: `CREATE TABLE`, `WRITE`, `ADD COLUMN`, …"""
    export_id: str | None
    """None if no export made it."""
    attempt: int | None
    days: str | None
    """Days that the export replaced, as ranges: `2025-03-01..2025-03-07,2025-03-09`."""
    rows: int | None
    """Rows that it added."""
    manifest: str | None
    """Path in `curated`."""


def summarise(folder: str, table: DeltaTable) -> Summary:
    """Numbers of the newest version, from its log alone."""
    adds = pa.table(table.get_add_actions(flatten=True))
    days = next((adds[name] for name in _DAYS if name in adds.column_names), pa.chunked_array([[]]))
    bounds = pc.min_max(days).as_py() if len(days) else {"min": None, "max": None}
    return Summary(
        table=folder,
        rows=_sum(adds, "num_records"),
        files=len(adds),
        bytes=_sum(adds, "size_bytes"),
        first_day=None if bounds["min"] is None else str(bounds["min"]),
        last_day=None if bounds["max"] is None else str(bounds["max"]),
        version=table.version(),
    )


def columns_of(table: DeltaTable) -> list[Column]:
    """Columns in their order, each object followed by its members."""
    return list(_columns("", table.schema().fields))


def first_rows(table: DeltaTable, count: int) -> list[dict[str, Any]]:
    """The first rows of the first files; days and instants as text, in UTC."""
    rows = table.to_pyarrow_dataset().head(count).to_pylist()
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def changes(table: DeltaTable, limit: int) -> list[Change]:
    """The newest versions, newest first; as far back as the log is kept."""
    return [_change(commit) for commit in table.history(limit)]


def _sum(adds: pa.Table, name: str) -> int:
    return int(pc.sum(adds[name]).as_py() or 0) if name in adds.column_names else 0


def _columns(prefix: str, fields: Sequence[TableField]) -> Iterator[Column]:
    for field in fields:
        is_object = isinstance(field.type, StructType)
        kind = "struct" if is_object else type_name(field.type)
        comment = str((field.metadata or {}).get("comment", ""))
        yield Column(prefix + field.name, kind, field.nullable, comment)
        if isinstance(field.type, StructType):
            yield from _columns(f"{prefix}{field.name}.", field.type.fields)


def _change(commit: dict[str, Any]) -> Change:
    rows, attempt = commit.get("rows"), commit.get("attempt")
    return Change(
        version=commit["version"],
        time=stamp(datetime.fromtimestamp(commit["timestamp"] / 1000, UTC)),
        operation=str(commit.get("operation", "")),
        export_id=commit.get("exportId"),
        attempt=None if attempt is None else int(attempt),
        days=commit.get("days"),
        rows=None if rows is None else int(rows),
        manifest=commit.get("manifest") or None,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
