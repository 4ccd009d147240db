"""Rows of a raw Parquet file as the JSON lines that would say the same, so that one reader reads both.

A column holds what its field of a line would: JSON text in string columns of fields that pass through as
objects (`extras`), structs, lists and maps as JSON, timestamps as RFC 3339 in UTC. Null is absent, also in
structs, where it cannot be told from a member that only other rows have.
"""

# ruff: noqa: S608 - names are quoted

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobexport.duck import literal
from mobexport.errors import DataError
from mobexport.export_types.model import ExportType, FieldKind
from mobexport.json_text import quote

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NUMBERS = ("tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger",
            "ubigint", "uhugeint", "decimal")  # fmt: skip
_ROWS = 65_536
_TIMES = ("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone")


def rows_as_lines(
    connection: DuckDBPyConnection, path: Path, name: str, export_type: ExportType, rows: tuple[int, int]
) -> str:
    """A query of (`line`, `text`) for rows `first` up to before `end`, numbered from 1.

    `name` is what the file is called in errors. Raises DataError if it is no Parquet file.
    """
    import duckdb

    source = f"read_parquet({literal(str(path))}, file_row_number = true)"
    try:
        described = connection.execute(f"SELECT * FROM {source} LIMIT 0").description or []
    except duckdb.Error as error:
        raise bad_parquet(name, error) from None
    as_text = {field.name for field in export_type.fields if field.kind is FieldKind.OBJECT}
    pairs = []
    for column, kind, *_ in described:
        if column == "file_row_number":
            continue
        identifier = '"' + column.replace('"', '""') + '"'
        if str(kind).lower() in ("varchar", "json") and (column in as_text or str(kind).lower() == "json"):
            # What is no JSON by itself must not become part of the line's structure: it spoils the line.
            spoiled = f"'not JSON: ' || to_json({identifier})::VARCHAR"
            token = f"CASE WHEN json_valid({identifier}) THEN {identifier}::VARCHAR"
            token += f" WHEN trim({identifier}) <> '' THEN {spoiled} END"
        else:
            token = as_json(identifier, kind)
        pairs.append(f"{literal(quote(column) + ':')} || {token}")
    text = f"'{{' || concat_ws(',', {', '.join(pairs)}) || '}}'" if pairs else "'{}'"
    first, end = rows
    return (
        f"SELECT file_row_number + 1 AS line, {text} AS text FROM {source}"
        f" WHERE file_row_number >= {first} AND file_row_number < {end}"
    )


def row_ranges(connection: DuckDBPyConnection, path: Path, name: str) -> list[tuple[int, int]]:
    """Rows of a file in ranges that are read one by one: row groups, large ones in parts.

    Raises DataError if it is no Parquet file.
    """
    import duckdb

    query = (
        "SELECT row_group_id, any_value(row_group_num_rows) FROM"
        f" parquet_metadata({literal(str(path))}) GROUP BY row_group_id ORDER BY row_group_id"
    )
    try:
        groups = [int(rows) for _, rows in connection.execute(query).fetchall()]
    except duckdb.Error as error:
        raise bad_parquet(name, error) from None
    ranges = []
    start = 0
    for rows in groups:
        ranges += [(at, min(at + _ROWS, start + rows)) for at in range(start, start + rows, _ROWS)]
        start += rows
    return ranges


def bad_parquet(name: str, error: Exception) -> DataError:
    """What to say of a file that DuckDB cannot read."""
    reason = str(error).splitlines()[0][:200]
    return DataError(f"{name} cannot be read as Parquet ({reason}): replace it", code="BadParquet")


def as_json(value: str, kind: Any, depth: int = 0) -> str:
    """An SQL expression of a value's JSON text, null where it is null. `kind`: its DuckDBPyType."""
    found = str(kind.id)
    if found == "struct":
        members = []
        for name, inner in kind.children:
            at = f"struct_extract({value}, {literal(name)})"
            members.append(f"{literal(quote(name) + ':')} || {as_json(at, inner, depth)}")
        return _if_there(value, f"'{{' || concat_ws(',', {', '.join(members)}) || '}}'")
    if found in ("list", "array"):
        item = f"x{depth}"
        inner = as_json(item, kind.children[0][1], depth + 1)
        listed = f"list_transform({value}, lambda {item}: coalesce({inner}, 'null'))"
        return _if_there(value, f"'[' || array_to_string({listed}, ',') || ']'")
    if found == "map":
        item = f"x{depth}"
        (_, key), (_, held) = kind.children
        name = f"to_json({item}.key::VARCHAR)::VARCHAR"
        del key
        pair = f"{name} || ':' || coalesce({as_json(f'{item}.value', held, depth + 1)}, 'null')"
        listed = f"list_transform(map_entries({value}), lambda {item}: {pair})"
        return _if_there(value, f"'{{' || array_to_string({listed}, ',') || '}}'")
    if found in _TIMES:
        cast = f"{value}::TIMESTAMPTZ::TIMESTAMP" if found.endswith("zone") else f"{value}::TIMESTAMP"
        return f"'\"' || strftime({cast}, '%Y-%m-%dT%H:%M:%S.%fZ') || '\"'"
    if found == "boolean" or found in _NUMBERS:
        return f"{value}::VARCHAR"
    if found in ("float", "double"):
        return f"CASE WHEN isfinite({value}) THEN to_json({value})::VARCHAR END"
    if str(kind).lower() == "json":
        return f"{value}::VARCHAR"
    if found == "blob":
        return f"to_json(try(decode({value})))::VARCHAR"
    return f"to_json({value}::VARCHAR)::VARCHAR"


def _if_there(value: str, text: str) -> str:
    return f"CASE WHEN {value} IS NOT NULL THEN {text} END"
