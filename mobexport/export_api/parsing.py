"""The query that makes records of raw lines: tokens, faults, instants, and the pieces of their text.

Lines are taken apart by DuckDB where that is exact, which the query proves for each of them (`plain`): all
that is written anew could only become shorter (strings lose escapes, objects lose what has no declaration),
numbers and nested JSON are found in the line as they were written, and all lengths together give the line's.
Every other line is read by `exact_lines`, as tokens that come here by the table `exact`.
"""

# ruff: noqa: S608 - the names in these queries are checked where types are declared

from __future__ import annotations

from collections.abc import Callable, Sequence

from mobexport.duck import literal
from mobexport.export_api import pieces
from mobexport.export_api.selection import ExportFormat, Selection
from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.record_sql import first_of

_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_USUAL = rf'"[1-9]\d{{3}}-\d\d-\d\dT{_CLOCK}:[0-5]\d\.\d{{3}}Z"'
_TIME = rf"\d{{4}}-\d{{2}}-\d{{2}}[Tt]{_CLOCK}:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-]{_CLOCK})"
_INTEGER = r"0|-?[1-9]\d{0,17}"


def names(export_type: ExportType) -> list[str]:
    """Names of all tokens that are read: fields, then members of those that are objects."""
    inner = [leaf.name for field in export_type.fields if field.members for leaf in field.leaves()]
    return [*(field.name for field in export_type.fields), *inner]


def kept_columns(export_type: ExportType, output: ExportFormat) -> dict[str, str]:
    """Columns of the table `kept` and their types: places, group, what merging needs, the pieces."""
    columns = {"part": "INTEGER", "line": "BIGINT", "bucket": "UTINYINT", "instant": "TIMESTAMP"}
    columns |= dict.fromkeys(pieces.group_columns(export_type), "VARCHAR")
    if merge := export_type.merge:
        columns['"by"'] = "TIMESTAMP"
        columns["present"] = "BOOLEAN"
        columns |= {f'"w_{name}"': "VARCHAR" for name in merge.identity if name not in export_type.group}
    for n, piece in enumerate(pieces.pieces(export_type, output)):
        kind = "VARCHAR"
        if piece.is_value:
            kind = "TIMESTAMP" if piece.leaves[0].kind is FieldKind.TIME else "BIGINT"
        columns[f"p{n}"] = kind
    return columns


def plain_tokens(export_type: ExportType, extra: Sequence[str], source: str) -> str:
    """A query over `source` (`part`, `line`, `text`): `t_{name}`, `plain`, and `more`.

    `extra`: names of unknown fields that may be there (`name`, or `object.name`); `more` has bit n for the
    n-th. A line with other unknown fields is not plain.
    """
    known = names(export_type)
    paths = ", ".join(literal(f"$.{name}") for name in [*known, *extra])
    raw = {name: f"j[{n}]::VARCHAR" for n, name in enumerate([*known, *extra], start=1)}
    columns = ", ".join(f'{token} AS "j_{name}"' for name, token in raw.items())
    tokens = ", ".join(f'nullif("j_{name}", \'null\') AS "t_{name}"' for name in known)
    bits = [f'(("j_{name}" IS NOT NULL)::BIGINT << {n})' for n, name in enumerate(extra)]
    return f"""
SELECT part, line, text, NULL::VARCHAR AS original, {tokens}, {" + ".join(bits) or "0::BIGINT"} AS more,
    coalesce({_plain(export_type, extra)}, false) AS plain
FROM (SELECT part, line, text, j IS NOT NULL AS valid, {columns} FROM (
    SELECT part, line, text, CASE WHEN json_valid(text) THEN json_extract(text, [{paths}]) END AS j
    FROM {source} WHERE text IS NOT NULL
))"""


def exact_tokens(export_type: ExportType) -> str:
    """The same columns from the table `exact`, whose strings may be written in any way."""
    by_name = {leaf.name: leaf for field in export_type.fields for leaf in (field, *field.leaves())}
    tokens = []
    for name in names(export_type):
        token = f"nullif(\"t_{name}\", 'null')"
        if not by_name[name].is_raw_json:
            token = f"CASE WHEN ascii({token}) = 34 THEN json({token})::VARCHAR ELSE {token} END"
        tokens.append(f'{token} AS "t_{name}"')
    return (
        f"SELECT part, line, NULL::VARCHAR AS text, original, {', '.join(tokens)}, 0::BIGINT AS more,"
        " true AS plain FROM exact"
    )


def parsed(export_type: ExportType, output: ExportFormat, selection: Selection, tokens: str) -> str:
    """A query over `tokens`: the columns of `kept`, and `plain`, `fault`, `outside`, `more`, `original`.

    `bucket` is null for all that is not kept. `original` is there for lines that are not plain or have a
    fault.
    """
    leaves = export_type.leaves
    times = [leaf.name for leaf in leaves if leaf.kind is FieldKind.TIME]
    usual = "".join(f', regexp_full_match("t_{name}", \'{_USUAL}\') AS "u_{name}"' for name in times)
    instants = "".join(f', {_instant(name)} AS "i_{name}"' for name in times)
    values = "".join(
        f', {_value(field)} AS "v_{field.name}"'
        for field in leaves
        if field.name in export_type.group or field.choices
    )
    in_range = ", ".join(
        f'CASE WHEN year("i_{name}") BETWEEN 1 AND 9999 THEN "i_{name}" END AS "i_{name}"' for name in times
    )
    in_range = f" REPLACE ({in_range})" if times else ""
    instant = f'"i_{export_type.time}"'
    inside = f"coalesce({selection.among(export_type)}, false)"
    if not windowed_late(export_type):
        inside += f" AND {selection.in_window(instant)}"
    kept = {
        "part": "part",
        "line": "line",
        "bucket": f"CASE WHEN plain AND fault IS NULL AND {inside}"
        f" THEN (md5_number_upper({pieces.group_key(export_type)}) % 256)::UTINYINT END",
        "instant": instant,
        **{column: column for column in pieces.group_columns(export_type)},
    }
    if merge := export_type.merge:
        kept['"by"'] = f'"i_{merge.by}"'
        kept["present"] = _present(export_type)
        kept |= {f'"w_{name}"': f'"t_{name}"' for name in merge.identity if name not in export_type.group}
    for n, piece in enumerate(pieces.pieces(export_type, output)):
        kept[f"p{n}"] = pieces.kept(piece, output, export_type)
    columns = ", ".join(f"{expression} AS {name}" for name, expression in kept.items())
    return f"""
SELECT {columns}, plain, fault, plain AND fault IS NULL AND NOT ({inside}) AS outside, more,
    CASE WHEN fault IS NOT NULL THEN coalesce(original, text) WHEN NOT plain THEN text END AS original
FROM (SELECT *,
    CASE WHEN NOT plain OR ({_good(export_type)}) THEN NULL ELSE {_fault(export_type)} END AS fault
FROM (SELECT *{in_range} FROM (SELECT *{instants}{values} FROM (SELECT *{usual} FROM ({tokens})))))"""


def windowed_late(export_type: ExportType) -> bool:
    """Whether the window is for what merging left, not for raw records."""
    return bool(export_type.merge) and export_type.historical


def _plain(export_type: ExportType, extra: Sequence[str]) -> str:
    """Whether all tokens are what stands in the line, and nothing else is there."""
    clean = [_clean(leaf) for leaf in export_type.leaves]
    clean += [
        f"(\"j_{name}\" IS NULL OR ascii(\"j_{name}\") = 34 OR \"j_{name}\" IN ('true', 'false', 'null')"
        f" OR regexp_full_match(\"j_{name}\", '{_INTEGER}'))"
        for name in extra
    ]
    raw = [leaf.name for leaf in export_type.leaves if leaf.is_raw_json]
    direct, spaced = [], []
    for container in (None, *(field.name for field in export_type.fields if field.members)):
        prefix = f"{container}." if container else ""
        own = export_type.fields if container is None else export_type.field(container).members
        members = [prefix + field.name for field in own]
        members += [name for name in extra if name.rpartition(".")[0] == (container or "")]
        whole = f'"j_{container}"' if container else "text"
        equal, loose = (
            f"{_length(members, prefix, free)} = strlen({free(whole)})" for free in (str, _without_spaces)
        )
        if container:
            absent = f"{whole} IS NULL OR {whole} IN ('null', '{{}}') OR "
            clean.append(f"({absent}ascii({whole}) = 123)")
            equal, loose = f"({absent}{equal})", f"({absent}{loose})"
        direct.append(equal)
        spaced.append(loose)
    for name in raw:
        token = f'"j_{name}"'
        last = name.rpartition(".")[2]
        label = literal(f'"{last}":')
        direct.append(f"({token} IS NULL OR contains(text, {label} || {token}))")
        loose = f"contains({_without_spaces('text')}, {label} || {_without_spaces(token)})"
        spaced.append(f"({token} IS NULL OR {loose})")
    return (
        f"valid AND {' AND '.join(clean)} AND CASE WHEN {' AND '.join(direct)} THEN true"
        f" ELSE contains(text, ' ') AND {' AND '.join(spaced)} END"
    )


def _length(members: Sequence[str], prefix: str, free: Callable[[str], str]) -> str:
    """How long an object of those members is: quotes, colon and comma each, and one bracket more."""
    parts = []
    for name in members:
        around = len(name.removeprefix(prefix).encode()) + 4
        token = f'"j_{name}"'
        parts.append(f"coalesce(strlen({free(token)}) + {around}, 0)")
    return " + ".join(["1", *parts])


def _without_spaces(expression: str) -> str:
    return f"replace({expression}, ' ', '')"


def _clean(leaf: Field) -> str:
    """Whether a token could only have become shorter when it was written anew."""
    token = f'"j_{leaf.name}"'
    absent = f"{token} IS NULL OR {token} = 'null'"
    match leaf.kind:
        case FieldKind.OBJECT | FieldKind.JSON:
            return f"({absent} OR NOT (contains({token}, 'NaN') OR contains({token}, 'Infinity')))"
        case FieldKind.INTEGER:
            return f"({absent} OR regexp_full_match({token}, '{_INTEGER}'))"
        case FieldKind.BOOLEAN:
            return f"({absent} OR {token} IN ('true', 'false'))"
        case _:
            return f"({absent} OR ascii({token}) = 34)"


def _good(export_type: ExportType) -> str:
    """Whether a record has no fault: cheap, for nearly all of them."""
    return " AND ".join(
        f"({token} IS NULL OR {_well(leaf)})" if not leaf.required else _well(leaf)
        for leaf in _judged(export_type)
        for token in [f'"t_{leaf.name}"']
    )


def _judged(export_type: ExportType) -> list[Field]:
    """Fields, each followed by its members."""
    found: list[Field] = []
    for field in export_type.fields:
        found.append(field)
        if field.members:
            found += field.leaves()
    return found


def _well(leaf: Field) -> str:
    token = f'"t_{leaf.name}"'
    match leaf.kind:
        case FieldKind.OBJECT:
            return f"ascii({token}) = 123"
        case FieldKind.JSON:
            return f"{token} IS NOT NULL"
        case FieldKind.INTEGER:
            return f"regexp_full_match({token}, '{_INTEGER}')"
        case FieldKind.BOOLEAN:
            return f"{token} IN ('true', 'false')"
        case FieldKind.TIME:
            return f'"i_{leaf.name}" IS NOT NULL'
        case _:
            conditions = [f"ascii({token}) = 34"]
            if leaf.required:
                # Neither empty nor begun by a space or an escape: then it cannot be blank.
                conditions.append(f"ascii(substring({token}, 2, 1)) NOT IN (32, 34, 92)")
            if leaf.choices:
                conditions.append(_chosen(leaf))
            return " AND ".join(conditions)


def _fault(export_type: ExportType) -> str:
    """The first reason why a record cannot be used, as `rule:field`, else null."""
    found: list[tuple[str, str]] = []
    for leaf in _judged(export_type):
        token, name = f'"t_{leaf.name}"', leaf.name
        if leaf.required:
            found.append((f"{token} IS NULL", f"missing:{name}"))
        match leaf.kind:
            case FieldKind.OBJECT:
                found.append((f"ascii({token}) <> 123", f"wrong-type:{name}"))
            case FieldKind.INTEGER:
                found.append((f"NOT regexp_full_match({token}, '{_INTEGER}')", f"wrong-type:{name}"))
            case FieldKind.BOOLEAN:
                found.append((f"{token} NOT IN ('true', 'false')", f"wrong-type:{name}"))
            case FieldKind.ID | FieldKind.TEXT | FieldKind.TIME:
                found.append((f"ascii({token}) <> 34", f"wrong-type:{name}"))
                if leaf.required:
                    value = pieces.string_value(token)
                    found.append((f"regexp_full_match({value}, '[ \\t\\r\\n]*')", f"blank:{name}"))
                if leaf.kind is FieldKind.TIME:
                    found.append((f'{token} IS NOT NULL AND "i_{name}" IS NULL', f"bad-time:{name}"))
                if leaf.choices:
                    found.append((f"NOT ({_chosen(leaf)})", f"unknown-value:{name}"))
    return first_of(found)


def _chosen(leaf: Field) -> str:
    return f'"v_{leaf.name}" IN ({", ".join(map(literal, leaf.choices))})'


def _value(leaf: Field) -> str:
    token = f'"t_{leaf.name}"'
    return token if leaf.kind is FieldKind.INTEGER else pieces.string_value(token)


def _present(export_type: ExportType) -> str:
    name = export_type.merge.present if export_type.merge else None
    if name is None:
        return "true"
    if export_type.field(name).kind is FieldKind.BOOLEAN:
        return f"coalesce(\"t_{name}\" = 'true', false)"
    return f'"t_{name}" IS NOT NULL'


def _instant(name: str) -> str:
    """A time's token as TIMESTAMP in UTC, to the microsecond, further digits cut off.

    Null where it is no RFC 3339 time with an offset, or none of the years 1 to 9999 of UTC. Leap seconds are
    not told apart from faults: no clock of a phone shows them, and no later step could hold them.
    """
    token = f'"t_{name}"'
    text = f"({pieces.string_value(token)})"
    fraction = f"rpad(left(regexp_extract({text}, '\\.(\\d+)', 1), 6), 6, '0')"
    local = f"try_cast(left({text}, 10) || ' ' || substring({text}, 12, 8) || '.' || {fraction} AS TIMESTAMP)"
    minutes = f"(left(right({text}, 5), 2)::INTEGER * 60 + right({text}, 2)::INTEGER)"
    offset = (
        f"CASE WHEN upper(right({text}, 1)) = 'Z' THEN 0"
        f" WHEN left(right({text}, 6), 1) = '-' THEN -{minutes} ELSE {minutes} END"
    )
    other = f"CASE WHEN regexp_full_match({text}, '{_TIME}') THEN {local} - to_minutes({offset}) END"
    return f'CASE WHEN "u_{name}" THEN try_cast(substring({token}, 2, 24) AS TIMESTAMP) ELSE {other} END'
