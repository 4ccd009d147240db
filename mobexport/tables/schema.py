"""The schema of a table, from the declaration of its export type."""

from __future__ import annotations

from collections.abc import Iterator

from deltalake import Field as TableField
from deltalake import Schema
from deltalake.schema import PrimitiveType, StructType

from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.records.structs import file_fields
from mobexport.tables.commit import day_column

_PRIMITIVES = {
    FieldKind.ID: "string",
    FieldKind.TEXT: "string",
    FieldKind.TIME: "timestamp",
    FieldKind.INTEGER: "long",
    FieldKind.BOOLEAN: "boolean",
    FieldKind.OBJECT: "string",
    FieldKind.JSON: "string",
}


def partition_columns(export_type: ExportType) -> list[str]:
    """The day; for exports by campaign its type as well, since each type replaces its own days."""
    by_campaign = any(field.name == "campaignType" for field in file_fields(export_type))
    return [day_column(export_type), *(["campaignType"] if by_campaign else [])]


def table_schema(export_type: ExportType) -> Schema:
    """Columns in the order of the Parquet files, then the day. All but `app` and the day may be null: what is
    required of a record is checked when it is converted, and a later version may ask for less."""
    return Schema(list(_columns(export_type)))


def _columns(export_type: ExportType) -> Iterator[TableField]:
    yield TableField("app", PrimitiveType("string"), nullable=False, metadata={"comment": "name of the app"})
    for field in file_fields(export_type):
        yield _column(field)
    comment = "UTC day of the record's time" if export_type.historical else "UTC day of the snapshot"
    yield TableField(
        day_column(export_type), PrimitiveType("date"), nullable=False, metadata={"comment": comment}
    )


def _column(field: Field) -> TableField:
    metadata = {"comment": field.help} if field.help else None
    if field.members:
        members = StructType([_column(member) for member in field.members])
        return TableField(field.name, members, nullable=True, metadata=metadata)
    return TableField(field.name, PrimitiveType(_PRIMITIVES[field.kind]), nullable=True, metadata=metadata)
