"""The schema of a table, from the declaration of its export type, and its changes from version to version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deltalake import Field as TableField
from deltalake import Schema
from deltalake.schema import PrimitiveType, StructType

from mobexport.errors import DataError
from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.records.structs import file_fields, is_needed
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
    """Columns in the order of the Parquet files, then the day.

    Never null are `app` and the day, which are written with every row, and the fields that a record must
    have (`is_needed`): without one it is a reject, by lenient checks too, and was in every version. All
    others may be: what only strict checks ask for, what other servers do not send, objects and their members.
    A version that asks for less drops the mark (`Tables.commit`); a column that comes later has none, since
    older rows lack it.
    """
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
    kind: StructType | PrimitiveType = PrimitiveType(_PRIMITIVES[field.kind])
    if field.members:
        kind = StructType([_column(member) for member in field.members])
    return TableField(field.name, kind, nullable=not is_needed(field), metadata=metadata)


@dataclass(frozen=True)
class SchemaChange:
    """What a table needs before it can take files of this version."""

    added: tuple[TableField, ...]
    """Columns that are not there yet, or objects with all their members, some of them new. They may be null:
    older rows do not have them."""
    relaxed: tuple[str, ...]
    """Columns that were never null, and may be from now on."""


def schema_change(folder: str, there: Schema, wanted: Schema) -> SchemaChange:
    """The change from a table's schema to this version's.

    Columns that only the table has stay. Raises DataError (`ColumnChanged`) for a column of another type.
    """
    _check_types(folder, "", there.fields, wanted.fields)
    known = {one.name: one for one in there.fields}
    added = [
        TableField(one.name, one.type, nullable=True, metadata=one.metadata)
        for one in wanted.fields
        if one.name not in known or _gains(known[one.name].type, one.type)
    ]
    relaxed = [
        one.name
        for one in wanted.fields
        if one.name in known and one.nullable and not known[one.name].nullable
    ]
    return SchemaChange(tuple(added), tuple(relaxed))


def _check_types(folder: str, prefix: str, there: Sequence[TableField], wanted: Sequence[TableField]) -> None:
    known = {one.name: one.type for one in there}
    for one in wanted:
        before = known.get(one.name)
        if isinstance(before, StructType) and isinstance(one.type, StructType):
            _check_types(folder, f"{prefix}{one.name}.", before.fields, one.type.fields)
        elif before is not None and before != one.type:
            raise DataError(
                f"table {folder}: column {prefix + one.name!r} is {type_name(before)} there, and this version"
                f" writes {type_name(one.type)}; nothing was committed. Give the field another name in"
                " mobexport/export_types, or move the table's folder away and export its days again",
                code="ColumnChanged",
            )


def _gains(before: object, after: object) -> bool:
    if not (isinstance(before, StructType) and isinstance(after, StructType)):
        return False
    known = {one.name: one.type for one in before.fields}
    return any(one.name not in known or _gains(known[one.name], one.type) for one in after.fields)


def type_name(kind: object) -> str:
    """A column's type as people write it: `string`, `struct<a: long>`."""
    if isinstance(kind, PrimitiveType):
        return kind.type
    if isinstance(kind, StructType):
        return f"struct<{', '.join(f'{one.name}: {type_name(one.type)}' for one in kind.fields)}>"
    return str(kind)
