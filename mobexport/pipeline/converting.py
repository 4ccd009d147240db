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
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from mobexport import json_text, record_sql
from mobexport.duck import DuckLimits, connect, fetch_batches, load_rows
from mobexport.export_types.model import ExportType, Grouped
from mobexport.pipeline import conversion_queries as queries
from mobexport.pipeline.elements import Cutting, Element, elements
from mobexport.pipeline.exact_records import exact_records
from mobexport.pipeline.row_parts import ParquetFile, RowParts
from mobexport.text_blocks import BLOCK_BYTES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_Long = tuple[str, tuple[str, int, int]]
"""A column, and a long text with the element and record it belongs to."""


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
    if not export_type.historical and snapshot_day is None:
        raise ValueError(f"{export_type.name} is a snapshot: its day must be given")
    out_dir.mkdir(parents=True, exist_ok=True)
    measured = _Measured(chunks)
    lenient: Counter[str] = Counter()
    kept = 0
    with (
        connect(workdir, limits, writable=[out_dir]) as connection,
        _Rejects(out_dir / f"{stem}.rejects.ndjson") as rejects,
    ):
        parts = RowParts(connection, export_type, workdir, limits)
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
            kept += counted[-1]
            rejects.take(connection)
            parts.added(counted[-1], sum(len(element.text) for element in block))
        outputs = tuple(parts.write_days(app, stem, out_dir))
    rejected = rejects.rules.total()
    return Conversion(
        kept + rejected,
        sum(output.rows for output in outputs),
        rejected,
        outputs,
        rejects.path if rejected else None,
        {label: count for label, count in sorted(lenient.items()) if count},
        dict(sorted(rejects.rules.items())),
        measured.bytes,
        measured.sha256.hexdigest(),
    )


class _Rejects:
    """The rejects file, made with the first reject, and how many there are for each reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rules: Counter[str] = Counter()
        self._stack = ExitStack()
        self._out: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self, connection: DuckDBPyConnection) -> None:
        """Appends the rejects of a block."""
        for batch in fetch_batches(connection.execute(queries.REJECTS)):
            if self._out is None:
                self._out = self._stack.enter_context(self.path.open("w", encoding="utf-8", newline=""))
            self.rules.update(fault for _, _, fault, _ in batch)
            self._out.writelines(
                record_sql.reject_line({"element": element, "record": record}, *rest)
                for element, record, *rest in batch
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
    for statement in queries.block_tables():
        connection.execute(statement)
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
