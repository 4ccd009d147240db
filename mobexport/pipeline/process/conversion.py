"""Converts one export file to Parquet: one row per innermost record, each one checked.

`records = rows + rejected`, always. A file that is structurally incomplete raises, and nothing counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

from mobexport.export_types.model import ExportType
from mobexport.records.checks import Fault
from mobexport.records.columns import Checked, FileChecks, Reject, schema_of
from mobexport.records.csv_rows import csv_columns
from mobexport.records.element_ranges import Part, elements_of, find_parts
from mobexport.records.elements import BLOCK_BYTES, Elements, Layout, elements
from mobexport.records.file_records import JsonColumns
from mobexport.records.formats import ExportFormat
from mobexport.records.gunzip import MAGIC, unpacked
from mobexport.records.instants import bounds_of
from mobexport.records.limits import Limits
from mobexport.records.names import SampledNames
from mobexport.records.parquet_days import ParquetDays, ParquetFile
from mobexport.records.rejects import RejectsFile
from mobexport.records.sampling import NameSampler


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
    sampled: SampledNames
    """Names in the first records; of CSV nothing."""
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
    limits: Limits,
    file_format: ExportFormat = ExportFormat.JSON,
    part: Part | None = None,
    watch: Callable[[int, int], None] = lambda _bytes, _rows: None,
) -> Conversion:
    """Writes `{out_dir}/date=YYYY-MM-DD/{stem}-{n}.parquet` (snapshots: `snapshot=…`), n from 0.

    Columns: `app`, then the type's (ids, text and JSON as strings, times as timestamps in UTC, objects with
    declared members as structs), in the order of the file, zstd. `window`: records of other days are rejects;
    None takes every day. `snapshot_day` is required for snapshots. Rejects go to
    `{out_dir}/{stem}.rejects.ndjson`. Raises Truncated, DataError for what is no JSON array (or CSV with a
    header) or does not fit the limits, and whatever reading raises; files in `out_dir` mean nothing then.
    `watch` is told bytes read and rows so far.

    `part`: of a JSON file, `chunks` being its bytes from `part.begin` on. The parts of a file give the same
    rows in the same order and the same rejects, in files of their own; what was read and its hash is the
    part's, and says nothing of the file.
    """
    if not export_type.historical and snapshot_day is None:
        raise ValueError(f"{export_type.name} is a snapshot: its day must be given")
    for folder in (out_dir, workdir):
        folder.mkdir(parents=True, exist_ok=True)
    measured = _Measured(chunks)
    checks = FileChecks(
        export_type,
        app=app,
        bounds=bounds_of(*window) if window else None,
        snapshot_day=snapshot_day,
        strict=strict,
    )
    days = ParquetDays(
        schema_of(export_type),
        label="date" if export_type.historical else "snapshot",
        stem=stem,
        out_dir=out_dir,
        workdir=workdir,
        limits=limits,
    )
    rows = 0
    sampler = NameSampler(export_type)
    rejects_path = out_dir / f"{stem}.rejects.ndjson"
    with RejectsFile(rejects_path) as rejects:

        def reject(element: int, record: int, fault: Fault, text: bytes) -> None:
            rejects.take({"element": element, "record": record}, fault, text)

        text = measured if part else unpacked(measured, stem)
        for checked in _columns(text, checks, reject, sampler, file_format, part):
            rows += len(checked.batch)
            days.add(checked)
            watch(measured.bytes, rows)
        outputs = tuple(days.finish())
    rejected = rejects.count
    return Conversion(
        rows + rejected,
        sum(output.rows for output in outputs),
        rejected,
        outputs,
        rejects_path if rejected else None,
        sampler.sampled(),
        {label: count for label, count in sorted(checks.lenient.items()) if count},
        dict(sorted(rejects.rules.items())),
        measured.bytes,
        measured.sha256.hexdigest(),
    )


@dataclass(frozen=True)
class FileParts:
    """How one export file is cut."""

    parts: tuple[Part, ...]
    """None of a packed file: it is converted in one piece."""
    input_bytes: int
    input_sha256: str


def cut_file(export_type: ExportType, chunks: Iterable[bytes], part_bytes: int) -> FileParts:
    """Cuts a JSON file. Raises Truncated or DataError, as `convert_file` does, for what is no whole array."""
    measured = _Measured(chunks)
    following = iter(measured)
    start = next(following, b"")
    parts: list[Part] = []
    if not start.startswith(MAGIC):
        parts = find_parts(chain((start,), following), Layout.of(export_type), part_bytes)
    return FileParts(tuple(parts), measured.bytes, measured.sha256.hexdigest())


def _columns(
    chunks: Iterable[bytes],
    checks: FileChecks,
    reject: Reject,
    sampler: NameSampler,
    file_format: ExportFormat,
    part: Part | None,
) -> Iterator[Checked]:
    if file_format is ExportFormat.CSV:
        yield from csv_columns(chunks, checks, reject)
        return
    reader = JsonColumns(checks)
    layout = Layout.of(checks.export_type)
    found_elements = elements_of(chunks, part, layout) if part else elements(chunks, layout)
    for found in _together(found_elements):
        for one in found:
            sampler.take(one)
        if (checked := reader.read(found, reject)) is not None:
            yield checked


def _together(found: Iterable[Elements]) -> Iterator[list[Elements]]:
    """Blocks of elements: broken and large ones come alone, and a block of one costs what any block costs."""
    block: list[Elements] = []
    size = 0
    for one in found:
        block.append(one)
        size += len(one.text)
        if size >= BLOCK_BYTES // 2:
            yield block
            block, size = [], 0
    if block:
        yield block


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
