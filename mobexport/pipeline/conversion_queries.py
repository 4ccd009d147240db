"""The queries of a conversion, made from the declaration of the export type.

Tables, all of one block: `element`, `record` (their innermost records as flat objects, the group's fields in
front), `checked` (their faults and values), `reject`. `row_` gathers the rows of several blocks, until they
are written as a part.
"""

# ruff: noqa: S608 - the names in these queries are checked where types are declared

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from mobexport import record_sql
from mobexport.duck import literal
from mobexport.export_types.model import Collected, ExportType, Field, FieldKind, Grouped, Latest

RECORD_TYPES = ("BIGINT", "BIGINT", "VARCHAR", "VARCHAR", "BOOLEAN", "VARCHAR", "VARCHAR")
REJECT_TYPES = ("BIGINT", "BIGINT", "VARCHAR", "VARCHAR")
_SQL_TYPES = {FieldKind.TIME: "TIMESTAMP", FieldKind.INTEGER: "BIGINT", FieldKind.BOOLEAN: "BOOLEAN"}
_PART_ROWS = 16_384

DOUBTFUL = "SELECT number, first_record, text FROM element WHERE NOT plain ORDER BY number, first_record"
REJECT = "INSERT INTO reject SELECT element, record, fault, original FROM checked WHERE fault IS NOT NULL"
REJECTS = "SELECT element, record, fault, original FROM reject ORDER BY element, record"


def block_tables() -> list[str]:
    """What each block begins with."""
    return [
        """CREATE OR REPLACE TEMP TABLE record (element BIGINT, record BIGINT, head VARCHAR, body VARCHAR,
        protected BOOLEAN, original VARCHAR, fault VARCHAR)""",
        """CREATE OR REPLACE TEMP TABLE reject (element BIGINT, record BIGINT, fault VARCHAR,
        original VARCHAR)""",
    ]


def row_table(export_type: ExportType) -> str:
    """What each part begins with."""
    columns = ", ".join(f'"{field.name}" {_sql_type(field)}' for field in export_type.columns)
    return f"CREATE OR REPLACE TEMP TABLE row_ (element BIGINT, record BIGINT, day DATE, {columns})"


def split(export_type: ExportType, parts: int) -> str:
    """Makes `element` from the parts of a block, given as parameters: first record, first number, text."""
    match export_type.shape:
        case Grouped(nested):
            known, unique = [*export_type.group, nested], "$"
        case Latest(into=into):
            known, unique = [], f"$.{into}"
        case _:
            known, unique = sorted(top_names(export_type)), "$"
    lines = record_sql.plain(
        record_sql.numbered(parts), carry="number, source AS first_record", known=known, unique=unique
    )
    return f"CREATE OR REPLACE TEMP TABLE element AS {lines}"


def top_names(export_type: ExportType) -> set[str]:
    """Names of what is read of a record that is an element, objects with members by their own name."""
    return {column.name.partition(".")[0] for column in export_type.columns}


def explode(export_type: ExportType) -> list[str]:
    """Fill `record` from plain elements; one that has no list (or map) of records is one record at fault."""
    shape = export_type.shape
    if not isinstance(shape, Grouped | Latest):
        return [
            """INSERT INTO record SELECT number, first_record, NULL, text, false, NULL, NULL
FROM element WHERE plain"""
        ]
    inner, kind = f"$.{export_type.inner}", "ARRAY" if isinstance(shape, Grouped) else "OBJECT"
    pairs = [
        literal(f'"{field.name}":') + f" || coalesce(json_extract(text, '$.{field.name}')::VARCHAR, 'null')"
        for field in export_type.group_fields
    ]
    head = f"concat_ws(',', {', '.join(pairs)})"
    usable = f"plain AND coalesce(json_type(text, '{inner}') = '{kind}', false)"
    if isinstance(shape, Grouped):
        # The head is taken out before the list is unnested: once an element, not once a record.
        records = f"""
SELECT number, first_record, head, unnest(bodies)::VARCHAR AS body, generate_subscripts(bodies, 1) AS place
FROM (
    SELECT number, first_record, {head} AS head, json_extract(text, '{inner}[*]') AS bodies
    FROM element WHERE {usable}
)"""
    else:
        records = f"""
SELECT number, first_record, {head} AS head,
    '{{"{shape.key}":' || to_json(pair.key) || ',"{shape.value}":' || pair.value || '}}' AS body,
    row_number() OVER (PARTITION BY number ORDER BY pair.id) AS place
FROM element, json_each(text, '{inner}') pair WHERE {usable}"""
    fault = record_sql.first_of(
        [
            ("json_type(text) <> 'OBJECT'", "not-an-object"),
            (f"coalesce(json_type(text, '{inner}'), 'NULL') = 'NULL'", f"missing:{export_type.inner}"),
            ("true", f"wrong-type:{export_type.inner}"),
        ]
    )
    return [
        f"""INSERT INTO record
SELECT number, first_record + place - 1, head, body, false, NULL, NULL FROM ({records})""",
        f"""INSERT INTO record SELECT number, first_record, NULL, NULL, false, text, {fault}
FROM element WHERE plain AND NOT ({usable})""",
    ]


def check(export_type: ExportType, window: tuple[date, date] | None, *, strict: bool) -> str:
    """Makes `checked` from `record`: per record its fault, its values, and which of the `notes` are true."""
    columns = export_type.columns
    required = [field for field in columns if field.required and field.published]
    outer = [field for field in export_type.fields if field.members]
    faults = [
        ("given IS NOT NULL", ""),
        ("coalesce(NOT starts_with(body, '{'), true)", "not-an-object"),
        *record_sql.faults([*outer, *columns], required),
        *_list_faults(export_type),
    ]
    instant = f'"instant_{export_type.time}"'
    if export_type.historical and window:
        faults.append(
            (
                f"NOT {instant}::DATE BETWEEN DATE '{window[0]}' AND DATE '{window[1]}'",
                f"outside-window:{export_type.time}",
            )
        )
    if strict:
        faults += notes(export_type)
    # The group's fields come first, and of two members with one name the first counts here.
    flat = """(
    SELECT element, record, protected, original, body, fault AS given, CASE
        WHEN coalesce(NOT starts_with(body, '{'), true) THEN '{}'
        WHEN head IS NULL THEN body
        WHEN body = '{}' THEN '{' || head || '}'
        ELSE '{' || head || ',' || body[2:] END AS text
    FROM record
)"""
    passed = [f"({condition}) AS note_{n}" for n, (condition, _) in enumerate(notes(export_type))]
    carry = "element, record, original, body, given"
    source = record_sql.values(columns, record_sql.tokens([*outer, *columns], flat, carry=carry))
    return f"""
CREATE OR REPLACE TEMP TABLE checked AS
SELECT element, record, fault, CASE WHEN fault IS NOT NULL THEN coalesce(original, body) END AS original,
    {", ".join([*map(_column, columns), *passed])}
FROM (SELECT *, coalesce(given, {record_sql.first_of(faults)}) AS fault FROM ({source}))
"""


def _list_faults(export_type: ExportType) -> list[tuple[str, str]]:
    """What a list of distinct values must not be."""
    if not isinstance(export_type.shape, Collected):
        return []
    item = export_type.field(export_type.shape.field)
    token = f'"token_{item.name}"'
    items = f"json_extract({token}, '$[*]')::VARCHAR[]"
    faults = [
        (f"NOT starts_with({token}, '[')", f"wrong-type:{item.name}"),
        (
            f"NOT list_bool_and([{record_sql.of_kind(item.kind, 'item')} FOR item IN {items}])",
            f"wrong-type:{item.name}",
        ),
        (f"list_unique({items}) <> len({items})", f"twice:{item.name}"),
    ]
    if item.choices:
        chosen = ", ".join(literal(f'"{choice}"') for choice in item.choices)
        faults.append((f"NOT list_has_all([{chosen}], {items})", f"unknown-value:{item.name}"))
    return faults


def notes(export_type: ExportType) -> list[tuple[str, str]]:
    """What the published schema asks for and real devices do not do: (condition, `rule:field`)."""
    missing = [
        (f'"token_{field.name}" IS NULL', f"missing:{field.name}")
        for field in export_type.columns
        if field.strict
    ]
    return missing + [
        (f"NOT regexp_matches(\"value_{field.name}\", '{record_sql.GUID}')", f"not-a-guid:{field.name}")
        for field in export_type.columns
        if field.kind is FieldKind.ID
    ]


def let_pass(export_type: ExportType) -> str:
    """One row: of how many records each of the `notes` is true that have no fault, and of how many in all."""
    counts = "".join(f"count(*) FILTER (note_{n}), " for n in range(len(notes(export_type))))
    return f"SELECT {counts} count(*) FROM checked WHERE fault IS NULL"


def lengthen(name: str) -> str:
    """Puts a long text where its stand-in is: text, element, record."""
    return f'UPDATE row_ SET "{name}" = ? WHERE element = ? AND record = ?'


def keep(export_type: ExportType, snapshot_day: date | None) -> str:
    """Appends the records without a fault to `row_`."""
    columns = ", ".join(f'"{field.name}"' for field in export_type.columns)
    day = f'"{export_type.time}"::DATE' if export_type.historical else f"DATE '{snapshot_day}'"
    return f"INSERT INTO row_ SELECT element, record, {day}, {columns} FROM checked WHERE fault IS NULL"


def copy_part(path: str) -> str:
    """Writes `row_`, sorted by day and by place, so that a day is a run of rows."""
    return (
        f"COPY (SELECT * FROM row_ ORDER BY day, element, record) TO {literal(path)}"
        f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_PART_ROWS})"
    )


def days(parts: Sequence[str]) -> str:
    """(day, rows) of all parts, by day."""
    return f"SELECT day, count(*) FROM {_parts(parts)} GROUP BY day ORDER BY day"


def copy_day(export_type: ExportType, app: str, day: date, parts: Sequence[str], path: str) -> str:
    """Writes one day's rows, in the order of the export file: the parts are in that order, and read so."""
    columns = ", ".join(_output(field) for field in export_type.columns)
    return (
        f"COPY (SELECT {literal(app)} AS app, {columns} FROM {_parts(parts)} WHERE day = DATE '{day}')"
        f" TO {literal(path)} (FORMAT parquet, COMPRESSION zstd)"
    )


def _parts(paths: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(map(literal, paths))}], hive_partitioning = false)"


def _sql_type(field: Field) -> str:
    return _SQL_TYPES.get(field.kind, "VARCHAR")


def _column(field: Field) -> str:
    token = f'"token_{field.name}"'
    match field.kind:
        case FieldKind.OBJECT | FieldKind.JSON:
            value = token
        case FieldKind.TIME:
            value = f'"instant_{field.name}"'
        case FieldKind.INTEGER | FieldKind.BOOLEAN:
            value = f"try_cast({token} AS {_sql_type(field)})"
        case _:
            value = f'"value_{field.name}"'
    return f'{value} AS "{field.name}"'


def _output(field: Field) -> str:
    if field.kind is FieldKind.TIME:
        return f'"{field.name}"::TIMESTAMPTZ AS "{field.name}"'
    return f'"{field.name}"'
