"""The query that makes records of raw lines: tokens, faults, instants, and the pieces of their text.

Lines are taken apart by DuckDB where that is exact, which the query proves for each of them (`plain`): all
that is written anew could only become shorter (strings lose escapes, objects lose what has no declaration),
numbers and nested JSON are found in the line as they were written, and all lengths together give the line's.
Every other line is read by `exact_lines`, as tokens that come here by the table `exact`.
"""

# ruff: noqa: S608 - the names in these queries are checked where types are declared

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from mobexport.duck import literal
from mobexport.export_api import pieces
from mobexport.export_api.selection import ExportFormat, Selection
from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.json_text import quote
from mobexport.record_sql import first_of

_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
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


def typical_records(
    export_type: ExportType,
    output: ExportFormat,
    selection: Selection,
    extra: Sequence[str],
    source: str,
    *,
    absent: Collection[str] = (),
    guarded: bool,
) -> str:
    """A query over `source` (`part`, `line`, `text`) with the columns of `records`, for typical lines only.

    Other lines are not `plain` here, whatever they are: the general query must see them. `extra`: names of
    unknown fields that may be there (`name`, or `object.name`); `more` has bit n for the n-th. `absent`:
    names of tokens that no typical line has. Not `guarded`, the query is faster, and fails for a line that is
    no JSON.
    """
    usual = "".join(f', {_usual(name, "t")} AS "u_{name}"' for name in _times(export_type))
    instants = "".join(f', "u_{name}" AS "i_{name}"' for name in _times(export_type))
    values = "".join(f', {_typical_value(field)} AS "v_{field.name}"' for field in export_type.group_fields)
    tokens = f"""
SELECT *, NULL::VARCHAR AS fault{instants}{values},
    CASE WHEN NOT plain THEN text END AS original, {_more(extra, "t")} AS more
FROM (SELECT *, coalesce({_typical(export_type, extra)}, false) AS plain
FROM (SELECT *{usual} FROM ({_split(export_type, extra, source, "t", absent=absent, guarded=guarded)})))"""
    query = _records(export_type, output, selection, tokens)
    for name in absent:
        # A constant in place of the column, since most of what is said of it then folds away.
        query = query.replace(f'"t_{name}"', "NULL::VARCHAR")
    return query


def plain_tokens(export_type: ExportType, extra: Sequence[str], source: str) -> str:
    """A query over `source`: `t_{name}`, `u_{name}` of usual times, `plain` and `more`, for any lines.

    A line with unknown fields besides `extra` is not plain.
    """
    tokens = ", ".join(f'nullif("j_{name}", \'null\') AS "t_{name}"' for name in names(export_type))
    usual = "".join(f', {_usual(name, "j")} AS "u_{name}"' for name in _times(export_type))
    return f"""
SELECT part, line, text, NULL::VARCHAR AS original, {tokens}{usual}, {_more(extra, "j")} AS more,
    coalesce({_plain(export_type, extra)}, false) AS plain
FROM ({_split(export_type, extra, source, "j", guarded=True)})"""


def _split(
    export_type: ExportType,
    extra: Sequence[str],
    source: str,
    prefix: str,
    *,
    absent: Collection[str] = (),
    guarded: bool,
) -> str:
    """A query over `source` with a column for each JSON token, and whether the line is JSON: `valid`."""
    known = [*(name for name in names(export_type) if name not in absent), *extra]
    paths = ", ".join(literal(f"$.{name}") for name in known)
    columns = ", ".join(f'j[{n}]::VARCHAR AS "{prefix}_{name}"' for n, name in enumerate(known, start=1))
    taken = f"json_extract(text, [{paths}])"
    if guarded:
        taken = f"CASE WHEN json_valid(text) THEN {taken} END"
    return f"""
SELECT part, line, text, j IS NOT NULL AS valid, {columns}
FROM (SELECT part, line, text, {taken} AS j FROM {source} WHERE text IS NOT NULL)"""


def _more(extra: Sequence[str], prefix: str) -> str:
    bits = [f'(("{prefix}_{name}" IS NOT NULL)::BIGINT << {n})' for n, name in enumerate(extra)]
    return " + ".join(bits) or "0::BIGINT"


def exact_tokens(export_type: ExportType) -> str:
    """The same columns from the table `exact`, whose strings may be written in any way."""
    by_name = {leaf.name: leaf for field in export_type.fields for leaf in (field, *field.leaves())}
    tokens = []
    for name in names(export_type):
        token = f"nullif(\"t_{name}\", 'null')"
        if not by_name[name].is_raw_json:
            token = f"CASE WHEN ascii({token}) = 34 THEN json({token})::VARCHAR ELSE {token} END"
        tokens.append(f'{token} AS "t_{name}"')
    usual = "".join(f', {_usual(name, "t")} AS "u_{name}"' for name in _times(export_type))
    return (
        f"SELECT *{usual} FROM (SELECT part, line, NULL::VARCHAR AS text, original, {', '.join(tokens)},"
        " 0::BIGINT AS more, true AS plain FROM exact)"
    )


def records(export_type: ExportType, output: ExportFormat, selection: Selection, tokens: str) -> str:
    """A query over `tokens`: the columns of `kept`, and `plain`, `fault`, `outside`, `more`, `original`.

    `bucket` is null for all that is not kept. `original` is there for lines that are not plain or have a
    fault.
    """
    leaves = export_type.leaves
    times = _times(export_type)
    instants = "".join(f', {_instant(name)} AS "i_{name}"' for name in times)
    values = "".join(
        f', {_value(field)} AS "v_{field.name}"'
        for field in leaves
        if field.name in export_type.group or field.choices
    )
    in_range = ", ".join(
        f'CASE WHEN year("i_{name}") BETWEEN 1 AND 9999 THEN "i_{name}" END AS "i_{name}"' for name in times
    )
    judged = f"""
SELECT * REPLACE (CASE WHEN fault IS NOT NULL THEN coalesce(original, text) WHEN NOT plain THEN text END
    AS original)
FROM (SELECT *, CASE WHEN plain THEN {_fault(export_type)} END AS fault
FROM (SELECT * REPLACE ({in_range}) FROM (SELECT *{instants}{values} FROM ({tokens}))))"""
    return _records(export_type, output, selection, judged)


def _records(export_type: ExportType, output: ExportFormat, selection: Selection, judged: str) -> str:
    instant = f'"i_{export_type.time}"'
    inside = f"coalesce({selection.among(export_type)}, false)" if selection.only else "true"
    if not windowed_late(export_type):
        inside += f" AND {selection.in_window(instant)}"
    kept = {
        "part": "part",
        "line": "line",
        # The first byte of the MD5: DuckDB reads its bytes as a number from the last one down.
        "bucket": f"CASE WHEN plain AND fault IS NULL AND {inside}"
        f" THEN (md5_number({pieces.group_key(export_type)}) & 255)::UTINYINT END",
        "instant": instant,
        **{column: column for column in pieces.group_columns(export_type)},
    }
    if merge := export_type.merge:
        kept['"by"'] = f'"i_{merge.by}"'
        kept["present"] = _present(export_type)
        kept |= {f'"w_{name}"': f'"t_{name}"' for name in merge.identity if name not in export_type.group}
    for n, piece in enumerate(pieces.pieces(export_type, output)):
        kept[f"p{n}"] = f"CASE WHEN plain THEN {pieces.kept(piece, output, export_type)} END"
    columns = ", ".join(f"{expression} AS {name}" for name, expression in kept.items())
    return f"""
SELECT {columns}, plain, fault, plain AND fault IS NULL AND NOT ({inside}) AS outside, more, original
FROM ({judged})"""


def windowed_late(export_type: ExportType) -> bool:
    """Whether the window is for what merging left, not for raw records."""
    return bool(export_type.merge) and export_type.historical


def _times(export_type: ExportType) -> list[str]:
    return [leaf.name for leaf in export_type.leaves if leaf.kind is FieldKind.TIME]


def _usual(name: str, prefix: str) -> str:
    """The instant of a time that is written as nearly all are, so that its token can stay; else null."""
    token = f'"{prefix}_{name}"'
    # `strptime` alone would take fewer digits, and the year 0. A pattern and a cast take three times as long.
    usual = f"strlen({token}) = 26 AND {token} >= '\"1'"
    return f"CASE WHEN {usual} THEN try_strptime({token}, '\"%Y-%m-%dT%H:%M:%S.%gZ\"') END"


def _typical(export_type: ExportType, extra: Sequence[str]) -> str:
    """Whether a line has no fault and nothing unusual: true for nearly all, and cheaper than the rest.

    Each token is one that could only have become shorter, so equal lengths mean that it is as it was written.
    """
    conditions = ["valid"]
    for leaf in _judged(export_type):
        token = f'"t_{leaf.name}"'
        match leaf.kind:
            case FieldKind.OBJECT if leaf.members:
                found = f"starts_with({token}, '{{')"
            case FieldKind.OBJECT | FieldKind.JSON:
                found = f"NOT contains({token}, 'NaN') AND NOT contains({token}, 'Infinity')"
                found += (
                    f" AND starts_with({token}, '{{')"
                    if leaf.kind is FieldKind.OBJECT
                    else f" AND {token} <> 'null'"
                )
            case FieldKind.INTEGER:
                found = (
                    f"strlen({token}) <= 18 AND coalesce(try_cast({token} AS BIGINT)::VARCHAR, '') = {token}"
                )
            case FieldKind.BOOLEAN:
                found = f"{token} IN ('true', 'false')"
            case FieldKind.TIME:
                found = f'"u_{leaf.name}" IS NOT NULL'
                if not leaf.required:
                    found = f"({token} IS NULL OR {found})"
            case _ if leaf.choices:
                found = f"{token} IN ({', '.join(literal(quote(choice)) for choice in leaf.choices)})"
            case _:
                found = f"starts_with({token}, '\"')"
                if leaf.required:
                    # Neither empty nor begun by a space or an escape: then it cannot be blank.
                    found += f" AND {token} >= '\"#' AND NOT starts_with({token}, '\"\\')"
        conditions.append(found if leaf.required else f"coalesce({found}, true)")
    conditions += [f'coalesce(starts_with("t_{name}", \'"\'), true)' for name in extra]
    return " AND ".join([*conditions, *_whole(export_type, extra, str, "t")])


def _plain(export_type: ExportType, extra: Sequence[str]) -> str:
    """Whether all tokens are what stands in the line, and nothing else is there."""
    clean = [_clean(leaf) for leaf in export_type.leaves]
    clean += [
        f"(\"j_{name}\" IS NULL OR ascii(\"j_{name}\") = 34 OR \"j_{name}\" IN ('true', 'false', 'null')"
        f" OR regexp_full_match(\"j_{name}\", '{_INTEGER}'))"
        for name in extra
    ]
    clean += [
        f"({token} IS NULL OR {token} = 'null' OR ascii({token}) = 123)"
        for token in (f'"j_{field.name}"' for field in export_type.fields if field.members)
    ]
    whole, spaced = (" AND ".join(_whole(export_type, extra, free, "j")) for free in (str, _without_spaces))
    return (
        f"valid AND {' AND '.join(clean)} AND CASE WHEN {whole} THEN true"
        f" ELSE contains(text, ' ') AND {spaced} END"
    )


def _whole(
    export_type: ExportType, extra: Sequence[str], free: Callable[[str], str], prefix: str
) -> list[str]:
    """That the tokens are all there is: by their lengths, and JSON that passes through by its text."""
    conditions = []
    for container in (None, *(field.name for field in export_type.fields if field.members)):
        outer = f"{container}." if container else ""
        own = export_type.fields if container is None else export_type.field(container).members
        members = [outer + field.name for field in own]
        members += [name for name in extra if name.rpartition(".")[0] == (container or "")]
        whole = f'"{prefix}_{container}"' if container else "text"
        equal = f"{_length(members, outer, free, prefix)} = strlen({free(whole)})"
        absent = f"{whole} IS NULL OR {whole} IN ('null', '{{}}') OR "
        conditions.append(f"({absent}{equal})" if container else equal)
    for leaf in export_type.leaves:
        if leaf.is_raw_json:
            token = f'"{prefix}_{leaf.name}"'
            last = leaf.name.rpartition(".")[2]
            label = literal(f'"{last}":')
            found = f"contains({free('text')}, {label} || {free(token)})"
            if free is str:
                # Mostly it is the last member, which is found faster.
                found = f"CASE WHEN suffix(text, {label} || {token} || '}}') THEN true ELSE {found} END"
            conditions.append(f"coalesce({found}, true)")
    return conditions


def _length(members: Sequence[str], outer: str, free: Callable[[str], str], prefix: str) -> str:
    """How long an object of those members is: quotes, colon and comma each, and one bracket more."""
    parts = []
    for name in members:
        around = len(name.removeprefix(outer).encode()) + 4
        token = f'"{prefix}_{name}"'
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


def _judged(export_type: ExportType) -> list[Field]:
    """Fields, each followed by its members."""
    found: list[Field] = []
    for field in export_type.fields:
        found.append(field)
        if field.members:
            found += field.leaves()
    return found


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


def _typical_value(leaf: Field) -> str:
    """The same for a token of a typical line: it is a string where it should be one."""
    token = f'"t_{leaf.name}"'
    return token if leaf.kind is FieldKind.INTEGER else pieces.value_of_string(token)


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
    return f'coalesce("u_{name}", {other})'
