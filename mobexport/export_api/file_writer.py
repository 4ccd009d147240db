"""Writes one export file from raw files: the semantics of section 3 of the design, in DuckDB.

The bytes of the file depend on the raw data and the request only: not on the order in which files are
listed, on how they are cut into chunks, or on the number of threads.

JSON values (`extras`, a tag's `value`) are passed on as they were written, character by character, but for
whitespace between tokens, which is removed: `1e3`, `0.10`, `\\u00e9`, integers of any length, the order of
members and members that stand twice in them all stay. Other strings keep their value, not their spelling.
Of two members of a raw record with one name the last counts. Not read at all (and so rejected): what is no
JSON by RFC 8259 (`NaN`, trailing commas), and halves of surrogate pairs, which UTF-8 cannot say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobexport import json_text, record_sql
from mobexport.duck import DuckLimits, connect, fetch_batches, load_rows
from mobexport.errors import DataError
from mobexport.export_api import queries
from mobexport.export_api.raw_lines import Part, RawFile, raw_blocks
from mobexport.export_types.model import ExportType, Grouped, Latest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ExportCounts", "RawFile", "write_export"]

_NAMES_KEPT = 50
_OTHER_NAMES = "*"

_Long = tuple[str, str, int, int]
"""A stand-in, the long text, and the file and line where it stands."""


@dataclass(frozen=True)
class ExportCounts:
    """Where every raw record went: `read = rejected + outside_window + superseded + removed + exported`."""

    read: int
    rejected: int
    outside_window: int
    superseded: int
    """Snapshots: records that a later one of their device and key replaces."""
    removed: int
    """Snapshots: latest records that remove their key."""
    exported: int
    """Innermost records in the file."""
    elements: int
    """Elements of the file's array."""
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    """Fields that no declaration has, with the usable records that had them; beyond 50 names under `*`."""

    def balances(self) -> bool:
        """Whether nothing was lost or counted twice."""
        gone = self.rejected + self.outside_window + self.superseded + self.removed
        return self.read == gone + self.exported

    def to_json(self) -> dict[str, Any]:
        """The counts under camelCase names, as they are kept with a task."""
        return {
            "read": self.read,
            "rejected": self.rejected,
            "outsideWindow": self.outside_window,
            "superseded": self.superseded,
            "removed": self.removed,
            "exported": self.exported,
            "elements": self.elements,
            "unknownFields": dict(self.unknown_fields),
        }


def write_export(
    export_type: ExportType,
    files: Iterable[RawFile],
    *,
    window: tuple[date, date] | None,
    target: Path,
    rejects: Path,
    workdir: Path,
    limits: DuckLimits,
) -> ExportCounts:
    """Writes the export file to `target`, and raw lines that cannot be used to `rejects` (if there are any).

    `window`: first and last UTC day, both included; None for snapshots. `target` is one JSON array, UTF-8,
    one element a line; `[]` when nothing is exported. `rejects` is NDJSON: file, line (from 1), rule, field
    (where one is at fault), original. `workdir` takes temporary files, no more than `limits` allow.
    Raises DataError (`TooLarge`) where the limits do not suffice, and whatever reading a file raises.
    """
    if not isinstance(export_type.shape, Grouped | Latest):
        raise DataError(f"export type {export_type.name} cannot be written yet", code="NotYet")
    ordered = sorted(files, key=lambda file: file.name)
    names: Counter[str] = Counter()
    with connect(workdir, limits) as connection:
        for statement in queries.TABLES:
            connection.execute(statement)
        parse = queries.parse(export_type, window)
        read = outside = 0
        for block in raw_blocks(ordered):
            lines, long = _load(connection, block, export_type)
            read += lines
            connection.execute(parse)
            connection.execute(queries.KEEP)
            for aside in long:
                connection.execute(queries.LENGTHEN, aside)
            connection.execute(queries.REJECT)
            outside += _numbers(connection, queries.OUTSIDE)[0]
            names.update(dict(connection.execute(queries.NAMES).fetchall()))
        superseded, removed = _numbers(connection, queries.superseded(export_type))
        elements, exported = _write_elements(connection, export_type, target)
        rejected = _write_rejects(connection, [file.name for file in ordered], rejects)
    unknown = _unknown(names, export_type)
    return ExportCounts(read, rejected, outside, superseded, removed, exported, elements, unknown)


def _load(
    connection: DuckDBPyConnection, block: list[Part], export_type: ExportType
) -> tuple[int, list[_Long]]:
    """Fills `flat` with the JSON lines of a block and `reject` with the others.

    How many there were, and the texts that go beside DuckDB.
    """
    connection.execute("DELETE FROM flat")
    parts = [value for part in block for value in (part.file, part.first_line, part.text)]
    connection.execute(queries.split(export_type, len(block)), parts)
    connection.execute(queries.FLATTEN)
    faulty = [(part.file, bad.line, bad.rule, bad.original) for part in block for bad in part.spoiled]
    doubtful = [(part.file, line, text) for part in block for line, text in part.long]
    read = _numbers(connection, "SELECT count(*) FROM line")[0] + len(faulty) + len(doubtful)
    doubtful += connection.execute(queries.DOUBTFUL).fetchall()
    exact, aside = [], []
    for file, line, text in doubtful:
        try:
            flat, long = _read_exactly(export_type, text)
        except json_text.NotJson as verdict:
            faulty.append((file, line, verdict.rule, json_text.shown(text)))
        else:
            exact.append((file, line, flat, True, json_text.shown(text)))
            aside += [(json_text.stand_in(name, value), value, file, line) for name, value in long.items()]
    load_rows(connection, "reject", queries.REJECT_TYPES, faulty)
    load_rows(connection, "flat", queries.FLAT_TYPES, exact)
    return read, aside


def _read_exactly(export_type: ExportType, text: str) -> tuple[str, dict[str, str]]:
    found = json_text.members(text)
    if json_text.has_lone_surrogate(text):
        raise json_text.NotJson("lone-surrogate")
    if found is None:
        return "null", {}
    return json_text.protect(found, export_type.raw_json_names, export_type.other_names)


def _write_elements(connection: DuckDBPyConnection, export_type: ExportType, target: Path) -> tuple[int, int]:
    """How many elements and records were written; neither an element nor the file is ever whole in memory."""
    close = queries.brackets(export_type)
    elements = records = 0
    last = None
    with target.open("w", encoding="utf-8", newline="") as out:
        for batch in fetch_batches(connection.execute(queries.ordered(export_type))):
            parts = []
            for head, body in batch:
                if head == last:
                    parts.append(",")
                else:
                    parts.append(f"{close},\n{head}" if elements else f"[\n{head}")
                    elements += 1
                    last = head
                parts.append(body)
            records += len(batch)
            out.write("".join(parts))
        out.write(f"{close}\n]\n" if elements else "[]")
    return elements, records


def _write_rejects(connection: DuckDBPyConnection, names: list[str], rejects: Path) -> int:
    count = _numbers(connection, "SELECT count(*) FROM reject")[0]
    if count:
        with rejects.open("w", encoding="utf-8", newline="") as out:
            for batch in fetch_batches(connection.execute(queries.REJECTS)):
                out.writelines(
                    record_sql.reject_line({"file": names[file], "line": line}, *rest)
                    for file, line, *rest in batch
                )
    return count


def _unknown(names: Counter[str], export_type: ExportType) -> dict[str, int]:
    for declared in export_type.fields:
        names.pop(declared.name, None)
    ranked = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    unknown = dict(ranked[:_NAMES_KEPT])
    if others := sum(count for _, count in ranked[_NAMES_KEPT:]):
        unknown[_OTHER_NAMES] = others
    return unknown


def _numbers(connection: DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = connection.execute(query).fetchone()
    return tuple(int(value) for value in row or ())
