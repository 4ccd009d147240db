"""The queries of an export, made from the declaration of its type.

Tables: `line` (the lines of one block), `flat` (those that are JSON), `parsed` (what they say), and over
all blocks `kept` (records that may be exported), `reject`.
"""

# ruff: noqa: S608 - the names in these queries are checked where types are declared

from __future__ import annotations

from datetime import date

from mobexport import record_sql
from mobexport.duck import literal
from mobexport.export_types.model import ExportType, Latest

TABLES = (
    "CREATE TEMP TABLE flat (file INTEGER, line BIGINT, text VARCHAR, protected BOOLEAN, original VARCHAR)",
    """CREATE TABLE kept (hash VARCHAR, group_key VARCHAR, head VARCHAR, instant TIMESTAMP, file INTEGER,
    line BIGINT, entry VARCHAR, body VARCHAR)""",
    "CREATE TABLE reject (file INTEGER, line BIGINT, fault VARCHAR, original VARCHAR)",
)
REJECT_TYPES = ("INTEGER", "BIGINT", "VARCHAR", "VARCHAR")
FLAT_TYPES = ("INTEGER", "BIGINT", "VARCHAR", "BOOLEAN", "VARCHAR")

DOUBTFUL = "SELECT file, line, rtrim(text, chr(13)) FROM line WHERE NOT plain ORDER BY file, line"
FLATTEN = "INSERT INTO flat SELECT file, line, text, false, NULL FROM line WHERE plain"

LENGTHEN = "UPDATE kept SET body = replace(body, ?, ?) WHERE file = ? AND line = ?"
"""Puts a long text where its stand-in is: stand-in, text, file, line."""

KEEP = """
INSERT INTO kept SELECT hash, group_key, head, instant, file, line, entry, body FROM parsed
WHERE fault IS NULL AND inside
"""
REJECT = "INSERT INTO reject SELECT file, line, fault, original FROM parsed WHERE fault IS NOT NULL"
OUTSIDE = "SELECT count(*) FROM parsed WHERE fault IS NULL AND NOT inside"
NAMES = """
SELECT name, count(*) FROM (
    SELECT unnest(list_distinct(names)) AS name FROM parsed WHERE fault IS NULL AND names IS NOT NULL
) GROUP BY name
"""
REJECTS = "SELECT file, line, fault, original FROM reject ORDER BY file, line"
_ORDER = "hash, group_key, head, instant, file, line"


def split(export_type: ExportType, parts: int) -> str:
    """Makes `line` from the parts of a block, given as parameters: file, first line, text of each."""
    known = [field.name for field in export_type.fields]
    lines = record_sql.plain(record_sql.numbered(parts), carry="source AS file, number AS line", known=known)
    return f"CREATE OR REPLACE TEMP TABLE line AS {lines}"


def parse(export_type: ExportType, window: tuple[date, date] | None) -> str:
    """Makes `parsed` from `flat`: one row a line, with its fault or what is written of it."""
    fields = export_type.fields
    required = [field for field in fields if field.required]
    faults = [
        ("json_type(text) <> 'OBJECT'", "not-an-object"),
        *record_sql.faults(fields, required),
    ]
    instant = f'"instant_{export_type.time}"'
    inside = "true"
    if window:
        inside = f"{instant}::DATE BETWEEN DATE '{window[0]}' AND DATE '{window[1]}'"
    known = " + ".join(f'("token_{field.name}" IS NOT NULL)::INTEGER' for field in fields)
    key = " || chr(31) || ".join(f"coalesce(\"value_{name}\", '')" for name in export_type.group)
    source = record_sql.values(
        fields,
        record_sql.tokens(fields, "flat", carry="file, line, text, original, json_keys(text) AS names"),
    )
    return f"""
CREATE OR REPLACE TEMP TABLE parsed AS
SELECT file, line, fault,
    CASE WHEN fault IS NOT NULL THEN coalesce(original, rtrim(text, chr(13))) END AS original,
    {inside} AS inside, md5(group_key) AS hash, group_key, {_head(export_type)} AS head,
    {instant} AS instant, {_entry(export_type)} AS entry, {_body(export_type)} AS body,
    CASE WHEN len(names) > {known} THEN names END AS names
FROM (SELECT *, {record_sql.first_of(faults)} AS fault, {key} AS group_key FROM ({source}))
"""


def ordered(export_type: ExportType) -> str:
    """What is exported, in its order: (beginning of the element, record)."""
    if isinstance(export_type.shape, Latest):
        return f"SELECT head, body FROM ({_AGED}) WHERE age = 1 AND body IS NOT NULL ORDER BY {_ORDER}"
    return f"SELECT head, body FROM kept ORDER BY {_ORDER}"


def superseded(export_type: ExportType) -> str:
    """Two counts: kept records that a later one of their group and key replaces; that remove their key."""
    if isinstance(export_type.shape, Latest):
        counts = "count(*) FILTER (age > 1), count(*) FILTER (age = 1 AND body IS NULL)"
        return f"SELECT {counts} FROM ({_AGED})"
    return "SELECT 0, 0"


def brackets(export_type: ExportType) -> str:
    """What closes an element."""
    return "}}" if isinstance(export_type.shape, Latest) else "]}"


_AGED = """
SELECT *, row_number() OVER (
    PARTITION BY head, entry ORDER BY instant DESC, file DESC, line DESC
) AS age FROM kept
"""


def _head(export_type: ExportType) -> str:
    opening = "{" if isinstance(export_type.shape, Latest) else "["
    pairs = [_pair(field.name, f'"token_{field.name}"') for field in export_type.group_fields]
    inner = literal(f'"{export_type.inner}":{opening}')
    return f"'{{' || concat_ws(',', {', '.join(pairs)}, {inner})"


def _entry(export_type: ExportType) -> str:
    shape = export_type.shape
    return f'"value_{shape.key}"' if isinstance(shape, Latest) else "NULL::VARCHAR"


def _body(export_type: ExportType) -> str:
    shape = export_type.shape
    if isinstance(shape, Latest):
        return f'"token_{shape.key}" || \':\' || "token_{shape.value}"'
    pairs = []
    for field in export_type.record_fields:
        is_time = field.name == export_type.time
        pairs.append(_pair(field.name, record_sql.time_text(field) if is_time else f'"token_{field.name}"'))
    return f"'{{' || concat_ws(',', {', '.join(pairs)}) || '}}'"


def _pair(name: str, token: str) -> str:
    """`"name":token`, or null where the token is: `concat_ws` then leaves it out."""
    return literal(f'"{name}":') + f" || ({token})"
