"""Converts one export file to Parquet: one row per innermost record, each one checked, in DuckDB.

`records = rows + rejected`, always. A file that is structurally incomplete raises, and nothing counts.

JSON values (`extras`, a tag's `value`) become text as they stand in the file, character by character, but
for whitespace between tokens. Of two members of a record with one name the first counts where DuckDB reads
the element, the last where it is read exactly (`json_text`); of two tags with one key the last.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobexport import json_text, record_sql
from mobexport.duck import DuckLimits, connect, fetch_batches, load_rows
from mobexport.errors import DataError
from mobexport.export_types.model import ExportType, Grouped, Latest
from mobexport.pipeline import conversion_queries as queries
from mobexport.pipeline.elements import Cutting, Element, elements
from mobexport.pipeline.exact_records import exact_records
from mobexport.text_blocks import BLOCK_BYTES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_Long = tuple[str, tuple[str, int, int]]
"""A column, and a long text with the element and record it belongs to."""


@dataclass(frozen=True)
class ParquetFile:
    """One written file."""

    date: date
    """Day of its partition (UTC); of a snapshot, the snapshot's day."""
    path: Path
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Conversion:
    """What became of one export file."""

    records: int
    """Innermost records in the file; an element without any list of them counts as one."""
    rows: int
    rejected: int
    outputs: tuple[ParquetFile, ...]
    """By day."""
    rejects: Path | None
    """NDJSON: element, record (both from 1), rule, field (where one is at fault), original."""
    lenient: Mapping[str, int]
    """What breaks the published schema and passed: `missing:sessionId`, `not-a-guid:deviceId`."""
    rules: Mapping[str, int]
    """Rejects by reason: `rule`, or `rule:field`."""
    input_bytes: int
    input_sha256: str


def convert_file(
    export_type: ExportType,
    chunks: Iterable[bytes],
    *,
    app: str,
    window: tuple[date, date] | None,
    snapshot_day: date | None,
    strict: bool,
    stem: str,
    out_dir: Path,
    workdir: Path,
    limits: DuckLimits,
) -> Conversion:
    """Writes `{out_dir}/date=YYYY-MM-DD/{stem}-{n}.parquet` (snapshots: `snapshot=…`), n from 0.

    Columns: `app`, then the type's (ids, text and JSON as VARCHAR, times as TIMESTAMP WITH TIME ZONE, UTC),
    in the order of the file, zstd. `window`: records of other days are rejects; None takes every day.
    `snapshot_day` is required for snapshots. Rejects go to `{out_dir}/{stem}.rejects.ndjson`.
    Raises Truncated, DataError for what is no JSON array or does not fit the limits, and whatever reading
    raises; files in `out_dir` mean nothing then.
    """
    if not isinstance(export_type.shape, Grouped | Latest):
        raise DataError(f"export type {export_type.name} cannot be converted yet", code="NotYet")
    if not export_type.historical and snapshot_day is None:
        raise ValueError(f"{export_type.name} is a snapshot: its day must be given")
    out_dir.mkdir(parents=True, exist_ok=True)
    measured = _Measured(chunks)
    lenient: Counter[str] = Counter()
    with connect(workdir, limits, writable=[out_dir]) as connection:
        for statement in queries.tables(export_type):
            connection.execute(statement)
        explode = queries.explode(export_type)
        labels = [label for _, label in queries.notes(export_type)]
        judge = queries.check(export_type, window, strict=strict)
        keep = queries.keep(export_type, snapshot_day)
        for block in _blocks(elements(measured, cutting=_cutting(export_type))):
            long = _load(connection, block, explode, export_type)
            connection.execute(judge)
            connection.execute(keep)
            for name, aside in long:
                connection.execute(queries.lengthen(name), aside)
            connection.execute(queries.REJECT)
            counted = connection.execute(queries.let_pass(export_type)).fetchall()[0]
            lenient.update(dict(zip(labels, counted, strict=False)))
        rows, rejected = connection.execute(queries.COUNTS).fetchall()[0]
        rules = dict(connection.execute(queries.RULES).fetchall())
        outputs = tuple(_write_days(connection, export_type, app, stem, out_dir))
        rejects = _write_rejects(connection, out_dir / f"{stem}.rejects.ndjson") if rejected else None
    return Conversion(
        rows + rejected,
        rows,
        rejected,
        outputs,
        rejects,
        {label: count for label, count in sorted(lenient.items()) if count},
        rules,
        measured.bytes,
        measured.sha256.hexdigest(),
    )


class _Measured:
    """Chunks, counted and hashed as they pass."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.bytes = 0
        self.sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.bytes += len(chunk)
            self.sha256.update(chunk)
            yield chunk


def _cutting(export_type: ExportType) -> Cutting | None:
    if isinstance(export_type.shape, Grouped):
        return Cutting(export_type.inner, export_type.group)
    return None


def _blocks(found: Iterable[Element]) -> Iterator[list[Element]]:
    block: list[Element] = []
    size = 0
    for element in found:
        block.append(element)
        size += len(element.text)
        if size >= BLOCK_BYTES // 2:
            yield block
            block, size = [], 0
    if block:
        yield block


def _load(
    connection: DuckDBPyConnection, block: list[Element], explode: list[str], export_type: ExportType
) -> list[_Long]:
    """Fills `record` with the records of a block, whichever way its elements can be read.

    Gives the texts that go beside DuckDB.
    """
    connection.execute("DELETE FROM record")
    parts, spoiled, doubtful = _parts(block)
    connection.execute(queries.split(export_type, len(parts) // 3), parts)
    for statement in explode:
        connection.execute(statement)
    doubtful += connection.execute(queries.DOUBTFUL).fetchall()
    records, long = [], []
    for number, first, text in doubtful:
        for record, aside in exact_records(export_type, number, first, text):
            records.append(record)
            long += [(name, (value, record[0], record[1])) for name, value in aside.items()]
    load_rows(connection, "record", queries.RECORD_TYPES, records)
    load_rows(connection, "reject", queries.REJECT_TYPES, spoiled)
    return long


def _parts(
    block: list[Element],
) -> tuple[list[Any], list[tuple[int, int, str, str]], list[tuple[int, int, str]]]:
    """Parameters of `queries.split`, rejects, elements to be read exactly; those two are empty lines.

    A part ends where the numbering does: at pieces of large elements.
    """
    parts: list[Any] = []
    lines: list[str] = []
    spoiled, doubtful = [], []
    expected = None
    for element in block:
        if (element.number, element.first_record) != expected:
            lines = []
            parts += [element.first_record, element.number, lines]
        text, rule = _decoded(element.text)
        if rule:
            spoiled.append((element.number, element.first_record, rule, json_text.shown(text)))
        elif element.has_long_text:
            doubtful.append((element.number, element.first_record, text))
        lines.append("" if rule or element.has_long_text else text)
        expected = (element.number + 1, 1) if element.first_record == 1 else None
    return ["\n".join(part) if isinstance(part, list) else part for part in parts], spoiled, doubtful


def _decoded(text: bytes) -> tuple[str, str | None]:
    """The text, and the rule that it breaks."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return text.decode(errors="backslashreplace"), "not-utf8"
    return decoded, "not-json" if "\0" in decoded else None


def _write_days(
    connection: DuckDBPyConnection, export_type: ExportType, app: str, stem: str, out_dir: Path
) -> Iterator[ParquetFile]:
    folder = "date" if export_type.historical else "snapshot"
    for n, (day, rows) in enumerate(connection.execute(queries.DAYS).fetchall()):
        path = out_dir / f"{folder}={day}" / f"{stem}-{n}.parquet"
        path.parent.mkdir(exist_ok=True)
        connection.execute(queries.copy_day(export_type, app, day, str(path)))
        with path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        yield ParquetFile(day, path, rows, path.stat().st_size, digest)


def _write_rejects(connection: DuckDBPyConnection, path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as out:
        for batch in fetch_batches(connection.execute(queries.REJECTS)):
            out.writelines(
                record_sql.reject_line({"element": element, "record": record}, *rest)
                for element, record, *rest in batch
            )
    return path
