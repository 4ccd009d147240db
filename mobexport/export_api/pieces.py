"""How the text of an exported record is put together: pieces of one rule each, in JSON or CSV.

A piece is a run of columns that come from one raw record. Most types have one piece, so that its text can be
made when the raw record is read; merging then chooses among pieces and never takes text apart again.
Everything here is SQL over the columns of `parsing`: `t_{name}` (JSON token, null where absent or null) and
`i_{name}` (TIMESTAMP of a time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mobexport.duck import literal
from mobexport.export_api.selection import ExportFormat
from mobexport.export_types.model import Collected, ExportType, Field, FieldKind, Grouped, Latest

_CRLF = "chr(13) || chr(10)"


@dataclass(frozen=True)
class Piece:
    """Columns whose values come from one raw record."""

    container: str | None
    """Name of the object whose members they are."""
    leaves: tuple[Field, ...]
    rule: Literal["kept", "each", "least", "greatest"] = "kept"
    """From the kept record; the last with that object; or one value, the least or greatest of all."""

    @property
    def is_value(self) -> bool:
        """Whether it is kept as a value to be compared, not as text."""
        return self.rule in ("least", "greatest")


def pieces(export_type: ExportType, output: ExportFormat) -> tuple[Piece, ...]:
    """The pieces of a record, in the order of the columns; without the group where the element has it."""
    merge = export_type.merge
    names = {column.name for column in export_type.columns}
    if isinstance(export_type.shape, Collected):
        names = {export_type.shape.field}
    elif output is ExportFormat.JSON and isinstance(export_type.shape, Grouped | Latest):
        names -= set(export_type.group)
    found: list[Piece] = []
    for field in export_type.fields:
        container = field.name if field.members else None
        for leaf in field.leaves():
            if leaf.name not in names:
                continue
            rule: Literal["kept", "each", "least", "greatest"] = "kept"
            if merge and leaf.name in merge.least:
                rule = "least"
            elif merge and leaf.name in merge.greatest:
                rule = "greatest"
            elif merge and field.name in merge.each:
                rule = "each"
            before = found[-1] if found else None
            if before and not before.is_value and (before.container, before.rule) == (container, rule):
                found[-1] = Piece(container, (*before.leaves, leaf), rule)
            else:
                found.append(Piece(container, (leaf,), rule))
    return tuple(found)


def kept(piece: Piece, output: ExportFormat, export_type: ExportType) -> str:
    """What a raw record has of that piece, null if it has nothing: text, or a value to be compared."""
    leaf = piece.leaves[0]
    if piece.is_value:
        return f'"i_{leaf.name}"' if leaf.kind is FieldKind.TIME else f'try_cast("t_{leaf.name}" AS BIGINT)'
    shape = export_type.shape
    if isinstance(shape, Collected):
        return f'"t_{shape.field}"'
    if output is ExportFormat.CSV:
        text = " || ',' || ".join(csv_cell(leaf) for leaf in piece.leaves)
    elif isinstance(shape, Latest):
        text = f'"t_{shape.key}" || \':\' || "t_{shape.value}"'
    else:
        text = _members(piece)
    if piece.container:
        return f'CASE WHEN "t_{piece.container}" IS NOT NULL THEN {text} END'
    return text


def value_text(piece: Piece, output: ExportFormat, value: str) -> str:
    """The text of a piece that is one value, given as SQL; null if that is."""
    leaf = piece.leaves[0]
    text = time_text(value) if leaf.kind is FieldKind.TIME else f"{value}::VARCHAR"
    if output is ExportFormat.CSV:
        return text
    token = f"'\"' || {text} || '\"'" if leaf.kind is FieldKind.TIME else text
    return _pair(leaf.name, token, piece.container)


def join(found: tuple[Piece, ...], texts: list[str], output: ExportFormat, *, tail: str | None) -> str:
    """A whole record from the texts of its pieces; `tail`: one more text at its end.

    JSON without its brackets; CSV without its line's end. Absent values are left out, or empty cells.
    """
    if output is ExportFormat.CSV:
        cells = [
            f"coalesce({text}, {literal(',' * (len(piece.leaves) - 1))})"
            for piece, text in zip(found, texts, strict=True)
        ]
        return " || ',' || ".join([*cells, f"coalesce({tail}, '')"] if tail else cells)
    parts: list[str] = []
    at = 0
    while at < len(found):
        container = found[at].container
        end = at + 1
        while container and end < len(found) and found[end].container == container:
            end += 1
        if container:
            inner = ", ".join(f"nullif({text}, '')" for text in texts[at:end])
            there = " OR ".join(f"{text} IS NOT NULL" for text in texts[at:end])
            opening = literal(f'"{container}":{{')
            parts.append(f"CASE WHEN {there} THEN {opening} || concat_ws(',', {inner}) || '}}' END")
        else:
            parts.append(f"nullif({texts[at]}, '')")
        at = end
    parts += [tail] if tail else []
    return texts[0] if len(found) == 1 and not tail else f"concat_ws(',', {', '.join(parts)})"


def pairs(tokens: dict[str, str], container: str | None = None) -> str:
    """`"name":token,…` of those that are not null."""
    made = [_pair(name, token, container) for name, token in tokens.items()]
    return f"concat_ws(',', {', '.join(made)})"


def json_token(leaf: Field) -> str:
    """A leaf's JSON token as it is written: times in UTC."""
    if leaf.kind is not FieldKind.TIME:
        return f'"t_{leaf.name}"'
    instant = f'"i_{leaf.name}"'
    written = f"'\"' || {time_text(instant)} || '\"'"
    return f'CASE WHEN "u_{leaf.name}" IS NOT NULL THEN "t_{leaf.name}" ELSE {written} END'


def csv_cell(leaf: Field) -> str:
    """A leaf as a cell by RFC 4180: absent is empty, the empty string `""`, JSON its text."""
    if leaf.kind is FieldKind.TIME:
        instant = f'"i_{leaf.name}"'
        return f"coalesce({time_text(instant)}, '')"
    if leaf.kind in (FieldKind.INTEGER, FieldKind.BOOLEAN):
        return f"coalesce(\"t_{leaf.name}\", '')"
    return quoted_cell(f'"t_{leaf.name}"' if leaf.is_raw_json else string_value(f'"t_{leaf.name}"'))


def quoted_cell(text: str) -> str:
    """A text as a cell, quoted where it must be."""
    return (
        f"CASE WHEN {text} IS NULL THEN '' WHEN {text} = '' THEN '\"\"'"
        f" WHEN regexp_matches({text}, '[\",\\r\\n]') THEN '\"' || replace({text}, '\"', '\"\"') || '\"'"
        f" ELSE {text} END"
    )


def string_value(token: str) -> str:
    """The value of a JSON token, null where it is no string."""
    return f"CASE WHEN ascii({token}) = 34 THEN {value_of_string(token)} END"


def value_of_string(token: str) -> str:
    """The value of a JSON token that is known to be a string."""
    escaped = f"CASE WHEN contains({token}, '\\') THEN json_extract_string({token}, '$')"
    return f"{escaped} ELSE substring({token}, 2, length({token}) - 2) END"


def time_text(instant: str) -> str:
    """UTC with `Z`; 3 digits, or 6 where the instant has more than milliseconds."""
    return (
        f"CASE WHEN microsecond({instant}) % 1000 = 0 THEN strftime({instant}, '%Y-%m-%dT%H:%M:%S.%gZ')"
        f" ELSE strftime({instant}, '%Y-%m-%dT%H:%M:%S.%fZ') END"
    )


def header(export_type: ExportType) -> str:
    """First line of a CSV file, its end included."""
    return ",".join(column.name for column in export_type.columns) + "\r\n"


def group_columns(export_type: ExportType) -> list[str]:
    """Names of the columns of the group: the values of its fields."""
    return [f'"v_{name}"' for name in export_type.group]


def group_key(export_type: ExportType) -> str:
    """The text whose MD5 orders the groups: the values, joined by U+001F."""
    columns = group_columns(export_type)
    return columns[0] if len(columns) == 1 else f"concat_ws(chr(31), {', '.join(_or_empty(columns))})"


def group_pairs(export_type: ExportType) -> dict[str, str]:
    """JSON tokens of the group's fields, from its columns."""
    return {
        field.name: f'"v_{field.name}"'
        if field.kind is FieldKind.INTEGER
        else f'to_json("v_{field.name}")::VARCHAR'
        for field in export_type.group_fields
    }


def group_cells(export_type: ExportType) -> str:
    """Cells of the group's fields, from its columns."""
    return " || ',' || ".join(quoted_cell(f'"v_{name}"') for name in export_type.group)


def _members(piece: Piece) -> str:
    """The members of a piece's object. With one that is always there, their commas need no look at others."""
    always = next((n for n, leaf in enumerate(piece.leaves) if leaf.required), None)
    if always is None:
        return pairs({leaf.name: json_token(leaf) for leaf in piece.leaves}, piece.container)
    parts: list[str] = []
    for n, leaf in enumerate(piece.leaves):
        label = f'"{leaf.name}":' if n <= always else f',"{leaf.name}":'
        there = f'CASE WHEN "t_{leaf.name}" IS NOT NULL THEN '
        parts.append(literal(label) if leaf.required else f"{there}{literal(label)} END")
        parts.append(json_token(leaf))
        if n < always:
            parts.append(f"{there}',' END")
    return f"concat({', '.join(parts)})"


def _or_empty(columns: list[str]) -> list[str]:
    return [f"coalesce({column}, '')" for column in columns]


def _pair(name: str, token: str, container: str | None) -> str:
    shown = name.removeprefix(f"{container}.") if container else name
    return literal(f'"{shown}":') + f" || ({token})"
