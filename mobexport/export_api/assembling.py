"""The queries that make the text of an export of kept records: merging, order, elements.

They run over the records of some buckets at a time (a bucket is a range of the MD5 of the group's key), since
no element reaches into another one. Tables: `joined_` (maps of a joined type), `merged` (what merging left),
`ranked` (the groups in their order, with the beginning of their elements).
"""

# ruff: noqa: S608 - the names in these queries are checked where types are declared

from __future__ import annotations

from dataclasses import dataclass

from mobexport.duck import literal
from mobexport.export_api import parsing, pieces
from mobexport.export_api.selection import ExportFormat, Selection
from mobexport.export_types.model import Collected, ExportType, Grouped, Latest

_CHUNK = 256 * 1024
# One number for the order of records: the time, absent before any other, then the place.
_ORDINAL = (
    'coalesce(epoch_us("by"), -(1::BIGINT << 62))::HUGEINT * 18446744073709551616'
    " + part * 1099511627776 + line"
)
_ORDER = "r, instant NULLS FIRST, part, line"


@dataclass(frozen=True)
class Assembly:
    """The queries for one type, format and request. `source`: SQL of a relation of kept records."""

    export_type: ExportType
    output: ExportFormat
    selection: Selection

    def join(self, source: str) -> list[str]:
        """Makes `joined_` of the joined type's records: a row a group, with its map and two counts."""
        joined = self.export_type.joined
        assert joined
        columns = ", ".join(pieces.group_columns(joined))
        return [
            f"CREATE OR REPLACE TEMP TABLE merged AS {_merged(joined, ExportFormat.JSON, source)}",
            f"""CREATE OR REPLACE TEMP TABLE joined_ AS
SELECT {columns}, string_agg(p0, ',' ORDER BY instant, part, line) FILTER (present) AS map,
    sum(n)::BIGINT AS n, count(*) FILTER (present) AS shown, count(*) FILTER (NOT present) AS removed
FROM merged GROUP BY {columns}""",
        ]

    def prepare(self, source: str) -> list[str]:
        """Makes `merged` (where there is merging) and `ranked`."""
        export_type = self.export_type
        statements = []
        if merged := self._merging(source):
            statements.append(f"CREATE OR REPLACE TEMP TABLE merged AS {merged}")
        columns = ", ".join(pieces.group_columns(export_type))
        key = pieces.group_key(export_type)
        order = ", ".join(f"{column} NULLS FIRST" for column in pieces.group_columns(export_type))
        statements.append(f"""CREATE OR REPLACE TEMP TABLE ranked AS
SELECT {columns}, {self._head()} AS head,
    row_number() OVER (ORDER BY md5({key}), {key}, {order})::INTEGER AS r
FROM (SELECT DISTINCT {columns} FROM {self._rows(source)})""")
        return statements

    def counts(self, source: str) -> str:
        """One row: records in, superseded, removed, outside, exported, elements."""
        elements = "(SELECT count(*) FROM ranked)"
        if not self._merging(source):
            return f"SELECT count(*), 0, 0, 0, count(*), {elements} FROM {source}"
        shown = f"count(*) FILTER ({self._shown()})"
        removed = "count(*) FILTER (NOT present)"
        if isinstance(self.export_type.shape, Collected | Grouped | Latest):
            elements = f"CASE WHEN {shown} > 0 THEN {elements} ELSE 0 END"
        else:
            elements = shown
        return (
            f"SELECT coalesce(sum(n), 0)::BIGINT, (coalesce(sum(n), 0) - count(*))::BIGINT, {removed},"
            f" count(*) - {shown} - {removed}, {shown}, {elements} FROM merged"
        )

    def joined_counts(self) -> str:
        """One row of the joined records: in, superseded (those that are shown too), removed, outside."""
        columns = pieces.group_columns(self.export_type)
        known = " AND ".join(f"joined_.{column} IS NOT DISTINCT FROM merged.{column}" for column in columns)
        return f"""
SELECT coalesce(sum(n), 0)::BIGINT,
    coalesce(sum(n - removed - CASE WHEN known THEN 0 ELSE shown END), 0)::BIGINT,
    coalesce(sum(removed), 0)::BIGINT, coalesce(sum(shown) FILTER (NOT known), 0)::BIGINT
FROM (SELECT *, EXISTS (SELECT 1 FROM merged WHERE {known}) AS known FROM joined_)"""

    def texts(self, source: str, *, chunked: bool) -> str:
        """The text in its order as BLOBs, row by row or in chunks of some 256 KiB (which are all in memory).

        It starts without a separator, and its last element stays open: `separator`, `closing`.
        """
        rows = self._texts_of_rows(source)
        if self._is_nested:
            opening, closing = ("{", "}") if isinstance(self.export_type.shape, Grouped) else ("", "")
            rows = f"{rows} UNION ALL SELECT r, NULL, -1, -1, head FROM ranked"
            between = literal(self.closing + self.separator)
            text = f"""CASE WHEN part = -1 THEN CASE WHEN r = 1 THEN head ELSE {between} || head END
    WHEN lag(part) OVER () = -1 THEN {literal(opening)} || head || {literal(closing)}
    ELSE {literal("," + opening)} || head || {literal(closing)} END"""
        elif self.output is ExportFormat.CSV:
            text = "head || chr(13) || chr(10)"
        else:
            text = "CASE WHEN row_number() OVER () = 1 THEN '{' ELSE ',' || chr(10) || '{' END || head || '}'"
        ordered = f"SELECT {text} AS t FROM (SELECT * FROM ({rows}) ORDER BY {_ORDER})"
        if not chunked:
            return f"SELECT encode(t) FROM ({ordered})"
        return f"""
SELECT encode(string_agg(t, '')) FROM (
    SELECT t, (sum(strlen(t)) OVER (ROWS UNBOUNDED PRECEDING))::BIGINT // {_CHUNK} AS c
    FROM ({ordered})
) GROUP BY c ORDER BY c"""

    @property
    def opening(self) -> str:
        """Beginning of a file that has elements, or of any CSV file."""
        return pieces.header(self.export_type) if self.output is ExportFormat.CSV else "[\n"

    @property
    def ending(self) -> str:
        """End of a file that has elements."""
        return "" if self.output is ExportFormat.CSV else "\n]\n"

    @property
    def empty(self) -> str:
        """A whole file without elements."""
        return self.opening if self.output is ExportFormat.CSV else "[]"

    @property
    def separator(self) -> str:
        """What stands between two elements."""
        return "" if self.output is ExportFormat.CSV else ",\n"

    @property
    def closing(self) -> str:
        """What closes an element."""
        if not self._is_nested:
            return ""
        return "]}" if isinstance(self.export_type.shape, Grouped) else "}}"

    @property
    def _is_nested(self) -> bool:
        return self.output is ExportFormat.JSON and isinstance(self.export_type.shape, Grouped | Latest)

    def _head(self) -> str:
        if not self._is_nested:
            return "NULL::VARCHAR"
        shape = self.export_type.shape
        opening = "[" if isinstance(shape, Grouped) else "{"
        inner = literal(f',"{self.export_type.inner}":{opening}')
        return f"'{{' || {pieces.pairs(pieces.group_pairs(self.export_type))} || {inner}"

    def _merging(self, source: str) -> str | None:
        if isinstance(self.export_type.shape, Collected):
            return _collected(self.export_type, source)
        return _merged(self.export_type, self.output, source) if self.export_type.merge else None

    def _shown(self) -> str:
        late = parsing.windowed_late(self.export_type)
        return "present" + (f" AND {self.selection.in_window('instant')}" if late else "")

    def _rows(self, source: str) -> str:
        return f"(SELECT * FROM merged WHERE {self._shown()})" if self._merging(source) else source

    def _texts_of_rows(self, source: str) -> str:
        """A query of r, instant, part, line, and the text of each row without its brackets."""
        export_type, output = self.export_type, self.output
        columns = pieces.group_columns(export_type)
        same = " AND ".join(f"ranked.{column} IS NOT DISTINCT FROM x.{column}" for column in columns)
        rows = f"{self._rows(source)} x JOIN ranked ON {same}"
        if isinstance(export_type.shape, Collected):
            listed = "'[' || listed || ']'"
            if output is ExportFormat.CSV:
                text = f"{pieces.group_cells(export_type)} || ',' || {pieces.quoted_cell(listed)}"
            else:
                label = literal(f',"{export_type.shape.field}":')
                text = f"{pieces.pairs(pieces.group_pairs(export_type))} || {label} || {listed}"
            text = text.replace('"v_', 'x."v_')
            return f"SELECT r, instant, part, line, {text} AS head FROM {rows}"
        found = pieces.pieces(export_type, output)
        texts = [
            pieces.value_text(piece, output, f"x.p{n}") if piece.is_value else f"x.p{n}"
            for n, piece in enumerate(found)
        ]
        tail = None
        if export_type.joined:
            known = " AND ".join(f"joined_.{column} IS NOT DISTINCT FROM x.{column}" for column in columns)
            rows += f" LEFT JOIN joined_ ON {known}"
            bag = "('{' || joined_.map || '}')"
            label = literal(f'"{export_type.joined.inner}":')
            tail = pieces.quoted_cell(bag) if output is ExportFormat.CSV else f"{label} || {bag}"
        text = pieces.join(found, texts, output, tail=tail)
        return f"SELECT r, x.instant, x.part, x.line, {text} AS head FROM {rows}"


def _merged(export_type: ExportType, output: ExportFormat, source: str) -> str:
    """One row an identity: the group, the kept record's place and pieces, the pieces of others, `n`."""
    merge = export_type.merge
    assert merge
    found = pieces.pieces(export_type, output)
    identity = [*pieces.group_columns(export_type)]
    identity += [f'"w_{name}"' for name in merge.identity if name not in export_type.group]
    taken = ["instant", "part", "line", "present"]
    chosen = "arg_min" if merge.keep == "first" else "arg_max"
    others = []
    for n, piece in enumerate(found):
        if piece.rule == "kept":
            taken.append(f"p{n}")
        elif piece.rule == "each":
            others.append(f"arg_max(p{n}, ordinal) FILTER (p{n} IS NOT NULL) AS p{n}")
        else:
            others.append(f"{'min' if piece.rule == 'least' else 'max'}(p{n}) AS p{n}")
    packed = ", ".join(f"{name} := {name}" for name in taken)
    others.append("count(*) AS n")
    group = ", ".join(identity)
    return f"""
SELECT {group}, unnest(k), * EXCLUDE (k, {group}) FROM (
    SELECT {group}, {chosen}(struct_pack({packed}), ordinal) AS k, {", ".join(others)}
    FROM (SELECT *, {_ORDINAL} AS ordinal FROM {source}) GROUP BY {group})"""


def _collected(export_type: ExportType, source: str) -> str:
    """One row a group: its distinct values in the order of their first records."""
    group = ", ".join(pieces.group_columns(export_type))
    place = "{'i': instant, 'p': part, 'l': line}"
    return f"""
SELECT {group}, string_agg(p0, ',' ORDER BY first_) AS listed, NULL::TIMESTAMP AS instant,
    0 AS part, 0 AS line, true AS present, sum(n)::BIGINT AS n
FROM (SELECT {group}, p0, min({place}) AS first_, count(*) AS n FROM {source} GROUP BY {group}, p0)
GROUP BY {group}"""
