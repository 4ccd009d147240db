"""SQL that takes one flat JSON record apart, by the fields of a declaration.

Both halves use it: on raw lines, and on the records of export files with the group's fields put in front.
The input is a relation with the columns `text` (a JSON object) and `protected` (whether `json_text.protect`
made it). Nothing here knows where records come from or go.
"""

# ruff: noqa: S608 - the names in these queries are checked where types are declared

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mobexport.duck import literal
from mobexport.export_types.model import Field, FieldKind
from mobexport.json_text import quote

GUID = "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32})$"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_TIME = rf"\d{{4}}-\d{{2}}-\d{{2}}[Tt]{_CLOCK}:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-]{_CLOCK})"
_INTEGER = r"0|-?[1-9]\d{0,17}"
_SPACES = ("' '", "chr(9)", "chr(13)")
_STRINGS = (FieldKind.ID, FieldKind.TEXT, FieldKind.TIME)


def plain(source: str, *, carry: str, known: Sequence[str], unique: str = "$") -> str:
    """A query over `source`: its `text`, and whether DuckDB takes that JSON apart exactly (`plain`).

    True means: what DuckDB would write is what stands there, but for whitespace between tokens, and no name
    stands twice in the object at the path `unique`. Sound, since equal texts are equal in every part.
    `carry`: other columns to keep, as SQL. `known`: names that the object at `unique` usually has, which
    make the search for doubles cheap.
    """
    written, text = "written", "text"
    for space in _SPACES:
        written, text = f"replace({written}, {space}, '')", f"replace({text}, {space}, '')"
    paths = ", ".join(literal(f"{unique}.{name}") for name in known)
    there = f"list_sum(json_exists(text, [{paths}])::INTEGER[])" if known else "0"
    return f"""
SELECT {carry}, text, CASE
    WHEN written IS NULL OR contains(text, 'NaN') OR contains(text, 'Infinity') THEN false
    WHEN written <> text AND {written} <> {text} THEN false
    WHEN len(names) = {there} THEN true
    ELSE coalesce(list_unique(names) = len(names), true) END AS plain
FROM (
    SELECT *, CASE WHEN json_valid(text) THEN json(text) END AS written,
        CASE WHEN json_valid(text) THEN json_keys(text, {literal(unique)}) END AS names
    FROM {source}
)
"""


def numbered(parts: int) -> str:
    """A relation of lines: `source`, `number`, `text`, of parts given as parameters (source, number, text).

    The lines of a part have consecutive numbers from its own on; blank ones are left out.
    """
    given = ", ".join(["(?, ?, ?)"] * parts)
    return f"""(
    SELECT source, first + ordinal - 1 AS number, text FROM (
        SELECT source, first, unnest(lines) AS text, generate_subscripts(lines, 1) AS ordinal FROM (
            SELECT source::BIGINT AS source, first::BIGINT AS first, string_split(text, chr(10)) AS lines
            FROM (VALUES {given}) given(source, first, text)
        )
    ) WHERE NOT ({blank("text")})
)"""


def blank(text: str) -> str:
    """Whether there is nothing but whitespace. Looks at the first character first: `trim` is slow."""
    return f"ascii({text}) <= 32 AND regexp_full_match({text}, '[ \\t\\r\\n]*')"


def tokens(fields: Sequence[Field], source: str, *, carry: str) -> str:
    """A query over `source` with `token_{name}`: the field's JSON token, null where absent or null.

    Fields that pass through as JSON come as their raw text. `carry`: other columns to keep, as SQL.
    """
    paths = ", ".join(literal(f"$.{field.name}") for field in fields)
    parts = []
    for n, field in enumerate(fields, start=1):
        token = f"nullif(token[{n}]::VARCHAR, 'null')"
        if field.is_raw_json:
            token = f"CASE WHEN protected THEN json_extract_string({token}, '$') ELSE {token} END"
        parts.append(f'{token} AS "token_{field.name}"')
    return (
        f"SELECT {carry}, {', '.join(parts)}"
        f" FROM (SELECT *, json_extract(text, [{paths}]) AS token FROM {source})"
    )


def values(fields: Iterable[Field], source: str) -> str:
    """`source` with `value_{name}` (text, null where it is no string), and `instant_{name}` for times.

    Instants are TIMESTAMPs in UTC, to the microsecond, further digits cut off; null where the text is no
    RFC 3339 time with an offset, or none of the years 1 to 9999 of UTC. Leap seconds are not told apart
    from faults: no clock of a phone shows them, and no later step could hold them.
    """
    strings = [field for field in fields if field.kind in _STRINGS]
    times = [field.name for field in strings if field.kind is FieldKind.TIME]
    columns = ", ".join(f'{_text(field)} AS "value_{field.name}"' for field in strings)
    instants = "".join(f', {_instant(name)} AS "instant_{name}"' for name in times)
    in_range = ", ".join(
        f'CASE WHEN year("instant_{name}") BETWEEN 1 AND 9999 THEN "instant_{name}" END AS "instant_{name}"'
        for name in times
    )
    query = f"SELECT *{instants} FROM (SELECT *, {columns} FROM ({source}))"
    return f"SELECT * REPLACE ({in_range}) FROM ({query})" if times else query


def faults(fields: Iterable[Field], required: Iterable[Field]) -> list[tuple[str, str]]:
    """(condition, `rule:field`) for what makes a record unusable; the first that holds is the reason."""
    must = {field.name for field in required}
    found: list[tuple[str, str]] = []
    for field in fields:
        token, name = f'"token_{field.name}"', field.name
        if name in must:
            found.append((f"{token} IS NULL", f"missing:{name}"))
        if field.kind is not FieldKind.JSON:
            found.append((f"NOT ({of_kind(field.kind, token)})", f"wrong-type:{name}"))
        if field.kind in _STRINGS and name in must:
            found.append((blank(f'"value_{name}"'), f"blank:{name}"))
        if field.kind is FieldKind.TIME:
            found.append((f'{token} IS NOT NULL AND "instant_{name}" IS NULL', f"bad-time:{name}"))
        if field.choices:
            chosen = ", ".join(map(literal, field.choices))
            found.append((f'"value_{name}" NOT IN ({chosen})', f"unknown-value:{name}"))
    return found


def of_kind(kind: FieldKind, token: str) -> str:
    """Whether a JSON token (as SQL) is of that kind; null where it is null."""
    match kind:
        case FieldKind.OBJECT:
            return f"starts_with({token}, '{{')"
        case FieldKind.INTEGER:
            return f"regexp_full_match({token}, '{_INTEGER}')"
        case FieldKind.BOOLEAN:
            return f"{token} IN ('true', 'false')"
        case FieldKind.JSON:
            return "true"
        case _:
            return f"starts_with({token}, '\"')"


def reject_line(place: Mapping[str, Any], fault: str, original: str) -> str:
    """A line of a rejects file: the place, the rule, the field where one is at fault, the original."""
    rule, _, name = fault.partition(":")
    at_fault = {"field": name} if name else {}
    return quote({**place, "rule": rule, **at_fault, "original": original}) + "\n"


def first_of(conditions: Iterable[tuple[str, str]]) -> str:
    """The label of the first condition that holds, else null."""
    cases = " ".join(f"WHEN {condition} THEN {literal(label)}" for condition, label in conditions)
    return f"CASE {cases} END" if cases else "NULL"


def time_text(field: Field) -> str:
    """The instant as JSON token: UTC with `Z`, 3 digits, or 6 where it has more than milliseconds."""
    at = f'"instant_{field.name}"'
    return (
        f"CASE WHEN microsecond({at}) % 1000 = 0 THEN strftime({at}, '\"%Y-%m-%dT%H:%M:%S.%gZ\"')"
        f" ELSE strftime({at}, '\"%Y-%m-%dT%H:%M:%S.%fZ\"') END"
    )


def _text(field: Field) -> str:
    token = f'"token_{field.name}"'
    return (
        f"CASE WHEN NOT starts_with({token}, '\"') THEN NULL"
        f" WHEN contains({token}, '\\') THEN json_extract_string({token}, '$')"
        f" ELSE {token}[2:-2] END"
    )


def _instant(name: str) -> str:
    text = f'"value_{name}"'
    fraction = f"rpad(left(regexp_extract({text}, '\\.(\\d+)', 1), 6), 6, '0')"
    local = f"try_cast({text}[1:10] || ' ' || {text}[12:19] || '.' || {fraction} AS TIMESTAMP)"
    minutes = f"({text}[-5:-4]::INTEGER * 60 + {text}[-2:]::INTEGER)"
    offset = (
        f"CASE WHEN upper({text}[-1:]) = 'Z' THEN 0"
        f" WHEN {text}[-6:-6] = '-' THEN -{minutes} ELSE {minutes} END"
    )
    return (
        # The usual form first: it needs no arithmetic.
        f"CASE WHEN regexp_full_match({text}, '\\d{{4}}-\\d\\d-\\d\\dT{_CLOCK}:[0-5]\\d\\.\\d{{3}}Z')"
        f" THEN try_cast({text}[1:23] AS TIMESTAMP)"
        f" WHEN regexp_full_match({text}, '{_TIME}') THEN {local} - to_minutes({offset}) END"
    )
